#include "graph/numbers.h"

#include "graph/graph.h"
#include "tensor/dtype.h"

norn_dtype norn_sum_dtype(norn_dtype dtype) {
    return norn_dtype_is_half(dtype) ? NORN_F32 : dtype;
}

static norn_dtype type_in(const norn_node *node, uint32_t index) {
    const norn_value *value = index < node->in_count ? node->in[index].value : NULL;
    return value ? value->dtype : NORN_DTYPE_NONE;
}

norn_numbers norn_numbers_of(const norn_node *node) {
    if (!(node->op->flags & NORN_OP_PRODUCT) || node->out_count == 0 || !node->out[0])
        return (norn_numbers){.acc = NORN_DTYPE_NONE};
    // An interaction multiplies its parts by each other.
    const bool own = norn_region_kind_of(node->op->name) == NORN_REGION_INTERACTION;
    return (norn_numbers){.a = type_in(node, 0),
                          .b = type_in(node, own ? 0 : 1),
                          .acc = norn_sum_dtype(type_in(node, 0)),
                          .out = node->out[0]->dtype};
}
