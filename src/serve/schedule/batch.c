#include "serve/schedule/batch.h"

#include "base/checked.h"
#include "base/clock.h"
#include "runtime/instance.h"
#include "serve/schedule/queue.h"
#include "tensor/view.h"

#include <string.h>

/// Rows [begin, begin + count) of one request: what a batch is made of.
typedef struct batch_slice {
    norn_request *request;
    int64_t begin, count;
} batch_slice;

/// What one run is made of. Alone and whole, a request needs no rows to be told apart.
typedef struct batch_run {
    const norn_batch_model *model;
    norn_instance *instance;
    const batch_slice *slices;
    int64_t slice_count, rows;
    bool whole;
} batch_run;

// ---- copying

/// Bytes of one of `rows` equal parts of a view.
static norn_status bytes_a_row(const norn_view *view, int64_t rows, size_t *out) {
    size_t bytes;
    NORN_TRY(norn_view_bytes(view, &bytes));
    if (rows < 1 || bytes % (uint64_t)rows != 0)
        return norn_fail(NORN_INTERNAL, "%zu bytes are not those of %lld rows", bytes,
                         (long long)rows);
    *out = bytes / (uint64_t)rows;
    return NORN_OK;
}

/// The queue joins equal shapes only; here, where bytes are copied by the size of the first
/// request, it is made sure of.
static norn_status check_slice(const batch_run *run, uint32_t input, const batch_slice *slice) {
    const norn_view *view = &slice->request->inputs[input].view,
                    *first = &run->slices[0].request->inputs[input].view;
    bool fits = view->dtype == first->dtype && view->rank == first->rank && view->rank > 0 &&
                slice->begin >= 0 && slice->count >= 0 &&
                slice->count <= slice->request->rows - slice->begin &&
                (view->dims[0] == slice->request->rows ||
                 (view->dims[0] == 1 && run->model->input_is_user[input]));
    for (int32_t d = 1; d < view->rank && fits; d++) fits = view->dims[d] == first->dims[d];
    if (fits) return NORN_OK;
    return norn_fail(NORN_INTERNAL, "input '%s': a request of another shape is in the batch",
                     slice->request->inputs[input].name);
}

static norn_status copy_rows(const batch_run *run, uint32_t input, uint8_t *to) {
    for (int64_t s = 0; s < run->slice_count; s++) {
        const batch_slice *slice = &run->slices[s];
        const norn_view *view = &slice->request->inputs[input].view;
        const uint8_t *from = view->data;
        size_t bytes;
        NORN_TRY(check_slice(run, input, slice));
        if (slice->count == 0 || norn_view_elems(view) == 0) continue;
        NORN_TRY(bytes_a_row(view, view->dims[0], &bytes));
        if (view->dims[0] == 1 && slice->request->rows != 1) { // one user, many items
            for (int64_t row = 0; row < slice->count; row++, to += bytes) memcpy(to, from, bytes);
        } else {
            memcpy(to, from + (size_t)slice->begin * bytes, (size_t)slice->count * bytes);
            to += (size_t)slice->count * bytes;
        }
    }
    return NORN_OK;
}

static norn_status copy_input(const batch_run *run, uint32_t input) {
    const norn_view *first = &run->slices[0].request->inputs[input].view;
    int64_t dims[NORN_MAX_RANK];
    size_t bytes;
    void *to;
    memcpy(dims, first->dims, sizeof dims);
    if (run->model->rows.input_has_rows[input]) dims[0] = run->rows;
    NORN_TRY(norn_instance_input(run->instance, input, first->rank, dims, &to));
    if (run->model->rows.input_has_rows[input]) return copy_rows(run, input, to);
    if (run->slice_count != 1 && !norn_plan_input(run->model->plan, input)->optional)
        return norn_fail(NORN_INTERNAL, "input '%s' has no rows, yet requests were joined",
                         run->slices[0].request->inputs[input].name);
    NORN_TRY(norn_view_bytes(first, &bytes));
    if (bytes) memcpy(to, first->data, bytes);
    return NORN_OK;
}

/// Room for a whole output of a request, of `rows` in dim 0 where it has rows.
static norn_status size_output(norn_request *request, norn_request_output *output,
                               const norn_view *produced, int64_t rows) {
    size_t bytes;
    if (output->view.data) { // a later piece of the same request
        bool same = output->view.rank == produced->rank && output->view.dtype == produced->dtype;
        for (int32_t d = 1; d < produced->rank && same; d++)
            same = output->view.dims[d] == produced->dims[d];
        if (same) return NORN_OK;
        return norn_fail(NORN_INTERNAL, "output '%s': its pieces have different shapes",
                         output->name);
    }
    output->view = *produced;
    output->view.row_stride = 0;
    output->view.data = NULL;
    if (rows >= 0) output->view.dims[0] = rows;
    NORN_TRY(norn_view_bytes(&output->view, &bytes));
    NORN_TRY(norn_request_hold(request, bytes));
    return norn_arena_take(&request->arena, bytes ? bytes : 1, 1, 64, &output->view.data);
}

static norn_status copy_whole(norn_request *request, norn_request_output *output,
                              const norn_view *produced) {
    size_t bytes;
    NORN_TRY(size_output(request, output, produced, -1));
    NORN_TRY(norn_view_bytes(produced, &bytes));
    if (bytes) memcpy(output->view.data, produced->data, bytes);
    return NORN_OK;
}

/// Rows [first_row, + slice->count) of the batch are rows of this request's output.
static norn_status copy_output(const batch_run *run, const batch_slice *slice, int64_t first_row,
                               norn_request_output *output) {
    const norn_view *produced = norn_instance_rows(run->instance, output->port);
    const int64_t each = run->model->rows.output_rows[output->port];
    norn_request *request = slice->request;
    int64_t expected, rows;
    size_t bytes;
    if (run->whole || each == 0) return copy_whole(request, output, produced);
    if (!norn_i64_mul(run->rows, each, &expected) || !norn_i64_mul(request->rows, each, &rows) ||
        produced->rank < 1 || produced->dims[0] != expected)
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "output '%s' has %lld entries for a batch of %lld row%s, which cannot be "
                         "told apart; set batching.join and batching.split to \"never\"",
                         output->name, produced->rank < 1 ? 1LL : (long long)produced->dims[0],
                         (long long)run->rows, norn_plural(run->rows));
    NORN_TRY(size_output(request, output, produced, rows));
    if (run->rows == 0) return NORN_OK;
    NORN_TRY(bytes_a_row(produced, run->rows, &bytes));
    if (bytes && slice->count)
        memcpy((uint8_t *)output->view.data + (size_t)slice->begin * bytes,
               (const uint8_t *)produced->data + (size_t)first_row * bytes,
               (size_t)slice->count * bytes);
    return NORN_OK;
}

static norn_status copy_outputs(const batch_run *run) {
    int64_t first_row = 0;
    for (int64_t s = 0; s < run->slice_count; s++) {
        norn_request *request = run->slices[s].request;
        for (uint32_t o = 0; o < request->output_count; o++)
            NORN_TRY(copy_output(run, &run->slices[s], first_row, &request->outputs[o]));
        first_row += run->slices[s].count;
    }
    return NORN_OK;
}

/// All pieces are there: now the dims that this request's own rows leave at 1 go.
static void squeeze_outputs(const norn_batch_model *model, norn_request *request) {
    for (uint32_t o = 0; o < request->output_count; o++)
        if (model->plan->outputs[request->outputs[o].port].squeezed)
            norn_view_squeeze(&request->outputs[o].view);
}

// ---- running

/// One execution: copy in, run, copy out; the phases are added to every request of the batch.
static norn_status run_slices(const norn_batch_model *model, norn_instance *instance,
                              const batch_slice *slices, int64_t slice_count) {
    batch_run run = {model,  instance,
                     slices, slice_count,
                     0,      slice_count == 1 && slices[0].count == slices[0].request->rows};
    const int64_t begin_ns = norn_clock_now_ns();
    for (int64_t s = 0; s < slice_count; s++)
        if (!norn_i64_add(run.rows, slices[s].count, &run.rows))
            return norn_fail(NORN_INVALID_ARGUMENT, "the batch has more rows than can be counted");
    for (uint32_t i = 0; i < slices[0].request->input_count; i++) NORN_TRY(copy_input(&run, i));
    const int64_t input_ns = norn_clock_now_ns();
    NORN_TRY(norn_instance_run(instance));
    const int64_t run_ns = norn_clock_now_ns();
    NORN_TRY(copy_outputs(&run));
    const int64_t output_ns = norn_clock_now_ns();
    const norn_run_phases phases = norn_instance_phases(instance);
    for (int64_t s = 0; s < slice_count; s++) {
        norn_request_times *times = &slices[s].request->times;
        times->input_ns += input_ns - begin_ns + phases.input_ns;
        times->compute_ns += run_ns - input_ns - phases.input_ns - phases.output_ns;
        times->output_ns += output_ns - run_ns + phases.output_ns;
    }
    atomic_fetch_add_explicit(model->runs, 1, memory_order_relaxed);
    return NORN_OK;
}

/// A request alone, in pieces of max_rows when it is larger and may be cut; what is left is not run
/// for a client that has gone.
static void run_alone(const norn_batch_model *model, norn_instance *instance,
                      norn_request *request) {
    int64_t begin = 0;
    do {
        const int64_t left = request->rows - begin;
        const bool split = model->rows.splits && left > model->max_rows;
        const batch_slice slice = {request, begin, split ? model->max_rows : left};
        if (norn_request_is_over(request, norn_clock_now_ns())) return;
        const norn_status status = run_slices(model, instance, &slice, 1);
        if (status != NORN_OK) {
            norn_request_fail(request, status);
            return;
        }
        begin += slice.count;
    } while (begin < request->rows);
}

/// What a failed run may have left in its requests.
static void forget_results(const batch_slice *slices, int64_t count) {
    for (int64_t s = 0; s < count; s++) {
        norn_request *request = slices[s].request;
        request->times.input_ns = request->times.compute_ns = request->times.output_ns = 0;
        for (uint32_t o = 0; o < request->output_count; o++) request->outputs[o].view.data = NULL;
    }
}

/// Together; where that fails, each half by itself, and so on: one bad request
/// among n costs 2 log n runs and fails alone.
static void run_joined(const norn_batch_model *model, norn_instance *instance, batch_slice *slices,
                       int64_t count) {
    if (count == 1) {
        run_alone(model, instance, slices[0].request);
        return;
    }
    if (run_slices(model, instance, slices, count) == NORN_OK) return;
    forget_results(slices, count);
    const int64_t half = count / 2;
    run_joined(model, instance, slices, half);
    run_joined(model, instance, slices + half, count - half);
}

void norn_batch_run(const norn_batch_model *model, norn_session *session, norn_request *batch) {
    batch_slice slices[NORN_BATCH_REQUESTS_MAX];
    norn_instance *instance = NULL;
    const norn_status status = norn_instance_acquire(session, 0, &instance);
    if (status != NORN_OK) {
        for (norn_request *request = batch; request; request = request->next)
            norn_request_fail(request, status);
        return;
    }
    while (batch) {
        int64_t count = 0;
        for (; batch && count < NORN_BATCH_REQUESTS_MAX; batch = batch->next)
            slices[count++] = (batch_slice){batch, 0, batch->rows};
        run_joined(model, instance, slices, count);
        for (int64_t s = 0; s < count; s++) squeeze_outputs(model, slices[s].request);
    }
    norn_instance_release(instance);
}

// ---- nothing to run

bool norn_batch_is_empty(const norn_batch_model *model, const norn_request *request) {
    if (request->rows != 0 || (!model->rows.joins && !model->rows.splits)) return false;
    for (uint32_t o = 0; o < request->output_count; o++)
        if (model->rows.output_rows[request->outputs[o].port] == 0) return false;
    return true;
}

norn_status norn_batch_answer_empty(const norn_batch_model *model, norn_request *request) {
    for (uint32_t o = 0; o < request->output_count; o++) {
        norn_request_output *output = &request->outputs[o];
        const norn_value *value = model->plan->graph->outputs[output->port].value;
        norn_view view = {.dtype = value->dtype};
        norn_shape_at(&value->shape, request->symbols, &view.rank, view.dims);
        for (int32_t d = 0; d < view.rank; d++)
            if (view.dims[d] < 0) view.dims[d] = 0; // known only from rows that there are not
        NORN_TRY(size_output(request, output, &view, 0));
    }
    squeeze_outputs(model, request);
    return NORN_OK;
}
