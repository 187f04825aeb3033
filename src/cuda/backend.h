/// What the files of the CUDA backend share: the device object, streams, errors found on the
/// device, and the table of operators that need more than a kernel.
#ifndef NORN_CUDA_BACKEND_H
#define NORN_CUDA_BACKEND_H

#include "base/memory.h"
#include "cuda/kernels/fault.h"
#include "device/device.h"
#include "norn/plan.h"
#include "ops/op.h"
#include "tensor/dtype.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <pthread.h>

enum { NORN_CUDA_WORKSPACE_BYTES = 32 << 20, NORN_CUDA_LANE_WORKSPACE_BYTES = 8 << 20 };

typedef struct norn_cuda_uploader norn_cuda_uploader;

typedef struct norn_cuda_device {
    norn_device base; ///< first: a norn_device * is one of these
    norn_alloc alloc;
    int32_t sm; ///< 90: the architecture that code is compiled for
    int32_t multiprocessors;
    char stamp[32];
    char gpu[64];        ///< "NVIDIA H100 80GB HBM3"
    cublasLtHandle_t lt; ///< NULL while compile-only
    /// Products that were timed here or in an earlier process: gemm/gemm_record.c.
    struct norn_cuda_gemm_tuned *tuned;
    uint32_t tuned_count, tuned_capacity;
    norn_cuda_uploader *uploader; ///< made with the first table; `uploader_lock`
    pthread_mutex_t uploader_lock;
} norn_cuda_device;

static inline norn_cuda_device *norn_cuda_device_of(norn_device *self) {
    return (norn_cuda_device *)self;
}

/// A stream, its workspace for matrix products, and where its kernels report bad indices.
struct norn_stream {
    norn_cuda_device *device;
    cudaStream_t handle;
    bool is_lane; ///< fault and raised are the main stream's
    void *workspace;
    size_t workspace_bytes;
    norn_cuda_fault *fault;    ///< device memory: kernels write it
    volatile uint32_t *raised; ///< mapped host memory
};

struct norn_event {
    cudaEvent_t handle;
};

struct norn_capture {
    cudaGraphExec_t exec;
    norn_alloc alloc;
};

/// The call's stream.
static inline norn_stream *norn_cuda_stream_of(const norn_call *call) {
    return call->stream;
}

/// CUDA's result as a status; `what` names the call.
norn_status norn_cuda_status(cudaError_t error, const char *what) NORN_NODISCARD;
norn_status norn_cuda_blas_status(cublasStatus_t error, const char *what) NORN_NODISCARD;
#define NORN_CUDA_TRY(call) NORN_TRY(norn_cuda_status((call), #call))
#define NORN_CUDA_TRY_DONE(call) NORN_TRY_DONE(norn_cuda_status((call), #call))

/// Host memory to the device, complete on return. cudaMemcpy alone may return while the last bytes
/// of pageable memory are still on their way, and our streams do not wait for the legacy stream.
norn_status norn_cuda_upload(void *device, const void *host, size_t bytes) NORN_NODISCARD;

/// Large host memory to the device, through pinned buffers on all cores; complete on return.
/// `up` NULL or few bytes: norn_cuda_upload.
/// Threads  any; one upload at a time.
norn_status norn_cuda_uploader_create(norn_alloc alloc, norn_cuda_uploader **out) NORN_NODISCARD;
void norn_cuda_uploader_destroy(norn_cuda_uploader *up); ///< takes NULL
norn_status norn_cuda_uploader_run(norn_cuda_uploader *up, void *device, const void *host,
                                   size_t bytes) NORN_NODISCARD;

/// After a launch: the launcher's result, with the node's name.
norn_status norn_cuda_launched(cudaError_t error) NORN_NODISCARD;

/// Operators that need more than a kernel. A row may leave any member NULL.
typedef struct norn_cuda_op {
    norn_op_id op;
    bool (*supports)(const norn_step_spec *spec); ///< NULL: always
    norn_status (*codegen)(norn_cuda_device *device, const norn_step_spec *spec, norn_alloc alloc,
                           norn_span *code);
    norn_status (*prepare)(norn_cuda_device *device, const norn_step_spec *spec, void **state);
    void (*unprepare)(norn_cuda_device *device, void *state);
} norn_cuda_op;

extern const norn_cuda_op norn_cuda_ops[];
extern const size_t norn_cuda_op_count;

// ---- parts of the device vtable, a file each
norn_status norn_cuda_enter(norn_device *self);
void norn_cuda_tuning_save(norn_device *self, norn_buffer *out);
norn_status norn_cuda_tuning_load(norn_device *self, norn_span record, bool *taken);
norn_status norn_cuda_memory_create(norn_device *self, norn_memory_kind kind, size_t bytes,
                                    void **out);
void norn_cuda_memory_destroy(norn_device *self, norn_memory_kind kind, void *memory);
norn_status norn_cuda_stream_create(norn_device *self, norn_stream *main, norn_stream **out);
void norn_cuda_stream_destroy(norn_device *self, norn_stream *stream);
norn_status norn_cuda_stream_wait(norn_device *self, norn_stream *stream);
norn_status norn_cuda_copy(norn_device *self, norn_stream *stream, void *to, const void *from,
                           size_t bytes);
norn_status norn_cuda_event_create(norn_device *self, norn_event **out);
void norn_cuda_event_destroy(norn_device *self, norn_event *event);
norn_status norn_cuda_event_record(norn_device *self, norn_event *event, norn_stream *stream);
norn_status norn_cuda_event_wait(norn_device *self, norn_stream *stream, norn_event *event);
norn_status norn_cuda_event_elapsed_ns(norn_device *self, norn_event *from, norn_event *to,
                                       int64_t *ns);
norn_status norn_cuda_event_query(norn_device *self, norn_event *event, bool *done);
norn_status norn_cuda_copy_peer(norn_device *self, norn_stream *stream, void *to,
                                norn_device *other, const void *from, size_t bytes);
norn_status norn_cuda_host_call(norn_device *self, norn_stream *stream, void (*fn)(void *context),
                                void *context);
void norn_cuda_range_begin(norn_device *self, const char *name);
void norn_cuda_range_end(norn_device *self);
norn_status norn_cuda_capture_begin(norn_device *self, norn_stream *stream);
norn_status norn_cuda_capture_end(norn_device *self, norn_stream *stream, norn_capture **out);
norn_status norn_cuda_capture_launch(norn_device *self, norn_capture *capture, norn_stream *stream);
void norn_cuda_capture_destroy(norn_device *self, norn_capture *capture);
norn_status norn_cuda_table_bind(norn_device *self, const norn_table_binding *host,
                                 norn_table_binding *out);
void norn_cuda_table_unbind(norn_device *self, norn_table_binding *table);
norn_status norn_cuda_table_count(norn_device *self, const norn_table_binding *table);

/// Exported: what norn_device_open() looks for.
NORN_API norn_status norn_backend_open(int32_t ordinal, norn_alloc alloc, norn_device **out);

// ---- kernels of the operator table
#define norn_cuda_none NULL
#define NORN_CUDA_KERNEL(name) norn_status name(norn_call *call)
NORN_CUDA_KERNEL(norn_cuda_gemm_region);
NORN_CUDA_KERNEL(norn_cuda_pointwise);
NORN_CUDA_KERNEL(norn_cuda_row_reduce);
NORN_CUDA_KERNEL(norn_cuda_lookup);
NORN_CUDA_KERNEL(norn_cuda_interaction);
NORN_CUDA_KERNEL(norn_cuda_batch_norm);
NORN_CUDA_KERNEL(norn_cuda_concat);
NORN_CUDA_KERNEL(norn_cuda_expand);
NORN_CUDA_KERNEL(norn_cuda_gather);
NORN_CUDA_KERNEL(norn_cuda_gather_elements);
NORN_CUDA_KERNEL(norn_cuda_gather_nd);
NORN_CUDA_KERNEL(norn_cuda_identity);
NORN_CUDA_KERNEL(norn_cuda_layer_norm);
NORN_CUDA_KERNEL(norn_cuda_log_softmax);
NORN_CUDA_KERNEL(norn_cuda_matmul);
NORN_CUDA_KERNEL(norn_cuda_reduce);
NORN_CUDA_KERNEL(norn_cuda_rms_norm);
NORN_CUDA_KERNEL(norn_cuda_slice);
NORN_CUDA_KERNEL(norn_cuda_softmax);
NORN_CUDA_KERNEL(norn_cuda_split);
NORN_CUDA_KERNEL(norn_cuda_tile);
NORN_CUDA_KERNEL(norn_cuda_transpose);

#endif
