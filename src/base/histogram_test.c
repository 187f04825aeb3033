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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_has_zero_quantiles),
        cmocka_unit_test(one_sample_is_every_quantile_at_every_size),
        cmocka_unit_test(quantiles_are_within_a_bucket_of_the_sorted_samples),
        cmocka_unit_test(values_outside_the_range_saturate),
        cmocka_unit_test(merging_adds_up),
        cmocka_unit_test(threads_lose_no_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
