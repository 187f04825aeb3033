/// GemmRegion: Y = epilogue(A * B). Bias and ReLU go into the product, and sigmoid and cross layers where
/// a kernel of our own computes it; anything else is a pointwise kernel over the output, in place.
#include "cuda/gemm/gemm.h"

#include <stdlib.h>

static const norn_gemm_region *region_of(const norn_region *region) {
    return &region->gemm;
}

static bool is_transposed(const norn_gemm_region *region) {
    return region->b_layout == NORN_GEMM_COLUMNS;
}

bool norn_cuda_gemm_supports(const norn_step_spec *spec) {
    const norn_gemm_region *region = region_of(spec->region);
    const norn_dtype dtype = spec->in[0].dtype, out = spec->out[0].dtype;
    if (region->b_layout == NORN_GEMM_PANELS || norn_sum_dtype(dtype) != NORN_F32 ||
        spec->in[1].dtype != dtype)
        return false;
    // Floats into halves are rounded by the epilogue.
    const bool narrows =
        dtype == NORN_F32 && norn_dtype_is_half(out) && region->epilogue.instr_count;
    if (out != dtype && out != NORN_F32 && !narrows) return false;
    return region->k > 0 && region->k <= INT32_MAX / 2 && region->n <= INT32_MAX / 2 &&
           norn_cuda_program_supported(&region->epilogue);
}

norn_status norn_cuda_gemm_codegen(norn_cuda_device *device, const norn_step_spec *spec,
                                   norn_alloc alloc, norn_span *code) {
    const norn_gemm_region *region = region_of(spec->region);
    if (norn_cuda_epilogue_match(&region->epilogue, &spec->numbers).ending == NORN_CUDA_ENDING_ANY)
        return NORN_OK;
    norn_buffer source;
    norn_buffer_init(&source, alloc);
    norn_status status = norn_cuda_pointwise_source(&region->epilogue, 2, spec->out, &source);
    if (status == NORN_OK)
        status = norn_cuda_compile((const char *)source.bytes, device->sm, alloc, code);
    norn_buffer_deinit(&source);
    return status;
}

/// Copies of constant weights in the layouts of our own kernels.
static norn_status pack_weights(norn_cuda_gemm_state *state, const norn_gemm_region *region,
                                const void *host) {
    const size_t size = norn_cuda_gemm_elem_bytes(state);
    const size_t bytes = (size_t)region->k * (size_t)region->n * size;
    void *staged = NULL;
    norn_status status;
    state->packed_k = (region->k + 15) / 16 * 16;
    NORN_TRY_DONE(norn_cuda_status(cudaMalloc(&staged, bytes), "weights"));
    NORN_TRY_DONE(
        norn_cuda_status(cudaMemcpy(staged, host, bytes, cudaMemcpyHostToDevice), "weights"));
    NORN_TRY_DONE(norn_cuda_status(
        cudaMalloc(&state->packed, (size_t)state->packed_k * (size_t)region->n * size),
        "packed weights"));
    NORN_TRY_DONE(
        norn_cuda_status(norn_cuda_gemm_pack_launch(staged, (int32_t)size, is_transposed(region),
                                                    (int32_t)region->n, (int32_t)region->k,
                                                    (int32_t)state->packed_k, state->packed, NULL),
                         "packing weights"));
    if (norn_cuda_gemm_tiles(state, region->n, region->k)) {
        const size_t panel_bytes = norn_cuda_gemm_panel_bytes(region->n, region->k, (int64_t)size);
        NORN_TRY_DONE(
            norn_cuda_status(cudaMalloc(&state->panels, panel_bytes), "weights in panels"));
        NORN_TRY_DONE(norn_cuda_status(
            norn_cuda_gemm_panels_launch(staged, norn_cuda_elem_of(state->numbers.a),
                                         is_transposed(region), (int32_t)region->n,
                                         (int32_t)region->k, state->panels, NULL),
            "weights in panels"));
    }
    NORN_TRY_DONE(norn_cuda_status(cudaDeviceSynchronize(), "packing weights"));
done:
    (void)cudaFree(staged);
    return status;
}

/// Panels that no choice reads are given back.
static void drop_panels(norn_cuda_gemm_state *state) {
    for (int32_t i = 0; i < state->choice_count; i++)
        if (state->choices[i].way == NORN_CUDA_GEMM_TILE) return;
    (void)cudaFree(state->panels);
    state->panels = NULL;
}

static int64_t rows_of(const norn_view *a) {
    return norn_dims_product(a->dims, 0, a->rank - 1);
}

static norn_status fill_state(norn_cuda_gemm_state *state, const norn_step_spec *spec) {
    const norn_gemm_region *region = region_of(spec->region);
    state->numbers = spec->numbers;
    state->epilogue = norn_cuda_epilogue_match(&region->epilogue, &state->numbers);
    if (state->epilogue.ending != NORN_CUDA_ENDING_ANY)
        NORN_TRY(norn_cuda_pointwise_load(state->device, spec->code, &region->epilogue, 2,
                                          &state->pointwise));
    if (spec->in[1].data) NORN_TRY(pack_weights(state, region, spec->in[1].data));
    int64_t rows = rows_of(&spec->in[0]);
    if (rows <= 0 || region->n == 0) return NORN_OK;
    NORN_TRY(norn_cuda_gemm_tune(state, rows, region->n, region->k, is_transposed(region)));
    drop_panels(state);
    return NORN_OK;
}

norn_status norn_cuda_gemm_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                   void **out) {
    norn_cuda_gemm_state *state = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    state->device = device;
    norn_status status = fill_state(state, spec);
    if (status != NORN_OK) {
        norn_cuda_gemm_unprepare(device, state);
        return status;
    }
    *out = state;
    return NORN_OK;
}

void norn_cuda_gemm_unprepare(norn_cuda_device *device, void *memory) {
    norn_cuda_gemm_state *state = memory;
    norn_cuda_module_unload(&state->pointwise.module);
    (void)cudaFree(state->packed);
    (void)cudaFree(state->panels);
    norn_free(device->alloc, state);
}

/// What was tuned for the next larger number of rows.
static const norn_cuda_gemm_choice *choice_for(const norn_cuda_gemm_state *state, int64_t m) {
    for (int32_t i = 0; i < state->choice_count; i++)
        if (state->choices[i].m >= m) return &state->choices[i];
    return state->choice_count ? &state->choices[state->choice_count - 1] : NULL;
}

norn_status norn_cuda_gemm_region(norn_call *call) {
    const norn_gemm_region *region = region_of(call->region);
    const norn_cuda_gemm_state *state = call->state;
    norn_view *out = &call->out[0];
    int64_t rows = rows_of(&call->in[0]);
    if (rows == 0 || region->n == 0) return NORN_OK;
    norn_cuda_product product = {
        .m = rows,
        .n = region->n,
        .k = region->k,
        .dtype = state->numbers.a,
        .out = state->numbers.out,
        .a = call->in[0].data,
        .b = call->in[1].data,
        .d = out->data,
        .lda = region->k,
        .ldb = is_transposed(region) ? region->k : region->n,
        .ldd = out->row_stride ? out->row_stride : region->n,
        .b_transposed = is_transposed(region),
        .bias = state->epilogue.has_bias ? call->in[state->epilogue.bias_input].data : NULL,
        .bias_value = state->epilogue.bias_value,
        .activation = state->epilogue.activation,
        .times = state->epilogue.crosses ? call->in[state->epilogue.times_input].data : NULL,
        .plus = state->epilogue.crosses ? call->in[state->epilogue.plus_input].data : NULL,
        .tf32 = state->numbers.tf32,
        .batches = 1};
    const norn_cuda_gemm_choice *choice = choice_for(state, rows);
    norn_cuda_ending ending = state->epilogue.ending;
    bool pointwise = ending == NORN_CUDA_ENDING_POINTWISE ||
                     (ending == NORN_CUDA_ENDING_OWN && norn_cuda_gemm_is_lt(&product, choice));
    if (pointwise)
        product.bias = NULL, product.bias_value = 0, product.activation = NORN_CUDA_LINEAR;
    // Sums that a half result's program begins with, then the padded copy of A.
    const bool sums = pointwise && product.out != NORN_F32,
               padded = choice && choice->way == NORN_CUDA_GEMM_PADDED;
    const size_t sum_bytes =
        sums ? ((size_t)rows * (size_t)product.ldd * sizeof(float) + 255) / 256 * 256 : 0;
    const size_t padded_bytes =
        padded ? (size_t)rows * (size_t)state->packed_k * norn_cuda_gemm_elem_bytes(state) : 0;
    void *scratch = NULL;
    if (sums || padded) NORN_TRY(norn_call_scratch(call, sum_bytes + padded_bytes, &scratch));
    if (sums) {
        product.d = scratch;
        product.out = NORN_F32;
        scratch = (char *)scratch + sum_bytes;
    }
    NORN_TRY(norn_cuda_gemm_run(state, &product, choice, scratch, norn_cuda_stream_of(call)));
    if (!pointwise) return NORN_OK;
    const int64_t dims[2] = {rows, region->n};
    return norn_cuda_pointwise_run(call, &state->pointwise, &region->epilogue, 2, dims, 0,
                                   product.d);
}
