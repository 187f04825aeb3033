/// The contract of store/tier.h as cases that every tier is put through.
#ifndef NORN_TESTING_TIER_CASES_H
#define NORN_TESTING_TIER_CASES_H

#include "store/tier.h"

typedef norn_status (*norn_tier_create_fn)(norn_alloc alloc, norn_tier **out);

/// Runs all cases on tiers that `create` makes, each on an empty one; 0: all passed.
int norn_tier_cases_run(const char *name, norn_tier_create_fn create);

#endif
