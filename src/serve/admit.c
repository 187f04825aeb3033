/// Admission: a request is checked against the model before it is queued, so that one bad request
/// cannot fail the batch that it would have been joined to.
#include "base/hash.h"
#include "serve/served.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

enum { SYMBOL_MAX = 64 };

/// Symbols bound so far, by the names that the plan's ports carry.
typedef struct bindings {
    struct {
        const char *name, *input;
        int64_t value;
    } at[SYMBOL_MAX];
    uint32_t count;
} bindings;

static norn_status bind(bindings *all, const char *symbol, const char *input, int32_t dim,
                        int64_t value) {
    for (uint32_t i = 0; i < all->count; i++) {
        if (strcmp(all->at[i].name, symbol) != 0) continue;
        if (all->at[i].value == value) return NORN_OK;
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': dim %d (%s) is %lld, but input '%s' has %lld there", input,
                         (int)dim, symbol, (long long)value, all->at[i].input,
                         (long long)all->at[i].value);
    }
    if (all->count == SYMBOL_MAX) return NORN_OK; // the runtime checks again
    all->at[all->count].name = symbol;
    all->at[all->count].input = input;
    all->at[all->count++].value = value;
    return NORN_OK;
}

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

static norn_status check_input(const norn_served *served, uint32_t index,
                               const norn_infer_input *input, bindings *symbols) {
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
    for (int32_t d = 0; d < view->rank; d++) {
        const int64_t dim = view->dims[d];
        if (dim < 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s': dim %d is %lld; it must not be negative", port->name,
                             (int)d, (long long)dim);
        if (port->dims[d] >= 0 && port->dims[d] != dim)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s': dim %d is %lld, the model takes %lld", port->name, (int)d,
                             (long long)dim, (long long)port->dims[d]);
        if (port->dims[d] >= 0 || !port->dim_names[d]) continue;
        if (d == 0 && served->input_is_user[index] && dim == 1) continue; // repeated for every item
        NORN_TRY(bind(symbols, port->dim_names[d], port->name, d, dim));
    }
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
    for (uint32_t i = 0; i < wanted; i++)
        if (!ordered[i].name)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input '%s' is missing; model '%s' takes %u inputs",
                             norn_plan_input(served->plan, i)->name, served->name, wanted);
    infer->inputs = ordered;
    infer->input_count = wanted;
    return NORN_OK;
}

static norn_status find_outputs(const norn_served *served, norn_infer *infer) {
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
        infer->outputs[i].port = (uint32_t)port;
    }
    return NORN_OK;
}

/// Requests whose dimensions other than the batch agree have the same key.
static uint64_t join_key(const norn_served *served, const norn_infer *infer) {
    uint64_t key = 1;
    if (!served->batches) return 0;
    for (uint32_t i = 0; i < infer->input_count; i++) {
        const norn_view *view = &infer->inputs[i].view;
        for (int32_t d = served->input_has_batch[i] ? 1 : 0; d < view->rank; d++)
            key = norn_hash_u64(key ^ (uint64_t)view->dims[d]) + (uint64_t)d;
    }
    return key ? key : 1;
}

norn_status norn_served_admit(norn_served *served, norn_infer *infer) {
    bindings symbols = {.count = 0};
    const char *batch = norn_plan_batch_symbol(served->plan);
    NORN_TRY(order_inputs(served, infer));
    NORN_TRY(find_outputs(served, infer));
    for (uint32_t i = 0; i < infer->input_count; i++)
        NORN_TRY(check_input(served, i, &infer->inputs[i], &symbols));
    infer->rows = 1;
    for (uint32_t i = 0; batch && i < symbols.count; i++)
        if (strcmp(symbols.at[i].name, batch) == 0) infer->rows = symbols.at[i].value;
    infer->join_key = join_key(served, infer);
    return NORN_OK;
}
