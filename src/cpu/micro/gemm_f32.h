/// Micro-kernels of float32 products: one tile of C in registers.
#ifndef NORN_CPU_MICRO_GEMM_F32_H
#define NORN_CPU_MICRO_GEMM_F32_H

#include "cpu/isa.h"
#include "graph/region.h"

#include <stdbool.h>
#include <stdint.h>

/// C[rows, columns] = max(A[rows, k] * B[k, columns] (+ C) (+ bias), floor). Strides in elements.
/// B is a run of panels: column j of row p is b[j / 16 * b_panel + p * ldb + j % 16].
typedef struct norn_gemm_tile {
    int64_t k; ///< 0 gives a product of zeros
    const float *a;
    int64_t lda;
    const float *b;
    int64_t ldb, b_panel;
    float *c;
    int64_t ldc;
    int64_t columns;   ///< 1 .. the kernel's width; no more are read of B and bias, or written
    const float *bias; ///< `columns` of it, or NULL
    float floor;       ///< 0: ReLU; -infinity: none. NaN stays NaN
    bool accumulate;   ///< add to what C holds
} norn_gemm_tile;

typedef void (*norn_gemm_fn)(const norn_gemm_tile *tile);

/// What an instruction set has: kernels for `rows` 1 .. rows_max, each `panels` wide.
enum { NORN_GEMM_ROWS_MAX = 14, NORN_GEMM_PANELS_MAX = 4 };
typedef struct norn_gemm_row {
    const char *name;
    norn_isa isa;
    int32_t rows, panels;
    norn_gemm_fn fn;
} norn_gemm_row;

extern const norn_gemm_row norn_gemm_f32_rows[];
extern const int32_t norn_gemm_f32_row_count;

/// The kernel for exactly `rows` x `panels` panels of `isa`, NULL if it has none.
norn_gemm_fn norn_gemm_f32_kernel(norn_isa isa, int32_t rows, int32_t panels);

#define NORN_GEMM_F32(name, isa, rows, panels) void name(const norn_gemm_tile *tile);
#include "cpu/micro/gemm_f32_table.inc"
#undef NORN_GEMM_F32

#endif
