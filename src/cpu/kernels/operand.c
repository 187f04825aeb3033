#include "cpu/kernels/operand.h"

#define READ(name, T, own, element)                                                             \
    norn_status name(norn_call *call, const norn_view *view, const T **out) {                   \
        int64_t elems = norn_view_elems(view);                                                  \
        void *room;                                                                             \
        if (view->dtype == own) {                                                               \
            *out = view->data;                                                                  \
            return NORN_OK;                                                                     \
        }                                                                                       \
        NORN_TRY(norn_cpu_scratch(call, elems, sizeof(T), &room));                              \
        T *values = room;                                                                       \
        for (int64_t i = 0; i < elems; i++) values[i] = (T)element(view->dtype, view->data, i); \
        *out = values;                                                                          \
        return NORN_OK;                                                                         \
    }
READ(norn_operand_f32, float, NORN_F32, norn_element_f64)
READ(norn_operand_f64, double, NORN_F64, norn_element_f64)
READ(norn_operand_i64, int64_t, NORN_I64, norn_element_i64)

#define INPUT(name, operand, T)                                                             \
    norn_status name(norn_call *call, uint32_t index, const T **out) {                      \
        *out = NULL;                                                                        \
        return norn_call_has(call, index) ? operand(call, &call->in[index], out) : NORN_OK; \
    }
INPUT(norn_input_f32, norn_operand_f32, float)
INPUT(norn_input_f64, norn_operand_f64, double)
INPUT(norn_input_i64, norn_operand_i64, int64_t)

#define OUTPUT(name, T, own)                                                       \
    norn_status name(norn_call *call, uint32_t index, T **out) {                   \
        void *room;                                                                \
        *out = NULL;                                                               \
        if (!norn_call_wants(call, index)) return NORN_OK;                         \
        const norn_view *view = &call->out[index];                                 \
        if (view->dtype == own) {                                                  \
            *out = view->data;                                                     \
            return NORN_OK;                                                        \
        }                                                                          \
        NORN_TRY(norn_cpu_scratch(call, norn_view_elems(view), sizeof(T), &room)); \
        *out = room;                                                               \
        return NORN_OK;                                                            \
    }
OUTPUT(norn_output_f32, float, NORN_F32)
OUTPUT(norn_output_f64, double, NORN_F64)

void norn_result_f32(norn_call *call, uint32_t index, const float *values) {
    if (!norn_call_wants(call, index) || call->out[index].dtype == NORN_F32) return;
    const norn_view *view = &call->out[index];
    int64_t elems = norn_view_elems(view);
    for (int64_t i = 0; i < elems; i++)
        norn_element_set_f64(view->dtype, view->data, i, (double)values[i]);
}

void norn_result_f64(norn_call *call, uint32_t index, const double *values) {
    if (!norn_call_wants(call, index) || call->out[index].dtype == NORN_F64) return;
    const norn_view *view = &call->out[index];
    int64_t elems = norn_view_elems(view);
    for (int64_t i = 0; i < elems; i++) norn_element_set_f64(view->dtype, view->data, i, values[i]);
}

norn_status norn_call_refuse(norn_dtype dtype) {
    return norn_fail(NORN_UNIMPLEMENTED, "no CPU kernel for %s", norn_dtype_name(dtype));
}

norn_status norn_call_numbers(const norn_call *call, uint32_t first, uint32_t end) {
    for (uint32_t i = first; i < end; i++)
        if (norn_call_has(call, i) && norn_view_elems(&call->in[i]) != 1)
            return norn_call_misfit(call, i);
    return NORN_OK;
}
