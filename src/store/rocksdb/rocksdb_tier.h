/// The RocksDB tier: versions whose rows lie in a folder on this machine, for tables that outgrow
/// its memory. DURABLE: they are there again after an open, each at the last step that was
/// committed.
///
/// A version is a column family of its own: its rows by (table, key), its tables' forms and its
/// cut. So one batch of keys reads all tables, rows and cut go down in one atomic write, and a drop
/// is one.
///
/// Steps    A step is kept in memory until `commit` writes it as one batch: nobody can see a part
///          of it, and what a crash leaves is a whole step. A pin holds RocksDB's snapshot of the
///          database as it was after the commit of its step (pins of one step share it), so what it
///          sees is exactly that step, whatever is written beside it.
/// Loading  Sorted files are written first, of one table at a time, then taken over by moving them.
///          What a killed load had finished is used by the next one of the same version, where the
///          file's contents are the same.
/// Failure  A fetch that meets damage (DATA_LOSS) or a failing disk (UNAVAILABLE) fails as a whole;
///          the reason is in the log. After a full disk writing goes on once there is room; after
///          other errors while writing RocksDB takes no more until the tier is opened again.
///          Reading goes on.
/// Memory   RocksDB's own (cache, tables being written, the step being applied) does not come from
///          the allocator. A tier_stat has of it what belongs to one version; the cache belongs to
///          all.
#ifndef NORN_STORE_ROCKSDB_TIER_H
#define NORN_STORE_ROCKSDB_TIER_H

#include "store/tier.h"

/// Zero is a default. NULL options: all of them.
typedef struct norn_rocksdb_options {
    /// Blocks of rows that were read. Default 1 GiB: more helps (the system keeps files' pages
    /// besides, but those have to be checked and looked through again). The files' indexes and
    /// filters are in memory beside it, about 3 bytes a row (a tier_stat's index_bytes).
    size_t cache_bytes;
    /// Threads that read. Default 8: a read that has to wait for the disk occupies its thread, and
    /// disks answer that many at once as fast as one.
    uint32_t reader_threads;
    /// Threads that write what was applied into sorted files and merge them. Default 2.
    uint32_t background_threads;
    /// What was applied is in memory, and in the log that an open reads again, until there is so
    /// much of it; then it becomes a sorted file. Default 64 MiB: fewer files are merged less
    /// often.
    size_t buffer_bytes;
    /// The most that one step may have. Default 1 GiB: it is in memory until it is committed.
    size_t step_bytes;
    /// How long a loaded file gets. Default 256 MiB: what a killed load has to do again, at most.
    size_t file_bytes;
} norn_rocksdb_options;

/// Opens the tier of a folder, which is made where it is missing (not its parents).
/// Errors   UNIMPLEMENTED: built without RocksDB; FAILED_PRECONDITION: another process has it open,
///          or it is no folder of this tier; DATA_LOSS; UNAVAILABLE; PERMISSION_DENIED; NOT_FOUND:
///          no parent; RESOURCE_EXHAUSTED
norn_status norn_rocksdb_tier_open(const char *path, const norn_rocksdb_options *options,
                                   norn_alloc alloc, norn_tier **out) NORN_NODISCARD;

#endif
