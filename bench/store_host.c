// The host tier by itself: how close lookups come to what memory gives, what a row costs, and what deltas
// do to both. bench/store.py makes the package and calls this.
//
//     norn_bench_store_host PACKAGE ROWS
//     norn_bench_store_host --zipf PACKAGE ROWS     lookups with Zipf 0.99 alone, whatever tier norn.json names
//
// The package is one EmbeddingBag (sum) over a hashed float32 table "t" of ROWS rows whose keys are
// norn_hash_u64(i + 1). Everything runs on one core but the writer of deltas, which has the other.
#include "base/clock.h"
#include "base/hash.h"
#include "base/memory.h"
#include "kernel/host_rows.h"
#include "norn/session.h"
#include "package/package_open.h"
#include "plan/plan.h"
#include "store/store.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BAG = 32, BATCH = 1024, SMALL_BATCH = 64, DELTA_ROWS = 1000000, STEP_ROWS = 10000 };

static void check(norn_status status) {
    if (status == NORN_OK) return;
    (void)fprintf(stderr, "norn_bench_store_host: %s\n", norn_message());
    exit(1);
}

static int64_t key_of(uint64_t i) {
    return (int64_t)norn_hash_u64(i + 1);
}

static void pin_to(size_t core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    (void)pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static double resident_bytes(void) {
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &pages, &resident) != 2) exit(1);
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

// ---- what memory gives

/// Sums of whole random rows, `ahead` of which are asked for early; bytes a second.
static double read_rows(const char *rows, const uint32_t *picks, int64_t count, int64_t row_bytes,
                        int64_t ahead, float *sink) {
    const int64_t elems = row_bytes / 4;
    float sums[1024] = {0};
    const int64_t begin_ns = norn_clock_now_ns();
    for (int64_t i = 0; i + ahead < count; i++) {
        const char *next = rows + (int64_t)picks[i + ahead] * row_bytes;
        for (int64_t at = 0; at < row_bytes; at += 64) __builtin_prefetch(next + at);
        const float *row = (const float *)(const void *)(rows + (int64_t)picks[i] * row_bytes);
        for (int64_t e = 0; e < elems; e++) sums[e] += row[e];
    }
    const int64_t end_ns = norn_clock_now_ns();
    for (int64_t e = 0; e < elems; e++) *sink += sums[e];
    return (double)(count - ahead) * (double)row_bytes / (double)(end_ns - begin_ns) * 1e9;
}

/// The best of several distances.
static double bandwidth(const char *rows, uint64_t row_count, int64_t row_bytes) {
    enum { PICKS = 1000000 };
    static const int64_t aheads[] = {4, 8, 12, 16, 24, 32};
    uint32_t *picks = malloc(PICKS * sizeof *picks);
    norn_random random;
    double best = 0;
    volatile float kept = 0;
    norn_random_init(&random, 5);
    for (int i = 0; i < PICKS; i++) picks[i] = (uint32_t)(norn_random_u64(&random) % row_count);
    for (size_t a = 0; a < sizeof aheads / sizeof *aheads; a++) {
        float sink = 0;
        const double got = read_rows(rows, picks, PICKS, row_bytes, aheads[a], &sink);
        kept = kept + sink;
        if (got > best) best = got;
    }
    free(picks);
    return best;
}

// ---- lookups

typedef struct asker {
    norn_session *session;
    norn_random random;
    uint64_t rows;
    int64_t *keys, *offsets;
    float *out;
    int64_t dim;
    bool zipf; ///< else uniform
} asker;

/// Rank by Zipf 0.99: the inverse of the continuous distribution's integral.
static uint64_t zipf(asker *a) {
    const double skew = 0.99, u = norn_random_unit(&a->random);
    const double most = pow((double)a->rows + 1, 1 - skew);
    const uint64_t rank = (uint64_t)pow(u * (most - 1) + 1, 1 / (1 - skew)) - 1;
    return rank < a->rows ? rank : a->rows - 1;
}

static void draw_keys(asker *a, int64_t batch) {
    for (int64_t i = 0; i < batch * BAG; i++)
        a->keys[i] = key_of(a->zipf ? zipf(a) : norn_random_u64(&a->random) % a->rows);
    for (int64_t i = 0; i <= batch; i++) a->offsets[i] = i * BAG;
}

/// Nanoseconds of one run.
static int64_t ask(asker *a, int64_t batch) {
    const norn_view inputs[] = {
        {.dtype = NORN_I64, .rank = 1, .dims = {batch * BAG}, .data = a->keys},
        {.dtype = NORN_I64, .rank = 1, .dims = {batch + 1}, .data = a->offsets}};
    norn_view output = {.data = a->out};
    const size_t bytes = (size_t)(batch * a->dim) * sizeof *a->out;
    const norn_run_args args = {.inputs = inputs, .outputs = &output, .output_bytes = &bytes};
    const int64_t begin_ns = norn_clock_now_ns();
    check(norn_session_run(a->session, &args));
    return norn_clock_now_ns() - begin_ns;
}

static int by_time(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

typedef struct spread {
    int64_t best_ns, p50_ns, p99_ns;
    int64_t runs;
} spread;

/// Runs of `batch` for `for_ns`, or until *stop, with new keys each.
static spread measure(asker *a, int64_t batch, int64_t for_ns, const atomic_bool *stop) {
    enum { MOST = 1 << 20 };
    int64_t *times = malloc(MOST * sizeof *times);
    spread s = {0};
    const int64_t end_ns = norn_clock_now_ns() + for_ns;
    while (s.runs < MOST && norn_clock_now_ns() < end_ns && !(stop && atomic_load(stop))) {
        draw_keys(a, batch);
        times[s.runs++] = ask(a, batch);
    }
    qsort(times, (size_t)s.runs, sizeof *times, by_time);
    s.best_ns = times[0];
    s.p50_ns = times[s.runs / 2];
    s.p99_ns = times[s.runs * 99 / 100];
    free(times);
    return s;
}

// ---- deltas

typedef struct writer {
    norn_tier *tier;
    norn_version *version;
    uint64_t rows;
    int64_t row_bytes, took_ns;
    uint64_t step;
    atomic_bool done;
} writer;

static void *write_deltas(void *context) {
    writer *w = context;
    int64_t *keys = malloc(STEP_ROWS * sizeof *keys);
    float *rows = malloc(STEP_ROWS * (size_t)w->row_bytes);
    norn_random random;
    pin_to(1);
    norn_random_init(&random, w->step + 9);
    for (int64_t i = 0; i < STEP_ROWS * w->row_bytes / 4; i++) rows[i] = (float)i;
    const int64_t begin_ns = norn_clock_now_ns();
    for (int64_t done = 0; done < DELTA_ROWS; done += STEP_ROWS) {
        for (int i = 0; i < STEP_ROWS; i++) keys[i] = key_of(norn_random_u64(&random) % w->rows);
        const norn_delta delta = {.step = ++w->step,
                                  .count = STEP_ROWS,
                                  .keys = keys,
                                  .rows = (const char *)rows,
                                  .row_bytes = (size_t)w->row_bytes};
        const norn_cut cut = {.step = w->step};
        check(w->tier->ops->apply(w->tier, w->version, &delta));
        check(w->tier->ops->commit(w->tier, w->version, &cut));
    }
    w->took_ns = norn_clock_now_ns() - begin_ns;
    atomic_store(&w->done, true);
    free(keys);
    free(rows);
    return NULL;
}

/// What readers see moves on as it does behind a server: a new snapshot every 10 ms.
static void *take_snapshots(void *context) {
    void **both = context;
    writer *w = both[0];
    norn_package *package = both[1];
    norn_session *session = both[2];
    pin_to(1);
    while (!atomic_load(&w->done)) {
        norn_snapshot *snapshot;
        check(norn_store_snapshot(package->store, &snapshot));
        check(norn_session_set_snapshot(session, snapshot));
        norn_snapshot_release(snapshot);
        (void)usleep(10000);
    }
    return NULL;
}

static void bench_deltas(asker *a, norn_package *package, int64_t row_bytes, double rows) {
    const double before = resident_bytes();
    for (int round = 0; round < 3; round++) {
        writer w = {.tier = norn_store_tier(package->store),
                    .version = norn_store_version(package->store),
                    .rows = a->rows,
                    .row_bytes = row_bytes,
                    .step = (uint64_t)round * DELTA_ROWS};
        void *both[] = {&w, package, a->session};
        pthread_t writing, taking;
        const spread quiet = measure(a, SMALL_BATCH, 1500000000, NULL);
        if (pthread_create(&writing, NULL, write_deltas, &w) != 0) exit(1);
        if (pthread_create(&taking, NULL, take_snapshots, both) != 0) exit(1);
        const spread busy = measure(a, SMALL_BATCH, INT64_C(20000000000), &w.done);
        pthread_join(writing, NULL);
        pthread_join(taking, NULL);
        printf("deltas round %d: %d rows in %.2f s (%.2f M rows/s); lookups of %d bags meanwhile: "
               "p50 %.1f us "
               "(%.1f before), p99 %.1f us (%.1f before, %+.0f %%)\n",
               round + 1, DELTA_ROWS, (double)w.took_ns / 1e9,
               DELTA_ROWS / ((double)w.took_ns / 1e9) / 1e6, SMALL_BATCH, (double)busy.p50_ns / 1e3,
               (double)quiet.p50_ns / 1e3, (double)busy.p99_ns / 1e3, (double)quiet.p99_ns / 1e3,
               100.0 * ((double)busy.p99_ns / (double)quiet.p99_ns - 1));
    }
    printf("memory after them: %.1f bytes a changed row beside its payload\n",
           (resident_bytes() - before) / (3.0 * DELTA_ROWS * (1 - 1.5 * DELTA_ROWS / rows)) -
               (double)row_bytes);
}

/// Lookups of a package as its norn.json has it, by Zipf 0.99, after a while of warming up.
static void bench_zipf(asker *a) {
    a->zipf = true;
    (void)measure(a, BATCH, INT64_C(8000000000), NULL);
    const spread s = measure(a, BATCH, INT64_C(4000000000), NULL);
    printf("Zipf 0.99, %d bags of %d: %.2f M keys/s; p50 %.2f ms, p99 %.2f ms; %.0f MB resident\n",
           BATCH, BAG, BATCH * BAG / (double)s.p50_ns * 1e3, (double)s.p50_ns / 1e6,
           (double)s.p99_ns / 1e6, resident_bytes() / 1e6);
}

int main(int argc, char **argv) {
    norn_package *package;
    const bool zipf_alone = argc == 4 && strcmp(argv[1], "--zipf") == 0;
    if (zipf_alone) argv++, argc--;
    if (argc != 3) {
        (void)fprintf(stderr, "usage: norn_bench_store_host PACKAGE ROWS (see bench/store.py)\n");
        return 2;
    }
    asker a = {.rows = strtoull(argv[2], NULL, 10)};
    const double before = resident_bytes();
    const int64_t begin_ns = norn_clock_now_ns();
    check(norn_package_open(argv[1], &(norn_package_options){.max_batch = BATCH}, norn_alloc_heap(),
                            &package));
    const double loaded_s = (double)(norn_clock_now_ns() - begin_ns) / 1e9;
    const norn_table_binding *table = package->snapshot->find(package->snapshot, "t");
    const double rows = (double)a.rows, row_bytes = (double)table->view.row_bytes;
    pin_to(0);
    printf("rows %.0f of %.0f bytes: loaded in %.2f s (%.2f M rows/s); %.1f bytes a row beside the "
           "payload\n",
           rows, row_bytes, loaded_s, rows / loaded_s / 1e6,
           (resident_bytes() - before) / rows - row_bytes);

    const norn_session_options options = {
        .instances = 1, .threads = 1, .snapshot = package->snapshot};
    check(norn_session_create(package->plan, &options, norn_alloc_heap(), &a.session));
    a.dim = table->dim;
    a.keys = malloc(BATCH * BAG * sizeof *a.keys);
    a.offsets = malloc((BATCH + 1) * sizeof *a.offsets);
    a.out = malloc((size_t)(BATCH * a.dim) * sizeof *a.out);
    norn_random_init(&a.random, 3);
    if (zipf_alone) {
        bench_zipf(&a);
        return 0;
    }
    double given = 0, got = 0;
    for (int round = 0; round < 20;
         round++) { // in turns, and the best of each: others may be at work
        const double now = bandwidth(table->view.host.rows->rows, a.rows, table->view.row_bytes);
        const spread s = measure(&a, BATCH, 300000000, NULL);
        const double rate = BATCH * BAG * row_bytes / (double)s.best_ns * 1e9;
        if (now > given) given = now;
        if (rate > got) got = rate;
    }
    printf("lookup and pool, uniform keys, one core: %.1f M rows/s, %.2f GB/s of rows; random rows "
           "alone "
           "%.2f GB/s: %.0f %%\n",
           got / row_bytes / 1e6, got / 1e9, given / 1e9, 100 * got / given);
    bench_deltas(&a, package, table->view.row_bytes, rows);
    norn_session_destroy(a.session);
    norn_package_close(package);
    free(a.keys);
    free(a.offsets);
    free(a.out);
    return 0;
}
