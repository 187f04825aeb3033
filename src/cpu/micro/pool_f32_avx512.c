#include "cpu/micro/pool_f32.h"

#define POOL_NAME norn_pool_f32__avx512
#define POOL_BYTES 64
#define POOL_WIDE 4
#include "cpu/micro/pool_f32.inc"
