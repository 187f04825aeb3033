#include "norn/session.h"
#include "base/condition.h"
#include "base/memory.h"
#include "runtime/instance.h"
#include "tensor/dtype.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct norn_session {
    norn_alloc alloc;
    norn_resident *resident;
    norn_instance **instances;
    int32_t count;
    pthread_mutex_t lock; ///< of the free list and the tables' pointer; held for a few instructions
    pthread_cond_t freed;
    norn_instance *free;
    int32_t free_count;
    norn_table_set *tables;
};

static norn_status init_lock(norn_session *session) {
    pthread_mutex_init(&session->lock, NULL);
    norn_condition_init(&session->freed);
    return NORN_OK;
}

/// Threads of one instance: said, or the cores shared out.
static int32_t threads_of(const norn_session_options *options) {
    if (options->threads > 0) return options->threads;
    int32_t share = norn_core_count() / options->instances;
    return share > 0 ? share : 1;
}

static norn_status check_options(const norn_session_options *options) {
    if (options->instances < 0 || options->instances > 4096 || options->threads < 0 ||
        options->max_memory_bytes < 0)
        return norn_fail(
            NORN_INVALID_ARGUMENT,
            "a session of %d instance%s with %d thread%s and %lld byte%s each cannot be",
            options->instances, norn_plural(options->instances), options->threads,
            norn_plural(options->threads), (long long)options->max_memory_bytes,
            norn_plural(options->max_memory_bytes));
    return NORN_OK;
}

norn_status norn_session_create_on(norn_resident *resident, const norn_session_options *given,
                                   norn_alloc alloc, norn_session **out) {
    norn_session_options options = given ? *given : (norn_session_options){0};
    norn_session *session = NULL;
    norn_status status;
    *out = NULL;
    NORN_TRY(check_options(&options));
    if (options.instances == 0) options.instances = 1;
    options.threads = threads_of(&options);
    NORN_TRY(NORN_NEW(alloc, &session));
    session->alloc = alloc;
    session->resident = norn_resident_retain(resident);
    NORN_TRY_DONE(init_lock(session));
    NORN_TRY_DONE(norn_table_set_create(resident, options.snapshot, NULL, alloc, &session->tables));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, (size_t)options.instances, &session->instances));
    for (int32_t i = 0; i < options.instances; i++) {
        NORN_TRY_DONE(
            norn_instance_create(session, resident, &options, alloc, &session->instances[i]));
        session->instances[i]->next = session->free;
        session->free = session->instances[i];
        session->free_count = ++session->count;
    }
    *out = session;
    session = NULL;
done:
    norn_session_destroy(session);
    return status;
}

norn_status norn_session_create(norn_plan *plan, const norn_session_options *options,
                                norn_alloc alloc, norn_session **out) {
    norn_resident *resident;
    *out = NULL;
    if (options) NORN_TRY(check_options(options)); // before anything is uploaded
    NORN_TRY(norn_resident_share(plan, &resident));
    const norn_status status = norn_session_create_on(resident, options, alloc, out);
    norn_resident_release(resident);
    return status;
}

void norn_session_destroy(norn_session *session) {
    if (!session) return;
    pthread_mutex_lock(&session->lock);
    while (session->free_count < session->count) pthread_cond_wait(&session->freed, &session->lock);
    pthread_mutex_unlock(&session->lock);
    for (int32_t i = 0; i < session->count; i++) norn_instance_destroy(session->instances[i]);
    norn_free(session->alloc, session->instances);
    norn_table_set_release(session->tables);
    norn_resident_release(session->resident);
    pthread_cond_destroy(&session->freed);
    pthread_mutex_destroy(&session->lock);
    norn_free(session->alloc, session);
}

norn_status norn_session_set_snapshot(norn_session *session, norn_snapshot *snapshot) {
    norn_table_set *set, *before = norn_session_pin_tables(session);
    const norn_status status =
        norn_table_set_create(session->resident, snapshot, before, session->alloc, &set);
    norn_table_set_release(before);
    NORN_TRY(status);
    pthread_mutex_lock(&session->lock);
    norn_table_set *old = session->tables;
    session->tables = set;
    pthread_mutex_unlock(&session->lock);
    norn_table_set_release(old);
    return NORN_OK;
}

norn_table_set *norn_session_pin_tables(norn_session *session) {
    pthread_mutex_lock(&session->lock);
    norn_table_set *set = norn_table_set_retain(session->tables);
    pthread_mutex_unlock(&session->lock);
    return set;
}

norn_status norn_instance_acquire(norn_session *session, int64_t deadline_ns, norn_instance **out) {
    const int64_t until_ns = deadline_ns == 0 ? INT64_MAX : deadline_ns;
    bool in_time = true;
    *out = NULL;
    pthread_mutex_lock(&session->lock);
    while (!session->free && in_time)
        in_time = norn_condition_wait(&session->freed, &session->lock, until_ns);
    norn_instance *instance = session->free;
    if (instance) {
        session->free = instance->next;
        session->free_count--;
    }
    pthread_mutex_unlock(&session->lock);
    if (!instance)
        return norn_fail(NORN_DEADLINE_EXCEEDED,
                         "the deadline passed before one of %d instance%s was free", session->count,
                         norn_plural(session->count));
    norn_instance_clear(instance);
    *out = instance;
    return NORN_OK;
}

void norn_instance_release(norn_instance *instance) {
    norn_session *session = instance->session;
    norn_instance_settle(instance);
    pthread_mutex_lock(&session->lock);
    instance->next = session->free;
    session->free = instance;
    session->free_count++;
    // Broadcast: norn_session_destroy may wait beside those who want an instance.
    pthread_cond_broadcast(&session->freed);
    pthread_mutex_unlock(&session->lock);
}

// ---- run: in from the caller's memory, out to it

/// Kernels may assume that elements are aligned; a caller's need not be, and then they are copied.
static norn_status take_inputs(norn_instance *instance, const norn_view *inputs) {
    for (uint32_t i = 0; i < instance->plan->graph->input_count; i++) {
        const norn_port *port = &instance->plan->inputs[i];
        norn_view view = inputs[i];
        size_t bytes;
        if (!norn_view_present(&view) && norn_instance_fall_back(instance, i)) continue;
        if (view.row_stride != 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': it must be dense", port->name);
        if (view.rank < 0 || view.rank > NORN_MAX_RANK)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': it has %d dim%s", port->name,
                             view.rank, norn_plural(view.rank));
        norn_status status = norn_view_bytes(&view, &bytes);
        if (status != NORN_OK) {
            norn_note("input '%s'", port->name);
            return status;
        }
        if (bytes && !view.data)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': it has no data", port->name);
        uint32_t element = norn_dtype_bits(view.dtype) / 8;
        if (element > 8) element = 8;
        if (bytes && element > 1 && (uintptr_t)view.data % element != 0 &&
            view.dtype == port->dtype) {
            void *aligned;
            NORN_TRY(norn_instance_input(instance, i, view.rank, view.dims, &aligned));
            view.data = memcpy(aligned, view.data, bytes);
        }
        instance->given[i] = view;
    }
    return NORN_OK;
}

static norn_status write_outputs(const norn_instance *instance, const norn_run_args *args) {
    size_t count = instance->plan->graph->output_count;
    for (size_t i = 0; i < count; i++) { // look before writing: outputs are all written or none
        size_t bytes;
        NORN_TRY(norn_view_bytes(&instance->answers[i], &bytes));
        if (bytes > args->output_bytes[i] || (bytes && !args->outputs[i].data))
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "output '%s': it needs %zu byte%s, there is room for %zu",
                             instance->plan->outputs[i].name, bytes, norn_plural(bytes),
                             args->outputs[i].data ? args->output_bytes[i] : 0);
    }
    for (size_t i = 0; i < count; i++) {
        void *to = args->outputs[i].data;
        size_t bytes;
        NORN_TRY(norn_view_bytes(&instance->answers[i], &bytes));
        if (bytes) memcpy(to, instance->answers[i].data, bytes);
        args->outputs[i] = instance->answers[i];
        args->outputs[i].data = to;
    }
    return NORN_OK;
}

norn_status norn_session_run(norn_session *session, const norn_run_args *args) {
    norn_instance *instance;
    NORN_TRY(norn_instance_acquire(session, args->deadline_ns, &instance));
    norn_status status = take_inputs(instance, args->inputs);
    if (status == NORN_OK) {
        norn_table_set *tables = norn_session_pin_tables(session);
        status = norn_instance_execute(instance, instance->given, tables);
        norn_table_set_release(tables);
    }
    if (status == NORN_OK) status = write_outputs(instance, args);
    norn_instance_release(instance);
    return status;
}
