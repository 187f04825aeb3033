#include "cpu/micro/pool_f32.h"

#define POOL_NAME norn_pool_f32__scalar
#define POOL_BYTES 16
#define POOL_WIDE 8
#include "cpu/micro/pool_f32.inc"

norn_pool_f32_fn norn_pool_f32_of(norn_isa isa) {
#if defined(__x86_64__)
    if (isa >= NORN_ISA_AVX512) return norn_pool_f32__avx512;
    if (isa >= NORN_ISA_AVX2) return norn_pool_f32__avx2;
#else
    (void)isa;
#endif
    return norn_pool_f32__scalar;
}
