/// Sorted files of a table's rows, as RocksDB takes them over.
///
/// A file is named after its table and the contents of all of it, and gets its name when it is
/// complete and on the disk: one that is there is right, whoever wrote it.
#ifndef NORN_STORE_ROCKSDB_SST_FILE_H
#define NORN_STORE_ROCKSDB_SST_FILE_H

#include "store/rocksdb/rocksdb_db.h"
#include "store/table.h"

/// Paths, in `arena`, of files whose keys do not overlap.
typedef struct norn_sst_files {
    norn_arena *arena;
    const char **at;
    size_t count, capacity;
} norn_sst_files;

/// The rows of table number `index` of a version, in files in `folder`, added to `files`.
/// Errors   of the disk; RESOURCE_EXHAUSTED
norn_status norn_sst_files_write(const norn_rocksdb *db, const char *folder, uint32_t index,
                                 const norn_table *table, norn_sst_files *files) NORN_NODISCARD;

#endif
