/// Memory, and copies through it and between devices.
#include "testing/device_case.h"

#include <string.h>

static void memory_is_given_and_taken_back(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    static const size_t sizes[] = {0, 1, 3, 4096, 1 << 20, 100 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (norn_memory_kind kind = NORN_MEMORY_DEVICE; kind <= NORN_MEMORY_STAGING; kind++) {
            void *memory;
            MUST_OK(ops->memory_create(b->device, kind, sizes[i], &memory));
            MUST(memory != NULL && (uintptr_t)memory % 64 == 0);
            if (kind == NORN_MEMORY_STAGING) memset(memory, 7, sizes[i]);
            ops->memory_destroy(b->device, kind, memory);
        }
    ops->memory_destroy(b->device, NORN_MEMORY_DEVICE, NULL);
}

static void more_than_there_is_is_refused_and_nothing_is_broken(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    void *memory = b;
    MUST(ops->memory_create(b->device, NORN_MEMORY_DEVICE, (size_t)1 << 60, &memory) ==
         NORN_RESOURCE_EXHAUSTED);
    MUST(memory == NULL);
    MUST(ops->memory_create(b->device, NORN_MEMORY_STAGING, (size_t)1 << 60, &memory) ==
         NORN_RESOURCE_EXHAUSTED);
    MUST(memory == NULL);
    device_number(b->in, 5);
    MUST_OK(ops->copy ? device_bench_copy(b, b->one, b->a, b->in) : NORN_OK);
    MUST_OK(b->one ? device_bench_wait(b, b->one) : NORN_OK);
}

static void bytes_come_back_as_they_went(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->copy && b->one, "its memory is the host's: nothing is copied");
    device_number(b->in, 11);
    memset(b->out, 0, DEVICE_CASE_BYTES);
    MUST_OK(device_bench_copy(b, b->one, b->a, b->in));
    MUST_OK(device_bench_copy(b, b->one, b->b, b->a));
    MUST_OK(device_bench_copy(b, b->one, b->out, b->b));
    MUST_OK(device_bench_wait(b, b->one));
    MUST(device_is_numbered(b->out, 11));
    // At any byte, of any length, none too.
    static const size_t at[][2] = {{0, 0}, {0, 1}, {1, 1}, {3, 5}, {7, 64}, {61, 4097}};
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        memset(b->out, 0xee, DEVICE_CASE_BYTES);
        MUST_OK(ops->copy(b->device, b->one, (char *)b->out + at[i][0], (char *)b->a + at[i][0],
                          at[i][1]));
        MUST_OK(device_bench_wait(b, b->one));
        MUST(memcmp((char *)b->out + at[i][0], (char *)b->in + at[i][0], at[i][1]) == 0);
        for (size_t k = 0; k < at[i][0]; k++) MUST(((uint8_t *)b->out)[k] == 0xee);
        MUST(((uint8_t *)b->out)[at[i][0] + at[i][1]] == 0xee);
    }
    // Without a stream: done on return.
    device_number(b->in, -9);
    MUST_OK(ops->copy(b->device, NULL, b->a, b->in, DEVICE_CASE_BYTES));
    MUST_OK(ops->copy(b->device, NULL, b->out, b->a, DEVICE_CASE_BYTES));
    MUST(device_is_numbered(b->out, -9));
}

static void devices_copy_from_each_other(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(b->other && ops->copy_peer, "there is no other device of its kind");
    MUST_OK(norn_device_enter(b->other));
    MUST_OK(
        ops->memory_create(b->other, NORN_MEMORY_DEVICE, DEVICE_CASE_BYTES, (void **)&b->on_other));
    device_number(b->in, 77);
    norn_status status = ops->copy(b->other, NULL, b->on_other, b->in, DEVICE_CASE_BYTES);
    if (status == NORN_OK) status = norn_device_enter(b->device);
    memset(b->out, 0, DEVICE_CASE_BYTES);
    if (status == NORN_OK)
        status = ops->copy_peer(b->device, b->one, b->a, b->other, b->on_other, DEVICE_CASE_BYTES);
    if (status == NORN_OK) status = device_bench_copy(b, b->one, b->out, b->a);
    if (status == NORN_OK) status = device_bench_wait(b, b->one);
    (void)norn_device_enter(b->other);
    ops->memory_destroy(b->other, NORN_MEMORY_DEVICE, b->on_other);
    MUST_OK(norn_device_enter(b->device));
    MUST_OK(status);
    MUST(device_is_numbered(b->out, 77));
}

const device_case device_cases_memory[] = {
    {"memory is given and taken back", memory_is_given_and_taken_back},
    {"more than there is is refused", more_than_there_is_is_refused_and_nothing_is_broken},
    {"bytes come back as they went", bytes_come_back_as_they_went},
    {"devices copy from each other", devices_copy_from_each_other},
    {NULL, NULL},
};
