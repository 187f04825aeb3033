/// Runs single nodes on the CPU while compiling: constant folding's evaluator.
#ifndef NORN_COMPILE_EVALUATE_H
#define NORN_COMPILE_EVALUATE_H

#include "device/device.h"
#include "passes/pass.h"

typedef struct norn_evaluate {
    norn_device *host;
    norn_alloc alloc;
} norn_evaluate;

/// `state` must outlive the passes.
norn_evaluator norn_evaluator_on(norn_evaluate *state);

#endif
