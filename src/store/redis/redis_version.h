/// A version in the Redis tier: where its rows lie, and what servers keep of it beside them.
///
///     n:versions          set of numbers
///     n7:{TAG 0}:version  hash: state (loading, ready, dropping), partitions, buckets, files, forms
///     n7:{TAG p}:cut      of partition p: its cut, and how many tables it has been loaded with
///     n7:0:{TAG p}:41     rows of table 0 in bucket 41: hash of key (8 bytes) -> step, row
///     n7:0:{TAG p}:KEY    or one row: step, row
/// Numbers in rows are little-endian. A row without bytes behind its step was deleted by it.
#ifndef NORN_STORE_REDIS_VERSION_H
#define NORN_STORE_REDIS_VERSION_H

#include "base/arena.h"
#include "base/hash.h"
#include "store/redis/redis_ask.h"

enum {
    NORN_REDIS_SPACE_BYTES = 64, ///< of a namespace
    NORN_REDIS_KEY_BYTES = 160,
    NORN_REDIS_STEP_BYTES = 8,
    NORN_REDIS_BUCKET_ROWS = 16 ///< that a hash is made for: by measurement
};

/// What all versions of a tier share.
typedef struct norn_redis_home {
    norn_alloc alloc;
    norn_redis_options options; ///< without zeros
    norn_redis_client *client;
    _Atomic uint64_t skewed;
} norn_redis_home;

typedef struct norn_redis_version {
    norn_version base;
    norn_redis_home *home;
    norn_arena arena;
    uint32_t partitions;
    norn_redis_tag *tags;
    uint32_t *buckets;    ///< of a partition, by table; 0: a row is a string
    const char **prefix;  ///< of keys, by table: "n7:0:{"
    pthread_mutex_t lock; ///< of the four below
    uint64_t visible;     ///< step
    uint64_t pins;
    bool dropped, written; ///< written: by this process, which knows its step
    // The writer's.
    norn_cut cut;
    norn_position *positions; ///< of the cut
    uint64_t applied;         ///< the newest step of deltas not committed; 0: there are none
    norn_buffer rows;         ///< of deltas not committed
    uint64_t row_count;
    _Atomic size_t kept_bytes; ///< of `rows`, for whoever asks
    uint64_t generation;       ///< of the client, when the cuts were right
    bool lost; ///< a failover took steps with it, and nobody has asked for the cut since
    struct norn_redis_version *next, *heap; ///< of the tier; of those being dropped
} norn_redis_version;

static inline norn_redis_version *norn_redis_version_of(const norn_version *version) {
    return (norn_redis_version *)(uintptr_t)version;
}

norn_status norn_redis_version_create(norn_redis_home *home, uint64_t number, uint32_t partitions,
                                      norn_redis_version **out) NORN_NODISCARD;
void norn_redis_version_destroy(norn_redis_version *version); ///< takes NULL
static inline uint64_t norn_redis_version_step(norn_redis_version *version) {
    pthread_mutex_lock(&version->lock);
    const uint64_t step = version->visible;
    pthread_mutex_unlock(&version->lock);
    return step;
}
/// Once tables and buckets are there.
norn_status norn_redis_version_prefixes(norn_redis_version *version) NORN_NODISCARD;

// ---- places and keys

typedef struct norn_redis_place {
    uint32_t partition, bucket;
} norn_redis_place;

static inline norn_redis_place norn_redis_place_of(const norn_redis_version *version,
                                                   uint32_t table, int64_t key) {
    const uint64_t hash = norn_hash_key(key);
    return (norn_redis_place){(uint32_t)(hash >> 32) & (version->partitions - 1),
                              (uint32_t)((uint64_t)(uint32_t)hash * version->buckets[table] >> 32)};
}

size_t norn_redis_row_key(const norn_redis_version *version, uint32_t table, int64_t key,
                          norn_redis_place place, char *out);
size_t norn_redis_cut_key(const norn_redis_version *version, uint32_t partition, char *out);
/// GET or HGET of a row.
void norn_redis_put_get(const norn_redis_version *version, uint32_t table, int64_t key,
                        norn_buffer *out);
/// SET or HSET of a row; `row` NULL: that it was deleted.
void norn_redis_put_set(const norn_redis_version *version, uint32_t table, int64_t key,
                        uint64_t step, const void *row, size_t row_bytes, norn_buffer *out);

// ---- records

/// What is written into a version before its rows, and read by who opens it.
/// files: what they were, so that a load goes on with the same ones only.
norn_status norn_redis_version_write(norn_redis_version *version, const char *state,
                                     const char *files) NORN_NODISCARD;
norn_status norn_redis_version_state(norn_redis_version *version, const char *state) NORN_NODISCARD;
typedef struct norn_redis_record {
    char state[16]; ///< "": there is none
    char files[1024];
} norn_redis_record;
/// *out is NULL where the version has no record, or one that says it is being dropped.
/// Errors   DATA_LOSS: it is damaged; UNAVAILABLE; RESOURCE_EXHAUSTED
norn_status norn_redis_version_read(norn_redis_home *home, uint64_t number,
                                    norn_redis_record *record,
                                    norn_redis_version **out) NORN_NODISCARD;
/// The record is in the slot of the first tag, which all numbers of partitions share.
size_t norn_redis_record_key(const norn_redis_home *home, uint64_t number, uint16_t *slot,
                             char *out);

// ---- cuts

/// Where the partitions stand.
typedef struct norn_redis_cuts {
    norn_buffer least;   ///< the cut of the one that is behind
    uint64_t least_step; ///< its step
    uint32_t least_loaded;
    uint32_t absent; ///< partitions without a cut
    uint32_t behind; ///< partitions before `steps`
} norn_redis_cuts;

/// steps: by partition, what each must have at least; loaded: out, tables by partition. Either NULL.
norn_status norn_redis_cuts_read(norn_redis_version *version, const uint64_t *steps,
                                 uint32_t *loaded, norn_redis_cuts *out) NORN_NODISCARD;
void norn_redis_cuts_deinit(norn_redis_cuts *cuts);
/// Makes the least of the cuts the version's. Errors: DATA_LOSS, RESOURCE_EXHAUSTED
norn_status norn_redis_cuts_take(norn_redis_version *version,
                                 const norn_redis_cuts *cuts) NORN_NODISCARD;
/// A cut of a partition as servers keep it.
void norn_redis_cut_write(const norn_cut *cut, uint32_t loaded, norn_buffer *out);
/// Of outside bytes. Errors: DATA_LOSS
norn_status norn_redis_cut_look(norn_span bytes, uint64_t *step, uint32_t *loaded) NORN_NODISCARD;

int64_t norn_redis_deadline(const norn_redis_home *home); ///< of everything but fetches, from now

#endif
