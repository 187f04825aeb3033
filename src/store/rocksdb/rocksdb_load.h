/// A folder's tables as a version: sorted files, one table after the other, then all of them moved
/// into a column family at once.
#ifndef NORN_STORE_ROCKSDB_LOAD_H
#define NORN_STORE_ROCKSDB_LOAD_H

#include "store/rocksdb/rocksdb_version.h"

/// Fills a version that was just made. All or nothing; after an error nothing is left in the
/// folder, but what a killed load had finished is used by the next of the same number. One load at
/// a time.
/// Errors   NOT_FOUND: no such folder; those of norn_table_open, of the disk
norn_status norn_rocksdb_load(norn_rocksdb_version *version, const char *dir) NORN_NODISCARD;

#endif
