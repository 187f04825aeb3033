/// cuBLASLt on row-major operands: D^T = B^T A^T in its column-major terms.
#include "cuda/gemm/gemm.h"

typedef struct lt_problem {
    cublasLtMatmulDescOpaque_t desc;
    cublasLtMatrixLayoutOpaque_t b, a, d; ///< of ours; cuBLASLt's A is our B
} lt_problem;

static norn_status set_attribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t name,
                                 const void *value, size_t bytes) {
    return norn_cuda_blas_status(cublasLtMatmulDescSetAttribute(desc, name, value, bytes),
                                 "cublasLtMatmulDescSetAttribute");
}

static norn_status set_batches(cublasLtMatrixLayout_t layout, int32_t batches, int64_t stride) {
    NORN_TRY(norn_cuda_blas_status(
        cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batches,
                                         sizeof batches),
        "batch count"));
    return norn_cuda_blas_status(
        cublasLtMatrixLayoutSetAttribute(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                         &stride, sizeof stride),
        "batch stride");
}

static cudaDataType_t type_of(norn_dtype dtype) {
    return dtype == NORN_F16 ? CUDA_R_16F : dtype == NORN_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static norn_status describe(const norn_cuda_product *p, lt_problem *problem) {
    const cudaDataType_t in = type_of(p->dtype), out = type_of(p->out);
    cublasComputeType_t compute = p->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    NORN_TRY(norn_cuda_blas_status(cublasLtMatmulDescInit(&problem->desc, compute, CUDA_R_32F),
                                   "cublasLtMatmulDescInit"));
    cublasOperation_t transa = p->b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    NORN_TRY(set_attribute(&problem->desc, CUBLASLT_MATMUL_DESC_TRANSA, &transa, sizeof transa));
    cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    bool relu = p->activation == NORN_CUDA_RELU;
    if (p->bias)
        epilogue = relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    else if (relu)
        epilogue = CUBLASLT_EPILOGUE_RELU;
    NORN_TRY(
        set_attribute(&problem->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (p->bias)
        NORN_TRY(set_attribute(&problem->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias,
                               sizeof p->bias));
    uint64_t n = (uint64_t)p->n, m = (uint64_t)p->m, k = (uint64_t)p->k;
    NORN_TRY(
        norn_cuda_blas_status(cublasLtMatrixLayoutInit(&problem->b, in, p->b_transposed ? k : n,
                                                       p->b_transposed ? n : k, p->ldb),
                              "layout of B"));
    NORN_TRY(norn_cuda_blas_status(cublasLtMatrixLayoutInit(&problem->a, in, k, m, p->lda),
                                   "layout of A"));
    NORN_TRY(norn_cuda_blas_status(cublasLtMatrixLayoutInit(&problem->d, out, n, m, p->ldd),
                                   "layout of D"));
    if (p->batches <= 1) return NORN_OK;
    NORN_TRY(set_batches(&problem->b, p->batches, p->stride_b));
    NORN_TRY(set_batches(&problem->a, p->batches, p->stride_a));
    return set_batches(&problem->d, p->batches, p->stride_d);
}

static uint32_t alignment(const void *pointer) {
    uintptr_t address = (uintptr_t)pointer;
    uint32_t bytes = 256;
    while (address & (bytes - 1)) bytes /= 2;
    return bytes;
}

static norn_status prefer(const norn_cuda_product *p, size_t workspace,
                          cublasLtMatmulPreferenceOpaque_t *preference) {
    NORN_TRY(norn_cuda_blas_status(cublasLtMatmulPreferenceInit(preference),
                                   "cublasLtMatmulPreferenceInit"));
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        uint32_t bytes;
    } alignments[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p->b)},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p->a)},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p->d)},
                      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p->d)}};
    for (size_t i = 0; i < 4; i++)
        NORN_TRY(norn_cuda_blas_status(
            cublasLtMatmulPreferenceSetAttribute(preference, alignments[i].name,
                                                 &alignments[i].bytes, sizeof alignments[i].bytes),
            "alignment"));
    return norn_cuda_blas_status(
        cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace, sizeof workspace),
        "workspace");
}

enum { ALGORITHM_MAX = 16 };

static norn_status find(const norn_cuda_device *device, const norn_cuda_product *p,
                        lt_problem *problem, size_t workspace, int most,
                        cublasLtMatmulHeuristicResult_t *results, int *found) {
    cublasLtMatmulPreferenceOpaque_t preference;
    *found = 0;
    NORN_TRY(prefer(p, workspace, &preference));
    cublasStatus_t error =
        cublasLtMatmulAlgoGetHeuristic(device->lt, &problem->desc, &problem->b, &problem->a,
                                       &problem->d, &problem->d, &preference, most, results, found);
    if (error == CUBLAS_STATUS_NOT_SUPPORTED || (error == CUBLAS_STATUS_SUCCESS && *found == 0))
        return norn_fail(NORN_UNIMPLEMENTED,
                         "cuBLASLt has no algorithm for a product of %lld x %lld x %lld",
                         (long long)p->m, (long long)p->n, (long long)p->k);
    return norn_cuda_blas_status(error, "cublasLtMatmulAlgoGetHeuristic");
}

norn_status norn_cuda_lt_algorithms(const norn_cuda_device *device,
                                    const norn_cuda_product *product, int most,
                                    cublasLtMatmulAlgo_t *algorithms, int *found) {
    cublasLtMatmulHeuristicResult_t results[ALGORITHM_MAX];
    lt_problem problem;
    int count = 0;
    *found = 0;
    NORN_TRY(describe(product, &problem));
    NORN_TRY(find(device, product, &problem, NORN_CUDA_WORKSPACE_BYTES,
                  most < ALGORITHM_MAX ? most : ALGORITHM_MAX, results, &count));
    for (int i = 0; i < count; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS) algorithms[(*found)++] = results[i].algo;
    return NORN_OK;
}

norn_status norn_cuda_lt_run(const norn_cuda_device *device, const norn_cuda_product *p,
                             const cublasLtMatmulAlgo_t *algorithm, const norn_stream *stream) {
    cublasLtMatmulHeuristicResult_t result;
    lt_problem problem;
    NORN_TRY(describe(p, &problem));
    if (algorithm) {
        // Tuned at another number of rows, perhaps: does it do this one?
        cublasStatus_t fits =
            cublasLtMatmulAlgoCheck(device->lt, &problem.desc, &problem.b, &problem.a, &problem.d,
                                    &problem.d, algorithm, &result);
        bool aligned = alignment(p->a) >= 16 && alignment(p->b) >= 16 && alignment(p->d) >= 16;
        if (fits != CUBLAS_STATUS_SUCCESS || !aligned ||
            result.workspaceSize > stream->workspace_bytes)
            algorithm = NULL;
    }
    if (!algorithm) {
        int found = 0;
        NORN_TRY(find(device, p, &problem, stream->workspace_bytes, 1, &result, &found));
        algorithm = &result.algo;
    }
    const float one = 1.0f, zero = 0.0f;
    return norn_cuda_blas_status(cublasLtMatmul(device->lt, &problem.desc, &one, p->b, &problem.b,
                                                p->a, &problem.a, &zero, p->d, &problem.d, p->d,
                                                &problem.d, algorithm, stream->workspace,
                                                stream->workspace_bytes, stream->handle),
                                 "cublasLtMatmul");
}
