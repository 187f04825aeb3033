/// A version in the host tier: its tables, which step is visible, and the pins that hold it.
#ifndef NORN_STORE_HOST_VERSION_H
#define NORN_STORE_HOST_VERSION_H

#include "store/table.h"
#include "store/tier.h"

#include <pthread.h>

/// Pins that were taken between two commits.
typedef struct norn_epoch_pins {
    uint64_t epoch, count;
} norn_epoch_pins;

typedef struct norn_host_version {
    norn_version base;
    norn_alloc alloc;
    norn_table **tables; ///< retained
    norn_table_form *forms;
    pthread_mutex_t lock;  ///< of all below, and of the tables' write side
    uint64_t visible;      ///< step
    uint64_t applied;      ///< the newest step of deltas not committed; 0: there are none
    uint64_t epoch;        ///< goes up with each commit and abort
    norn_epoch_pins *pins; ///< those with a count, in order
    size_t pin_count, pin_capacity;
    bool dropped;
    struct norn_host_version *next; ///< of the tier
} norn_host_version;

static inline norn_host_version *norn_host_version_of(const norn_version *version) {
    return (norn_host_version *)(uintptr_t)version;
}

norn_status norn_host_version_create(uint64_t number, norn_table *const *tables, size_t count,
                                     norn_alloc alloc, norn_host_version **out) NORN_NODISCARD;
void norn_host_version_destroy(norn_host_version *version);

/// Errors   NOT_FOUND: dropped; RESOURCE_EXHAUSTED
norn_status norn_host_version_pin(norn_host_version *version, norn_pin *out) NORN_NODISCARD;
/// True: nothing holds the version any more, and it was dropped.
bool norn_host_version_unpin(norn_host_version *version, norn_pin *pin);
/// True: no pin holds it.
bool norn_host_version_drop(norn_host_version *version);

norn_status norn_host_version_apply(norn_host_version *version,
                                    const norn_delta *delta) NORN_NODISCARD;
norn_status norn_host_version_commit(norn_host_version *version,
                                     const norn_cut *cut) NORN_NODISCARD;
void norn_host_version_abort(norn_host_version *version);
norn_status norn_host_version_fill(norn_host_version *version, const norn_fetch *fetched,
                                   uint32_t *kept) NORN_NODISCARD;

#endif
