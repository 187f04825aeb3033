/// A table whose rows lie in a tier that is not in memory, as a snapshot offers it: where a run
/// fetches them before its lookups, and what happens to rows that do not come.
#ifndef NORN_STORE_ELSEWHERE_H
#define NORN_STORE_ELSEWHERE_H

#include "store/tier.h"

typedef enum norn_fetch_policy {
    NORN_FETCH_WAIT,     ///< a run waits; a tier that fails fails it
    NORN_FETCH_DEADLINE, ///< it waits for `wait_ns`, then takes the default row
    NORN_FETCH_DEFAULT,  ///< it never waits: what has not come meanwhile is the default row
} norn_fetch_policy;

typedef struct norn_elsewhere norn_elsewhere;

typedef struct norn_fetch_rule {
    norn_fetch_policy policy;
    int64_t wait_ns; ///< DEADLINE
} norn_fetch_rule;

struct norn_elsewhere {
    norn_tier *tier;
    const norn_pin *pin; ///< of the snapshot
    uint32_t table;      ///< of the pin's version
    norn_fetch_rule rule;
    _Atomic uint64_t *late_count; ///< keys that got the default row instead of waiting
};

#endif
