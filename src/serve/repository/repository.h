/// The model repository: a folder of models, each with numbered versions (DESIGN section 8). The
/// newest version of each model is served, or the newest that can be loaded where nothing serves
/// yet; with labels.json (labels.h) the versions that it names. Requests read an immutable index without a lock; a loader thread makes it anew, the live
/// version answering until the next is ready; a reaper takes apart what is replaced.
///
/// Threads  any.
#ifndef NORN_SERVE_REPOSITORY_REPOSITORY_H
#define NORN_SERVE_REPOSITORY_REPOSITORY_H

#include "serve/repository/loader.h"

typedef struct norn_repository norn_repository;

/// Scans `dir` and starts loading everything in it.
/// Errors   NOT_FOUND: no such folder.
norn_status norn_repository_open(const char *dir, const norn_serving_defaults *defaults,
                                 norn_alloc alloc, norn_repository **out) NORN_NODISCARD;
/// Waits for the load in progress, a few seconds; releases every model. A load that goes on is left
/// alone, with all that it uses: the process is about to end. Nobody reads any more.
void norn_repository_close(norn_repository *repository);
/// True once every model found at the start was loaded or has failed to.
bool norn_repository_settled(const norn_repository *repository);

/// The version that a request names, by number or label; for "" the first choice. Retained.
/// Errors   NOT_FOUND: the repository has no such model, or the version is not a live one;
///          UNAVAILABLE: it is there but not loaded, with the reason;
///          INVALID_ARGUMENT: neither a whole number nor a label
norn_status norn_repository_get(norn_repository *repository, const char *name, const char *version,
                                norn_servable **out) NORN_NODISCARD;
/// Is there such a model among those that a load was ever asked for, and does
/// a version serve? Looks at memory only, for those who ask often.
bool norn_repository_knows(norn_repository *repository, const char *name, bool *ready);

/// As norn_loader_load and norn_loader_unload.
void norn_repository_load(norn_repository *repository, const char *name, norn_loader_done_fn done,
                          void *context);
void norn_repository_unload(norn_repository *repository, const char *name, norn_loader_done_fn done,
                            void *context);

typedef void (*norn_repository_visit_fn)(void *context, const norn_index_model *model,
                                         const norn_index_version *version);
/// Every version of every model, by name: first what is live (or, without that, how the model
/// stands), then each version that the last load tried in vain.
void norn_repository_visit(norn_repository *repository, norn_repository_visit_fn visit,
                           void *context);

/// Versions that are gone but not taken apart yet.
norn_reaper_stat norn_repository_reaped(norn_repository *repository);

#endif
