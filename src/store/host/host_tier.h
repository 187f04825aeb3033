/// The host tier: rows in host memory, those of a version's files where they were read to, those of
/// deltas in chunks beside them.
#ifndef NORN_STORE_HOST_TIER_H
#define NORN_STORE_HOST_TIER_H

#include "store/table.h"
#include "store/tier.h"

norn_status norn_host_tier_create(norn_alloc alloc, norn_tier **out) NORN_NODISCARD;

/// A version of tables that are open already, in order of name; each is retained. What `load` does
/// with those of a folder.
/// Errors   ALREADY_EXISTS, RESOURCE_EXHAUSTED
norn_status norn_host_tier_adopt(norn_tier *tier, uint64_t number, norn_table *const *tables,
                                 size_t count, norn_version **out) NORN_NODISCARD;
/// A table of a version of this tier; borrowed from it.
norn_table *norn_host_tier_table(const norn_version *version, uint32_t index);

#endif
