/// Prototypes of the CPU's kernels, from the operator table's cpu column.
///
/// A kernel computes one node on views in host memory and returns when the outputs are written.
/// Work is shared out with norn_pool_loop(call->pool, …); memory comes from norn_call_scratch().
#ifndef NORN_CPU_KERNEL_H
#define NORN_CPU_KERNEL_H

#include "kernel/call.h"
#include "kernel/step_spec.h"
#include "ops/op.h"

#define NORN_OP(name, domain, since, flags, shape, cost, cpu, cuda) \
    norn_status cpu(norn_call *call);
#include "ops/op_table.inc"
#undef NORN_OP

// Kernels that are not for all types that their operators take; the others are for all, or say so
// when they run.
bool norn_cpu_lookup_takes(const norn_step_spec *spec);
bool norn_cpu_interaction_takes(const norn_step_spec *spec);
bool norn_cpu_gemm_region_takes(const norn_step_spec *spec);

/// Scratch for `count` elements of `size` bytes; RESOURCE_EXHAUSTED
/// when that overflows.
norn_status norn_cpu_scratch(norn_call *call, int64_t count, size_t size,
                             void **out) NORN_NODISCARD;

#endif
