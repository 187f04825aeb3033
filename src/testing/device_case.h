/// What the cases of a device share (testing/device_cases.h): the bench that each is put on, and its
/// way of saying what went wrong.
#ifndef NORN_TESTING_DEVICE_CASE_H
#define NORN_TESTING_DEVICE_CASE_H

#include "device/device.h"

#include <stdio.h>

enum {
    DEVICE_CASE_COUNT = 100003, ///< numbers in each memory of the bench
    DEVICE_CASE_BYTES = DEVICE_CASE_COUNT * (int)sizeof(int32_t),
};

/// A case's device, its streams, and its memory; all of it is given back when the case is over.
typedef struct device_bench {
    norn_device *device, *other;
    norn_stream *one, *two;
    norn_event *event, *later;
    int32_t *in, *out;         ///< staging
    int32_t *a, *b, *on_other; ///< on the device; on the other one
    char why[512];             ///< what went wrong; "": nothing
    bool skipped;
} device_bench;

/// Ends with a name that is NULL.
typedef struct device_case {
    const char *name;
    void (*run)(device_bench *b);
} device_case;
extern const device_case device_cases_memory[], device_cases_streams[], device_cases_captures[],
    device_cases_tables[], device_cases_threads[];

/// Ends the case, which returns nothing.
#define MUST(condition)                                                                         \
    do {                                                                                        \
        if (!(condition)) {                                                                     \
            (void)snprintf(b->why, sizeof b->why, "%s:%d: %s", __func__, __LINE__, #condition); \
            return;                                                                             \
        }                                                                                       \
    } while (0)
#define MUST_OK(call)                                                                  \
    do {                                                                               \
        if ((call) != NORN_OK) {                                                       \
            (void)snprintf(b->why, sizeof b->why, "%s:%d: %.300s", __func__, __LINE__, \
                           norn_message());                                            \
            return;                                                                    \
        }                                                                              \
    } while (0)
#define SKIP_UNLESS(condition, reason)                             \
    do {                                                           \
        if (!(condition)) {                                        \
            b->skipped = true;                                     \
            (void)snprintf(b->why, sizeof b->why, "%s", (reason)); \
            return;                                                \
        }                                                          \
    } while (0)

norn_status
device_bench_set_up(device_bench *b); ///< b->device is set; tear it down also if this fails
void device_bench_tear_down(device_bench *b);
norn_status device_bench_copy(const device_bench *b, norn_stream *stream, void *to,
                              const void *from);
norn_status device_bench_wait(const device_bench *b, norn_stream *stream);
void device_number(int32_t *to, int32_t first); ///< first, first + 1, …
bool device_is_numbered(const int32_t *at, int32_t first);

#endif
