#include "serve/schedule/queue.h"

#include "base/clock.h"
#include "tensor/view.h"
#include "testing/memory_sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>

static norn_request request(int64_t rows, uint64_t key) {
    return (norn_request){.rows = rows, .join_key = key, .times.arrival_ns = norn_clock_now_ns()};
}

static norn_queue *make(int64_t max_rows, int64_t delay_ns, int64_t limit) {
    const norn_queue_options options = {max_rows, delay_ns, limit, 0, 1};
    norn_queue *queue;
    assert_int_equal(norn_queue_create(&options, norn_alloc_heap(), &queue), NORN_OK);
    return queue;
}

static void batches_are_cut_in_order_of_arrival_up_to_the_largest(void **state) {
    norn_queue *queue = make(8, 0, 16);
    norn_request a = request(3, 7), b = request(5, 7), c = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_queue_put(queue, &a, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &b, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &c, &over), NORN_OK);
    assert_int_equal(norn_queue_pending(queue), 3);
    norn_request *batch = norn_queue_take(queue, &over);
    assert_null(over);
    assert_ptr_equal(batch, &a);
    assert_ptr_equal(batch->next, &b);
    assert_null(b.next); // 3 + 5 = 8 rows: c waits for the next
    assert_ptr_equal(norn_queue_take(queue, &over), &c);
    norn_queue_destroy(queue);
}

static void requests_of_other_shapes_and_lone_ones_are_not_joined(void **state) {
    norn_queue *queue = make(100, 0, 16);
    norn_request a = request(1, 7), b = request(1, 8), c = request(1, 0), d = request(1, 0), *over;
    (void)state;
    norn_request *all[] = {&a, &b, &c, &d};
    for (int i = 0; i < 4; i++) assert_int_equal(norn_queue_put(queue, all[i], &over), NORN_OK);
    for (int i = 0; i < 4; i++) {
        norn_request *batch = norn_queue_take(queue, &over);
        assert_ptr_equal(batch, all[i]);
        assert_null(batch->next);
    }
    norn_queue_destroy(queue);
}

static void a_full_queue_refuses_and_keeps_what_it_has(void **state) {
    norn_queue *queue = make(1, 0, 2);
    norn_request a = request(1, 7), b = request(1, 7), c = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_queue_put(queue, &a, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &b, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &c, &over), NORN_RESOURCE_EXHAUSTED);
    assert_ptr_equal(norn_queue_take(queue, &over), &a);
    assert_ptr_equal(norn_queue_take(queue, &over), &b);
    norn_queue_destroy(queue);
}

static void a_request_past_its_deadline_comes_out_as_over(void **state) {
    norn_queue *queue = make(8, 0, 16);
    norn_request late = request(1, 7), good = request(1, 7), *over;
    (void)state;
    late.deadline_ns = norn_clock_now_ns() - 1;
    assert_int_equal(norn_queue_put(queue, &late, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &good, &over), NORN_OK);
    norn_request *batch = norn_queue_take(queue, &over);
    assert_ptr_equal(over, &late);
    assert_int_equal(late.status, NORN_DEADLINE_EXCEEDED);
    if (!batch) {
        batch = norn_queue_take(queue, &over);
        assert_null(over);
    }
    assert_ptr_equal(batch, &good);
    norn_queue_destroy(queue);
}

/// What a newcomer would have joined is swept away as it comes: it waits by itself.
static void the_group_that_one_would_join_may_be_over(void **state) {
    norn_queue *queue = make(8, 0, 16);
    norn_request other = request(1, 3), late = request(1, 7), good = request(2, 7), *over;
    (void)state;
    late.deadline_ns = norn_clock_now_ns() - 1;
    assert_int_equal(norn_queue_put(queue, &other, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &late, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &good, &over), NORN_OK);
    assert_ptr_equal(over, &late);
    assert_null(late.next);
    assert_int_equal(norn_queue_pending(queue), 2);
    assert_ptr_equal(norn_queue_take(queue, &over), &other);
    assert_ptr_equal(norn_queue_take(queue, &over), &good);
    assert_int_equal(norn_queue_pending(queue), 0);
    norn_queue_destroy(queue);
}

static void a_cancelled_request_is_not_run_and_ends_as_cancelled(void **state) {
    norn_queue *queue = make(8, 0, 16);
    norn_request gone = request(1, 7), good = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_queue_put(queue, &gone, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &good, &over), NORN_OK);
    norn_request_cancel(&gone);
    assert_ptr_equal(norn_queue_take(queue, &over), &good);
    assert_ptr_equal(over, &gone);
    assert_null(gone.next);
    assert_null(good.next);
    assert_int_equal(gone.status, NORN_CANCELLED);
    assert_int_equal(norn_queue_pending(queue), 0);
    norn_queue_destroy(queue);
}

static void requests_whose_hashes_meet_are_joined_only_if_their_dims_are_equal(void **state) {
    norn_queue *queue = make(100, 0, 16);
    norn_request a = request(1, 7), b = request(1, 7), c = request(1, 7), *over;
    norn_request_input narrow = {.view = norn_view_of(NORN_F32, 2, (int64_t[]){1, 4}, NULL)},
                       wide = {.view = norn_view_of(NORN_F32, 2, (int64_t[]){1, 4000000}, NULL)},
                       more = {.view = norn_view_of(NORN_F32, 2, (int64_t[]){9, 4}, NULL)};
    (void)state;
    a.inputs = &narrow, b.inputs = &wide, c.inputs = &more;
    a.input_count = b.input_count = c.input_count = 1;
    c.rows = 9;
    assert_int_equal(norn_queue_put(queue, &a, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &b, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &c, &over), NORN_OK);
    assert_ptr_equal(norn_queue_take(queue, &over), &a);
    assert_ptr_equal(a.next, &c); // past the one that cannot join
    assert_null(c.next);
    assert_ptr_equal(norn_queue_take(queue, &over), &b);
    assert_null(b.next);
    norn_queue_destroy(queue);
}

static int64_t length_of(const norn_request *batch) {
    int64_t count = 0;
    for (; batch; batch = batch->next) count++;
    return count;
}

static void many_waiting_requests_are_few_batches(void **state) {
    enum { REQUESTS = 1500 };
    static norn_request requests[REQUESTS];
    norn_queue *queue = make(1 << 20, 0, REQUESTS);
    norn_request *over;
    (void)state;
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = request(i % 3, 1); // some are empty
        assert_int_equal(norn_queue_put(queue, &requests[i], &over), NORN_OK);
    }
    assert_int_equal(length_of(norn_queue_take(queue, &over)), NORN_BATCH_REQUESTS_MAX);
    assert_int_equal(length_of(norn_queue_take(queue, &over)), REQUESTS - NORN_BATCH_REQUESTS_MAX);
    assert_int_equal(norn_queue_pending(queue), 0);
    norn_queue_destroy(queue);
}

/// Takes what is first in the queue and says that it ran for `ns`.
static norn_request *run_next(norn_queue *queue, int64_t ns) {
    norn_request *over, *batch = norn_queue_take(queue, &over);
    norn_queue_ran(queue, ns);
    return batch;
}

static void a_request_that_would_wait_too_long_is_refused_at_once(void **state) {
    const norn_queue_options options = {1, 0, 100, .max_wait_ns = 1000000000, .takers = 1};
    norn_queue *queue;
    norn_request first = request(1, 0), at[12], *over;
    (void)state;
    assert_int_equal(norn_queue_create(&options, norn_alloc_heap(), &queue), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &first, &over), NORN_OK);
    assert_ptr_equal(run_next(queue, 100000000), &first); // 100 ms: ten fit into a second
    for (int i = 0; i < 12; i++) {
        at[i] = request(1, 0);
        assert_int_equal(norn_queue_put(queue, &at[i], &over),
                         i < 11 ? NORN_OK : NORN_RESOURCE_EXHAUSTED);
    }
    assert_in_range(at[11].retry_ns, 1, 200000000);
    assert_ptr_equal(run_next(queue, 100000000), &at[0]); // room again
    assert_int_equal(norn_queue_put(queue, &at[11], &over), NORN_OK);
    for (int i = 1; i < 12; i++) assert_ptr_equal(run_next(queue, 100000000), &at[i]);
    norn_queue_destroy(queue);
}

static void a_few_requests_may_wait_however_slow_the_model_is(void **state) {
    const norn_queue_options options = {1, 0, 100, .max_wait_ns = 1000000000, .takers = 1};
    norn_queue *queue;
    norn_request first = request(1, 0), at[5], *over;
    (void)state;
    assert_int_equal(norn_queue_create(&options, norn_alloc_heap(), &queue), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &first, &over), NORN_OK);
    assert_ptr_equal(run_next(queue, 60000000000), &first); // a minute
    for (int i = 0; i < 5; i++) {
        at[i] = request(1, 0);
        at[i].times.arrival_ns -= 100000000000; // they have waited longer than the bound
        assert_int_equal(norn_queue_put(queue, &at[i], &over),
                         i < 4 ? NORN_OK : NORN_RESOURCE_EXHAUSTED);
    }
    for (int i = 0; i < 4; i++) assert_ptr_equal(run_next(queue, 60000000000), &at[i]);
    norn_queue_destroy(queue);
}

static void what_waited_past_the_bound_is_not_run(void **state) {
    const norn_queue_options options = {8, 0, 100, .max_wait_ns = 1000000000, .takers = 1};
    norn_queue *queue;
    norn_request stale = request(1, 7), fresh = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_queue_create(&options, norn_alloc_heap(), &queue), NORN_OK);
    stale.times.arrival_ns -= 2000000000;
    assert_int_equal(norn_queue_put(queue, &stale, &over), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &fresh, &over), NORN_OK);
    assert_ptr_equal(norn_queue_take(queue, &over), &fresh);
    assert_ptr_equal(over, &stale);
    assert_int_equal(stale.status, NORN_RESOURCE_EXHAUSTED);
    norn_queue_destroy(queue);
}

static void clients_that_leave_teach_how_long_a_wait_may_be(void **state) {
    enum { GONE = 8 };
    const norn_queue_options options = {1, 0, 100, .max_wait_ns = 60000000000, .takers = 1};
    norn_queue *queue;
    norn_request first = request(1, 0), gone[GONE], at[8], *over;
    int let_in = 0;
    (void)state;
    assert_int_equal(norn_queue_create(&options, norn_alloc_heap(), &queue), NORN_OK);
    assert_int_equal(norn_queue_put(queue, &first, &over), NORN_OK);
    assert_ptr_equal(run_next(queue, 100000000), &first);
    for (int i = 0; i < GONE; i++) { // a second old, and nobody waits any more
        gone[i] = request(1, 0);
        gone[i].times.arrival_ns -= 1000000000;
        assert_int_equal(norn_queue_put(queue, &gone[i], &over), NORN_OK);
    }
    for (int i = 0; i < GONE; i++) norn_request_cancel(&gone[i]);
    assert_null(norn_queue_take(queue, &over));
    assert_int_equal(length_of(over), GONE);
    for (int i = 0; i < 8; i++) { // half a second: five batches of 100 ms
        at[i] = request(1, 0);
        let_in += norn_queue_put(queue, &at[i], &over) == NORN_OK;
    }
    assert_int_equal(let_in, 6);
    for (int i = 0; i < let_in; i++) assert_ptr_equal(run_next(queue, 100000000), &at[i]);
    norn_queue_destroy(queue);
}

/// A request whose deadline, `age_ns` after it came, has passed.
static void leave(norn_queue *queue, int64_t age_ns) {
    norn_request gone = request(1, 0), *over;
    gone.times.arrival_ns -= 60000000000;
    gone.deadline_ns = gone.times.arrival_ns + age_ns;
    assert_int_equal(norn_queue_put(queue, &gone, &over), NORN_OK);
    assert_null(norn_queue_take(queue, &over));
    assert_ptr_equal(over, &gone);
}

/// A batch of `count` whose clients wait for it.
static void stay(norn_queue *queue, int count, int64_t run_ns) {
    norn_request good[16], *over;
    for (int i = 0; i < count; i++) {
        good[i] = request(1, 7);
        assert_int_equal(norn_queue_put(queue, &good[i], &over), NORN_OK);
    }
    assert_int_equal(length_of(run_next(queue, run_ns)), count);
}

/// How many of 20 batches are let in: all, while nothing was learned from clients.
static int let_in(norn_queue *queue) {
    norn_request at[20], *over;
    int count = 0;
    for (int i = 0; i < 20; i++) {
        at[i] = request(1, 0);
        count += norn_queue_put(queue, &at[i], &over) == NORN_OK;
    }
    for (int i = 0; i < count; i++) assert_ptr_equal(run_next(queue, 100000000), &at[i]);
    return count;
}

/// Its batches have taken `run_ns`.
static norn_queue *make_patient(int64_t run_ns) {
    const norn_queue_options options = {64, 0, 100, .max_wait_ns = 60000000000, .takers = 1};
    norn_queue *queue;
    assert_int_equal(norn_queue_create(&options, norn_alloc_heap(), &queue), NORN_OK);
    stay(queue, 1, run_ns);
    return queue;
}

/// The share, of 1024, moves by a sixteenth: 0, 64, 124 by two that leave. Each that stays takes its
/// part off: nine leave 73 and ten 69, and one more that leaves makes 132 or 128. More than an eighth
/// is many.
static void clients_that_stay_weigh_against_those_that_leave(void **state) {
    static const struct {
        int first;   // of four that leave
        int stay[4]; // before each of them
        bool many;
    } cases[] = {{1, {0, 0, 0, 0}, true},   {1, {0, 0, 0, 8}, true},   {1, {0, 0, 0, 9}, true},
                 {1, {0, 0, 0, 10}, false}, {1, {0, 0, 0, 11}, false}, {1, {0, 0, 10, 0}, true},
                 {1, {0, 0, 1, 9}, true},   {1, {0, 9, 0, 0}, true},   {0, {0, 79, 8, 8}, false}};
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        norn_queue *queue = make_patient(100000000);
        for (int i = cases[c].first; i < 4; i++) {
            for (int left = cases[c].stay[i]; left > 0; left -= 16)
                stay(queue, left < 16 ? left : 16, 100000000);
            leave(queue, 1000000000);
        }
        assert_int_equal(let_in(queue), cases[c].many ? 6 : 20); // half of a second, or a minute
        norn_queue_destroy(queue);
    }
}

static void what_a_client_waits_for_is_averaged_and_a_short_wait_says_nothing(void **state) {
    (void)state;
    norn_queue *queue = make_patient(100000000);
    for (int i = 0; i < 5; i++) leave(queue, 99999999); // no tenth of a second
    assert_int_equal(let_in(queue), 20);
    for (int i = 0; i < 3; i++) leave(queue, 1000000000);
    assert_int_equal(let_in(queue), 6);
    leave(queue, 9000000000); // 1 s and an eighth of what is over it: 2 s, half of them is let in
    assert_int_equal(let_in(queue), 11);
    leave(queue, 1200000000); // 1.9 s
    assert_int_equal(let_in(queue), 10);
    norn_queue_destroy(queue);
    queue = make_patient(100000000);
    for (int i = 0; i < 3; i++) leave(queue, 100000000); // half of it: as short as a bound gets
    assert_int_equal(let_in(queue), 1);
    norn_queue_destroy(queue);
    queue = make_patient(10000000);
    for (int i = 0; i < 3; i++) leave(queue, 140000000);
    assert_int_equal(let_in(queue), 8); // 70 ms
    norn_queue_destroy(queue);
}

static void a_group_outlives_any_of_its_requests(void **state) {
    (void)state;
    for (int lost = 0; lost < 8; lost++) { // each subset of three
        norn_queue *queue = make(8, 0, 16);
        norn_request at[3], last = request(1, 7), *over;
        for (int i = 0; i < 3; i++) {
            at[i] = request(2, 7);
            assert_int_equal(norn_queue_put(queue, &at[i], &over), NORN_OK);
        }
        for (int i = 0; i < 3; i++)
            if (lost >> i & 1) norn_request_cancel(&at[i]);
        assert_int_equal(norn_queue_put(queue, &last, &over), NORN_OK);
        norn_request *batch = norn_queue_take(queue, &over);
        int64_t rows = 0;
        for (norn_request *request = batch; request; request = request->next) rows += request->rows;
        assert_int_equal(rows + 2 * length_of(over), 7);
        assert_int_equal(length_of(over), (lost & 1) + (lost >> 1 & 1) + (lost >> 2 & 1));
        assert_int_equal(norn_queue_pending(queue), 0);
        norn_queue_destroy(queue);
    }
}

static void the_oldest_waits_for_company_no_longer_than_the_delay(void **state) {
    norn_queue *queue = make(8, 20000000, 16);
    norn_request a = request(1, 7), *over;
    (void)state;
    assert_int_equal(norn_queue_put(queue, &a, &over), NORN_OK);
    assert_ptr_equal(norn_queue_take(queue, &over), &a);
    assert_true(norn_clock_now_ns() - a.times.arrival_ns >= 20000000);
    norn_queue_destroy(queue);
}

static void *take_until_stopped(void *context) {
    norn_request *over;
    int64_t rows = 0;
    for (;;) {
        norn_request *batch = norn_queue_take(context, &over);
        if (!batch && !over) return (void *)(intptr_t)rows;
        for (; batch; batch = batch->next) rows += batch->rows;
    }
}

static void stopping_drains_the_queue_and_lets_every_taker_go(void **state) {
    enum { TAKERS = 3, REQUESTS = 500 };
    static norn_request requests[REQUESTS];
    norn_queue *queue = make(4, 0, REQUESTS);
    pthread_t takers[TAKERS];
    norn_request extra = request(1, 1), *over;
    int64_t rows = 0;
    (void)state;
    for (int i = 0; i < TAKERS; i++)
        assert_int_equal(pthread_create(&takers[i], NULL, take_until_stopped, queue), 0);
    for (int i = 0; i < REQUESTS; i++) {
        requests[i] = request(1, 1);
        assert_int_equal(norn_queue_put(queue, &requests[i], &over), NORN_OK);
    }
    norn_queue_stop(queue);
    for (int i = 0; i < TAKERS; i++) {
        void *taken;
        assert_int_equal(pthread_join(takers[i], &taken), 0);
        rows += (intptr_t)taken;
    }
    assert_int_equal(rows, REQUESTS);
    assert_int_equal(norn_queue_put(queue, &extra, &over), NORN_UNAVAILABLE);
    norn_queue_destroy(queue);
}

static void without_memory_there_is_none_and_nothing_is_left(void **state) {
    norn_queue *made;
    (void)state;
    NORN_MEMORY_SWEEP(norn_queue_create(&(norn_queue_options){.max_rows = 1}, alloc, &made), made,
                      norn_queue_destroy(made));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_cut_in_order_of_arrival_up_to_the_largest),
        cmocka_unit_test(requests_of_other_shapes_and_lone_ones_are_not_joined),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_what_it_has),
        cmocka_unit_test(a_request_past_its_deadline_comes_out_as_over),
        cmocka_unit_test(the_group_that_one_would_join_may_be_over),
        cmocka_unit_test(a_cancelled_request_is_not_run_and_ends_as_cancelled),
        cmocka_unit_test(requests_whose_hashes_meet_are_joined_only_if_their_dims_are_equal),
        cmocka_unit_test(many_waiting_requests_are_few_batches),
        cmocka_unit_test(a_request_that_would_wait_too_long_is_refused_at_once),
        cmocka_unit_test(a_few_requests_may_wait_however_slow_the_model_is),
        cmocka_unit_test(what_waited_past_the_bound_is_not_run),
        cmocka_unit_test(clients_that_leave_teach_how_long_a_wait_may_be),
        cmocka_unit_test(clients_that_stay_weigh_against_those_that_leave),
        cmocka_unit_test(what_a_client_waits_for_is_averaged_and_a_short_wait_says_nothing),
        cmocka_unit_test(a_group_outlives_any_of_its_requests),
        cmocka_unit_test(the_oldest_waits_for_company_no_longer_than_the_delay),
        cmocka_unit_test(stopping_drains_the_queue_and_lets_every_taker_go),
        cmocka_unit_test(without_memory_there_is_none_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
