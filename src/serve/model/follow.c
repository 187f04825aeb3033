#include "serve/model/follow.h"

#include "base/log.h"
#include "package/refit.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 4096, CATCH_UP_MS = 60000 };

/// Requests from now on see the rows of `step`.
static norn_status stepped(void *context, uint64_t step, norn_dense_set *dense) {
    norn_model_version *version = context;
    norn_snapshot *snapshot;
    norn_status status;
    (void)step;
    NORN_TRY(norn_store_snapshot(version->package->store, &snapshot));
    if (dense->first) {
        norn_plan *plan;
        status = norn_package_refit(version->package, dense, &plan);
        if (status == NORN_OK) status = norn_model_version_switch(version, plan, snapshot);
        norn_plan_release(plan);
    } else {
        norn_session *session;
        norn_engine *engine = norn_engine_enter(&version->engine, &session);
        status = norn_session_set_snapshot(session, snapshot);
        norn_engine_leave(engine);
    }
    norn_snapshot_release(snapshot);
    return status;
}

/// A relative path is one in the model's folder, beside the versions: `dir` is MODEL/VERSION.
static void log_url(const norn_model_version *version, const char *dir, char url[PATH_BYTES]) {
    const char *said = version->package->config.log;
    const char *path = !said ? "log" : strncmp(said, "file:", 5) == 0 ? said + 5 : said;
    const bool other = said && path == said && strchr(said, ':');
    if (other || *path == '/')
        (void)snprintf(url, PATH_BYTES, "%s", said);
    else
        (void)snprintf(url, PATH_BYTES, "file:%.*s/%s", (int)(strrchr(dir, '/') - dir), dir, path);
}

/// What of the log is in the rows of a tier that outlives the process.
static bool find_rows_cut(const norn_package *package, norn_cut *out) {
    const norn_tier *tier = package->tier;
    *out = tier->ops->cut ? tier->ops->cut(package->tier, package->version) : (norn_cut){0};
    return out->partition_count > 0;
}

norn_status norn_model_version_follow(norn_model_version *version, const char *dir) {
    const norn_manifest *manifest = &version->package->manifest;
    const norn_servable *servable = &version->servable;
    char url[PATH_BYTES], name[256];
    if (!version->package->store) return NORN_OK;
    log_url(version, dir, url);
    (void)snprintf(name, sizeof name, "model '%s' version %lld", servable->name,
                   (long long)servable->version);
    norn_cut rows_cut;
    const bool rows_stand = find_rows_cut(version->package, &rows_cut);
    const norn_follower_options options = {.url = url,
                                           .name = name,
                                           .tier = version->package->tier,
                                           .version = version->package->version,
                                           .base = manifest->found ? manifest->base
                                                                   : (uint64_t)servable->version,
                                           .cut = manifest->is_cut ? &manifest->cut : NULL,
                                           .rows_cut = rows_stand ? &rows_cut : NULL,
                                           .stepped = stepped,
                                           .context = version};
    NORN_TRY(norn_follower_create(&options, (int64_t)CATCH_UP_MS * 1000000, version->alloc,
                                  &version->follower));
    norn_follower_stat stat;
    norn_follower_stat_of(version->follower, &stat);
    if (stat.found && !stat.error[0])
        norn_log(NORN_LOG_INFO, "%s: follows %s, from step %llu", name, url,
                 (unsigned long long)stat.applied.step);
    return NORN_OK;
}
