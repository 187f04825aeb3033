// LayerNormalization and RMSNormalization over the dims from `axis` on.
#include "cpu/cpu_kernel.h"
#include "cpu/micro/reduce_f32.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>

typedef struct norm_job {
    const norn_call *call;
    bool centred; ///< LayerNormalization takes the mean away
    double epsilon;
    int64_t n;
    const norn_view *x, *scale, *bias; ///< bias may be NULL
    bool plain;                        ///< float32, scale and bias of n elements each
    int64_t scale_strides[NORN_MAX_RANK], bias_strides[NORN_MAX_RANK];
    norn_view *y, *mean, *inverse; ///< the last two may be NULL
    const norn_reduce_f32 *reduce;
} norm_job;

static void put_stash(norn_view *view, int64_t row, double value) {
    if (view) norn_element_set_f64(view->dtype, view->data, row, value);
}

static void row_plain(const norm_job *job, int64_t row) {
    const float *x = (const float *)job->x->data + row * job->n;
    const float *scale = job->scale->data, *bias = job->bias ? job->bias->data : NULL;
    float *y = (float *)job->y->data + row * job->n;
    double mean = job->centred ? job->reduce->sum(x, job->n) / (double)job->n : 0;
    float centre = (float)mean;
    // With the mean rounded to float32, E[(x - c)^2] is (mean - c)^2 too large.
    double off = mean - (double)centre;
    double variance = job->reduce->sum_squares(x, centre, job->n) / (double)job->n - off * off;
    double inverse = 1 / sqrt(variance + job->epsilon);
    float factor = (float)inverse;
    if (bias)
        for (int64_t i = 0; i < job->n; i++) y[i] = (x[i] - centre) * factor * scale[i] + bias[i];
    else
        for (int64_t i = 0; i < job->n; i++) y[i] = (x[i] - centre) * factor * scale[i];
    put_stash(job->mean, row, mean);
    put_stash(job->inverse, row, inverse);
}

static double operand_at(const norn_view *operand, const int64_t *strides, const norn_view *x,
                         int64_t flat) {
    int64_t offset = 0;
    for (int32_t d = x->rank - 1; d >= 0; d--) {
        offset += flat % x->dims[d] * strides[d];
        flat /= x->dims[d];
    }
    return norn_element_f64(operand->dtype, operand->data, offset);
}

/// Any type, any broadcast of scale and bias: element by element in float64.
static void row_any(const norm_job *job, int64_t row) {
    const norn_view *x = job->x;
    double mean = 0, variance = 0;
    for (int64_t i = 0; job->centred && i < job->n; i++)
        mean += norn_element_f64(x->dtype, x->data, row * job->n + i);
    mean /= (double)job->n;
    for (int64_t i = 0; i < job->n; i++) {
        double d = norn_element_f64(x->dtype, x->data, row * job->n + i) - mean;
        variance += d * d;
    }
    double inverse = 1 / sqrt(variance / (double)job->n + job->epsilon);
    for (int64_t i = 0; i < job->n; i++) {
        int64_t at = row * job->n + i;
        double value = (norn_element_f64(x->dtype, x->data, at) - mean) * inverse *
                       operand_at(job->scale, job->scale_strides, x, at);
        if (job->bias) value += operand_at(job->bias, job->bias_strides, x, at);
        norn_element_set_f64(job->y->dtype, job->y->data, at, value);
    }
    put_stash(job->mean, row, mean);
    put_stash(job->inverse, row, inverse);
}

static void norm_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const norm_job *job = context;
    (void)worker;
    for (int64_t row = begin; row < end; row++) {
        if (job->plain)
            row_plain(job, row);
        else
            row_any(job, row);
    }
}

static bool is_plain(const norn_view *view, int64_t n, int32_t x_rank, int64_t axis) {
    return view->dtype == NORN_F32 && norn_view_elems(view) == n && view->rank <= x_rank - axis;
}

static norn_view *wanted(norn_call *call, uint32_t index) {
    return index < call->out_count && norn_view_present(&call->out[index]) ? &call->out[index]
                                                                           : NULL;
}

static norn_status normalise(norn_call *call, bool centred) {
    const norn_view *x = &call->in[0];
    int64_t axis = norn_attr_i64(call->attrs, "axis", -1);
    if (axis < 0) axis += x->rank;
    norm_job job = {
        .call = call,
        .centred = centred,
        .epsilon = (double)norn_attr_f32(call->attrs, "epsilon", 1e-5f),
        .n = norn_dims_product(x->dims, (int32_t)axis, x->rank),
        .x = x,
        .scale = &call->in[1],
        .bias =
            centred && call->in_count > 2 && norn_view_present(&call->in[2]) ? &call->in[2] : NULL,
        .y = wanted(call, 0),
        .mean = centred ? wanted(call, 1) : NULL,
        .inverse = centred ? wanted(call, 2) : NULL,
        .reduce = norn_reduce_f32_of(norn_isa_get()),
    };
    int64_t rows = norn_dims_product(x->dims, 0, (int32_t)axis);
    norn_view none = norn_view_of(x->dtype, x->rank, x->dims, NULL);
    if (rows == 0 || job.n == 0) return NORN_OK;
    if (!job.y) { // only the statistics are read
        void *data;
        NORN_TRY(norn_cpu_scratch(call, rows * job.n, 8, &data));
        none.data = data;
        job.y = &none;
    }
    job.plain = x->dtype == NORN_F32 && is_plain(job.scale, job.n, x->rank, axis) &&
                (!job.bias || is_plain(job.bias, job.n, x->rank, axis));
    norn_broadcast_strides(job.scale, x->rank, x->dims, job.scale_strides);
    if (job.bias) norn_broadcast_strides(job.bias, x->rank, x->dims, job.bias_strides);
    norn_pool_loop(call->pool, rows, 8192 / job.n + 1, norm_range, &job);
    return NORN_OK;
}

norn_status norn_cpu_layer_norm(norn_call *call) {
    return normalise(call, true);
}
norn_status norn_cpu_rms_norm(norn_call *call) {
    return normalise(call, false);
}
