/// The manifest section: what a plan is, and the tables that it names.
#ifndef NORN_PLAN_MANIFEST_H
#define NORN_PLAN_MANIFEST_H

#include "base/wire.h"
#include "plan/plan.h"

/// File name in PLAN.tables/ for table `index`: its name where that can be a file's, else made
/// safe; distinct for every table of the plan.
norn_status norn_plan_table_file(const norn_plan *plan, uint32_t index, norn_arena *arena,
                                 const char **out) NORN_NODISCARD;

norn_status norn_manifest_encode(const norn_plan *plan, norn_arena *scratch,
                                 norn_buffer *out) NORN_NODISCARD;

/// Name, precision and tables of `plan`, in its arena; *device is the device it was compiled for.
/// Table i was saved in files[i] (NULL: the package's).
/// Errors   DATA_LOSS.
norn_status norn_manifest_decode(norn_span bytes, norn_plan *plan, const char **device,
                                 const char ***files) NORN_NODISCARD;

#endif
