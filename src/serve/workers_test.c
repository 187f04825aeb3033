#include "serve/workers.h"

#include "base/cmocka_all.h"
#include "base/memory_sweep.h"

#include <stdatomic.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_is_run_before_the_workers_end),
        cmocka_unit_test(one_worker_keeps_the_order),
        cmocka_unit_test(without_workers_a_job_runs_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
