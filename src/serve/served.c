#include "serve/served.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "graph/graph.h"
#include "serve/run_batch.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

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
        const int64_t now_ns = norn_clock_now_ns();
        for (norn_infer *infer = batch; infer; infer = infer->next)
            infer->times.dequeue_ns = now_ns;
        if (batch) norn_run_batch(served, batch);
        finish_all(served, over);
        finish_all(served, batch);
    }
}

void norn_served_submit(norn_served *served, norn_infer *infer) {
    const norn_status status = norn_batcher_put(served->batcher, infer);
    if (status == NORN_OK) return;
    norn_infer_fail(infer, status);
    infer->times.dequeue_ns = norn_clock_now_ns();
    finish(served, infer);
}

// ---- life

/// A setting that is lost in silence is worse than one that is refused.
static void warn_of_ignored(const norn_served *served, const char *dir) {
    char path[NORN_PACKAGE_PATH];
    const char *instead = norn_package_ignored(dir, path);
    if (instead) norn_log(NORN_LOG_WARN, "model '%s': %s %s", served->name, path, instead);
}

static norn_status load_plan(norn_served *served, const char *dir,
                             const norn_served_defaults *defaults) {
    char path[4096];
    norn_model *model = NULL;
    norn_status status = NORN_OK;
    (void)snprintf(path, sizeof path, "%s/model.norn", dir);
    if (norn_path_is_file(path)) {
        char config_path[4096];
        norn_file *file = NULL;
        (void)snprintf(config_path, sizeof config_path, "%s/norn.json", dir);
        if (norn_path_is_file(config_path)) {
            NORN_TRY(norn_file_read(config_path, served->alloc, &file));
            status = norn_package_parse(config_path, norn_file_bytes(file), &served->arena,
                                        &served->config);
            norn_file_release(file);
            NORN_TRY(status);
        }
        return norn_plan_load(path, served->alloc, &served->plan);
    }
    NORN_TRY(norn_model_open(dir, served->alloc, &model));
    if (model->config) {
        (void)snprintf(path, sizeof path, "%s/norn.json", dir);
        NORN_TRY_DONE(norn_package_parse(path, norn_span_text(model->config), &served->arena,
                                         &served->config));
    }
    norn_compile_options options = {
        // the rest of norn.json is read by the compiler itself
        .device = served->config.device ? served->config.device : defaults->device,
        .max_batch = served->config.max_batch ? served->config.max_batch : defaults->max_batch,
    };
    NORN_TRY_DONE(norn_plan_compile(model, &options, served->alloc, &served->plan));
done:
    norn_model_close(model);
    return status;
}

/// Does dim 0 of the port follow the batch; and is any other dim the batch too (then nothing can be
/// joined)?
static bool port_has_batch(const norn_port *port, const char *batch, bool *elsewhere) {
    for (int32_t d = 1; d < port->rank; d++)
        if (batch && port->dim_names[d] && strcmp(port->dim_names[d], batch) == 0)
            *elsewhere = true;
    return batch && port->rank > 0 && port->dims[0] < 0 && port->dim_names[0] &&
           strcmp(port->dim_names[0], batch) == 0;
}

static norn_status need_tensor(const norn_port *port, const char *what) {
    if (!norn_dtype_holds_tensors(port->dtype)) return NORN_OK;
    return norn_fail(NORN_UNIMPLEMENTED, "%s '%s' is a %s, which the protocol has no form for",
                     what, port->name, norn_dtype_name(port->dtype));
}

static norn_status learn_ports(norn_served *served) {
    const char *batch = norn_plan_batch_symbol(served->plan);
    const size_t inputs = norn_plan_input_count(served->plan),
                 outputs = norn_plan_output_count(served->plan);
    bool elsewhere = false;
    NORN_TRY(NORN_TAKE_ARRAY(&served->arena, inputs, &served->input_is_user));
    NORN_TRY(NORN_TAKE_ARRAY(&served->arena, inputs, &served->input_has_batch));
    NORN_TRY(NORN_TAKE_ARRAY(&served->arena, outputs, &served->output_has_batch));
    served->batches = batch != NULL;
    for (size_t i = 0; i < inputs; i++) {
        const norn_port *port = norn_plan_input(served->plan, i);
        const norn_package_input *config = norn_package_input_find(&served->config, port->name);
        NORN_TRY(need_tensor(port, "input"));
        served->input_has_batch[i] = port_has_batch(port, batch, &elsewhere);
        served->input_is_user[i] = config && config->user && served->input_has_batch[i];
        if (!served->input_has_batch[i]) served->batches = false;
    }
    for (size_t i = 0; i < outputs; i++) {
        NORN_TRY(need_tensor(norn_plan_output(served->plan, i), "output"));
        served->output_has_batch[i] =
            port_has_batch(norn_plan_output(served->plan, i), batch, &elsewhere);
        if (!served->output_has_batch[i]) served->batches = false;
    }
    if (elsewhere) served->batches = false;
    for (uint32_t i = 0; i < served->config.input_count; i++)
        if (norn_served_input_find(served, served->config.inputs[i].name) < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "norn.json: the model has no input '%s'",
                             served->config.inputs[i].name);
    return NORN_OK;
}

static norn_status start_threads(norn_served *served, int32_t count) {
    NORN_TRY(NORN_TAKE_ARRAY(&served->arena, (size_t)count, &served->threads));
    for (; served->thread_count < count; served->thread_count++)
        if (pthread_create(&served->threads[served->thread_count], NULL, compute_main, served) != 0)
            return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start a compute thread");
    return NORN_OK;
}

/// One run on zeros (key 0 of every table) so that the first request finds code and memory warm.
static norn_status warm_up(norn_served *served) {
    norn_instance *instance = NULL;
    norn_status status;
    NORN_TRY(norn_instance_acquire(served->session, 0, &instance));
    for (size_t i = 0; i < norn_plan_input_count(served->plan); i++) {
        norn_view view = {.dtype = norn_plan_input(served->plan, i)->dtype,
                          .rank = norn_plan_input(served->plan, i)->rank};
        void *data;
        size_t bytes;
        if (view.dtype == NORN_STRING) {
            status = norn_fail(NORN_UNIMPLEMENTED,
                               "input '%s' is of strings, which this server does not take",
                               norn_plan_input(served->plan, i)->name);
            goto done;
        }
        for (int32_t d = 0; d < view.rank; d++) {
            const int64_t dim = norn_plan_input(served->plan, i)->dims[d];
            view.dims[d] = dim < 0 ? 1 : dim;
        }
        NORN_TRY_DONE(norn_instance_input(instance, i, view.rank, view.dims, &data));
        NORN_TRY_DONE(norn_view_bytes(&view, &bytes));
        if (bytes) memset(data, 0, bytes);
    }
    NORN_TRY_DONE(norn_instance_run(instance));
done:
    norn_instance_release(instance);
    return status;
}

/// The folder tables/ of the package, when there is one.
static norn_status open_tables(norn_served *served, const char *dir) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/tables", dir);
    if (!norn_path_is_dir(path)) return NORN_OK;
    NORN_TRY(norn_store_create(served->alloc, &served->store));
    NORN_TRY(norn_store_open_dir(served->store, path));
    return norn_store_snapshot(served->store, &served->snapshot);
}

static norn_status create_in(norn_served *served, const char *dir,
                             const norn_served_defaults *defaults) {
    const norn_package_config *config = &served->config;
    warn_of_ignored(served, dir);
    NORN_TRY(load_plan(served, dir, defaults));
    NORN_TRY(learn_ports(served));
    NORN_TRY(open_tables(served, dir));
    const int32_t instances = config->instances     ? config->instances
                              : defaults->instances ? defaults->instances
                                                    : 1;
    const norn_session_options session = {
        .instances = instances,
        .threads = config->threads ? config->threads : defaults->threads,
        .snapshot = served->snapshot,
        .max_memory_bytes =
            config->max_memory_bytes ? config->max_memory_bytes : defaults->max_memory_bytes,
    };
    NORN_TRY(norn_session_create(served->plan, &session, served->alloc, &served->session));
    const int64_t plan_max = norn_plan_max_batch(served->plan);
    served->max_rows = config->batch_rows > 0 ? config->batch_rows : plan_max > 0 ? plan_max : 1;
    const norn_batcher_options batching = {
        .max_rows = served->max_rows,
        .max_delay_ns = 1000 * (config->batch_delay_us >= 0 ? config->batch_delay_us
                                                            : defaults->batch_delay_us),
        .queue_limit = config->queue_limit > 0     ? config->queue_limit
                       : defaults->queue_limit > 0 ? defaults->queue_limit
                                                   : 4096,
    };
    NORN_TRY(norn_batcher_create(&batching, served->alloc, &served->batcher));
    if (config->warmup && warm_up(served) != NORN_OK)
        norn_log(NORN_LOG_WARN, "model '%s' version %lld: warm-up failed: %s", served->name,
                 (long long)served->version, norn_message());
    return start_threads(served, instances);
}

static void destroy(norn_served *served) {
    const norn_alloc alloc = served->alloc;
    if (served->batcher) norn_batcher_stop(served->batcher);
    for (int32_t i = 0; i < served->thread_count; i++) pthread_join(served->threads[i], NULL);
    norn_batcher_destroy(served->batcher);
    norn_session_destroy(served->session);
    if (served->snapshot) norn_snapshot_release(served->snapshot);
    norn_store_destroy(served->store);
    norn_plan_release(served->plan);
    norn_arena_deinit(&served->arena);
    norn_free(alloc, served);
}

norn_status norn_served_create(const char *name, int64_t version, const char *dir,
                               const norn_served_defaults *defaults, norn_alloc alloc,
                               norn_served **out) {
    const int64_t begin_ns = norn_clock_now_ns();
    norn_served *served = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &served));
    served->alloc = alloc;
    served->references = 1;
    served->version = version;
    served->config = (norn_package_config){
        .batch_rows = -1, .batch_delay_us = -1, .queue_limit = -1, .warmup = true};
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
