#include "serve/run_batch.h"

#include "base/checked.h"
#include "base/clock.h"
#include "runtime/instance.h"
#include "tensor/view.h"

#include <string.h>

/// Rows [begin, begin + count) of one request: what a batch is made of.
typedef struct batch_slice {
    norn_infer *infer;
    int64_t begin, count;
} batch_slice;

/// What one run is made of. Alone and whole, a request needs no rows to be told apart.
typedef struct batch_run {
    norn_served *served;
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
    const norn_view *view = &slice->infer->inputs[input].view,
                    *first = &run->slices[0].infer->inputs[input].view;
    bool fits = view->dtype == first->dtype && view->rank == first->rank && view->rank > 0 &&
                slice->begin >= 0 && slice->count >= 0 &&
                slice->count <= slice->infer->rows - slice->begin &&
                (view->dims[0] == slice->infer->rows ||
                 (view->dims[0] == 1 && run->served->input_is_user[input]));
    for (int32_t d = 1; d < view->rank && fits; d++) fits = view->dims[d] == first->dims[d];
    if (fits) return NORN_OK;
    return norn_fail(NORN_INTERNAL, "input '%s': a request of another shape is in the batch",
                     slice->infer->inputs[input].name);
}

static norn_status copy_rows(const batch_run *run, uint32_t input, uint8_t *to) {
    for (int64_t s = 0; s < run->slice_count; s++) {
        const batch_slice *slice = &run->slices[s];
        const norn_view *view = &slice->infer->inputs[input].view;
        const uint8_t *from = view->data;
        size_t bytes;
        NORN_TRY(check_slice(run, input, slice));
        if (slice->count == 0 || norn_view_elems(view) == 0) continue;
        NORN_TRY(bytes_a_row(view, view->dims[0], &bytes));
        if (view->dims[0] == 1 && slice->infer->rows != 1) { // one user, many items
            for (int64_t row = 0; row < slice->count; row++, to += bytes) memcpy(to, from, bytes);
        } else {
            memcpy(to, from + (size_t)slice->begin * bytes, (size_t)slice->count * bytes);
            to += (size_t)slice->count * bytes;
        }
    }
    return NORN_OK;
}

static norn_status copy_input(const batch_run *run, uint32_t input) {
    const norn_view *first = &run->slices[0].infer->inputs[input].view;
    int64_t dims[NORN_MAX_RANK];
    size_t bytes;
    void *to;
    memcpy(dims, first->dims, sizeof dims);
    if (run->served->rows.input_has_rows[input]) dims[0] = run->rows;
    NORN_TRY(norn_instance_input(run->instance, input, first->rank, dims, &to));
    if (run->served->rows.input_has_rows[input]) return copy_rows(run, input, to);
    if (run->slice_count != 1 && !norn_plan_input(run->served->plan, input)->optional)
        return norn_fail(NORN_INTERNAL, "input '%s' has no rows, yet requests were joined",
                         run->slices[0].infer->inputs[input].name);
    NORN_TRY(norn_view_bytes(first, &bytes));
    if (bytes) memcpy(to, first->data, bytes);
    return NORN_OK;
}

/// Room for a whole output of a request, of `rows` in dim 0 where it has rows.
static norn_status size_output(norn_infer *infer, norn_infer_output *output,
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
    NORN_TRY(norn_infer_hold(infer, bytes));
    return norn_arena_take(&infer->arena, bytes ? bytes : 1, 1, 64, &output->view.data);
}

static norn_status copy_whole(norn_infer *infer, norn_infer_output *output,
                              const norn_view *produced) {
    size_t bytes;
    NORN_TRY(size_output(infer, output, produced, -1));
    NORN_TRY(norn_view_bytes(produced, &bytes));
    if (bytes) memcpy(output->view.data, produced->data, bytes);
    return NORN_OK;
}

/// Rows [first_row, + slice->count) of the batch are rows of this request's output.
static norn_status copy_output(const batch_run *run, const batch_slice *slice, int64_t first_row,
                               norn_infer_output *output) {
    const norn_view *produced = norn_instance_rows(run->instance, output->port);
    const int64_t each = run->served->rows.output_rows[output->port];
    norn_infer *infer = slice->infer;
    int64_t expected, rows;
    size_t bytes;
    if (run->whole || each == 0) return copy_whole(infer, output, produced);
    if (!norn_i64_mul(run->rows, each, &expected) || !norn_i64_mul(infer->rows, each, &rows) ||
        produced->rank < 1 || produced->dims[0] != expected)
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "output '%s' has %lld entries for a batch of %lld rows, which cannot be "
                         "told apart; set batching.join and batching.split to \"never\"",
                         output->name, produced->rank < 1 ? 1LL : (long long)produced->dims[0],
                         (long long)run->rows);
    NORN_TRY(size_output(infer, output, produced, rows));
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
        norn_infer *infer = run->slices[s].infer;
        for (uint32_t o = 0; o < infer->output_count; o++)
            NORN_TRY(copy_output(run, &run->slices[s], first_row, &infer->outputs[o]));
        first_row += run->slices[s].count;
    }
    return NORN_OK;
}

/// All pieces are there: now the dims that this request's own rows leave at 1 go.
static void squeeze_outputs(const norn_served *served, norn_infer *infer) {
    for (uint32_t o = 0; o < infer->output_count; o++)
        if (served->plan->outputs[infer->outputs[o].port].squeezed)
            norn_view_squeeze(&infer->outputs[o].view);
}

// ---- running

/// One execution: copy in, run, copy out; the phases are added to every request of the batch.
static norn_status run_slices(norn_served *served, norn_instance *instance,
                              const batch_slice *slices, int64_t slice_count) {
    batch_run run = {served, instance,
                     slices, slice_count,
                     0,      slice_count == 1 && slices[0].count == slices[0].infer->rows};
    const int64_t begin_ns = norn_clock_now_ns();
    for (int64_t s = 0; s < slice_count; s++)
        if (!norn_i64_add(run.rows, slices[s].count, &run.rows))
            return norn_fail(NORN_INVALID_ARGUMENT, "the batch has more rows than can be counted");
    for (uint32_t i = 0; i < slices[0].infer->input_count; i++) NORN_TRY(copy_input(&run, i));
    const int64_t input_ns = norn_clock_now_ns();
    NORN_TRY(norn_instance_run(instance));
    const int64_t run_ns = norn_clock_now_ns();
    NORN_TRY(copy_outputs(&run));
    const int64_t output_ns = norn_clock_now_ns();
    const norn_run_phases phases = norn_instance_phases(instance);
    for (int64_t s = 0; s < slice_count; s++) {
        norn_infer_times *times = &slices[s].infer->times;
        times->input_ns += input_ns - begin_ns + phases.input_ns;
        times->compute_ns += run_ns - input_ns - phases.input_ns - phases.output_ns;
        times->output_ns += output_ns - run_ns + phases.output_ns;
    }
    atomic_fetch_add_explicit(&served->stats.execution_count, 1, memory_order_relaxed);
    return NORN_OK;
}

/// A request alone, in pieces of max_rows when it is larger and may be cut; what is left is not run
/// for a client that has gone.
static void run_alone(norn_served *served, norn_instance *instance, norn_infer *infer) {
    int64_t begin = 0;
    do {
        const int64_t left = infer->rows - begin;
        const bool split = served->rows.splits && left > served->max_rows;
        const batch_slice slice = {infer, begin, split ? served->max_rows : left};
        if (norn_infer_is_over(infer, norn_clock_now_ns())) return;
        const norn_status status = run_slices(served, instance, &slice, 1);
        if (status != NORN_OK) {
            norn_infer_fail(infer, status);
            return;
        }
        begin += slice.count;
    } while (begin < infer->rows);
}

/// What a failed run may have left in its requests.
static void forget_results(const batch_slice *slices, int64_t count) {
    for (int64_t s = 0; s < count; s++) {
        norn_infer *infer = slices[s].infer;
        infer->times.input_ns = infer->times.compute_ns = infer->times.output_ns = 0;
        for (uint32_t o = 0; o < infer->output_count; o++) infer->outputs[o].view.data = NULL;
    }
}

/// Together; where that fails, each half by itself, and so on: one bad request
/// among n costs 2 log n runs and fails alone.
static void run_joined(norn_served *served, norn_instance *instance, batch_slice *slices,
                       int64_t count) {
    if (count == 1) {
        run_alone(served, instance, slices[0].infer);
        return;
    }
    if (run_slices(served, instance, slices, count) == NORN_OK) return;
    forget_results(slices, count);
    const int64_t half = count / 2;
    run_joined(served, instance, slices, half);
    run_joined(served, instance, slices + half, count - half);
}

void norn_run_batch(norn_served *served, norn_infer *batch) {
    batch_slice slices[NORN_BATCH_REQUESTS_MAX];
    norn_instance *instance = NULL;
    const norn_status status = norn_instance_acquire(served->session, 0, &instance);
    if (status != NORN_OK) {
        for (norn_infer *infer = batch; infer; infer = infer->next) norn_infer_fail(infer, status);
        return;
    }
    while (batch) {
        int64_t count = 0;
        for (; batch && count < NORN_BATCH_REQUESTS_MAX; batch = batch->next)
            slices[count++] = (batch_slice){batch, 0, batch->rows};
        run_joined(served, instance, slices, count);
        for (int64_t s = 0; s < count; s++) squeeze_outputs(served, slices[s].infer);
    }
    norn_instance_release(instance);
}

// ---- nothing to run

bool norn_run_is_empty(const norn_served *served, const norn_infer *infer) {
    if (infer->rows != 0 || (!served->rows.joins && !served->rows.splits)) return false;
    for (uint32_t o = 0; o < infer->output_count; o++)
        if (served->rows.output_rows[infer->outputs[o].port] == 0) return false;
    return true;
}

norn_status norn_run_empty(const norn_served *served, norn_infer *infer) {
    for (uint32_t o = 0; o < infer->output_count; o++) {
        norn_infer_output *output = &infer->outputs[o];
        const norn_value *value = served->plan->graph->outputs[output->port].value;
        norn_view view = {.dtype = value->dtype};
        norn_shape_at(&value->shape, infer->symbols, &view.rank, view.dims);
        for (int32_t d = 0; d < view.rank; d++)
            if (view.dims[d] < 0) view.dims[d] = 0; // known only from rows that there are not
        NORN_TRY(size_output(infer, output, &view, 0));
    }
    squeeze_outputs(served, infer);
    return NORN_OK;
}
