#include "serve/budget.h"

#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

/// A peak below this is not worth a trim.
enum { TRIM_BYTES = 64 << 20 };

void norn_budget_init(norn_budget *budget, int64_t limit_bytes) {
    budget->limit_bytes = limit_bytes;
    atomic_init(&budget->held_bytes, 0);
    atomic_init(&budget->peak_bytes, 0);
    atomic_init(&budget->refused, 0);
}

/// What a take of this size may fill the budget up to.
static int64_t room_for(const norn_budget *budget, int64_t bytes) {
    const int64_t kept = bytes > NORN_BUDGET_SMALL_BYTES ? budget->limit_bytes / 8 : 0;
    return budget->limit_bytes - kept;
}

static void raise_peak(norn_budget *budget, int64_t held) {
    int64_t peak = atomic_load_explicit(&budget->peak_bytes, memory_order_relaxed);
    while (held > peak &&
           !atomic_compare_exchange_weak_explicit(&budget->peak_bytes, &peak, held,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

bool norn_budget_take(norn_budget *budget, int64_t bytes) {
    const int64_t room = room_for(budget, bytes);
    int64_t held = atomic_load_explicit(&budget->held_bytes, memory_order_relaxed);
    do {
        if (bytes > room || held > room - bytes) {
            atomic_fetch_add_explicit(&budget->refused, 1, memory_order_relaxed);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->held_bytes, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    raise_peak(budget, held + bytes);
    return true;
}

bool norn_budget_could_take(const norn_budget *budget, int64_t bytes) {
    const int64_t room = room_for(budget, bytes);
    return bytes <= room &&
           atomic_load_explicit(&budget->held_bytes, memory_order_relaxed) <= room - bytes;
}

void norn_budget_force(norn_budget *budget, int64_t bytes) {
    const int64_t before =
        atomic_fetch_add_explicit(&budget->held_bytes, bytes, memory_order_relaxed);
    raise_peak(budget, before + bytes);
}

void norn_budget_give(norn_budget *budget, int64_t bytes) {
    atomic_fetch_sub_explicit(&budget->held_bytes, bytes, memory_order_relaxed);
}

bool norn_budget_fits(const norn_budget *budget, int64_t bytes) {
    return bytes <= room_for(budget, bytes);
}

bool norn_budget_wants_trim(norn_budget *budget) {
    int64_t peak = atomic_load_explicit(&budget->peak_bytes, memory_order_relaxed);
    const int64_t held = atomic_load_explicit(&budget->held_bytes, memory_order_relaxed);
    if (peak < TRIM_BYTES || held > peak / 4) return false;
    // One of many threads that look wins.
    return atomic_compare_exchange_strong_explicit(&budget->peak_bytes, &peak, held,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void norn_budget_trim(void) {
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
