#include "base/histogram.h"

enum { SUB = 1 << NORN_HISTOGRAM_SUB_BITS };

/// Values below SUB have a bucket each; above, every power of two is cut into SUB equal parts.
static uint32_t bucket_of(uint64_t value) {
    if (value < SUB) return (uint32_t)value;
    uint32_t log2 = 63u - (uint32_t)__builtin_clzll(value);
    uint32_t shift = log2 - NORN_HISTOGRAM_SUB_BITS;
    uint32_t index = ((shift + 1) << NORN_HISTOGRAM_SUB_BITS) + (uint32_t)((value >> shift) - SUB);
    return index < NORN_HISTOGRAM_BUCKETS ? index : NORN_HISTOGRAM_BUCKETS - 1;
}

static double bucket_low(uint32_t index) {
    uint32_t block = index >> NORN_HISTOGRAM_SUB_BITS, part = index & (SUB - 1);
    if (block == 0) return part;
    return (double)((uint64_t)(SUB + part) << (block - 1));
}

static double bucket_width(uint32_t index) {
    uint32_t block = index >> NORN_HISTOGRAM_SUB_BITS;
    return block == 0 ? 1.0 : (double)(UINT64_C(1) << (block - 1));
}

static uint64_t load(const _Atomic uint64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void lower(_Atomic uint64_t *slot, uint64_t value) {
    uint64_t old = load(slot);
    while (value < old && !atomic_compare_exchange_weak_explicit(
                              slot, &old, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void raise_to(_Atomic uint64_t *slot, uint64_t value) {
    uint64_t old = load(slot);
    while (value > old && !atomic_compare_exchange_weak_explicit(
                              slot, &old, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

void norn_histogram_init(norn_histogram *histogram) {
    for (uint32_t i = 0; i < NORN_HISTOGRAM_BUCKETS; i++) atomic_init(&histogram->bucket[i], 0);
    atomic_init(&histogram->count, 0);
    atomic_init(&histogram->sum_ns, 0);
    atomic_init(&histogram->min_ns, UINT64_MAX);
    atomic_init(&histogram->max_ns, 0);
}

void norn_histogram_add(norn_histogram *histogram, int64_t value_ns) {
    uint64_t value = value_ns < 0 ? 0 : (uint64_t)value_ns;
    atomic_fetch_add_explicit(&histogram->bucket[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_ns, value, memory_order_relaxed);
    lower(&histogram->min_ns, value);
    raise_to(&histogram->max_ns, value);
}

void norn_histogram_merge(norn_histogram *into, const norn_histogram *from) {
    for (uint32_t i = 0; i < NORN_HISTOGRAM_BUCKETS; i++) {
        uint64_t count = load(&from->bucket[i]);
        if (count) atomic_fetch_add_explicit(&into->bucket[i], count, memory_order_relaxed);
    }
    atomic_fetch_add_explicit(&into->count, load(&from->count), memory_order_relaxed);
    atomic_fetch_add_explicit(&into->sum_ns, load(&from->sum_ns), memory_order_relaxed);
    lower(&into->min_ns, load(&from->min_ns));
    raise_to(&into->max_ns, load(&from->max_ns));
}

double norn_histogram_quantile(const norn_histogram *histogram, double quantile) {
    // Buckets are summed here: `count` may be ahead of them while other threads add.
    uint64_t total = 0;
    for (uint32_t i = 0; i < NORN_HISTOGRAM_BUCKETS; i++) total += load(&histogram->bucket[i]);
    if (total == 0) return 0;
    double low = (double)load(&histogram->min_ns), high = (double)load(&histogram->max_ns);
    double wanted = quantile * (double)total, below = 0;
    if (!(quantile > 0)) return low;
    for (uint32_t i = 0; i < NORN_HISTOGRAM_BUCKETS; i++) {
        double count = (double)load(&histogram->bucket[i]);
        if (below + count >= wanted) {
            double value = bucket_low(i) + bucket_width(i) * ((wanted - below) / count);
            return value < low ? low : value > high ? high : value;
        }
        below += count;
    }
    return high;
}

double norn_histogram_mean(const norn_histogram *histogram) {
    uint64_t count = load(&histogram->count);
    return count ? (double)load(&histogram->sum_ns) / (double)count : 0;
}
