#include "passes/rewrite.h"

#include "base/checked.h"
#include "base/memory.h"
#include "tensor/dtype.h"

bool norn_value_is_output(const norn_value *value) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node) return true;
    }
    return false;
}

norn_node *norn_value_only_reader(const norn_value *value) {
    if (!value->uses) return NULL;
    norn_node *reader = value->uses->node;
    for (const norn_use *use = value->uses; use; use = use->next) {
        if (!use->node || use->node != reader) return NULL;
    }
    return reader;
}

bool norn_value_scalar(const norn_value *value, double *out) {
    if (!value || !value->data || norn_view_elems(value->data) != 1) return false;
    if (!norn_dtype_is_float(value->dtype) && !norn_dtype_is_integer(value->dtype) &&
        value->dtype != NORN_BOOL)
        return false;
    *out = norn_element_f64(value->dtype, value->data->data, 0);
    return true;
}

bool norn_value_is_scalar(const norn_value *value, double expected) {
    double actual;
    return norn_value_scalar(value, &actual) && actual >= expected && actual <= expected;
}

bool norn_value_ints(const norn_value *value, int64_t *out, uint32_t max, uint32_t *count) {
    if (!value) return false;
    if (value->data && value->data->rank <= 1 && norn_dtype_is_integer(value->dtype)) {
        int64_t elems = norn_view_elems(value->data);
        if (elems < 0 || elems > max) return false;
        for (int64_t i = 0; i < elems; i++)
            out[i] = norn_element_i64(value->dtype, value->data->data, i);
        *count = (uint32_t)elems;
        return true;
    }
    if (!value->contents || value->contents_count > max) return false;
    for (uint32_t i = 0; i < value->contents_count; i++) {
        if (!norn_dim_is_const(value->contents[i])) return false;
        out[i] = value->contents[i].constant;
    }
    *count = value->contents_count;
    return true;
}

bool norn_node_axes(const norn_node *node, uint32_t index, const char *name, int32_t rank,
                    int32_t axes[NORN_MAX_RANK], uint32_t *count) {
    int64_t listed[NORN_MAX_RANK];
    const int64_t *from = listed;
    *count = 0;
    if (norn_node_in(node, index)) {
        if (!norn_value_ints(norn_node_in(node, index), listed, NORN_MAX_RANK, count)) return false;
    } else {
        const norn_attr *attr = norn_attr_find(node->attrs, name);
        if (attr && attr->kind == NORN_ATTR_INT) {
            from = &attr->i64, *count = 1;
        } else {
            *count = norn_attr_ints(node->attrs, name, &from);
        }
        if (*count > NORN_MAX_RANK) return false;
    }
    for (uint32_t i = 0; i < *count; i++) {
        int64_t axis = from[i] < 0 ? from[i] + rank : from[i];
        if (axis < 0 || axis >= rank) return false;
        axes[i] = (int32_t)axis;
    }
    return true;
}

bool norn_dim_is_static(const norn_symbols *symbols, norn_dim dim) {
    if (norn_dim_is_const(dim)) return true;
    if (dim.symbol >= symbols->count) return false;
    const norn_symbol *symbol = &symbols->at[dim.symbol];
    switch (symbol->kind) {
    case NORN_SYMBOL_INPUT:
        return true;
    case NORN_SYMBOL_RUNTIME:
        return false;
    case NORN_SYMBOL_DERIVED:
        return norn_dim_is_static(symbols, symbol->a) && norn_dim_is_static(symbols, symbol->b);
    }
    return false;
}

bool norn_shape_is_static(const norn_graph *graph, const norn_shape *shape) {
    if (shape->rank < 0) return false;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (!norn_dim_is_static(&graph->symbols, shape->dims[i])) return false;
    }
    return true;
}

int64_t norn_shape_elems(const norn_shape *shape) {
    if (!norn_shape_is_const(shape)) return -1;
    int64_t elems = 1;
    for (int32_t i = 0; i < shape->rank; i++) {
        if (!norn_i64_mul(elems, shape->dims[i].constant, &elems)) return -1;
    }
    return elems;
}

norn_status norn_rewrite_constant(norn_graph *graph, const char *name, norn_dtype dtype,
                                  int32_t rank, const int64_t *dims, norn_value **out,
                                  void **data) {
    norn_view *view;
    size_t bytes;
    NORN_TRY(NORN_TAKE(&graph->arena, &view));
    *view = norn_view_of(dtype, rank, dims, NULL);
    NORN_TRY(norn_view_bytes(view, &bytes));
    NORN_TRY(norn_arena_take(&graph->arena, bytes ? bytes : 1, 1, NORN_HOST_ALIGN, &view->data));
    *data = view->data;
    return norn_graph_constant(graph, name, view, out);
}

norn_status norn_rewrite_node(norn_graph *graph, norn_node *before, norn_op_id op,
                              norn_value *const *in, uint32_t in_count, norn_attrs attrs,
                              norn_dtype dtype, const norn_shape *shape, const norn_node *origin_of,
                              norn_node **node) {
    norn_value *out;
    NORN_TRY(norn_graph_value(graph, NULL, dtype, shape, &out));
    return norn_graph_node(graph, before, norn_op_info_of(op), origin_of ? origin_of->name : NULL,
                           in, in_count, &out, 1, attrs, origin_of, node);
}

norn_value *norn_value_unreshaped(norn_value *value) {
    while (norn_node_is_static_reshape(value->producer)) value = value->producer->in[0].value;
    return value;
}

norn_status norn_rewrite_reshape(norn_graph *graph, norn_node *before, norn_value *in,
                                 const norn_shape *shape, const norn_node *origin_of,
                                 norn_value **out) {
    norn_value *root = norn_value_unreshaped(in);
    *out = root;
    if (norn_shape_equal(&root->shape, shape)) return NORN_OK;
    norn_attr attr = norn_attr_int_of("norn_static_shape", 1);
    norn_node *node;
    NORN_TRY(norn_rewrite_node(graph, before, NORN_OP_Reshape, &root, 1, (norn_attrs){&attr, 1},
                               root->dtype, shape, origin_of, &node));
    *out = node->out[0];
    return NORN_OK;
}

void norn_rewrite_replace(norn_graph *graph, norn_node *node, uint32_t index, norn_value *to) {
    norn_graph_forward(graph, node->out[index], to);
    for (uint32_t i = 0; i < node->out_count; i++) {
        if (node->out[i] && node->out[i]->readers) return;
    }
    norn_graph_kill(graph, node);
}

norn_value *norn_remade_find(const norn_remade *list, const norn_value *from, uint32_t form) {
    for (; list; list = list->next)
        if (list->from == from && list->form == form) return list->to;
    return NULL;
}

norn_status norn_remade_keep(norn_graph *graph, norn_remade **list, const norn_value *from,
                             uint32_t form, norn_value *to) {
    norn_remade *added;
    NORN_TRY(NORN_TAKE(&graph->arena, &added));
    *added = (norn_remade){from, form, to, *list};
    *list = added;
    return NORN_OK;
}

norn_status norn_rewrite_convert(norn_graph *graph, norn_remade **list, const norn_value *value,
                                 norn_dtype dtype, norn_value **to) {
    const norn_view *from = value->data;
    const int64_t count = norn_view_elems(from);
    void *data;
    *to = norn_remade_find(*list, value, dtype);
    if (*to) return NORN_OK;
    NORN_TRY(norn_rewrite_constant(graph, value->name, dtype, from->rank, from->dims, to, &data));
    for (int64_t i = 0; i < count; i++)
        norn_element_set_f64(dtype, data, i, norn_element_f64(from->dtype, from->data, i));
    return norn_remade_keep(graph, list, value, dtype, *to);
}
