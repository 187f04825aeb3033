#include "serve/batcher.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

static norn_infer request(int64_t rows, uint64_t key) {
    return (norn_infer){.rows = rows, .join_key = key, .times.arrival_ns = norn_clock_now_ns()};
}

static norn_batcher *make(int64_t max_rows, int64_t delay_ns, int64_t limit) {
    const norn_batcher_options options = {max_rows, delay_ns, limit};
    norn_batcher *batcher;
    assert_int_equal(norn_batcher_create(&options, norn_alloc_heap(), &batcher), NORN_OK);
    return batcher;
}

static void batches_are_cut_in_order_of_arrival_up_to_the_largest(void **state) {
    norn_batcher *batcher = make(8, 0, 16);
    norn_infer a = request(3, 7), b = request(5, 7), c = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_batcher_put(batcher, &a), NORN_OK);
    assert_int_equal(norn_batcher_put(batcher, &b), NORN_OK);
    assert_int_equal(norn_batcher_put(batcher, &c), NORN_OK);
    assert_int_equal(norn_batcher_pending(batcher), 3);
    norn_infer *batch = norn_batcher_take(batcher, &over);
    assert_null(over);
    assert_ptr_equal(batch, &a);
    assert_ptr_equal(batch->next, &b);
    assert_null(b.next); // 3 + 5 = 8 rows: c waits for the next
    assert_ptr_equal(norn_batcher_take(batcher, &over), &c);
    norn_batcher_destroy(batcher);
}

static void requests_of_other_shapes_and_lone_ones_are_not_joined(void **state) {
    norn_batcher *batcher = make(100, 0, 16);
    norn_infer a = request(1, 7), b = request(1, 8), c = request(1, 0), d = request(1, 0), *over;
    (void)state;
    norn_infer *all[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++) assert_int_equal(norn_batcher_put(batcher, all[i]), NORN_OK);
    for (int i = 0; i < 4; i++) {
        norn_infer *batch = norn_batcher_take(batcher, &over);
        assert_ptr_equal(batch, all[i]);
        assert_null(batch->next);
    }
    norn_batcher_destroy(batcher);
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state) {
    norn_batcher *batcher = make(1, 0, 2);
    norn_infer a = request(1, 7), b = request(1, 7), c = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_batcher_put(batcher, &a), NORN_OK);
    assert_int_equal(norn_batcher_put(batcher, &b), NORN_OK);
    assert_int_equal(norn_batcher_put(batcher, &c), NORN_RESOURCE_EXHAUSTED);
    assert_ptr_equal(norn_batcher_take(batcher, &over), &a);
    assert_ptr_equal(norn_batcher_take(batcher, &over), &b);
    norn_batcher_destroy(batcher);
}

static void a_request_past_its_deadline_comes_out_as_over(void **state) {
    norn_batcher *batcher = make(8, 0, 16);
    norn_infer late = request(1, 7), good = request(1, 7), *over;
    (void)state;
    late.deadline_ns = norn_clock_now_ns() - 1;
    assert_int_equal(norn_batcher_put(batcher, &late), NORN_OK);
    assert_int_equal(norn_batcher_put(batcher, &good), NORN_OK);
    norn_infer *batch = norn_batcher_take(batcher, &over);
    assert_ptr_equal(over, &late);
    assert_int_equal(late.status, NORN_DEADLINE_EXCEEDED);
    if (!batch) {
        batch = norn_batcher_take(batcher, &over);
        assert_null(over);
    }
    assert_ptr_equal(batch, &good);
    norn_batcher_destroy(batcher);
}

static void a_cancelled_request_is_not_run_and_ends_as_cancelled(void **state) {
    norn_batcher *batcher = make(8, 0, 16);
    norn_infer gone = request(1, 7), good = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_batcher_put(batcher, &gone), NORN_OK);
    assert_int_equal(norn_batcher_put(batcher, &good), NORN_OK);
    norn_infer_cancel(&gone);
    assert_null(norn_batcher_take(batcher, &over));
    assert_ptr_equal(over, &gone);
    assert_null(gone.next);
    assert_int_equal(gone.status, NORN_CANCELLED);
    assert_ptr_equal(norn_batcher_take(batcher, &over), &good);
    assert_null(over);
    assert_int_equal(norn_batcher_pending(batcher), 0);
    norn_batcher_destroy(batcher);
}

static void the_oldest_waits_for_company_no_longer_than_the_delay(void **state) {
    norn_batcher *batcher = make(8, 20000000, 16);
    norn_infer a = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_batcher_put(batcher, &a), NORN_OK);
    assert_ptr_equal(norn_batcher_take(batcher, &over), &a);
    assert_true(norn_clock_now_ns() - a.times.arrival_ns >= 20000000);
    norn_batcher_destroy(batcher);
}

static void *take_until_stopped(void *context) {
    norn_infer *over;
    int64_t rows = 0;
    for (;;) {
        norn_infer *batch = norn_batcher_take(context, &over);
        if (!batch && !over) return (void *)(intptr_t)rows;
        for (; batch; batch = batch->next) rows += batch->rows;
    }
}

static void stopping_drains_the_queue_and_lets_every_taker_go(void **state) {
    enum { TAKERS = 3, REQUESTS = 500 };
    static norn_infer requests[REQUESTS];
    norn_batcher *batcher = make(4, 0, REQUESTS);
    pthread_t takers[TAKERS];
    norn_infer extra = request(1, 1);
    int64_t rows = 0;
    (void)state;
    for (int i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_create(&takers[i], NULL, take_until_stopped, batcher), 0);
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = request(1, 1);
        assert_int_equal(norn_batcher_put(batcher, &requests[i]), NORN_OK);
    }
    norn_batcher_stop(batcher);
    for (int i = 0; i < TAKERS; i++) {
        void *taken;
        assert_int_equal(pthread_join(takers[i], &taken), 0);
        rows += (intptr_t)taken;
    }
    assert_int_equal(rows, REQUESTS);
    assert_int_equal(norn_batcher_put(batcher, &extra), NORN_UNAVAILABLE);
    norn_batcher_destroy(batcher);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_cut_in_order_of_arrival_up_to_the_largest),
        cmocka_unit_test(requests_of_other_shapes_and_lone_ones_are_not_joined),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_what_it_has),
        cmocka_unit_test(a_request_past_its_deadline_comes_out_as_over),
        cmocka_unit_test(a_cancelled_request_is_not_run_and_ends_as_cancelled),
        cmocka_unit_test(the_oldest_waits_for_company_no_longer_than_the_delay),
        cmocka_unit_test(stopping_drains_the_queue_and_lets_every_taker_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
