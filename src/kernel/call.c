#include "kernel/call.h"

#include "tensor/view.h"

norn_status norn_call_misfit(const norn_call *call, uint32_t index) {
    char text[NORN_VIEW_TEXT], first[NORN_VIEW_TEXT];
    return norn_fail(NORN_INVALID_ARGUMENT, "input %u is %s, which does not go with %s", index,
                     norn_view_text(&call->in[index], text),
                     norn_view_text(index ? &call->in[0] : &call->out[0], first));
}

norn_status norn_call_broadcasts(const norn_view *operand, int32_t rank, const int64_t *dims) {
    for (int32_t d = 1; d <= operand->rank; d++) {
        const int64_t has = operand->dims[operand->rank - d];
        if (has != 1 && (d > rank || has != dims[rank - d]))
            return norn_fail(NORN_INVALID_ARGUMENT, "an operand's dims do not broadcast");
    }
    return NORN_OK;
}
