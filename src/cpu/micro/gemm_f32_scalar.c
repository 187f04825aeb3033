// The reference, and the kernels of CPUs without AVX2.
#include "cpu/micro/gemm_f32.h"

#include <stddef.h>

static inline void gemm_scalar(const norn_gemm_tile *t, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) {
        float sum[NORN_GEMM_PANEL] = {0};
        for (int64_t p = 0; p < t->k; p++)
            for (int64_t j = 0; j < t->columns; j++)
                sum[j] += t->a[i * t->lda + p] * t->b[p * t->ldb + j];
        for (int64_t j = 0; j < t->columns; j++) {
            float *c = &t->c[i * t->ldc + j];
            float x = sum[j] + (t->accumulate ? *c : 0) + (t->bias ? t->bias[j] : 0);
            *c = x < t->floor ? t->floor : x;
        }
    }
}

void norn_f32_gemm__scalar_1x16(const norn_gemm_tile *tile) {
    gemm_scalar(tile, 1);
}
void norn_f32_gemm__scalar_4x16(const norn_gemm_tile *tile) {
    gemm_scalar(tile, 4);
}

#define NORN_GEMM_F32(name, isa, rows, panels) {#name, isa, rows, panels, name},
const norn_gemm_row norn_gemm_f32_rows[] = {
#include "cpu/micro/gemm_f32_table.inc"
};
#undef NORN_GEMM_F32
const int32_t norn_gemm_f32_row_count = sizeof norn_gemm_f32_rows / sizeof *norn_gemm_f32_rows;

norn_gemm_fn norn_gemm_f32_kernel(norn_isa isa, int32_t rows, int32_t panels) {
    for (int32_t i = 0; i < norn_gemm_f32_row_count; i++) {
        const norn_gemm_row *row = &norn_gemm_f32_rows[i];
        if (row->isa == isa && row->rows == rows && row->panels == panels) return row->fn;
    }
    return NULL;
}
