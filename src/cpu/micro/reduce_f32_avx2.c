#include "cpu/micro/reduce_f32.h"

#include <math.h>

#include "cpu/micro/reduce_f32.inc"

const norn_reduce_f32 norn_reduce_f32__avx2 = {reduce_sum, reduce_sum_squares, reduce_max,
                                               reduce_min, reduce_dot,         reduce_add_rows};
