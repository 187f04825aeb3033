#include "cpu/micro/gram_f32.h"

void norn_f32_gram__scalar(int64_t count, int64_t dim, const float *const *rows, float *gram,
                           int64_t ld) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j <= i; j++) {
            float sum = 0;
            for (int64_t p = 0; p < dim; p++) sum += rows[i][p] * rows[j][p];
            gram[i * ld + j] = sum;
        }
}

norn_gram_fn norn_gram_f32_of(norn_isa isa) {
#if defined(__x86_64__)
    if (isa == NORN_ISA_AVX512) return norn_f32_gram__avx512;
    if (isa == NORN_ISA_AVX2) return norn_f32_gram__avx2;
#else
    (void)isa;
#endif
    return norn_f32_gram__scalar;
}
