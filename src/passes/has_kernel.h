/// May a pass make a node of these types: does what the plan is for have a kernel for it?
#ifndef NORN_PASSES_HAS_KERNEL_H
#define NORN_PASSES_HAS_KERNEL_H

#include "passes/pass.h"

enum { NORN_WANTED_INPUTS_MAX = 4 };

/// A node that a pass would make. Parts of one type may be asked about as one.
typedef struct norn_wanted {
    norn_op_id op;
    norn_attrs attrs;
    const norn_region *region;
    const norn_value *in[NORN_WANTED_INPUTS_MAX]; ///< NULL: absent
    uint32_t in_count;
    norn_dtype out;
    const norn_shape *shape; ///< of the output
    norn_numbers numbers;    ///< of products
} norn_wanted;

/// Has `target` a kernel for it? Dims that follow from the batch count as one: no kernel is for a
/// batch alone.
bool norn_target_has(const norn_target *target, const norn_wanted *wanted);
/// The plan's devices have one; the host, where it has no devices.
bool norn_pass_has_kernel(const norn_pass_context *context, const norn_wanted *wanted);

#endif
