// Concat and Split: rows of one side into columns of the other.
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

/// [outer, axis * inner] of one part against [outer, whole * inner] of the joined side.
typedef struct part {
    int64_t outer, width, whole, offset;
} part;

static part part_of(const norn_view *view, const norn_view *joined, int32_t axis, int64_t offset) {
    int64_t inner = norn_dims_product(view->dims, axis + 1, view->rank);
    return (part){.outer = norn_dims_product(view->dims, 0, axis),
                  .width = view->dims[axis] * inner,
                  .whole = joined->dims[axis] * inner,
                  .offset = offset * inner};
}

/// Whether all dims but the axis are the same.
static bool fits(const norn_view *view, const norn_view *joined, int32_t axis) {
    if (view->rank != joined->rank) return false;
    for (int32_t i = 0; i < view->rank; i++)
        if (i != axis && view->dims[i] != joined->dims[i]) return false;
    return true;
}

norn_status norn_cpu_concat(norn_call *call) {
    int32_t axis = norn_call_axis(call, 0, call->out[0].rank);
    norn_view out;
    int64_t offset = 0;
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    size_t size = norn_view_element_bytes(&out);
    for (uint32_t i = 0; i < call->in_count; i++) {
        norn_view in;
        int64_t length = call->in[i].dims[axis];
        if (!fits(&call->in[i], &out, axis) || offset + length > out.dims[axis])
            return norn_call_misfit(call, i);
        part p = part_of(&call->in[i], &out, axis, offset);
        offset += length;
        NORN_TRY(norn_unpack(call, &call->in[i], &in));
        if (norn_view_elems(&in) == 0) continue;
        norn_strided shape = {0};
        norn_strided_push(&shape, p.outer, p.width, p.whole);
        norn_strided_push(&shape, p.width, 1, 1);
        norn_strided_copy(call->pool, (char *)out.data + (size_t)p.offset * size, in.data, size,
                          &shape);
    }
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}

norn_status norn_cpu_split(norn_call *call) {
    int32_t axis = norn_call_axis(call, 0, call->in[0].rank);
    norn_view in;
    int64_t offset = 0, chunk = 0;
    const int64_t *sizes;
    NORN_TRY(norn_input_i64(call, 1, &sizes));
    int64_t parts = norn_attr_i64(call->attrs, "num_outputs", call->out_count);
    chunk = (call->in[0].dims[axis] + parts - 1) / parts;
    NORN_TRY(norn_unpack(call, &call->in[0], &in));
    size_t size = norn_view_element_bytes(&in);
    for (uint32_t i = 0; i < call->out_count; i++) {
        int64_t length = call->out[i].dims[axis];
        if (!norn_call_wants(call, i)) length = sizes ? sizes[i] : chunk;
        if (norn_call_wants(call, i) &&
            (!fits(&call->out[i], &in, axis) || length < 0 || offset + length > in.dims[axis]))
            return norn_call_misfit(call, 0);
        if (norn_call_wants(call, i) && norn_view_elems(&call->out[i]) > 0) {
            norn_view out;
            NORN_TRY(norn_unpack_output(call, &call->out[i], &out));
            part p = part_of(&out, &in, axis, offset);
            norn_strided shape = {0};
            norn_strided_push(&shape, p.outer, p.whole, p.width);
            norn_strided_push(&shape, p.width, 1, 1);
            norn_strided_copy(call->pool, out.data, (const char *)in.data + (size_t)p.offset * size,
                              size, &shape);
            norn_pack(&out, &call->out[i]);
        }
        offset += length;
    }
    return NORN_OK;
}
