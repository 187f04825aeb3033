/// The tables whose rows a plan has itself (or in files of PLAN.tables/), as a snapshot: what is
/// looked up where the store has no table of that name. Missing keys are counted in it.
#ifndef NORN_RUNTIME_OWN_TABLES_H
#define NORN_RUNTIME_OWN_TABLES_H

#include "plan/plan.h"
#include "store/snapshot.h"

/// Rows and names are borrowed from the plan, which outlives the snapshot.
norn_status norn_own_tables_create(const norn_plan *plan, norn_alloc alloc,
                                   norn_snapshot **out) NORN_NODISCARD;

#endif
