#include "package/package_ready.h"

#include "base/memory.h"
#include "runtime/random_input.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

static int64_t first_of(int64_t said, int64_t otherwise, int64_t last) {
    return said > 0 ? said : otherwise > 0 ? otherwise : last;
}

norn_status norn_package_serving(norn_package *package, const norn_serving_defaults *defaults,
                                 norn_serving *out) {
    const norn_package_config *config = &package->config;
    *out = (norn_serving){
        .instances = (int32_t)first_of(config->instances, defaults->instances, 1),
        .threads = config->threads ? config->threads : defaults->threads,
        .max_rows = first_of(config->batch_rows, norn_plan_max_batch(package->plan), 1),
        .batch_delay_us =
            config->batch_delay_us >= 0 ? config->batch_delay_us : defaults->batch_delay_us,
        .queue_limit = first_of(config->queue_limit, defaults->queue_limit, 4096),
        .max_wait_ms = config->max_wait_ms >= 0
                           ? config->max_wait_ms
                           : first_of(0, defaults->max_wait_ms, NORN_SERVING_WAIT_MS),
        .max_memory_bytes =
            config->max_memory_bytes ? config->max_memory_bytes : defaults->max_memory_bytes,
        .warm_up = config->warmup,
    };
    return norn_row_policy_find(package->plan, config, &package->arena, &out->rows);
}

// ---- types

/// Can a request carry it? STRING has a name in the protocol and no elements here.
static norn_status check_port(const norn_port *port, const char *what) {
    if (port->dtype == NORN_STRING)
        return norn_fail(NORN_UNIMPLEMENTED,
                         "%s '%s' is of strings, which this server does not take", what,
                         port->name);
    if (port->dtype == NORN_DTYPE_NONE)
        return norn_fail(NORN_UNIMPLEMENTED, "%s '%s' has no known type, so no request can name it",
                         what, port->name);
    if (norn_dtype_holds_tensors(port->dtype))
        return norn_fail(NORN_UNIMPLEMENTED, "%s '%s' is a %s, which the protocol has no form for",
                         what, port->name, norn_dtype_name(port->dtype));
    if (strcmp(norn_dtype_kserve_name(port->dtype), "NONE") == 0)
        return norn_fail(NORN_UNIMPLEMENTED, "%s '%s' is %s, for which the protocol has no name",
                         what, port->name, norn_dtype_name(port->dtype));
    return NORN_OK;
}

static norn_status check_ports(const norn_plan *plan) {
    for (size_t i = 0; i < norn_plan_input_count(plan); i++)
        NORN_TRY(check_port(norn_plan_input(plan, i), "input"));
    for (size_t i = 0; i < norn_plan_output_count(plan); i++)
        NORN_TRY(check_port(norn_plan_output(plan, i), "output"));
    return NORN_OK;
}

// ---- warm-up

/// Zeros of the smallest shape: key 0 of every table.
static norn_status make_zeros(const norn_plan *plan, size_t index, norn_arena *arena,
                              norn_view *out) {
    const norn_port *port = norn_plan_input(plan, index);
    size_t bytes;
    *out = (norn_view){.dtype = port->dtype, .rank = port->rank < 0 ? 0 : port->rank};
    for (int32_t d = 0; d < out->rank; d++) out->dims[d] = port->dims[d] < 0 ? 1 : port->dims[d];
    NORN_TRY(norn_view_bytes(out, &bytes));
    return norn_arena_take(arena, bytes + 1, 1, NORN_HOST_ALIGN, &out->data);
}

/// Inputs of `rows` rows: random ones of sizes that `instance` was seen
/// to take; of ZEROS rows: one, of zeros.
enum { ZEROS = 0 };
static norn_status make_inputs(const norn_package *package, norn_instance *instance, int64_t rows,
                               norn_arena *arena, norn_view **out) {
    const norn_plan *plan = package->plan;
    const norn_random_inputs random = {.batch = rows, .seed = 1, .search_ns = 1000000000};
    const size_t count = norn_plan_input_count(plan);
    int64_t *symbols = NULL;
    NORN_TRY(NORN_TAKE_ARRAY(arena, count + 1, out));
    if (rows != ZEROS)
        NORN_TRY(norn_random_find(instance, package->snapshot, &random, NULL, arena, &symbols));
    for (size_t i = 0; i < count; i++)
        NORN_TRY(rows == ZEROS ? make_zeros(plan, i, arena, &(*out)[i])
                               : norn_random_fill(plan, package->snapshot, symbols, i, random.seed,
                                                  arena, &(*out)[i]));
    return NORN_OK;
}

static norn_status run_on(norn_instance *instance, size_t count, const norn_view *inputs) {
    for (size_t i = 0; i < count; i++) {
        void *to;
        size_t bytes;
        NORN_TRY(norn_instance_input(instance, i, inputs[i].rank, inputs[i].dims, &to));
        NORN_TRY(norn_view_bytes(&inputs[i], &bytes));
        if (bytes) memcpy(to, inputs[i].data, bytes);
    }
    return norn_instance_run(instance);
}

/// One run on every instance, so that the first requests find code and memory warm.
static norn_status run_all(const norn_package *package, norn_session *session, int32_t instances,
                           int64_t rows) {
    const size_t count = norn_plan_input_count(package->plan);
    norn_instance **taken = NULL;
    norn_view *inputs;
    norn_arena arena;
    norn_status status;
    int32_t have = 0;
    norn_arena_init(&arena, package->alloc, 4096);
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&arena, (size_t)instances, &taken));
    for (; have < instances; have++) NORN_TRY_DONE(norn_instance_acquire(session, 0, &taken[have]));
    NORN_TRY_DONE(make_inputs(package, taken[0], rows, &arena, &inputs));
    // Finding them has run them on the first.
    for (int32_t i = rows == ZEROS ? 0 : 1; i < instances; i++)
        NORN_TRY_DONE(run_on(taken[i], count, inputs));
done:
    while (have > 0) norn_instance_release(taken[--have]);
    norn_arena_deinit(&arena);
    return status;
}

/// Can it matter what was made up? Whole numbers index, cut and shape; free dimensions may have to
/// fit each other. Without either, one run is as good as any other.
static bool inputs_can_be_wrong(const norn_plan *plan) {
    const char *batch = norn_plan_batch_symbol(plan);
    for (size_t i = 0; i < norn_plan_input_count(plan); i++) {
        const norn_port *port = norn_plan_input(plan, i);
        if (port->rank < 0 || !norn_dtype_is_float(port->dtype)) return true;
        for (int32_t d = 0; d < port->rank; d++)
            if (port->dims[d] < 0 &&
                (!batch || !port->dim_names[d] || strcmp(port->dim_names[d], batch) != 0))
                return true;
    }
    return false;
}

static bool is_about_values(norn_status status) {
    return status == NORN_INVALID_ARGUMENT || status == NORN_OUT_OF_RANGE;
}

/// A model that was exported for one row may say that it takes any number:
/// each request of more would fail.
static void try_two_rows(const norn_package *package, norn_session *session, char warning[512]) {
    if (!norn_plan_batch_symbol(package->plan)) return;
    if (run_all(package, session, 1, 2) == NORN_OK) return;
    (void)snprintf(warning, 512, "it runs with one row and not with two: %s", norn_message());
}

static norn_status warm_up(const norn_package *package, norn_session *session, int32_t instances,
                           char warning[512]) {
    norn_status status = run_all(package, session, instances, 1);
    if (status == NORN_OK) {
        try_two_rows(package, session, warning);
        return NORN_OK;
    }
    if (is_about_values(status)) {
        (void)snprintf(warning, 512, "a run on made-up inputs failed: %s", norn_message());
        status = run_all(package, session, instances, ZEROS);
        if (status == NORN_OK) *warning = 0;
    }
    if (is_about_values(status) && inputs_can_be_wrong(package->plan)) return NORN_OK;
    if (status != NORN_OK) norn_note("it cannot run");
    return status;
}

norn_status norn_package_start(const norn_package *package, const norn_serving *serving,
                               norn_session **out, char warning[512]) {
    norn_session *session;
    *out = NULL;
    *warning = 0;
    NORN_TRY(check_ports(package->plan));
    const norn_session_options options = {.instances = serving->instances,
                                          .threads = serving->threads,
                                          .snapshot = package->snapshot,
                                          .max_memory_bytes = serving->max_memory_bytes};
    NORN_TRY(norn_session_create(package->plan, &options, package->alloc, &session));
    if (serving->warm_up) {
        const norn_status status = warm_up(package, session, serving->instances, warning);
        if (status != NORN_OK) {
            norn_session_destroy(session);
            return status;
        }
    }
    *out = session;
    return NORN_OK;
}
