#include "store/snapshot.h"

norn_snapshot *norn_snapshot_retain(norn_snapshot *snapshot) {
    if (snapshot) atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void norn_snapshot_release(norn_snapshot *snapshot) {
    if (!snapshot) return;
    if (atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) == 1)
        snapshot->destroy(snapshot);
}
