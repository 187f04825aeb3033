// OneHot, NonZero, Compress.
#include "cpu/kernels/index_of.h"
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <string.h>

norn_status norn_cpu_one_hot(norn_call *call) {
    const norn_view *out = &call->out[0], *values = &call->in[2];
    int32_t axis = norn_call_axis(call, -1, out->rank);
    size_t size = norn_view_element_bytes(out);
    if (size == 0) return norn_call_refuse(out->dtype);
    if (norn_view_elems(values) != 2) return norn_call_misfit(call, 2);
    int64_t depth = out->dims[axis], inner = norn_dims_product(out->dims, axis + 1, out->rank);
    int64_t elems = norn_view_elems(out);
    if (depth > 0 && elems / depth != norn_view_elems(&call->in[0]))
        return norn_call_misfit(call, 0);
    norn_strided shape = {0};
    norn_strided_push(&shape, elems, 0, 1);
    norn_strided_copy(call->pool, out->data, values->data, size, &shape);
    for (int64_t i = 0; depth > 0 && i < elems / depth; i++) {
        double given = norn_element_f64(call->in[0].dtype, call->in[0].data, i);
        if (!(given >= (double)-depth && given < (double)depth)) continue; // outside: all off
        int64_t index = (int64_t)given;
        if (index < 0) index += depth;
        int64_t at = (i / inner * depth + index) * inner + i % inner;
        memcpy((char *)out->data + (size_t)at * size, (const char *)values->data + size, size);
    }
    return NORN_OK;
}

static bool is_nonzero(const norn_view *view, int64_t i) {
    if (norn_dtype_is_float(view->dtype)) return norn_element_f64(view->dtype, view->data, i) != 0;
    return norn_element_i64(view->dtype, view->data, i) != 0;
}

norn_status norn_cpu_non_zero(norn_call *call) {
    const norn_view *in = &call->in[0];
    int64_t elems = norn_view_elems(in), count = 0, rank = in->rank;
    if (in->dtype == NORN_STRING) return norn_call_refuse(in->dtype);
    for (int64_t i = 0; i < elems; i++) count += is_nonzero(in, i);
    NORN_TRY(norn_call_output(call, 0, NORN_I64, 2, (int64_t[]){rank, count}));
    int64_t *out = call->out[0].data, found = 0;
    for (int64_t i = 0; i < elems; i++) {
        if (!is_nonzero(in, i)) continue;
        int64_t rest = i;
        for (int32_t d = in->rank - 1; d >= 0; d--) {
            out[d * count + found] = rest % in->dims[d];
            rest /= in->dims[d];
        }
        found++;
    }
    return NORN_OK;
}

norn_status norn_cpu_compress(norn_call *call) {
    const norn_view *in = &call->in[0];
    const uint8_t *keep = call->in[1].data;
    const norn_attr *attr = norn_attr_find(call->attrs, "axis");
    size_t size = norn_view_element_bytes(in);
    int64_t dims[NORN_MAX_RANK], kept = 0, given = norn_view_elems(&call->in[1]);
    if (size == 0) return norn_call_refuse(in->dtype);
    int32_t axis = attr ? norn_call_axis(call, 0, in->rank) : 0, rank = attr ? in->rank : 1;
    int64_t whole = norn_view_elems(in), length = attr ? in->dims[axis] : whole;
    int64_t inner = attr ? norn_dims_product(in->dims, axis + 1, in->rank) : 1,
            outer = length * inner > 0 ? whole / (length * inner) : 0;
    if (given > length) given = length;
    for (int64_t i = 0; i < given; i++) kept += keep[i] != 0;
    memcpy(dims, in->dims, sizeof dims);
    dims[axis] = kept;
    NORN_TRY(norn_call_output(call, 0, in->dtype, rank, dims));
    char *to = call->out[0].data;
    for (int64_t o = 0; o < outer; o++) {
        for (int64_t i = 0; i < given; i++) {
            if (!keep[i]) continue;
            memcpy(to, (const char *)in->data + (size_t)((o * length + i) * inner) * size,
                   (size_t)inner * size);
            to += (size_t)inner * size;
        }
    }
    return NORN_OK;
}
