/// Keys and values of a version's column family.
///
/// A row: u16 table, u64 key with the sign flipped, both big-endian, so that rows lie in order of
/// table and key -> u64 step (little-endian), then the row; nothing behind the step: that step
/// deleted it. There is no partition in the key: a tier holds all of a version, and sorted by key
/// alone the rows of a sorted file need no sorting and neighbours share blocks. Table 0xffff is
/// nobody's: there are the version's own records.
#ifndef NORN_STORE_ROCKSDB_KEY_H
#define NORN_STORE_ROCKSDB_KEY_H

#include <stdint.h>
#include <string.h>

enum { NORN_ROCKSDB_KEY_BYTES = 10, NORN_ROCKSDB_STEP_BYTES = 8, NORN_ROCKSDB_TABLES = 0xffff };

#define NORN_ROCKSDB_FORMS \
    "\xff\xff"             \
    "forms"
#define NORN_ROCKSDB_CUT \
    "\xff\xff"           \
    "cut"

static inline void norn_rocksdb_key(uint32_t table, int64_t key, char *out) {
    const uint16_t front = __builtin_bswap16((uint16_t)table);
    const uint64_t back = __builtin_bswap64((uint64_t)key ^ (UINT64_C(1) << 63));
    memcpy(out, &front, sizeof front);
    memcpy(out + sizeof front, &back, sizeof back);
}

#endif
