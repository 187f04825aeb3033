#include "serve/repository.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/version_folder.h"
#include "serve/version_load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { REAPER_PATIENCE_MS = 10000, LOADER_PATIENCE_MS = 5000 };

typedef struct model_entry {
    char *name;
    int64_t version; ///< live, or last tried; -1: none
    norn_model_state state;
    char reason[NORN_REASON_BYTES + 128];
    uint64_t load_failures;
    norn_served *served;
    norn_failed_version failed[NORN_FAILED_VERSIONS]; ///< by the last load
    uint32_t failed_count;
    struct model_entry *next;
} model_entry;

typedef struct loader_job {
    char *name;
    bool unload;
    bool initial; ///< found at the start
    norn_repository_done_fn done;
    void *context;
    struct loader_job *next;
} loader_job;

struct norn_repository {
    norn_alloc alloc;
    char *dir;
    char *device;
    norn_serving_defaults defaults;
    norn_reaper *reaper;
    pthread_mutex_t mutex; ///< entries, jobs; never held while loading
    pthread_cond_t wake;
    model_entry *models; ///< sorted by name; entries are never removed
    loader_job *jobs, *jobs_last;
    int64_t initial_left;
    pthread_cond_t stopping; ///< `stopped`
    bool closing, started, stopped;
    pthread_t loader;
};

const char *norn_model_state_name(norn_model_state state) {
    static const char *const names[] = {"LOADING", "READY", "UNAVAILABLE"};
    return names[state];
}

// ---- entries (mutex held)

static model_entry *find_entry(const norn_repository *repository, const char *name) {
    model_entry *entry = repository->models;
    while (entry && strcmp(entry->name, name) != 0) entry = entry->next;
    return entry;
}

static norn_status add_entry(norn_repository *repository, const char *name, model_entry **out) {
    model_entry *entry, **link = &repository->models;
    *out = NULL;
    NORN_TRY(NORN_NEW(repository->alloc, &entry));
    if (norn_alloc_string(repository->alloc, name, &entry->name) != NORN_OK) {
        norn_free(repository->alloc, entry);
        return NORN_RESOURCE_EXHAUSTED;
    }
    entry->version = -1;
    while (*link && strcmp((*link)->name, name) < 0) link = &(*link)->next;
    entry->next = *link;
    *link = entry;
    *out = entry;
    return NORN_OK;
}

static norn_status entry_of(norn_repository *repository, const char *name, model_entry **out) {
    *out = find_entry(repository, name);
    return *out ? NORN_OK : add_entry(repository, name, out);
}

// ---- the folder

norn_status norn_repository_version(const char *text, int64_t *version) {
    *version = -1;
    if (!*text || norn_version_parse(text, version)) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "version '%.100s' is not a whole number", text);
}

/// Names are one path component, so that a request cannot walk out of the repository.
static bool valid_name(const char *name) {
    return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256;
}

/// Is there such a folder?
static bool in_folder(const norn_repository *repository, const char *name) {
    char path[4096];
    if (!valid_name(name)) return false;
    (void)snprintf(path, sizeof path, "%s/%s", repository->dir, name);
    return norn_path_is_dir(path);
}

static norn_status not_in_repository(const char *name) {
    return norn_fail(NORN_NOT_FOUND, "model '%.100s' is not in the repository", name);
}

// ---- loading

static bool is_closing(void *context) {
    norn_repository *repository = context;
    pthread_mutex_lock(&repository->mutex);
    const bool closing = repository->closing;
    pthread_mutex_unlock(&repository->mutex);
    return closing;
}

/// Put the outcome of a load into the entry. A failed load leaves the live
/// version serving, and says why it failed.
static void settle(norn_repository *repository, model_entry *entry,
                   const norn_load_outcome *outcome) {
    norn_served *old = NULL;
    const char *reason = outcome->message;
    pthread_mutex_lock(&repository->mutex);
    if (outcome->served || !entry->served) {
        old = entry->served;
        entry->served = outcome->served;
        entry->version = outcome->version;
    }
    entry->state = entry->served ? NORN_MODEL_READY : NORN_MODEL_UNAVAILABLE;
    if (entry->served && outcome->failures > 0)
        (void)snprintf(entry->reason, sizeof entry->reason,
                       "version %lld %s; the last load failed: %s", (long long)entry->version,
                       outcome->served ? "serves" : "still serves", reason);
    else
        (void)snprintf(entry->reason, sizeof entry->reason, "%s",
                       outcome->served ? outcome->served->warning : reason);
    memcpy(entry->failed, outcome->failed, sizeof entry->failed);
    entry->failed_count = outcome->failed_count;
    entry->load_failures += outcome->failures;
    pthread_mutex_unlock(&repository->mutex);
    if (old) norn_served_release(old); // requests in flight keep it until they are answered
}

/// The entry that a job is about. A load makes it, when the folder has the model.
static norn_status entry_of_job(norn_repository *repository, const loader_job *job,
                                model_entry **out) {
    norn_status status = NORN_OK;
    const bool there = in_folder(repository, job->name);
    pthread_mutex_lock(&repository->mutex);
    *out = find_entry(repository, job->name);
    if (!*out && !there) {
        status = not_in_repository(job->name);
    } else if (job->unload && (!*out || !(*out)->served)) {
        status = norn_fail(NORN_NOT_FOUND, "model '%s' is in the repository but not loaded%s%s",
                           job->name, *out ? ": " : "", *out ? (*out)->reason : "");
    } else if (!job->unload) {
        status = entry_of(repository, job->name, out);
        if (status == NORN_OK && !(*out)->served) (*out)->state = NORN_MODEL_LOADING;
    }
    pthread_mutex_unlock(&repository->mutex);
    return status;
}

/// What was asked for is the newest version: an older one in its place is not success.
static norn_status run_load(norn_repository *repository, const char *name, model_entry *entry) {
    norn_load_outcome outcome;
    pthread_mutex_lock(&repository->mutex);
    const bool serving = entry->served != NULL;
    pthread_mutex_unlock(&repository->mutex);
    const norn_load_request request = {.dir = repository->dir,
                                       .name = name,
                                       .serving = serving,
                                       .defaults = &repository->defaults,
                                       .alloc = repository->alloc,
                                       .cancelled = is_closing,
                                       .context = repository};
    norn_version_load(&request, &outcome);
    if (outcome.served) norn_served_reap_with(outcome.served, repository->reaper);
    settle(repository, entry, &outcome);
    if (outcome.failures == 0) return NORN_OK;
    if (!outcome.served && !serving)
        return norn_fail(outcome.status, "model '%s': %s", name, outcome.message);
    pthread_mutex_lock(&repository->mutex);
    const int64_t version = entry->version;
    pthread_mutex_unlock(&repository->mutex);
    return norn_fail(outcome.status, "model '%s': %s; version %lld serves", name, outcome.message,
                     (long long)version);
}

static void run_unload(norn_repository *repository, model_entry *entry) {
    norn_served *old;
    pthread_mutex_lock(&repository->mutex);
    old = entry->served;
    entry->served = NULL;
    entry->state = NORN_MODEL_UNAVAILABLE;
    (void)snprintf(entry->reason, sizeof entry->reason, "unloaded");
    entry->failed_count = 0;
    pthread_mutex_unlock(&repository->mutex);
    norn_served_release(old);
}

static void run_job(norn_repository *repository, const loader_job *job) {
    model_entry *entry;
    norn_status status = entry_of_job(repository, job, &entry);
    if (status == NORN_OK && job->unload) run_unload(repository, entry);
    if (status == NORN_OK && !job->unload) status = run_load(repository, job->name, entry);
    if (job->done) job->done(job->context, status, status == NORN_OK ? "" : norn_message());
}

static void free_job(norn_repository *repository, loader_job *job) {
    norn_free(repository->alloc, job->name);
    norn_free(repository->alloc, job);
}

static void *loader_main(void *context) {
    norn_repository *repository = context;
    pthread_mutex_lock(&repository->mutex);
    for (;;) {
        loader_job *job = repository->jobs;
        if (!job) {
            if (repository->closing) break;
            pthread_cond_wait(&repository->wake, &repository->mutex);
            continue;
        }
        repository->jobs = job->next;
        if (!repository->jobs) repository->jobs_last = NULL;
        const bool closing = repository->closing;
        pthread_mutex_unlock(&repository->mutex);
        if (!closing) {
            run_job(repository, job);
        } else if (job->done) {
            job->done(job->context, NORN_UNAVAILABLE, "the server is stopping");
        }
        pthread_mutex_lock(&repository->mutex);
        if (job->initial) --repository->initial_left;
        free_job(repository, job);
    }
    repository->stopped = true;
    pthread_cond_signal(&repository->stopping);
    pthread_mutex_unlock(&repository->mutex);
    return NULL;
}

static norn_status put_job(norn_repository *repository, const char *name, loader_job like) {
    loader_job *job;
    NORN_TRY(NORN_NEW(repository->alloc, &job));
    *job = like;
    job->next = NULL;
    if (norn_alloc_string(repository->alloc, name, &job->name) != NORN_OK) {
        norn_free(repository->alloc, job);
        return NORN_RESOURCE_EXHAUSTED;
    }
    pthread_mutex_lock(&repository->mutex);
    if (repository->jobs_last) {
        repository->jobs_last->next = job;
    } else {
        repository->jobs = job;
    }
    repository->jobs_last = job;
    if (job->initial) ++repository->initial_left;
    pthread_cond_signal(&repository->wake);
    pthread_mutex_unlock(&repository->mutex);
    return NORN_OK;
}

static void ask(norn_repository *repository, const char *name, bool unload,
                norn_repository_done_fn done, void *context) {
    const norn_status status =
        put_job(repository, name, (loader_job){.unload = unload, .done = done, .context = context});
    if (status != NORN_OK && done) done(context, status, norn_message());
}

void norn_repository_load(norn_repository *repository, const char *name,
                          norn_repository_done_fn done, void *context) {
    ask(repository, name, false, done, context);
}

void norn_repository_unload(norn_repository *repository, const char *name,
                            norn_repository_done_fn done, void *context) {
    ask(repository, name, true, done, context);
}

// ---- life

static norn_status scan(norn_repository *repository) {
    struct dirent *item;
    norn_status status = NORN_OK;
    DIR *dir = opendir(repository->dir);
    if (!dir)
        return norn_fail(NORN_NOT_FOUND,
                         "repository '%s': %s; it is a folder of MODEL/VERSION/model.onnx",
                         repository->dir, strerror(errno));
    while (status == NORN_OK && (item = readdir(dir)) != NULL) {
        char path[4096];
        model_entry *entry;
        (void)snprintf(path, sizeof path, "%s/%s", repository->dir, item->d_name);
        if (!valid_name(item->d_name) || !norn_path_is_dir(path)) continue;
        pthread_mutex_lock(&repository->mutex);
        status = entry_of(repository, item->d_name, &entry);
        pthread_mutex_unlock(&repository->mutex);
        if (status == NORN_OK)
            status = put_job(repository, item->d_name, (loader_job){.initial = true});
    }
    (void)closedir(dir);
    return status;
}

norn_status norn_repository_open(const char *dir, const norn_serving_defaults *defaults,
                                 norn_alloc alloc, norn_repository **out) {
    norn_repository *repository;
    pthread_condattr_t monotonic;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &repository));
    repository->alloc = alloc;
    repository->defaults = *defaults;
    pthread_mutex_init(&repository->mutex, NULL);
    pthread_cond_init(&repository->wake, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&repository->stopping, &monotonic);
    pthread_condattr_destroy(&monotonic);
    NORN_TRY_DONE(norn_alloc_string(alloc, dir, &repository->dir));
    if (defaults->device)
        NORN_TRY_DONE(norn_alloc_string(alloc, defaults->device, &repository->device));
    repository->defaults.device = repository->device;
    NORN_TRY_DONE(norn_reaper_create(alloc, &repository->reaper));
    NORN_TRY_DONE(scan(repository));
    if (pthread_create(&repository->loader, NULL, loader_main, repository) != 0) {
        status = norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start the loader thread");
        goto done;
    }
    repository->started = true;
    *out = repository;
    return NORN_OK;
done:
    norn_repository_close(repository);
    return status;
}

/// False: it is still at a load that takes too long (a large model, a loop that never ends),
/// and the repository has to be left to it.
static bool join_loader(norn_repository *repository) {
    const int64_t until_ns = norn_clock_now_ns() + 1000000 * (int64_t)LOADER_PATIENCE_MS;
    const struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};
    int timed_out = 0;
    if (!repository->started) return true;
    pthread_mutex_lock(&repository->mutex);
    while (!repository->stopped && timed_out == 0)
        timed_out = pthread_cond_timedwait(&repository->stopping, &repository->mutex, &until);
    const bool stopped = repository->stopped;
    pthread_mutex_unlock(&repository->mutex);
    if (stopped) {
        pthread_join(repository->loader, NULL);
    } else {
        norn_log(NORN_LOG_WARN, "a load was still running after %d ms; it ends with the process",
                 (int)LOADER_PATIENCE_MS);
        pthread_detach(repository->loader);
    }
    return stopped;
}

void norn_repository_close(norn_repository *repository) {
    if (!repository) return;
    pthread_mutex_lock(&repository->mutex);
    repository->closing = true;
    pthread_cond_signal(&repository->wake);
    pthread_mutex_unlock(&repository->mutex);
    if (!join_loader(repository)) return;
    while (repository->jobs) {
        loader_job *job = repository->jobs;
        repository->jobs = job->next;
        free_job(repository, job);
    }
    while (repository->models) {
        model_entry *entry = repository->models;
        repository->models = entry->next;
        if (entry->served) norn_served_release(entry->served);
        norn_free(repository->alloc, entry->name);
        norn_free(repository->alloc, entry);
    }
    norn_reaper_destroy(repository->reaper, REAPER_PATIENCE_MS);
    pthread_cond_destroy(&repository->stopping);
    pthread_cond_destroy(&repository->wake);
    pthread_mutex_destroy(&repository->mutex);
    norn_free(repository->alloc, repository->dir);
    norn_free(repository->alloc, repository->device);
    norn_free(repository->alloc, repository);
}

bool norn_repository_settled(norn_repository *repository) {
    pthread_mutex_lock(&repository->mutex);
    const bool settled = repository->initial_left == 0;
    pthread_mutex_unlock(&repository->mutex);
    return settled;
}

/// A model that no load was ever asked for.
static norn_status no_entry(const norn_repository *repository, const char *name) {
    if (!in_folder(repository, name)) return not_in_repository(name);
    return norn_fail(NORN_UNAVAILABLE,
                     "model '%s' is in the repository but was not loaded, because it came after "
                     "the start; load it, or start the server again",
                     name);
}

/// A version that is not the live one.
static norn_status other_version(const model_entry *entry, int64_t version) {
    for (uint32_t i = 0; i < entry->failed_count; i++)
        if (entry->failed[i].version == version)
            return norn_fail(NORN_UNAVAILABLE, "model '%s' is not loaded: %s", entry->name,
                             entry->failed[i].reason);
    return norn_fail(NORN_NOT_FOUND, "model '%s': version %lld is not loaded, version %lld is",
                     entry->name, (long long)version, (long long)entry->served->version);
}

norn_status norn_repository_get(norn_repository *repository, const char *name, int64_t version,
                                norn_served **out) {
    norn_status status = NORN_OK;
    *out = NULL;
    pthread_mutex_lock(&repository->mutex);
    const model_entry *entry = find_entry(repository, name);
    if (!entry) {
        pthread_mutex_unlock(&repository->mutex); // it looks at the folder
        return no_entry(repository, name);
    }
    if (!entry->served && entry->state == NORN_MODEL_LOADING) {
        status = norn_fail(NORN_UNAVAILABLE, "model '%s' is still loading", name);
    } else if (!entry->served) {
        status = norn_fail(NORN_UNAVAILABLE, "model '%s' is not loaded: %s", name, entry->reason);
    } else if (version >= 0 && entry->served->version != version) {
        status = other_version(entry, version);
    } else {
        *out = norn_served_retain(entry->served);
    }
    pthread_mutex_unlock(&repository->mutex);
    return status;
}

bool norn_repository_knows(norn_repository *repository, const char *name, bool *ready) {
    pthread_mutex_lock(&repository->mutex);
    const model_entry *entry = find_entry(repository, name);
    *ready = entry && entry->served;
    pthread_mutex_unlock(&repository->mutex);
    return entry != NULL;
}

/// The live version, or the model itself while it has none; then those that failed.
static void visit_entry(const model_entry *entry, norn_repository_visit_fn visit, void *context) {
    norn_repository_entry row = {.name = entry->name,
                                 .version = entry->version,
                                 .state = entry->state,
                                 .reason = entry->reason,
                                 .served = entry->served,
                                 .load_failures = entry->load_failures,
                                 .failed = !entry->served && entry->failed_count > 0,
                                 .first = true};
    visit(context, &row);
    for (uint32_t i = 0; i < entry->failed_count; i++) {
        if (entry->failed[i].version == entry->version) continue; // said above
        visit(context, &(norn_repository_entry){.name = entry->name,
                                                .version = entry->failed[i].version,
                                                .state = NORN_MODEL_UNAVAILABLE,
                                                .reason = entry->failed[i].reason,
                                                .failed = true});
    }
}

void norn_repository_visit(norn_repository *repository, norn_repository_visit_fn visit,
                           void *context) {
    pthread_mutex_lock(&repository->mutex);
    for (const model_entry *entry = repository->models; entry; entry = entry->next)
        visit_entry(entry, visit, context);
    pthread_mutex_unlock(&repository->mutex);
}

norn_reaper_stat norn_repository_reaped(norn_repository *repository) {
    return norn_reaper_stat_of(repository->reaper);
}
