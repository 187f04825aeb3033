#include "serve/repository/loader.h"

#include "base/clock.h"
#include "base/condition.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/repository/model_load.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE_MS = 5000 };

typedef struct loader_job {
    char *name;
    bool unload;
    bool initial; ///< found at the start
    norn_loader_done_fn done;
    void *context;
    struct loader_job *next;
} loader_job;

struct norn_loader {
    norn_alloc alloc;
    norn_loader_options options;
    norn_model_entry *models; ///< the thread's; entries are never removed
    pthread_mutex_t mutex;    ///< of what follows
    pthread_cond_t wake;
    loader_job *jobs, *jobs_last;
    pthread_cond_t stopping; ///< `stopped`
    bool started, stopped;
    _Atomic bool closing;
    _Atomic int64_t initial_left;
    pthread_t thread;
};

bool norn_loader_has_folder(const char *dir, const char *name) {
    char path[4096];
    if (!name[0] || name[0] == '.' || strchr(name, '/') || strlen(name) >= 256) return false;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    return norn_path_is_dir(path);
}

// ---- jobs

/// The entry becomes `changed`, which it takes over, and everybody sees it. Where there is no memory
/// to say so, all stays as it was.
static norn_status change(norn_loader *loader, norn_model_entry *entry, norn_model_entry *changed) {
    norn_index *index;
    const norn_status status =
        norn_model_entries_list(loader->models, entry, changed, loader->alloc, &index);
    if (status != NORN_OK) {
        norn_model_entry_drop(changed);
        return status;
    }
    norn_index_destroy(norn_published_put(loader->options.index, index));
    norn_model_entry old = *entry;
    *entry = *changed;
    norn_model_entry_drop(&old); // requests in flight keep what they use until they are answered
    return NORN_OK;
}

static bool is_closing(void *context) {
    return atomic_load(&((norn_loader *)context)->closing);
}

/// What was asked for is the first choice and all labels: an older version in its place is not success.
static norn_status say_outcome(const norn_model_entry *entry, const norn_load_outcome *outcome) {
    if (outcome->failures == 0) return NORN_OK;
    if (!entry->servable)
        return norn_fail(outcome->status, "model '%s': %s", entry->name, outcome->message);
    return norn_fail(outcome->status, "model '%s': %s; version %lld serves", entry->name,
                     outcome->message, (long long)entry->version);
}

static norn_status run_load(norn_loader *loader, norn_model_entry *entry) {
    norn_load_outcome outcome;
    norn_model_entry changed;
    if (!entry->servable) {
        changed = norn_model_entry_copy(entry);
        changed.state = NORN_MODEL_LOADING;
        NORN_TRY(change(loader, entry, &changed));
    }
    const norn_load_request request = {.dir = loader->options.dir,
                                       .name = entry->name,
                                       .defaults = loader->options.defaults,
                                       .reaper = loader->options.reaper,
                                       .alloc = loader->alloc,
                                       .cancelled = is_closing,
                                       .context = loader};
    changed = norn_model_entry_copy(entry);
    norn_model_load(&request, &changed, &outcome);
    NORN_TRY(change(loader, entry, &changed));
    return say_outcome(entry, &outcome);
}

static norn_status run_unload(norn_loader *loader, norn_model_entry *entry) {
    norn_model_entry changed = norn_model_entry_copy(entry);
    norn_model_entry_unloaded(&changed);
    return change(loader, entry, &changed);
}

/// A load makes an entry, when the folder has the model.
static norn_status run_job(norn_loader *loader, const loader_job *job) {
    norn_model_entry *entry = norn_model_entry_find(loader->models, job->name);
    if (!entry && !norn_loader_has_folder(loader->options.dir, job->name))
        return norn_fail(NORN_NOT_FOUND, "model '%.100s' is not in the repository", job->name);
    if (!job->unload) {
        NORN_TRY(norn_model_entry_make(&loader->models, job->name, loader->alloc, &entry));
        return run_load(loader, entry);
    }
    if (entry && (entry->servable || entry->other_count)) return run_unload(loader, entry);
    return norn_fail(NORN_NOT_FOUND, "model '%s' is in the repository but not loaded%s%s",
                     job->name, entry ? ": " : "", entry ? entry->reason : "");
}

static void free_job(const norn_loader *loader, loader_job *job) {
    norn_free(loader->alloc, job->name);
    norn_free(loader->alloc, job);
}

static void finish_job(norn_loader *loader, const loader_job *job) {
    if (is_closing(loader)) {
        if (job->done) job->done(job->context, NORN_UNAVAILABLE, "the server is stopping");
    } else {
        const norn_status status = run_job(loader, job);
        if (job->done) job->done(job->context, status, status == NORN_OK ? "" : norn_message());
    }
    if (job->initial) atomic_fetch_sub(&loader->initial_left, 1);
}

static void *loader_main(void *context) {
    norn_loader *loader = context;
    pthread_mutex_lock(&loader->mutex);
    for (;;) {
        loader_job *job = loader->jobs;
        if (!job) {
            if (is_closing(loader)) break;
            pthread_cond_wait(&loader->wake, &loader->mutex);
            continue;
        }
        loader->jobs = job->next;
        if (!loader->jobs) loader->jobs_last = NULL;
        pthread_mutex_unlock(&loader->mutex);
        finish_job(loader, job);
        free_job(loader, job);
        pthread_mutex_lock(&loader->mutex);
    }
    loader->stopped = true;
    pthread_cond_signal(&loader->stopping);
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

static norn_status put_job(norn_loader *loader, const char *name, loader_job like) {
    loader_job *job;
    NORN_TRY(NORN_NEW(loader->alloc, &job));
    *job = like;
    job->next = NULL;
    if (norn_alloc_string(loader->alloc, name, &job->name) != NORN_OK) {
        norn_free(loader->alloc, job);
        return NORN_RESOURCE_EXHAUSTED;
    }
    if (job->initial) atomic_fetch_add(&loader->initial_left, 1);
    pthread_mutex_lock(&loader->mutex);
    if (loader->jobs_last) {
        loader->jobs_last->next = job;
    } else {
        loader->jobs = job;
    }
    loader->jobs_last = job;
    pthread_cond_signal(&loader->wake);
    pthread_mutex_unlock(&loader->mutex);
    return NORN_OK;
}

static void ask(norn_loader *loader, const char *name, bool unload, norn_loader_done_fn done,
                void *context) {
    const norn_status status =
        put_job(loader, name, (loader_job){.unload = unload, .done = done, .context = context});
    if (status != NORN_OK && done) done(context, status, norn_message());
}

void norn_loader_load(norn_loader *loader, const char *name, norn_loader_done_fn done,
                      void *context) {
    ask(loader, name, false, done, context);
}

void norn_loader_unload(norn_loader *loader, const char *name, norn_loader_done_fn done,
                        void *context) {
    ask(loader, name, true, done, context);
}

bool norn_loader_settled(const norn_loader *loader) {
    return atomic_load(&loader->initial_left) == 0;
}

// ---- life

static norn_status scan(norn_loader *loader) {
    struct dirent *item;
    norn_status status = NORN_OK;
    DIR *dir = opendir(loader->options.dir);
    if (!dir)
        return norn_fail(NORN_NOT_FOUND,
                         "repository '%s': %s; it is a folder of MODEL/VERSION/model.onnx",
                         loader->options.dir, strerror(errno));
    while (status == NORN_OK && (item = readdir(dir)) != NULL) {
        norn_model_entry *entry;
        if (!norn_loader_has_folder(loader->options.dir, item->d_name)) continue;
        status = norn_model_entry_make(&loader->models, item->d_name, loader->alloc, &entry);
        if (status == NORN_OK)
            status = put_job(loader, item->d_name, (loader_job){.initial = true});
    }
    (void)closedir(dir);
    return status;
}

norn_status norn_loader_create(const norn_loader_options *options, norn_alloc alloc,
                               norn_loader **out) {
    norn_loader *loader;
    norn_index *index;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &loader));
    loader->alloc = alloc;
    loader->options = *options;
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->wake, NULL);
    norn_condition_init(&loader->stopping);
    NORN_TRY_DONE(scan(loader));
    NORN_TRY_DONE(norn_model_entries_list(loader->models, NULL, NULL, alloc, &index));
    norn_index_destroy(norn_published_put(options->index, index));
    if (pthread_create(&loader->thread, NULL, loader_main, loader) != 0) {
        status = norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start the loader thread");
        goto done;
    }
    loader->started = true;
    *out = loader;
    return NORN_OK;
done:
    (void)norn_loader_destroy(loader);
    return status;
}

/// False: it is still at a load that takes too long (a large model, a loop that never ends).
static bool join(norn_loader *loader) {
    const int64_t until_ns = norn_clock_now_ns() + 1000000 * (int64_t)PATIENCE_MS;
    bool in_time = true;
    if (!loader->started) return true;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->stopped && in_time)
        in_time = norn_condition_wait(&loader->stopping, &loader->mutex, until_ns);
    const bool stopped = loader->stopped;
    pthread_mutex_unlock(&loader->mutex);
    if (stopped) {
        pthread_join(loader->thread, NULL);
    } else {
        norn_log(NORN_LOG_WARN, "a load was still running after %d ms; it ends with the process",
                 (int)PATIENCE_MS);
        pthread_detach(loader->thread);
    }
    return stopped;
}

bool norn_loader_destroy(norn_loader *loader) {
    if (!loader) return true;
    pthread_mutex_lock(&loader->mutex);
    atomic_store(&loader->closing, true);
    pthread_cond_signal(&loader->wake);
    pthread_mutex_unlock(&loader->mutex);
    if (!join(loader)) return false;
    norn_index_destroy(norn_published_put(loader->options.index, NULL));
    while (loader->jobs) { // the thread never ran
        loader_job *job = loader->jobs;
        loader->jobs = job->next;
        free_job(loader, job);
    }
    norn_model_entries_destroy(loader->models, loader->alloc);
    pthread_cond_destroy(&loader->stopping);
    pthread_cond_destroy(&loader->wake);
    pthread_mutex_destroy(&loader->mutex);
    norn_free(loader->alloc, loader);
    return true;
}
