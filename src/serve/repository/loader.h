/// The loader: one thread on which models are loaded and unloaded, so that no request ever waits
/// for a compile. It alone knows how each model stands, and publishes an index of them whenever
/// that changes.
///
/// Threads  any may put.
#ifndef NORN_SERVE_REPOSITORY_LOADER_H
#define NORN_SERVE_REPOSITORY_LOADER_H

#include "base/published.h"
#include "package/package_ready.h"
#include "serve/reaper.h"
#include "serve/repository/index.h"

typedef struct norn_loader norn_loader;

typedef struct norn_loader_options {
    const char *dir; ///< of the repository; the caller's, as what follows
    const norn_serving_defaults *defaults;
    norn_reaper *reaper;   ///< takes versions apart
    norn_published *index; ///< the loader's norn_index goes here
} norn_loader_options;

/// What came of a load or unload that was asked for; called on the loader thread.
typedef void (*norn_loader_done_fn)(void *context, norn_status status, const char *message);

/// Publishes what `dir` has, all of it LOADING, and starts to load it.
/// Errors   NOT_FOUND: no such folder.
norn_status norn_loader_create(const norn_loader_options *options, norn_alloc alloc,
                               norn_loader **out) NORN_NODISCARD;
/// Waits for the load in progress, a few seconds, then releases all models and publishes nothing.
/// False: a load goes on; it was left alone, with all that it uses, as the process is about to end.
/// Takes NULL.
bool norn_loader_destroy(norn_loader *loader);

/// True once every model found at the start was loaded or has failed to.
bool norn_loader_settled(const norn_loader *loader);

/// Load what `name` has to serve (again; model_load.h), looking at the folder as it is now. A name that the
/// folder does not have is NOT_FOUND and leaves no trace.
void norn_loader_load(norn_loader *loader, const char *name, norn_loader_done_fn done,
                      void *context);
void norn_loader_unload(norn_loader *loader, const char *name, norn_loader_done_fn done,
                        void *context);

/// Is there such a folder? Names are one path component, so that a request cannot walk out of the
/// repository.
bool norn_loader_has_folder(const char *dir, const char *name);

#endif
