/// Which instruction set the CPU kernels use: the best that CPUID and the operating system offer,
/// or what the environment variable NORN_ISA says (scalar, avx2, avx512), for tests.
///
/// Threads  safe. The answer is fixed at the first call.
#ifndef NORN_CPU_ISA_H
#define NORN_CPU_ISA_H

#include <stdbool.h>

/// Levels include the ones before them. AVX2 means AVX2, FMA, F16C and BMI2;
/// AVX512 means F, BW, VL and DQ.
typedef enum norn_isa { NORN_ISA_SCALAR, NORN_ISA_AVX2, NORN_ISA_AVX512, NORN_ISA_COUNT } norn_isa;

norn_isa norn_isa_best(void); ///< of this machine, whatever NORN_ISA says
norn_isa norn_isa_get(void);  ///< the one in use: never above the best
const char *norn_isa_name(norn_isa isa);

#endif
