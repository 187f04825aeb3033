#include "base/clock.h"
#include "testing/slow_tier.h"
#include "testing/tier_cases.h"
#include "testing/tier_fixture.h"

static norn_tier *tier;
static norn_version *version;
static norn_pin pin;

static int open_slow(void **state) {
    (void)state;
    if (norn_slow_tier_create(norn_alloc_heap(), &tier) != NORN_OK) return -1;
    if (tier->ops->load(tier, 1, norn_tier_version_dir(1), &version) != NORN_OK) return -1;
    return tier->ops->pin(tier, version, &pin) == NORN_OK ? 0 : -1;
}
static int close_slow(void **state) {
    (void)state;
    tier->ops->unpin(tier, &pin);
    norn_tier_close(tier);
    return 0;
}

static norn_status fetch_one(int64_t deadline_ns, uint8_t *state, int64_t *took_ns) {
    float rows[4];
    const norn_row_key key = {1, TIER_HASHED};
    uint64_t at = 0, step;
    norn_fetch fetch = {.pin = &pin,
                        .keys = &key,
                        .count = 1,
                        .rows = (char *)rows,
                        .row_at = &at,
                        .step = &step,
                        .state = state,
                        .deadline_ns = deadline_ns};
    const int64_t begin = norn_clock_now_ns();
    const norn_status status = norn_tier_fetch_and_wait(tier, &fetch);
    *took_ns = norn_clock_now_ns() - begin;
    return status;
}

static void a_fetch_takes_as_long_as_it_is_told(void **state) {
    uint8_t row;
    int64_t took;
    (void)state;
    norn_slow_tier_delay(tier, 20000000);
    OK(fetch_one(INT64_MAX, &row, &took));
    assert_int_equal(row, NORN_ROW_FOUND);
    assert_true(took >= 20000000);
    assert_int_equal(norn_slow_tier_fetches(tier), 1);
    assert_int_equal(norn_slow_tier_keys(tier), 1);
}

static void rows_after_the_deadline_are_late(void **state) {
    uint8_t row;
    int64_t took;
    (void)state;
    norn_slow_tier_delay(tier, 60000000000);
    OK(fetch_one(norn_clock_now_ns() + 1000000, &row, &took));
    assert_int_equal(row, NORN_ROW_LATE);
    assert_true(took >= 1000000 && took < 30000000000);
}

static void a_tier_that_fails_says_so_and_comes_back(void **state) {
    uint8_t row;
    int64_t took;
    (void)state;
    norn_slow_tier_fail(tier, NORN_UNAVAILABLE);
    assert_int_equal(fetch_one(INT64_MAX, &row, &took), NORN_UNAVAILABLE);
    norn_slow_tier_fail(tier, NORN_OK);
    OK(fetch_one(INT64_MAX, &row, &took));
    assert_int_equal(row, NORN_ROW_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fetch_takes_as_long_as_it_is_told, open_slow, close_slow),
        cmocka_unit_test_setup_teardown(rows_after_the_deadline_are_late, open_slow, close_slow),
        cmocka_unit_test_setup_teardown(a_tier_that_fails_says_so_and_comes_back, open_slow,
                                        close_slow),
    };
    const int failed =
        cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
    return norn_tier_cases_run("the slow tier", norn_slow_tier_create) + failed;
}
