/// Slots of a Redis Cluster, and the tags that put keys into chosen ones.
///
/// Source   https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
#ifndef NORN_STORE_REDIS_SLOT_H
#define NORN_STORE_REDIS_SLOT_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stddef.h>
#include <stdint.h>

enum { NORN_REDIS_SLOTS = 16384 };

/// CRC16 (XMODEM) of the key, or of what stands between its first '{' and the next '}'.
uint16_t norn_redis_slot(const void *key, size_t count);

/// Text whose slot is its partition's.
typedef struct norn_redis_tag {
    char text[6];
    uint16_t slot;
} norn_redis_tag;

/// Tag p of `partitions` (a power of two, at most 16384) has slot p * 16384 / partitions. It is the
/// first in the order 0 1 .. 9 A .. Z a .. z 00 01 .. that has, which keys on servers rely on.
norn_status norn_redis_tags_make(uint32_t partitions, norn_alloc alloc,
                                 norn_redis_tag **out) NORN_NODISCARD;

#endif
