/// What the programs that time tiers share: a table of their own, and time on the clock and on cores.
/// BENCH_NAME is the program's.
#ifndef BENCH_STORE_BENCH_H
#define BENCH_STORE_BENCH_H

#include "base/clock.h"
#include "base/memory.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void must(norn_status status) {
    if (status == NORN_OK) return;
    (void)fprintf(stderr, BENCH_NAME ": %s\n", norn_message());
    exit(1);
}
static void *take(size_t bytes) {
    void *memory;
    must(norn_alloc_bytes(norn_alloc_heap(), bytes, &memory));
    return memory;
}

/// What has passed: on the clock, and of this process's threads on cores (which other work uses too).
typedef struct span {
    double clock, cores;
} span;

static span now(void) {
    struct timespec cores;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cores);
    return (span){(double)norn_clock_now_ns() * 1e-9,
                  (double)cores.tv_sec + (double)cores.tv_nsec * 1e-9};
}
static span since(span begin) {
    const span end = now();
    return (span){end.clock - begin.clock, end.cores - begin.cores};
}

/// Row i's key; an odd factor gives each its own.
static int64_t key_of(int64_t i) {
    return (int64_t)((uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
}

/// FOLDER/t.safetensors: no row is zeros but the first's first.
static void write_table(const char *folder, int64_t rows, int64_t dim) {
    char path[640];
    float *data = take((size_t)(rows * dim) * sizeof *data);
    int64_t *keys = take((size_t)rows * sizeof *keys);
    for (int64_t i = 0; i < rows; i++) keys[i] = key_of(i);
    for (int64_t i = 0; i < rows * dim; i++) data[i] = (float)i;
    const norn_safetensor all[2] = {
        {"rows", norn_view_of(NORN_F32, 2, (int64_t[]){rows, dim}, data)},
        {"keys", norn_view_of(NORN_I64, 1, &rows, keys)}};
    (void)snprintf(path, sizeof path, "%s/t.safetensors", folder);
    must(norn_safetensors_write(path, all, 2, norn_alloc_heap()));
    norn_free(norn_alloc_heap(), data);
    norn_free(norn_alloc_heap(), keys);
}

#endif
