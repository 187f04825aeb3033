#include "base/clock.h"
#include "base/thread.h"
#include "testing/memory_sweep.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct coverage {
    unsigned char *hits; ///< each written by one thread: no atomics, so that TSan sees a race
    int64_t count, grain;
    int32_t threads;
    _Atomic int64_t calls, bad;
} coverage;

static void hit(void *context, int64_t begin, int64_t end, int32_t worker) {
    coverage *cover = context;
    atomic_fetch_add(&cover->calls, 1);
    if (worker < 0 || worker >= cover->threads || begin < 0 || end > cover->count || begin >= end)
        atomic_fetch_add(&cover->bad, 1);
    if (begin % cover->grain != 0 || (end != cover->count && end % cover->grain != 0))
        atomic_fetch_add(&cover->bad, 1);
    for (int64_t i = begin; i < end; i++) cover->hits[i]++;
}

static void every_index_is_covered_once(void **state) {
    (void)state;
    const int32_t threads[] = {1, 2, 3, 8};
    const int64_t counts[] = {0, 1, 2, 7, 8, 63, 64, 1000, 4097};
    const int64_t grains[] = {1, 3, 8, 1000, INT64_MAX};
    for (size_t t = 0; t < 4; t++) {
        norn_pool *pool;
        assert_int_equal(norn_pool_create(threads[t], norn_alloc_heap(), &pool), NORN_OK);
        assert_int_equal(norn_pool_threads(pool), threads[t]);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++) {
                coverage cover = {.count = counts[c], .grain = grains[g], .threads = threads[t]};
                cover.hits = calloc((size_t)counts[c] + 1, 1);
                norn_pool_loop(pool, counts[c], grains[g], hit, &cover);
                assert_int_equal(cover.bad, 0);
                for (int64_t i = 0; i < counts[c]; i++) assert_int_equal(cover.hits[i], 1);
                if (counts[c] == 0) assert_int_equal(cover.calls, 0);
                if (counts[c] > 0 && counts[c] <= grains[g]) assert_int_equal(cover.calls, 1);
                free(cover.hits);
            }
        }
        norn_pool_destroy(pool);
    }
}

static void without_a_pool_a_loop_runs_inline(void **state) {
    (void)state;
    unsigned char hits[100] = {0};
    coverage cover = {.hits = hits, .count = 100, .grain = 7, .threads = 1};
    norn_pool_loop(NULL, 100, 7, hit, &cover);
    assert_int_equal(cover.calls, 1);
    assert_int_equal(cover.bad, 0);
    assert_int_equal(norn_pool_threads(NULL), 1);
    norn_pool_destroy(NULL);
}

static void count_ends(void *context, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    atomic_fetch_add((_Atomic uint64_t *)context, (uint64_t)(end - begin));
}

static void the_largest_counts_do_not_overflow(void **state) {
    (void)state;
    norn_pool *pool;
    assert_int_equal(norn_pool_create(3, norn_alloc_heap(), &pool), NORN_OK);
    const int64_t grains[] = {1, 1000, INT64_MAX / 2, INT64_MAX - 1};
    for (size_t i = 0; i < 4; i++) {
        _Atomic uint64_t total = 0;
        norn_pool_loop(pool, INT64_MAX, grains[i], count_ends, &total);
        assert_true(total == INT64_MAX);
    }
    norn_pool_destroy(pool);
}

static void many_short_loops_see_each_other_s_writes(void **state) {
    (void)state;
    enum { LOOPS = 3000, COUNT = 64 };
    norn_pool *pool;
    unsigned char hits[COUNT] = {0};
    assert_int_equal(norn_pool_create(4, norn_alloc_heap(), &pool), NORN_OK);
    for (int i = 0; i < LOOPS; i++) {
        coverage cover = {.hits = hits, .count = COUNT, .grain = 1 + i % 5, .threads = 4};
        norn_pool_loop(pool, COUNT, cover.grain, hit, &cover);
        assert_int_equal(cover.bad, 0);
        if (i % 500 == 0) usleep(400); // long enough for the workers to park
        for (int j = 0; j < COUNT; j++) assert_int_equal(hits[j], (unsigned char)(i + 1));
    }
    norn_pool_destroy(pool);
}

typedef struct shares {
    _Atomic int64_t done_by[2];
} shares;

static void sleep_at_zero(void *context, int64_t begin, int64_t end, int32_t worker) {
    shares *uneven = context;
    if (begin == 0) usleep(50000);
    atomic_fetch_add(&uneven->done_by[worker], end - begin);
}

static void uneven_work_moves_to_the_free_thread(void **state) {
    (void)state;
    norn_pool *pool;
    shares uneven = {0};
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    norn_pool_loop(pool, 1600, 1, sleep_at_zero, &uneven);
    int64_t a = uneven.done_by[0], b = uneven.done_by[1];
    assert_int_equal(a + b, 1600);
    // Whoever slept has had one chunk of sixteen, or two if the other thread came late.
    assert_in_range(a < b ? a : b, 100, 300);
    norn_pool_destroy(pool);
}

static void nothing(void *context, int64_t begin, int64_t end, int32_t worker) {
    (void)context, (void)begin, (void)end, (void)worker;
}

static void more_threads_than_cores_still_finish(void **state) {
    (void)state;
    norn_pool *pool;
    assert_int_equal(norn_pool_create(16, norn_alloc_heap(), &pool), NORN_OK);
    int64_t begin = norn_clock_now_ns();
    for (int i = 0; i < 500; i++) norn_pool_loop(pool, 1000, 1, nothing, NULL);
    print_message("16 threads on %d cores: %.1f us a loop\n", norn_core_count(),
                  (double)(norn_clock_now_ns() - begin) / 500e3);
    assert_true(norn_clock_now_ns() - begin < INT64_C(60000000000));
    norn_pool_destroy(pool);
}

/// Returns when both threads are inside, or after a while (one core, or a busy machine).
static void meet(void *context, int64_t begin, int64_t end, int32_t worker) {
    _Atomic int *inside = context;
    (void)begin, (void)end, (void)worker;
    atomic_fetch_add(inside, 1);
    for (int i = 0; i < 20000 && atomic_load(inside) < 2; i++) {
    }
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void dispatch_time_is_printed(void **state) {
    (void)state;
    enum { LOOPS = 2000 };
    norn_pool *pool;
    int64_t took[LOOPS];
    int met = 0;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (int i = 0; i < LOOPS; i++) {
        _Atomic int inside = 0;
        int64_t begin = norn_clock_now_ns();
        norn_pool_loop(pool, 2, 1, meet, &inside);
        took[i] = norn_clock_now_ns() - begin;
        met += inside == 2;
    }
    qsort(took, LOOPS, sizeof *took, by_value);
    assert_int_equal(met, LOOPS);
    print_message("a loop that needs both threads: p10 %.2f us, p50 %.2f us\n",
                  (double)took[LOOPS / 10] / 1e3, (double)took[LOOPS / 2] / 1e3);
    norn_pool_destroy(pool);
}

static void a_loop_allocates_nothing(void **state) {
    (void)state;
    norn_alloc_faulty faulty = {.fail_at = SIZE_MAX};
    norn_pool *pool;
    assert_int_equal(norn_pool_create(3, norn_alloc_failing(&faulty), &pool), NORN_OK);
    size_t before = faulty.count;
    for (int i = 0; i < 10; i++) norn_pool_loop(pool, 1000, 1, nothing, NULL);
    assert_int_equal(faulty.count, before);
    norn_pool_destroy(pool);
    assert_int_equal(faulty.live, 0);
}

static void creating_a_pool_cleans_up_when_memory_runs_out(void **state) {
    (void)state;
    norn_pool *pool;
    NORN_MEMORY_SWEEP(norn_pool_create(4, alloc, &pool), pool, norn_pool_destroy(pool));
    assert_int_equal(norn_pool_create(-1, norn_alloc_heap(), &pool), NORN_INVALID_ARGUMENT);
    assert_null(pool);
}

static void cores_are_at_least_one_and_zero_threads_means_all(void **state) {
    (void)state;
    norn_pool *pool;
    assert_in_range(norn_core_count(), 1, sysconf(_SC_NPROCESSORS_CONF));
    assert_int_equal(norn_pool_create(0, norn_alloc_heap(), &pool), NORN_OK);
    assert_int_equal(norn_pool_threads(pool), norn_core_count());
    norn_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_index_is_covered_once),
        cmocka_unit_test(without_a_pool_a_loop_runs_inline),
        cmocka_unit_test(the_largest_counts_do_not_overflow),
        cmocka_unit_test(many_short_loops_see_each_other_s_writes),
        cmocka_unit_test(uneven_work_moves_to_the_free_thread),
        cmocka_unit_test(more_threads_than_cores_still_finish),
        cmocka_unit_test(dispatch_time_is_printed),
        cmocka_unit_test(a_loop_allocates_nothing),
        cmocka_unit_test(creating_a_pool_cleans_up_when_memory_runs_out),
        cmocka_unit_test(cores_are_at_least_one_and_zero_threads_means_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
