/// A compiler's target: which kernels it has and what code it generates. Needs no hardware: a plan
/// for a GPU is made where there is none. Every device (device/device.h) has one.
///
/// Threads  any, at once.
#ifndef NORN_KERNEL_TARGET_H
#define NORN_KERNEL_TARGET_H

#include "kernel/call.h"
#include "kernel/step_spec.h"
#include "norn/alloc.h"

typedef struct norn_target norn_target;

typedef struct norn_target_ops {
    const char *kind; ///< "cpu", "cuda"
    /// The kernel of an operator for these operands, NULL when the target has none (falls back to
    /// the CPU).
    norn_kernel_fn (*kernel)(const norn_target *self, const norn_step_spec *spec);
    /// Code object for a step that is generated (pointwise, row-reduce on CUDA); *code empty when
    /// none is needed. Memory from `alloc`. NULL: this target generates none.
    norn_status (*codegen)(const norn_target *self, const norn_step_spec *spec, norn_alloc alloc,
                           norn_span *code);
    /// Text that a plan is stamped with: "cpu x86-64", "cuda sm_90".
    const char *(*stamp)(const norn_target *self);
} norn_target_ops;

struct norn_target {
    const norn_target_ops *ops;
};

static inline norn_kernel_fn norn_target_kernel(const norn_target *target,
                                                const norn_step_spec *spec) {
    return target->ops->kernel(target, spec);
}

#endif
