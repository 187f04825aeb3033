#include "kernel/call.h"

#include "tensor/view.h"

norn_status norn_call_misfit(const norn_call *call, uint32_t index) {
    char text[NORN_VIEW_TEXT], first[NORN_VIEW_TEXT];
    return norn_fail(NORN_INVALID_ARGUMENT, "node '%s': input %u is %s, which does not go with %s",
                     call->name, index, norn_view_text(&call->in[index], text),
                     norn_view_text(index ? &call->in[0] : &call->out[0], first));
}
