/// For tests: a device that computes on the CPU but behaves like a GPU. Its memory is its own, work
/// that is given to a stream is done only when the stream is waited for, and a capture records
/// calls with the addresses that they had. So a missing copy, a missing wait, a stale graph or a
/// pointer to the wrong side gives wrong numbers here as it does there.
#ifndef NORN_TESTING_FAKE_DEVICE_H
#define NORN_TESTING_FAKE_DEVICE_H

#include "cpu/cpu_device.h"
#include "device/device.h"

#include <stdatomic.h>

/// What the device has done; tests reset and read it. `refuse_op`:
/// an operator that it has no kernel for.
typedef struct fake_record {
    _Atomic int launches, captures, kernels, copies_in, copies_out, copies_within, copies_between,
        waits, blocks, tables, timed;
    _Atomic int lanes;   ///< beside the main stream, over all captures
    bool lanes_are_slow; ///< else a graph with lanes takes half the time of one without
    norn_op_id refuse_op;
    bool refuse_capture;
} fake_record;
extern fake_record fake_log;

extern int fake_launched_lanes;     ///< of the last launch
extern const char *fake_stamp_text; ///< NULL: "fake"; another: a GPU of another kind
/// A tuning record is this text; one that begins alike is of another GPU.
#define FAKE_CHOICES "fake choices"

norn_status fake_open(int32_t ordinal, norn_alloc alloc, norn_device **out);
/// Set-up and tear-down of a test: fakes can be opened, nothing was done; every block was given back.
int fake_begin(void **state);
int fake_end(void **state);

#endif
