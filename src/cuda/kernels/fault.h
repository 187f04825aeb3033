/// How a kernel tells the host of an index outside its table or axis. Plain C: read by .c and .cu.
///
/// A kernel never reads outside: it writes zeros for the bad index and records
/// the first one here. stream_wait looks at `raised` when the stream's work is done,
/// returns INVALID_ARGUMENT and clears it.
#ifndef NORN_CUDA_FAULT_H
#define NORN_CUDA_FAULT_H

#include <stdint.h>

/// Names for the message: host memory of the step's state, never read on the device.
typedef struct norn_cuda_site {
    const char *node;
    const char *what;         ///< "table" or "axis"
    const char *const *names; ///< by `item`; NULL: none
} norn_cuda_site;

/// One a stream, in device memory.
typedef struct norn_cuda_fault {
    uint32_t claimed; ///< the thread that turns it from 0 to 1 writes the record
    uint32_t item;    ///< which column or axis of the site
    int64_t index;    ///< the bad value
    int64_t limit;    ///< valid: [0, limit); -1: a key that the table does not hold
    const norn_cuda_site *site;
    volatile uint32_t *raised; ///< mapped host memory: a wait without a fault copies nothing
} norn_cuda_fault;

#ifdef __CUDACC__
static __device__ __noinline__ void norn_cuda_raise(norn_cuda_fault *fault,
                                                    const norn_cuda_site *site, uint32_t item,
                                                    int64_t index, int64_t limit) {
    if (atomicExch(&fault->claimed, 1u) != 0) return;
    fault->item = item;
    fault->index = index;
    fault->limit = limit;
    fault->site = site;
    __threadfence_system();
    *fault->raised = 1;
}
#endif

#endif
