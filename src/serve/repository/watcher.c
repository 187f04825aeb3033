#include "serve/repository/watcher.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "package/manifest.h"
#include "package/version_folder.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_BYTES = 256, PATH_BYTES = 4096 };

/// A model, and what its folder looked like.
typedef struct watched {
    char name[NAME_BYTES];
    uint64_t seen; ///< what the loader was asked for
    uint64_t last; ///< at the last look
    bool there;    ///< at this look
} watched;

struct norn_watcher {
    const char *dir;
    norn_alloc alloc;
    norn_loader *loader;
    watched *models;
    size_t count, capacity;
    pthread_t thread;
    bool started, stopping;
    pthread_mutex_t lock; ///< of `stopping`
    pthread_cond_t stop;
};

// ---- what a folder looks like

/// False: the path would be too long to be opened.
static bool join(char out[PATH_BYTES], const char *dir, const char *name) {
    return snprintf(out, PATH_BYTES, "%s/%s", dir, name) < PATH_BYTES;
}

static uint64_t add_file(uint64_t look, const char *dir, const char *name) {
    char path[PATH_BYTES];
    struct stat facts;
    if (!join(path, dir, name) || stat(path, &facts) != 0) return look;
    const int64_t told[] = {(int64_t)facts.st_size, (int64_t)facts.st_ino, facts.st_mtim.tv_sec,
                            facts.st_mtim.tv_nsec};
    return norn_hash_bytes(name, strlen(name), norn_hash_bytes(told, sizeof told, look));
}

/// Files of a folder, in whatever order they come: their sum.
static uint64_t add_files(uint64_t look, const char *dir) {
    uint64_t sum = 0;
    DIR *folder = opendir(dir);
    if (!folder) return look;
    for (const struct dirent *item; (item = readdir(folder)) != NULL;)
        if (item->d_name[0] != '.') sum += add_file(1, dir, item->d_name);
    (void)closedir(folder);
    return norn_hash_bytes(&sum, sizeof sum, look);
}

static uint64_t add_version(uint64_t look, const char *model, const norn_version_folder *folder) {
    char path[PATH_BYTES], inside[PATH_BYTES];
    struct stat facts;
    look = norn_hash_bytes(folder->name, strlen(folder->name), look);
    if (!join(path, model, folder->name)) return look;
    if (join(inside, path, "MANIFEST.json") && stat(inside, &facts) == 0)
        return add_file(look, path, "READY");
    look = add_files(look, path);
    return join(inside, path, "tables") ? add_files(look, inside) : look;
}

/// Never 0.
static uint64_t look_at(const norn_watcher *watcher, const char *name) {
    char path[PATH_BYTES];
    norn_version_folder *folders;
    size_t count;
    uint64_t look = 1;
    if (!join(path, watcher->dir, name)) return look;
    look = add_file(look, path, "labels.json");
    const bool labelled = look != 1;
    if (norn_version_folders(path, watcher->alloc, &folders, &count) != NORN_OK) return 1;
    if (!labelled && count > 1) count = 1; // the newest is served, and no other
    for (size_t i = 0; i < count; i++) look = add_version(look, path, &folders[i]);
    norn_free(watcher->alloc, folders);
    return look ? look : 1;
}

// ---- looking

static watched *find(const norn_watcher *watcher, const char *name) {
    for (size_t i = 0; i < watcher->count; i++)
        if (strcmp(watcher->models[i].name, name) == 0) return &watcher->models[i];
    return NULL;
}

static norn_status add(norn_watcher *watcher, const char *name, watched **out) {
    NORN_TRY(NORN_MORE(watcher->alloc, &watcher->models, watcher->count, &watcher->capacity));
    *out = &watcher->models[watcher->count++];
    **out = (watched){0};
    memcpy((*out)->name, name, strlen(name) + 1); // norn_loader_has_folder bounds it
    return NORN_OK;
}

static void on_loaded(void *context, norn_status status, const char *message) {
    (void)context;
    if (status != NORN_OK) norn_log(NORN_LOG_WARN, "a change in the repository: %s", message);
}

static void look_again(norn_watcher *watcher, watched *model) {
    const uint64_t look = look_at(watcher, model->name);
    model->there = true;
    if (look == model->last && look != model->seen) {
        model->seen = look;
        norn_loader_load(watcher->loader, model->name, on_loaded, NULL);
    }
    model->last = look;
}

/// A model whose folder is gone is unloaded.
static void drop_missing(norn_watcher *watcher) {
    size_t kept = 0;
    for (size_t i = 0; i < watcher->count; i++) {
        if (watcher->models[i].there)
            watcher->models[kept++] = watcher->models[i];
        else
            norn_loader_unload(watcher->loader, watcher->models[i].name, NULL, NULL);
    }
    watcher->count = kept;
}

static norn_status look_at_all(norn_watcher *watcher, void (*see)(norn_watcher *, watched *)) {
    norn_status status = NORN_OK;
    DIR *dir = opendir(watcher->dir);
    if (!dir)
        return norn_fail(NORN_NOT_FOUND, "repository '%s': %s", watcher->dir, strerror(errno));
    for (size_t i = 0; i < watcher->count; i++) watcher->models[i].there = false;
    for (const struct dirent *item; status == NORN_OK && (item = readdir(dir)) != NULL;) {
        if (!norn_loader_has_folder(watcher->dir, item->d_name)) continue;
        watched *model = find(watcher, item->d_name);
        if (!model) status = add(watcher, item->d_name, &model);
        if (status == NORN_OK) see(watcher, model);
    }
    (void)closedir(dir);
    return status;
}

/// A repository that cannot be read for a moment (a mount that is away) unloads nothing.
static void look(norn_watcher *watcher) {
    if (look_at_all(watcher, look_again) == NORN_OK)
        drop_missing(watcher);
    else
        NORN_LOG_LIMITED(NORN_LOG_WARN, "%s", norn_message());
}

static void see_first(norn_watcher *watcher, watched *model) {
    model->seen = model->last = look_at(watcher, model->name);
    model->there = true;
}

// ---- life

static void *watch(void *context) {
    norn_watcher *watcher = context;
    pthread_mutex_lock(&watcher->lock);
    while (!watcher->stopping) {
        const int64_t end_ns = norn_clock_now_ns() + (int64_t)NORN_WATCHER_LOOK_MS * 1000000;
        bool in_time = true;
        while (!watcher->stopping && in_time)
            in_time = norn_condition_wait(&watcher->stop, &watcher->lock, end_ns);
        if (watcher->stopping) break;
        pthread_mutex_unlock(&watcher->lock);
        look(watcher);
        pthread_mutex_lock(&watcher->lock);
    }
    pthread_mutex_unlock(&watcher->lock);
    return NULL;
}

norn_status norn_watcher_create(const char *dir, norn_alloc alloc, norn_watcher **out) {
    norn_watcher *watcher;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &watcher));
    watcher->dir = dir;
    watcher->alloc = alloc;
    pthread_mutex_init(&watcher->lock, NULL);
    norn_condition_init(&watcher->stop);
    const norn_status status = look_at_all(watcher, see_first);
    if (status != NORN_OK)
        norn_watcher_destroy(watcher);
    else
        *out = watcher;
    return status;
}

norn_status norn_watcher_start(norn_watcher *watcher, norn_loader *loader) {
    watcher->loader = loader;
    if (pthread_create(&watcher->thread, NULL, watch, watcher) != 0)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start the thread that watches '%s'",
                         watcher->dir);
    watcher->started = true;
    return NORN_OK;
}

void norn_watcher_destroy(norn_watcher *watcher) {
    if (!watcher) return;
    pthread_mutex_lock(&watcher->lock);
    watcher->stopping = true;
    pthread_cond_signal(&watcher->stop);
    pthread_mutex_unlock(&watcher->lock);
    if (watcher->started) pthread_join(watcher->thread, NULL);
    pthread_cond_destroy(&watcher->stop);
    pthread_mutex_destroy(&watcher->lock);
    norn_free(watcher->alloc, watcher->models);
    norn_free(watcher->alloc, watcher);
}
