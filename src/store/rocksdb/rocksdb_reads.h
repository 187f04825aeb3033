/// The threads that read: a fetch is cut into slices, which they take in the order in which fetches
/// came. Nothing is allocated for one (but by RocksDB).
#ifndef NORN_STORE_ROCKSDB_READS_H
#define NORN_STORE_ROCKSDB_READS_H

#include "store/rocksdb/rocksdb_db.h"

typedef struct norn_rocksdb_reads norn_rocksdb_reads;

norn_status norn_rocksdb_reads_start(const norn_rocksdb *db, norn_alloc alloc,
                                     norn_rocksdb_reads **out) NORN_NODISCARD;
/// No fetch is left. Takes NULL.
void norn_rocksdb_reads_stop(norn_rocksdb_reads *reads);
/// All tables are there.
void norn_rocksdb_reads_add(norn_rocksdb_reads *reads, norn_fetch *fetch);

#endif
