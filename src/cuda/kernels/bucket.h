/// Buckets of a hashed table on the GPU: eight int64 keys in 64 bytes, two choices a key, row index
/// = bucket * 8 + slot. Plain C: read by .c and .cu, so that who builds and who probes agree.
#ifndef NORN_CUDA_BUCKET_H
#define NORN_CUDA_BUCKET_H

#include <stdint.h>

#ifdef __CUDACC__
#define NORN_HOST_DEVICE __host__ __device__
#else
#define NORN_HOST_DEVICE
#endif

enum { NORN_CUDA_BUCKET_SLOTS = 8 };
/// An empty slot; so this one key cannot be in a table.
#define NORN_CUDA_BUCKET_EMPTY INT64_MIN

/// splitmix64's finaliser: the low half chooses the first bucket, the high half the second.
static inline NORN_HOST_DEVICE uint64_t norn_cuda_bucket_hash(int64_t key) {
    uint64_t x = (uint64_t)key + 0x9e3779b97f4a7c15u;
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27, x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}
static inline NORN_HOST_DEVICE uint64_t norn_cuda_bucket_first(uint64_t hash, uint64_t mask) {
    return hash & mask;
}
static inline NORN_HOST_DEVICE uint64_t norn_cuda_bucket_second(uint64_t hash, uint64_t mask) {
    uint64_t second = (hash >> 32 ^ hash * 0x9e3779b97f4a7c15u >> 40) & mask;
    return second == (hash & mask) ? second ^ (mask & 1u) : second;
}

#endif
