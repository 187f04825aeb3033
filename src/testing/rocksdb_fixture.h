/// RocksDB tiers in the folder of a group's versions, for tests.
#ifndef NORN_TESTING_ROCKSDB_FIXTURE_H
#define NORN_TESTING_ROCKSDB_FIXTURE_H

#include "store/rocksdb/rocksdb_tier.h"
#include "testing/tier_fixture.h"

/// Several files a table, a cache that rows do not fit in, two readers, and buffers that a few
/// steps fill, so that files are written and merged all the time.
extern const norn_rocksdb_options rocksdb_small;

/// A path where nothing is yet; borrowed until the next call.
const char *rocksdb_new_path(void);
/// A tier in a folder of its own: a norn_tier_create_fn.
norn_status rocksdb_create(norn_alloc alloc, norn_tier **out);
/// False, and what is said then was looked at, where Norn was built without RocksDB.
bool rocksdb_is_there(void);

#endif
