#include "runtime/device_run.h"

struct norn_device_run {
    norn_frame *frame;
};
norn_status norn_device_run_create(norn_frame *frame, norn_device_run **out) {
    (void)frame;
    *out = NULL;
    return norn_fail(NORN_UNIMPLEMENTED, "device runs");
}
void norn_device_run_destroy(norn_device_run *run) {
    (void)run;
}
norn_status norn_device_run_execute(norn_device_run *run, const norn_view *inputs,
                                    norn_view *outputs, norn_run_phases *phases) {
    (void)run, (void)inputs, (void)outputs, (void)phases;
    return norn_fail(NORN_UNIMPLEMENTED, "device runs");
}
