/// One product in the chosen way.
#include "cuda/gemm/gemm.h"

static norn_cuda_gemm_args own_args(const norn_cuda_gemm_state *state, const norn_cuda_product *p) {
    return (norn_cuda_gemm_args){.a = p->a,
                                 .b = state->packed,
                                 .bias = p->bias,
                                 .d = p->d,
                                 .lda = p->lda,
                                 .ldd = p->ldd,
                                 .m = (int32_t)p->m,
                                 .n = (int32_t)p->n,
                                 .k = (int32_t)p->k,
                                 .packed_k = (int32_t)state->packed_k,
                                 .relu = p->relu};
}

norn_status norn_cuda_gemm_run(const norn_cuda_gemm_state *state, const norn_cuda_product *p, const norn_cuda_gemm_choice *choice,
                               norn_stream *stream) {
    norn_cuda_gemm_way way = choice ? choice->way : NORN_CUDA_GEMM_LT;
    // Vector stores need an aligned output; what writes into a Concat may not have one.
    bool aligned = ((uintptr_t)p->d & 15) == 0 && p->ldd % 4 == 0;
    if (way == NORN_CUDA_GEMM_THIN_K && !aligned) way = NORN_CUDA_GEMM_LT;
    if (p->m > INT32_MAX) way = NORN_CUDA_GEMM_LT;
    if (way == NORN_CUDA_GEMM_LT) {
        const cublasLtMatmulAlgo_t *algorithm = choice && choice->algorithm_known ? &choice->algorithm : NULL;
        return norn_cuda_lt_run(state->device, p, algorithm, stream->workspace, stream->handle);
    }
    norn_cuda_gemm_args args = own_args(state, p);
    if (way == NORN_CUDA_GEMM_DOT) return norn_cuda_status(norn_cuda_gemm_dot_launch(&args, stream->handle), "gemm dot");
    if (way == NORN_CUDA_GEMM_THIN_K) return norn_cuda_status(norn_cuda_gemm_thin_k_launch(&args, stream->handle), "gemm thin k");
    return norn_cuda_status(norn_cuda_gemm_skinny_launch(&args, choice->split, stream->handle), "gemm skinny");
}
