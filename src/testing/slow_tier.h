/// A tier that is not in memory, for tests: rows of a host tier, which a thread of its own answers
/// after a while, or not at all. It has no `lookup` and no `view`; the rest is the host tier's.
///
/// Threads  the settings may change while fetches wait; those in the queue keep what they had.
#ifndef NORN_TESTING_SLOW_TIER_H
#define NORN_TESTING_SLOW_TIER_H

#include "store/tier.h"

norn_status norn_slow_tier_create(norn_alloc alloc, norn_tier **out) NORN_NODISCARD;
/// How long a fetch takes from now on. One whose deadline comes before has all its rows late.
void norn_slow_tier_delay(norn_tier *tier, int64_t delay_ns);
/// What fetches end with from now on: NORN_OK, or the tier has failed.
void norn_slow_tier_fail(norn_tier *tier, norn_status status);
/// Fetches and keys that were asked for so far.
uint64_t norn_slow_tier_fetches(norn_tier *tier);
uint64_t norn_slow_tier_keys(norn_tier *tier);

#endif
