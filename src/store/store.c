#include "store/store.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct norn_store {
    norn_alloc alloc;
    pthread_mutex_t lock;
    norn_table **tables; ///< in order of name
    size_t count, capacity;
};

/// An immutable list of tables, each retained.
typedef struct store_snapshot {
    norn_snapshot base;
    norn_alloc alloc;
    norn_table **tables;
    size_t count;
} store_snapshot;

// ---- store

norn_status norn_store_create(norn_alloc alloc, norn_store **out) {
    norn_store *store;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &store));
    store->alloc = alloc;
    pthread_mutex_init(&store->lock, NULL);
    *out = store;
    return NORN_OK;
}

void norn_store_destroy(norn_store *store) {
    if (!store) return;
    for (size_t i = 0; i < store->count; i++) norn_table_release(store->tables[i]);
    norn_free(store->alloc, store->tables);
    pthread_mutex_destroy(&store->lock);
    norn_free(store->alloc, store);
}

/// Index of the first table whose name is not before `name`.
static size_t place_of(norn_table *const *tables, size_t count, const char *name) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(tables[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/// Takes over the reference; a table of the same name is replaced. Room has been made.
static void put_table(norn_store *store, norn_table *table) {
    size_t at = place_of(store->tables, store->count, table->name);
    if (at < store->count && strcmp(store->tables[at]->name, table->name) == 0) {
        norn_table_release(store->tables[at]);
    } else {
        memmove(store->tables + at + 1, store->tables + at,
                (store->count - at) * sizeof(*store->tables));
        store->count++;
    }
    store->tables[at] = table;
}

static norn_status make_room(norn_store *store, size_t more) {
    if (store->count + more <= store->capacity) return NORN_OK;
    size_t capacity = (store->count + more) * 2;
    norn_table **tables;
    NORN_TRY(NORN_NEW_ARRAY(store->alloc, capacity, &tables));
    if (store->count) memcpy(tables, store->tables, store->count * sizeof(*tables));
    norn_free(store->alloc, store->tables);
    store->tables = tables;
    store->capacity = capacity;
    return NORN_OK;
}

// ---- folders

typedef struct opened {
    norn_table **tables;
    size_t count, capacity;
    norn_alloc alloc;
} opened;

static norn_status open_one(opened *all, const char *dir, const char *file) {
    static const char suffix[] = ".safetensors";
    size_t count = strlen(file), dir_count = strlen(dir), tail = sizeof suffix - 1;
    if (file[0] == '.' || count <= tail || strcmp(file + count - tail, suffix) != 0) return NORN_OK;
    if (all->count == all->capacity) {
        size_t capacity = all->capacity ? all->capacity * 2 : 16;
        norn_table **tables;
        NORN_TRY(NORN_NEW_ARRAY(all->alloc, capacity, &tables));
        if (all->count) memcpy(tables, all->tables, all->count * sizeof(*tables));
        norn_free(all->alloc, all->tables);
        all->tables = tables;
        all->capacity = capacity;
    }
    char *path, *name;
    NORN_TRY(norn_alloc_bytes(all->alloc, dir_count + count + 2, (void **)&path));
    memcpy(path, dir, dir_count);
    path[dir_count] = '/';
    memcpy(path + dir_count + 1, file, count + 1);
    norn_status status = norn_alloc_string(all->alloc, file, &name);
    if (status == NORN_OK) {
        name[count - tail] = '\0';
        status = norn_table_open(path, name, all->alloc, &all->tables[all->count]);
        norn_free(all->alloc, name);
    }
    all->count += status == NORN_OK;
    norn_free(all->alloc, path);
    return status;
}

static norn_status open_all(opened *all, const char *dir) {
    DIR *folder = opendir(dir);
    norn_status status = NORN_OK;
    if (!folder)
        return norn_fail(errno == EACCES ? NORN_PERMISSION_DENIED : NORN_NOT_FOUND,
                         "%s: cannot open the folder: %s", dir, strerror(errno));
    for (struct dirent *entry; status == NORN_OK && (entry = readdir(folder));)
        status = open_one(all, dir, entry->d_name);
    closedir(folder);
    return status;
}

norn_status norn_store_open_dir(norn_store *store, const char *dir) {
    opened all = {.alloc = store->alloc};
    norn_status status = open_all(&all, dir);
    if (status == NORN_OK) {
        pthread_mutex_lock(&store->lock);
        status = make_room(store, all.count);
        // All tables of a folder come at once or none does.
        if (status == NORN_OK)
            while (all.count > 0) put_table(store, all.tables[--all.count]);
        pthread_mutex_unlock(&store->lock);
    }
    while (all.count > 0) norn_table_release(all.tables[--all.count]);
    norn_free(all.alloc, all.tables);
    return status;
}

// ---- snapshots

static store_snapshot *snapshot_of(const norn_snapshot *self) {
    return (store_snapshot *)(uintptr_t)self;
}

static const norn_table_binding *find(const norn_snapshot *self, const char *name) {
    const store_snapshot *snapshot = snapshot_of(self);
    size_t at = place_of(snapshot->tables, snapshot->count, name);
    if (at == snapshot->count || strcmp(snapshot->tables[at]->name, name) != 0) return NULL;
    return &snapshot->tables[at]->binding;
}

static void destroy_snapshot(norn_snapshot *self) {
    store_snapshot *snapshot = snapshot_of(self);
    for (size_t i = 0; i < snapshot->count; i++) norn_table_release(snapshot->tables[i]);
    norn_free(snapshot->alloc, snapshot->tables);
    norn_free(snapshot->alloc, snapshot);
}

norn_status norn_store_snapshot(norn_store *store, norn_snapshot **out) {
    store_snapshot *snapshot;
    *out = NULL;
    NORN_TRY(NORN_NEW(store->alloc, &snapshot));
    snapshot->alloc = store->alloc;
    snapshot->base.find = find;
    snapshot->base.destroy = destroy_snapshot;
    atomic_init(&snapshot->base.references, 1);
    pthread_mutex_lock(&store->lock);
    norn_status status = NORN_NEW_ARRAY(store->alloc, store->count, &snapshot->tables);
    if (status == NORN_OK)
        for (; snapshot->count < store->count; snapshot->count++)
            snapshot->tables[snapshot->count] = norn_table_retain(store->tables[snapshot->count]);
    pthread_mutex_unlock(&store->lock);
    if (status != NORN_OK)
        norn_free(store->alloc, snapshot);
    else
        *out = &snapshot->base;
    return status;
}

size_t norn_snapshot_table_count(const norn_snapshot *snapshot) {
    return snapshot->find == find ? snapshot_of(snapshot)->count : 0;
}

norn_store_stat norn_snapshot_table_stat(const norn_snapshot *snapshot, size_t index) {
    const norn_table *table = snapshot_of(snapshot)->tables[index];
    return (norn_store_stat){.name = table->name,
                             .source = table->source,
                             .dtype = table->binding.dtype,
                             .dim = table->binding.dim,
                             .rows = table->binding.view.row_count,
                             .dense = table->binding.view.kind == NORN_TABLE_DENSE,
                             .index_bytes = norn_host_rows_index_bytes(&table->rows),
                             .missing =
                                 atomic_load_explicit(&table->missing, memory_order_relaxed)};
}
