/// A step as a compiler target and a device see it before it runs.
#ifndef NORN_KERNEL_STEP_SPEC_H
#define NORN_KERNEL_STEP_SPEC_H

#include "base/span.h"
#include "tensor/attr.h"
#include "tensor/view.h"

/// Constant inputs have data (host memory), shapes are at the profile's maximum.
typedef struct norn_step_spec {
    const char *name;
    uint16_t op;
    norn_attrs attrs;
    const void *region;
    const norn_view *in, *out;
    uint32_t in_count, out_count;
    norn_span code;    ///< prepare: what codegen made for this step, or empty
    int32_t precision; ///< norn_precision
} norn_step_spec;

#endif
