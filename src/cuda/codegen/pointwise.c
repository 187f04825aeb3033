/// Pointwise regions and GEMM epilogues: their source, their state, their launch.
#include "cuda/codegen/codegen.h"

#include <string.h>

// ---- printing
typedef struct variant {
    const char *name;
    bool rows;    ///< stores have a row stride
    bool dynamic; ///< strides of the loads come with the launch
    int width;    ///< elements a thread takes at once
} variant;

static void print_store_offset(norn_buffer *out, const norn_cuda_loop *loop, const variant *v,
                               uint32_t store) {
    if (!v->rows || loop->count == 0)
        norn_buffer_text(out, "e");
    else
        norn_buffer_format(out, "(long long)(e / (I)a.dim[%d]) * a.row_stride[%u] + i%d",
                           loop->count - 1, store, loop->count - 1);
}

static void print_load_offset(norn_buffer *out, const norn_scalar_program *program,
                              const norn_cuda_loop *loop, const variant *v, uint32_t load) {
    if (program->loads[load].input == NORN_SCALAR_ACC) {
        print_store_offset(out, loop, v, 0); // the product lies where the result goes
    } else if (!v->dynamic) {
        norn_cuda_print_offset(out, loop, load, "dim");
    } else {
        for (int32_t d = 0; d < loop->count; d++)
            norn_buffer_format(out, "%si%d * a.stride[%u][%d]", d ? " + " : "", d, load, d);
        if (loop->count == 0) norn_buffer_text(out, "0");
    }
}

/// Whether lane k of a vector reads its own element of this operand.
static bool load_is_wide(const norn_scalar_program *program, const norn_cuda_loop *loop,
                         const variant *v, uint32_t load) {
    if (v->width == 1) return false;
    return program->loads[load].input == NORN_SCALAR_ACC || !loop->repeats[load][loop->count - 1];
}

static void print_loads(norn_buffer *out, const norn_scalar_program *program,
                        const norn_cuda_loop *loop, const variant *v) {
    for (uint32_t i = 0; i < program->load_count; i++) {
        const char *type = norn_cuda_storage_type(program->loads[i].dtype);
        if (load_is_wide(program, loop, v, i))
            norn_buffer_format(
                out, "    const norn_four<%s> x%u = ((const norn_four<%s> *)a.load[%u])[(", type, i,
                type, i);
        else
            norn_buffer_format(out, "    const %s x%u = ((const %s *)a.load[%u])[(", type, i, type,
                               i);
        print_load_offset(out, program, loop, v, i);
        norn_buffer_text(out, load_is_wide(program, loop, v, i) ? ") / 4];\n" : ")];\n");
    }
}

static void print_body(norn_buffer *out, const norn_scalar_program *program,
                       const norn_cuda_loop *loop, const variant *v, const norn_view *stores) {
    const char *lane = v->width == 1 ? "" : ".at[k]";
    for (uint32_t i = 0; i < program->store_count; i++) {
        const char *type = norn_cuda_storage_type(stores[i].dtype);
        norn_buffer_format(out, v->width == 1 ? "    %s o%u;\n" : "    norn_four<%s> o%u;\n", type,
                           i);
    }
    if (v->width > 1) norn_buffer_text(out, "#pragma unroll\n    for (int k = 0; k < 4; k++)");
    norn_buffer_text(out, "    {\n");
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "    %s s%u;\n",
                           norn_cuda_register_type(program->instrs[program->stores[i]].dtype), i);
    norn_buffer_text(out, "    program(");
    for (uint32_t i = 0; i < program->load_count; i++)
        norn_buffer_format(out, "%snorn_get(x%u%s)", i ? ", " : "", i,
                           load_is_wide(program, loop, v, i) ? ".at[k]" : "");
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "%ss%u", i || program->load_count ? ", " : "", i);
    norn_buffer_text(out, ");\n");
    for (uint32_t i = 0; i < program->store_count; i++)
        norn_buffer_format(out, "    o%u%s = norn_put<%s>(s%u);\n", i, lane,
                           norn_cuda_storage_type(stores[i].dtype), i);
    norn_buffer_text(out, "    }\n");
}

/// Whoever writes the end of a row writes the zeros after it.
static void print_pad(norn_buffer *out, const norn_scalar_program *program,
                      const norn_cuda_loop *loop, const variant *v, const norn_view *stores) {
    const int32_t last = loop->count - 1;
    norn_buffer_format(out,
                       "    if (i%d + %d == a.dim[%d])\n"
                       "      for (long long j = %d; j < %d + a.pad; j++) {\n",
                       last, v->width, last, v->width, v->width);
    for (uint32_t i = 0; i < program->store_count; i++) {
        norn_buffer_format(out, "        ((%s *)a.store[%u])[",
                           norn_cuda_storage_type(stores[i].dtype), i);
        print_store_offset(out, loop, v, i);
        norn_buffer_text(out, " + j] = {};\n");
    }
    norn_buffer_text(out, "      }\n");
}

static void print_kernel(norn_buffer *out, const norn_scalar_program *program, int32_t rank,
                         const variant *v, const norn_view *stores) {
    norn_cuda_loop loop;
    norn_cuda_loop_of(program, rank, v->rows, &loop);
    if (v->dynamic) {
        loop.count = rank;
        for (int32_t d = 0; d < rank; d++) loop.begin[d] = d, loop.end[d] = d + 1;
    }
    if (v->width > 1 && loop.count == 0) return;
    norn_buffer_format(out,
                       "extern \"C\" __global__ void __launch_bounds__(256) %s(const "
                       "__grid_constant__ Args a) {\n",
                       v->name);
    // Small loops index with 32 bits: the divisions are several times cheaper.
    norn_buffer_format(out, "  typedef %s I;\n", v->width > 1 ? "unsigned" : "long long");
    norn_buffer_format(out,
                       "  for (I q = (I)blockIdx.x * blockDim.x + threadIdx.x; q < (I)(a.total / "
                       "%d); q += (I)gridDim.x * "
                       "blockDim.x) {\n    const I e = q * %d;\n",
                       v->width, v->width);
    norn_cuda_print_indices(out, &loop, "e", "dim");
    print_loads(out, program, &loop, v);
    print_body(out, program, &loop, v, stores);
    for (uint32_t i = 0; i < program->store_count; i++) {
        const char *type = norn_cuda_storage_type(stores[i].dtype);
        norn_buffer_format(out,
                           v->width == 1 ? "    ((%s *)a.store[%u])["
                                         : "    ((norn_four<%s> *)a.store[%u])[(",
                           type, i);
        print_store_offset(out, &loop, v, i);
        norn_buffer_format(out, v->width == 1 ? "] = o%u;\n" : ") / 4] = o%u;\n", i);
    }
    if (v->rows && loop.count > 0) print_pad(out, program, &loop, v, stores);
    norn_buffer_text(out, "  }\n}\n");
}

norn_status norn_cuda_pointwise_source(const norn_scalar_program *program, int32_t rank,
                                       const norn_view *stores, norn_buffer *source) {
    static const variant variants[] = {{"flat_v4", false, false, 4},
                                       {"flat_v1", false, false, 1},
                                       {"rows_v4", true, false, 4},
                                       {"rows_v1", true, false, 1}};
    static const variant dynamic = {"dynamic", true, true, 1};
    norn_cuda_print_prelude(source);
    norn_cuda_print_program(source, "program", program, NORN_DTYPE_NONE);
    if (norn_cuda_program_dynamic(program)) {
        print_kernel(source, program, rank, &dynamic, stores);
    } else {
        // With one dim a strided row is a whole output: nothing to stride over.
        size_t count = rank > 1 ? 4 : 2;
        for (size_t i = 0; i < count; i++)
            print_kernel(source, program, rank, &variants[i], stores);
    }
    norn_buffer_append(source, "", 1);
    return norn_buffer_status(source);
}

// ---- compiling
bool norn_cuda_pointwise_supports(const norn_step_spec *spec) {
    const norn_region *region = spec->region;
    if (!norn_cuda_program_supported(&region->pointwise.program)) return false;
    if (region->pointwise.pad &&
        (spec->out[0].rank < 2 || norn_cuda_program_dynamic(&region->pointwise.program)))
        return false;
    for (uint32_t i = 0; i < spec->out_count; i++)
        if (!norn_cuda_storage_type(spec->out[i].dtype)) return false;
    return true;
}

norn_status norn_cuda_pointwise_codegen(norn_cuda_device *device, const norn_step_spec *spec,
                                        norn_alloc alloc, norn_span *code) {
    const norn_region *region = spec->region;
    norn_buffer source;
    norn_buffer_init(&source, alloc);
    norn_status status = norn_cuda_pointwise_source(&region->pointwise.program, spec->out[0].rank,
                                                    spec->out, &source);
    if (status == NORN_OK)
        status = norn_cuda_compile((const char *)source.bytes, device->sm, alloc, code);
    norn_buffer_deinit(&source);
    return status;
}

// ---- state
norn_status norn_cuda_pointwise_load(const norn_cuda_device *device, norn_span code,
                                     const norn_scalar_program *program, int32_t rank,
                                     norn_cuda_pointwise_state *state) {
    const norn_cuda_module *module = &state->module;
    state->multiprocessors = device->multiprocessors;
    NORN_TRY(norn_cuda_module_load(device, code, &state->module));
    if (norn_cuda_program_dynamic(program))
        return norn_cuda_module_kernel(module, "dynamic", &state->dynamic);
    NORN_TRY(norn_cuda_module_kernel(module, "flat_v1", &state->flat_v1));
    if (rank > 0) NORN_TRY(norn_cuda_module_kernel(module, "flat_v4", &state->flat_v4));
    if (rank > 1) NORN_TRY(norn_cuda_module_kernel(module, "rows_v1", &state->rows_v1));
    if (rank > 1) NORN_TRY(norn_cuda_module_kernel(module, "rows_v4", &state->rows_v4));
    return NORN_OK;
}

norn_status norn_cuda_pointwise_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                        void **out) {
    norn_cuda_pointwise_state *state = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    const norn_region *region = spec->region;
    norn_status status = norn_cuda_pointwise_load(device, spec->code, &region->pointwise.program,
                                                  spec->out[0].rank, state);
    if (status != NORN_OK) {
        norn_cuda_pointwise_unprepare(device, state);
        return status;
    }
    *out = state;
    return NORN_OK;
}

void norn_cuda_pointwise_unprepare(norn_cuda_device *device, void *memory) {
    norn_cuda_pointwise_state *state = memory;
    norn_cuda_module_unload(&state->module);
    norn_free(device->alloc, state);
}

// ---- launching
static bool aligned(const void *pointer, norn_dtype dtype) {
    size_t bytes = norn_dtype_bits(dtype) / 8 * 4;
    return ((uintptr_t)pointer & ((bytes < 16 ? bytes : 16) - 1)) == 0;
}

/// Whether threads may take four elements at once.
static bool wide(const norn_call *call, const norn_scalar_program *program,
                 const norn_cuda_loop *loop, const norn_cuda_generated_args *args) {
    if (loop->count == 0 || args->dim[loop->count - 1] % 4 != 0 || args->total >= INT32_MAX)
        return false;
    for (uint32_t i = 0; i < program->load_count; i++)
        if (!loop->repeats[i][loop->count - 1] && !aligned(args->load[i], program->loads[i].dtype))
            return false;
    for (uint32_t i = 0; i < program->store_count; i++)
        if (!aligned(args->store[i], call->out[i].dtype) || args->row_stride[i] % 4 != 0)
            return false;
    return true;
}

static norn_status dynamic_strides(const norn_call *call, const norn_scalar_program *program,
                                   int32_t rank, const int64_t *dims,
                                   norn_cuda_generated_args *args) {
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_scalar_load *load = &program->loads[i];
        if (load->dynamic) {
            const norn_view *operand = &call->in[load->input];
            NORN_TRY(norn_call_broadcasts(operand, rank, dims));
            if (operand->rank <= rank) // else it has one element
                norn_broadcast_strides(operand, rank, dims, args->stride[i]);
            continue;
        }
        int64_t step = 1;
        for (int32_t d = rank - 1; d >= 0; d--) {
            args->stride[i][d] = load->broadcast[d] ? 0 : step;
            if (!load->broadcast[d]) step *= dims[d];
        }
    }
    return NORN_OK;
}

static uint32_t block_count(int64_t threads, int32_t multiprocessors) {
    int64_t blocks = (threads + 255) / 256, most = (int64_t)multiprocessors * 16;
    return (uint32_t)(blocks < most ? blocks : most);
}

norn_status norn_cuda_pointwise_run(norn_call *call, const norn_cuda_pointwise_state *state,
                                    const norn_scalar_program *program, int32_t rank,
                                    const int64_t *dims, int64_t pad, const void *acc) {
    norn_cuda_generated_args args;
    memset(&args, 0, sizeof args);
    bool rows = false;
    int64_t last = rank > 0 ? dims[rank - 1] : 1;
    args.total = norn_dims_product(dims, 0, rank);
    args.pad = pad;
    if (args.total == 0) return NORN_OK;
    for (uint32_t i = 0; i < program->load_count; i++) {
        uint32_t input = program->loads[i].input;
        args.load[i] = input == NORN_SCALAR_ACC ? acc : call->in[input].data;
    }
    for (uint32_t i = 0; i < program->store_count; i++) {
        args.store[i] = call->out[i].data;
        args.row_stride[i] = call->out[i].row_stride ? call->out[i].row_stride : last + pad;
        rows |= args.row_stride[i] != last;
    }
    rows &= rank > 1;
    cudaStream_t stream = norn_cuda_stream_of(call)->handle;
    if (state->dynamic) {
        memcpy(args.dim, dims, (size_t)rank * sizeof *dims);
        NORN_TRY(dynamic_strides(call, program, rank, dims, &args));
        uint32_t blocks = block_count(args.total, state->multiprocessors);
        return norn_cuda_launched(
            norn_cuda_module_launch(state->dynamic, blocks, 256, &args, stream));
    }
    norn_cuda_loop loop;
    norn_cuda_loop_of(program, rank, rows, &loop);
    norn_cuda_loop_dims(&loop, dims, args.dim);
    bool four = wide(call, program, &loop, &args);
    cudaKernel_t kernel =
        rows ? (four ? state->rows_v4 : state->rows_v1) : (four ? state->flat_v4 : state->flat_v1);
    uint32_t blocks = block_count(four ? args.total / 4 : args.total, state->multiprocessors);
    return norn_cuda_launched(norn_cuda_module_launch(kernel, blocks, 256, &args, stream));
}

norn_status norn_cuda_pointwise(norn_call *call) {
    const norn_pointwise_region *region = &call->region->pointwise;
    norn_view loop = call->out[0];
    if (region->pad) loop.dims[loop.rank - 1] -= region->pad;
    if (region->pad && loop.dims[loop.rank - 1] < 1)
        return norn_fail(NORN_INVALID_ARGUMENT, "its output has no room for %lld zeros a row",
                         (long long)region->pad);
    return norn_cuda_pointwise_run(call, call->state, &region->program, loop.rank, loop.dims,
                                   region->pad, NULL);
}
