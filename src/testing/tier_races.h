/// A writer and readers on one version at once: each reader sees, in all tables, rows of exactly the
/// step that it pinned.
#ifndef NORN_TESTING_TIER_RACES_H
#define NORN_TESTING_TIER_RACES_H

#include "store/tier.h"

void norn_tier_race(norn_tier *tier, norn_version *version);

#endif
