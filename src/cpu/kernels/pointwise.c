// Pointwise regions: a scalar program over broadcast operands.
#include "cpu/cpu_kernel.h"
#include "cpu/kernels/tile_nest.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <string.h>

/// Types of less than a byte are widened before and packed after: the program never sees them.
static bool is_packed(norn_dtype dtype) {
    uint32_t bits = norn_dtype_bits(dtype);
    return bits > 0 && bits < 8;
}
static norn_dtype widened(norn_dtype dtype) {
    if (!is_packed(dtype)) return dtype;
    if (norn_dtype_is_float(dtype)) return NORN_F32;
    return norn_dtype_is_signed(dtype) ? NORN_I8 : NORN_U8;
}

static norn_status widen(norn_call *call, const norn_view *view, norn_view *out) {
    *out = *view;
    if (!is_packed(view->dtype)) return NORN_OK;
    int64_t count = norn_view_elems(view);
    out->dtype = widened(view->dtype);
    NORN_TRY(norn_cpu_scratch(call, count, norn_dtype_bits(out->dtype) / 8, &out->data));
    for (int64_t i = 0; i < count; i++)
        norn_element_set_f64(out->dtype, out->data, i,
                             norn_element_f64(view->dtype, view->data, i));
    return NORN_OK;
}

static void narrow(const norn_view *wide, norn_view *out) {
    int64_t count = norn_view_elems(out);
    for (int64_t i = 0; i < count; i++)
        norn_element_set_f64(out->dtype, out->data, i,
                             norn_element_f64(wide->dtype, wide->data, i));
}

static const norn_view *first_output(const norn_call *call) {
    for (uint32_t i = 0; i < call->out_count; i++)
        if (norn_view_present(&call->out[i])) return &call->out[i];
    return NULL;
}

/// Outputs whose shape nobody knew before: the broadcast of the operands. (A region that is larger
/// than its operands, an Expand, always has a planned shape.)
static norn_status size_outputs(norn_call *call, const norn_scalar_program *program) {
    norn_view shape = {0};
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_view *in = &call->in[program->loads[i].input];
        if (program->loads[i].input >= call->in_count || in->rank < 0 ||
            !norn_broadcast_dims(shape.rank, shape.dims, in->rank, in->dims, &shape.rank,
                                 shape.dims))
            return norn_fail(NORN_INVALID_ARGUMENT, "its operands do not broadcast");
    }
    for (uint32_t i = 0; i < call->out_count; i++)
        if (norn_view_present(&call->out[i]) && call->out[i].rank < 0)
            NORN_TRY(norn_call_output(call, i, call->out[i].dtype, shape.rank, shape.dims));
    return NORN_OK;
}

/// What repeats shows only now: by the operand's own dims.
static norn_status bind_dynamic(norn_tile_nest *nest, uint32_t index, const norn_view *view) {
    int64_t size = norn_dtype_bits(view->dtype) / 8, *strides = nest->strides[index];
    NORN_TRY(norn_call_broadcasts(view, nest->rank, nest->dims));
    if (view->rank > nest->rank) {
        for (int32_t d = 0; d < nest->rank; d++) strides[d] = 0;
    } else {
        norn_broadcast_strides(view, nest->rank, nest->dims, strides);
    }
    for (int32_t d = 0; d < nest->rank; d++) strides[d] *= size;
    nest->data[index] = view->data;
    return NORN_OK;
}

static norn_status bind_load(norn_call *call, norn_tile_nest *nest, uint32_t index,
                             const norn_scalar_load *load) {
    norn_view view;
    if (load->input >= call->in_count)
        return norn_fail(NORN_INTERNAL, "its region reads input %u of %u", load->input,
                         call->in_count);
    NORN_TRY(widen(call, &call->in[load->input], &view));
    if (load->dynamic) return bind_dynamic(nest, index, &view);
    norn_tile_strides(load, nest->rank, nest->dims, norn_dtype_bits(view.dtype) / 8,
                      nest->strides[index]);
    int64_t wanted = 1;
    for (int32_t d = 0; d < nest->rank; d++) wanted *= load->broadcast[d] ? 1 : nest->dims[d];
    if (wanted != norn_view_elems(&view))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "input %u has %lld element%s, its broadcast needs %lld", load->input,
                         (long long)norn_view_elems(&view), norn_plural(norn_view_elems(&view)),
                         (long long)wanted);
    nest->data[index] = view.data;
    return NORN_OK;
}

/// The program with its loads' packed dtypes widened; `loads` is room for them.
static norn_scalar_program widen_program(const norn_scalar_program *source,
                                         norn_scalar_load loads[NORN_SCALAR_LOAD_MAX],
                                         norn_scalar_instr instrs[NORN_SCALAR_INSTR_MAX]) {
    norn_scalar_program program = *source;
    bool packed = false;
    for (uint32_t i = 0; i < source->load_count; i++) packed |= is_packed(source->loads[i].dtype);
    for (uint32_t i = 0; i < source->instr_count; i++) packed |= is_packed(source->instrs[i].dtype);
    if (!packed) return program;
    for (uint32_t i = 0; i < source->load_count; i++) {
        loads[i] = source->loads[i];
        loads[i].dtype = widened(loads[i].dtype);
    }
    for (uint32_t i = 0; i < source->instr_count; i++) {
        instrs[i] = source->instrs[i];
        instrs[i].dtype = widened(instrs[i].dtype);
    }
    program.loads = loads;
    program.instrs = instrs;
    return program;
}

/// The output without the zeros at the end of its rows.
static norn_status strip_pad(const norn_pointwise_region *region, norn_view *out) {
    if (region->pad == 0 || !norn_view_present(out)) return NORN_OK;
    int64_t *last = &out->dims[out->rank - 1];
    if (out->rank < 1 || *last < region->pad || is_packed(out->dtype))
        return norn_fail(NORN_INVALID_ARGUMENT, "its output has no room for %lld zeros a row",
                         (long long)region->pad);
    if (out->row_stride == 0) out->row_stride = *last;
    *last -= region->pad;
    return NORN_OK;
}

static void write_pad(const norn_pointwise_region *region, const norn_view *stripped) {
    if (region->pad == 0 || !norn_view_present(stripped)) return;
    const size_t size = norn_dtype_bits(stripped->dtype) / 8;
    const int64_t rows = norn_dims_product(stripped->dims, 0, stripped->rank - 1);
    char *end = (char *)stripped->data + (size_t)stripped->dims[stripped->rank - 1] * size;
    for (int64_t i = 0; i < rows; i++)
        memset(end + (size_t)(i * stripped->row_stride) * size, 0, (size_t)region->pad * size);
}

norn_status norn_cpu_pointwise(norn_call *call) {
    const norn_pointwise_region *region = &call->region->pointwise;
    norn_scalar_load loads[NORN_SCALAR_LOAD_MAX];
    norn_scalar_instr instrs[NORN_SCALAR_INSTR_MAX];
    norn_scalar_program source = widen_program(&region->program, loads, instrs);
    const norn_view *shape = first_output(call);
    norn_dtype dtypes[NORN_SCALAR_STORE_MAX] = {0};
    norn_view wide[NORN_SCALAR_STORE_MAX];
    norn_tile_program program;
    norn_tile_nest nest;
    if (!shape) return NORN_OK;
    if (shape->rank < 0) NORN_TRY(size_outputs(call, &source));
    for (uint32_t i = 0; i < source.store_count && i < call->out_count; i++)
        dtypes[i] = widened(call->out[i].dtype);
    NORN_TRY(norn_tile_compile(&program, &source, norn_isa_get(), dtypes, call->name));

    norn_view loop = *shape;
    NORN_TRY(strip_pad(region, &loop));
    nest.rank = loop.rank;
    for (int32_t d = 0; d < loop.rank; d++) nest.dims[d] = loop.dims[d];
    nest.load_count = source.load_count;
    nest.store_count = source.store_count;
    for (uint32_t i = 0; i < source.load_count; i++)
        NORN_TRY(bind_load(call, &nest, i, &source.loads[i]));
    for (uint32_t i = 0; i < source.store_count; i++) {
        uint32_t at = source.load_count + i;
        wide[i] = i < call->out_count ? call->out[i] : (norn_view){0};
        NORN_TRY(strip_pad(region, &wide[i]));
        wide[i].dtype = dtypes[i];
        if (is_packed(call->out[i].dtype))
            NORN_TRY(norn_cpu_scratch(call, norn_view_elems(&wide[i]),
                                      norn_dtype_bits(dtypes[i]) / 8, &wide[i].data));
        nest.data[at] = norn_view_present(&wide[i]) ? wide[i].data : NULL;
        if (nest.data[at])
            norn_tile_view_strides(&wide[i], norn_dtype_bits(dtypes[i]) / 8, nest.strides[at]);
        else // walks along with the others
            norn_tile_view_strides(&(norn_view){.rank = nest.rank}, 0, nest.strides[at]);
    }
    norn_tile_nest_collapse(&nest);
    norn_tile_nest_run(&nest, &program, call->pool);
    for (uint32_t i = 0; i < source.store_count; i++) {
        if (is_packed(call->out[i].dtype)) narrow(&wide[i], &call->out[i]);
        write_pad(region, &wide[i]);
    }
    return NORN_OK;
}
