/// Embedding tables: a store holds them, a snapshot is one immutable, counted view of every table.
#ifndef NORN_STORE_H
#define NORN_STORE_H

#include "norn/alloc.h"
#include "norn/tensor.h"

typedef struct norn_store norn_store;
typedef struct norn_snapshot norn_snapshot;

NORN_API norn_status norn_store_create(norn_alloc alloc, norn_store **out) NORN_NODISCARD;
NORN_API void norn_store_destroy(norn_store *store);

/// Open every `NAME.safetensors` of `dir`: tensors "keys" [n] int64 and "rows" [n, dim];
/// without "keys" the table is dense (keys 0..n-1). Files are read into memory:
/// what becomes of them later changes nothing here.
/// Errors   NOT_FOUND; DATA_LOSS, INVALID_ARGUMENT (names file and tensor); RESOURCE_EXHAUSTED
NORN_API norn_status norn_store_open_dir(norn_store *store, const char *dir) NORN_NODISCARD;

/// The current view of all tables. Counted.
NORN_API norn_status norn_store_snapshot(norn_store *store, norn_snapshot **out) NORN_NODISCARD;
NORN_API norn_snapshot *norn_snapshot_retain(norn_snapshot *snapshot);
NORN_API void norn_snapshot_release(norn_snapshot *snapshot);

#endif
