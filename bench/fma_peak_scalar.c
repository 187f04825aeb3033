#include "fma_peak.h"

int64_t norn_fma_peak__scalar(int64_t rounds) {
    enum { CHAINS = 16 };
    float x[CHAINS];
    for (int i = 0; i < CHAINS; i++) x[i] = (float)i;
    for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) x[i] = x[i] * 0.999f + 0.001f;
    for (int i = 1; i < CHAINS; i++) x[0] += x[i];
    volatile float sink = x[0];
    (void)sink;
    return rounds * CHAINS * 2;
}
