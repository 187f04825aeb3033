/// What every tier asks of what it is given, before it changes anything.
#ifndef NORN_STORE_DELTA_CHECK_H
#define NORN_STORE_DELTA_CHECK_H

#include "store/tier.h"

/// Errors   INVALID_ARGUMENT: the version has no table of that index
norn_status norn_table_check(const norn_version *version, uint32_t table) NORN_NODISCARD;
/// Of all keys of a fetch.
norn_status norn_fetch_check(const norn_version *version, const norn_fetch *fetch) NORN_NODISCARD;
/// `visible` is the version's step, `applied` that of the last delta since then (0: none).
/// Errors   INVALID_ARGUMENT: no such table, other row_bytes; FAILED_PRECONDITION: the step
norn_status norn_delta_check(const norn_version *version, const norn_delta *delta, uint64_t visible,
                             uint64_t applied) NORN_NODISCARD;
/// Errors   FAILED_PRECONDITION: the cut is before either
norn_status norn_cut_check(const norn_cut *cut, uint64_t visible, uint64_t applied) NORN_NODISCARD;

#endif
