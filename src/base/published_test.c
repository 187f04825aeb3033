#include "base/published.h"

#include "base/cmocka_all.h"
#include "base/memory.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

enum { READERS = 4, ROUNDS = 300 };

/// Two numbers that agree as long as it is alive.
typedef struct pair {
    int64_t one, other;
} pair;

typedef struct shared {
    norn_published published;
    _Atomic bool stop;
    _Atomic int64_t reads, newest;
} shared;

static pair *make_pair(int64_t number) {
    pair *made;
    assert_int_equal(NORN_NEW(norn_alloc_heap(), &made), NORN_OK);
    *made = (pair){number, -number};
    return made;
}

static void *read_on(void *context) {
    shared *s = context;
    int64_t last = 0, reads = 0;
    while (!atomic_load(&s->stop) || reads == 0) {
        norn_published_reader reader;
        const int64_t newest = atomic_load(&s->newest);
        const pair *seen = norn_published_enter(&s->published, &reader);
        assert_int_equal(seen->one, -seen->other);
        assert_true(seen->one >= last && seen->one >= newest);
        last = seen->one;
        norn_published_leave(&reader);
        reads++;
    }
    atomic_fetch_add(&s->reads, reads);
    return NULL;
}

/// What is replaced is destroyed at once: readers must never have it in hand then.
static void readers_see_only_what_is_alive(void **state) {
    static shared s;
    pthread_t threads[READERS];
    (void)state;
    norn_published_init(&s.published, make_pair(1));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &s), 0);
    for (int64_t number = 2; number < ROUNDS; number++) {
        pair *before = norn_published_put(&s.published, make_pair(number));
        atomic_store(&s.newest, number);
        assert_int_equal(before->one, number - 1);
        *before = (pair){1, 1};
        norn_free(norn_alloc_heap(), before);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    assert_true(s.reads >= READERS);
    norn_free(norn_alloc_heap(), norn_published_put(&s.published, NULL));
}

typedef struct held {
    norn_published published;
    _Atomic bool replaced;
} held;

static void *replace(void *context) {
    held *h = context;
    assert_ptr_equal(norn_published_put(&h->published, NULL), h);
    atomic_store(&h->replaced, true);
    return NULL;
}

static void a_writer_waits_for_readers_of_the_old(void **state) {
    static held h;
    norn_published_reader reader, later;
    pthread_t thread;
    (void)state;
    norn_published_init(&h.published, &h);
    assert_ptr_equal(norn_published_enter(&h.published, &reader), &h);
    assert_int_equal(pthread_create(&thread, NULL, replace, &h), 0);
    while (norn_published_enter(&h.published, &later) != NULL) norn_published_leave(&later);
    norn_published_leave(&later);
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_false(atomic_load(&h.replaced));
    norn_published_leave(&reader);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&h.replaced));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_only_what_is_alive),
        cmocka_unit_test(a_writer_waits_for_readers_of_the_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
