#include "serve/repository/version_load.h"

#include "base/log.h"
#include "base/memory.h"
#include "package/version_folder.h"
#include "serve/model/model_version.h"

#include <stdio.h>

void norn_version_note_failure(norn_load_outcome *outcome, const char *name, int64_t version,
                               norn_status status) {
    norn_log(NORN_LOG_ERROR, "model '%s': %s", name, norn_message());
    if (outcome->failures++ == 0) {
        if (!outcome->servable) outcome->version = version;
        outcome->status = status;
        (void)snprintf(outcome->message, sizeof outcome->message, "%s", norn_message());
    }
    if (version < 0 || outcome->failed_count == NORN_FAILED_VERSIONS) return;
    norn_failed_version *failed = &outcome->failed[outcome->failed_count++];
    failed->version = version;
    (void)snprintf(failed->reason, sizeof failed->reason, "%s", norn_message());
}

static void note_success(norn_load_outcome *outcome, norn_model_version *version) {
    outcome->servable = &version->servable;
    outcome->version = version->servable.version;
    if (outcome->failures == 0)
        (void)snprintf(outcome->message, sizeof outcome->message, "%s", version->warning);
}

static norn_status load_version(const norn_load_request *request, const norn_version_folder *folder,
                                norn_model_version **version) {
    const char *name = request->name;
    char path[4096];
    *version = NULL;
    if (folder->ambiguous)
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "version %lld: folders '%s' and '%s' are the same version; keep one, "
                         "named '%lld'",
                         (long long)folder->version, folder->name, folder->other,
                         (long long)folder->version);
    if (folder->other[0])
        norn_log(NORN_LOG_WARN,
                 "model '%s': folders '%s' and '%s' are the same version; '%s' is it", name,
                 folder->name, folder->other, folder->name);
    (void)snprintf(path, sizeof path, "%s/%s/%s", request->dir, name, folder->name);
    norn_log(NORN_LOG_INFO, "model '%s': loading version %lld", name, (long long)folder->version);
    const norn_status status = norn_model_version_create(
        name, folder->version, path, request->defaults, request->reaper, request->alloc, version);
    if (status != NORN_OK) norn_note("version %lld", (long long)folder->version);
    return status;
}

static void log_ready(const char *name, const norn_servable *servable) {
    norn_log(NORN_LOG_INFO, "model '%s': version %lld is ready after %.3f s", name,
             (long long)servable->version, (double)servable->stats.load_ns / 1e9);
}

/// A version that a label names and no folder holds.
static norn_status no_folder(const char *path, int64_t version) {
    return norn_fail(NORN_NOT_FOUND, "labels.json names version %lld, but there is no '%s/%lld'",
                     (long long)version, path, (long long)version);
}

/// The newest folder that is no newer than `version`; `count` where there is none.
static size_t seek(const norn_version_folder *folders, size_t count, int64_t version) {
    size_t i = 0;
    while (i < count && folders[i].version > version) i++;
    return i;
}

static norn_status find_folders(const norn_load_request *request, char path[4096],
                                norn_version_folder **folders, size_t *count) {
    *folders = NULL;
    *count = 0;
    (void)snprintf(path, 4096, "%s/%s", request->dir, request->name);
    NORN_TRY(norn_version_folders(path, request->alloc, folders, count));
    if (*count > 0) return NORN_OK;
    return norn_fail(NORN_NOT_FOUND,
                     "no version in '%s'; put the model in a folder named by a whole number, as 1/",
                     path);
}

void norn_version_load(const norn_load_request *request, norn_load_outcome *outcome) {
    const char *name = request->name;
    char path[4096];
    norn_version_folder *folders;
    size_t count, i = 0;
    norn_status status = find_folders(request, path, &folders, &count);
    if (status != NORN_OK) norn_version_note_failure(outcome, name, -1, status);
    if (count && request->first >= 0) {
        i = seek(folders, count, request->first);
        if (i == count || folders[i].version != request->first) {
            status = no_folder(path, request->first);
            norn_version_note_failure(outcome, name, request->first, status);
            if (request->serving) i = count;
        }
    }
    for (; i < count && !outcome->servable; i++) {
        if (outcome->failures > 0 && (request->serving || request->cancelled(request->context)))
            break;
        norn_model_version *version;
        status = load_version(request, &folders[i], &version);
        if (status == NORN_OK)
            note_success(outcome, version);
        else
            norn_version_note_failure(outcome, name, folders[i].version, status);
    }
    norn_free(request->alloc, folders);
    if (!outcome->servable) return;
    log_ready(name, outcome->servable);
    if (outcome->failures > 0)
        norn_log(NORN_LOG_WARN,
                 "model '%s': version %lld serves because %llu newer could not be loaded", name,
                 (long long)outcome->version, (unsigned long long)outcome->failures);
}

norn_servable *norn_version_load_one(const norn_load_request *request, int64_t number,
                                     norn_load_outcome *outcome) {
    char path[4096];
    norn_version_folder *folders;
    norn_model_version *version = NULL;
    size_t count;
    norn_status status = find_folders(request, path, &folders, &count);
    const size_t i = seek(folders, count, number);
    const bool there = i < count && folders[i].version == number;
    if (status == NORN_OK)
        status = there ? load_version(request, &folders[i], &version) : no_folder(path, number);
    norn_free(request->alloc, folders);
    if (status != NORN_OK) {
        norn_version_note_failure(outcome, request->name, number, status);
        return NULL;
    }
    log_ready(request->name, &version->servable);
    return &version->servable;
}
