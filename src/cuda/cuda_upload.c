/// Large tables to the device: pageable memory goes through two pinned buffers,
/// which all cores fill while the other one is on its way. The driver does the same
/// on one core, at the speed of its memcpy.
///
/// Count: a byte is read and written once by the processor and crosses the bus once;
/// from eight cores the bus (PCIe 5: 50 GB/s) is the floor, from one it is the copy (10 GB/s).
#include "cuda/backend.h"

#include "base/thread.h"

#include <pthread.h>
#include <string.h>

enum {
    BUFFER_BYTES = 8 << 20,
    PIECE_BYTES = 256 << 10, ///< that a thread copies at a time
    THREADS_MAX = 8,
    LARGE_BYTES = 4 << 20, ///< less is not worth the pinned memory
};

struct norn_cuda_uploader {
    norn_alloc alloc;
    pthread_mutex_t lock; ///< one upload at a time
    norn_pool *pool;
    cudaStream_t stream;
    char *buffer[2];
    cudaEvent_t sent[2];
};

void norn_cuda_uploader_destroy(norn_cuda_uploader *up) {
    if (!up) return;
    for (int i = 0; i < 2; i++) {
        if (up->sent[i]) (void)cudaEventDestroy(up->sent[i]);
        if (up->buffer[i]) (void)cudaFreeHost(up->buffer[i]);
    }
    if (up->stream) (void)cudaStreamDestroy(up->stream);
    norn_pool_destroy(up->pool);
    pthread_mutex_destroy(&up->lock);
    norn_free(up->alloc, up);
}

norn_status norn_cuda_uploader_create(norn_alloc alloc, norn_cuda_uploader **out) {
    norn_cuda_uploader *up;
    norn_status status;
    const int32_t cores = norn_core_count();
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &up));
    up->alloc = alloc;
    pthread_mutex_init(&up->lock, NULL);
    NORN_TRY_DONE(norn_pool_create(cores < THREADS_MAX ? cores : THREADS_MAX, alloc, &up->pool));
    NORN_CUDA_TRY_DONE(cudaStreamCreateWithFlags(&up->stream, cudaStreamNonBlocking));
    for (int i = 0; i < 2; i++) {
        NORN_CUDA_TRY_DONE(
            cudaHostAlloc((void **)&up->buffer[i], BUFFER_BYTES, cudaHostAllocDefault));
        NORN_CUDA_TRY_DONE(cudaEventCreateWithFlags(&up->sent[i], cudaEventDisableTiming));
    }
    *out = up;
    up = NULL;
done:
    norn_cuda_uploader_destroy(up);
    return status;
}

typedef struct copy_loop {
    char *to;
    const char *from;
    size_t bytes;
} copy_loop;

static void copy_pieces(void *context, int64_t begin, int64_t end, int32_t worker) {
    const copy_loop *loop = context;
    const size_t from = (size_t)begin * PIECE_BYTES, to = (size_t)end * PIECE_BYTES;
    (void)worker;
    memcpy(loop->to + from, loop->from + from, (to < loop->bytes ? to : loop->bytes) - from);
}

static norn_status send(norn_cuda_uploader *up, char *device, const char *host, size_t bytes) {
    int turn = 0;
    for (size_t at = 0; at < bytes; turn = !turn) {
        const size_t left = bytes - at, count = left < BUFFER_BYTES ? left : BUFFER_BYTES;
        copy_loop loop = {up->buffer[turn], host + at, count};
        // Done at once if it was never recorded.
        NORN_CUDA_TRY(cudaEventSynchronize(up->sent[turn]));
        norn_pool_loop(up->pool, (int64_t)((count + PIECE_BYTES - 1) / PIECE_BYTES), 1, copy_pieces,
                       &loop);
        NORN_CUDA_TRY(cudaMemcpyAsync(device + at, up->buffer[turn], count, cudaMemcpyHostToDevice,
                                      up->stream));
        NORN_CUDA_TRY(cudaEventRecord(up->sent[turn], up->stream));
        at += count;
    }
    return NORN_OK;
}

norn_status norn_cuda_uploader_run(norn_cuda_uploader *up, void *device, const void *host,
                                   size_t bytes) {
    if (!up || bytes < LARGE_BYTES) return norn_cuda_upload(device, host, bytes);
    pthread_mutex_lock(&up->lock);
    norn_status status = send(up, device, host, bytes);
    const norn_status sent = // also after a failure: the buffers are not to be in flight
        norn_cuda_status(cudaStreamSynchronize(up->stream), "upload");
    pthread_mutex_unlock(&up->lock);
    return status == NORN_OK ? sent : status;
}
