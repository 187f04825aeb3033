/// The reader of plan files below norn_plan_load, for fuzzing and tests.
#ifndef NORN_PLAN_PLAN_LOAD_H
#define NORN_PLAN_PLAN_LOAD_H

#include "base/span.h"
#include "plan/plan.h"

/// Fill an empty plan from `bytes`, which stay as long as the plan. `name` is for messages, and the
/// tables are in `name`.tables/ when `with_tables`.
norn_status norn_plan_decode(norn_span bytes, const char *name, bool with_tables,
                             norn_plan *plan) NORN_NODISCARD;

/// norn_plan_load (norn/plan.h), of devices that were registered.
norn_status norn_plan_read(const char *path, norn_alloc alloc, norn_plan **out) NORN_NODISCARD;

/// Every lookup reads a table of the plan. DATA_LOSS names the node.
norn_status norn_plan_check_tables(const norn_plan *plan) NORN_NODISCARD;

#endif
