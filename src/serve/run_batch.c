#include "serve/run_batch.h"

#include "base/clock.h"
#include "tensor/view.h"

#include <string.h>

/// Rows [begin, begin + count) of one request: what a batch is made of.
typedef struct batch_slice {
    norn_infer *infer;
    int64_t begin, count;
} batch_slice;

/// Bytes of one row of a view whose dim 0 is the batch.
static size_t row_bytes(const norn_view *view) {
    norn_view row = *view;
    size_t bytes = 0;
    if (row.rank > 0) row.dims[0] = 1;
    return norn_view_bytes(&row, &bytes) == NORN_OK ? bytes : 0; // admission has checked sizes
}

static norn_status copy_input(const norn_served *served, norn_instance *instance, uint32_t index,
                              const batch_slice *slices, int64_t slice_count, int64_t rows) {
    const norn_view *first = &slices[0].infer->inputs[index].view;
    int64_t dims[NORN_MAX_RANK];
    uint8_t *to;
    memcpy(dims, first->dims, sizeof dims);
    if (served->input_has_batch[index]) dims[0] = rows;
    NORN_TRY(norn_instance_input(instance, index, first->rank, dims, (void **)&to));
    if (!served->input_has_batch[index]) {
        size_t bytes;
        NORN_TRY(norn_view_bytes(first, &bytes));
        if (bytes) memcpy(to, first->data, bytes);
        return NORN_OK;
    }
    const size_t bytes = row_bytes(first);
    for (int64_t s = 0; s < slice_count; s++) {
        const batch_slice *slice = &slices[s];
        const norn_view *view = &slice->infer->inputs[index].view;
        const uint8_t *from = view->data;
        const bool repeat = view->dims[0] == 1 && slice->infer->rows != 1; // one user, many items
        if (!bytes || !slice->count) continue;
        if (repeat) {
            for (int64_t row = 0; row < slice->count; ++row, to += bytes) memcpy(to, from, bytes);
        } else {
            memcpy(to, from + (size_t)slice->begin * bytes, (size_t)slice->count * bytes);
            to += (size_t)slice->count * bytes;
        }
    }
    return NORN_OK;
}

/// Room for a whole output of a request, from the shape that the run gave.
static norn_status size_output(norn_infer *infer, norn_infer_output *output,
                               const norn_view *produced, bool has_batch) {
    size_t bytes;
    if (output->view.data) return NORN_OK; // a later slice of the same request
    output->view = *produced;
    output->view.row_stride = 0;
    if (has_batch) output->view.dims[0] = infer->rows;
    NORN_TRY(norn_view_bytes(&output->view, &bytes));
    return norn_arena_take(&infer->arena, bytes ? bytes : 1, 1, 64, &output->view.data);
}

static norn_status copy_outputs(const norn_served *served, const norn_instance *instance,
                                const batch_slice *slices, int64_t slice_count) {
    int64_t first_row = 0;
    for (int64_t s = 0; s < slice_count; first_row += slices[s].count, ++s) {
        norn_infer *infer = slices[s].infer;
        for (uint32_t o = 0; o < infer->output_count; o++) {
            norn_infer_output *output = &infer->outputs[o];
            const norn_view *produced = norn_instance_output(instance, output->port);
            const bool has_batch = served->output_has_batch[output->port];
            NORN_TRY(size_output(infer, output, produced, has_batch));
            if (has_batch) {
                const size_t bytes = row_bytes(produced);
                if (bytes && slices[s].count)
                    memcpy((uint8_t *)output->view.data + (size_t)slices[s].begin * bytes,
                           (const uint8_t *)produced->data + (size_t)first_row * bytes,
                           (size_t)slices[s].count * bytes);
            } else {
                size_t bytes;
                NORN_TRY(norn_view_bytes(produced, &bytes));
                if (bytes) memcpy(output->view.data, produced->data, bytes);
            }
        }
    }
    return NORN_OK;
}

/// One execution: copy in, run, copy out; the phases are added to every request of the batch.
static norn_status run_slices(norn_served *served, norn_instance *instance,
                              const batch_slice *slices, int64_t slice_count) {
    const int64_t begin_ns = norn_clock_now_ns();
    int64_t rows = 0;
    for (int64_t s = 0; s < slice_count; s++) rows += slices[s].count;
    for (uint32_t i = 0; i < slices[0].infer->input_count; i++)
        NORN_TRY(copy_input(served, instance, i, slices, slice_count, rows));
    const int64_t input_ns = norn_clock_now_ns();
    NORN_TRY(norn_instance_run(instance));
    const int64_t run_ns = norn_clock_now_ns();
    NORN_TRY(copy_outputs(served, instance, slices, slice_count));
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

/// A request alone, in pieces of max_rows when it is larger; the rest is not run for a client that
/// has gone.
static norn_status run_alone(norn_served *served, norn_instance *instance, norn_infer *infer) {
    int64_t begin = 0;
    do {
        if (norn_infer_is_over(infer, norn_clock_now_ns())) return infer->status;
        const int64_t left = infer->rows - begin;
        const bool split = served->batches && left > served->max_rows;
        const batch_slice slice = {infer, begin, split ? served->max_rows : left};
        NORN_TRY(run_slices(served, instance, &slice, 1));
        begin += slice.count;
    } while (begin < infer->rows);
    return NORN_OK;
}

enum { SLICES_MAX = 1024 };

static norn_status run_joined(norn_served *served, norn_instance *instance, norn_infer *batch) {
    batch_slice slices[SLICES_MAX];
    int64_t count = 0;
    for (norn_infer *infer = batch; infer; infer = infer->next)
        slices[count++] = (batch_slice){infer, 0, infer->rows};
    return run_slices(served, instance, slices, count);
}

static bool can_join(const norn_infer *batch) {
    int64_t count = 0;
    for (const norn_infer *infer = batch; infer; infer = infer->next) ++count;
    return count > 1 && count <= SLICES_MAX;
}

static void forget_results(norn_infer *batch) {
    for (norn_infer *infer = batch; infer; infer = infer->next) {
        infer->times.input_ns = infer->times.compute_ns = infer->times.output_ns = 0;
        for (uint32_t o = 0; o < infer->output_count; o++) infer->outputs[o].view.data = NULL;
    }
}

void norn_run_batch(norn_served *served, norn_infer *batch) {
    norn_instance *instance = NULL;
    norn_status status = norn_instance_acquire(served->session, 0, &instance);
    if (status != NORN_OK) {
        for (norn_infer *infer = batch; infer; infer = infer->next) norn_infer_fail(infer, status);
        return;
    }
    if (can_join(batch) && run_joined(served, instance, batch) == NORN_OK) {
        norn_instance_release(instance);
        return;
    }
    // One request, or a batch in which at least one is bad: each alone, so that only that one
    // fails.
    forget_results(batch);
    for (norn_infer *infer = batch; infer; infer = infer->next) {
        status = run_alone(served, instance, infer);
        if (status != NORN_OK && infer->status == NORN_OK) norn_infer_fail(infer, status);
    }
    norn_instance_release(instance);
}
