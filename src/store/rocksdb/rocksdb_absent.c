#include "store/rocksdb/rocksdb_tier.h"

norn_status norn_rocksdb_tier_open(const char *path, const norn_rocksdb_options *options,
                                   norn_alloc alloc, norn_tier **out) {
    (void)options;
    (void)alloc;
    *out = NULL;
    return norn_fail(NORN_UNIMPLEMENTED,
                     "%s: Norn was built without RocksDB; install librocksdb-dev and build again",
                     path);
}
