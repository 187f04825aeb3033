#include "cpu/micro/reduce_f32.h"

#include <math.h>

#include "cpu/micro/reduce_f32.inc"

const norn_reduce_f32 norn_reduce_f32__scalar = {reduce_sum, reduce_sum_squares, reduce_max,
                                                 reduce_min, reduce_dot,         reduce_add_rows};

const norn_reduce_f32 *norn_reduce_f32_of(norn_isa isa) {
#if defined(__x86_64__)
    if (isa >= NORN_ISA_AVX2) return &norn_reduce_f32__avx2;
#else
    (void)isa;
#endif
    return &norn_reduce_f32__scalar;
}
