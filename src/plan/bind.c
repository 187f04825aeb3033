#include "plan/bind.h"

#include "base/status.h"
#include "tensor/dtype.h"

typedef struct binding {
    const norn_graph *graph;
    int64_t *values; ///< by symbol
    int32_t *binder;
} binding;

static norn_status bad_dim(const binding *b, uint32_t input, int32_t d, int64_t value,
                           norn_dim dim) {
    const norn_graph *graph = b->graph;
    const char *name = graph->inputs[input]->name;
    char text[NORN_DIM_TEXT];
    if (norn_dim_is_const(dim))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': dim %d is %lld, the model expects %lld", name, d,
                         (long long)value, (long long)dim.constant);
    norn_dim_text(&graph->symbols, dim, text);
    int32_t binder = b->binder[dim.symbol];
    if (binder >= 0 && (uint32_t)binder != input)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input '%s': dim %d is %lld, but input '%s' makes %s %lld", name, d,
                         (long long)value, graph->inputs[binder]->name, text,
                         (long long)norn_dim_eval(dim, b->values));
    return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': dim %d is %lld, which is not %s", name, d,
                     (long long)value, text);
}

static norn_status check_type(const binding *b, uint32_t input, const norn_view *view) {
    const norn_value *value = b->graph->inputs[input];
    if (view->dtype != value->dtype)
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': its type is %s, the model expects %s",
                         value->name, norn_dtype_name(view->dtype), norn_dtype_name(value->dtype));
    if (view->rank < 0 || view->rank > NORN_MAX_RANK ||
        (value->shape.rank >= 0 && view->rank != value->shape.rank))
        return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': it has %d dim%s, the model expects %d",
                         value->name, view->rank, norn_plural(view->rank), value->shape.rank);
    for (int32_t d = 0; d < view->rank; d++)
        if (view->dims[d] < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "input '%s': dim %d is %lld", value->name, d,
                             (long long)view->dims[d]);
    return NORN_OK;
}

norn_status norn_bind_input(const norn_graph *graph, uint32_t input, const norn_view *view,
                            int64_t *values, int32_t *binder) {
    const binding state = {graph, values, binder}, *b = &state;
    const norn_shape *shape = &graph->inputs[input]->shape;
    NORN_TRY(check_type(b, input, view));
    for (int32_t d = 0; d < shape->rank; d++) {
        norn_dim dim = shape->dims[d];
        int64_t value = view->dims[d];
        if (norn_dim_is_const(dim)) {
            if (value != dim.constant) return bad_dim(b, input, d, value, dim);
            continue;
        }
        if (b->graph->symbols.at[dim.symbol].kind != NORN_SYMBOL_INPUT) continue;
        int64_t rest = value - dim.constant;
        if (b->binder[dim.symbol] < 0) {
            if (rest < 0 || dim.coef <= 0 || rest % dim.coef != 0)
                return bad_dim(b, input, d, value, dim);
            b->values[dim.symbol] = rest / dim.coef;
            b->binder[dim.symbol] = (int32_t)input;
        } else if (norn_dim_eval(dim, b->values) != value) {
            return bad_dim(b, input, d, value, dim);
        }
    }
    return NORN_OK;
}

/// Dimensions that follow from other inputs' must agree with them.
static norn_status check_derived(const binding *b, const norn_view *inputs) {
    const norn_graph *graph = b->graph;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const norn_shape *shape = &graph->inputs[i]->shape;
        for (int32_t d = 0; d < shape->rank; d++) {
            norn_dim dim = shape->dims[d];
            if (norn_dim_is_const(dim) || graph->symbols.at[dim.symbol].kind != NORN_SYMBOL_DERIVED)
                continue;
            if (b->values[dim.symbol] < 0) continue;
            if (norn_dim_eval(dim, b->values) != inputs[i].dims[d])
                return bad_dim(b, i, d, inputs[i].dims[d], dim);
        }
    }
    return NORN_OK;
}

norn_status norn_bind_shapes(const norn_graph *graph, const norn_view *inputs, int64_t *values,
                             int32_t *binder) {
    for (int32_t i = 0; i < graph->symbols.count; i++) values[i] = binder[i] = -1;
    for (uint32_t i = 0; i < graph->input_count; i++)
        NORN_TRY(norn_bind_input(graph, i, &inputs[i], values, binder));
    norn_symbols_eval(&graph->symbols, values);
    return check_derived(&(binding){graph, values, binder}, inputs);
}
