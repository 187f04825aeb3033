/// MatMul of two activations: strided batches through cuBLASLt.
#include "cuda/gemm/gemm.h"
#include "cuda/ops/ops.h"
#include "tensor/dtype.h"

#include <string.h>

typedef struct matmul_state {
    norn_cuda_device *device;
    norn_dtype dtype;
    bool tf32;
} matmul_state;

bool norn_cuda_matmul_supports(const norn_step_spec *spec) {
    const norn_dtype dtype = spec->in[0].dtype;
    return norn_sum_dtype(dtype) == NORN_F32 && spec->in[1].dtype == dtype &&
           spec->out[0].dtype == dtype;
}

norn_status norn_cuda_matmul_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                     void **out) {
    matmul_state *state = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    *state =
        (matmul_state){.device = device, .dtype = spec->in[0].dtype, .tf32 = spec->numbers.tf32};
    *out = state;
    return NORN_OK;
}

/// The batches of one product; `dims` are those of the output before its last two.
typedef struct batch_list {
    int32_t rank;
    int64_t dims[NORN_MAX_RANK], stride_a[NORN_MAX_RANK], stride_b[NORN_MAX_RANK]; ///< in matrices
    int64_t count;
} batch_list;

static norn_view leading(const norn_view *view) {
    norn_view lead = *view;
    lead.rank = view->rank > 2 ? view->rank - 2 : 0;
    return lead;
}

static bool list_batches(const norn_view *a, const norn_view *b, batch_list *out) {
    norn_view la = leading(a), lb = leading(b);
    if (!norn_broadcast_dims(la.rank, la.dims, lb.rank, lb.dims, &out->rank, out->dims))
        return false;
    norn_broadcast_strides(&la, out->rank, out->dims, out->stride_a);
    norn_broadcast_strides(&lb, out->rank, out->dims, out->stride_b);
    out->count = norn_dims_product(out->dims, 0, out->rank);
    return true;
}

/// Whether the matrices of one side lie at one stride (0: the same every time) over all batches.
static bool uniform(const batch_list *batches, const int64_t *strides, int64_t *stride) {
    int64_t dense = 1;
    bool all_dense = true, all_same = true;
    for (int32_t d = batches->rank - 1; d >= 0; d--) {
        if (batches->dims[d] != 1) {
            all_dense = all_dense && strides[d] == dense;
            all_same = all_same && strides[d] == 0;
        }
        dense *= batches->dims[d];
    }
    *stride = all_same ? 0 : 1;
    return all_same || all_dense;
}

static int64_t matrix_of(const batch_list *batches, const int64_t *strides, int64_t index) {
    int64_t at = 0;
    for (int32_t d = batches->rank - 1; d >= 0; d--) {
        at += index % batches->dims[d] * strides[d];
        index /= batches->dims[d];
    }
    return at;
}

static norn_status run(norn_call *call, const norn_cuda_product *product) {
    const matmul_state *state = call->state;
    norn_stream *stream = norn_cuda_stream_of(call);
    return norn_cuda_lt_run(state->device, product, NULL, stream);
}

/// Batches that broadcast on both sides in turn: one product each.
static norn_status run_each(norn_call *call, const batch_list *all,
                            const norn_cuda_product *first) {
    const int64_t size = norn_dtype_bits(first->dtype) / 8;
    for (int64_t i = 0; i < all->count; i++) {
        norn_cuda_product product = *first;
        product.a =
            (const char *)first->a + matrix_of(all, all->stride_a, i) * first->m * first->k * size;
        product.b =
            (const char *)first->b + matrix_of(all, all->stride_b, i) * first->k * first->n * size;
        product.d = (char *)first->d + i * first->m * first->n * size;
        NORN_TRY(run(call, &product));
    }
    return NORN_OK;
}

norn_status norn_cuda_matmul(norn_call *call) {
    const matmul_state *state = call->state;
    norn_view a = call->in[0], b = call->in[1];
    batch_list all;
    // Vectors are a row and a column.
    if (a.rank == 1) a.dims[1] = a.dims[0], a.dims[0] = 1, a.rank = 2;
    if (b.rank == 1) b.dims[1] = 1, b.rank = 2;
    norn_cuda_product product = {.m = a.dims[a.rank - 2],
                                 .k = a.dims[a.rank - 1],
                                 .n = b.dims[b.rank - 1],
                                 .dtype = state->dtype,
                                 .out = state->dtype,
                                 .a = a.data,
                                 .b = b.data,
                                 .d = call->out[0].data,
                                 .tf32 = state->tf32,
                                 .batches = 1};
    size_t bytes;
    NORN_TRY(norn_view_bytes(&call->out[0], &bytes));
    if (bytes == 0) return NORN_OK;
    if (product.k == 0)
        return norn_cuda_status(
            cudaMemsetAsync(product.d, 0, bytes, norn_cuda_stream_of(call)->handle), "memset");
    if (!list_batches(&a, &b, &all))
        return norn_fail(NORN_INVALID_ARGUMENT, "batches do not broadcast");
    bool one_b = norn_dims_product(b.dims, 0, b.rank - 2) == 1;
    if (one_b) { // one matrix for all rows of all batches of A
        product.m *= norn_dims_product(a.dims, 0, a.rank - 2);
        all.count = 1;
    }
    product.lda = product.k;
    product.ldb = product.ldd = product.n;
    if (all.count == 1) return run(call, &product);
    int64_t step_a, step_b;
    if (!uniform(&all, all.stride_a, &step_a) || !uniform(&all, all.stride_b, &step_b) ||
        all.count > INT32_MAX)
        return run_each(call, &all, &product);
    product.batches = (int32_t)all.count;
    product.stride_a = step_a * product.m * product.k;
    product.stride_b = step_b * product.k * product.n;
    product.stride_d = product.m * product.n;
    return run(call, &product);
}
