/// The tables of one snapshot as a plan's lookups take them, by table index, on host and device.
/// Made when a session gets a snapshot, so that no run uploads or looks names up; counted, pinned
/// by runs. What an earlier set has on the device already is shared with it, not uploaded again.
#ifndef NORN_RUNTIME_TABLE_SET_H
#define NORN_RUNTIME_TABLE_SET_H

#include "runtime/resident.h"
#include "store/snapshot.h"

#include <stdatomic.h>

/// One table's rows on a device. Counted by the sets that have it.
typedef struct norn_device_table {
    atomic_uint references;
    norn_table_binding from, on_device;
} norn_device_table;

/// The tables as one device's kernels read them.
typedef struct norn_place_tables {
    norn_table_binding *tables; ///< NULL: no lookup runs there
    norn_table_view *views;     ///< of these, in host memory: what instances copy over
    norn_device_table **shared; ///< behind these
    uint32_t count;             ///< bound so far
} norn_place_tables;

typedef struct norn_table_set {
    atomic_uint references;
    uint64_t id;     ///< of this process's sets
    uint64_t layout; ///< the same for sets whose tables differ in rows alone: graphs outlive these
    norn_alloc alloc;
    norn_resident *resident; ///< retained
    norn_snapshot *snapshot; ///< retained; NULL: only the plan's own tables
    norn_snapshot *own;      ///< the plan's own; all sets of a session share them
    norn_table_binding *host;
    uint32_t host_count;                   ///< bound so far
    norn_place_tables at[NORN_PLACES_MAX]; ///< of devices
    bool has_elsewhere;                    ///< a table is not in memory: runs gather
} norn_table_set;

/// Tables come from `snapshot` (may be NULL), else from the plan's own.
/// `previous` (may be NULL) is alive during the call.
/// Errors   FAILED_PRECONDITION: a table is nowhere; INVALID_ARGUMENT:
///          it does not fit the model; names it
norn_status norn_table_set_create(norn_resident *resident, norn_snapshot *snapshot,
                                  const norn_table_set *previous, norn_alloc alloc,
                                  norn_table_set **out) NORN_NODISCARD;
/// Keys of table `index` that had no row so far, in all sets of its snapshot, on the device too.
uint64_t norn_table_set_missing(const norn_table_set *set, uint32_t index);
/// Keys of table `index` so far that got the default row because theirs did not come in time; 0 for
/// one that is in memory.
uint64_t norn_table_set_late(const norn_table_set *set, uint32_t index);
norn_table_set *norn_table_set_retain(norn_table_set *set);
void norn_table_set_release(norn_table_set *set); ///< takes NULL

#endif
