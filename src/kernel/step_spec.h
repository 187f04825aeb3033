/// A step as a compiler target and a device see it before it runs.
#ifndef NORN_KERNEL_STEP_SPEC_H
#define NORN_KERNEL_STEP_SPEC_H

#include "base/span.h"
#include "graph/numbers.h"
#include "ops/op.h"
#include "tensor/attr.h"
#include "tensor/view.h"

/// Constant inputs have data (host memory), shapes are at the profile's maximum.
typedef struct norn_step_spec {
    const char *name;
    norn_op_id op;
    norn_attrs attrs;
    const norn_region *region; ///< of region operators, else NULL
    const norn_view *in, *out;
    uint32_t in_count, out_count;
    norn_span code;       ///< prepare: what codegen made for this step, or empty
    norn_numbers numbers; ///< of products
} norn_step_spec;

#endif
