#include "cpu/micro/pool_f32.h"

#define POOL_NAME norn_pool_f32__avx2
#define POOL_BYTES 32
#define POOL_WIDE 8
#include "cpu/micro/pool_f32.inc"
