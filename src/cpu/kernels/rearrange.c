// Transpose, Slice, Expand, Tile, DepthToSpace, SpaceToDepth: a strided read each.
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <string.h>

/// The input read through `shape` fills the output densely.
static norn_status rearrange(norn_call *call, norn_strided *shape, int64_t offset) {
    norn_view in, out;
    NORN_TRY(norn_unpack(call, &call->in[0], &in));
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    norn_strided_dense(shape->rank, shape->dims, shape->to);
    size_t size = norn_view_element_bytes(&in);
    if (norn_view_elems(&out) == 0) return NORN_OK;
    norn_strided_copy(call->pool, out.data, (const char *)in.data + offset * (int64_t)size, size,
                      shape);
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}

norn_status norn_cpu_transpose(norn_call *call) {
    const norn_view *in = &call->in[0];
    const int64_t *perm;
    uint32_t count = norn_attr_ints(call->attrs, "perm", &perm);
    int64_t strides[NORN_MAX_RANK];
    norn_strided shape = {0};
    norn_strided_dense(in->rank, in->dims, strides);
    for (int32_t i = 0; i < in->rank; i++) {
        int64_t axis = count ? perm[i] : in->rank - 1 - i;
        if (axis < 0) axis += in->rank;
        norn_strided_push(&shape, in->dims[axis], strides[axis], 0);
    }
    return rearrange(call, &shape, 0);
}

norn_status norn_cpu_slice(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const int64_t *starts, *axes, *steps;
    int64_t strides[NORN_MAX_RANK], offset = 0;
    norn_strided shape = {0};
    NORN_TRY(norn_input_i64(call, 1, &starts));
    NORN_TRY(norn_input_i64(call, 3, &axes));
    NORN_TRY(norn_input_i64(call, 4, &steps));
    norn_strided_dense(in->rank, in->dims, strides);
    for (int32_t i = 0; i < in->rank; i++) norn_strided_push(&shape, out->dims[i], strides[i], 0);
    int64_t count = norn_view_elems(&call->in[1]);
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes ? axes[i] : i, step = steps ? steps[i] : 1;
        if (axis < 0) axis += in->rank;
        int64_t n = in->dims[axis], start = starts[i] < -n  ? (step < 0 ? -1 : 0)
                                            : starts[i] < 0 ? starts[i] + n
                                                            : starts[i];
        if (start >= n) start = step < 0 ? n - 1 : n;
        int64_t last = start + (out->dims[axis] - 1) * step;
        if (out->dims[axis] > 0 && (start < 0 || start >= n || last < 0 || last >= n))
            return norn_call_misfit(call, 0);
        offset += start * strides[axis];
        shape.from[axis] = step * strides[axis];
    }
    return rearrange(call, &shape, offset);
}

norn_status norn_cpu_expand(norn_call *call) {
    norn_strided shape = {0};
    int64_t strides[NORN_MAX_RANK];
    const norn_view *in = &call->in[0], *out = &call->out[0];
    for (int32_t i = 0; i < in->rank; i++) {
        int64_t want = out->dims[out->rank - in->rank + i];
        if (in->dims[i] != 1 && in->dims[i] != want) return norn_call_misfit(call, 0);
    }
    norn_broadcast_strides(&call->in[0], call->out[0].rank, call->out[0].dims, strides);
    for (int32_t i = 0; i < call->out[0].rank; i++)
        norn_strided_push(&shape, call->out[0].dims[i], strides[i], 0);
    return rearrange(call, &shape, 0);
}

/// Each axis is [repeats, dim] of the output; the repeat reads with stride 0. Axes that do not
/// repeat need one dim only, which keeps the rank in bounds.
norn_status norn_cpu_tile(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_view bytes_in, bytes_out;
    int64_t strides[NORN_MAX_RANK];
    norn_strided shape = {0};
    norn_strided_dense(in->rank, in->dims, strides);
    int32_t repeated = 0;
    for (int32_t i = 0; i < in->rank; i++) repeated += in->dims[i] != out->dims[i];
    if (norn_view_elems(out) == 0) return NORN_OK;
    if (in->rank + repeated <= NORN_MAX_RANK + 4) {
        for (int32_t i = 0; i < in->rank; i++) {
            if (in->dims[i] != out->dims[i])
                norn_strided_push(&shape, out->dims[i] / in->dims[i], 0, 0);
            norn_strided_push(&shape, in->dims[i], strides[i], 0);
        }
        return rearrange(call, &shape, 0);
    }
    NORN_TRY(norn_unpack(call, in, &bytes_in));
    NORN_TRY(norn_unpack_output(call, out, &bytes_out));
    size_t size = norn_view_element_bytes(&bytes_in);
    int64_t elems = norn_view_elems(out);
    for (int64_t i = 0; i < elems; i++) {
        int64_t rest = i, from = 0;
        for (int32_t d = out->rank - 1; d >= 0; d--) {
            from += rest % out->dims[d] % in->dims[d] * strides[d];
            rest /= out->dims[d];
        }
        memcpy((char *)bytes_out.data + (size_t)i * size,
               (const char *)bytes_in.data + (size_t)from * size, size);
    }
    norn_pack(&bytes_out, out);
    return NORN_OK;
}

norn_status norn_cpu_depth_to_space(norn_call *call) {
    const int64_t *d = call->in[0].dims, b = norn_attr_i64(call->attrs, "blocksize", 1);
    bool column_first = strcmp(norn_attr_string(call->attrs, "mode", "DCR"), "CRD") == 0;
    int64_t depth = d[1] / (b * b), plane = d[2] * d[3];
    int64_t block = column_first ? plane : depth * plane,
            channel = column_first ? b * b * plane : plane;
    norn_strided shape = {0}; // [N, depth, H, block, W, block]
    norn_strided_push(&shape, d[0], d[1] * plane, 0);
    norn_strided_push(&shape, depth, channel, 0);
    norn_strided_push(&shape, d[2], d[3], 0);
    norn_strided_push(&shape, b, b * block, 0);
    norn_strided_push(&shape, d[3], 1, 0);
    norn_strided_push(&shape, b, block, 0);
    return rearrange(call, &shape, 0);
}

norn_status norn_cpu_space_to_depth(norn_call *call) {
    const int64_t *d = call->in[0].dims, b = norn_attr_i64(call->attrs, "blocksize", 1);
    bool column_first = strcmp(norn_attr_string(call->attrs, "mode", "DCR"), "CRD") == 0;
    norn_strided shape = {0}; // DCR: [N, block, block, C, H, W]; CRD: [N, C, block, block, H, W]
    norn_strided_push(&shape, d[0], d[1] * d[2] * d[3], 0);
    if (column_first) norn_strided_push(&shape, d[1], d[2] * d[3], 0);
    norn_strided_push(&shape, b, d[3], 0);
    norn_strided_push(&shape, b, 1, 0);
    if (!column_first) norn_strided_push(&shape, d[1], d[2] * d[3], 0);
    norn_strided_push(&shape, d[2] / b, b * d[3], 0);
    norn_strided_push(&shape, d[3] / b, b, 0);
    return rearrange(call, &shape, 0);
}
