// ScatterElements, ScatterND, TensorScatter: a copy of the data, then updates at indices.
#include "cpu/kernels/index_of.h"
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <string.h>

typedef enum scatter_mode {
    SCATTER_SET,
    SCATTER_ADD,
    SCATTER_MUL,
    SCATTER_MAX,
    SCATTER_MIN
} scatter_mode;

static norn_status mode_of(const norn_call *call, scatter_mode *mode) {
    const char *name = norn_attr_string(call->attrs, "reduction", "none");
    const char *const names[] = {"none", "add", "mul", "max", "min"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *mode = (scatter_mode)i;
        return NORN_OK;
    }
    return norn_fail(NORN_INVALID_ARGUMENT, "reduction is '%s'", name);
}

static double combine_f64(scatter_mode mode, double a, double b) {
    switch (mode) {
    case SCATTER_ADD:
        return a + b;
    case SCATTER_MUL:
        return a * b;
    case SCATTER_MAX:
        return a > b || a != a ? a : b;
    case SCATTER_MIN:
        return a < b || a != a ? a : b;
    case SCATTER_SET:
        break;
    }
    return b;
}

static int64_t combine_bits(scatter_mode mode, norn_dtype dtype, int64_t a, int64_t b) {
    const bool less = norn_bits_order(dtype, a) < norn_bits_order(dtype, b);
    switch (mode) {
    case SCATTER_ADD:
        return (int64_t)((uint64_t)a + (uint64_t)b);
    case SCATTER_MUL:
        return (int64_t)((uint64_t)a * (uint64_t)b);
    case SCATTER_MAX:
        return less ? b : a;
    case SCATTER_MIN:
        return less ? a : b;
    case SCATTER_SET:
        break;
    }
    return b;
}

/// `count` elements of the update at `from` into the output at `to`.
static void scatter_run(const norn_view *out, int64_t to, const norn_view *updates, int64_t from,
                        int64_t count, scatter_mode mode) {
    size_t size = norn_view_element_bytes(out);
    if (mode == SCATTER_SET) {
        memcpy((char *)out->data + (size_t)to * size,
               (const char *)updates->data + (size_t)from * size, (size_t)count * size);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        if (norn_dtype_is_float(out->dtype)) {
            double a = norn_element_f64(out->dtype, out->data, to + i),
                   b = norn_element_f64(out->dtype, updates->data, from + i);
            norn_element_set_f64(out->dtype, out->data, to + i, combine_f64(mode, a, b));
        } else {
            int64_t a = norn_element_bits(out->dtype, out->data, to + i),
                    b = norn_element_bits(out->dtype, updates->data, from + i);
            norn_element_set_i64(out->dtype, out->data, to + i,
                                 combine_bits(mode, out->dtype, a, b));
        }
    }
}

static norn_status scatter_base(norn_call *call, scatter_mode *mode) {
    norn_dtype dtype = call->out[0].dtype;
    size_t bytes;
    NORN_TRY(mode_of(call, mode));
    if (norn_dtype_bits(dtype) < 8 || (dtype == NORN_STRING && *mode != SCATTER_SET))
        return norn_call_refuse(dtype);
    NORN_TRY(norn_view_bytes(&call->in[0], &bytes));
    if (bytes && call->out[0].data != call->in[0].data)
        memcpy(call->out[0].data, call->in[0].data, bytes);
    return NORN_OK;
}

norn_status norn_cpu_scatter_elements(norn_call *call) {
    const norn_view *out = &call->out[0], *at = &call->in[1], *updates = &call->in[2];
    int32_t axis = norn_call_axis(call, 0, out->rank);
    const int64_t *indices;
    int64_t strides[NORN_MAX_RANK];
    scatter_mode mode;
    NORN_TRY(scatter_base(call, &mode));
    NORN_TRY(norn_operand_i64(call, at, &indices));
    if (at->rank != out->rank || !norn_view_same_shape(at, updates) || updates->dtype != out->dtype)
        return norn_call_misfit(call, 1);
    for (int32_t d = 0; d < at->rank; d++)
        if (d != axis && at->dims[d] > out->dims[d]) return norn_call_misfit(call, 1);
    norn_strided_dense(out->rank, out->dims, strides);
    int64_t elems = norn_view_elems(at);
    for (int64_t i = 0; i < elems; i++) {
        int64_t rest = i, to = 0, index = indices[i];
        NORN_TRY(norn_index_in(&index, out->dims[axis]));
        for (int32_t d = out->rank - 1; d >= 0; d--) {
            to += (d == axis ? index : rest % at->dims[d]) * strides[d];
            rest /= at->dims[d];
        }
        scatter_run(out, to, updates, i, 1, mode);
    }
    return NORN_OK;
}

norn_status norn_cpu_scatter_nd(norn_call *call) {
    const norn_view *out = &call->out[0], *at = &call->in[1], *updates = &call->in[2];
    const int64_t *indices;
    scatter_mode mode;
    NORN_TRY(scatter_base(call, &mode));
    NORN_TRY(norn_operand_i64(call, at, &indices));
    if (at->rank < 1 || at->dims[at->rank - 1] > out->rank || updates->dtype != out->dtype)
        return norn_call_misfit(call, 1);
    int32_t depth = (int32_t)at->dims[at->rank - 1];
    int64_t run = norn_dims_product(out->dims, depth, out->rank),
            picks = norn_dims_product(at->dims, 0, at->rank - 1);
    if (picks * run != norn_view_elems(updates)) return norn_call_misfit(call, 2);
    for (int64_t i = 0; i < picks; i++) {
        int64_t to = 0;
        for (int32_t d = 0; d < depth; d++) {
            int64_t index = indices[i * depth + d];
            NORN_TRY(norn_index_in(&index, out->dims[d]));
            to = to * out->dims[d] + index;
        }
        scatter_run(out, to * run, updates, i * run, run, mode);
    }
    return NORN_OK;
}

/// Rows of an update written at a position of the cache, circular or not.
norn_status norn_cpu_tensor_scatter(norn_call *call) {
    const norn_view *out = &call->out[0], *updates = &call->in[1];
    int64_t axis_value = norn_attr_i64(call->attrs, "axis", -2);
    const int64_t *first;
    scatter_mode mode;
    bool circular = strcmp(norn_attr_string(call->attrs, "mode", "linear"), "circular") == 0;
    NORN_TRY(scatter_base(call, &mode));
    NORN_TRY(norn_input_i64(call, 2, &first));
    int32_t axis = (int32_t)(axis_value < 0 ? axis_value + out->rank : axis_value);
    if (axis < 1 || axis >= out->rank || updates->rank != out->rank || updates->dtype != out->dtype)
        return norn_call_misfit(call, 1);
    for (int32_t d = 0; d < out->rank; d++)
        if (d != axis && updates->dims[d] != out->dims[d]) return norn_call_misfit(call, 1);
    if (first && norn_view_elems(&call->in[2]) != out->dims[0]) return norn_call_misfit(call, 2);
    int64_t length = out->dims[axis], added = updates->dims[axis],
            run = norn_dims_product(out->dims, axis + 1, out->rank);
    int64_t prefixes = norn_dims_product(out->dims, 0, axis),
            per_batch = norn_dims_product(out->dims, 1, axis);
    for (int64_t p = 0; p < prefixes; p++) {
        for (int64_t s = 0; s < added; s++) {
            int64_t at = s + (first ? first[p / per_batch] : 0);
            if (circular && length > 0) at %= length;
            if (at < 0 || at >= length) return norn_index_outside(at, length);
            scatter_run(out, (p * length + at) * run, updates, (p * added + s) * run, run,
                        SCATTER_SET);
        }
    }
    return NORN_OK;
}
