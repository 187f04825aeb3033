// norn_bench_store_rocksdb: the RocksDB tier by itself. A table of ROWS rows of DIM float32 with
// keys in no order is written, loaded, read cold and warm, and written to; then, with a cache of a
// quarter of it, it is read by Zipf 0.99 beside the same table in host memory.
//
//     norn_bench_store_rocksdb FOLDER [ROWS [DIM]]     FOLDER must not be there yet; what is in it stays
#define BENCH_NAME "norn_bench_store_rocksdb"
#include "store_bench.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/host/host_tier.h"
#include "store/rocksdb/rocksdb_tier.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct bench {
    char tables[512], path[512], sorted[1024]; ///< the version, the tier, its files
    int64_t rows, dim;
    norn_tier *tier;
    norn_version *version;
} bench;

// ---- the tier

static void open_tier(bench *b, size_t cache_bytes, uint32_t threads) {
    const norn_rocksdb_options options = {.cache_bytes = cache_bytes, .reader_threads = threads};
    uint64_t step;
    must(norn_rocksdb_tier_open(b->path, &options, norn_alloc_heap(), &b->tier));
    if (b->tier->ops->found(b->tier, 0, &b->version, &step) != NORN_OK) b->version = NULL;
}

/// The system forgets the files' pages: the next reads are the disk's.
static void forget_pages(const bench *b) {
    char path[2048];
    DIR *folder = opendir(b->sorted);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        snprintf(path, sizeof path, "%s/%s", b->sorted, entry->d_name);
        const int file = open(path, O_RDONLY);
        if (file < 0) continue;
        (void)fdatasync(file);
        (void)posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        close(file);
    }
    if (folder) closedir(folder);
}

// ---- reading

typedef struct batch {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
} batch;

static void on_done(norn_fetch *fetch) {
    batch *w = fetch->context;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

/// Keys a second, and a second of a core, of one asker: `total` keys of `asked`, `size` in each
/// fetch.
static span read_keys(norn_tier *tier, norn_version *version, const norn_row_key *asked,
                      uint32_t total, uint32_t size) {
    const size_t row_bytes = (size_t)version->tables[0].row_bytes;
    char *rows = take(size * row_bytes);
    uint64_t *row_at = take(size * sizeof *row_at), *step = take(size * sizeof *step);
    uint8_t *state = take(size);
    batch w = {.done = false};
    norn_pin pin;
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    for (uint32_t i = 0; i < size; i++) row_at[i] = i * row_bytes;
    must(tier->ops->pin(tier, version, &pin));
    const span begin = now();
    for (uint32_t at = 0; at + size <= total; at += size) {
        norn_fetch fetch = {.pin = &pin,
                            .keys = asked + at,
                            .count = size,
                            .rows = rows,
                            .row_at = row_at,
                            .step = step,
                            .state = state,
                            .deadline_ns = INT64_MAX,
                            .done = on_done,
                            .context = &w};
        w.done = false;
        must(tier->ops->fetch(tier, &fetch));
        pthread_mutex_lock(&w.lock);
        while (!w.done) pthread_cond_wait(&w.changed, &w.lock);
        pthread_mutex_unlock(&w.lock);
        must(fetch.status);
        for (uint32_t i = 0; i < size; i++)
            if (state[i] != NORN_ROW_FOUND) must(norn_fail(NORN_INTERNAL, "a row is not found"));
    }
    const span took = since(begin);
    tier->ops->unpin(tier, &pin);
    norn_free(norn_alloc_heap(), rows);
    norn_free(norn_alloc_heap(), row_at);
    norn_free(norn_alloc_heap(), step);
    norn_free(norn_alloc_heap(), state);
    const double keys = total / size * size;
    return (span){keys / took.clock, keys / took.cores};
}

static norn_row_key *uniform_keys(const bench *b, uint32_t count) {
    norn_random random;
    norn_row_key *keys = take(count * sizeof *keys);
    norn_random_init(&random, 1);
    for (uint32_t i = 0; i < count; i++)
        keys[i] =
            (norn_row_key){key_of((int64_t)(norn_random_u64(&random) % (uint64_t)b->rows)), 0};
    return keys;
}

/// Rank r with a probability that falls as 1 / r^0.99; which key has a rank is left to chance.
static norn_row_key *zipf_keys(const bench *b, uint32_t count) {
    norn_random random;
    norn_row_key *keys = take(count * sizeof *keys);
    double *sum = take((size_t)b->rows * sizeof *sum), all = 0;
    norn_random_init(&random, 2);
    for (int64_t r = 0; r < b->rows; r++) sum[r] = all += pow((double)(r + 1), -0.99);
    for (uint32_t i = 0; i < count; i++) {
        const double at = norn_random_unit(&random) * all;
        int64_t low = 0, high = b->rows - 1;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (sum[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        const int64_t row = (int64_t)(norn_hash_u64((uint64_t)low) % (uint64_t)b->rows);
        keys[i] = (norn_row_key){key_of(row), 0};
    }
    norn_free(norn_alloc_heap(), sum);
    return keys;
}

// ---- what is timed

static size_t table_bytes(const bench *b) {
    return (size_t)(b->rows * (b->dim * 4 + 18));
}

static void say(const char *what, uint32_t threads, uint32_t size, span rate) {
    printf("%s: %2u threads, batches of %4u: %8.0f keys/s, %8.0f a core\n", what, threads, size,
           rate.clock, rate.cores);
}

static void time_load(bench *b) {
    open_tier(b, 0, 0);
    const span begin = now();
    must(b->tier->ops->load(b->tier, 1, b->tables, &b->version));
    const span took = since(begin);
    norn_tier_stat stat;
    b->tier->ops->stat(b->tier, b->version, &stat);
    printf("load: %.2f s, %.2f M rows/s, %.2f M a core (file read, indexed, hashed, sorted; files "
           "written and synced); %.1f bytes of index a row\n",
           took.clock, (double)b->rows / took.clock * 1e-6, (double)b->rows / took.cores * 1e-6,
           (double)stat.index_bytes / (double)b->rows);
    norn_tier_close(b->tier);
}

static void time_cold(bench *b, const norn_row_key *keys) {
    static const uint32_t threads[] = {1, 4, 8, 16}, sizes[] = {128, 1024, 8192};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            const uint32_t total = 16384;
            forget_pages(b);
            open_tier(b, 0, threads[t]);
            say("cold", threads[t], sizes[s],
                read_keys(b->tier, b->version, keys + (t * 3 + s) * total, total, sizes[s]));
            norn_tier_close(b->tier);
        }
}

static void time_warm(bench *b, const norn_row_key *keys, uint32_t count) {
    static const uint32_t threads[] = {1, 2, 8}, sizes[] = {1, 32, 128, 1024, 8192};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        open_tier(b, 2 * table_bytes(b), threads[t]);
        for (int round = 0; round < 2; round++)
            (void)read_keys(b->tier, b->version, keys, count, 1024);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            say("warm", threads[t], sizes[s],
                read_keys(b->tier, b->version, keys, sizes[s] == 1 ? count / 16 : count, sizes[s]));
        norn_tier_close(b->tier);
    }
}

static void time_apply(bench *b) {
    static const uint32_t sizes[] = {100, 1000, 10000, 100000};
    uint64_t step = 0;
    open_tier(b, 0, 0);
    const size_t row_bytes = (size_t)b->version->tables[0].row_bytes;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const uint32_t size = sizes[s], steps = size < 10000 ? 100 : 200000 / size;
        int64_t *keys = take(size * sizeof *keys);
        char *rows = take(size * row_bytes);
        memset(rows, 1, size * row_bytes);
        const span begin = now();
        for (uint32_t i = 0; i < steps; i++) {
            for (uint32_t k = 0; k < size; k++)
                keys[k] = key_of(
                    (int64_t)(norn_hash_u64(k + (uint64_t)size * i + 1) % (uint64_t)b->rows));
            const norn_delta delta = {
                .step = ++step, .count = size, .keys = keys, .rows = rows, .row_bytes = row_bytes};
            const norn_position position = {1, step, 0};
            must(b->tier->ops->apply(b->tier, b->version, &delta));
            must(b->tier->ops->commit(b->tier, b->version, &(norn_cut){step, 1, &position}));
        }
        const span took = since(begin);
        const double all = steps * (double)size;
        printf("apply: steps of %6u rows, synced: %8.0f rows/s, %8.0f a core, %7.2f ms a step\n",
               size, all / took.clock, all / took.cores, took.clock / steps * 1e3);
        norn_free(norn_alloc_heap(), keys);
        norn_free(norn_alloc_heap(), rows);
    }
    norn_tier_close(b->tier);
}

static void time_zipf(bench *b) {
    static const uint32_t sizes[] = {128, 1024, 8192};
    enum { COUNT = 1 << 19 };
    norn_row_key *keys = zipf_keys(b, COUNT);
    norn_tier *host;
    norn_version *version;
    must(norn_host_tier_create(norn_alloc_heap(), &host));
    must(host->ops->load(host, 1, b->tables, &version));
    open_tier(b, table_bytes(b) / 4, 0);
    for (int round = 0; round < 2; round++) (void)read_keys(b->tier, b->version, keys, COUNT, 1024);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        say("zipf 0.99, cache of a quarter", 8, sizes[s],
            read_keys(b->tier, b->version, keys, COUNT, sizes[s]));
        say("zipf 0.99, host tier", 1, sizes[s], read_keys(host, version, keys, COUNT, sizes[s]));
    }
    norn_tier_close(b->tier);
    norn_tier_close(host);
    norn_free(norn_alloc_heap(), keys);
}

static void time_drop(bench *b) {
    open_tier(b, 0, 0);
    span begin = now();
    b->tier->ops->drop(b->tier, b->version);
    const span told = since(begin);
    begin = now();
    norn_tier_close(b->tier); // waits for the files' removal
    printf("drop: %.1f ms for who drops, %.1f ms until all is gone\n", told.clock * 1e3,
           since(begin).clock * 1e3);
}

int main(int count, char **words) {
    enum { KEYS = 1 << 18 };
    setvbuf(stdout, NULL, _IOLBF, 0);
    bench b = {.rows = 1000000, .dim = 64};
    if (count < 2 || count > 4) {
        fputs("usage: norn_bench_store_rocksdb FOLDER [ROWS [DIM]]\n", stderr);
        return 2;
    }
    if (count > 2) b.rows = strtoll(words[2], NULL, 10);
    if (count > 3) b.dim = strtoll(words[3], NULL, 10);
    snprintf(b.tables, sizeof b.tables, "%s/tables", words[1]);
    snprintf(b.path, sizeof b.path, "%s/tier", words[1]);
    snprintf(b.sorted, sizeof b.sorted, "%s/db", b.path);
    if (mkdir(words[1], 0777) != 0 || mkdir(b.tables, 0777) != 0) {
        perror(words[1]);
        return 1;
    }
    printf("%lld rows of %lld float32, %.0f MB\n", (long long)b.rows, (long long)b.dim,
           (double)table_bytes(&b) * 1e-6);
    write_table(b.tables, b.rows, b.dim);
    norn_row_key *keys = uniform_keys(&b, KEYS);
    time_load(&b);
    time_cold(&b, keys);
    time_warm(&b, keys, KEYS);
    time_zipf(&b);
    time_apply(&b);
    time_drop(&b);
    norn_free(norn_alloc_heap(), keys);
    return 0;
}
