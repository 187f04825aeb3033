#include "base/cmocka_all.h"
#include "base/memory.h"
#include "serve/io/inflate.h"

#include <string.h>

enum { PLAIN = 300000 };

typedef struct fixture {
    unsigned char plain[PLAIN];
    norn_buffer packed, out;
} fixture;

static int setup(void **state) {
    fixture *f;
    if (!norn_inflate_knows("gzip")) return 0; // built without zlib
    if (NORN_NEW(norn_alloc_heap(), &f) != NORN_OK) return -1;
    for (size_t i = 0; i < PLAIN; i++) f->plain[i] = (unsigned char)(i * i >> 7);
    norn_buffer_init(&f->packed, norn_alloc_heap());
    norn_buffer_init(&f->out, norn_alloc_heap());
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    if (!f) return 0;
    norn_buffer_deinit(&f->packed);
    norn_buffer_deinit(&f->out);
    norn_free(norn_alloc_heap(), f);
    return 0;
}

static fixture *packed(void **state, bool gzip) {
    fixture *f = *state;
    if (!f) skip();
    assert_int_equal(norn_deflate(norn_span_of(f->plain, PLAIN), gzip, &f->packed), NORN_OK);
    return f;
}

static void gzip_and_deflate_come_back_as_they_were(void **state) {
    for (int gzip = 0; gzip < 2; gzip++) {
        fixture *f = packed(state, gzip != 0);
        assert_int_equal(
            norn_inflate(norn_span_of(f->packed.bytes, f->packed.count), PLAIN, &f->out), NORN_OK);
        assert_int_equal(f->out.count, PLAIN);
        assert_memory_equal(f->out.bytes, f->plain, PLAIN);
        (void)teardown(state);
        assert_int_equal(setup(state), 0);
    }
}

static void a_body_that_grows_over_the_limit_is_refused(void **state) {
    fixture *f = packed(state, true);
    assert_int_equal(
        norn_inflate(norn_span_of(f->packed.bytes, f->packed.count), PLAIN - 1, &f->out),
        NORN_RESOURCE_EXHAUSTED);
    assert_true(f->out.count < PLAIN);
}

static void a_cut_or_damaged_body_is_refused_at_every_length(void **state) {
    fixture *f = packed(state, true);
    for (size_t count = 0; count < f->packed.count; count += 1 + f->packed.count / 100) {
        f->out.count = 0;
        assert_int_equal(norn_inflate(norn_span_of(f->packed.bytes, count), PLAIN, &f->out),
                         NORN_INVALID_ARGUMENT);
    }
    f->packed.bytes[f->packed.count - 5] ^= 1; // of the checksum
    f->out.count = 0;
    assert_int_equal(norn_inflate(norn_span_of(f->packed.bytes, f->packed.count), PLAIN, &f->out),
                     NORN_INVALID_ARGUMENT);
}

static void room_is_taken_from_the_budget_as_the_body_grows(void **state) {
    fixture *f = packed(state, true);
    const norn_span span = norn_span_of(f->packed.bytes, f->packed.count);
    norn_budget budget;
    int64_t held_bytes = 0;
    norn_budget_init(&budget, 4 << 20);
    assert_int_equal(norn_inflate_within(span, PLAIN, &budget, &held_bytes, &f->out), NORN_OK);
    assert_int_equal(f->out.count, PLAIN);
    assert_int_equal(held_bytes, f->out.capacity);
    assert_int_equal(budget.held_bytes, held_bytes);
    assert_in_range(budget.peak_bytes, held_bytes + held_bytes / 2, 2 * held_bytes);
    norn_budget_give(&budget, held_bytes);

    norn_buffer_deinit(&f->out);
    held_bytes = 0;
    norn_budget_init(&budget, 400000); // 300000 fit, but not while the buffer grows
    assert_int_equal(norn_inflate_within(span, PLAIN, &budget, &held_bytes, &f->out),
                     NORN_UNAVAILABLE);
    assert_int_equal(held_bytes, f->out.capacity);
    assert_int_equal(budget.held_bytes, held_bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gzip_and_deflate_come_back_as_they_were, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_that_grows_over_the_limit_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_cut_or_damaged_body_is_refused_at_every_length, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(room_is_taken_from_the_budget_as_the_body_grows, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
