#include "serve/repository/repository.h"

#include "base/memory.h"
#include "serve/repository/watcher.h"

enum { REAPER_PATIENCE_MS = 10000 };

struct norn_repository {
    norn_alloc alloc;
    char *dir, *device;
    norn_serving_defaults defaults;
    norn_published index; ///< a norn_index
    norn_reaper *reaper;
    norn_loader *loader;
    norn_watcher *watcher; ///< NULL: the folder is read at the start alone
};

// ---- life

norn_status norn_repository_open(const char *dir, const norn_serving_defaults *defaults,
                                 norn_alloc alloc, norn_repository **out) {
    norn_repository *repository;
    norn_status status;
    *out = NULL;
    NORN_TRY(norn_alloc_zeroed(alloc, 1, sizeof *repository, (void **)&repository));
    repository->alloc = alloc;
    repository->defaults = *defaults;
    norn_published_init(&repository->index, NULL);
    NORN_TRY_DONE(norn_alloc_string(alloc, dir, &repository->dir));
    if (defaults->device)
        NORN_TRY_DONE(norn_alloc_string(alloc, defaults->device, &repository->device));
    repository->defaults.device = repository->device;
    NORN_TRY_DONE(norn_reaper_create(alloc, &repository->reaper));
    const norn_loader_options loader = {.dir = repository->dir,
                                        .defaults = &repository->defaults,
                                        .reaper = repository->reaper,
                                        .index = &repository->index};
    if (defaults->follow) // before the loader reads it: what comes in between is not missed
        NORN_TRY_DONE(norn_watcher_create(repository->dir, alloc, &repository->watcher));
    NORN_TRY_DONE(norn_loader_create(&loader, alloc, &repository->loader));
    if (repository->watcher)
        NORN_TRY_DONE(norn_watcher_start(repository->watcher, repository->loader));
    *out = repository;
    return NORN_OK;
done:
    norn_repository_close(repository);
    return status;
}

void norn_repository_close(norn_repository *repository) {
    if (!repository) return;
    norn_watcher_destroy(repository->watcher);
    if (!norn_loader_destroy(repository->loader)) return;
    norn_reaper_destroy(repository->reaper, REAPER_PATIENCE_MS);
    norn_free(repository->alloc, repository->dir);
    norn_free(repository->alloc, repository->device);
    norn_free(repository->alloc, repository);
}

bool norn_repository_settled(const norn_repository *repository) {
    return norn_loader_settled(repository->loader);
}

void norn_repository_load(norn_repository *repository, const char *name, norn_loader_done_fn done,
                          void *context) {
    norn_loader_load(repository->loader, name, done, context);
}

void norn_repository_unload(norn_repository *repository, const char *name, norn_loader_done_fn done,
                            void *context) {
    norn_loader_unload(repository->loader, name, done, context);
}

norn_reaper_stat norn_repository_reaped(norn_repository *repository) {
    return norn_reaper_stat_of(repository->reaper);
}

// ---- reading

/// A model that no load was ever asked for.
static norn_status no_entry(const norn_repository *repository, const char *name) {
    if (!norn_loader_has_folder(repository->dir, name))
        return norn_fail(NORN_NOT_FOUND, "model '%.100s' is not in the repository", name);
    return norn_fail(
        NORN_UNAVAILABLE,
        "model '%s' is in the repository but was not loaded, because it came after "
        "the start; %s",
        name, repository->watcher ? "it will be in a moment" : "load it, or serve with --follow");
}

norn_status norn_repository_get(norn_repository *repository, const char *name, const char *version,
                                norn_servable **out) {
    norn_published_reader reader;
    norn_status status = NORN_OK;
    *out = NULL;
    const norn_index *index = norn_published_enter(&repository->index, &reader);
    const norn_index_model *model = norn_index_find(index, name);
    if (model) status = norn_index_choose(model, version, out);
    if (*out) (void)norn_servable_retain(*out);
    norn_published_leave(&reader);
    return model ? status : no_entry(repository, name);
}

bool norn_repository_knows(norn_repository *repository, const char *name, bool *ready) {
    norn_published_reader reader;
    const norn_index *index = norn_published_enter(&repository->index, &reader);
    const norn_index_model *model = norn_index_find(index, name);
    *ready = model && model->versions[0].servable;
    norn_published_leave(&reader);
    return model != NULL;
}

void norn_repository_visit(norn_repository *repository, norn_repository_visit_fn visit,
                           void *context) {
    norn_published_reader reader;
    const norn_index *index = norn_published_enter(&repository->index, &reader);
    for (uint32_t m = 0; m < index->count; m++)
        for (uint32_t i = 0; i < index->models[m].version_count; i++)
            visit(context, &index->models[m], &index->models[m].versions[i]);
    norn_published_leave(&reader);
}
