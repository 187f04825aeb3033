/// Looks at the repository again and again, and asks the loader for what has changed: a new version or
/// model, other labels, files of a version that were replaced. With `norn serve --follow`.
///
/// A change counts when two looks in a row saw the same, so that a folder that is being written is
/// left alone; one with a MANIFEST.json is looked at through its READY only.
///
/// Threads  its own.
#ifndef NORN_SERVE_REPOSITORY_WATCHER_H
#define NORN_SERVE_REPOSITORY_WATCHER_H

#include "serve/repository/loader.h"

enum { NORN_WATCHER_LOOK_MS = 500 };

typedef struct norn_watcher norn_watcher;

/// What is in `dir` (borrowed) now counts as seen: the loader is only asked for what comes later.
norn_status norn_watcher_create(const char *dir, norn_alloc alloc,
                                norn_watcher **out) NORN_NODISCARD;
/// Begin to ask `loader`, which outlives the watcher.
norn_status norn_watcher_start(norn_watcher *watcher, norn_loader *loader) NORN_NODISCARD;
void norn_watcher_destroy(norn_watcher *watcher); ///< takes NULL

#endif
