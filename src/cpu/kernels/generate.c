// ConstantOfShape, EyeLike, Range, Trilu, ReverseSequence, and Col2Im.
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <string.h>

norn_status norn_cpu_constant_of_shape(norn_call *call) {
    const norn_attr *attr = norn_attr_find(call->attrs, "value");
    norn_view out;
    uint8_t zeros[16] = {0};
    const void *value = zeros;
    int64_t elems = norn_view_elems(&call->out[0]);
    NORN_TRY(norn_unpack_output(call, &call->out[0], &out));
    if (attr && attr->kind == NORN_ATTR_TENSOR) {
        norn_view element;
        NORN_TRY(norn_unpack(call, attr->tensor, &element));
        value = element.data;
    }
    norn_strided shape = {0};
    norn_strided_push(&shape, elems, 0, 1);
    norn_strided_copy(call->pool, out.data, value, norn_view_element_bytes(&out), &shape);
    norn_pack(&out, &call->out[0]);
    return NORN_OK;
}

norn_status norn_cpu_eye_like(norn_call *call) {
    const norn_view *out = &call->out[0];
    int64_t k = norn_attr_i64(call->attrs, "k", 0);
    for (int64_t r = 0; r < out->dims[0]; r++)
        for (int64_t c = 0; c < out->dims[1]; c++)
            norn_element_set_f64(out->dtype, out->data, r * out->dims[1] + c, c - r == k ? 1 : 0);
    return NORN_OK;
}

norn_status norn_cpu_range(norn_call *call) {
    const norn_view *out = &call->out[0];
    NORN_TRY(norn_call_numbers(call, 0, 3));
    if (norn_dtype_is_integer(out->dtype)) {
        int64_t start = norn_element_i64(out->dtype, call->in[0].data, 0),
                step = norn_element_i64(out->dtype, call->in[2].data, 0);
        for (int64_t i = 0; i < out->dims[0]; i++)
            norn_element_set_i64(out->dtype, out->data, i,
                                 (int64_t)((uint64_t)start + (uint64_t)i * (uint64_t)step));
        return NORN_OK;
    }
    double start = norn_element_f64(out->dtype, call->in[0].data, 0),
           step = norn_element_f64(out->dtype, call->in[2].data, 0);
    for (int64_t i = 0; i < out->dims[0]; i++)
        norn_element_set_f64(out->dtype, out->data, i, start + (double)i * step);
    return NORN_OK;
}

norn_status norn_cpu_trilu(norn_call *call) {
    const norn_view *in = &call->in[0];
    norn_view from, to;
    NORN_TRY(norn_call_numbers(call, 1, 2));
    int64_t k =
        norn_call_has(call, 1) ? norn_element_i64(call->in[1].dtype, call->in[1].data, 0) : 0;
    bool upper = norn_attr_i64(call->attrs, "upper", 1) != 0;
    if (in->rank < 2) return norn_call_misfit(call, 0);
    NORN_TRY(norn_unpack(call, in, &from));
    NORN_TRY(norn_unpack_output(call, &call->out[0], &to));
    size_t size = norn_view_element_bytes(&from);
    int64_t rows = in->dims[in->rank - 2], columns = in->dims[in->rank - 1],
            elems = norn_view_elems(in);
    for (int64_t i = 0; i < elems; i++) {
        int64_t c = i % columns, r = i / columns % rows;
        bool keep = upper ? c - r >= k : c - r <= k;
        char *at = (char *)to.data + (size_t)i * size;
        if (keep)
            memcpy(at, (const char *)from.data + (size_t)i * size, size);
        else
            memset(at, 0, size);
    }
    norn_pack(&to, &call->out[0]);
    return NORN_OK;
}

norn_status norn_cpu_reverse_sequence(norn_call *call) {
    const norn_view *in = &call->in[0];
    int64_t batch_axis = norn_attr_i64(call->attrs, "batch_axis", 1),
            time_axis = norn_attr_i64(call->attrs, "time_axis", 0);
    const int64_t *lengths;
    NORN_TRY(norn_input_i64(call, 1, &lengths));
    if (in->rank < 2 || batch_axis + time_axis != 1 || batch_axis * time_axis != 0 ||
        norn_view_elems(&call->in[1]) != in->dims[batch_axis])
        return norn_call_misfit(call, 1);
    int64_t inner = norn_dims_product(in->dims, 2, in->rank), steps = in->dims[time_axis];
    size_t bytes = (size_t)inner * norn_view_element_bytes(in);
    int64_t step_rows = time_axis == 0 ? in->dims[1] : 1,
            batch_rows = time_axis == 0 ? 1 : in->dims[1];
    for (int64_t b = 0; b < in->dims[batch_axis]; b++) {
        if (lengths[b] < 0 || lengths[b] > steps)
            return norn_fail(NORN_INVALID_ARGUMENT, "sequence %lld has length %lld of %lld",
                             (long long)b, (long long)lengths[b], (long long)steps);
        for (int64_t t = 0; t < steps; t++) {
            int64_t from = t < lengths[b] ? lengths[b] - 1 - t : t;
            memcpy((char *)call->out[0].data + (size_t)(t * step_rows + b * batch_rows) * bytes,
                   (const char *)in->data + (size_t)(from * step_rows + b * batch_rows) * bytes,
                   bytes);
        }
    }
    return NORN_OK;
}

/// Columns [N, C * block, L] are summed where their blocks lie in the image [N, C, d...].
norn_status norn_cpu_col2im(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const int64_t *block, *given;
    const double *columns;
    double *image;
    int32_t rank = out->rank - 2;
    int64_t dilation[NORN_MAX_RANK], stride[NORN_MAX_RANK], begin[NORN_MAX_RANK],
        places[NORN_MAX_RANK], block_elems = 1, total = 1;
    NORN_TRY(norn_input_i64(call, 2, &block));
    NORN_TRY(norn_input_f64(call, 0, &columns));
    NORN_TRY(norn_output_f64(call, 0, &image));
    uint32_t n = norn_attr_ints(call->attrs, "dilations", &given);
    for (int32_t i = 0; i < rank; i++) dilation[i] = (uint32_t)i < n ? given[i] : 1;
    n = norn_attr_ints(call->attrs, "strides", &given);
    for (int32_t i = 0; i < rank; i++) stride[i] = (uint32_t)i < n ? given[i] : 1;
    n = norn_attr_ints(call->attrs, "pads", &given);
    for (int32_t i = 0; i < rank; i++) {
        begin[i] = (uint32_t)i < n ? given[i] : 0;
        int64_t end = (uint32_t)(i + rank) < n ? given[i + rank] : 0;
        if (stride[i] < 1) return norn_call_misfit(call, 0);
        places[i] =
            (out->dims[i + 2] + begin[i] + end - (dilation[i] * (block[i] - 1) + 1)) / stride[i] +
            1;
        block_elems *= block[i];
        total *= places[i];
    }
    if (total != in->dims[2] || in->dims[1] != out->dims[1] * block_elems)
        return norn_call_misfit(call, 0);
    memset(image, 0, (size_t)norn_view_elems(out) * sizeof *image);
    int64_t plane = norn_dims_product(out->dims, 2, out->rank);
    for (int64_t row = 0; row < in->dims[0] * in->dims[1]; row++) {
        for (int64_t l = 0; l < total; l++) {
            int64_t in_block = row % block_elems, place = l, at = 0, scale = 1;
            bool inside = true;
            for (int32_t d = rank - 1; d >= 0; d--) {
                int64_t x =
                    place % places[d] * stride[d] + in_block % block[d] * dilation[d] - begin[d];
                inside = inside && x >= 0 && x < out->dims[d + 2];
                at += x * scale;
                scale *= out->dims[d + 2];
                place /= places[d];
                in_block /= block[d];
            }
            if (inside) image[row / block_elems * plane + at] += columns[row * total + l];
        }
    }
    norn_result_f64(call, 0, image);
    return NORN_OK;
}
