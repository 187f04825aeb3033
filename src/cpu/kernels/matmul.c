// MatMul: batched products with broadcasting.
#include "cpu/kernels/gemm_any.h"
#include "cpu/kernels/gemm_f32.h"
#include "cpu/micro/tile_op.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>

/// Both operands as stacks of matrices: where each product of the result finds its factors.
typedef struct matmul_shape {
    int64_t m, n, k;
    int32_t rank;                                               ///< of the batch
    int64_t dims[NORN_MAX_RANK];                                ///< of the batch
    int64_t a_strides[NORN_MAX_RANK], b_strides[NORN_MAX_RANK]; ///< elements; 0 where it repeats
    int64_t batches;
} matmul_shape;

static void batch_strides(const norn_view *view, int32_t view_batch, int64_t matrix, int32_t rank,
                          int64_t *strides) {
    int64_t step = matrix;
    for (int32_t d = rank - 1; d >= 0; d--) {
        int32_t own = d - (rank - view_batch);
        int64_t dim = own >= 0 ? view->dims[own] : 1;
        strides[d] = dim == 1 ? 0 : step;
        step *= dim;
    }
}

static void matmul_shape_of(const norn_view *a, const norn_view *b, matmul_shape *shape) {
    shape->k = a->dims[a->rank - 1];
    shape->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    shape->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    int32_t a_batch = a->rank > 2 ? a->rank - 2 : 0, b_batch = b->rank > 2 ? b->rank - 2 : 0;
    if (b_batch == 0) { // one B: all rows of A are one matrix
        shape->m = norn_dims_product(a->dims, 0, a->rank - 1);
        a_batch = 0;
    }
    shape->rank = a_batch > b_batch ? a_batch : b_batch;
    shape->batches = 1;
    for (int32_t d = 0; d < shape->rank; d++) {
        int32_t in_a = d - (shape->rank - a_batch), in_b = d - (shape->rank - b_batch);
        int64_t dim_a = in_a >= 0 ? a->dims[in_a] : 1, dim_b = in_b >= 0 ? b->dims[in_b] : 1;
        shape->dims[d] = dim_a == 1 ? dim_b : dim_a;
        shape->batches *= shape->dims[d];
    }
    batch_strides(a, a_batch, shape->m * shape->k, shape->rank, shape->a_strides);
    batch_strides(b, b_batch, shape->k * shape->n, shape->rank, shape->b_strides);
}

static void batch_offsets(const matmul_shape *shape, int64_t batch, int64_t *a, int64_t *b) {
    *a = *b = 0;
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        int64_t index = batch % shape->dims[d];
        batch /= shape->dims[d];
        *a += index * shape->a_strides[d];
        *b += index * shape->b_strides[d];
    }
}

/// Rows of A from which packing B pays.
enum { PACK_ROWS_MIN = 24, GRAIN_WORK = 64 * 1024 };

typedef struct matmul_job {
    matmul_shape shape;
    const float *a, *b;
    float *c;
    float *panels; ///< for each worker, or NULL: B is read in place
    norn_pool *pool;
} matmul_job;

static void matmul_batch(const matmul_job *job, int64_t batch, int32_t worker, norn_pool *pool) {
    const matmul_shape *shape = &job->shape;
    int64_t a, b;
    batch_offsets(shape, batch, &a, &b);
    norn_gemm_f32 gemm = {.m = shape->m,
                          .n = shape->n,
                          .k = shape->k,
                          .a = job->a + a,
                          .lda = shape->k,
                          .b = job->b + b,
                          .ldb = shape->n,
                          .b_panel = NORN_GEMM_PANEL,
                          .c = job->c + batch * shape->m * shape->n,
                          .ldc = shape->n,
                          .floor = -INFINITY};
    if (job->panels) {
        float *panels = job->panels + worker * norn_gemm_packed_elems(shape->k, shape->n);
        norn_gemm_f32_pack(shape->k, shape->n, gemm.b, shape->n, 1, panels);
        gemm.b = panels;
        gemm.ldb = NORN_GEMM_PANEL;
        gemm.b_panel = shape->k * NORN_GEMM_PANEL;
    }
    norn_gemm_f32_run(&gemm, pool);
}

static void matmul_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    for (int64_t batch = begin; batch < end; batch++) matmul_batch(context, batch, worker, NULL);
}

static norn_status matmul_f32(norn_call *call, const matmul_shape *shape, const norn_view *a,
                              const norn_view *b, float *c) {
    int32_t threads = call->pool ? norn_pool_threads(call->pool) : 1;
    matmul_job job = {.shape = *shape, .a = a->data, .b = b->data, .c = c, .pool = call->pool};
    bool inside = shape->batches < threads; // threads share each product
    if (shape->m >= PACK_ROWS_MIN) {
        void *panels;
        NORN_TRY(norn_cpu_scratch(call, norn_gemm_packed_elems(shape->k, shape->n),
                                  sizeof(float) * (size_t)(inside ? 1 : threads), &panels));
        job.panels = panels;
    }
    if (inside) {
        for (int64_t batch = 0; batch < shape->batches; batch++)
            matmul_batch(&job, batch, 0, call->pool);
    } else {
        int64_t work = shape->m * shape->n * (shape->k + 1) + 64;
        norn_pool_loop(call->pool, shape->batches, GRAIN_WORK / work + 1, matmul_range, &job);
    }
    return NORN_OK;
}

static norn_status matmul_half(norn_call *call, const matmul_shape *shape) {
    norn_view *out = &call->out[0];
    norn_view a, b;
    void *c;
    int64_t count = shape->batches * shape->m * shape->n;
    NORN_TRY(norn_gemm_as_f32(call, &call->in[0], &a));
    NORN_TRY(norn_gemm_as_f32(call, &call->in[1], &b));
    NORN_TRY(norn_cpu_scratch(call, count, sizeof(float), &c));
    NORN_TRY(matmul_f32(call, shape, &a, &b, c));
    const norn_tile_operand in[3] = {{c, 1}};
    norn_tile_cast(NORN_F32, out->dtype)(out->data, in, count);
    return NORN_OK;
}

norn_status norn_cpu_matmul(norn_call *call) {
    const norn_view *a = &call->in[0], *b = &call->in[1];
    norn_view *out = &call->out[0];
    matmul_shape shape;
    if (!norn_view_present(out)) return NORN_OK;
    matmul_shape_of(a, b, &shape);
    if (a->dtype == NORN_F32) return matmul_f32(call, &shape, a, b, out->data);
    if (norn_dtype_is_half(a->dtype)) return matmul_half(call, &shape);
    if (!norn_gemm_any_has(a->dtype))
        return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no MatMul of %s",
                         norn_dtype_name(a->dtype));
    int64_t size = norn_dtype_bits(a->dtype) / 8;
    for (int64_t batch = 0; batch < shape.batches; batch++) {
        int64_t at_a, at_b;
        batch_offsets(&shape, batch, &at_a, &at_b);
        norn_gemm_any_run(&(norn_gemm_any){
            .dtype = a->dtype,
            .m = shape.m,
            .n = shape.n,
            .k = shape.k,
            .a = (const char *)a->data + at_a * size,
            .b = (const char *)b->data + at_b * size,
            .c = (char *)out->data + batch * shape.m * shape.n * size,
            .a_row = shape.k,
            .a_column = 1,
            .b_row = shape.n,
            .b_column = 1,
            .c_row = shape.n,
        });
    }
    return NORN_OK;
}
