/// Products of any element type: float32 and the half types through the fast
/// path, the others by plain loops.
#ifndef NORN_CPU_GEMM_ANY_H
#define NORN_CPU_GEMM_ANY_H

#include "cpu/cpu_kernel.h"

/// C[m, n] = A[m, k] * B[k, n], every stride in elements. Float64,
/// 32- and 64-bit integers (wrapping).
typedef struct norn_gemm_any {
    norn_dtype dtype;
    int64_t m, n, k;
    const void *a, *b;
    void *c;
    int64_t a_row, a_column, b_row, b_column, c_row;
} norn_gemm_any;

bool norn_gemm_any_has(norn_dtype dtype);
void norn_gemm_any_run(const norn_gemm_any *gemm);

/// A view of `view` as float32: itself, or a converted copy of a half type in the call's scratch.
norn_status norn_gemm_as_f32(norn_call *call, const norn_view *view, norn_view *out) NORN_NODISCARD;
#endif
