/// Loading versions of a model: the newest, the newest that can be loaded, or a certain one.
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
    int64_t first;          ///< the version to be tried first; -1: the newest
    bool serving;           ///< a version is live: no older one is tried
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
    norn_status status;              ///< of the first that failed
    char message[NORN_REASON_BYTES]; ///< why it failed; else what it warns of, or ""
} norn_load_outcome;

/// Adds to `outcome`, which holds no servable, and tells the log what it does and what comes of it.
void norn_version_load(const norn_load_request *request, norn_load_outcome *outcome);
/// Exactly `version`; the caller's. NULL: it cannot be loaded, and `outcome` says why.
norn_servable *norn_version_load_one(const norn_load_request *request, int64_t version,
                                     norn_load_outcome *outcome);
/// norn_message() is why `version` (-1: none in particular) could not be loaded.
void norn_version_note_failure(norn_load_outcome *outcome, const char *name, int64_t version,
                               norn_status status);

#endif
