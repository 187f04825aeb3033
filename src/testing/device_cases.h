/// The contract of device/device.h as cases that every device is put through: memory, copies,
/// streams, events, captures, tables, threads. Kernels have their own: conformance_device.
/// Needs no test library, so that it also runs where there is none (tools/gpu/check_device.c).
#ifndef NORN_TESTING_DEVICE_CASES_H
#define NORN_TESTING_DEVICE_CASES_H

#include "device/device.h"

typedef struct norn_device_verdict {
    int passed, failed, skipped;
} norn_device_verdict;

/// `other`: another device of the same kind, for copies between the two; NULL: those are skipped.
/// One line a case on stdout, with what went wrong or why it was skipped.
norn_device_verdict norn_device_cases_run(norn_device *device, norn_device *other);

#endif
