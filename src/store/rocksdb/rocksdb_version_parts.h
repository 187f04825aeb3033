/// What the files of a version share.
#ifndef NORN_STORE_ROCKSDB_VERSION_PARTS_H
#define NORN_STORE_ROCKSDB_VERSION_PARTS_H

#include "store/rocksdb/rocksdb_version.h"

/// Without its snapshot, which is taken when what it is of has been written. Until then norn_free
/// ends it.
norn_status norn_rocksdb_view_make(norn_rocksdb_version *version,
                                   norn_rocksdb_view **out) NORN_NODISCARD;
/// The database as it is now, for later pins. `writing` is held, or nobody knows the version yet.
void norn_rocksdb_view_publish(norn_rocksdb_version *version, norn_rocksdb_view *view,
                               uint64_t step);
norn_status norn_rocksdb_put_cut(norn_rocksdb_version *version, rocksdb_writebatch_t *batch,
                                 const norn_cut *cut) NORN_NODISCARD;
/// All of a batch or nothing; synced: it is on the disk on OK.
norn_status norn_rocksdb_write(norn_rocksdb_version *version, rocksdb_writebatch_t *batch,
                               const rocksdb_writeoptions_t *how) NORN_NODISCARD;
void norn_rocksdb_cut_free(norn_alloc alloc, const norn_cut *cut); ///< its positions

#endif
