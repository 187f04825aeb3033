/// Names for versions of one model, in MODEL/labels.json: {"stable": 3, "canary": 4}.
///
/// Every version that has a name is served. What "stable" names is what a request gets that says no
/// version; without that name it is the newest.
#ifndef NORN_SERVE_REPOSITORY_LABELS_H
#define NORN_SERVE_REPOSITORY_LABELS_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdint.h>

enum { NORN_LABELS_MAX = 16, NORN_LABEL_NAME = 64 };
#define NORN_LABEL_STABLE "stable"

typedef struct norn_label {
    char name[NORN_LABEL_NAME]; ///< begins with a letter: never a version
    int64_t version;
} norn_label;

typedef struct norn_labels {
    norn_label at[NORN_LABELS_MAX]; ///< in the order of the file
    uint32_t count;
} norn_labels;

/// Of the model in `dir`; none where there is no such file.
/// Errors   INVALID_ARGUMENT: not such a list; names the file, and the label
norn_status norn_labels_read(const char *dir, norn_alloc alloc, norn_labels *out) NORN_NODISCARD;
/// The version that `name` stands for among `count` labels, or -1.
int64_t norn_labels_find(const norn_label *labels, uint32_t count, const char *name);

#endif
