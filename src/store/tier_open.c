#include "store/tier_open.h"
#include "store/cache/cache_tier.h"
#include "store/rocksdb/rocksdb_tier.h"

#include <string.h>

/// Of the memory, one part in so many is the tier's own cache: a row that is asked for again soon is
/// in the cache of rows, but one read of a block brings its neighbours.
enum { OWN_SHARE = 8 };

static norn_status open_rocksdb(const char *place, size_t memory_bytes, norn_alloc alloc,
                                norn_tier **out) {
    const norn_rocksdb_options options = {.cache_bytes = memory_bytes / OWN_SHARE};
    return norn_rocksdb_tier_open(place, &options, alloc, out);
}

static const struct scheme {
    const char *name; ///< with its colon
    norn_status (*open)(const char *place, size_t memory_bytes, norn_alloc alloc, norn_tier **out);
} schemes[] = {{"rocksdb:", open_rocksdb}};

norn_status norn_tier_open(const char *url, size_t memory_bytes, norn_alloc alloc,
                           norn_tier **out) {
    norn_tier *below;
    *out = NULL;
    if (memory_bytes == 0) memory_bytes = (size_t)NORN_TIER_MEMORY_MB << 20;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        const size_t count = strlen(schemes[i].name);
        if (strncmp(url, schemes[i].name, count) != 0) continue;
        NORN_TRY(schemes[i].open(url + count, memory_bytes, alloc, &below));
        const norn_status status =
            norn_cache_tier_create(below, memory_bytes - memory_bytes / OWN_SHARE, alloc, out);
        if (status != NORN_OK) norn_tier_close(below);
        return status;
    }
    return norn_fail(NORN_INVALID_ARGUMENT, "tier '%s': write rocksdb:DIR", url);
}
