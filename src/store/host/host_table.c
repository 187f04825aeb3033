#include "store/host/host_table.h"
#include "base/checked.h"
#include "base/memory.h"

#include <string.h>

enum { CHUNK_ROWS = 256, ADDED_SLOTS = 64 };

typedef struct norn_row_chunk {
    struct norn_row_chunk *next;
    char reserved[56]; // rows begin on a cache line
} norn_row_chunk;

typedef struct norn_old_keys {
    struct norn_old_keys *next;
    norn_added_keys *keys;
} norn_old_keys;

/// Stands for a key that was added and taken back: its slot cannot be free again, for a search
/// would end there.
static norn_row_version nothing = {.step = UINT64_MAX, .base = NORN_NO_ROW};

// ---- memory of rows

static norn_status add_chunk(norn_host_table *table) {
    size_t row, bytes;
    void *memory;
    if (!norn_size_add(sizeof(norn_row_version), (size_t)table->rows.row_bytes, &row) ||
        !norn_size_mul(norn_align_up(row, 16), CHUNK_ROWS, &bytes) ||
        !norn_size_add(bytes, sizeof(norn_row_chunk), &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: rows of %llu byte%s",
                         (unsigned long long)table->rows.row_bytes,
                         norn_plural(table->rows.row_bytes));
    NORN_TRY(norn_alloc_bytes(table->alloc, bytes, &memory));
    norn_row_chunk *chunk = memory;
    chunk->next = table->chunks;
    table->chunks = chunk;
    table->bytes += bytes;
    char *at = (char *)(chunk + 1);
    for (int i = 0; i < CHUNK_ROWS; i++, at += norn_align_up(row, 16)) {
        norn_row_version *version = (norn_row_version *)(void *)at;
        version->next = table->unused;
        table->unused = version;
    }
    return NORN_OK;
}

static norn_status take_row(norn_host_table *table, norn_row_version **out) {
    if (!table->unused) NORN_TRY(add_chunk(table));
    *out = table->unused;
    table->unused = table->unused->next;
    return NORN_OK;
}

static void give_row(norn_host_table *table, norn_row_version *version) {
    version->next = table->unused;
    table->unused = version;
}

static void retire(norn_host_table *table, norn_row_version *version, uint64_t epoch) {
    version->retired = epoch;
    version->next = NULL;
    *table->retired.last = version;
    table->retired.last = &version->next;
}

void norn_host_table_reclaim(norn_host_table *table, uint64_t oldest) {
    norn_row_list *list = &table->retired;
    while (list->first && list->first->retired < oldest) {
        norn_row_version *version = list->first;
        list->first = version->next;
        give_row(table, version);
    }
    if (!list->first) list->last = &list->first;
}

// ---- where a key's newest row stands

typedef struct entry {
    _Atomic uint64_t *place;           ///< of a key of the full version
    norn_row_version *_Atomic *newest; ///< else
    norn_added_slot *slot;             ///< of an added key, perhaps free
    uint64_t base;
} entry;

static norn_row_version *head_of(const entry *at) {
    norn_row_version *head;
    if (at->place) {
        const uint64_t place = atomic_load_explicit(at->place, memory_order_relaxed);
        return place & NORN_ROW_CHANGED ? norn_row_version_at(place) : NULL;
    }
    head = atomic_load_explicit(at->newest, memory_order_relaxed);
    return head == &nothing ? NULL : head;
}

/// Release: a reader that comes to `version` sees what was written into it.
static void set_head(const entry *at, norn_row_version *version) {
    if (at->place)
        atomic_store_explicit(at->place, version ? norn_row_place(version) : at->base,
                              memory_order_release);
    else
        atomic_store_explicit(at->newest, version || !at->slot ? version : &nothing,
                              memory_order_release);
}

static norn_status make_newest(norn_host_table *table) {
    const size_t count = (size_t)table->rows.row_count;
    void *newest;
    NORN_TRY(norn_alloc_zeroed(table->alloc, count, sizeof(norn_row_version *), &newest));
    table->bytes += count * sizeof(norn_row_version *);
    atomic_store_explicit(&table->rows.newest, newest, memory_order_release);
    return NORN_OK;
}

static norn_status make_added(norn_host_table *table, uint64_t slots, norn_added_keys **out) {
    size_t bytes;
    if (!norn_size_mul(slots, sizeof(norn_added_slot), &bytes) ||
        !norn_size_add(bytes, sizeof(norn_added_keys), &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %llu added key%s",
                         (unsigned long long)slots, norn_plural(slots));
    NORN_TRY(norn_alloc_zeroed(table->alloc, 1, bytes, (void **)out));
    (*out)->mask = slots - 1;
    table->bytes += bytes;
    return NORN_OK;
}

/// Readers may be in the keys of before: they are kept, at most as much again as the new ones take.
static norn_status grow_added(norn_host_table *table, norn_added_keys *before) {
    norn_added_keys *bigger;
    norn_old_keys *old;
    NORN_TRY(NORN_NEW(table->alloc, &old));
    const norn_status status = make_added(table, (before->mask + 1) * 2, &bigger);
    if (status != NORN_OK) {
        norn_free(table->alloc, old);
        return status;
    }
    for (uint64_t i = 0; i <= before->mask; i++) {
        norn_row_version *newest =
            atomic_load_explicit(&before->slots[i].newest, memory_order_relaxed);
        if (!newest || newest == &nothing) continue;
        norn_added_slot *slot = norn_added_slot_of(bigger, before->slots[i].key);
        slot->key = before->slots[i].key;
        atomic_init(&slot->newest, newest);
        bigger->count++;
    }
    *old = (norn_old_keys){table->old_added, before};
    table->old_added = old;
    atomic_store_explicit(&table->rows.added, bigger, memory_order_release);
    return NORN_OK;
}

static norn_status find_added(norn_host_table *table, int64_t key, entry *out) {
    norn_added_keys *added = atomic_load_explicit(&table->rows.added, memory_order_relaxed);
    if (!added) {
        NORN_TRY(make_added(table, ADDED_SLOTS, &added));
        atomic_store_explicit(&table->rows.added, added, memory_order_release);
    }
    norn_added_slot *slot = norn_added_slot_of(added, key);
    if (!atomic_load_explicit(&slot->newest, memory_order_relaxed) &&
        added->count > added->mask / 2) {
        NORN_TRY(grow_added(table, added));
        added = atomic_load_explicit(&table->rows.added, memory_order_relaxed);
        slot = norn_added_slot_of(added, key);
    }
    *out = (entry){.newest = &slot->newest, .slot = slot, .base = NORN_NO_ROW};
    return NORN_OK;
}

static norn_status find_dense(norn_host_table *table, int64_t key, entry *out) {
    if ((uint64_t)key >= table->rows.row_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "key %lld is outside a dense table of %llu row%s",
                         (long long)key, (unsigned long long)table->rows.row_count,
                         norn_plural(table->rows.row_count));
    norn_row_version *_Atomic *newest =
        atomic_load_explicit(&table->rows.newest, memory_order_relaxed);
    if (!newest) {
        NORN_TRY(make_newest(table));
        newest = atomic_load_explicit(&table->rows.newest, memory_order_relaxed);
    }
    *out = (entry){.newest = &newest[key], .base = (uint64_t)key};
    return NORN_OK;
}

static norn_status find_entry(norn_host_table *table, int64_t key, entry *out) {
    if (table->rows.dense) return find_dense(table, key, out);
    _Atomic uint64_t *place = norn_key_index_at(&table->rows.index, key);
    if (!place) return find_added(table, key, out);
    *out = (entry){.place = place, .base = atomic_load_explicit(place, memory_order_relaxed)};
    if (out->base & NORN_ROW_CHANGED) out->base = norn_row_version_at(out->base)->base;
    return NORN_OK;
}

// ---- writing

static void write_row(const norn_host_table *table, norn_row_version *version, const void *row) {
    version->deleted = row == NULL;
    if (row) memcpy(norn_row_version_bytes(version), row, (size_t)table->rows.row_bytes);
}

/// In front of what the key has.
static norn_status push_row(norn_host_table *table, const entry *at, uint64_t step, int64_t key,
                            const void *row, norn_row_version **out) {
    norn_row_version *version, *head = head_of(at);
    NORN_TRY(take_row(table, &version));
    version->step = step;
    version->base = at->base;
    version->key = key;
    version->pending = version->replaced = false;
    version->next = NULL;
    atomic_init(&version->older, head);
    write_row(table, version, row);
    if (at->slot && !atomic_load_explicit(&at->slot->newest, memory_order_relaxed)) {
        at->slot->key = key;
        atomic_load_explicit(&table->rows.added, memory_order_relaxed)->count++;
    }
    set_head(at, version);
    *out = version;
    return NORN_OK;
}

norn_status norn_host_table_put(norn_host_table *table, uint64_t step, int64_t key,
                                const void *row) {
    norn_row_version *version;
    entry at;
    NORN_TRY(find_entry(table, key, &at));
    norn_row_version *head = head_of(&at);
    if (head && head->step >= step) {
        if (head->step == step && head->pending) write_row(table, head, row);
        return NORN_OK;
    }
    NORN_TRY(push_row(table, &at, step, key, row, &version));
    version->pending = true;
    version->next = table->pending.first;
    table->pending.first = version;
    return NORN_OK;
}

norn_status norn_host_table_fill(norn_host_table *table, uint64_t step, uint64_t epoch, int64_t key,
                                 const void *row, bool *kept) {
    norn_row_version *version;
    entry at;
    *kept = false;
    NORN_TRY(find_entry(table, key, &at));
    norn_row_version *head = head_of(&at);
    if (head ? head->step >= step : at.base != NORN_NO_ROW && step == 0) return NORN_OK;
    NORN_TRY(push_row(table, &at, step, key, row, &version));
    if (step > table->changed_step) table->changed_step = step;
    if (head) retire(table, head, epoch);
    *kept = true;
    return NORN_OK;
}

void norn_host_table_commit(norn_host_table *table, uint64_t epoch) {
    for (norn_row_version *version = table->pending.first, *next; version; version = next) {
        norn_row_version *older = atomic_load_explicit(&version->older, memory_order_relaxed);
        next = version->next;
        version->pending = false;
        if (version->step > table->changed_step) table->changed_step = version->step;
        if (older && older->pending)
            older->replaced = true; // it comes later in this list, which its `next` is part of
        else if (older)
            retire(table, older, epoch);
        if (version->replaced) retire(table, version, epoch);
    }
    table->pending.first = NULL;
}

void norn_host_table_abort(norn_host_table *table, uint64_t epoch) {
    for (norn_row_version *version = table->pending.first, *next; version; version = next) {
        entry at;
        next = version->next;
        version->pending = false;
        // The key is there, so nothing is made and this cannot fail.
        if (find_entry(table, version->key, &at) == NORN_OK)
            set_head(&at, atomic_load_explicit(&version->older, memory_order_relaxed));
        retire(table, version, epoch);
    }
    table->pending.first = NULL;
}

// ---- life

norn_status norn_host_table_init(norn_host_table *table, const int64_t *keys, const void *rows,
                                 int64_t count, int64_t row_bytes, norn_alloc alloc) {
    *table = (norn_host_table){.alloc = alloc};
    table->retired.last = &table->retired.first;
    return norn_host_rows_init(&table->rows, keys, rows, count, row_bytes, alloc);
}

void norn_host_table_deinit(norn_host_table *table) {
    if (!table->alloc.release) return;
    for (norn_row_chunk *chunk = table->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        norn_free(table->alloc, chunk);
    }
    for (norn_old_keys *old = table->old_added, *next; old; old = next) {
        next = old->next;
        norn_free(table->alloc, old->keys);
        norn_free(table->alloc, old);
    }
    norn_free(table->alloc, table->rows.added);
    norn_free(table->alloc, (void *)(uintptr_t)table->rows.newest);
    norn_host_rows_deinit(&table->rows);
    *table = (norn_host_table){0};
}
