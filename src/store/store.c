#include "store/store.h"
#include "base/memory.h"
#include "store/host/host_tier.h"
#include "store/store_snapshot.h"

#include <pthread.h>
#include <string.h>

/// A version that some table of the store is of.
typedef struct store_version {
    struct store_version *next;
    norn_tier *tier;
    norn_version *version;
    norn_store_attached *attached; ///< of a tier that is not the store's; else NULL
    uint32_t used;                 ///< tables; 0: it is dropped
} store_version;

typedef struct store_table {
    store_version *of;
    uint32_t table;
} store_table;

struct norn_store {
    norn_alloc alloc;
    pthread_mutex_t lock;
    norn_store_home *home;
    store_version *versions; ///< newest first
    store_table *tables;     ///< in order of name
    size_t count, capacity;
    uint64_t next_number;
};

norn_status norn_store_create(norn_alloc alloc, norn_store **out) {
    norn_store *store;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &store));
    store->alloc = alloc;
    store->next_number = 1;
    const norn_status status = norn_store_home_create(alloc, &store->home);
    if (status != NORN_OK) {
        norn_free(alloc, store);
        return status;
    }
    pthread_mutex_init(&store->lock, NULL);
    *out = store;
    return NORN_OK;
}

/// Its tables are somebody's no more; pins keep what they hold.
static void drop_version(norn_store *store, store_version *old) {
    store_version **at = &store->versions;
    while (*at != old) at = &(*at)->next;
    *at = old->next;
    if (!old->attached) old->tier->ops->drop(old->tier, old->version);
    norn_free(store->alloc, old);
}

void norn_store_destroy(norn_store *store) {
    if (!store) return;
    while (store->versions) drop_version(store, store->versions);
    norn_store_home_release(store->home);
    norn_free(store->alloc, store->tables);
    pthread_mutex_destroy(&store->lock);
    norn_free(store->alloc, store);
}

// ---- opening

static const char *name_of(const store_table *table) {
    return table->of->version->tables[table->table].name;
}

/// Index of the first table whose name is not before `name`.
static size_t place_of(const norn_store *store, const char *name) {
    size_t low = 0, high = store->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(name_of(&store->tables[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/// A table of the same name is replaced. Room has been made.
static void put_table(norn_store *store, store_version *of, uint32_t table) {
    const char *name = of->version->tables[table].name;
    const size_t at = place_of(store, name);
    if (at < store->count && strcmp(name_of(&store->tables[at]), name) == 0) {
        store->tables[at].of->used--;
    } else {
        memmove(store->tables + at + 1, store->tables + at,
                (store->count - at) * sizeof(*store->tables));
        store->count++;
    }
    store->tables[at] = (store_table){of, table};
    of->used++;
}

static norn_status make_room(norn_store *store, size_t more) {
    if (store->count + more <= store->capacity) return NORN_OK;
    size_t capacity = (store->count + more) * 2;
    store_table *tables;
    NORN_TRY(NORN_NEW_ARRAY(store->alloc, capacity, &tables));
    if (store->count) memcpy(tables, store->tables, store->count * sizeof(*tables));
    norn_free(store->alloc, store->tables);
    store->tables = tables;
    store->capacity = capacity;
    return NORN_OK;
}

/// All tables of a version come at once.
static void put_version(norn_store *store, store_version *of) {
    of->next = store->versions;
    store->versions = of;
    for (uint32_t t = 0; t < of->version->table_count; t++) put_table(store, of, t);
    for (store_version *at = of->next, *next; at; at = next) {
        next = at->next;
        if (at->used == 0) drop_version(store, at);
    }
}

norn_status norn_store_open_version(norn_store *store, const char *model, uint64_t number,
                                    const char *dir) {
    norn_tier *tier = store->home->tier;
    store_version *made = NULL;
    norn_version *version = NULL;
    norn_status status;
    NORN_TRY(NORN_NEW(store->alloc, &made));
    NORN_TRY_DONE(tier->ops->load(tier, number, dir, &version));
    made->tier = tier;
    made->version = version;
    pthread_mutex_lock(&store->lock);
    status = make_room(store, version->table_count);
    if (status == NORN_OK) status = norn_store_home_name(store->home, model);
    if (status == NORN_OK) {
        put_version(store, made);
        if (number >= store->next_number) store->next_number = number + 1;
        made = NULL;
        version = NULL;
    }
    pthread_mutex_unlock(&store->lock);
done:
    if (version) tier->ops->drop(tier, version);
    norn_free(store->alloc, made);
    return status;
}

norn_status norn_store_open_dir(norn_store *store, const char *dir) {
    pthread_mutex_lock(&store->lock);
    const uint64_t number = store->next_number++;
    pthread_mutex_unlock(&store->lock);
    return norn_store_open_version(store, "", number, dir);
}

norn_status norn_store_attach(norn_store *store, norn_tier *tier, norn_version *version,
                              const norn_fetch_rule *rules) {
    store_version *made;
    NORN_TRY(NORN_NEW(store->alloc, &made));
    made->tier = tier;
    made->version = version;
    pthread_mutex_lock(&store->lock);
    norn_status status = make_room(store, version->table_count);
    if (status == NORN_OK)
        status = norn_store_home_attach(store->home, version->table_count, rules, &made->attached);
    if (status == NORN_OK) put_version(store, made);
    pthread_mutex_unlock(&store->lock);
    if (status != NORN_OK) norn_free(store->alloc, made);
    return status;
}

norn_tier *norn_store_tier(norn_store *store) {
    return store->home->tier;
}

norn_version *norn_store_version(norn_store *store) {
    pthread_mutex_lock(&store->lock);
    const store_version *at = store->versions;
    while (at && at->attached) at = at->next;
    norn_version *version = at ? at->version : NULL;
    pthread_mutex_unlock(&store->lock);
    return version;
}

// ---- snapshots

static norn_status fill_snapshot(norn_store *store, norn_store_snapshot_maker *maker) {
    for (const store_version *at = store->versions; at; at = at->next)
        NORN_TRY(norn_store_snapshot_pin(maker, at->tier, at->version));
    for (size_t i = 0; i < store->count; i++)
        norn_store_snapshot_add(maker, store->tables[i].of->version, store->tables[i].table,
                                store->tables[i].of->attached);
    return NORN_OK;
}

static size_t count_versions(const norn_store *store) {
    size_t count = 0;
    for (const store_version *at = store->versions; at; at = at->next) count++;
    return count;
}

norn_status norn_store_snapshot(norn_store *store, norn_snapshot **out) {
    norn_store_snapshot_maker maker;
    *out = NULL;
    pthread_mutex_lock(&store->lock);
    norn_status status = norn_store_snapshot_begin(store->home, count_versions(store), store->count,
                                                   store->alloc, &maker);
    if (status == NORN_OK) {
        status = fill_snapshot(store, &maker);
        *out = norn_store_snapshot_end(&maker, status);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}
