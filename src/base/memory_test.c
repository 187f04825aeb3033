#include "base/checked.h"
#include "base/cmocka_all.h"
#include "base/memory.h"
#include "base/span.h"
#include "testing/failing_alloc.h"

static void heap_memory_is_aligned_and_zeroed(void **state) {
    (void)state;
    norn_alloc alloc = norn_alloc_heap();
    for (size_t count = 0; count < 300; count += 7) {
        double *memory;
        assert_int_equal(NORN_NEW_ARRAY(alloc, count, &memory), NORN_OK);
        assert_int_equal((uintptr_t)memory % NORN_HOST_ALIGN, 0);
        for (size_t i = 0; i < count; i++) assert_true(memory[i] == 0);
        norn_free(alloc, memory);
    }
    norn_free(alloc, NULL);
}

static void an_overflowing_count_is_refused_with_a_message(void **state) {
    (void)state;
    double *memory = (double *)1;
    assert_int_equal(NORN_NEW_ARRAY(norn_alloc_heap(), SIZE_MAX / 4, &memory),
                     NORN_RESOURCE_EXHAUSTED);
    assert_null(memory);
    assert_string_not_equal(norn_message(), "");
}

static void the_faulty_allocator_fails_from_its_number_on(void **state) {
    (void)state;
    norn_alloc_faulty faulty = {.fail_at = 2};
    norn_alloc alloc = norn_alloc_failing(&faulty);
    char *a, *b, *c;
    assert_int_equal(norn_alloc_string(alloc, "a", &a), NORN_OK);
    assert_int_equal(norn_alloc_string(alloc, "bc", &b), NORN_OK);
    assert_int_equal(norn_alloc_string(alloc, "c", &c), NORN_RESOURCE_EXHAUSTED);
    assert_null(c);
    assert_string_equal(b, "bc");
    assert_int_equal(faulty.live, 2);
    norn_free(alloc, a);
    norn_free(alloc, b);
    norn_free(alloc, NULL);
    assert_int_equal(faulty.live, 0);
}

static void checked_arithmetic_leaves_its_output_alone_on_overflow(void **state) {
    (void)state;
    size_t size = 5;
    int64_t whole = 5;
    assert_false(norn_size_mul(SIZE_MAX, 2, &size));
    assert_false(norn_size_add(SIZE_MAX, 1, &size));
    assert_int_equal(size, 5);
    assert_true(norn_size_mul(6, 7, &size));
    assert_int_equal(size, 42);
    assert_false(norn_i64_mul(INT64_MIN, -1, &whole));
    assert_false(norn_i64_add(INT64_MAX, 1, &whole));
    assert_int_equal(whole, 5);
    assert_true(norn_i64_add(-7, 2, &whole));
    assert_int_equal(whole, -5);
    assert_int_equal(norn_align_up(65, 64), 128);
    assert_int_equal(norn_align_up(64, 64), 64);
    assert_int_equal(norn_align_up(0, 64), 0);
    assert_int_equal(norn_align_up(SIZE_MAX - 3, 64), SIZE_MAX & ~(size_t)63);
}

static void a_slice_stays_inside_its_span(void **state) {
    (void)state;
    norn_span span = norn_span_text("hello"), part;
    assert_true(norn_span_slice(span, 1, 4, &part));
    assert_true(norn_span_equal(part, "ello"));
    assert_false(norn_span_equal(part, "ell"));
    assert_true(norn_span_slice(span, 5, 0, &part));
    assert_true(norn_span_equal(part, ""));
    assert_false(norn_span_slice(span, 5, 1, &part));
    assert_false(norn_span_slice(span, 6, 0, &part));
    assert_false(norn_span_slice(span, 2, SIZE_MAX, &part));
    assert_true(norn_span_slice(norn_span_of(NULL, 0), 0, 0, &part));
}

static void an_array_grows_with_what_it_has_or_stays_as_it_was(void **state) {
    (void)state;
    enum { MANY = 100 };
    norn_alloc_faulty faulty = {.fail_at = 3};
    norn_alloc alloc = norn_alloc_failing(&faulty);
    int *items = NULL;
    size_t capacity = 0, count = 0;
    while (count < MANY && NORN_MORE(alloc, &items, count, &capacity) == NORN_OK) {
        items[count] = (int)count;
        count++;
    }
    assert_int_equal(count, 64); // three blocks: of 16, 32, 64
    assert_int_equal(capacity, 64);
    assert_int_equal(NORN_MORE(alloc, &items, count, &capacity), NORN_RESOURCE_EXHAUSTED);
    assert_int_equal(capacity, 64);
    assert_int_equal(NORN_MORE(alloc, &items, count - 1, &capacity), NORN_OK); // there is room
    for (size_t i = 0; i < count; i++) assert_int_equal(items[i], (int)i);
    assert_int_equal(faulty.live, 1);
    norn_free(alloc, items);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_memory_is_aligned_and_zeroed),
        cmocka_unit_test(an_overflowing_count_is_refused_with_a_message),
        cmocka_unit_test(the_faulty_allocator_fails_from_its_number_on),
        cmocka_unit_test(checked_arithmetic_leaves_its_output_alone_on_overflow),
        cmocka_unit_test(a_slice_stays_inside_its_span),
        cmocka_unit_test(an_array_grows_with_what_it_has_or_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
