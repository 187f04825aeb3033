/// Admission: a request is checked against the model before it is queued, so that one bad request
/// cannot fail the batch that it would have been joined to.
#include "base/hash.h"
#include "plan/bind.h"
#include "serve/served.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

static norn_status check_bytes(const norn_infer_input *input) {
    char text[NORN_VIEW_TEXT];
    size_t bytes;
    NORN_TRY(norn_view_bytes(&input->view, &bytes));
    if (input->bytes >= 0 && (uint64_t)input->bytes != bytes)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': %lld bytes were sent, %s needs %zu",
                         input->name, (long long)input->bytes, norn_view_text(&input->view, text),
                         bytes);
    return NORN_OK;
}

/// Type and rank in the words of the protocol; dims are bound with those of the other inputs.
static norn_status check_input(const norn_served *served, uint32_t index,
                               const norn_infer_input *input) {
    const norn_port *port = norn_plan_input(served->plan, index);
    const norn_view *view = &input->view;
    if (view->dtype != port->dtype)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': %s was sent, the model takes %s",
                         port->name, norn_dtype_kserve_name(view->dtype),
                         norn_dtype_kserve_name(port->dtype));
    if (view->rank != port->rank)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': %d dimensions were sent, the model takes %d", port->name,
                         (int)view->rank, (int)port->rank);
    for (int32_t d = 0; d < view->rank; d++)
        if (view->dims[d] < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s': dim %d is %lld; it must not be negative", port->name,
                             (int)d, (long long)view->dims[d]);
    return check_bytes(input);
}

/// What has one element a row may come as [B, 1], the form that configurations can say
/// (norn_kserve_is_reshaped).
static void drop_reshaped_dim(const norn_served *served, const norn_port *port, norn_view *view) {
    const int32_t rank = served->batches ? 1 : 0;
    if (port->rank == rank && view->rank == rank + 1 && view->dims[rank] == 1) view->rank = rank;
}

static norn_status order_inputs(const norn_served *served, norn_infer *infer) {
    const uint32_t wanted = (uint32_t)norn_plan_input_count(served->plan);
    norn_infer_input *ordered;
    NORN_TRY(NORN_TAKE_ARRAY(&infer->arena, wanted, &ordered));
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const norn_infer_input *input = &infer->inputs[i];
        const int32_t port = norn_served_input_find(served, input->name);
        if (port < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "model '%s' has no input '%s'; GET /v2/models/%s lists them",
                             served->name, input->name, served->name);
        if (ordered[port].name)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' was sent twice", input->name);
        ordered[port] = *input;
        drop_reshaped_dim(served, norn_plan_input(served->plan, (size_t)port), &ordered[port].view);
    }
    infer->overrides = false;
    for (uint32_t i = 0; i < wanted; i++) {
        const norn_view *fallback = served->plan->graph->inputs[i]->fallback;
        if (ordered[i].name) infer->overrides |= fallback != NULL;
        if (!ordered[i].name && fallback)
            ordered[i] = (norn_infer_input){
                .name = norn_plan_input(served->plan, i)->name, .view = *fallback, .bytes = -1};
        if (!ordered[i].name)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s' is missing; model '%s' takes %u inputs",
                             norn_plan_input(served->plan, i)->name, served->name, wanted);
    }
    infer->inputs = ordered;
    infer->input_count = wanted;
    return NORN_OK;
}

/// An output is asked for once: a thousand times would be a thousand copies of it in the answer.
static norn_status find_outputs(const norn_served *served, norn_infer *infer) {
    bool *asked;
    NORN_TRY(NORN_TAKE_ARRAY(&infer->arena, norn_plan_output_count(served->plan), &asked));
    if (infer->output_count == 0) {
        infer->output_count = (uint32_t)norn_plan_output_count(served->plan);
        NORN_TRY(NORN_TAKE_ARRAY(&infer->arena, infer->output_count, &infer->outputs));
        for (uint32_t i = 0; i < infer->output_count; i++)
            infer->outputs[i] = (norn_infer_output){.name = norn_plan_output(served->plan, i)->name,
                                                    .binary = infer->binary_outputs};
    }
    for (uint32_t i = 0; i < infer->output_count; i++) {
        const int32_t port = norn_served_output_find(served, infer->outputs[i].name);
        if (port < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "model '%s' has no output '%s'; GET /v2/models/%s lists them",
                             served->name, infer->outputs[i].name, served->name);
        if (asked[port])
            return norn_fail(NORN_INVALID_ARGUMENT, "output '%s' was asked for twice",
                             infer->outputs[i].name);
        asked[port] = true;
        infer->outputs[i].port = (uint32_t)port;
    }
    return NORN_OK;
}

// ---- rows

/// One row of a user's input stands for every item.
static bool is_one_user(const norn_served *served, const norn_infer *infer, uint32_t input) {
    return served->input_is_user[input] && infer->inputs[input].view.dims[0] == 1;
}

/// Rows of the batch: those of the first input that has them and is not one user's.
static int64_t rows_of(const norn_served *served, const norn_infer *infer) {
    for (uint32_t i = 0; i < infer->input_count; i++)
        if (served->rows.input_has_rows[i] && !is_one_user(served, infer, i))
            return infer->inputs[i].view.dims[0];
    return 1;
}

/// Rows of no bytes cost a client nothing to send; those it may not make up beyond a batch.
static norn_status check_rows(const norn_served *served, const norn_infer *infer) {
    int64_t limit = served->max_rows;
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const norn_view *view = &infer->inputs[i].view;
        if (served->rows.input_has_rows[i] && !is_one_user(served, infer, i) &&
            norn_view_elems(view) > 0)
            limit = served->max_request_rows;
    }
    if (infer->rows <= limit) return NORN_OK;
    if (limit == served->max_request_rows)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "the request has %lld rows; at most %lld are taken "
                         "(batching.max_request_rows)",
                         (long long)infer->rows, (long long)limit);
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "the request has %lld rows that are empty; at most %lld of those are taken "
                     "(the largest batch)",
                     (long long)infer->rows, (long long)limit);
}

/// Values of the plan's symbols from all shapes, which must agree.
static norn_status bind_shapes(const norn_served *served, norn_infer *infer) {
    const norn_graph *graph = served->plan->graph;
    norn_view *views;
    int32_t *binder;
    NORN_TRY(NORN_TAKE_ARRAY(&infer->arena, (size_t)infer->input_count + 1, &views));
    NORN_TRY(NORN_TAKE_ARRAY(&infer->arena, (size_t)graph->symbols.count + 1, &infer->symbols));
    NORN_TRY(NORN_TAKE_ARRAY(&infer->arena, (size_t)graph->symbols.count + 1, &binder));
    for (uint32_t i = 0; i < infer->input_count; i++) {
        views[i] = infer->inputs[i].view;
        if (is_one_user(served, infer, i)) views[i].dims[0] = infer->rows;
    }
    return norn_bind_shapes(graph, views, infer->symbols, binder);
}

/// Requests whose dimensions other than the batch agree have the same key; never 0.
static uint64_t join_key(const norn_infer *infer) {
    uint64_t key = 1;
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const norn_view *view = &infer->inputs[i].view;
        for (int32_t d = 1; d < view->rank; d++)
            key = norn_hash_u64(key ^ (uint64_t)view->dims[d]) + (uint64_t)d;
    }
    return key ? key : 1;
}

norn_status norn_served_admit(norn_served *served, norn_infer *infer) {
    NORN_TRY(order_inputs(served, infer));
    NORN_TRY(find_outputs(served, infer));
    for (uint32_t i = 0; i < infer->input_count; i++)
        NORN_TRY(check_input(served, i, &infer->inputs[i]));
    infer->rows = rows_of(served, infer);
    NORN_TRY(check_rows(served, infer));
    NORN_TRY(bind_shapes(served, infer));
    infer->join_key = served->rows.joins && !infer->overrides ? join_key(infer) : 0;
    return NORN_OK;
}
