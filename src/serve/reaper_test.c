#include "serve/reaper.h"

#include "testing/memory_sweep.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

typedef struct thing {
    norn_reaped reaped;
    int number;
} thing;

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER; ///< held: nothing can be taken apart
static atomic_int destroyed;
static int order[8];
static pthread_t destroyer;

static void destroy_thing(norn_reaped *self) {
    thing *what = (thing *)self;
    pthread_mutex_lock(&gate);
    destroyer = pthread_self();
    order[atomic_fetch_add(&destroyed, 1)] = what->number;
    pthread_mutex_unlock(&gate);
    free(what);
}

static void put(norn_reaper *reaper, int number) {
    thing *what = calloc(1, sizeof *what);
    assert_non_null(what);
    what->number = number;
    norn_reaper_expect(reaper);
    norn_reaper_put(reaper, &what->reaped, destroy_thing);
}

static void sleep_ms(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static void things_are_destroyed_in_order_on_another_thread(void **state) {
    (void)state;
    norn_reaper *reaper;
    atomic_store(&destroyed, 0);
    assert_int_equal(norn_reaper_create(norn_alloc_heap(), &reaper), NORN_OK);
    for (int i = 0; i < 5; i++) put(reaper, i);
    norn_reaper_destroy(reaper, 60000);
    assert_int_equal(destroyed, 5);
    for (int i = 0; i < 5; i++) assert_int_equal(order[i], i);
    assert_false(pthread_equal(destroyer, pthread_self()));
}

static void putting_never_waits_and_what_waits_is_counted(void **state) {
    (void)state;
    norn_reaper *reaper;
    atomic_store(&destroyed, 0);
    assert_int_equal(norn_reaper_create(norn_alloc_heap(), &reaper), NORN_OK);
    assert_int_equal(norn_reaper_stat_of(reaper).waiting, 0);
    assert_int_equal(norn_reaper_stat_of(reaper).oldest_ns, 0);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 3; i++) put(reaper, i);
    sleep_ms(20);
    norn_reaper_stat stat = norn_reaper_stat_of(reaper);
    assert_int_equal(stat.waiting, 3);
    assert_true(stat.oldest_ns >= 15000000);
    assert_int_equal(stat.done, 0);
    assert_int_equal(destroyed, 0);
    pthread_mutex_unlock(&gate);
    norn_reaper_destroy(reaper, 60000);
    assert_int_equal(destroyed, 3);
}

static norn_reaper *late_reaper;

static void *put_late(void *context) {
    sleep_ms(50);
    norn_reaper_put(late_reaper, context, destroy_thing);
    return NULL;
}

static void destroying_waits_for_what_is_still_in_use(void **state) {
    (void)state;
    pthread_t thread;
    thing *what = calloc(1, sizeof *what);
    assert_non_null(what);
    atomic_store(&destroyed, 0);
    assert_int_equal(norn_reaper_create(norn_alloc_heap(), &late_reaper), NORN_OK);
    norn_reaper_expect(late_reaper);
    assert_int_equal(pthread_create(&thread, NULL, put_late, what), 0);
    norn_reaper_destroy(late_reaper, 60000);
    assert_int_equal(destroyed, 1);
    pthread_join(thread, NULL);
}

static void creating_out_of_memory_leaks_nothing(void **state) {
    (void)state;
    norn_reaper *reaper;
    NORN_MEMORY_SWEEP(norn_reaper_create(alloc, &reaper), reaper,
                      norn_reaper_destroy(reaper, 60000));
    norn_reaper_destroy(NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(things_are_destroyed_in_order_on_another_thread),
        cmocka_unit_test(putting_never_waits_and_what_waits_is_counted),
        cmocka_unit_test(destroying_waits_for_what_is_still_in_use),
        cmocka_unit_test(creating_out_of_memory_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
