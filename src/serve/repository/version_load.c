#include "serve/repository/version_load.h"

#include "base/log.h"
#include "base/memory.h"
#include "serve/model/model_version.h"
#include "serve/repository/version_folder.h"

#include <stdio.h>

static void note_failure(norn_load_outcome *outcome, const char *name, int64_t version,
                         norn_status status) {
    norn_log(NORN_LOG_ERROR, "model '%s': %s", name, norn_message());
    if (outcome->failures++ == 0) {
        outcome->version = version;
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

static void log_outcome(const char *name, const norn_load_outcome *outcome) {
    if (!outcome->servable) return;
    norn_log(NORN_LOG_INFO, "model '%s': version %lld is ready after %.3f s", name,
             (long long)outcome->version, (double)outcome->servable->stats.load_ns / 1e9);
    if (outcome->failures > 0)
        norn_log(NORN_LOG_WARN,
                 "model '%s': version %lld serves because %llu newer could not be loaded", name,
                 (long long)outcome->version, (unsigned long long)outcome->failures);
}

void norn_version_load(const norn_load_request *request, norn_load_outcome *outcome) {
    const char *name = request->name;
    char path[4096];
    norn_version_folder *folders = NULL;
    size_t count = 0;
    *outcome = (norn_load_outcome){.version = -1};
    (void)snprintf(path, sizeof path, "%s/%s", request->dir, name);
    norn_status status = norn_version_folders(path, request->alloc, &folders, &count);
    if (status == NORN_OK && count == 0)
        status = norn_fail(NORN_NOT_FOUND,
                           "no version in '%s'; put the model in a folder named by a whole number, "
                           "as 1/",
                           path);
    if (status != NORN_OK) note_failure(outcome, name, -1, status);
    for (size_t i = 0; i < count && !outcome->servable; i++) {
        if (i > 0 && (request->serving || request->cancelled(request->context))) break;
        norn_model_version *version;
        status = load_version(request, &folders[i], &version);
        if (status == NORN_OK)
            note_success(outcome, version);
        else
            note_failure(outcome, name, folders[i].version, status);
    }
    norn_free(request->alloc, folders);
    log_outcome(name, outcome);
}
