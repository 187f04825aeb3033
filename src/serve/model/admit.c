/// Admission: a request is checked against the model before it is queued, so that one bad request
/// cannot fail the batch that it would have been joined to.
#include "base/hash.h"
#include "plan/bind.h"
#include "serve/model/model_version.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

static norn_status check_bytes(const norn_request_input *input) {
    char text[NORN_VIEW_TEXT];
    size_t bytes;
    NORN_TRY(norn_view_bytes(&input->view, &bytes));
    if (input->bytes >= 0 && (uint64_t)input->bytes != bytes)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': %lld byte%s sent, %s needs %zu",
                         input->name, (long long)input->bytes,
                         norn_number(input->bytes, " was", "s were"),
                         norn_view_text(&input->view, text), bytes);
    return NORN_OK;
}

/// Type and rank in the words of the protocol; dims are bound with those of the other inputs.
static norn_status check_input(const norn_model_version *version, uint32_t index,
                               const norn_request_input *input) {
    const norn_port *port = version->servable.inputs[index];
    const norn_view *view = &input->view;
    if (view->dtype != port->dtype)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': %s was sent, the model takes %s",
                         port->name, norn_dtype_kserve_name(view->dtype),
                         norn_dtype_kserve_name(port->dtype));
    if (view->rank != port->rank)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': %d dimension%s sent, the model takes %d", port->name,
                         (int)view->rank, norn_number(view->rank, " was", "s were"),
                         (int)port->rank);
    for (int32_t d = 0; d < view->rank; d++)
        if (view->dims[d] < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s': dim %d is %lld; it must not be negative", port->name,
                             (int)d, (long long)view->dims[d]);
    return check_bytes(input);
}

/// What has one element a row may come as [B, 1], the form that configurations can say
/// (norn_kserve_is_reshaped).
static void drop_reshaped_dim(const norn_model_version *version, const norn_port *port,
                              norn_view *view) {
    const int32_t rank = version->servable.batches ? 1 : 0;
    if (port->rank == rank && view->rank == rank + 1 && view->dims[rank] == 1) view->rank = rank;
}

static norn_status order_inputs(const norn_model_version *version, norn_request *request) {
    const uint32_t wanted = version->servable.input_count;
    norn_request_input *ordered;
    NORN_TRY(NORN_TAKE_ARRAY(&request->arena, wanted, &ordered));
    for (uint32_t i = 0; i < request->input_count; i++) {
        const norn_request_input *input = &request->inputs[i];
        const int32_t port = norn_servable_input_find(&version->servable, input->name);
        if (port < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "model '%s' has no input '%s'; GET /v2/models/%s lists them",
                             version->servable.name, input->name, version->servable.name);
        if (ordered[port].name)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s' was sent twice", input->name);
        ordered[port] = *input;
        drop_reshaped_dim(version, version->servable.inputs[port], &ordered[port].view);
    }
    request->overrides = false;
    for (uint32_t i = 0; i < wanted; i++) {
        const norn_view *fallback = version->batch.plan->graph->inputs[i]->fallback;
        if (ordered[i].name) request->overrides |= fallback != NULL;
        if (!ordered[i].name && fallback)
            ordered[i] = (norn_request_input){
                .name = version->servable.inputs[i]->name, .view = *fallback, .bytes = -1};
        if (!ordered[i].name)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s' is missing; model '%s' takes %u input%s",
                             version->servable.inputs[i]->name, version->servable.name, wanted,
                             norn_plural(wanted));
    }
    request->inputs = ordered;
    request->input_count = wanted;
    return NORN_OK;
}

/// An output is asked for once: a thousand times would be a thousand copies of it in the answer.
static norn_status find_outputs(const norn_model_version *version, norn_request *request) {
    bool *asked;
    NORN_TRY(NORN_TAKE_ARRAY(&request->arena, version->servable.output_count, &asked));
    if (request->output_count == 0) {
        request->output_count = version->servable.output_count;
        NORN_TRY(NORN_TAKE_ARRAY(&request->arena, request->output_count, &request->outputs));
        for (uint32_t i = 0; i < request->output_count; i++)
            request->outputs[i] = (norn_request_output){.name = version->servable.outputs[i]->name,
                                                        .binary = request->binary_outputs};
    }
    for (uint32_t i = 0; i < request->output_count; i++) {
        const int32_t port =
            norn_servable_output_find(&version->servable, request->outputs[i].name);
        if (port < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "model '%s' has no output '%s'; GET /v2/models/%s lists them",
                             version->servable.name, request->outputs[i].name,
                             version->servable.name);
        if (asked[port])
            return norn_fail(NORN_INVALID_ARGUMENT, "output '%s' was asked for twice",
                             request->outputs[i].name);
        asked[port] = true;
        request->outputs[i].port = (uint32_t)port;
    }
    return NORN_OK;
}

// ---- rows

/// One row of a user's input stands for every item.
static bool is_one_user(const norn_model_version *version, const norn_request *request,
                        uint32_t input) {
    return version->batch.input_is_user[input] && request->inputs[input].view.dims[0] == 1;
}

/// Rows of the batch: those of the first input that has them and is not one user's.
static int64_t rows_of(const norn_model_version *version, const norn_request *request) {
    for (uint32_t i = 0; i < request->input_count; i++)
        if (version->batch.rows.input_has_rows[i] && !is_one_user(version, request, i))
            return request->inputs[i].view.dims[0];
    return 1;
}

/// Rows of no bytes cost a client nothing to send; those it may not make up beyond a batch.
static norn_status check_rows(const norn_model_version *version, const norn_request *request) {
    int64_t limit = version->batch.max_rows;
    for (uint32_t i = 0; i < request->input_count; i++) {
        const norn_view *view = &request->inputs[i].view;
        if (version->batch.rows.input_has_rows[i] && !is_one_user(version, request, i) &&
            norn_view_elems(view) > 0)
            limit = version->max_request_rows;
    }
    if (request->rows <= limit) return NORN_OK;
    if (limit == version->max_request_rows)
        return norn_fail(
            NORN_INVALID_ARGUMENT,
            "the request has %lld row%s; at most %lld are taken (batching.max_request_rows)",
            (long long)request->rows, norn_plural(request->rows), (long long)limit);
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "the request has %lld row%s that are empty; at most %lld of those are taken "
                     "(the largest batch)",
                     (long long)request->rows, norn_plural(request->rows), (long long)limit);
}

/// Values of the plan's symbols from all shapes, which must agree.
static norn_status bind_shapes(const norn_model_version *version, norn_request *request) {
    const norn_graph *graph = version->batch.plan->graph;
    norn_view *views;
    int32_t *binder;
    NORN_TRY(NORN_TAKE_ARRAY(&request->arena, (size_t)request->input_count + 1, &views));
    NORN_TRY(NORN_TAKE_ARRAY(&request->arena, (size_t)graph->symbols.count + 1, &request->symbols));
    NORN_TRY(NORN_TAKE_ARRAY(&request->arena, (size_t)graph->symbols.count + 1, &binder));
    for (uint32_t i = 0; i < request->input_count; i++) {
        views[i] = request->inputs[i].view;
        if (is_one_user(version, request, i)) views[i].dims[0] = request->rows;
    }
    return norn_bind_shapes(graph, views, request->symbols, binder);
}

/// Requests whose dimensions other than the batch agree have the same key; never 0.
static uint64_t join_key(const norn_request *request) {
    uint64_t key = 1;
    for (uint32_t i = 0; i < request->input_count; i++) {
        const norn_view *view = &request->inputs[i].view;
        for (int32_t d = 1; d < view->rank; d++)
            key = norn_hash_u64(key ^ (uint64_t)view->dims[d]) + (uint64_t)d;
    }
    return key ? key : 1;
}

norn_status norn_model_version_admit(norn_servable *servable, norn_request *request) {
    const norn_model_version *version = norn_model_version_of(servable);
    NORN_TRY(order_inputs(version, request));
    NORN_TRY(find_outputs(version, request));
    for (uint32_t i = 0; i < request->input_count; i++)
        NORN_TRY(check_input(version, i, &request->inputs[i]));
    request->rows = rows_of(version, request);
    NORN_TRY(check_rows(version, request));
    NORN_TRY(bind_shapes(version, request));
    request->join_key = version->batch.rows.joins && !request->overrides ? join_key(request) : 0;
    return NORN_OK;
}
