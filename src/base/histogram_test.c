#include "base/cmocka_all.h"
#include "base/hash.h"
#include "base/histogram.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

static norn_histogram histogram, other; // too large for a stack

static void assert_near(double value, double wanted, double relative) {
    if (fabs(value - wanted) > relative * wanted + 1e-9)
        fail_msg("%.9g is not within %g of %.9g", value, relative, wanted);
}

static void an_empty_histogram_has_zero_quantiles(void **state) {
    (void)state;
    norn_histogram_init(&histogram);
    assert_true(norn_histogram_quantile(&histogram, 0.99) == 0);
    assert_true(norn_histogram_mean(&histogram) == 0);
}

static void one_sample_is_every_quantile_at_every_size(void **state) {
    (void)state;
    for (int64_t value = 1; value < INT64_C(1) << 42; value = value * 5 / 4 + 1) {
        norn_histogram_init(&histogram);
        norn_histogram_add(&histogram, value);
        for (double q = 0; q <= 1; q += 0.25)
            assert_near(norn_histogram_quantile(&histogram, q), (double)value, 0);
        assert_near(norn_histogram_mean(&histogram), (double)value, 0);
    }
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_are_within_a_bucket_of_the_sorted_samples(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    static int64_t values[COUNT];
    norn_random random;
    norn_random_init(&random, 1);
    norn_histogram_init(&histogram);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (int64_t)exp(4 + 18 * norn_random_unit(&random));
        norn_histogram_add(&histogram, values[i]);
    }
    qsort(values, COUNT, sizeof *values, by_value);
    const double quantiles[] = {0.01, 0.1, 0.5, 0.9, 0.95, 0.99, 0.999};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double exact = (double)values[(int)(quantiles[i] * COUNT)];
        assert_near(norn_histogram_quantile(&histogram, quantiles[i]), exact, 0.04);
    }
    assert_near(norn_histogram_quantile(&histogram, 0), (double)values[0], 0);
    assert_near(norn_histogram_quantile(&histogram, 1), (double)values[COUNT - 1], 0);
}

static void values_outside_the_range_saturate(void **state) {
    (void)state;
    norn_histogram_init(&histogram);
    norn_histogram_add(&histogram, INT64_MAX);
    norn_histogram_add(&histogram, -5);
    assert_near(norn_histogram_quantile(&histogram, 0), 0, 0);
    assert_true(norn_histogram_quantile(&histogram, 1) >= 0x1p41);
    assert_int_equal(atomic_load(&histogram.bucket[NORN_HISTOGRAM_BUCKETS - 1]), 1);
}

static void merging_adds_up(void **state) {
    (void)state;
    norn_histogram_init(&histogram);
    norn_histogram_init(&other);
    for (int i = 1; i <= 100; i++) norn_histogram_add(i % 2 ? &histogram : &other, i * 1000);
    norn_histogram_merge(&histogram, &other);
    assert_int_equal(atomic_load(&histogram.count), 100);
    assert_near(norn_histogram_mean(&histogram), 50500, 0);
    assert_near(norn_histogram_quantile(&histogram, 0.5), 50000, 0.04);
    assert_near(norn_histogram_quantile(&histogram, 1), 100000, 0);
}

static void *add_many(void *argument) {
    for (int i = 0; i < 10000; i++) norn_histogram_add(argument, i);
    return NULL;
}

static void threads_lose_no_sample(void **state) {
    (void)state;
    pthread_t threads[4];
    norn_histogram_init(&histogram);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &histogram), 0);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(atomic_load(&histogram.count), 40000);
    assert_near(norn_histogram_mean(&histogram), 4999.5, 0);
    assert_int_equal(atomic_load(&histogram.max_ns), 9999);
}

/// Values below 32 have a bucket each, then every power of two has 32.
static void every_value_has_the_bucket_of_its_first_six_bits(void **state) {
    (void)state;
    static const struct {
        int64_t value;
        uint32_t bucket;
    } cases[] = {{-1, 0},
                 {0, 0},
                 {1, 1},
                 {31, 31},
                 {32, 32},
                 {33, 33},
                 {63, 63},
                 {64, 64},
                 {65, 64},
                 {66, 65},
                 {127, 95},
                 {128, 96},
                 {131, 96},
                 {132, 97},
                 {1000, 190},
                 {1007, 190},
                 {1008, 191},
                 {1023, 191},
                 {1024, 192},
                 {INT64_C(1) << 41, 1184},
                 {(INT64_C(1) << 42) - 1, 1215},
                 {INT64_C(1) << 42, 1215},
                 {INT64_MAX, 1215}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_histogram_init(&histogram);
        norn_histogram_add(&histogram, cases[i].value);
        for (uint32_t b = 0; b < NORN_HISTOGRAM_BUCKETS; b++)
            if (atomic_load(&histogram.bucket[b]) != (b == cases[i].bucket))
                fail_msg("%lld is in bucket %u", (long long)cases[i].value, b);
        assert_int_equal(atomic_load(&histogram.count), 1);
        assert_true(atomic_load(&histogram.sum_ns) ==
                    (uint64_t)(cases[i].value < 0 ? 0 : cases[i].value));
    }
}

/// 64 and 65 share the bucket [64, 66); 100 is in [100, 102).
static void quantiles_are_interpolated_in_their_bucket_and_stay_between_the_ends(void **state) {
    (void)state;
    norn_histogram_init(&histogram);
    norn_histogram_add(&histogram, 65);
    norn_histogram_add(&histogram, 64);
    assert_near(norn_histogram_quantile(&histogram, 0.25), 64.5, 1e-12);
    assert_near(norn_histogram_quantile(&histogram, 0.5), 65, 1e-12);
    assert_near(norn_histogram_quantile(&histogram, 1), 65, 0); // not 66
    norn_histogram_add(&histogram, 100);
    assert_near(norn_histogram_quantile(&histogram, -1), 64, 0);
    assert_near(norn_histogram_quantile(&histogram, 0), 64, 0);
    assert_near(norn_histogram_quantile(&histogram, 0.5), 65.5, 1e-12);
    assert_near(norn_histogram_quantile(&histogram, 0.9), 100, 0); // not 101.4
    assert_near(norn_histogram_quantile(&histogram, 2), 100, 0);
    assert_near(norn_histogram_mean(&histogram), 229.0 / 3, 1e-12);
    norn_histogram_add(&histogram, 3); // buckets below 32 are 1 wide
    assert_near(norn_histogram_quantile(&histogram, 0.125), 3.5, 1e-12);
    norn_histogram_init(&other);
    norn_histogram_merge(&other, &histogram);
    assert_int_equal(atomic_load(&other.min_ns), 3);
    assert_int_equal(atomic_load(&other.max_ns), 100);
    norn_histogram_add(&histogram, 2);
    norn_histogram_add(&histogram, 200);
    norn_histogram_merge(&histogram, &other); // whose ends lie between these
    assert_int_equal(atomic_load(&histogram.min_ns), 2);
    assert_int_equal(atomic_load(&histogram.max_ns), 200);
    assert_int_equal(atomic_load(&histogram.count), 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_has_zero_quantiles),
        cmocka_unit_test(one_sample_is_every_quantile_at_every_size),
        cmocka_unit_test(quantiles_are_within_a_bucket_of_the_sorted_samples),
        cmocka_unit_test(values_outside_the_range_saturate),
        cmocka_unit_test(merging_adds_up),
        cmocka_unit_test(threads_lose_no_sample),
        cmocka_unit_test(every_value_has_the_bucket_of_its_first_six_bits),
        cmocka_unit_test(quantiles_are_interpolated_in_their_bucket_and_stay_between_the_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
