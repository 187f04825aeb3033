// norn_bench_store_redis: the Redis tier by itself, on a cluster of three masters that it starts on this
// machine. A table of ROWS rows of DIM float32 with keys in no order is loaded, read in batches of 1,024
// keys, and written to in steps. What a core of the client does is by its own time on cores, which the
// servers' is no part of.
//
//     norn_bench_store_redis FOLDER [ROWS [DIM [PARTITIONS]]]    FOLDER: for the table, 256 bytes a row
#define BENCH_NAME "norn_bench_store_redis"
#include "store_bench.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/redis/redis_tier.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"
#include "testing/redis_servers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { BATCH = 1024, DEPTH_MAX = 8 };

typedef struct bench {
    const char *folder;
    int64_t rows, dim;
    uint32_t partitions;
    redis_servers servers;
    norn_tier *tier;
    norn_version *version;
} bench;

static double servers_bytes(const bench *b) {
    double sum = 0;
    for (int i = 0; i < b->servers.count; i++) {
        const char *at = strstr(redis_say(&b->servers.at[i], "INFO memory"), "used_memory:");
        sum += at ? atof(at + strlen("used_memory:")) : 0;
    }
    return sum;
}

// ---- reading

typedef struct reader {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int flying;
} reader;

typedef struct flight {
    norn_fetch fetch;
    norn_row_key keys[BATCH];
    uint64_t row_at[BATCH], step[BATCH];
    uint8_t state[BATCH];
    char *rows;
    reader *of;
    int64_t begun_ns;
    bool free;
    double *took_ms;
    size_t *took;
} flight;

static void on_done(norn_fetch *fetch) {
    flight *f = fetch->context;
    pthread_mutex_lock(&f->of->lock);
    f->took_ms[(*f->took)++] = (double)(norn_clock_now_ns() - f->begun_ns) * 1e-6;
    f->free = true;
    f->of->flying--;
    pthread_cond_signal(&f->of->changed);
    pthread_mutex_unlock(&f->of->lock);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void read_rows(const bench *b, int depth, int batches) {
    reader r = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    flight *flights = take(sizeof *flights * DEPTH_MAX);
    double *took_ms = take(sizeof *took_ms * (size_t)batches);
    size_t took = 0, missing = 0;
    norn_random random;
    norn_pin pin;
    norn_random_init(&random, 7);
    must(b->tier->ops->pin(b->tier, b->version, &pin));
    for (int d = 0; d < depth; d++) {
        flight *f = &flights[d];
        *f = (flight){.of = &r, .free = true, .took_ms = took_ms, .took = &took};
        f->rows = take((size_t)(BATCH * b->dim) * sizeof(float));
        for (int i = 0; i < BATCH; i++) f->row_at[i] = (uint64_t)(i * b->dim) * sizeof(float);
        f->fetch = (norn_fetch){.pin = &pin,
                                .keys = f->keys,
                                .count = BATCH,
                                .rows = f->rows,
                                .row_at = f->row_at,
                                .step = f->step,
                                .state = f->state,
                                .deadline_ns = INT64_MAX,
                                .done = on_done,
                                .context = f};
    }
    const span begin = now();
    for (int done = 0; done < batches; done++) {
        pthread_mutex_lock(&r.lock);
        while (r.flying == depth) pthread_cond_wait(&r.changed, &r.lock);
        flight *f = flights;
        while (!f->free) f++;
        f->free = false;
        r.flying++;
        pthread_mutex_unlock(&r.lock);
        for (int i = 0; i < BATCH; i++)
            f->keys[i] =
                (norn_row_key){key_of((int64_t)(norn_random_u64(&random) % (uint64_t)b->rows)), 0};
        f->begun_ns = norn_clock_now_ns();
        must(b->tier->ops->fetch(b->tier, &f->fetch));
    }
    pthread_mutex_lock(&r.lock);
    while (r.flying) pthread_cond_wait(&r.changed, &r.lock);
    pthread_mutex_unlock(&r.lock);
    const span spent = since(begin);
    for (int d = 0; d < depth; d++) {
        must(flights[d].fetch.status);
        for (int i = 0; i < BATCH; i++) missing += flights[d].state[i] != NORN_ROW_FOUND;
        norn_free(norn_alloc_heap(), flights[d].rows);
    }
    b->tier->ops->unpin(b->tier, &pin);
    qsort(took_ms, took, sizeof *took_ms, by_value);
    const double keys = (double)batches * BATCH;
    printf(
        "read, %d batch%s of %d at once: %.0f keys/s; a client core %.0f keys/s; a batch p50 %.2f "
        "ms, p99 %.2f ms%s\n",
        depth, depth > 1 ? "es" : "", BATCH, keys / spent.clock, keys / spent.cores,
        took_ms[took / 2], took_ms[took * 99 / 100], missing ? "; ROWS ARE MISSING" : "");
    norn_free(norn_alloc_heap(), took_ms);
    norn_free(norn_alloc_heap(), flights);
}

// ---- writing

static uint64_t write_steps(const bench *b, uint64_t step, uint32_t rows, int steps) {
    int64_t *keys = take(rows * sizeof *keys);
    float *data = take(rows * (size_t)b->dim * sizeof *data);
    double *took_ms = take(sizeof *took_ms * (size_t)steps);
    norn_random random;
    norn_random_init(&random, 9);
    for (size_t i = 0; i < rows * (size_t)b->dim; i++) data[i] = (float)i;
    const span begin = now();
    for (int s = 0; s < steps; s++) {
        for (uint32_t i = 0; i < rows; i++)
            keys[i] = key_of((int64_t)(norn_random_u64(&random) % (uint64_t)b->rows));
        const norn_delta delta = {.step = ++step,
                                  .count = rows,
                                  .keys = keys,
                                  .rows = (const char *)data,
                                  .row_bytes = (size_t)b->dim * sizeof *data};
        const norn_position position = {.epoch = 1, .sequence = step};
        const int64_t begun_ns = norn_clock_now_ns();
        must(b->tier->ops->apply(b->tier, b->version, &delta));
        must(b->tier->ops->commit(b->tier, b->version, &(norn_cut){step, 1, &position}));
        took_ms[s] = (double)(norn_clock_now_ns() - begun_ns) * 1e-6;
    }
    const span spent = since(begin);
    qsort(took_ms, (size_t)steps, sizeof *took_ms, by_value);
    printf(
        "apply, steps of %u rows: %.0f rows/s; a client core %.0f rows/s; a step p50 %.1f ms, p99 "
        "%.1f ms\n",
        rows, (double)rows * steps / spent.clock, (double)rows * steps / spent.cores,
        took_ms[steps / 2], took_ms[(size_t)steps * 99 / 100]);
    norn_free(norn_alloc_heap(), keys);
    norn_free(norn_alloc_heap(), data);
    norn_free(norn_alloc_heap(), took_ms);
    return step;
}

// ---- the whole

static void run(bench *b, bool compact) {
    redis_start_cluster(&b->servers, 3, 0);
    for (int i = 0; i < b->servers.count && !compact; i++)
        redis_say(&b->servers.at[i], "CONFIG SET hash-max-listpack-value 64");
    const norn_redis_options options = {.nodes = b->servers.nodes, .partitions = b->partitions};
    must(norn_redis_tier_open(&options, norn_alloc_heap(), &b->tier));
    const double before = servers_bytes(b);
    const span begin = now();
    must(b->tier->ops->load(b->tier, 1, b->folder, &b->version));
    const span spent = since(begin);
    printf("%s: load %.0f rows/s, a client core %.0f rows/s; %.1f bytes a row in the servers\n",
           compact ? "hashes of 16" : "a string a row", (double)b->rows / spent.clock,
           (double)b->rows / spent.cores, (servers_bytes(b) - before) / (double)b->rows);
    read_rows(b, 1, 1000);
    read_rows(b, 4, 1000);
    uint64_t step = write_steps(b, 0, 100, 200);
    step = write_steps(b, step, 10000, 40);
    (void)write_steps(b, step, 100000, 5);
    norn_tier_close(b->tier);
    redis_stop_all(&b->servers);
}

int main(int argc, char **argv) {
    bench b = {.folder = argc > 1 ? argv[1] : NULL,
               .rows = argc > 2 ? atoll(argv[2]) : 400000,
               .dim = argc > 3 ? atoll(argv[3]) : 64,
               .partitions = argc > 4 ? (uint32_t)atoi(argv[4]) : 0};
    if (!b.folder || b.rows < 1 || b.dim < 1) {
        fprintf(stderr, "usage: norn_bench_store_redis FOLDER [ROWS [DIM [PARTITIONS]]]\n");
        return 2;
    }
    if (!redis_is_there()) return 1;
    (void)mkdir(b.folder, 0777);
    write_table(b.folder, b.rows, b.dim);
    printf("%lld rows of %lld bytes, three masters\n", (long long)b.rows, (long long)b.dim * 4);
    run(&b, true);
    run(&b, false);
    return 0;
}
