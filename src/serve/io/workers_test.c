#include "serve/io/workers.h"

#include "base/cmocka_all.h"
#include "testing/memory_sweep.h"

#include <stdatomic.h>
#include <unistd.h>

typedef struct counted_job {
    norn_job job; ///< first
    _Atomic int *ran;
    int order;
} counted_job;

static void count_run(norn_job *job) {
    counted_job *counted = (counted_job *)job;
    counted->order = atomic_fetch_add(counted->ran, 1);
}

static void every_job_is_run_before_the_workers_end(void **state) {
    static counted_job jobs[1000];
    norn_workers *workers;
    _Atomic int ran = 0;
    (void)state;
    assert_int_equal(norn_workers_create(3, norn_alloc_heap(), &workers), NORN_OK);
    for (int i = 0; i < 1000; i++) {
        jobs[i] = (counted_job){.job.run = count_run, .ran = &ran};
        norn_workers_put(workers, &jobs[i].job);
        if (i % 300 == 0) norn_workers_trim(workers);
    }
    norn_workers_destroy(workers);
    assert_int_equal(ran, 1000);
}

static void one_worker_keeps_the_order(void **state) {
    static counted_job jobs[100];
    norn_workers *workers;
    _Atomic int ran = 0;
    (void)state;
    assert_int_equal(norn_workers_create(1, norn_alloc_heap(), &workers), NORN_OK);
    for (int i = 0; i < 100; i++) {
        jobs[i] = (counted_job){.job.run = count_run, .ran = &ran};
        norn_workers_put(workers, &jobs[i].job);
    }
    norn_workers_destroy(workers);
    for (int i = 0; i < 100; i++) assert_int_equal(jobs[i].order, i);
}

static void without_workers_a_job_runs_at_once(void **state) {
    _Atomic int ran = 0;
    counted_job job = {.job.run = count_run, .ran = &ran};
    (void)state;
    norn_workers_put(NULL, &job.job);
    assert_int_equal(ran, 1);
    norn_workers_trim(NULL);
    norn_workers_destroy(NULL);
}

typedef struct gated_job {
    norn_job job; ///< first
    _Atomic bool *open;
    _Atomic int *ran;
} gated_job;

static void wait_at_gate(norn_job *job) {
    gated_job *gated = (gated_job *)job;
    while (!atomic_load(gated->open)) usleep(100);
    atomic_fetch_add(gated->ran, 1);
}

static void heavy_jobs_leave_a_worker_to_the_others(void **state) {
    norn_workers *workers;
    _Atomic bool open = false;
    _Atomic int heavy_ran = 0, light_ran = 0;
    gated_job heavy[8];
    counted_job light = {.job.run = count_run, .ran = &light_ran};
    (void)state;
    assert_int_equal(norn_workers_create(2, norn_alloc_heap(), &workers), NORN_OK);
    for (int i = 0; i < 8; i++) {
        heavy[i] = (gated_job){
            .job = {.run = wait_at_gate, .heavy = true}, .open = &open, .ran = &heavy_ran};
        norn_workers_put(workers, &heavy[i].job);
    }
    norn_workers_put(workers, &light.job);
    for (int i = 0; i < 100000 && light_ran == 0; i++) usleep(100);
    assert_int_equal(light_ran, 1);
    assert_int_equal(heavy_ran, 0);
    atomic_store(&open, true);
    norn_workers_destroy(workers);
    assert_int_equal(heavy_ran, 8);
}

static void without_memory_there_is_none_and_nothing_is_left(void **state) {
    norn_workers *made;
    (void)state;
    NORN_MEMORY_SWEEP(norn_workers_create(2, alloc, &made), made, norn_workers_destroy(made));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_is_run_before_the_workers_end),
        cmocka_unit_test(one_worker_keeps_the_order),
        cmocka_unit_test(heavy_jobs_leave_a_worker_to_the_others),
        cmocka_unit_test(without_workers_a_job_runs_at_once),
        cmocka_unit_test(without_memory_there_is_none_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
