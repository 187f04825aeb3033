/// One conversion with Cast's attributes, for operators that end in one (QuantizeLinear).
#ifndef NORN_CPU_CAST_H
#define NORN_CPU_CAST_H

#include "norn/tensor.h"

#include <stdbool.h>

/// Element i of `out` from x. `saturate`: 8-bit floats end at their largest
/// value; `round_mode` is of E8M0.
void norn_cast_f64(const norn_view *out, int64_t i, double x, bool saturate,
                   const char *round_mode);

#endif
