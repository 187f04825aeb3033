#include "serve/served.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "serve/run_batch.h"
#include "tensor/dtype.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

int32_t norn_served_input_find(const norn_served *served, const char *name) {
    const size_t count = norn_plan_input_count(served->plan);
    for (size_t i = 0; i < count; i++)
        if (strcmp(norn_plan_input(served->plan, i)->name, name) == 0) return (int32_t)i;
    return -1;
}

int32_t norn_served_output_find(const norn_served *served, const char *name) {
    const size_t count = norn_plan_output_count(served->plan);
    for (size_t i = 0; i < count; i++)
        if (strcmp(norn_plan_output(served->plan, i)->name, name) == 0) return (int32_t)i;
    return -1;
}

// ---- compute threads

static void finish(norn_served *served, norn_infer *infer) {
    infer->times.done_ns = norn_clock_now_ns();
    norn_stats_count(&served->stats, infer);
    infer->done(infer);
}

static void finish_all(norn_served *served, norn_infer *list) {
    while (list) {
        norn_infer *infer = list;
        list = infer->next; // `done` may free it
        finish(served, infer);
    }
}

static void *compute_main(void *context) {
    norn_served *served = context;
    for (;;) {
        norn_infer *over, *batch = norn_batcher_take(served->batcher, &over);
        if (!batch && !over) return NULL;
        finish_all(served, over);
        if (!batch) continue;
        const int64_t begin_ns = norn_clock_now_ns();
        for (norn_infer *infer = batch; infer; infer = infer->next)
            infer->times.dequeue_ns = begin_ns;
        norn_run_batch(served, batch);
        norn_batcher_ran(served->batcher, norn_clock_now_ns() - begin_ns);
        finish_all(served, batch);
    }
}

void norn_served_submit(norn_served *served, norn_infer *infer) {
    norn_infer *over = NULL;
    norn_status status;
    if (norn_run_is_empty(served, infer)) {
        status = norn_run_empty(served, infer);
    } else {
        status = norn_batcher_put(served->batcher, infer, &over);
        finish_all(served, over);
        if (status == NORN_OK) return;
    }
    if (status != NORN_OK) norn_infer_fail(infer, status);
    infer->times.dequeue_ns = norn_clock_now_ns();
    finish(served, infer);
}

// ---- life

static norn_status learn_ports(norn_served *served) {
    const size_t inputs = norn_plan_input_count(served->plan),
                 outputs = norn_plan_output_count(served->plan);
    NORN_TRY(NORN_TAKE_ARRAY(&served->arena, inputs + 1, &served->input_is_user));
    served->batches = served->rows.rows_apart;
    for (size_t i = 0; i < inputs; i++) {
        const norn_port *port = norn_plan_input(served->plan, i);
        const norn_package_input *config =
            norn_package_input_find(&served->package->config, port->name);
        served->input_is_user[i] = config && config->user && served->rows.input_has_rows[i];
        if (!served->rows.input_has_rows[i] && !port->optional) served->batches = false;
    }
    for (size_t i = 0; i < outputs; i++)
        if (served->rows.output_rows[i] != 1) served->batches = false;
    norn_log(served->rows.promised ? NORN_LOG_WARN : NORN_LOG_INFO, "model '%s' version %lld: %s",
             served->name, (long long)served->version, served->rows.text);
    return NORN_OK;
}

static norn_status start_threads(norn_served *served, int32_t count) {
    NORN_TRY(NORN_TAKE_ARRAY(&served->arena, (size_t)count, &served->threads));
    for (; served->thread_count < count; served->thread_count++)
        if (pthread_create(&served->threads[served->thread_count], NULL, compute_main, served) != 0)
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start a compute thread");
    return NORN_OK;
}

static norn_status create_in(norn_served *served, const char *dir,
                             const norn_serving_defaults *defaults) {
    const norn_package_options open = {.device = defaults->device,
                                       .max_batch = defaults->max_batch};
    NORN_TRY(norn_package_open(dir, &open, served->alloc, &served->package));
    norn_package *package = served->package;
    served->plan = package->plan;
    for (uint32_t i = 0; i < package->note_count; i++)
        norn_log(NORN_LOG_WARN, "model '%s' version %lld: %s", served->name,
                 (long long)served->version, package->notes[i]);
    norn_serving serving;
    NORN_TRY(norn_package_serving(package, defaults, &serving));
    served->rows = serving.rows;
    NORN_TRY(norn_package_start(package, &serving, &served->session, served->warning));
    if (served->warning[0])
        norn_log(NORN_LOG_WARN, "model '%s' version %lld: %s", served->name,
                 (long long)served->version, served->warning);
    NORN_TRY(learn_ports(served));
    served->max_rows = serving.max_rows;
    served->max_request_rows = package->config.max_request_rows > 0
                                   ? package->config.max_request_rows
                                   : NORN_REQUEST_ROWS_MAX;
    const norn_batcher_options batching = {
        .max_rows = serving.max_rows,
        .max_delay_ns = 1000 * serving.batch_delay_us,
        .queue_limit = serving.queue_limit,
        .max_wait_ns = 1000000 * serving.max_wait_ms,
        .takers = serving.instances,
    };
    NORN_TRY(norn_batcher_create(&batching, served->alloc, &served->batcher));
    return start_threads(served, serving.instances);
}

static void destroy(norn_served *served) {
    const norn_alloc alloc = served->alloc;
    if (served->batcher) norn_batcher_stop(served->batcher);
    for (int32_t i = 0; i < served->thread_count; i++) pthread_join(served->threads[i], NULL);
    norn_batcher_destroy(served->batcher);
    norn_session_destroy(served->session);
    norn_package_close(served->package);
    norn_arena_deinit(&served->arena);
    norn_free(alloc, served);
}

norn_status norn_served_create(const char *name, int64_t version, const char *dir,
                               const norn_serving_defaults *defaults, norn_alloc alloc,
                               norn_served **out) {
    const int64_t begin_ns = norn_clock_now_ns();
    norn_served *served = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &served));
    served->alloc = alloc;
    served->references = 1;
    served->version = version;
    norn_arena_init(&served->arena, alloc, 4096);
    norn_stats_init(&served->stats);
    NORN_TRY_DONE(norn_arena_string(&served->arena, name, strlen(name), &served->name));
    NORN_TRY_DONE(create_in(served, dir, defaults));
    served->stats.load_ns = norn_clock_now_ns() - begin_ns;
    *out = served;
    return NORN_OK;
done:
    destroy(served);
    return status;
}

norn_served *norn_served_retain(norn_served *served) {
    atomic_fetch_add_explicit(&served->references, 1, memory_order_relaxed);
    return served;
}

void norn_served_reap_with(norn_served *served, norn_reaper *reaper) {
    norn_reaper_expect(reaper);
    served->reaper = reaper;
}

static void destroy_reaped(norn_reaped *self) {
    destroy((norn_served *)(void *)((char *)self - offsetof(norn_served, reaped)));
}

void norn_served_release(norn_served *served) {
    if (atomic_fetch_sub_explicit(&served->references, 1, memory_order_acq_rel) != 1) return;
    if (served->reaper)
        norn_reaper_put(served->reaper, &served->reaped, destroy_reaped);
    else
        destroy(served);
}
