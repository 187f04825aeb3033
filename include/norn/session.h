/// A session runs a plan: some instances, each with its own buffers, behind one handle.
#ifndef NORN_SESSION_H
#define NORN_SESSION_H

#include "norn/plan.h"
#include "norn/store.h"

typedef struct norn_session norn_session;
typedef struct norn_instance norn_instance;

typedef struct norn_session_options {
    int32_t instances; ///< runs in flight at once; 0: 1
    /// Compute threads of an instance, the caller's included;
    /// 0: the cores, shared out among instances.
    int32_t threads;
    /// What an instance's buffers may take, on the host and on the device each; 0: half of the
    /// machine's memory shared out among instances, and of a device what it has.
    int64_t max_memory_bytes;
    /// Tables; NULL: the plan's own (plan.tables/, tables/ beside it). Retained.
    norn_snapshot *snapshot;
} norn_session_options;

NORN_API norn_status norn_session_create(norn_plan *plan, const norn_session_options *options,
                                         norn_alloc alloc, norn_session **out) NORN_NODISCARD;
/// Waits for runs in flight.
NORN_API void norn_session_destroy(norn_session *session);

/// Swap the tables that later runs see; runs in flight keep theirs. Retains `snapshot`.
NORN_API norn_status norn_session_set_snapshot(norn_session *session,
                                               norn_snapshot *snapshot) NORN_NODISCARD;

/// Arguments of norn_session_run. inputs[i], outputs[i] are in the plan's order.
/// An optional input may be a view of dtype NONE: it is then the model's default.
/// outputs[i].data: room for outputs[i].capacity in bytes is in
/// output_bytes[i]; shapes are written back.
typedef struct norn_run_args {
    const norn_view *inputs;
    norn_view *outputs;
    const size_t *output_bytes;
    int64_t deadline_ns; ///< CLOCK_MONOTONIC; 0: none
} norn_run_args;

/// Run one batch; blocks until the outputs are written.
///
/// Shapes   inputs[i]: the plan's shape, any batch, 0 too. An instance's memory
///          grows with the largest, and shrinks when such have not come for long.
///          Outputs likewise; a too small output is INVALID_ARGUMENT.
/// Memory   all pointers are borrowed until return; nothing is kept.
/// Threads  safe on one session from many threads.
/// Errors   INVALID_ARGUMENT    shape or dtype mismatch, an index outside its table;
///                              names the tensor
///          DEADLINE_EXCEEDED   `deadline_ns` passed before an instance was free
///          RESOURCE_EXHAUSTED  memory, or max_memory_bytes; outputs untouched, smaller runs go on
NORN_API norn_status norn_session_run(norn_session *session,
                                      const norn_run_args *args) NORN_NODISCARD;

/// The copy-free form, used by the server: take an instance, place inputs in its staging memory,
/// run, read outputs where they lie, give it back. One thread at a time an instance.
NORN_API norn_status norn_instance_acquire(norn_session *session, int64_t deadline_ns,
                                           norn_instance **out) NORN_NODISCARD;
NORN_API void norn_instance_release(norn_instance *instance);

/// Give input `index` its shape; returns where its dense elements go (64-byte aligned; valid until
/// release; contents undefined until written). STRING inputs: an array of norn_string.
NORN_API norn_status norn_instance_input(norn_instance *instance, size_t index, int32_t rank,
                                         const int64_t *dims, void **data) NORN_NODISCARD;
NORN_API norn_status norn_instance_run(norn_instance *instance) NORN_NODISCARD;
/// Valid after a run until release. Host memory.
NORN_API const norn_view *norn_instance_output(const norn_instance *instance, size_t index);

/// Step trace of the last run; recorded only when asked for (it costs two clock reads a step).
typedef struct norn_step_trace {
    const char *op;     ///< "Gemm", "Lookup", …
    const char *origin; ///< ONNX node names, comma separated
    const char *device;
    int64_t begin_ns, end_ns; ///< from the run's begin; device time on CUDA
    double flops, bytes;      ///< from the cost functions at this batch
} norn_step_trace;
NORN_API void norn_instance_trace_enable(norn_instance *instance, int enable);
NORN_API size_t norn_instance_trace(const norn_instance *instance, const norn_step_trace **steps);

/// Phases of the last run, in nanoseconds: copy in, compute, copy out (copies are 0 on the CPU).
/// On a GPU some runs are measured by events, which cost microseconds; of the others the duration
/// is this run's own and the shares are those of the last run that was measured.
typedef struct norn_run_phases {
    int64_t input_ns, compute_ns, output_ns;
    int measured; ///< 0: the shares are of an earlier run
} norn_run_phases;
NORN_API norn_run_phases norn_instance_phases(const norn_instance *instance);

#endif
