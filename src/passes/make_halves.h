/// Layers of float32 as layers of a half type, for assign_precision.
#ifndef NORN_PASSES_MAKE_HALVES_H
#define NORN_PASSES_MAKE_HALVES_H

#include "ops/op.h"

/// half: F16 or BF16.
norn_status norn_make_halves(norn_graph *graph, norn_dtype half) NORN_NODISCARD;

#endif
