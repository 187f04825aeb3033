#include "kernel/host_rows.h"
#include "base/hash.h"
#include "base/status.h"

enum { BATCH = 256 };

// ---- making

static norn_status fill_index(norn_key_index *index, const int64_t *keys, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint64_t row = (uint64_t)i;
        bool added;
        NORN_TRY(norn_key_index_add(index, keys[i], &row, &added));
        if (!added)
            return norn_fail(NORN_INVALID_ARGUMENT, "key %lld comes twice, in rows %llu and %lld",
                             (long long)keys[i], (unsigned long long)row, (long long)i);
    }
    return NORN_OK;
}

norn_status norn_host_rows_init(norn_host_rows *table, const int64_t *keys, const void *rows,
                                int64_t count, int64_t row_bytes, norn_alloc alloc) {
    *table = (norn_host_rows){.rows = rows,
                              .row_count = (uint64_t)count,
                              .row_bytes = (uint64_t)row_bytes,
                              .dense = !keys};
    if (!keys) return NORN_OK;
    NORN_TRY(norn_key_index_init(&table->index, (uint64_t)count, alloc));
    const norn_status status = fill_index(&table->index, keys, count);
    if (status != NORN_OK) norn_host_rows_deinit(table);
    return status;
}

void norn_host_rows_deinit(norn_host_rows *table) {
    norn_key_index_deinit(&table->index);
}

size_t norn_host_rows_index_bytes(const norn_host_rows *table) {
    return table->dense ? 0 : norn_key_index_bytes(&table->index);
}

// ---- one key

/// The newest row of a key's chain that a reader of `step` sees.
static norn_row_found row_as_of(const norn_host_rows *table, const norn_row_version *version,
                                uint64_t step) {
    uint64_t base = NORN_NO_ROW;
    for (; version; version = atomic_load_explicit(&version->older, memory_order_acquire)) {
        if (version->step <= step) {
            const void *row = version->deleted ? NULL : norn_row_version_bytes(version);
            return (norn_row_found){row, version->step, version->deleted};
        }
        base = version->base;
    }
    return (norn_row_found){.row = base < table->row_count ? table->rows + base * table->row_bytes
                                                           : NULL};
}

norn_added_slot *norn_added_slot_of(norn_added_keys *added, int64_t key) {
    uint64_t at = norn_hash_key(key) & added->mask;
    for (;; at = (at + 1) & added->mask) {
        norn_added_slot *slot = &added->slots[at];
        if (!atomic_load_explicit(&slot->newest, memory_order_acquire) || slot->key == key)
            return slot;
    }
}

/// Of a key that the full version lacks.
static norn_row_found added_row(const norn_host_rows *table, uint64_t step, int64_t key) {
    norn_added_keys *added = atomic_load_explicit(&table->added, memory_order_acquire);
    if (!added) return (norn_row_found){0};
    const norn_added_slot *slot = norn_added_slot_of(added, key);
    return row_as_of(table, atomic_load_explicit(&slot->newest, memory_order_acquire), step);
}

static norn_row_found changed_row(const norn_host_rows *table, uint64_t step, int64_t key,
                                  uint64_t place) {
    return place == NORN_NO_ROW ? added_row(table, step, key)
                                : row_as_of(table, norn_row_version_at(place), step);
}

// ---- many keys

static void dense_places(const norn_host_rows *table, const int64_t *keys, int64_t count,
                         uint64_t *places) {
    norn_row_version *_Atomic *newest = atomic_load_explicit(&table->newest, memory_order_acquire);
    for (int64_t i = 0; i < count; i++) {
        places[i] = (uint64_t)keys[i] < table->row_count ? (uint64_t)keys[i] : NORN_NO_ROW;
        if (!newest || places[i] == NORN_NO_ROW) continue;
        const norn_row_version *version =
            atomic_load_explicit(&newest[places[i]], memory_order_acquire);
        if (version) places[i] = norn_row_place(version);
    }
}

static void find_places(const norn_host_rows *table, const int64_t *keys, int64_t count,
                        uint64_t *places) {
    if (table->dense)
        dense_places(table, keys, count, places);
    else
        norn_key_index_find(&table->index, keys, count, places);
}

void norn_host_rows_find(const norn_host_rows *table, uint64_t step, const int64_t *keys,
                         int64_t count, const void **rows) {
    uint64_t places[BATCH];
    for (int64_t at = 0; at < count; at += BATCH) {
        const int64_t n = count - at < BATCH ? count - at : BATCH;
        find_places(table, keys + at, n, places);
        for (int64_t i = 0; i < n; i++) {
            if (places[i] < table->row_count)
                rows[at + i] = table->rows + places[i] * table->row_bytes;
            else
                rows[at + i] = changed_row(table, step, keys[at + i], places[i]).row;
            if (rows[at + i]) __builtin_prefetch(rows[at + i]);
        }
    }
}

norn_row_found norn_host_rows_get(const norn_host_rows *table, uint64_t step, int64_t key) {
    uint64_t place;
    find_places(table, &key, 1, &place);
    if (place < table->row_count)
        return (norn_row_found){.row = table->rows + place * table->row_bytes};
    return changed_row(table, step, key, place);
}

// ---- all of them

int64_t norn_host_rows_draw(const norn_host_rows *table, uint64_t random) {
    if (table->dense) return (int64_t)(random % table->row_count);
    uint64_t cursor = random % norn_key_index_slots(&table->index), row;
    int64_t key;
    if (norn_key_index_next(&table->index, &cursor, &key, &row)) return key;
    cursor = 0;
    (void)norn_key_index_next(&table->index, &cursor, &key, &row);
    return key;
}

/// The next key of the full version; false behind the last.
static bool next_key(const norn_host_rows *table, uint64_t *cursor, int64_t *key, uint64_t *place) {
    if (!table->dense) return norn_key_index_next(&table->index, cursor, key, place);
    if (*cursor == table->row_count) return false;
    *key = (int64_t)(*cursor)++;
    dense_places(table, key, 1, place);
    return true;
}

static const void *row_at(const norn_host_rows *table, uint64_t step, int64_t key, uint64_t place) {
    return place < table->row_count ? table->rows + place * table->row_bytes
                                    : changed_row(table, step, key, place).row;
}

int64_t norn_host_rows_list(const norn_host_rows *table, uint64_t step, uint64_t *cursor,
                            int64_t most, int64_t *keys, const void **rows) {
    const norn_added_keys *added = atomic_load_explicit(&table->added, memory_order_acquire);
    const uint64_t first_added =
        table->dense ? table->row_count : norn_key_index_slots(&table->index);
    int64_t count = 0, key;
    uint64_t place;
    while (count < most && *cursor < first_added && next_key(table, cursor, &key, &place)) {
        const void *row = row_at(table, step, key, place);
        if (!row) continue;
        keys[count] = key;
        rows[count++] = row;
    }
    for (; added && *cursor >= first_added && count < most; *cursor += 1) {
        const uint64_t at = *cursor - first_added;
        if (at > added->mask) break;
        const norn_added_slot *slot = &added->slots[at];
        const norn_row_version *newest = atomic_load_explicit(&slot->newest, memory_order_acquire);
        const void *row = newest ? row_as_of(table, newest, step).row : NULL;
        if (!row) continue;
        keys[count] = slot->key;
        rows[count++] = row;
    }
    return count;
}
