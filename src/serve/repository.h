/// The model repository: a folder of models, each with numbered versions (DESIGN section 8). The
/// newest version of each model is served, or the newest that can be loaded where nothing serves
/// yet. Loading happens on one background thread, so that no request ever waits for a compile; the
/// live version answers until the new one is ready. What is replaced is taken apart by a reaper.
///
/// Threads  any.
#ifndef NORN_SERVE_REPOSITORY_H
#define NORN_SERVE_REPOSITORY_H

#include "serve/served.h"

typedef struct norn_repository norn_repository;

typedef enum norn_model_state {
    NORN_MODEL_LOADING,
    NORN_MODEL_READY,
    NORN_MODEL_UNAVAILABLE
} norn_model_state;

/// "LOADING", "READY", "UNAVAILABLE": the words of the repository index.
const char *norn_model_state_name(norn_model_state state);

/// Scans `dir` and starts loading everything in it.
/// Errors   NOT_FOUND: no such folder.
norn_status norn_repository_open(const char *dir, const norn_serving_defaults *defaults,
                                 norn_alloc alloc, norn_repository **out) NORN_NODISCARD;
/// Waits for the load in progress, a few seconds; releases every model. A load that goes on is left
/// alone, with all that it uses: the process is about to end.
void norn_repository_close(norn_repository *repository);

/// True once every model found at the start was loaded or has failed to.
bool norn_repository_settled(norn_repository *repository);

/// A version as a request names it: -1 for "", the newest.
/// Errors   INVALID_ARGUMENT: not a whole number.
norn_status norn_repository_version(const char *text, int64_t *version) NORN_NODISCARD;
/// The live version, or exactly `version` when it is not -1; retained.
/// Errors   NOT_FOUND: the repository has no such model, or the version is not the live one;
///          UNAVAILABLE: it is there but not loaded, with the reason.
norn_status norn_repository_get(norn_repository *repository, const char *name, int64_t version,
                                norn_served **out) NORN_NODISCARD;

/// Is there such a model among those that a load was ever asked for, and does
/// a version serve? Looks at memory only, for those who ask often.
bool norn_repository_knows(norn_repository *repository, const char *name, bool *ready);

/// What came of a load or unload that was asked for; called on the loader thread.
typedef void (*norn_repository_done_fn)(void *context, norn_status status, const char *message);
/// Load the newest version of `name` (again), looking at the folder as it is now. A name that the
/// folder does not have is NOT_FOUND and leaves no trace.
void norn_repository_load(norn_repository *repository, const char *name,
                          norn_repository_done_fn done, void *context);
void norn_repository_unload(norn_repository *repository, const char *name,
                            norn_repository_done_fn done, void *context);

typedef struct norn_repository_entry {
    const char *name;
    int64_t version; ///< -1: none was ever found
    norn_model_state state;
    const char *reason;     ///< "" when all is well; also why the last load failed
    norn_served *served;    ///< borrowed for the call; NULL unless one is live
    uint64_t load_failures; ///< of the model since the start; in its first entry
    bool failed;            ///< the last load tried this version in vain
    bool first;             ///< of its model: the live version, or what there is instead of one
} norn_repository_entry;
typedef void (*norn_repository_visit_fn)(void *context, const norn_repository_entry *entry);
/// Every model, by name: first its live version (or, without one, its state), then each version
/// that the last load tried in vain. `visit` must not call the repository.
void norn_repository_visit(norn_repository *repository, norn_repository_visit_fn visit,
                           void *context);

/// Versions that are gone but not taken apart yet.
norn_reaper_stat norn_repository_reaped(norn_repository *repository);

#endif
