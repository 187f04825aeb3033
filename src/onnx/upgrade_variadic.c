/// Sum, Max, Min and Mean of more operands than a scalar program can load.
#include "onnx/upgrade.h"

#include <string.h>

/// From the left, as the operator is defined, so that rounding does not depend on where it is cut:
/// Sum(x0, …, x99) -> Sum(Sum(Sum(x0, …, x31), x32, …, x62), …).
static norn_status chain(norn_onnx_call *call, const char *op_type, norn_value **out) {
    norn_value *part[NORN_SCALAR_LOAD_MAX];
    const bool wanted = true;
    uint32_t held = 0;
    for (uint32_t i = 0; i < call->in_count; i++) {
        if (!call->in[i])
            return norn_fail(NORN_INVALID_ARGUMENT, "node '%s' (%s): input %u is missing",
                             call->name, call->op_type, i);
        part[held++] = call->in[i];
        if (held < NORN_SCALAR_LOAD_MAX && i + 1 < call->in_count) continue;
        NORN_TRY(norn_call_emit(call, op_type, part, held, NULL, 0, &wanted, out, 1));
        part[0] = *out;
        held = 1;
    }
    return NORN_OK;
}

norn_status norn_upgrade_variadic(norn_onnx_call *call) {
    norn_value *made, *count;
    if (call->in_count <= NORN_SCALAR_LOAD_MAX || call->out_count != 1) return NORN_OK;
    bool mean = strcmp(call->op_type, "Mean") == 0;
    NORN_TRY(chain(call, mean ? "Sum" : call->op_type, &made));
    if (mean) {
        const bool wanted = true;
        NORN_TRY(norn_upgrade_scalar_like(call, call->in_count, &count));
        norn_value *operands[] = {made, count};
        NORN_TRY(norn_call_emit(call, "Div", operands, 2, NULL, 0, &wanted, &made, 1));
    }
    call->out[0] = made;
    call->done = true;
    return NORN_OK;
}
