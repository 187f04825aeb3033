#include "cpu/kernels/gemm_any.h"

#include "cpu/micro/tile_op.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <string.h>

/// Row by row, adding multiples of B's rows: B and C are walked along
/// their rows. U: type to compute in.
#define PRODUCT(name, T, U)                                            \
    static void name(const norn_gemm_any *g) {                         \
        const T *a = g->a, *b = g->b;                                  \
        for (int64_t i = 0; i < g->m; i++) {                           \
            T *c = (T *)g->c + i * g->c_row;                           \
            memset(c, 0, (size_t)g->n * sizeof *c);                    \
            for (int64_t p = 0; p < g->k; p++) {                       \
                const U x = (U)a[i * g->a_row + p * g->a_column];      \
                const T *row = b + p * g->b_row;                       \
                for (int64_t j = 0; j < g->n; j++)                     \
                    c[j] = (T)((U)c[j] + x * (U)row[j * g->b_column]); \
            }                                                          \
        }                                                              \
    }
PRODUCT(product_f64, double, double)
PRODUCT(product_i32, int32_t, uint32_t)
PRODUCT(product_i64, int64_t, uint64_t)

bool norn_gemm_any_has(norn_dtype dtype) {
    return dtype == NORN_F64 || dtype == NORN_I32 || dtype == NORN_U32 || dtype == NORN_I64 ||
           dtype == NORN_U64;
}

void norn_gemm_any_run(const norn_gemm_any *gemm) {
    // Sums that wrap are the same for signed and unsigned.
    if (gemm->dtype == NORN_F64)
        product_f64(gemm);
    else if (gemm->dtype == NORN_I32 || gemm->dtype == NORN_U32)
        product_i32(gemm);
    else
        product_i64(gemm);
}

norn_status norn_gemm_as_f32(norn_call *call, const norn_view *view, norn_view *out) {
    *out = *view;
    if (!norn_dtype_is_half(view->dtype)) return NORN_OK;
    int64_t count = norn_view_elems(view);
    const norn_tile_operand in[3] = {{view->data, 1}};
    NORN_TRY(norn_cpu_scratch(call, count, sizeof(float), &out->data));
    norn_tile_cast(view->dtype, NORN_F32)(out->data, in, count);
    out->dtype = NORN_F32;
    return NORN_OK;
}
