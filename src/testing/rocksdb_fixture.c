#include "testing/rocksdb_fixture.h"

#include <stdio.h>
#include <string.h>

const norn_rocksdb_options rocksdb_small = {.cache_bytes = 1 << 16,
                                            .reader_threads = 2,
                                            .background_threads = 1,
                                            .buffer_bytes = 1 << 16,
                                            .file_bytes = 2048};

const char *rocksdb_new_path(void) {
    static char path[128];
    static int count;
    snprintf(path, sizeof path, "%s/rocksdb-%d", norn_tier_folder(), count++);
    return path;
}

norn_status rocksdb_create(norn_alloc alloc, norn_tier **out) {
    return norn_rocksdb_tier_open(rocksdb_new_path(), &rocksdb_small, alloc, out);
}

bool rocksdb_is_there(void) {
    norn_tier *tier;
    const norn_status status =
        norn_rocksdb_tier_open("/nowhere/at/all", NULL, norn_alloc_heap(), &tier);
    assert_int_not_equal(status, NORN_OK);
    assert_null(tier);
    if (status != NORN_UNIMPLEMENTED) return true;
    assert_non_null(strstr(norn_message(), "librocksdb-dev"));
    puts("skipped: built without RocksDB");
    return false;
}

/// RocksDB is not built with the sanitizer, which sees its memory but not how its threads agree on
/// it.
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "ignore_noninstrumented_modules=1";
}
