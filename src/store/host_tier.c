#include "store/host_tier.h"
#include "base/memory.h"
#include "store/key_index.h"

#include <string.h>

enum { BATCH = 256, CHUNK_ROWS = 4096 };

typedef struct host_tier {
    norn_tier base;
    norn_alloc alloc;
    bool dense;
    const char *rows; ///< of the file
    uint64_t row_count;
    norn_key_index index; ///< not of a dense tier
    char **chunks;        ///< rows that were inserted
    uint64_t chunk_count, chunk_capacity, inserted;
} host_tier;

static host_tier *host_of(norn_tier *self) {
    return (host_tier *)(void *)self;
}

static char *row_at(const host_tier *tier, uint64_t row) {
    size_t bytes = (size_t)tier->base.form.row_bytes;
    if (row < tier->row_count) return (char *)(uintptr_t)tier->rows + row * bytes;
    row -= tier->row_count;
    return tier->chunks[row / CHUNK_ROWS] + row % CHUNK_ROWS * bytes;
}

// ---- lookup

static void find(const host_tier *tier, const int64_t *keys, int64_t count, uint64_t *found) {
    if (!tier->dense) {
        norn_key_index_find(&tier->index, keys, count, found);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        found[i] = (uint64_t)keys[i] < tier->row_count ? (uint64_t)keys[i] : NORN_NO_ROW;
}

static norn_status lookup(norn_tier *self, const int64_t *keys, int64_t count, const void **row_out,
                          int64_t *missing, int64_t *missing_count) {
    const host_tier *tier = host_of(self);
    uint64_t found[BATCH];
    int64_t lacking = 0;
    for (int64_t at = 0; at < count; at += BATCH) {
        int64_t n = count - at < BATCH ? count - at : BATCH;
        find(tier, keys + at, n, found);
        for (int64_t i = 0; i < n; i++) {
            if (found[i] != NORN_NO_ROW) {
                row_out[at + i] = row_at(tier, found[i]);
                __builtin_prefetch(row_out[at + i]);
                continue;
            }
            row_out[at + i] = NULL;
            if (missing) missing[lacking] = at + i;
            lacking++;
        }
    }
    if (missing_count) *missing_count = lacking;
    return NORN_OK;
}

// ---- insert

static norn_status add_chunk(host_tier *tier) {
    void *memory;
    if (tier->chunk_count == tier->chunk_capacity) {
        uint64_t capacity = tier->chunk_capacity ? tier->chunk_capacity * 2 : 16;
        char **chunks;
        NORN_TRY(NORN_NEW_ARRAY(tier->alloc, capacity, &chunks));
        if (tier->chunk_count) memcpy(chunks, tier->chunks, tier->chunk_count * sizeof *chunks);
        norn_free(tier->alloc, tier->chunks);
        tier->chunks = chunks;
        tier->chunk_capacity = capacity;
    }
    NORN_TRY(
        norn_alloc_zeroed(tier->alloc, CHUNK_ROWS, (size_t)tier->base.form.row_bytes, &memory));
    tier->chunks[tier->chunk_count++] = memory;
    return NORN_OK;
}

static norn_status insert_one(host_tier *tier, int64_t key, const void *bytes) {
    uint64_t row = tier->row_count + tier->inserted;
    bool added;
    if (tier->inserted == tier->chunk_count * CHUNK_ROWS) NORN_TRY(add_chunk(tier));
    NORN_TRY(norn_key_index_add(&tier->index, key, &row, &added));
    if (!added && row < tier->row_count) {
        // The file's rows are read-only: the key moves to a row of ours.
        norn_key_index_move(&tier->index, key, tier->row_count + tier->inserted);
        row = tier->row_count + tier->inserted;
        added = true;
    }
    memcpy(row_at(tier, row), bytes, (size_t)tier->base.form.row_bytes);
    tier->inserted += added;
    return NORN_OK;
}

static norn_status insert(norn_tier *self, const int64_t *keys, int64_t count, const void *rows) {
    host_tier *tier = host_of(self);
    if (tier->dense) return norn_fail(NORN_FAILED_PRECONDITION, "a dense table takes no new keys");
    for (int64_t i = 0; i < count; i++)
        NORN_TRY(insert_one(tier, keys[i], (const char *)rows + i * tier->base.form.row_bytes));
    return NORN_OK;
}

// ---- life

static void stat(const norn_tier *self, norn_tier_stat *out) {
    const host_tier *tier = (const host_tier *)(const void *)self;
    *out = (norn_tier_stat){.rows = (int64_t)tier->row_count};
    if (tier->dense) return;
    out->rows = (int64_t)tier->index.count;
    out->index_bytes = norn_key_index_bytes(&tier->index);
    out->row_bytes = tier->chunk_count * CHUNK_ROWS * (size_t)tier->base.form.row_bytes;
}

static void close_tier(norn_tier *self) {
    host_tier *tier = host_of(self);
    for (uint64_t i = 0; i < tier->chunk_count; i++) norn_free(tier->alloc, tier->chunks[i]);
    norn_free(tier->alloc, tier->chunks);
    norn_key_index_deinit(&tier->index);
    norn_free(tier->alloc, tier);
}

static const norn_tier_ops host_ops = {"host", lookup, insert, stat, close_tier};

static norn_status fill_index(host_tier *tier, const int64_t *keys, int64_t count) {
    NORN_TRY(norn_key_index_init(&tier->index, (uint64_t)count, tier->alloc));
    for (int64_t i = 0; i < count; i++) {
        uint64_t row = (uint64_t)i;
        bool added;
        NORN_TRY(norn_key_index_add(&tier->index, keys[i], &row, &added));
        if (!added)
            return norn_fail(NORN_INVALID_ARGUMENT, "key %lld comes twice, in rows %llu and %lld",
                             (long long)keys[i], (unsigned long long)row, (long long)i);
    }
    return NORN_OK;
}

norn_status norn_host_tier_create(norn_row_form form, const int64_t *keys, const void *rows,
                                  int64_t count, norn_alloc alloc, norn_tier **out) {
    host_tier *tier;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &tier));
    tier->base = (norn_tier){&host_ops, form};
    tier->alloc = alloc;
    tier->dense = keys == NULL;
    tier->rows = rows;
    tier->row_count = (uint64_t)count;
    norn_status status = keys ? fill_index(tier, keys, count) : NORN_OK;
    if (status != NORN_OK) {
        close_tier(&tier->base);
        return status;
    }
    *out = &tier->base;
    return NORN_OK;
}
