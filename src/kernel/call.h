/// The contract between the executor and the kernels of every device.
///
/// A kernel is one function. The executor has resolved shapes and memory; the kernel computes. On
/// CUDA views point to device memory and the kernel only launches work on `stream` (so that a run
/// of steps can be captured in a graph); on the CPU it returns when the outputs are written.
#ifndef NORN_KERNEL_CALL_H
#define NORN_KERNEL_CALL_H

#include "base/status.h"
#include "base/thread.h"
#include "kernel/table.h"
#include "ops/op.h"
#include "tensor/attr.h"
#include "tensor/view.h"

typedef struct norn_call norn_call;
typedef struct norn_stream norn_stream; ///< an ordered queue of a device's work; NULL on the CPU

/// What a kernel may ask of the executor. CUDA kernels use none but `scratch`.
typedef struct norn_call_host {
    /// Size output `index`, for outputs whose shape follows from data; then call->out[index] is set
    /// and has room. Also right (and a check) for outputs that were sized before.
    norn_status (*output)(norn_call *call, uint32_t index, norn_dtype dtype, int32_t rank,
                          const int64_t *dims);
    /// Memory of the run, on the call's device, 64-byte (CUDA: 256) aligned, until the kernel
    /// returns (CUDA: until the step's work is done). The steady state allocates nothing.
    norn_status (*scratch)(norn_call *call, size_t bytes, void **out);
    /// Run body `body` (index among the node's GRAPH attributes) on `in`; out[i] are borrowed until
    /// the next body run of this call. For If, Loop, Scan.
    norn_status (*body)(norn_call *call, uint32_t body, const norn_view *in, uint32_t in_count,
                        norn_view *out, uint32_t out_count);
} norn_call_host;

struct norn_call {
    const char *name; ///< node name, for messages
    norn_op_id op;
    norn_attrs attrs;
    const norn_region *region; ///< of region operators, else NULL
    const norn_view *in;       ///< dense; omitted inputs have dtype NONE
    uint32_t in_count;
    norn_view *out;      ///< may have a row_stride where the operator is marked NORN_OP_STRIDED;
    uint32_t out_count;  ///< an output that nobody reads has dtype NONE: do not write it
    norn_pool *pool;     ///< CPU threads
    norn_stream *stream; ///< of the device; NULL on the CPU
    void *state;         ///< the device's own: what its prepare made for this step, or NULL
    const norn_table_binding *tables; ///< by the plan's table index
    const norn_table_view *views;     ///< the same on a device, in its memory; NULL on the CPU
    uint32_t table_count;
    const norn_call_host *host;
};

/// Errors   INVALID_ARGUMENT for data that the operator cannot take
///          (an index outside its axis): the message names the value; whoever runs the kernel
///          puts the node's name before it.
///          Kernels assert what shape functions have checked.
typedef norn_status (*norn_kernel_fn)(norn_call *call);

static inline norn_status norn_call_output(norn_call *call, uint32_t index, norn_dtype dtype,
                                           int32_t rank, const int64_t *dims) {
    return call->host->output(call, index, dtype, rank, dims);
}
/// INVALID_ARGUMENT: the shape of input `index` does not go with the others. What symbols left open
/// while compiling shows when running, and nothing may be read outside a buffer.
norn_status norn_call_misfit(const norn_call *call, uint32_t index) NORN_NODISCARD;
/// INVALID_ARGUMENT: an operand of a pointwise region is of other dims than the loop over
/// [dims] may read: neither 1 nor the loop's. What repeats is known only while running.
norn_status norn_call_broadcasts(const norn_view *operand, int32_t rank,
                                 const int64_t *dims) NORN_NODISCARD;
static inline norn_status norn_call_scratch(norn_call *call, size_t bytes, void **out) {
    return call->host->scratch(call, bytes, out);
}

#endif
