// MatMulInteger, QLinearMatMul, ConvInteger, QLinearConv: exact integer sums, then the scales.
#include "cpu/kernels/conv.h"

#include <math.h>

/// Zero points are one, or one a row (of A), a column (of B) or a filter.
static int64_t zero_at(const norn_view *zero, int64_t i) {
    if (!zero || !norn_view_present(zero)) return 0;
    return norn_element_i64(zero->dtype, zero->data, norn_view_elems(zero) == 1 ? 0 : i);
}

/// A scale, zero point or bias is one, or one for each of `count`.
static norn_status check_count(const norn_call *call, const norn_view *in, int64_t count) {
    if (!in || !norn_view_present(in)) return NORN_OK;
    const int64_t elems = norn_view_elems(in);
    return elems == 1 || elems == count ? NORN_OK
                                        : norn_call_misfit(call, (uint32_t)(in - call->in));
}

typedef struct product_job {
    norn_call *call;
    const norn_view *a, *b, *a_zero, *b_zero;
    const norn_view *a_scale, *b_scale, *y_scale, *y_zero; ///< QLinearMatMul; else NULL
} product_job;

static double scale_at(const norn_view *scale, int64_t i) {
    return norn_element_f64(scale->dtype, scale->data, norn_view_elems(scale) == 1 ? 0 : i);
}

static void put_scaled(const norn_view *out, int64_t i, double value, int64_t zero) {
    uint32_t bits = norn_dtype_bits(out->dtype);
    bool is_signed = norn_dtype_is_signed(out->dtype);
    if (!norn_dtype_is_integer(out->dtype)) {
        norn_element_set_f64(out->dtype, out->data, i, value + (double)zero);
        return;
    }
    double low = is_signed ? -ldexp(1, (int)bits - 1) : 0,
           high = ldexp(1, (int)bits - is_signed) - 1;
    double y = rint(value) + (double)zero;
    norn_element_set_f64(out->dtype, out->data, i, y < low ? low : y > high ? high : y);
}

static norn_status product(const product_job *job) {
    norn_call *call = job->call;
    const norn_view *out = &call->out[0];
    norn_view a = *job->a, b = *job->b;
    int64_t k = a.dims[a.rank - 1], m = a.rank > 1 ? a.dims[a.rank - 2] : 1,
            n = b.rank > 1 ? b.dims[b.rank - 1] : 1;
    int64_t batch_dims[NORN_MAX_RANK], a_steps[NORN_MAX_RANK], b_steps[NORN_MAX_RANK];
    int32_t batch_rank = 0;
    norn_view a_batch = {.rank = a.rank > 2 ? a.rank - 2 : 0},
              b_batch = {.rank = b.rank > 2 ? b.rank - 2 : 0};
    for (int32_t d = 0; d < a_batch.rank; d++) a_batch.dims[d] = a.dims[d];
    for (int32_t d = 0; d < b_batch.rank; d++) b_batch.dims[d] = b.dims[d];
    if (!norn_broadcast_dims(a_batch.rank, a_batch.dims, b_batch.rank, b_batch.dims, &batch_rank,
                             batch_dims))
        return norn_call_misfit(call, 1);
    int64_t batches = norn_dims_product(batch_dims, 0, batch_rank);
    if ((b.rank > 1 ? b.dims[b.rank - 2] : b.dims[0]) != k ||
        batches * m * n != norn_view_elems(out))
        return norn_call_misfit(call, 1);
    norn_broadcast_strides(&a_batch, batch_rank, batch_dims, a_steps);
    norn_broadcast_strides(&b_batch, batch_rank, batch_dims, b_steps);
    NORN_TRY(check_count(call, job->a_zero, m));
    NORN_TRY(check_count(call, job->b_zero, n));
    NORN_TRY(check_count(call, job->a_scale, m));
    NORN_TRY(check_count(call, job->b_scale, n));
    NORN_TRY(check_count(call, job->y_scale, n));
    NORN_TRY(check_count(call, job->y_zero, n));
    for (int64_t i = 0; i < batches * m * n; i++) {
        int64_t column = i % n, row = i / n % m, rest = i / (n * m), a_at = 0, b_at = 0, sum = 0;
        for (int32_t d = batch_rank - 1; d >= 0; d--) {
            a_at += rest % batch_dims[d] * a_steps[d];
            b_at += rest % batch_dims[d] * b_steps[d];
            rest /= batch_dims[d];
        }
        int64_t za = zero_at(job->a_zero, row), zb = zero_at(job->b_zero, column);
        for (int64_t d = 0; d < k; d++)
            sum += (norn_element_i64(a.dtype, a.data, (a_at * m + row) * k + d) - za) *
                   (norn_element_i64(b.dtype, b.data, (b_at * k + d) * n + column) - zb);
        if (!job->a_scale)
            norn_element_set_i64(out->dtype, out->data, i, sum);
        else
            put_scaled(out, i,
                       (double)sum * scale_at(job->a_scale, row) * scale_at(job->b_scale, column) /
                           scale_at(job->y_scale, column),
                       zero_at(job->y_zero, column));
    }
    return NORN_OK;
}

static const norn_view *optional(const norn_call *call, uint32_t index) {
    return norn_call_has(call, index) ? &call->in[index] : NULL;
}

norn_status norn_cpu_matmul_integer(norn_call *call) {
    product_job job = {.call = call,
                       .a = &call->in[0],
                       .b = &call->in[1],
                       .a_zero = optional(call, 2),
                       .b_zero = optional(call, 3)};
    return product(&job);
}

norn_status norn_cpu_qlinear_matmul(norn_call *call) {
    const norn_view *in = call->in;
    product_job job = {call, &in[0], &in[3], &in[2], &in[5], &in[1], &in[4], &in[6], &in[7]};
    return product(&job);
}

static norn_status convolve(norn_call *call, const norn_view *x, const norn_view *w,
                            const norn_view *x_zero, const norn_view *w_zero,
                            const norn_view *const scales[3], const norn_view *y_zero,
                            const norn_view *bias) {
    const norn_view *out = &call->out[0];
    norn_conv conv;
    const int64_t *source;
    NORN_TRY(norn_conv_describe(call, x, w, out, &conv));
    NORN_TRY(norn_conv_sources(call, &conv, &source));
    NORN_TRY(check_count(call, x_zero, 1));
    NORN_TRY(check_count(call, w_zero, conv.filters));
    NORN_TRY(check_count(call, y_zero, 1));
    NORN_TRY(check_count(call, bias, conv.filters));
    for (int i = 0; scales && i < 3; i++)
        NORN_TRY(check_count(call, scales[i], i == 1 ? conv.filters : 1));
    int64_t per_group = conv.channels / conv.groups, zx = zero_at(x_zero, 0),
            elems = norn_view_elems(out);
    for (int64_t i = 0; i < elems; i++) {
        int64_t p = i % conv.out_plane, m = i / conv.out_plane % conv.filters,
                n = i / (conv.out_plane * conv.filters);
        int64_t group = m / (conv.filters / conv.groups), zw = zero_at(w_zero, m), sum = 0;
        for (int64_t c = 0; c < per_group; c++) {
            for (int64_t t = 0; t < conv.taps; t++) {
                int64_t at = source[t * conv.out_plane + p];
                if (at < 0) continue; // padding is the zero point
                int64_t xv = norn_element_i64(
                    x->dtype, x->data,
                    (n * conv.channels + group * per_group + c) * conv.in_plane + at);
                sum +=
                    (xv - zx) *
                    (norn_element_i64(w->dtype, w->data, (m * per_group + c) * conv.taps + t) - zw);
            }
        }
        if (bias) sum += zero_at(bias, m);
        if (!scales)
            norn_element_set_i64(out->dtype, out->data, i, sum);
        else
            put_scaled(out, i,
                       (double)sum * scale_at(scales[0], 0) * scale_at(scales[1], m) /
                           scale_at(scales[2], 0),
                       zero_at(y_zero, 0));
    }
    return NORN_OK;
}

norn_status norn_cpu_conv_integer(norn_call *call) {
    return convolve(call, &call->in[0], &call->in[1], optional(call, 2), optional(call, 3), NULL,
                    NULL, NULL);
}

norn_status norn_cpu_qlinear_conv(norn_call *call) {
    const norn_view *in = call->in, *const scales[3] = {&in[1], &in[4], &in[6]};
    return convolve(call, &in[0], &in[3], &in[2], &in[5], scales, &in[7], optional(call, 8));
}
