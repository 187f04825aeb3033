#include "serve/model/model_version.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "runtime/instance.h"
#include "serve/model/follow.h"

#include <stddef.h>
#include <string.h>

// ---- compute threads

static void finish_all(norn_model_version *version, norn_request *list) {
    while (list) {
        norn_request *request = list;
        list = request->next; // `done` may free it
        norn_servable_finish(&version->servable, request);
    }
}

static void *compute_main(void *context) {
    norn_model_version *version = context;
    norn_session *session;
    for (;;) {
        norn_request *over, *batch = norn_queue_take(version->queue, &over);
        if (!batch && !over) return NULL;
        finish_all(version, over);
        if (!batch) continue;
        const int64_t begin_ns = norn_clock_now_ns();
        for (norn_request *request = batch; request; request = request->next)
            request->times.dequeue_ns = begin_ns;
        norn_engine *engine = norn_engine_enter(&version->engine, &session);
        norn_batch_run(&version->batch, session, batch);
        norn_engine_leave(engine);
        norn_queue_ran(version->queue, norn_clock_now_ns() - begin_ns);
        finish_all(version, batch);
    }
}

static void enqueue(norn_servable *servable, norn_request *request) {
    norn_model_version *version = norn_model_version_of(servable);
    norn_request *over = NULL;
    norn_status status;
    if (norn_batch_is_empty(&version->batch, request)) {
        status = norn_batch_answer_empty(&version->batch, request);
    } else {
        status = norn_queue_put(version->queue, request, &over);
        finish_all(version, over);
        if (status == NORN_OK) return;
    }
    if (status != NORN_OK) norn_request_fail(request, status);
    request->times.dequeue_ns = norn_clock_now_ns();
    norn_servable_finish(servable, request);
}

// ---- what it says of itself

static int64_t pending(const norn_servable *servable) {
    return norn_queue_pending(norn_model_version_of(servable)->queue);
}

static void tables(norn_servable *servable, norn_table_stat_fn visit, void *context) {
    norn_model_version *version = norn_model_version_of(servable);
    norn_session *session;
    norn_engine *engine = norn_engine_enter(&version->engine, &session);
    norn_table_set *set = norn_session_pin_tables(session);
    for (uint32_t t = 0; t < set->host_count; t++)
        visit(context, &(norn_table_stat){
                           .table = version->batch.plan->tables[t].name,
                           .refuses = set->host[t].view.missing == NORN_MISSING_ERROR,
                           .missing = norn_table_set_missing(set, t),
                           .late = norn_table_set_late(set, t),
                       });
    norn_table_set_release(set);
    norn_engine_leave(engine);
}

static bool follow(norn_servable *servable, norn_follower_stat *out) {
    norn_follower *follower = norn_model_version_of(servable)->follower;
    if (!follower) return false;
    norn_follower_stat_of(follower, out);
    return out->found;
}

static bool cached(norn_servable *servable, norn_cache_stat *out) {
    const norn_package *package = norn_model_version_of(servable)->package;
    if (!package->kept.tier) return false;
    *out = norn_cache_tier_stat(package->kept.tier);
    return true;
}

// ---- life

static norn_status list_ports(norn_model_version *version) {
    norn_servable *servable = &version->servable;
    const norn_plan *plan = version->package->plan;
    const norn_port **ports;
    servable->input_count = (uint32_t)norn_plan_input_count(plan);
    servable->output_count = (uint32_t)norn_plan_output_count(plan);
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, servable->input_count + 1u, &ports));
    for (uint32_t i = 0; i < servable->input_count; i++) ports[i] = norn_plan_input(plan, i);
    servable->inputs = ports;
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, servable->output_count + 1u, &ports));
    for (uint32_t i = 0; i < servable->output_count; i++) ports[i] = norn_plan_output(plan, i);
    servable->outputs = ports;
    return NORN_OK;
}

/// Which inputs are one user's, and whether there is a batch dimension that clients can see.
static norn_status learn_rows(norn_model_version *version) {
    norn_servable *servable = &version->servable;
    const norn_row_policy *rows = &version->batch.rows;
    bool *is_user;
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, servable->input_count + 1u, &is_user));
    servable->batches = rows->rows_apart;
    for (uint32_t i = 0; i < servable->input_count; i++) {
        const norn_port *port = servable->inputs[i];
        const norn_package_input *config =
            norn_package_input_find(&version->package->config, port->name);
        is_user[i] = config && config->user && rows->input_has_rows[i];
        if (!rows->input_has_rows[i] && !port->optional) servable->batches = false;
    }
    for (uint32_t i = 0; i < servable->output_count; i++)
        if (rows->output_rows[i] != 1) servable->batches = false;
    servable->joins = rows->joins;
    version->batch.input_is_user = is_user;
    norn_log(rows->promised ? NORN_LOG_WARN : NORN_LOG_INFO, "model '%s' version %lld: %s",
             servable->name, (long long)servable->version, rows->text);
    return NORN_OK;
}

static norn_status start_threads(norn_model_version *version, int32_t count) {
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, (size_t)count, &version->threads));
    for (; version->thread_count < count; version->thread_count++)
        if (pthread_create(&version->threads[version->thread_count], NULL, compute_main, version) !=
            0)
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start a compute thread");
    return NORN_OK;
}

/// Sessions of `package`'s plan and snapshot, proved to answer, for batches from now on.
static norn_status start_engine(norn_model_version *version, const norn_package *package) {
    norn_session *session;
    norn_engine *engine;
    NORN_TRY(norn_package_start(package, &version->serving, &session, version->warning));
    NORN_TRY(norn_engine_create(session, version->alloc, &engine));
    norn_engine_put(&version->engine, engine);
    return NORN_OK;
}

/// Open the package and start a session of its plan.
static norn_status open_package(norn_model_version *version, const char *dir,
                                const norn_serving_defaults *defaults) {
    const norn_servable *servable = &version->servable;
    const norn_package_options open = {.device = defaults->device,
                                       .max_batch = defaults->max_batch,
                                       .version = (uint64_t)servable->version,
                                       .keep_model = defaults->follow};
    NORN_TRY(norn_package_open(dir, &open, version->alloc, &version->package));
    norn_package *package = version->package;
    for (uint32_t i = 0; i < package->note_count; i++)
        norn_log(NORN_LOG_WARN, "model '%s' version %lld: %s", servable->name,
                 (long long)servable->version, package->notes[i]);
    NORN_TRY(norn_package_serving(package, defaults, &version->serving));
    NORN_TRY(start_engine(version, package));
    if (version->warning[0])
        norn_log(NORN_LOG_WARN, "model '%s' version %lld: %s", servable->name,
                 (long long)servable->version, version->warning);
    return NORN_OK;
}

static norn_status create_in(norn_model_version *version, const char *dir,
                             const norn_serving_defaults *defaults) {
    norn_servable *servable = &version->servable;
    const norn_serving *serving = &version->serving;
    NORN_TRY(open_package(version, dir, defaults));
    const norn_package *package = version->package;
    version->batch = (norn_batch_model){.plan = package->plan,
                                        .rows = serving->rows,
                                        .max_rows = serving->max_rows,
                                        .runs = &servable->stats.execution_count};
    servable->max_rows = serving->max_rows;
    NORN_TRY(list_ports(version));
    NORN_TRY(learn_rows(version));
    version->max_request_rows = package->config.max_request_rows > 0
                                    ? package->config.max_request_rows
                                    : NORN_REQUEST_ROWS_MAX;
    if (defaults->follow) NORN_TRY(norn_model_version_follow(version, dir));
    const norn_queue_options queue = {
        .max_rows = serving->max_rows,
        .max_delay_ns = 1000 * serving->batch_delay_us,
        .queue_limit = serving->queue_limit,
        .max_wait_ns = 1000000 * serving->max_wait_ms,
        .takers = serving->instances,
    };
    NORN_TRY(norn_queue_create(&queue, version->alloc, &version->queue));
    return start_threads(version, serving->instances);
}

/// Requests are admitted by the first plan: what it says of rows must hold for the other.
static norn_status check_rows(norn_model_version *version, const norn_plan *plan) {
    const norn_row_policy *rows = &version->batch.rows;
    norn_row_policy now;
    norn_arena arena;
    norn_arena_init(&arena, version->alloc, 4096);
    norn_status status = norn_row_policy_find(plan, &version->package->config, &arena, &now);
    if (status == NORN_OK && (now.joins != rows->joins || now.splits != rows->splits ||
                              now.rows_apart != rows->rows_apart))
        status =
            norn_fail(NORN_INVALID_ARGUMENT,
                      "with these weights %s, and not as before: publish a full version", now.text);
    norn_arena_deinit(&arena);
    return status;
}

norn_status norn_model_version_switch(norn_model_version *version, norn_plan *plan,
                                      norn_snapshot *snapshot) {
    norn_package package = *version->package; // all but plan and tables is the same
    NORN_TRY(check_rows(version, plan));
    package.plan = plan;
    package.snapshot = snapshot;
    return start_engine(version, &package);
}

static void destroy(norn_model_version *version) {
    const norn_alloc alloc = version->alloc;
    norn_follower_destroy(version->follower);
    if (version->queue) norn_queue_stop(version->queue);
    for (int32_t i = 0; i < version->thread_count; i++) pthread_join(version->threads[i], NULL);
    norn_queue_destroy(version->queue);
    norn_engine_place_deinit(&version->engine);
    norn_package_close(version->package);
    norn_arena_deinit(&version->arena);
    norn_free(alloc, version);
}

static void destroy_reaped(norn_reaped *self) {
    destroy((norn_model_version *)(void *)((char *)self - offsetof(norn_model_version, reaped)));
}

static void release(norn_servable *servable) {
    norn_model_version *version = norn_model_version_of(servable);
    if (version->reaper)
        norn_reaper_put(version->reaper, &version->reaped, destroy_reaped);
    else
        destroy(version);
}

norn_status norn_model_version_create(const char *name, int64_t number, const char *dir,
                                      const norn_serving_defaults *defaults, norn_reaper *reaper,
                                      norn_alloc alloc, norn_model_version **out) {
    static const norn_servable_calls calls = {.admit = norn_model_version_admit,
                                              .enqueue = enqueue,
                                              .release = release,
                                              .pending = pending,
                                              .tables = tables,
                                              .follow = follow,
                                              .cached = cached};
    const int64_t begin_ns = norn_clock_now_ns();
    norn_model_version *version = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &version));
    version->alloc = alloc;
    version->servable.calls = &calls;
    version->servable.references = 1;
    version->servable.version = number;
    norn_arena_init(&version->arena, alloc, 4096);
    norn_stats_init(&version->servable.stats);
    norn_engine_place_init(&version->engine);
    NORN_TRY_DONE(norn_arena_string(&version->arena, name, strlen(name), &version->servable.name));
    NORN_TRY_DONE(create_in(version, dir, defaults));
    version->servable.stats.load_ns = norn_clock_now_ns() - begin_ns;
    if (reaper) norn_reaper_expect(reaper);
    version->reaper = reaper;
    *out = version;
    return NORN_OK;
done:
    destroy(version);
    return status;
}
