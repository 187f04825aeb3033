/// Hashes: of content (64-bit, not against an adversary) and checksums of stored bytes.
#ifndef NORN_BASE_HASH_H
#define NORN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/// Fast: memory speed, 8 bytes a step or more.
uint64_t norn_hash_bytes(const void *bytes, size_t count, uint64_t seed);
static inline uint64_t norn_hash_u64(uint64_t x) { ///< splitmix64 finaliser
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27, x *= 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}
/// Of a table's key. Its bits are shared out: the low 32 choose a group of an index, the next a
/// partition, the highest 7 are a tag.
static inline uint64_t norn_hash_key(int64_t key) {
    return norn_hash_u64((uint64_t)key + UINT64_C(0x9e3779b97f4a7c15));
}
uint64_t norn_hash_text(const char *text);

/// Seeded random numbers for filled inputs and tests: xoshiro256++.
typedef struct norn_random {
    uint64_t state[4];
} norn_random;
void norn_random_init(norn_random *random, uint64_t seed);
uint64_t norn_random_u64(norn_random *random);
double norn_random_unit(norn_random *random); ///< [0, 1)

#endif
