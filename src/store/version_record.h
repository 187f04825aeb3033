/// The records of a version beside its rows: what its tables are, and where it stands in its log.
/// Protobuf's wire format, so that later fields do not break earlier readers.
#ifndef NORN_STORE_VERSION_RECORD_H
#define NORN_STORE_VERSION_RECORD_H

#include "base/arena.h"
#include "base/wire.h"
#include "store/table.h"
#include "store/tier.h"

/// A table's form with copies of what it points to, for when the table is gone.
norn_status norn_form_of_table(const norn_table *table, norn_arena *arena,
                               norn_table_form *out) NORN_NODISCARD;
void norn_forms_encode(const norn_version *version, norn_buffer *out);
/// Tables go into the arena.
/// Errors   DATA_LOSS; RESOURCE_EXHAUSTED
norn_status norn_forms_decode(norn_span bytes, norn_arena *arena, norn_version *out) NORN_NODISCARD;
void norn_cut_encode(const norn_cut *cut, norn_buffer *out);
/// out->positions are from `alloc`.
/// Errors   DATA_LOSS; RESOURCE_EXHAUSTED
norn_status norn_cut_decode(norn_span bytes, norn_alloc alloc, norn_cut *out) NORN_NODISCARD;

#endif
