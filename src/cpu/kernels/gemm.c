// Gemm as ONNX has it: Y = alpha * A' * B' + beta * C. What is left of it after fusion: folding,
// and forms that no region takes.
#include "cpu/kernels/gemm_any.h"
#include "cpu/kernels/gemm_f32.h"
#include "cpu/micro/tile_op.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>

typedef struct gemm_form {
    bool trans_a, trans_b;
    float alpha, beta;
    int64_t m, n, k;
} gemm_form;

/// C's element strides over [m, n].
static void addend_strides(const norn_view *c, int64_t n, int64_t *row, int64_t *column) {
    bool wide = c->rank >= 1 && c->dims[c->rank - 1] != 1;
    bool tall = c->rank == 2 && c->dims[0] != 1;
    (void)n;
    *column = wide ? 1 : 0;
    *row = !tall ? 0 : c->dims[1];
}

static norn_status gemm_f32(norn_call *call, const gemm_form *form, const norn_view *in_a,
                            const norn_view *in_b, float *y) {
    norn_gemm_f32 gemm = {.m = form->m,
                          .n = form->n,
                          .k = form->k,
                          .a = in_a->data,
                          .lda = form->k,
                          .ldb = NORN_GEMM_PANEL,
                          .b_panel = form->k * NORN_GEMM_PANEL,
                          .c = y,
                          .ldc = form->n,
                          .floor = -INFINITY};
    void *panels, *rows;
    NORN_TRY(
        norn_cpu_scratch(call, norn_gemm_packed_elems(form->k, form->n), sizeof(float), &panels));
    norn_gemm_f32_pack(form->k, form->n, in_b->data, form->trans_b ? 1 : form->n,
                       form->trans_b ? form->k : 1, panels);
    gemm.b = panels;
    if (form->trans_a) {
        NORN_TRY(norn_cpu_scratch(call, form->m * form->k, sizeof(float), &rows));
        const float *from = in_a->data;
        float *to = rows;
        for (int64_t i = 0; i < form->m; i++)
            for (int64_t p = 0; p < form->k; p++) to[i * form->k + p] = from[p * form->m + i];
        gemm.a = rows;
    }
    norn_gemm_f32_run(&gemm, call->pool);
    return NORN_OK;
}

/// y = alpha * y + beta * c, in the precision of y. Integers use alpha
/// and beta as numpy would cast them.
#define SCALE(name, T, U, scale)                                                             \
    static void name(const gemm_form *form, T *y, const T *c, int64_t row, int64_t column) { \
        const U alpha = (U)(scale)form->alpha, beta = (U)(scale)form->beta;                  \
        for (int64_t i = 0; i < form->m; i++)                                                \
            for (int64_t j = 0; j < form->n; j++) {                                          \
                U x = alpha * (U)y[i * form->n + j];                                         \
                if (c) x += beta * (U)c[i * row + j * column];                               \
                y[i * form->n + j] = (T)x;                                                   \
            }                                                                                \
    }
SCALE(scale_f32, float, float, float)
SCALE(scale_f64, double, double, double)
SCALE(scale_i32, int32_t, uint32_t, int32_t)
SCALE(scale_i64, int64_t, uint64_t, int64_t)

static void scale_any(norn_dtype dtype, const gemm_form *form, void *y, const norn_view *c) {
    int64_t row = 0, column = 0;
    const void *addend = c && form->beta != 0 ? c->data : NULL;
    if (!addend && form->alpha == 1) return;
    if (addend) addend_strides(c, form->n, &row, &column);
    switch (norn_dtype_bits(dtype) * 2 + norn_dtype_is_float(dtype)) {
    case 65:
        scale_f32(form, y, addend, row, column);
        break;
    case 129:
        scale_f64(form, y, addend, row, column);
        break;
    case 64:
        scale_i32(form, y, addend, row, column);
        break;
    default:
        scale_i64(form, y, addend, row, column);
        break;
    }
}

static norn_status gemm_half(norn_call *call, const gemm_form *form, const norn_view *c) {
    norn_view *out = &call->out[0];
    norn_view a, b, addend;
    void *y;
    NORN_TRY(norn_gemm_as_f32(call, &call->in[0], &a));
    NORN_TRY(norn_gemm_as_f32(call, &call->in[1], &b));
    if (c) NORN_TRY(norn_gemm_as_f32(call, c, &addend));
    NORN_TRY(norn_cpu_scratch(call, form->m * form->n, sizeof(float), &y));
    NORN_TRY(gemm_f32(call, form, &a, &b, y));
    scale_any(NORN_F32, form, y, c ? &addend : NULL);
    const norn_tile_operand in[3] = {{y, 1}};
    norn_tile_cast(NORN_F32, out->dtype)(out->data, in, form->m * form->n);
    return NORN_OK;
}

norn_status norn_cpu_gemm(norn_call *call) {
    const norn_view *a = &call->in[0], *b = &call->in[1];
    const norn_view *c =
        call->in_count > 2 && norn_view_present(&call->in[2]) ? &call->in[2] : NULL;
    norn_view *out = &call->out[0];
    if (!norn_view_present(out)) return NORN_OK;
    gemm_form form = {.trans_a = norn_attr_i64(call->attrs, "transA", 0) != 0,
                      .trans_b = norn_attr_i64(call->attrs, "transB", 0) != 0,
                      .alpha = norn_attr_f32(call->attrs, "alpha", 1),
                      .beta = norn_attr_f32(call->attrs, "beta", 1)};
    form.m = a->dims[form.trans_a ? 1 : 0];
    form.k = a->dims[form.trans_a ? 0 : 1];
    form.n = b->dims[form.trans_b ? 0 : 1];
    if (norn_dtype_is_half(a->dtype)) return gemm_half(call, &form, c);
    if (a->dtype == NORN_F32) {
        NORN_TRY(gemm_f32(call, &form, a, b, out->data));
    } else if (norn_gemm_any_has(a->dtype)) {
        norn_gemm_any_run(&(norn_gemm_any){
            .dtype = a->dtype,
            .m = form.m,
            .n = form.n,
            .k = form.k,
            .a = a->data,
            .b = b->data,
            .c = out->data,
            .a_row = form.trans_a ? 1 : form.k,
            .a_column = form.trans_a ? form.m : 1,
            .b_row = form.trans_b ? 1 : form.n,
            .b_column = form.trans_b ? form.k : 1,
            .c_row = form.n,
        });
    } else {
        return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no Gemm of %s",
                         norn_dtype_name(a->dtype));
    }
    scale_any(a->dtype, &form, out->data, c);
    return NORN_OK;
}
