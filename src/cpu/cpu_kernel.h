/// Prototypes of the CPU's kernels, from the operator table's cpu column.
///
/// A kernel computes one node on views in host memory and returns when the outputs are written.
/// Work is shared out with norn_pool_loop(call->pool, …); memory comes from norn_call_scratch().
#ifndef NORN_CPU_KERNEL_H
#define NORN_CPU_KERNEL_H

#include "kernel/call.h"
#include "ops/op.h"

#define NORN_OP(name, domain, since, flags, shape, cost, cpu, cuda) \
    norn_status cpu(norn_call *call);
#include "ops/op_table.inc"
#undef NORN_OP

/// Scratch for `count` elements of `size` bytes; RESOURCE_EXHAUSTED
/// when that overflows.
norn_status norn_cpu_scratch(norn_call *call, int64_t count, size_t size,
                             void **out) NORN_NODISCARD;

#endif
