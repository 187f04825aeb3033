/// The database of a tier: how it is opened, and what its errors mean.
#ifndef NORN_STORE_ROCKSDB_DB_H
#define NORN_STORE_ROCKSDB_DB_H

#include "base/arena.h"
#include "store/rocksdb/rocksdb_tier.h"

#include <rocksdb/c.h>

typedef struct norn_rocksdb {
    norn_alloc alloc;
    norn_arena arena;
    const char *path;           ///< the tier's folder; in it:
    const char *folder;         ///< the database
    const char *loading;        ///< files of versions that are being loaded
    norn_rocksdb_options tier;  ///< without zeros
    rocksdb_options_t *options; ///< of the database and each of its column families
    rocksdb_writeoptions_t *synced, *unsynced;
    rocksdb_readoptions_t *latest;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *home; ///< of what is no version's
} norn_rocksdb;

/// The column families that an open found. `home` is among them.
typedef struct norn_rocksdb_families {
    size_t count;
    char **names;                             ///< RocksDB's
    rocksdb_column_family_handle_t **handles; ///< whoever takes one puts NULL in its place
} norn_rocksdb_families;

/// All or nothing; then the families are to be released, and later the database to be closed.
norn_status norn_rocksdb_open(const char *path, const norn_rocksdb_options *options,
                              norn_alloc alloc, norn_rocksdb *out,
                              norn_rocksdb_families *families) NORN_NODISCARD;
void norn_rocksdb_families_release(norn_rocksdb *db, norn_rocksdb_families *families);
/// All handles and snapshots are gone.
void norn_rocksdb_close(norn_rocksdb *db);

/// A folder with the files in it; what cannot be removed stays.
void norn_rocksdb_remove_folder(const char *path);

/// What became of a call whose error (NULL: none) is freed here. "PATH: cannot WHAT: REASON".
norn_status norn_rocksdb_status(const char *path, const char *what, char *error) NORN_NODISCARD;
/// A row's read went past its deadline.
bool norn_rocksdb_is_late(const char *error);

/// The value of a key as it is now; NULL: there is none. Free with rocksdb_pinnableslice_destroy.
norn_status norn_rocksdb_get(const norn_rocksdb *db, rocksdb_column_family_handle_t *family,
                             const char *key, size_t key_bytes,
                             rocksdb_pinnableslice_t **out) NORN_NODISCARD;

#endif
