// Softmax, LogSoftmax, Hardmax along any axis. Float32 and the half types compute in float32 with
// the sum in float64; float64 in itself.
#include "cpu/cpu_kernel.h"
#include "cpu/micro/reduce_f32.h"
#include "cpu/micro/tile_op.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

typedef enum softmax_kind { SOFTMAX, LOG_SOFTMAX, HARDMAX } softmax_kind;

typedef struct softmax_job {
    softmax_kind kind;
    norn_dtype dtype;
    int64_t n, inner;
    const char *x;
    char *y;
    char *rows; ///< a row of work for each worker
    const norn_reduce_f32 *reduce;
    norn_tile_fn exp, sub, mul;
} softmax_job;

static int64_t first_max(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

static void row_f32(const softmax_job *job, const float *x, float *y) {
    int64_t n = job->n;
    if (job->kind == HARDMAX) {
        int64_t best = first_max(x, n);
        memset(y, 0, (size_t)n * sizeof *y);
        y[best] = 1;
        return;
    }
    float max = job->reduce->max(x, n);
    norn_tile_operand in[3] = {{x, 1}, {&max, 0}};
    if (job->kind == LOG_SOFTMAX) {
        double sum = 0;
        float part[256];
        for (int64_t i = 0; i < n; i += 256) {
            int64_t count = n - i < 256 ? n - i : 256;
            in[0].data = x + i;
            job->sub(part, in, count);
            job->exp(part, &(norn_tile_operand){part, 1}, count);
            sum += job->reduce->sum(part, count);
        }
        float shift = (float)((double)max + log(sum));
        in[0].data = x;
        in[1].data = &shift;
        job->sub(y, in, n);
        return;
    }
    job->sub(y, in, n);
    job->exp(y, &(norn_tile_operand){y, 1}, n);
    float scale = (float)(1 / job->reduce->sum(y, n));
    job->mul(y, (norn_tile_operand[3]){{y, 1}, {&scale, 0}}, n);
}

static void row_f64(const softmax_job *job, const double *x, double *y) {
    double max = x[0], sum = 0;
    int64_t best = 0;
    for (int64_t i = 1; i < job->n; i++)
        if (x[i] > max) max = x[i], best = i;
    if (job->kind == HARDMAX) {
        memset(y, 0, (size_t)job->n * sizeof *y);
        y[best] = 1;
        return;
    }
    for (int64_t i = 0; i < job->n; i++) sum += exp(x[i] - max);
    for (int64_t i = 0; i < job->n; i++)
        y[i] = job->kind == SOFTMAX ? exp(x[i] - max) / sum : x[i] - max - log(sum);
}

/// A row that is strided or of a half type goes through the worker's buffer.
static void row_buffered(const softmax_job *job, int64_t first, int32_t worker) {
    bool wide = job->dtype == NORN_F64;
    char *buffer = job->rows + worker * job->n * 8;
    norn_dtype compute = wide ? NORN_F64 : NORN_F32;
    for (int64_t i = 0; i < job->n; i++)
        norn_element_set_f64(compute, buffer, i,
                             norn_element_f64(job->dtype, job->x, first + i * job->inner));
    if (wide)
        row_f64(job, (const double *)(const void *)buffer, (double *)(void *)buffer);
    else
        row_f32(job, (const float *)(const void *)buffer, (float *)(void *)buffer);
    for (int64_t i = 0; i < job->n; i++)
        norn_element_set_f64(job->dtype, job->y, first + i * job->inner,
                             norn_element_f64(compute, buffer, i));
}

static void softmax_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const softmax_job *job = context;
    for (int64_t row = begin; row < end; row++) {
        int64_t first = row / job->inner * job->n * job->inner + row % job->inner;
        if (job->inner == 1 && job->dtype == NORN_F32)
            row_f32(job, (const float *)(const void *)job->x + first,
                    (float *)(void *)job->y + first);
        else
            row_buffered(job, first, worker);
    }
}

static norn_status softmax(norn_call *call, softmax_kind kind) {
    const norn_view *x = &call->in[0];
    norn_view *y = &call->out[0];
    norn_isa isa = norn_isa_get();
    int64_t axis = norn_attr_i64(call->attrs, "axis", -1);
    if (!norn_view_present(y)) return NORN_OK;
    if (axis < 0) axis += x->rank;
    softmax_job job = {
        .kind = kind,
        .dtype = x->dtype,
        .n = x->rank ? x->dims[axis] : 1,
        .inner = x->rank ? norn_dims_product(x->dims, (int32_t)axis + 1, x->rank) : 1,
        .x = x->data,
        .y = y->data,
        .reduce = norn_reduce_f32_of(isa),
        .exp = norn_tile_op(isa, NORN_SCALAR_EXP, NORN_F32, NORN_F32),
        .sub = norn_tile_op(isa, NORN_SCALAR_SUB, NORN_F32, NORN_F32),
        .mul = norn_tile_op(isa, NORN_SCALAR_MUL, NORN_F32, NORN_F32),
    };
    int64_t rows = (x->rank ? norn_dims_product(x->dims, 0, (int32_t)axis) : 1) * job.inner;
    if (rows == 0 || job.n == 0) return NORN_OK;
    int32_t threads = call->pool ? norn_pool_threads(call->pool) : 1;
    void *buffer;
    NORN_TRY(norn_cpu_scratch(call, job.n, 8 * (size_t)threads, &buffer));
    job.rows = buffer;
    norn_pool_loop(call->pool, rows, 8192 / job.n + 1, softmax_range, &job);
    return NORN_OK;
}

norn_status norn_cpu_softmax(norn_call *call) {
    return softmax(call, SOFTMAX);
}
norn_status norn_cpu_log_softmax(norn_call *call) {
    return softmax(call, LOG_SOFTMAX);
}
norn_status norn_cpu_hardmax(norn_call *call) {
    return softmax(call, HARDMAX);
}
