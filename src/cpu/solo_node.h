/// For tests of kernels: one node 'n/7' with one output, run by itself.
#ifndef NORN_CPU_SOLO_NODE_H
#define NORN_CPU_SOLO_NODE_H

#include "cpu/solo_call.h"
#include "ops/op.h"

/// `solo` is initialised here; norn_solo_deinit is the caller's, also after a failure.
static inline norn_status solo_run_node(norn_solo *solo, norn_op_id op, norn_kernel_fn kernel,
                                        norn_attrs attrs, const norn_view *in, uint32_t in_count,
                                        norn_view *out) {
    norn_solo_init(solo, norn_alloc_heap(), NULL);
    solo->call.name = "n/7";
    solo->call.op = (uint16_t)op;
    solo->call.attrs = attrs;
    solo->call.in = in;
    solo->call.in_count = in_count;
    solo->call.out = out;
    solo->call.out_count = 1;
    return norn_solo_run(solo, kernel);
}

#endif
