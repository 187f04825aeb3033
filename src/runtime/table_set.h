/// The tables of one snapshot as a plan's lookups take them, by table index, on host and device.
/// Made when a session gets a snapshot, so that no run uploads or looks names up; counted, pinned
/// by runs.
#ifndef NORN_RUNTIME_TABLE_SET_H
#define NORN_RUNTIME_TABLE_SET_H

#include "plan/plan.h"

#include <stdatomic.h>

typedef struct norn_table_set {
    atomic_uint references;
    uint64_t id; ///< of this process's sets
    norn_alloc alloc;
    norn_plan *plan;                   ///< retained
    norn_snapshot *snapshot;           ///< retained; NULL: only the plan's own tables
    norn_table_binding *host, *device; ///< device NULL: a plan for the CPU
    uint32_t host_count, device_count; ///< bound so far
} norn_table_set;

/// Tables come from `snapshot` (may be NULL), else from the plan's own.
/// Errors   FAILED_PRECONDITION: a table is nowhere; INVALID_ARGUMENT: it does not fit the model;
/// names it
norn_status norn_table_set_create(norn_plan *plan, norn_snapshot *snapshot, norn_alloc alloc,
                                  norn_table_set **out) NORN_NODISCARD;
norn_table_set *norn_table_set_retain(norn_table_set *set);
void norn_table_set_release(norn_table_set *set); ///< takes NULL

#endif
