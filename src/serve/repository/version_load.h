/// Loading a model's versions: the newest, or the newest that can be loaded.
#ifndef NORN_SERVE_REPOSITORY_VERSION_LOAD_H
#define NORN_SERVE_REPOSITORY_VERSION_LOAD_H

#include "package/package_ready.h"
#include "serve/reaper.h"
#include "serve/servable.h"

enum { NORN_REASON_BYTES = 512, NORN_FAILED_VERSIONS = 8 };

/// A version that could not be loaded.
typedef struct norn_failed_version {
    int64_t version;
    char reason[NORN_REASON_BYTES];
} norn_failed_version;

typedef struct norn_load_request {
    const char *dir, *name; ///< the repository, the model
    bool serving;           ///< a version is live: only the newest is tried
    const norn_serving_defaults *defaults;
    norn_reaper *reaper; ///< takes the version apart
    norn_alloc alloc;
    bool (*cancelled)(void *context); ///< asked before an older version is tried
    void *context;
} norn_load_request;

/// What came of one load.
typedef struct norn_load_outcome {
    norn_servable *servable; ///< the caller's; NULL: none could be loaded
    int64_t version;         ///< of it, else the newest that was tried; -1: there is none
    norn_failed_version failed[NORN_FAILED_VERSIONS]; ///< newest first; others may have been tried
    uint32_t failed_count;
    uint64_t failures;
    norn_status status;              ///< of the newest version
    char message[NORN_REASON_BYTES]; ///< why it failed; else what it warns of, or ""
} norn_load_outcome;

/// Tells the log what it does and what comes of it.
void norn_version_load(const norn_load_request *request, norn_load_outcome *outcome);

#endif
