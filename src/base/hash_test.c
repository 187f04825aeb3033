#include "base/clock.h"
#include "base/cmocka_all.h"
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// A plan written today is read in years: the function must never change.
static void the_hash_of_known_bytes_is_what_it_was(void **state) {
    (void)state;
    unsigned char bytes[300];
    for (int i = 0; i < 300; i++) bytes[i] = (unsigned char)(i * 7);
    assert_int_equal(norn_hash_bytes(bytes, 0, 0), UINT64_C(0xb55a8fa067537a73));
    assert_int_equal(norn_hash_bytes(bytes, 5, 0), UINT64_C(0x7b28612ff259984a));
    assert_int_equal(norn_hash_bytes(bytes, 64, 0), UINT64_C(0x7cff84da3fd8b10));
    assert_int_equal(norn_hash_bytes(bytes, 300, 1), UINT64_C(0x17aedae84b7f9025));
}

static int bits_apart(uint64_t a, uint64_t b) {
    return __builtin_popcountll(a ^ b);
}

static void one_flipped_bit_changes_about_half_of_the_hash(void **state) {
    (void)state;
    const size_t counts[] = {1, 7, 8, 9, 63, 64, 65, 127, 128, 200};
    unsigned char bytes[200];
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        long total = 0;
        memset(bytes, 0, sizeof bytes);
        uint64_t plain = norn_hash_bytes(bytes, counts[c], 0);
        for (size_t bit = 0; bit < counts[c] * 8; bit++) {
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
            int apart = bits_apart(plain, norn_hash_bytes(bytes, counts[c], 0));
            assert_in_range(apart, 8, 56);
            total += apart;
            bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        assert_in_range(total / (long)(counts[c] * 8), 28, 36);
    }
}

static void length_and_seed_matter(void **state) {
    (void)state;
    static const unsigned char zeros[512];
    uint64_t seen[512];
    for (size_t count = 0; count < 512; count++) {
        seen[count] = norn_hash_bytes(zeros, count, 0);
        for (size_t i = 0; i < count; i++) assert_int_not_equal(seen[i], seen[count]);
        assert_int_not_equal(seen[count], norn_hash_bytes(zeros, count, 1));
    }
}

static void swapped_words_change_the_hash(void **state) {
    (void)state;
    uint64_t words[40];
    for (uint64_t i = 0; i < 40; i++) words[i] = i;
    uint64_t plain = norn_hash_bytes(words, sizeof words, 0);
    for (int i = 0; i < 40; i++) {
        for (int j = 0; j < i; j++) {
            uint64_t kept = words[i];
            words[i] = words[j], words[j] = kept;
            assert_int_not_equal(norn_hash_bytes(words, sizeof words, 0), plain);
            kept = words[i], words[i] = words[j], words[j] = kept;
        }
    }
}

static void alignment_does_not_matter(void **state) {
    (void)state;
    unsigned char bytes[208];
    uint64_t plain = 0;
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t i = 0; i < 200; i++) bytes[shift + i] = (unsigned char)i;
        uint64_t hash = norn_hash_bytes(bytes + shift, 200, 3);
        if (shift > 0) assert_int_equal(hash, plain);
        plain = hash;
    }
}

static void random_units_are_uniform_and_seeded(void **state) {
    (void)state;
    norn_random a, b, c;
    norn_random_init(&a, 42);
    norn_random_init(&b, 42);
    norn_random_init(&c, 43);
    int buckets[10] = {0}, same = 0;
    for (int i = 0; i < 100000; i++) {
        double value = norn_random_unit(&a);
        assert_true(value >= 0 && value < 1);
        buckets[(int)(value * 10)]++;
        assert_true(value == norn_random_unit(&b));
        same += value == norn_random_unit(&c);
    }
    assert_int_equal(same, 0);
    for (int i = 0; i < 10; i++) assert_in_range(buckets[i], 9500, 10500);
}

static void speed_is_printed(void **state) {
    (void)state;
    size_t count = (size_t)64 << 20;
    void *bytes = malloc(count);
    assert_non_null(bytes);
    memset(bytes, 1, count);
    int64_t best = INT64_MAX;
    uint64_t hash = 0;
    for (int i = 0; i < 3; i++) {
        int64_t begin = norn_clock_now_ns();
        hash ^= norn_hash_bytes(bytes, count, 0);
        int64_t took = norn_clock_now_ns() - begin;
        if (took < best) best = took;
    }
    print_message("%.1f GB/s (%llx)\n", (double)count / (double)best, (unsigned long long)hash);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_of_known_bytes_is_what_it_was),
        cmocka_unit_test(one_flipped_bit_changes_about_half_of_the_hash),
        cmocka_unit_test(length_and_seed_matter),
        cmocka_unit_test(swapped_words_change_the_hash),
        cmocka_unit_test(alignment_does_not_matter),
        cmocka_unit_test(random_units_are_uniform_and_seeded),
        cmocka_unit_test(speed_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
