/// A cache over the slow tier is a tier like others; and what it keeps is what it should.
#include "base/hash.h"
#include "store/cache/cache_tier.h"
#include "store/cache/row_cache.h"
#include "testing/slow_tier.h"
#include "testing/tier_cases.h"
#include "testing/tier_fixture.h"

#include <string.h>

/// Rows of the slow tier's tables, some of them at a time.
enum { SMALL = 1200, LARGE = 1 << 20 };

static norn_status create(norn_alloc alloc, size_t bytes, norn_tier **out, norn_tier **below) {
    *out = NULL;
    const norn_status status = norn_slow_tier_create(alloc, below);
    if (status != NORN_OK) return status;
    const norn_status made = norn_cache_tier_create(*below, bytes, alloc, out);
    if (made != NORN_OK) norn_tier_close(*below);
    return made;
}

static norn_status create_small(norn_alloc alloc, norn_tier **out) {
    norn_tier *below;
    return create(alloc, SMALL, out, &below);
}
static norn_status create_large(norn_alloc alloc, norn_tier **out) {
    norn_tier *below;
    return create(alloc, LARGE, out, &below);
}

static norn_tier *tier, *below;
static norn_version *version;

static int open_tier(void **state) {
    (void)state;
    if (create(norn_alloc_heap(), LARGE, &tier, &below) != NORN_OK) return -1;
    return tier->ops->load(tier, 1, norn_tier_version_dir(1), &version) == NORN_OK ? 0 : -1;
}
static int close_tier(void **state) {
    (void)state;
    norn_tier_close(tier);
    return 0;
}

static void test_what_was_fetched_is_not_fetched_again(void **state) {
    norn_pin pin;
    (void)state;
    OK(tier->ops->pin(tier, version, &pin));
    norn_tier_expect(tier, &pin, TIER_HASHED, 4, 0);
    const uint64_t keys = norn_slow_tier_keys(below);
    for (int i = 0; i < 5; i++) norn_tier_expect(tier, &pin, TIER_HASHED, 4, 0);
    assert_int_equal(norn_slow_tier_keys(below), keys);
    norn_tier_expect(tier, &pin, TIER_DENSE, 4, 0); // the same key of another table
    assert_int_equal(norn_slow_tier_keys(below), keys + 1);
    const norn_cache_stat stat = norn_cache_tier_stat(tier);
    assert_int_equal(stat.misses, keys + 1);
    assert_int_equal(stat.hits, 5);
    tier->ops->unpin(tier, &pin);
}

static void test_a_commit_takes_the_place_of_what_is_cached(void **state) {
    norn_pin old, new;
    const int64_t keys[] = {4, 7};
    (void)state;
    OK(tier->ops->pin(tier, version, &old));
    for (int i = 0; i < 2; i++) norn_tier_expect(tier, &old, TIER_HASHED, keys[i], 0);
    OK(norn_tier_write(tier, version, 1, TIER_HASHED, keys, 1, false));
    norn_tier_expect(tier, &old, TIER_HASHED, 4, 0);
    OK(norn_tier_commit(tier, version, 1));
    OK(tier->ops->pin(tier, version, &new));
    const uint64_t fetched = norn_slow_tier_keys(below);
    norn_tier_expect(tier, &new, TIER_HASHED, 4, 1);
    norn_tier_expect(tier, &new, TIER_HASHED, 7, 0);
    assert_int_equal(norn_slow_tier_keys(below), fetched);
    norn_tier_expect(tier, &old, TIER_HASHED, 4, 0); // from below, and not kept
    norn_tier_expect(tier, &new, TIER_HASHED, 4, 1);
    // What an old reader fetches is not what new ones see.
    norn_tier_expect(tier, &old, TIER_HASHED, 10, 0);
    OK(norn_tier_write(tier, version, 2, TIER_HASHED, keys + 1, 1, true));
    OK(norn_tier_commit(tier, version, 2));
    tier->ops->unpin(tier, &new);
    OK(tier->ops->pin(tier, version, &new));
    norn_tier_expect(tier, &new, TIER_HASHED, 7, NORN_TIER_NONE);
    norn_tier_expect(tier, &old, TIER_HASHED, 7, 0);
    norn_tier_expect(tier, &new, TIER_HASHED, 7, NORN_TIER_NONE);
    // What is applied and taken back never was.
    OK(norn_tier_write(tier, version, 3, TIER_HASHED, keys, 1, false));
    tier->ops->abort(tier, version);
    OK(norn_tier_write(tier, version, 3, TIER_HASHED, (int64_t[]){13}, 1, false));
    OK(norn_tier_commit(tier, version, 3));
    tier->ops->unpin(tier, &new);
    OK(tier->ops->pin(tier, version, &new));
    norn_tier_expect(tier, &new, TIER_HASHED, 4, 1);
    norn_tier_expect(tier, &new, TIER_HASHED, 13, 3);
    tier->ops->unpin(tier, &old);
    tier->ops->unpin(tier, &new);
}

static void test_a_tier_that_fails(void **state) {
    norn_pin pin;
    float rows[8];
    uint64_t at[] = {0, 16}, step[2];
    uint8_t found[2];
    const norn_row_key keys[] = {{4, TIER_HASHED}, {7, TIER_HASHED}};
    (void)state;
    OK(tier->ops->pin(tier, version, &pin));
    norn_tier_expect(tier, &pin, TIER_HASHED, 4, 0);
    norn_slow_tier_fail(below, NORN_UNAVAILABLE);
    norn_tier_expect(tier, &pin, TIER_HASHED, 4, 0); // it is cached
    norn_fetch fetch = {.pin = &pin,
                        .keys = keys,
                        .count = 2,
                        .rows = (char *)rows,
                        .row_at = at,
                        .step = step,
                        .state = found,
                        .deadline_ns = INT64_MAX};
    assert_int_equal(norn_tier_fetch_and_wait(tier, &fetch), NORN_UNAVAILABLE);
    tier->ops->unpin(tier, &pin);
}

/// Rows that are asked for often stay, whatever else goes through.
static void test_hot_rows_stay(void **state) {
    enum { HOT = 100, COLD = 100000 };
    const _Atomic uint64_t visible = 5;
    norn_row_cache cache;
    uint64_t row[4], step, kept = 0;
    (void)state;
    OK(norn_row_cache_init(&cache, 1000000, sizeof row, 64 << 10, norn_alloc_heap()));
    for (uint64_t i = 0; i < COLD; i++) {
        const int64_t keys[] = {(int64_t)(i % HOT), (int64_t)(1000 + i)};
        for (int k = 0; k < 2; k++) {
            if (norn_row_cache_get(&cache, 9, keys[k], row, &step)) {
                assert_int_equal(step, (uint64_t)keys[k] % 5);
                for (int c = 0; c < 4; c++) assert_int_equal(row[c], keys[k] * 10 + c);
                kept += k == 0 && i >= COLD / 2;
                continue;
            }
            for (int c = 0; c < 4; c++) row[c] = (uint64_t)(keys[k] * 10 + c);
            norn_row_cache_put(&cache, &visible, 5, keys[k], (uint64_t)keys[k] % 5, row);
        }
    }
    if (kept < COLD / 2 * 9 / 10) fail_msg("%d of %d", (int)kept, COLD / 2);
    // Of a step that the reader does not see; read as of another step than is visible now; removed.
    norn_row_cache_update(&cache, 3, 7, (uint64_t[]){1, 2, 3, 4});
    assert_false(norn_row_cache_get(&cache, 6, 3, row, &step));
    assert_true(norn_row_cache_get(&cache, 7, 3, row, &step));
    assert_int_equal(row[3], 4);
    norn_row_cache_update(&cache, 3, 8, NULL);
    assert_false(norn_row_cache_get(&cache, 9, 3, row, &step));
    norn_row_cache_put(&cache, &visible, 4, 3, 0, row);
    assert_false(norn_row_cache_get(&cache, 9, 3, row, &step));
    norn_row_cache_deinit(&cache);
    OK(norn_row_cache_init(&cache, 100, sizeof row, 10, norn_alloc_heap())); // no room for any
    norn_row_cache_put(&cache, &visible, 5, 3, 0, row);
    assert_false(norn_row_cache_get(&cache, 9, 3, row, &step));
    norn_row_cache_deinit(&cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_fetched_is_not_fetched_again, open_tier,
                                        close_tier),
        cmocka_unit_test_setup_teardown(test_a_commit_takes_the_place_of_what_is_cached, open_tier,
                                        close_tier),
        cmocka_unit_test_setup_teardown(test_a_tier_that_fails, open_tier, close_tier),
        cmocka_unit_test(test_hot_rows_stay),
    };
    int failed = norn_tier_cases_run("a small cache", create_small);
    failed += norn_tier_cases_run("a large cache", create_large);
    return failed + cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
