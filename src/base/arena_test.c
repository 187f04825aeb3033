#include "base/arena.h"
#include "base/poison.h"
#include "testing/memory_sweep.h"

#include <string.h>

static void arena_aligns_at_every_offset_of_a_block(void **state) {
    (void)state;
    for (size_t offset = 1; offset < 200; offset++) {
        for (size_t align = 1; align <= NORN_HOST_ALIGN; align *= 2) {
            norn_arena arena;
            void *skip, *memory;
            norn_arena_init(&arena, norn_alloc_heap(), 512);
            assert_int_equal(norn_arena_take(&arena, offset, 1, 1, &skip), NORN_OK);
            assert_int_equal(norn_arena_take(&arena, 3, 7, align, &memory), NORN_OK);
            assert_int_equal((uintptr_t)memory % align, 0);
            assert_true((char *)memory >= (char *)skip + offset ||
                        (char *)memory + 21 <= (char *)skip);
            norn_arena_deinit(&arena);
        }
    }
}

static void memory_is_zeroed_also_after_a_reset(void **state) {
    (void)state;
    norn_arena arena;
    norn_arena_init(&arena, norn_alloc_heap(), 256);
    for (int round = 0; round < 3; round++) {
        for (size_t count = 1; count < 600; count += 37) {
            unsigned char *bytes;
            assert_int_equal(NORN_TAKE_ARRAY(&arena, count, &bytes), NORN_OK);
            for (size_t i = 0; i < count; i++) assert_int_equal(bytes[i], 0);
            memset(bytes, 0xff, count);
        }
        norn_arena_reset(&arena);
    }
    norn_arena_deinit(&arena);
}

static void reset_keeps_the_largest_block_so_a_second_round_allocates_nothing(void **state) {
    (void)state;
    norn_alloc_faulty faulty = {.fail_at = SIZE_MAX};
    norn_arena arena;
    void *memory;
    norn_arena_init(&arena, norn_alloc_failing(&faulty), 64);
    assert_int_equal(faulty.count, 0);
    assert_int_equal(norn_arena_take(&arena, 10, 1, 1, &memory), NORN_OK);
    assert_int_equal(norn_arena_take(&arena, 5000, 1, 1, &memory), NORN_OK);
    assert_int_equal(norn_arena_take(&arena, 100, 1, 1, &memory), NORN_OK);
    norn_arena_reset(&arena);
    assert_int_equal(faulty.live, 1);
    size_t before = faulty.count;
    assert_int_equal(norn_arena_take(&arena, 5000, 1, 1, &memory), NORN_OK);
    assert_int_equal(faulty.count, before);
    norn_arena_deinit(&arena);
    assert_int_equal(faulty.live, 0);
}

static void a_large_single_does_not_throw_away_the_room_left_in_the_block(void **state) {
    (void)state;
    norn_arena arena;
    char *first, *large, *second;
    norn_arena_init(&arena, norn_alloc_heap(), 1024);
    assert_int_equal(norn_arena_take(&arena, 16, 1, 16, (void **)&first), NORN_OK);
    assert_int_equal(norn_arena_take(&arena, 4096, 1, 16, (void **)&large), NORN_OK);
    assert_int_equal(norn_arena_take(&arena, 16, 1, 16, (void **)&second), NORN_OK);
    assert_ptr_equal(second, first + 16 + NORN_RED_BYTES);
    norn_arena_deinit(&arena);
}

static void an_overflowing_size_is_refused(void **state) {
    (void)state;
    norn_arena arena;
    void *memory = &arena;
    norn_arena_init(&arena, norn_alloc_heap(), 0);
    assert_int_equal(norn_arena_take(&arena, SIZE_MAX / 2, 3, 8, &memory), NORN_RESOURCE_EXHAUSTED);
    assert_null(memory);
    assert_int_equal(norn_arena_take(&arena, SIZE_MAX, 1, 8, &memory), NORN_RESOURCE_EXHAUSTED);
    assert_int_equal(norn_arena_take(&arena, SIZE_MAX - 64, 1, 64, &memory),
                     NORN_RESOURCE_EXHAUSTED);
    const char *text;
    assert_int_equal(norn_arena_string(&arena, "x", SIZE_MAX, &text), NORN_RESOURCE_EXHAUSTED);
    assert_int_equal(norn_arena_take(&arena, 1, 1, 3, &memory), NORN_INTERNAL);
    norn_arena_deinit(&arena);
}

static void strings_are_copied_and_terminated(void **state) {
    (void)state;
    norn_arena arena;
    const char *text, *empty, *formatted;
    norn_arena_init(&arena, norn_alloc_heap(), 128);
    assert_int_equal(norn_arena_string(&arena, "abcdef", 3, &text), NORN_OK);
    assert_int_equal(norn_arena_string(&arena, NULL, 0, &empty), NORN_OK);
    assert_int_equal(norn_arena_format(&arena, &formatted, "%s/%0300d", text, 7), NORN_OK);
    assert_string_equal(text, "abc");
    assert_string_equal(empty, "");
    assert_int_equal(strlen(formatted), 304);
    assert_memory_equal(formatted, "abc/000", 7);
    assert_int_equal(formatted[303], '7');
    norn_arena_deinit(&arena);
}

static void a_failed_allocation_leaves_the_arena_usable(void **state) {
    (void)state;
    norn_alloc_faulty faulty = {.fail_at = 1};
    norn_arena arena;
    void *memory;
    norn_arena_init(&arena, norn_alloc_failing(&faulty), 64 + NORN_RED_BYTES);
    assert_int_equal(norn_arena_take(&arena, 60, 1, 1, &memory), NORN_OK);
    assert_int_equal(norn_arena_take(&arena, 60 + NORN_RED_BYTES, 1, 1, &memory),
                     NORN_RESOURCE_EXHAUSTED);
    assert_null(memory);
    assert_int_equal(norn_arena_take(&arena, 4, 1, 1, &memory), NORN_OK);
    norn_arena_deinit(&arena);
    assert_int_equal(faulty.live, 0);
}

static void an_arena_says_what_it_took(void **state) {
    norn_arena arena;
    void *at;
    (void)state;
    norn_arena_init(&arena, norn_alloc_heap(), 1024);
    assert_int_equal(norn_arena_bytes(&arena), 0);
    assert_int_equal(norn_arena_take(&arena, 10, 1, 1, &at), NORN_OK);
    assert_in_range(norn_arena_bytes(&arena), 1024, 2048);
    assert_int_equal(norn_arena_take(&arena, 100000, 1, 1, &at), NORN_OK);
    assert_in_range(norn_arena_bytes(&arena), 101024, 104000);
    norn_arena_deinit(&arena);
    assert_int_equal(norn_arena_bytes(&arena), 0);
}

/// Says something under the address sanitizer only; elsewhere nothing is ever poisoned.
static void only_what_was_handed_out_can_be_touched(void **state) {
    (void)state;
    norn_arena arena;
    char *first, *second;
    norn_arena_init(&arena, norn_alloc_heap(), 1024);
    assert_int_equal(norn_arena_take(&arena, 13, 1, 16, (void **)&first), NORN_OK);
    assert_int_equal(norn_arena_take(&arena, 7, 1, 16, (void **)&second), NORN_OK);
    for (int i = 0; i < 13; i++) assert_false(norn_is_poisoned(first + i));
    for (int i = 0; i < 7; i++) assert_false(norn_is_poisoned(second + i));
    assert_int_equal(!!norn_is_poisoned(first - 1), NORN_POISONS);
    assert_int_equal(!!norn_is_poisoned(first + 13), NORN_POISONS);
    assert_int_equal(!!norn_is_poisoned(second - 1), NORN_POISONS);
    assert_int_equal(!!norn_is_poisoned(second + 7), NORN_POISONS);
    norn_arena_reset(&arena);
    assert_int_equal(!!norn_is_poisoned(first), NORN_POISONS);
    norn_arena_deinit(&arena);
}

static void an_array_grows_in_the_arena(void **state) {
    (void)state;
    norn_arena arena;
    short *items = NULL;
    size_t capacity = 0;
    norn_arena_init(&arena, norn_alloc_heap(), 256);
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(NORN_TAKE_MORE(&arena, &items, i, &capacity), NORN_OK);
        assert_true(capacity > i && (capacity & (capacity - 1)) == 0);
        items[i] = (short)(3 * i);
    }
    assert_int_equal(capacity, 1024);
    for (size_t i = 0; i < 1000; i++) assert_int_equal(items[i], (short)(3 * i));
    norn_arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_grows_in_the_arena),
        cmocka_unit_test(arena_aligns_at_every_offset_of_a_block),
        cmocka_unit_test(memory_is_zeroed_also_after_a_reset),
        cmocka_unit_test(reset_keeps_the_largest_block_so_a_second_round_allocates_nothing),
        cmocka_unit_test(a_large_single_does_not_throw_away_the_room_left_in_the_block),
        cmocka_unit_test(an_overflowing_size_is_refused),
        cmocka_unit_test(strings_are_copied_and_terminated),
        cmocka_unit_test(a_failed_allocation_leaves_the_arena_usable),
        cmocka_unit_test(an_arena_says_what_it_took),
        cmocka_unit_test(only_what_was_handed_out_can_be_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
