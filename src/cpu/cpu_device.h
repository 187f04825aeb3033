/// The CPU as a device: steps run on the caller's thread and its pool, memory is the host's.
#ifndef NORN_CPU_DEVICE_H
#define NORN_CPU_DEVICE_H

#include "device/device.h"

/// For norn_device_offer: "cpu".
extern const norn_device_kind norn_cpu_kind;
/// `ordinal` is ignored.
norn_status norn_cpu_open(int32_t ordinal, norn_alloc alloc, norn_device **out) NORN_NODISCARD;

#endif
