// Identity, Reshape, Flatten, Squeeze, Unsqueeze, BitCast, Dropout:
// the same bytes under another shape.
#include "cpu/kernels/operand.h"

#include <string.h>

norn_status norn_cpu_copy(norn_call *call) {
    size_t bytes;
    if (!norn_call_wants(call, 0)) return NORN_OK;
    NORN_TRY(norn_view_bytes(&call->in[0], &bytes));
    if (call->out[0].rank < 0) return norn_fail(NORN_INVALID_ARGUMENT, "its inputs give no shape");
    if (bytes && call->out[0].data != call->in[0].data)
        memcpy(call->out[0].data, call->in[0].data, bytes);
    return NORN_OK;
}

/// As in inference: everything stays.
norn_status norn_cpu_dropout(norn_call *call) {
    NORN_TRY(norn_call_numbers(call, 1, 3));
    if (norn_call_has(call, 2) && norn_element_i64(call->in[2].dtype, call->in[2].data, 0) != 0) {
        double ratio =
            norn_call_has(call, 1) ? norn_element_f64(call->in[1].dtype, call->in[1].data, 0) : 0.5;
        if (ratio != 0)
            return norn_fail(NORN_UNIMPLEMENTED,
                             "Dropout in training mode; export the model for inference");
    }
    NORN_TRY(norn_cpu_copy(call));
    if (norn_call_wants(call, 1))
        memset(call->out[1].data, 1, (size_t)norn_view_elems(&call->out[1]));
    return NORN_OK;
}

norn_status norn_cpu_shape(norn_call *call) {
    int64_t rank = call->in[0].rank, *out = call->out[0].data;
    int64_t begin = norn_attr_i64(call->attrs, "start", 0);
    if (begin < 0) begin += rank;
    begin = begin < 0 ? 0 : begin;
    for (int64_t i = 0; i < call->out[0].dims[0]; i++) out[i] = call->in[0].dims[begin + i];
    return NORN_OK;
}

norn_status norn_cpu_size(norn_call *call) {
    *(int64_t *)call->out[0].data = norn_view_elems(&call->in[0]);
    return NORN_OK;
}
