/// The device object: opening, compiling and preparing. Streams and
/// memory are in files of their own.
#include "cuda/backend.h"

#include <stdio.h>
#include <string.h>

norn_status norn_cuda_status(cudaError_t error, const char *what) {
    if (error == cudaSuccess) return NORN_OK;
    (void)cudaGetLastError(); // a sticky error would blame the next call
    norn_status status =
        error == cudaErrorMemoryAllocation ? NORN_RESOURCE_EXHAUSTED : NORN_INTERNAL;
    return norn_fail(status, "cuda: %.60s: %s (%s)", what, cudaGetErrorString(error),
                     cudaGetErrorName(error));
}

norn_status norn_cuda_blas_status(cublasStatus_t error, const char *what) {
    if (error == CUBLAS_STATUS_SUCCESS) return NORN_OK;
    norn_status status =
        error == CUBLAS_STATUS_ALLOC_FAILED ? NORN_RESOURCE_EXHAUSTED : NORN_INTERNAL;
    return norn_fail(status, "cuda: %.60s: %s", what, cublasLtGetStatusName(error));
}

norn_status norn_cuda_launched(cudaError_t error) {
    if (error == cudaSuccess) return NORN_OK;
    return norn_cuda_status(error, "launch");
}

// ---- compiling
static const norn_kernel_fn kernels[NORN_OP_COUNT] = {
#define NORN_OP(name, domain, since, flags, shape, cost, cpu, cuda) [NORN_OP_##name] = cuda,
#include "ops/op_table.inc"
#undef NORN_OP
};

static const norn_cuda_op *find_op(norn_op_id op) {
    for (size_t i = 0; i < norn_cuda_op_count; i++)
        if (norn_cuda_ops[i].op == op) return &norn_cuda_ops[i];
    return NULL;
}

static norn_kernel_fn device_kernel(const norn_target *self, const norn_step_spec *spec) {
    (void)self;
    if (spec->op >= NORN_OP_COUNT || !kernels[spec->op]) return NULL;
    const norn_cuda_op *more = find_op(spec->op);
    if (more && more->supports && !more->supports(spec)) return NULL;
    return kernels[spec->op];
}

static norn_status device_codegen(const norn_target *self, const norn_step_spec *spec,
                                  norn_alloc alloc, norn_span *code) {
    *code = (norn_span){0};
    const norn_cuda_op *more = find_op(spec->op);
    if (!more || !more->codegen) return NORN_OK;
    return more->codegen(norn_cuda_device_of(norn_target_device(self)), spec, alloc, code);
}

static const char *device_stamp(const norn_target *self) {
    return norn_cuda_device_of(norn_target_device(self))->stamp;
}

// ---- loading
static norn_status device_prepare(norn_device *self, const norn_step_spec *spec, void **state) {
    *state = NULL;
    norn_cuda_device *device = norn_cuda_device_of(self);
    const norn_cuda_op *more = find_op(spec->op);
    if (!more || !more->prepare) return NORN_OK;
    if (!self->can_run)
        return norn_fail(NORN_UNAVAILABLE,
                         "device 'cuda': no GPU here; plans can be compiled, not run");
    return more->prepare(device, spec, state);
}

static void device_unprepare(norn_device *self, const norn_step_spec *spec, void *state) {
    const norn_cuda_op *more = find_op(spec->op);
    if (more && more->unprepare && state) more->unprepare(norn_cuda_device_of(self), state);
}

static void device_destroy(norn_device *self) {
    norn_cuda_device *device = norn_cuda_device_of(self);
    if (device->lt) cublasLtDestroy(device->lt);
    norn_cuda_uploader_destroy(device->uploader);
    pthread_mutex_destroy(&device->uploader_lock);
    norn_free(device->alloc, device->tuned);
    norn_free(device->alloc, device);
}

static const norn_target_ops cuda_target = {
    .kind = "cuda",
    .kernel = device_kernel,
    .codegen = device_codegen,
    .stamp = device_stamp,
};

static const norn_device_ops cuda_ops = {
    .enter = norn_cuda_enter,
    .prepare = device_prepare,
    .unprepare = device_unprepare,
    .tuning_save = norn_cuda_tuning_save,
    .tuning_load = norn_cuda_tuning_load,
    .memory_create = norn_cuda_memory_create,
    .memory_destroy = norn_cuda_memory_destroy,
    .stream_create = norn_cuda_stream_create,
    .stream_destroy = norn_cuda_stream_destroy,
    .stream_wait = norn_cuda_stream_wait,
    .copy = norn_cuda_copy,
    .event_create = norn_cuda_event_create,
    .event_destroy = norn_cuda_event_destroy,
    .event_record = norn_cuda_event_record,
    .event_wait = norn_cuda_event_wait,
    .event_elapsed_ns = norn_cuda_event_elapsed_ns,
    .event_query = norn_cuda_event_query,
    .copy_peer = norn_cuda_copy_peer,
    .host_call = norn_cuda_host_call,
    .range_begin = norn_cuda_range_begin,
    .range_end = norn_cuda_range_end,
    .capture_begin = norn_cuda_capture_begin,
    .capture_end = norn_cuda_capture_end,
    .capture_launch = norn_cuda_capture_launch,
    .capture_destroy = norn_cuda_capture_destroy,
    .table_bind = norn_cuda_table_bind,
    .table_unbind = norn_cuda_table_unbind,
    .table_count = norn_cuda_table_count,
    .destroy = device_destroy,
};

// ---- opening
/// Without a driver or a GPU the device compiles for sm_90 and runs nothing.
static norn_status find_gpu(norn_cuda_device *device, int32_t ordinal) {
    int count = 0;
    device->sm = 90;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) (void)cudaGetLastError();
    if (error != cudaSuccess || count == 0) return NORN_OK;
    if (ordinal >= count)
        return norn_fail(NORN_UNAVAILABLE, "cuda:%d: this machine has %d GPU%s", (int)ordinal,
                         count, norn_plural(count));
    int major = 0, minor = 0, processors = 0;
    NORN_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal));
    NORN_CUDA_TRY(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal));
    NORN_CUDA_TRY(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, ordinal));
    if (major < 9)
        return norn_fail(NORN_UNAVAILABLE,
                         "cuda:%d: compute capability %d.%d; this build needs 9.0 (H100) or newer",
                         (int)ordinal, major, minor);
    struct cudaDeviceProp properties;
    NORN_CUDA_TRY(cudaGetDeviceProperties(&properties, ordinal));
    (void)snprintf(device->gpu, sizeof device->gpu, "%.63s", properties.name);
    NORN_CUDA_TRY(cudaSetDevice(ordinal));
    NORN_TRY(norn_cuda_blas_status(cublasLtCreate(&device->lt), "cublasLtCreate"));
    device->sm = major * 10 + minor;
    device->multiprocessors = processors;
    device->base.can_run = true;
    return NORN_OK;
}

norn_status norn_backend_open(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    norn_cuda_device *device = NULL;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &device));
    device->base.ops = &cuda_ops;
    device->base.target.ops = &cuda_target;
    device->base.ordinal = ordinal;
    device->alloc = alloc;
    pthread_mutex_init(&device->uploader_lock, NULL);
    norn_status status = find_gpu(device, ordinal);
    if (status != NORN_OK) {
        device_destroy(&device->base);
        return status;
    }
    snprintf(device->stamp, sizeof device->stamp, "cuda sm_%d", (int)device->sm);
    *out = &device->base;
    return NORN_OK;
}
