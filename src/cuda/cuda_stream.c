/// Memory, streams, events and captures of the CUDA runtime behind the device vtable.
#include "cuda/backend.h"

#include <math.h>
#include <nvtx3/nvToolsExt.h>

norn_status norn_cuda_enter(norn_device *self) {
    if (!self->can_run) return norn_fail(NORN_UNAVAILABLE, "device 'cuda': no GPU here");
    return norn_cuda_status(cudaSetDevice(self->ordinal), "cudaSetDevice");
}

// ---- memory
norn_status norn_cuda_memory_create(norn_device *self, norn_memory_kind kind, size_t bytes,
                                    void **out) {
    *out = NULL;
    if (!self->can_run) return norn_fail(NORN_UNAVAILABLE, "device 'cuda': no GPU here");
    if (bytes == 0) bytes = 1;
    norn_status status;
    if (kind == NORN_MEMORY_STAGING)
        status =
            norn_cuda_status(cudaHostAlloc(out, bytes, cudaHostAllocDefault), "pinned host memory");
    else
        status = norn_cuda_status(cudaMalloc(out, bytes), "device memory");
    if (status != NORN_OK) {
        norn_note("%zu byte%s", bytes, norn_plural(bytes));
        *out = NULL;
    }
    return status;
}

void norn_cuda_memory_destroy(norn_device *self, norn_memory_kind kind, void *memory) {
    (void)self;
    if (!memory) return;
    if (kind == NORN_MEMORY_STAGING)
        (void)cudaFreeHost(memory);
    else
        (void)cudaFree(memory);
}

norn_status norn_cuda_upload(void *device, const void *host, size_t bytes) {
    NORN_CUDA_TRY(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    return norn_cuda_status(cudaStreamSynchronize(cudaStreamLegacy), "copy");
}

// ---- streams
static void stream_free(norn_stream *stream) {
    if (stream->handle) (void)cudaStreamDestroy(stream->handle);
    if (stream->workspace) (void)cudaFree(stream->workspace);
    if (stream->is_lane) stream->fault = NULL, stream->raised = NULL;
    if (stream->fault) (void)cudaFree(stream->fault);
    if (stream->raised) (void)cudaFreeHost((void *)(uintptr_t)stream->raised);
    norn_free(stream->device->alloc, stream);
}

static norn_status clear_fault(norn_stream *stream) {
    norn_cuda_fault blank = {.raised = stream->raised}; // mapped: one address on both sides (UVA)
    *stream->raised = 0;
    return norn_cuda_upload(stream->fault, &blank, sizeof blank);
}

static norn_status stream_fill(norn_stream *stream, const norn_stream *main) {
    void *raised = NULL;
    stream->workspace_bytes = main ? NORN_CUDA_LANE_WORKSPACE_BYTES : NORN_CUDA_WORKSPACE_BYTES;
    NORN_CUDA_TRY(cudaStreamCreateWithFlags(&stream->handle, cudaStreamNonBlocking));
    NORN_CUDA_TRY(cudaMalloc(&stream->workspace, stream->workspace_bytes));
    if (main) {
        stream->is_lane = true;
        stream->fault = main->fault;
        stream->raised = main->raised;
        return NORN_OK;
    }
    NORN_CUDA_TRY(cudaMalloc((void **)&stream->fault, sizeof *stream->fault));
    NORN_CUDA_TRY(cudaHostAlloc(&raised, 64, cudaHostAllocMapped | cudaHostAllocPortable));
    stream->raised = raised;
    return clear_fault(stream);
}

norn_status norn_cuda_stream_create(norn_device *self, norn_stream *main, norn_stream **out) {
    norn_stream *stream = NULL;
    *out = NULL;
    if (!self->can_run) return norn_fail(NORN_UNAVAILABLE, "device 'cuda': no GPU here");
    NORN_TRY(NORN_NEW(norn_cuda_device_of(self)->alloc, &stream));
    stream->device = norn_cuda_device_of(self);
    norn_status status = stream_fill(stream, main);
    if (status != NORN_OK) {
        stream_free(stream);
        return status;
    }
    *out = stream;
    return NORN_OK;
}

void norn_cuda_stream_destroy(norn_device *self, norn_stream *stream) {
    (void)self;
    if (stream) stream_free(stream);
}

/// What a kernel recorded, as a message; the record is cleared for the next run.
static norn_status report_fault(norn_stream *stream) {
    norn_cuda_fault fault;
    NORN_CUDA_TRY(cudaMemcpy(&fault, stream->fault, sizeof fault, cudaMemcpyDeviceToHost));
    NORN_TRY(clear_fault(stream));
    const norn_cuda_site *site = fault.site;
    const char *name = site->names ? site->names[fault.item] : NULL;
    const char *quote = name ? "'" : "";
    if (fault.limit < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "node '%s': key %lld is not in %s %s%s%s",
                         site->node, (long long)fault.index, site->what, quote, name ? name : "",
                         quote);
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "node '%s': index %lld is outside %s %s%s%s of %lld row%s", site->node,
                     (long long)fault.index, site->what, quote, name ? name : "", quote,
                     (long long)fault.limit, norn_plural(fault.limit));
}

norn_status norn_cuda_stream_wait(norn_device *self, norn_stream *stream) {
    (void)self;
    NORN_CUDA_TRY(cudaStreamSynchronize(stream->handle));
    return *stream->raised ? report_fault(stream) : NORN_OK;
}

norn_status norn_cuda_copy(norn_device *self, norn_stream *stream, void *to, const void *from,
                           size_t bytes) {
    (void)self;
    if (bytes == 0) return NORN_OK;
    if (stream)
        return norn_cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream->handle),
                                "copy");
    NORN_TRY(norn_cuda_status(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copy"));
    return norn_cuda_status(cudaStreamSynchronize(cudaStreamLegacy), "copy");
}

// ---- events
norn_status norn_cuda_event_create(norn_device *self, norn_event **out) {
    norn_event *event = NULL;
    *out = NULL;
    NORN_TRY(NORN_NEW(norn_cuda_device_of(self)->alloc, &event));
    norn_status status = norn_cuda_status(cudaEventCreate(&event->handle), "cudaEventCreate");
    if (status != NORN_OK) {
        norn_free(norn_cuda_device_of(self)->alloc, event);
        return status;
    }
    *out = event;
    return NORN_OK;
}

void norn_cuda_event_destroy(norn_device *self, norn_event *event) {
    if (!event) return;
    (void)cudaEventDestroy(event->handle);
    norn_free(norn_cuda_device_of(self)->alloc, event);
}

norn_status norn_cuda_event_record(norn_device *self, norn_event *event, norn_stream *stream) {
    (void)self;
    return norn_cuda_status(cudaEventRecord(event->handle, stream->handle), "cudaEventRecord");
}

norn_status norn_cuda_event_wait(norn_device *self, norn_stream *stream, norn_event *event) {
    (void)self;
    return norn_cuda_status(cudaStreamWaitEvent(stream->handle, event->handle, 0),
                            "cudaStreamWaitEvent");
}

norn_status norn_cuda_event_elapsed_ns(norn_device *self, norn_event *from, norn_event *to,
                                       int64_t *ns) {
    (void)self;
    float ms = 0;
    *ns = 0;
    NORN_CUDA_TRY(cudaEventElapsedTime(&ms, from->handle, to->handle));
    *ns = llrint((double)ms * 1e6);
    return NORN_OK;
}

norn_status norn_cuda_event_query(norn_device *self, norn_event *event, bool *done) {
    (void)self;
    const cudaError_t error = cudaEventQuery(event->handle);
    *done = error == cudaSuccess;
    if (error == cudaErrorNotReady) {
        (void)cudaGetLastError();
        return NORN_OK;
    }
    return norn_cuda_status(error, "cudaEventQuery");
}

// ---- between devices, with the host, for profilers
norn_status norn_cuda_copy_peer(norn_device *self, norn_stream *stream, void *to,
                                norn_device *other, const void *from, size_t bytes) {
    if (bytes == 0) return NORN_OK;
    return norn_cuda_status(
        cudaMemcpyPeerAsync(to, self->ordinal, from, other->ordinal, bytes, stream->handle),
        "cudaMemcpyPeerAsync");
}

norn_status norn_cuda_host_call(norn_device *self, norn_stream *stream, void (*fn)(void *context),
                                void *context) {
    (void)self;
    return norn_cuda_status(cudaLaunchHostFunc(stream->handle, fn, context), "cudaLaunchHostFunc");
}

void norn_cuda_range_begin(norn_device *self, const char *name) {
    (void)self;
    (void)nvtxRangePushA(name);
}

void norn_cuda_range_end(norn_device *self) {
    (void)self;
    (void)nvtxRangePop();
}

// ---- captures
norn_status norn_cuda_capture_begin(norn_device *self, norn_stream *stream) {
    (void)self;
    // Relaxed: other threads may allocate, and kernels that were never used may
    // be loaded, while this one records.
    return norn_cuda_status(cudaStreamBeginCapture(stream->handle, cudaStreamCaptureModeRelaxed),
                            "cudaStreamBeginCapture");
}

norn_status norn_cuda_capture_end(norn_device *self, norn_stream *stream, norn_capture **out) {
    norn_alloc alloc = norn_cuda_device_of(self)->alloc;
    cudaGraph_t graph = NULL;
    norn_capture *capture = NULL;
    norn_status status;
    *out = NULL;
    NORN_CUDA_TRY(cudaStreamEndCapture(stream->handle, &graph));
    NORN_TRY_DONE(NORN_NEW(alloc, &capture));
    capture->alloc = alloc;
    NORN_CUDA_TRY_DONE(cudaGraphInstantiate(&capture->exec, graph, 0));
    NORN_CUDA_TRY_DONE(cudaGraphUpload(capture->exec, stream->handle));
    *out = capture;
    capture = NULL;
done:
    (void)cudaGraphDestroy(graph);
    norn_cuda_capture_destroy(self, capture);
    return status;
}

norn_status norn_cuda_capture_launch(norn_device *self, norn_capture *capture,
                                     norn_stream *stream) {
    (void)self;
    return norn_cuda_status(cudaGraphLaunch(capture->exec, stream->handle), "cudaGraphLaunch");
}

void norn_cuda_capture_destroy(norn_device *self, norn_capture *capture) {
    (void)self;
    if (!capture) return;
    if (capture->exec) (void)cudaGraphExecDestroy(capture->exec);
    norn_free(capture->alloc, capture);
}
