/// A run on a device: one copy in, the steps (as one captured graph where that is possible), one
/// copy out, and only then a wait.
///
/// A captured graph has fixed shapes, so the batch is rounded up to a bucket; rows beyond the
/// actual batch hold zeros (offsets: their last value) and are not returned. Rows are padded only
/// where no step lets them show in another row (row_safe.h); else shapes are exact.
#ifndef NORN_RUNTIME_DEVICE_RUN_H
#define NORN_RUNTIME_DEVICE_RUN_H

#include "norn/session.h"
#include "runtime/frame.h"

typedef struct norn_device_run norn_device_run;

norn_status norn_device_run_create(norn_frame *frame, norn_device_run **out) NORN_NODISCARD;
void norn_device_run_destroy(norn_device_run *run); ///< takes NULL

/// `inputs` lie anywhere in host memory; `outputs` point into the run's staging until the next one.
norn_status norn_device_run_execute(norn_device_run *run, const norn_view *inputs,
                                    norn_view *outputs, norn_run_phases *phases) NORN_NODISCARD;

#endif
