/// Interaction: where each feature's rows are, which pairs go where.
#include "cuda/gemm/gemm.h"
#include "cuda/kernels/interaction_kernel.h"
#include "cuda/ops/ops.h"
#include "tensor/dtype.h"

#include <string.h>

enum { SHARED_MOST = 200 << 10 };

typedef struct interaction_state {
    uint16_t *pairs; ///< device memory: i * 256 + j, i >= j
    uint32_t pair_count;
    bool tf32;
} interaction_state;

static const norn_interaction_region *region_of(const norn_region *region) {
    return &region->interaction;
}

bool norn_cuda_interaction_supports(const norn_step_spec *spec) {
    const norn_interaction_region *region = region_of(spec->region);
    const norn_dtype dtype = spec->in[0].dtype, out = spec->out[0].dtype;
    for (uint32_t i = 0; i < spec->in_count; i++)
        if (spec->in[i].dtype != dtype) return false;
    if (norn_sum_dtype(dtype) != NORN_F32 || (out != dtype && out != NORN_F32) ||
        region->features > NORN_CUDA_INTERACTION_FEATURES || region->dim > 1 << 20)
        return false;
    return region->kind == NORN_INTERACTION_FM ||
           norn_cuda_dot_exact_bytes(region->features, region->dim) <= SHARED_MOST;
}

// ---- pairs
static uint16_t pair_of(int64_t i, int64_t j) {
    return (uint16_t)(i > j ? i * 256 + j : j * 256 + i);
}

static uint32_t pair_count(const norn_interaction_region *region) {
    if (region->kind == NORN_INTERACTION_FM) return 0;
    if (region->pair_order) return region->pair_count;
    int64_t f = region->features;
    return (uint32_t)(region->diagonal ? f * (f + 1) / 2 : f * (f - 1) / 2);
}

static void list_pairs(const norn_interaction_region *region, uint16_t *pairs) {
    uint32_t at = 0;
    if (region->pair_order) {
        for (; at < region->pair_count; at++)
            pairs[at] = pair_of(region->pair_order[2 * at], region->pair_order[2 * at + 1]);
        return;
    }
    int64_t f = region->features, skip = region->diagonal ? 0 : 1;
    for (int64_t i = 0; i < f; i++) {
        if (region->upper)
            for (int64_t j = i + skip; j < f; j++) pairs[at++] = pair_of(i, j);
        else
            for (int64_t j = 0; j <= i - skip; j++) pairs[at++] = pair_of(i, j);
    }
}

static norn_status upload_pairs(norn_cuda_device *device, const norn_interaction_region *region,
                                interaction_state *state) {
    uint16_t *host = NULL;
    norn_status status;
    state->pair_count = pair_count(region);
    if (state->pair_count == 0) return NORN_OK;
    NORN_TRY(NORN_NEW_ARRAY(device->alloc, state->pair_count, &host));
    list_pairs(region, host);
    size_t bytes = state->pair_count * sizeof *host;
    NORN_CUDA_TRY_DONE(cudaMalloc((void **)&state->pairs, bytes));
    NORN_TRY_DONE(norn_cuda_upload(state->pairs, host, bytes));
done:
    norn_free(device->alloc, host);
    return status;
}

norn_status norn_cuda_interaction_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                          void **out) {
    interaction_state *state = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    state->tf32 = spec->numbers.tf32;
    norn_status status = upload_pairs(device, region_of(spec->region), state);
    if (status != NORN_OK) {
        norn_cuda_interaction_unprepare(device, state);
        return status;
    }
    *out = state;
    return NORN_OK;
}

void norn_cuda_interaction_unprepare(norn_cuda_device *device, void *memory) {
    interaction_state *state = memory;
    (void)cudaFree(state->pairs);
    norn_free(device->alloc, state);
}

// ---- launching
/// Elements of one sample in `view`.
static int64_t width_of(const norn_view *view) {
    return norn_dims_product(view->dims, 1, view->rank);
}

static norn_status set_features(norn_call *call, const norn_interaction_region *region,
                                norn_cuda_interaction_args *args) {
    const int64_t element = norn_dtype_bits(call->in[0].dtype) / 8;
    int64_t f = 0;
    args->aligned = region->dim * element % 16 == 0;
    for (uint32_t i = 0; i < region->part_count; i++) {
        int64_t width = width_of(&call->in[i]);
        const char *data = call->in[i].data;
        args->aligned = args->aligned && ((uintptr_t)data & 15) == 0 && width * element % 16 == 0;
        for (int64_t at = 0; at + region->dim <= width && f < region->features;
             at += region->dim, f++) {
            args->feature[f] = data + at * element;
            args->stride[f] = (int32_t)width;
        }
    }
    if (f == region->features) return NORN_OK;
    return norn_fail(NORN_INTERNAL, "the parts hold %lld feature%s of %lld", (long long)f,
                     norn_plural(f), (long long)region->features);
}

norn_status norn_cuda_interaction(norn_call *call) {
    const norn_interaction_region *region = region_of(call->region);
    const interaction_state *state = call->state;
    const norn_view *out = &call->out[0];
    norn_cuda_interaction_args args;
    memset(&args, 0, sizeof args);
    args.batch = out->dims[0];
    if (args.batch == 0) return NORN_OK;
    NORN_TRY(set_features(call, region, &args));
    args.features = (int32_t)region->features;
    args.dim = (int32_t)region->dim;
    args.elem = (uint8_t)norn_cuda_elem_of(call->in[0].dtype);
    args.to = (uint8_t)norn_cuda_elem_of(out->dtype);
    args.out = out->data;
    args.out_stride = out->row_stride ? out->row_stride : width_of(out);
    args.pairs = state->pairs;
    args.pair_count = (int32_t)state->pair_count;
    args.pad = (int32_t)region->pad;
    cudaStream_t stream = norn_cuda_stream_of(call)->handle;
    if (region->kind == NORN_INTERACTION_FM)
        return norn_cuda_launched(norn_cuda_fm_launch(&args, stream));
    if (region->pass_input != NORN_NO_INPUT) {
        args.pass = call->in[region->pass_input].data;
        args.pass_count = (int32_t)region->pass_through;
        args.pass_stride = (int32_t)width_of(&call->in[region->pass_input]);
    }
    const bool cores = state->tf32 || args.elem != NORN_CUDA_ELEM_F32;
    const int32_t run = args.elem == NORN_CUDA_ELEM_F32 ? 16 : 32; // 64 bytes
    bool fits = cores && args.features <= 32 && args.dim % run == 0 && args.aligned;
    cudaError_t error = fits ? norn_cuda_dot_cores_launch(&args, stream)
                             : norn_cuda_dot_exact_launch(&args, stream);
    return norn_cuda_launched(error);
}
