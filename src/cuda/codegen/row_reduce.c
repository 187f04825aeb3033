/// Row-reduce regions: a prologue on every element, a reduction, an epilogue on every result.
#include "cuda/codegen/codegen.h"

#include <string.h>

typedef struct row_reduce_state {
    norn_cuda_module module;
    cudaKernel_t row, inner;
    int32_t multiprocessors;
} row_reduce_state;

/// The loop of the prologue: the broadcast of its operands. False: they do not broadcast.
static bool prologue_dims(const norn_row_reduce_region *region, const norn_view *in, int32_t *rank,
                          int64_t *dims) {
    const norn_scalar_program *program = &region->prologue;
    *rank = in[0].rank;
    memcpy(dims, in[0].dims, sizeof in[0].dims);
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_view *view = &in[program->loads[i].input];
        if (i == 0) {
            *rank = view->rank;
            memcpy(dims, view->dims, sizeof view->dims);
        } else if (!norn_broadcast_dims(*rank, dims, view->rank, view->dims, rank, dims)) {
            return false;
        }
    }
    return true;
}

static norn_dtype element_dtype(const norn_row_reduce_region *region, const norn_view *in) {
    const norn_scalar_program *program = &region->prologue;
    return program->instr_count ? program->instrs[program->stores[0]].dtype : in[0].dtype;
}

static const char *accumulator_type(norn_dtype dtype) {
    switch ((int)dtype) {
    case NORN_F32:
    case NORN_F16:
    case NORN_BF16:
        return "float";
    case NORN_F64:
        return "double";
    case NORN_I64:
        return "long long";
    case NORN_U64:
        return "unsigned long long";
    case NORN_U32:
        return "unsigned int";
    default:
        return "int";
    }
}

static norn_dtype accumulator_dtype(norn_dtype dtype) {
    switch ((int)dtype) {
    case NORN_F16:
    case NORN_BF16:
        return NORN_F32;
    case NORN_F32:
    case NORN_F64:
    case NORN_I64:
    case NORN_U64:
    case NORN_U32:
        return dtype;
    default:
        return NORN_I32;
    }
}

// ---- printing
static const char *combine(norn_reduce_kind kind) {
    switch (kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        return "x + y";
    case NORN_REDUCE_MAX:
        return "norn_max(x, y)";
    case NORN_REDUCE_MIN:
        return "norn_min(x, y)";
    case NORN_REDUCE_PROD:
        return "x * y";
    }
    return "x";
}

static const char *identity(norn_reduce_kind kind) {
    switch (kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        return "(Acc)0";
    case NORN_REDUCE_MAX:
        return "norn_lowest<Acc>()";
    case NORN_REDUCE_MIN:
        return "norn_highest<Acc>()";
    case NORN_REDUCE_PROD:
        return "(Acc)1";
    }
    return "(Acc)0";
}

static const char limits[] =
    "template <class T> static __device__ __forceinline__ T norn_highest() {\n"
    "    return (T)-1 < (T)0 ? (T)(((unsigned long long)1 << (8 * sizeof(T) - 1)) - 1) : "
    "(T)-1;\n}\n"
    "template <> __device__ __forceinline__ float norn_highest<float>() { return "
    "norn_inf<float>(); }\n"
    "template <> __device__ __forceinline__ double norn_highest<double>() { return "
    "norn_inf<double>(); }\n"
    "template <class T> static __device__ __forceinline__ T norn_lowest() { return (T)-1 < (T)0 ? "
    "(T)(-norn_highest<T>() - (T)1) : (T)0; }\n"
    "template <> __device__ __forceinline__ float norn_lowest<float>() { return "
    "-norn_inf<float>(); }\n"
    "template <> __device__ __forceinline__ double norn_lowest<double>() { return "
    "-norn_inf<double>(); }\n";

static const char kernels[] =
    "extern \"C\" __global__ void row(const __grid_constant__ Args a) {\n"
    "    __shared__ Acc part[32];\n"
    "    for (long long r = (long long)blockIdx.x * blockDim.y + threadIdx.y; r < a.outer; r += "
    "(long long)gridDim.x * blockDim.y) {\n"
    "        Acc acc = IDENTITY;\n"
    "        for (long long c = threadIdx.x; c < a.reduced; c += blockDim.x) acc = combine(acc, "
    "element(a, r * a.reduced + c));\n"
    "        for (int s = 16; s; s >>= 1) acc = combine(acc, __shfl_xor_sync(0xffffffffu, acc, "
    "s));\n"
    "        if (blockDim.x > 32) {\n"
    "            __syncthreads();\n"
    "            if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = acc;\n"
    "            __syncthreads();\n"
    "            acc = part[0];\n"
    "            for (int w = 1; w < blockDim.x / 32; w++) acc = combine(acc, part[w]);\n"
    "        }\n"
    "        if (threadIdx.x == 0) finish(a, acc, r);\n"
    "    }\n}\n"
    "extern \"C\" __global__ void inner(const __grid_constant__ Args a) {\n"
    "    const long long n = a.outer * a.inner;\n"
    "    for (long long q = (long long)blockIdx.x * blockDim.x + threadIdx.x; q < n; q += (long "
    "long)gridDim.x * blockDim.x) {\n"
    "        const long long o = q / a.inner, i = q % a.inner;\n"
    "        Acc acc = IDENTITY;\n"
    "        for (long long c = 0; c < a.reduced; c++) acc = combine(acc, element(a, (o * "
    "a.reduced + c) * a.inner + i));\n"
    "        finish(a, acc, q);\n"
    "    }\n}\n";

/// Loads of `program` at the current indices, as arguments; `first` is its first slot in a.load.
static void print_call(norn_buffer *out, const norn_scalar_program *program, const char *name,
                       const norn_cuda_loop *loop, const char *dims, uint32_t first) {
    norn_buffer_format(out, "    %s(", name);
    for (uint32_t i = 0; i < program->load_count; i++) {
        if (i) norn_buffer_text(out, ", ");
        if (program->loads[i].input == NORN_SCALAR_ACC) {
            norn_buffer_text(out, "acc");
            continue;
        }
        norn_buffer_format(out, "norn_get(((const %s *)a.load[%u])[",
                           norn_cuda_storage_type(program->loads[i].dtype), first + i);
        norn_cuda_print_offset(out, loop, i, dims);
        norn_buffer_text(out, "])");
    }
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "%ss%u", i || program->load_count ? ", " : "", i);
    norn_buffer_text(out, ");\n");
}

static void print_results(norn_buffer *out, const norn_scalar_program *program) {
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "    %s s%u;\n",
                           norn_cuda_register_type(program->instrs[program->stores[i]].dtype), i);
}

static void print_element(norn_buffer *out, const norn_row_reduce_region *region,
                          const norn_view *in, int32_t rank) {
    const norn_scalar_program *program = &region->prologue;
    norn_cuda_loop loop;
    norn_buffer_text(
        out, "static __device__ __forceinline__ Acc element(const Args &a, const long long e) {\n");
    if (program->instr_count == 0) {
        norn_buffer_format(out, "    return (Acc)norn_get(((const %s *)a.load[0])[e]);\n}\n",
                           norn_cuda_storage_type(in[0].dtype));
        return;
    }
    norn_cuda_loop_of(program, rank, false, &loop);
    norn_cuda_print_indices(out, &loop, "e", "dim");
    print_results(out, program);
    print_call(out, program, "prologue", &loop, "dim", 0);
    norn_buffer_text(out, "    return (Acc)s0;\n}\n");
}

static uint32_t prologue_loads(const norn_row_reduce_region *region) {
    return region->prologue.instr_count ? region->prologue.load_count : 1;
}

static void print_finish(norn_buffer *out, const norn_row_reduce_region *region,
                         const norn_view *stores, int32_t rank) {
    const norn_scalar_program *program = &region->epilogue;
    norn_cuda_loop loop;
    norn_buffer_text(out, "static __device__ __forceinline__ void finish(const Args &a, Acc acc, "
                          "const long long e) {\n");
    if (region->kind == NORN_REDUCE_MEAN) // of nothing: 0
        norn_buffer_text(out, "    acc = a.reduced > 0 ? acc / (Acc)a.reduced : (Acc)0;\n");
    if (program->instr_count == 0) {
        norn_buffer_text(out, "    const Acc s0 = acc;\n");
    } else {
        norn_cuda_loop_of(program, rank, false, &loop);
        norn_cuda_print_indices(out, &loop, "e", "dim_out");
        print_results(out, program);
        print_call(out, program, "epilogue", &loop, "dim_out", prologue_loads(region));
    }
    uint32_t count = program->instr_count ? program->store_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        const char *type = norn_cuda_storage_type(stores[i].dtype);
        norn_buffer_format(out,
                           "    ((%s *)a.store[%u])[e / a.row * a.row_stride[%u] + e %% a.row] = "
                           "norn_put<%s>(s%u);\n",
                           type, i, i, type, i);
    }
    norn_buffer_text(out, "}\n");
}

norn_status norn_cuda_row_reduce_source(const norn_step_spec *spec, norn_buffer *source) {
    const norn_row_reduce_region *region = &spec->region->row_reduce;
    norn_dtype element = element_dtype(region, spec->in);
    int64_t dims[NORN_MAX_RANK];
    int32_t rank;
    if (!prologue_dims(region, spec->in, &rank, dims))
        return norn_fail(NORN_INVALID_ARGUMENT, "operands do not broadcast");
    norn_cuda_print_prelude(source);
    norn_buffer_text(source, limits);
    norn_buffer_format(source, "typedef long long I;\ntypedef %s Acc;\n#define IDENTITY %s\n",
                       accumulator_type(element), identity(region->kind));
    norn_buffer_format(
        source, "static __device__ __forceinline__ Acc combine(Acc x, Acc y) { return %s; }\n",
        combine(region->kind));
    if (region->prologue.instr_count)
        norn_cuda_print_program(source, "prologue", &region->prologue, NORN_DTYPE_NONE);
    if (region->epilogue.instr_count)
        norn_cuda_print_program(source, "epilogue", &region->epilogue, accumulator_dtype(element));
    print_element(source, region, spec->in, rank);
    print_finish(source, region, spec->out, rank - (int32_t)region->reduced_dims);
    norn_buffer_text(source, kernels);
    norn_buffer_append(source, "", 1);
    return norn_buffer_status(source);
}

// ---- compiling and preparing
bool norn_cuda_row_reduce_supports(const norn_step_spec *spec) {
    const norn_row_reduce_region *region = &spec->region->row_reduce;
    for (uint32_t i = 0; i < spec->out_count; i++)
        if (!norn_cuda_storage_type(spec->out[i].dtype)) return false;
    return norn_cuda_storage_type(spec->in[0].dtype) &&
           norn_cuda_program_supported(&region->prologue) &&
           norn_cuda_program_supported(&region->epilogue) &&
           prologue_loads(region) + region->epilogue.load_count <= NORN_SCALAR_LOAD_MAX;
}

norn_status norn_cuda_row_reduce_codegen(norn_cuda_device *device, const norn_step_spec *spec,
                                         norn_alloc alloc, norn_span *code) {
    norn_buffer source;
    norn_buffer_init(&source, alloc);
    norn_status status = norn_cuda_row_reduce_source(spec, &source);
    if (status == NORN_OK)
        status = norn_cuda_compile((const char *)source.bytes, device->sm, alloc, code);
    norn_buffer_deinit(&source);
    return status;
}

norn_status norn_cuda_row_reduce_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                         void **out) {
    row_reduce_state *state = NULL;
    norn_status status;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    state->multiprocessors = device->multiprocessors;
    NORN_TRY_DONE(norn_cuda_module_load(device, spec->code, &state->module));
    NORN_TRY_DONE(norn_cuda_module_kernel(&state->module, "row", &state->row));
    NORN_TRY_DONE(norn_cuda_module_kernel(&state->module, "inner", &state->inner));
    *out = state;
    return NORN_OK;
done:
    norn_cuda_row_reduce_unprepare(device, state);
    return status;
}

void norn_cuda_row_reduce_unprepare(norn_cuda_device *device, void *memory) {
    row_reduce_state *state = memory;
    norn_cuda_module_unload(&state->module);
    norn_free(device->alloc, state);
}

// ---- launching
static void fill_operands(norn_call *call, const norn_row_reduce_region *region,
                          norn_cuda_generated_args *args) {
    uint32_t first = prologue_loads(region);
    args->load[0] = call->in[0].data;
    for (uint32_t i = 0; i < region->prologue.load_count; i++)
        args->load[i] = call->in[region->prologue.loads[i].input].data;
    for (uint32_t i = 0; i < region->epilogue.load_count; i++)
        if (region->epilogue.loads[i].input != NORN_SCALAR_ACC)
            args->load[first + i] = call->in[region->epilogue.loads[i].input].data;
    for (uint32_t i = 0; i < call->out_count; i++) {
        const norn_view *out = &call->out[i];
        args->row = out->rank > 0 ? out->dims[out->rank - 1] : 1;
        args->store[i] = out->data;
        args->row_stride[i] = out->row_stride ? out->row_stride : args->row;
    }
}

static norn_status launch(norn_call *call, const row_reduce_state *state,
                          norn_cuda_generated_args *args) {
    bool by_row = args->inner == 1;
    // A warp a row; a block a row where rows are long and few.
    bool block = by_row && args->reduced >= 1024;
    int64_t items = by_row ? (block ? args->outer : (args->outer + 7) / 8)
                           : (args->outer * args->inner + 255) / 256;
    int64_t most = (int64_t)state->multiprocessors * 32;
    cudaLaunchConfig_t config = {
        .gridDim = {(uint32_t)(items < most ? items : most), 1, 1},
        .blockDim = {by_row && !block ? 32 : 256, by_row && !block ? 8 : 1, 1},
        .stream = norn_cuda_stream_of(call)->handle};
    void *values[] = {args};
    cudaKernel_t kernel = by_row ? state->row : state->inner;
    return norn_cuda_launched(cudaLaunchKernelExC(&config, (const void *)kernel, values));
}

norn_status norn_cuda_row_reduce(norn_call *call) {
    const norn_row_reduce_region *region = &call->region->row_reduce;
    norn_cuda_generated_args args;
    norn_cuda_loop loop;
    int64_t dims[NORN_MAX_RANK], kept[NORN_MAX_RANK];
    int32_t rank, kept_rank = 0;
    memset(&args, 0, sizeof args);
    if (!prologue_dims(region, call->in, &rank, dims))
        return norn_fail(NORN_INVALID_ARGUMENT, "operands do not broadcast");
    int32_t last = rank - (int32_t)region->inner_dims, first = last - (int32_t)region->reduced_dims;
    args.outer = norn_dims_product(dims, 0, first);
    args.reduced = norn_dims_product(dims, first, last);
    args.inner = norn_dims_product(dims, last, rank);
    if (args.outer * args.inner == 0) return NORN_OK;
    for (int32_t d = 0; d < rank; d++)
        if (d < first || d >= last) kept[kept_rank++] = dims[d];
    if (region->prologue.instr_count) {
        norn_cuda_loop_of(&region->prologue, rank, false, &loop);
        norn_cuda_loop_dims(&loop, dims, args.dim);
    }
    if (region->epilogue.instr_count) {
        norn_cuda_loop_of(&region->epilogue, kept_rank, false, &loop);
        norn_cuda_loop_dims(&loop, kept, args.dim_out);
    }
    fill_operands(call, region, &args);
    return launch(call, call->state, &args);
}
