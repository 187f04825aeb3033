/// One product in the chosen way.
#include "cuda/gemm/gemm.h"
#include "tensor/dtype.h"

norn_cuda_elem norn_cuda_elem_of(norn_dtype dtype) {
    return dtype == NORN_F16    ? NORN_CUDA_ELEM_F16
           : dtype == NORN_BF16 ? NORN_CUDA_ELEM_BF16
                                : NORN_CUDA_ELEM_F32;
}

static norn_cuda_gemm_args own_args(const norn_cuda_gemm_state *state, const norn_cuda_product *p) {
    return (norn_cuda_gemm_args){.a = p->a,
                                 .b = state->packed,
                                 .bias = p->bias,
                                 .times = p->times,
                                 .plus = p->plus,
                                 .d = p->d,
                                 .lda = p->lda,
                                 .ldd = p->ldd,
                                 .m = (int32_t)p->m,
                                 .n = (int32_t)p->n,
                                 .k = (int32_t)p->k,
                                 .packed_k = (int32_t)state->packed_k,
                                 .bias_value = p->bias_value,
                                 .activation = (int32_t)p->activation,
                                 .elem = (uint8_t)norn_cuda_elem_of(p->dtype),
                                 .out = (uint8_t)norn_cuda_elem_of(p->out)};
}

static norn_cuda_gemm_way way_of(const norn_cuda_product *p, const norn_cuda_gemm_choice *choice) {
    if (!choice || p->m > INT32_MAX) return NORN_CUDA_GEMM_LT;
    // Vector stores need an aligned output; what writes into a Concat may not have one.
    bool aligned = ((uintptr_t)p->d & 15) == 0 && p->ldd % 4 == 0;
    return choice->way == NORN_CUDA_GEMM_THIN_K && !aligned ? NORN_CUDA_GEMM_LT : choice->way;
}

size_t norn_cuda_gemm_elem_bytes(const norn_cuda_gemm_state *state) {
    return norn_dtype_bits(state->numbers.a) / 8;
}

bool norn_cuda_gemm_is_lt(const norn_cuda_product *product, const norn_cuda_gemm_choice *choice) {
    norn_cuda_gemm_way way = way_of(product, choice);
    return way == NORN_CUDA_GEMM_LT || way == NORN_CUDA_GEMM_PADDED;
}

norn_cuda_product norn_cuda_gemm_padded(const norn_cuda_gemm_state *state,
                                        const norn_cuda_product *product, void *scratch) {
    norn_cuda_product padded = *product;
    padded.a = scratch;
    padded.b = state->packed;
    padded.k = padded.lda = padded.ldb = state->packed_k;
    padded.b_transposed = true;
    return padded;
}

static norn_status run_padded(const norn_cuda_gemm_state *state, const norn_cuda_product *p,
                              const norn_cuda_gemm_choice *choice, void *scratch,
                              norn_stream *stream) {
    norn_cuda_product padded = norn_cuda_gemm_padded(state, p, scratch);
    NORN_TRY(norn_cuda_status(
        norn_cuda_gemm_pad_launch(p->a, (int32_t)norn_cuda_gemm_elem_bytes(state), p->lda, p->m,
                                  (int32_t)p->k, (int32_t)state->packed_k, scratch, stream->handle),
        "gemm pad"));
    return norn_cuda_lt_run(state->device, &padded, &choice->algorithm, stream);
}

norn_status norn_cuda_gemm_run(const norn_cuda_gemm_state *state, const norn_cuda_product *p,
                               const norn_cuda_gemm_choice *choice, void *scratch,
                               norn_stream *stream) {
    norn_cuda_gemm_way way = way_of(p, choice);
    if (way == NORN_CUDA_GEMM_LT) {
        const cublasLtMatmulAlgo_t *algorithm =
            choice && choice->algorithm_known ? &choice->algorithm : NULL;
        return norn_cuda_lt_run(state->device, p, algorithm, stream);
    }
    if (way == NORN_CUDA_GEMM_PADDED) return run_padded(state, p, choice, scratch, stream);
    norn_cuda_gemm_args args = own_args(state, p);
    if (way == NORN_CUDA_GEMM_DOT)
        return norn_cuda_status(norn_cuda_gemm_dot_launch(&args, stream->handle), "gemm dot");
    if (way == NORN_CUDA_GEMM_THIN_K)
        return norn_cuda_status(norn_cuda_gemm_thin_k_launch(&args, stream->handle), "gemm thin k");
    if (way == NORN_CUDA_GEMM_TILE) {
        args.b = state->panels;
        return norn_cuda_status(
            norn_cuda_gemm_tile_launch(&args, choice->split, choice->groups, stream->handle),
            "gemm tile");
    }
    return norn_cuda_status(
        norn_cuda_gemm_skinny_launch(&args, choice->split, choice->groups, stream->handle),
        "gemm skinny");
}
