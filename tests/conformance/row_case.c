#include "conformance/row_case.h"

#include "base/arena.h"
#include "base/file.h"
#include "conformance/case_value.h"
#include "norn/norn.h"
#include "plan/plan.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { VALUES_MAX = 64, RUNS = 4 };
#define TOLERANCE 1e-5

typedef enum which_rows {
    FORWARDS,
    BACKWARDS,
    BOTH,   ///< one after the other
    PADDED, ///< forwards, and the last row again
} which_rows;

typedef struct row_run {
    norn_arena arena;
    norn_plan *plan;
    norn_instance *instance;
    norn_file *files[VALUES_MAX];
    norn_view in[VALUES_MAX], out[RUNS][VALUES_MAX];
    uint32_t in_count, out_count;
    bool has_rows[VALUES_MAX]; ///< by input
    int64_t rows;
} row_run;

static void say(char text[ROW_CASE_TEXT], size_t *used, const char *what) {
    int n = snprintf(text + *used, ROW_CASE_TEXT - *used, "%s", what);
    if (n > 0) *used += (size_t)n;
    if (*used >= ROW_CASE_TEXT) *used = ROW_CASE_TEXT - 1;
}

static void say_pads(const row_run *run, const norn_row_safety *rows, char text[ROW_CASE_TEXT],
                     size_t *used) {
    static const char *const names[] = {" none", " last row", " last offset"};
    say(text, used, "; pads");
    for (uint32_t i = 0; i < run->in_count; i++) say(text, used, names[rows->pads[i]]);
}

/// The verdicts; equal reasons are said once.
static void describe(const row_run *run, const norn_row_safety *rows, char text[ROW_CASE_TEXT]) {
    const struct {
        const char *name;
        const norn_row_verdict *verdict;
    } all[] = {{"join", &rows->join}, {"split", &rows->split}, {"pad", &rows->pad}};
    size_t used = 0;
    for (size_t i = 0; i < 3; i++) {
        const char *why = all[i].verdict->why, *before = i ? all[i - 1].verdict->why : NULL;
        bool again = i > 0 && why && before && strcmp(why, before) == 0;
        if (i) say(text, &used, again ? ", " : "; ");
        say(text, &used, all[i].name);
        if (all[i].verdict->allowed || again) continue;
        say(text, &used, " no: ");
        say(text, &used, why ? why : "?");
    }
    if (!rows->join.allowed && !rows->split.allowed) return;
    say(text, &used, "; rows");
    for (uint32_t i = 0; i < run->out_count; i++) {
        char number[24];
        snprintf(number, sizeof number, " %lld", (long long)rows->output_rows[i]);
        say(text, &used, number);
    }
    if (rows->pad.allowed) say_pads(run, rows, text, &used);
}

static norn_status read_inputs(row_run *run, const char *dir, const char *name) {
    for (uint32_t i = 0; i < run->in_count; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s/test_data_set_0/input_%u.pb", dir, name, i);
        NORN_TRY(norn_file_read(path, norn_alloc_heap(), &run->files[i]));
        NORN_TRY(case_value_read(norn_file_bytes(run->files[i]),
                                 norn_plan_input(run->plan, i)->dtype, &run->arena, &run->in[i]));
        const norn_shape *shape = &run->plan->program->graph->inputs[i]->shape;
        run->has_rows[i] = shape->rank > 0 && !norn_dim_is_const(shape->dims[0]);
        if (run->has_rows[i]) run->rows = run->in[i].dims[0];
    }
    return NORN_OK;
}

static norn_status give_input(row_run *run, uint32_t i, which_rows which) {
    const norn_view *in = &run->in[i];
    int64_t dims[NORN_MAX_RANK];
    size_t bytes;
    void *to;
    memcpy(dims, in->dims, sizeof dims);
    if (run->has_rows[i] && which == BOTH) dims[0] *= 2;
    if (run->has_rows[i] && which == PADDED) dims[0]++;
    NORN_TRY(norn_view_bytes(in, &bytes));
    NORN_TRY(norn_instance_input(run->instance, i, in->rank, dims, &to));
    if (bytes == 0) return NORN_OK;
    const size_t row = run->has_rows[i] ? bytes / (size_t)in->dims[0] : bytes;
    if (which != BACKWARDS || !run->has_rows[i]) memcpy(to, in->data, bytes);
    if (which == FORWARDS || !run->has_rows[i]) return NORN_OK;
    if (which == PADDED) {
        memcpy((char *)to + bytes, (const char *)in->data + bytes - row, row);
        return NORN_OK;
    }
    char *back = (char *)to + (which == BOTH ? bytes : 0);
    for (int64_t r = 0; r < in->dims[0]; r++)
        memcpy(back + (size_t)r * row, (const char *)in->data + bytes - (size_t)(r + 1) * row, row);
    return NORN_OK;
}

static norn_status run_rows(row_run *run, which_rows which) {
    for (uint32_t i = 0; i < run->in_count; i++) NORN_TRY(give_input(run, i, which));
    NORN_TRY(norn_instance_run(run->instance));
    for (uint32_t i = 0; i < run->out_count; i++) {
        const norn_view *out = norn_instance_output(run->instance, i);
        size_t bytes;
        run->out[which][i] = *out;
        NORN_TRY(norn_view_bytes(out, &bytes));
        NORN_TRY(norn_arena_take(&run->arena, bytes + 1, 1, 64, &run->out[which][i].data));
        if (bytes) memcpy(run->out[which][i].data, out->data, bytes);
    }
    return NORN_OK;
}

static bool close_enough(norn_dtype dtype, const void *a, int64_t i, const void *b, int64_t k) {
    if (dtype == NORN_STRING) {
        const norn_string *x = (const norn_string *)a + i, *y = (const norn_string *)b + k;
        return x->count == y->count && (x->count == 0 || memcmp(x->bytes, y->bytes, x->count) == 0);
    }
    if (!norn_dtype_is_float(dtype))
        return norn_element_i64(dtype, a, i) == norn_element_i64(dtype, b, k);
    const double x = norn_element_f64(dtype, a, i), y = norn_element_f64(dtype, b, k);
    return x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= TOLERANCE * (1 + fabs(y));
}

/// Elements [at, at + those of `part`) of output `i` of the run `whole` are those of the run `part`.
static norn_status same(const row_run *run, uint32_t i, which_rows whole, which_rows part,
                        int64_t at) {
    const norn_view *joined = &run->out[whole][i], *apart = &run->out[part][i];
    const int64_t count = norn_view_elems(apart);
    for (int64_t k = 0; k < count; k++)
        if (!close_enough(apart->dtype, joined->data, at + k, apart->data, k))
            return norn_fail(NORN_INTERNAL, "output %u: element %lld of a %s batch is not its own",
                             i, (long long)(at + k), whole == BOTH ? "joined" : "padded");
    return NORN_OK;
}

static norn_status compare(const row_run *run, const norn_row_safety *rows) {
    for (uint32_t i = 0; i < run->out_count; i++) {
        const norn_view *joined = &run->out[BOTH][i], *apart = &run->out[FORWARDS][i];
        const int64_t each = rows->output_rows[i], count = norn_view_elems(apart);
        if (joined->dtype == NORN_C64 || joined->dtype == NORN_C128) continue; // no such element
        if (norn_view_elems(joined) != (each ? 2 * count : count) ||
            (each && (joined->rank < 1 || joined->dims[0] != 2 * run->rows * each)))
            return norn_fail(NORN_INTERNAL, "output %u has not %lld rows a batch row", i,
                             (long long)each);
        NORN_TRY(same(run, i, BOTH, FORWARDS, 0));
        NORN_TRY(same(run, i, BOTH, BACKWARDS, each ? count : 0));
        if (rows->pad.allowed) NORN_TRY(same(run, i, PADDED, FORWARDS, 0));
    }
    return NORN_OK;
}

static norn_status check(row_run *run, const char *dir, const char *name) {
    const norn_row_safety *rows = &run->plan->program->rows;
    norn_session *session = NULL;
    const norn_session_options options = {.threads = 1};
    norn_status status;
    NORN_TRY_DONE(read_inputs(run, dir, name));
    NORN_TRY_DONE(norn_session_create(run->plan, &options, norn_alloc_heap(), &session));
    NORN_TRY_DONE(norn_instance_acquire(session, 0, &run->instance));
    for (which_rows which = FORWARDS; which <= BOTH; which++) NORN_TRY_DONE(run_rows(run, which));
    if (rows->pad.allowed) NORN_TRY_DONE(run_rows(run, PADDED));
    status = compare(run, rows);
done:
    if (run->instance) norn_instance_release(run->instance);
    norn_session_destroy(session);
    for (uint32_t i = 0; i < run->in_count; i++) norn_file_release(run->files[i]);
    return status;
}

norn_status row_case_run(const char *dir, const char *name, char text[ROW_CASE_TEXT]) {
    char path[1024];
    norn_model *model = NULL;
    const norn_compile_options options = {.device = "cpu"};
    row_run run = {0};
    norn_status status;
    text[0] = '\0';
    norn_arena_init(&run.arena, norn_alloc_heap(), 1 << 16);
    snprintf(path, sizeof path, "%s/%s/model.onnx", dir, name);
    status = norn_model_open(path, norn_alloc_heap(), &model);
    if (status == NORN_OK)
        status = norn_plan_compile(model, &options, norn_alloc_heap(), &run.plan);
    if (status != NORN_OK) {
        const char *message = norn_message(), *file = strstr(message, "model.onnx: ");
        snprintf(text, ROW_CASE_TEXT, "does not compile: %s",
                 file ? file + strlen("model.onnx: ") : message);
        status = NORN_OK;
        goto done;
    }
    run.in_count = (uint32_t)norn_plan_input_count(run.plan);
    run.out_count = (uint32_t)norn_plan_output_count(run.plan);
    describe(&run, &run.plan->program->rows, text);
    const norn_row_safety *rows = &run.plan->program->rows;
    if (rows->join.allowed || rows->split.allowed) status = check(&run, dir, name);
done:
    norn_plan_release(run.plan);
    norn_model_close(model);
    norn_arena_deinit(&run.arena);
    return status;
}
