/// A bounded cache of rows of one table, by key: sets of 16 rows, in which the one least used lately
/// makes room. A row has the step that wrote it, so that a reader of an older step knows that it is not its.
///
/// Memory   18 bytes a row beside its payload, taken at once and filled as rows come.
/// Threads  any; a set has a lock of its own, which is held for one copy of a row.
#ifndef NORN_STORE_CACHE_ROW_CACHE_H
#define NORN_STORE_CACHE_ROW_CACHE_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct norn_row_set norn_row_set;

typedef struct norn_row_cache {
    norn_alloc alloc;
    norn_row_set *sets;
    char *rows;
    uint64_t set_count; ///< 0: it keeps nothing
    size_t row_bytes;
} norn_row_cache;

/// Room for what `bytes` hold, but not for more than `rows` rows (at least one set of 16).
norn_status norn_row_cache_init(norn_row_cache *cache, uint64_t rows, size_t row_bytes,
                                size_t bytes, norn_alloc alloc) NORN_NODISCARD;
void norn_row_cache_deinit(norn_row_cache *cache);

/// For keys that are got soon.
void norn_row_cache_ask(const norn_row_cache *cache, int64_t key);
/// Copy the row of `key` into `out`, if it is here and of a step up to `step`; *row_step is its own.
bool norn_row_cache_get(norn_row_cache *cache, uint64_t step, int64_t key, void *out,
                        uint64_t *row_step);
/// Keep a row that was read as of step `read_at`: only while *visible is that step.
void norn_row_cache_put(norn_row_cache *cache, const _Atomic uint64_t *visible, uint64_t read_at,
                        int64_t key, uint64_t row_step, const void *row);
/// `key` has another row now (NULL: none): where it is here, this takes its place.
void norn_row_cache_update(norn_row_cache *cache, int64_t key, uint64_t row_step, const void *row);

#endif
