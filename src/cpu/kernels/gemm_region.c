// GemmRegion: a product with a constant (packed) or dynamic B, and its epilogue on the tiles.
#include "cpu/kernels/gemm_any.h"
#include "cpu/kernels/gemm_f32.h"
#include "cpu/kernels/tile_program.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>

// ---- epilogues

/// The forms that micro-kernels do in registers: (acc + bias), then a lower bound.
typedef struct register_form {
    const float *bias;
    float floor;
} register_form;

static bool is_zero(const norn_scalar_instr *instr) {
    return instr->op == NORN_SCALAR_CONST && instr->dtype == NORN_F32 && instr->f64 == 0;
}
static bool is_load(const norn_scalar_program *program, uint16_t reg, bool acc) {
    const norn_scalar_instr *instr = &program->instrs[reg];
    return instr->op == NORN_SCALAR_LOAD && instr->dtype == NORN_F32 &&
           program->loads[instr->load].dtype == NORN_F32 &&
           (program->loads[instr->load].input == NORN_SCALAR_ACC) == acc;
}

/// acc, or acc + a row vector.
static bool match_bias(const norn_call *call, const norn_scalar_program *program, uint16_t reg,
                       register_form *form) {
    if (is_load(program, reg, true)) return true;
    const norn_scalar_instr *add = &program->instrs[reg];
    if (add->op != NORN_SCALAR_ADD || add->dtype != NORN_F32) return false;
    uint16_t bias = is_load(program, add->a, true) ? add->b : add->a;
    if (!is_load(program, bias == add->b ? add->a : add->b, true)) return false;
    if (!is_load(program, bias, false)) return false;
    const norn_scalar_load *load = &program->loads[program->instrs[bias].load];
    if (!load->broadcast[0] || load->broadcast[1] || load->input >= call->in_count) return false;
    form->bias = call->in[load->input].data;
    return true;
}

static bool match_register_form(const norn_call *call, const norn_scalar_program *program,
                                register_form *form) {
    *form = (register_form){NULL, -INFINITY};
    if (program->instr_count == 0) return true;
    if (program->store_count != 1) return false;
    uint16_t top = program->stores[0];
    const norn_scalar_instr *instr = &program->instrs[top];
    if (instr->op == NORN_SCALAR_MAX && instr->dtype == NORN_F32) {
        bool second = is_zero(&program->instrs[instr->b]);
        if (!second && !is_zero(&program->instrs[instr->a])) return false;
        form->floor = 0;
        top = second ? instr->a : instr->b;
    }
    return match_bias(call, program, top, form);
}

/// All other epilogues: the scalar program over a finished block of C.
typedef struct block_epilogue {
    norn_tile_program program;
    norn_tile_plane plane; ///< over all of C; blocks are parts of it
} block_epilogue;

static norn_status bind_epilogue(norn_call *call, const norn_gemm_region *region, int64_t m,
                                 norn_dtype acc_dtype, void *acc, int64_t acc_row,
                                 block_epilogue *epilogue) {
    const norn_scalar_program *source = &region->epilogue;
    norn_view *out = &call->out[0];
    const int64_t dims[2] = {m, region->n};
    NORN_TRY(
        norn_tile_compile(&epilogue->program, source, norn_isa_get(), &out->dtype, call->name));
    for (uint32_t i = 0; i < source->load_count; i++) {
        const norn_scalar_load *load = &source->loads[i];
        norn_tile_access *access = &epilogue->plane.loads[i];
        if (load->input == NORN_SCALAR_ACC) {
            int64_t size = norn_dtype_bits(acc_dtype) / 8;
            *access = (norn_tile_access){acc, acc_row * size, size};
            continue;
        }
        if (load->input >= call->in_count)
            return norn_fail(NORN_INTERNAL, "its epilogue reads input %u of %u", load->input,
                             call->in_count);
        const norn_view *view = &call->in[load->input];
        int64_t strides[2];
        int64_t wanted = (load->broadcast[0] ? 1 : m) * (load->broadcast[1] ? 1 : region->n);
        if (wanted != norn_view_elems(view))
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input %u has %lld element%s, its epilogue needs %lld", load->input,
                             (long long)norn_view_elems(view), norn_plural(norn_view_elems(view)),
                             (long long)wanted);
        norn_tile_strides(load, 2, dims, norn_dtype_bits(view->dtype) / 8, strides);
        *access = (norn_tile_access){view->data, strides[0], strides[1]};
    }
    int64_t size = norn_dtype_bits(out->dtype) / 8;
    int64_t row = out->row_stride ? out->row_stride : region->n;
    epilogue->plane.stores[0] = (norn_tile_access){out->data, row * size, size};
    return NORN_OK;
}

static void move_access(norn_tile_access *access, int64_t row, int64_t column) {
    access->data += row * access->row_bytes + column * access->column_bytes;
}

static void finish_block(const block_epilogue *epilogue, int64_t m0, int64_t m1, int64_t n0,
                         int64_t n1) {
    norn_tile_plane plane;
    plane.rows = m1 - m0;
    plane.columns = n1 - n0;
    for (uint32_t i = 0; i < epilogue->program.load_count; i++) {
        plane.loads[i] = epilogue->plane.loads[i];
        move_access(&plane.loads[i], m0, n0);
    }
    plane.stores[0] = epilogue->plane.stores[0];
    move_access(&plane.stores[0], m0, n0);
    norn_tile_run(&epilogue->program, &plane);
}

static void finish_gemm(const norn_gemm_f32 *gemm, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
    finish_block(gemm->context, m0, m1, n0, n1);
}

// ---- the product

/// Panels are of float32.
bool norn_cpu_gemm_region_takes(const norn_step_spec *spec) {
    return spec->region->gemm.b_layout != NORN_GEMM_PANELS || spec->in[1].dtype == NORN_F32;
}

/// Rows of A from which packing a dynamic B pays.
enum { PACK_ROWS_MIN = 24 };

static norn_status place_b(norn_call *call, const norn_gemm_region *region, const norn_view *b,
                           norn_gemm_f32 *gemm) {
    const bool transposed = region->b_layout == NORN_GEMM_COLUMNS;
    gemm->b = b->data;
    gemm->ldb = NORN_GEMM_PANEL;
    gemm->b_panel = region->k * NORN_GEMM_PANEL;
    if (region->b_layout == NORN_GEMM_PANELS) return NORN_OK;
    if (region->b_layout == NORN_GEMM_ROWS && gemm->m < PACK_ROWS_MIN) {
        gemm->ldb = region->n;
        gemm->b_panel = NORN_GEMM_PANEL;
        return NORN_OK;
    }
    void *panels;
    NORN_TRY(norn_cpu_scratch(call, norn_gemm_packed_elems(region->k, region->n), sizeof(float),
                              &panels));
    norn_gemm_f32_pack(region->k, region->n, b->data, transposed ? 1 : region->n,
                       transposed ? region->k : 1, panels);
    gemm->b = panels;
    return NORN_OK;
}

static norn_status run_f32(norn_call *call, const norn_gemm_region *region, int64_t m) {
    norn_view *out = &call->out[0];
    norn_view a, b;
    block_epilogue epilogue;
    register_form form;
    NORN_TRY(norn_gemm_as_f32(call, &call->in[0], &a));
    NORN_TRY(norn_gemm_as_f32(call, &call->in[1], &b));
    norn_gemm_f32 gemm = {
        .m = m,
        .n = region->n,
        .k = region->k,
        .a = a.data,
        .lda = region->k,
        .c = out->data,
        .ldc = out->row_stride ? out->row_stride : region->n,
        .floor = -INFINITY,
    };
    NORN_TRY(place_b(call, region, &b, &gemm));
    bool direct = out->dtype == NORN_F32;
    if (!direct) {
        void *c;
        NORN_TRY(norn_cpu_scratch(call, m * region->n, sizeof(float), &c));
        gemm.c = c;
        gemm.ldc = region->n;
    }
    if (direct && match_register_form(call, &region->epilogue, &form)) {
        gemm.bias = form.bias;
        gemm.floor = form.floor;
    } else {
        // A half result without an epilogue still has the conversion to do.
        static const norn_scalar_load acc = {.input = NORN_SCALAR_ACC, .dtype = NORN_F32};
        static const norn_scalar_instr load = {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32};
        static const uint16_t store = 0;
        norn_gemm_region copy = *region;
        if (copy.epilogue.instr_count == 0)
            copy.epilogue = (norn_scalar_program){1, 1, 1, &acc, &load, &store};
        NORN_TRY(bind_epilogue(call, &copy, m, NORN_F32, gemm.c, gemm.ldc, &epilogue));
        gemm.finish = finish_gemm;
        gemm.context = &epilogue;
    }
    norn_gemm_f32_run(&gemm, call->pool);
    return NORN_OK;
}

/// Float64 and integers: plain loops, then the epilogue over all of C.
static norn_status run_any(norn_call *call, const norn_gemm_region *region, int64_t m) {
    const norn_view *a = &call->in[0], *b = &call->in[1];
    norn_view *out = &call->out[0];
    block_epilogue epilogue;
    if (!norn_gemm_any_has(a->dtype))
        return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no product of %s",
                         norn_dtype_name(a->dtype));
    norn_gemm_any gemm = {
        .dtype = a->dtype, .m = m, .k = region->k, .a = a->data, .a_row = region->k, .a_column = 1};
    int64_t size = norn_dtype_bits(a->dtype) / 8;
    bool direct = region->epilogue.instr_count == 0;
    int64_t c_row = direct && out->row_stride ? out->row_stride : region->n;
    void *c = out->data;
    if (!direct) NORN_TRY(norn_cpu_scratch(call, m * region->n, (size_t)size, &c));
    gemm.c_row = c_row;
    const bool transposed = region->b_layout == NORN_GEMM_COLUMNS;
    // One panel of B at a time; an unpacked B is one panel as wide as it is.
    int64_t width = region->b_layout == NORN_GEMM_PANELS ? NORN_GEMM_PANEL : region->n;
    for (int64_t n0 = 0; n0 < region->n; n0 += width) {
        gemm.n = region->n - n0 < width ? region->n - n0 : width;
        gemm.b = (const char *)b->data + n0 * region->k * size;
        gemm.b_row = transposed ? 1 : width;
        gemm.b_column = transposed ? region->k : 1;
        gemm.c = (char *)c + n0 * size;
        norn_gemm_any_run(&gemm);
    }
    if (direct) return NORN_OK;
    NORN_TRY(bind_epilogue(call, region, m, a->dtype, c, c_row, &epilogue));
    finish_block(&epilogue, 0, m, 0, region->n);
    return NORN_OK;
}

norn_status norn_cpu_gemm_region(norn_call *call) {
    const norn_gemm_region *region = &call->region->gemm;
    const norn_view *a = &call->in[0];
    int64_t m = norn_dims_product(a->dims, 0, a->rank - 1);
    if (!norn_view_present(&call->out[0]) || m == 0 || region->n == 0) return NORN_OK;
    if (a->dtype == NORN_F32 || norn_dtype_is_half(a->dtype)) return run_f32(call, region, m);
    return run_any(call, region, m);
}
