/// Embedding tables on the GPU: dense ones as they are, hashed ones as buckets of eight keys.
#include "cuda/backend.h"
#include "cuda/kernels/bucket.h"
#include "kernel/host_rows.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/// What a binding owns; `owner` of the binding points here.
typedef struct table_memory {
    norn_alloc alloc;
    norn_cuda_uploader *uploader;
    void *rows, *buckets, *default_row;
    _Atomic uint64_t *missing; ///< device memory that kernels add to
    /// The host's, which gets the sum when somebody asks, and at the end.
    _Atomic uint64_t *counter;
    uint64_t told;        ///< of `missing`: what `counter` has already
    pthread_mutex_t lock; ///< of `told`
} table_memory;

static norn_status tell_counter(table_memory *memory) {
    const void *missing = (const void *)(uintptr_t)memory->missing;
    uint64_t count = 0;
    if (!missing || !memory->counter) return NORN_OK;
    pthread_mutex_lock(&memory->lock);
    const norn_status status = norn_cuda_status(
        cudaMemcpy(&count, missing, sizeof count, cudaMemcpyDeviceToHost), "missing keys");
    if (status == NORN_OK) {
        atomic_fetch_add(memory->counter, count - memory->told);
        memory->told = count;
    }
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static void table_free(table_memory *memory) {
    (void)tell_counter(memory); // a device that does not answer any more has lost them
    pthread_mutex_destroy(&memory->lock);
    (void)cudaFree((void *)(uintptr_t)memory->missing);
    (void)cudaFree(memory->rows);
    (void)cudaFree(memory->buckets);
    (void)cudaFree(memory->default_row);
    norn_free(memory->alloc, memory);
}

static norn_status upload(const table_memory *memory, const void *host, size_t bytes, void **out) {
    NORN_TRY(norn_cuda_status(cudaMalloc(out, bytes ? bytes : 1), "table memory"));
    return norn_cuda_uploader_run(memory->uploader, *out, host, bytes);
}

// ---- hashed tables
typedef struct bucket_table {
    int64_t *keys;    ///< (mask + 1) * 8
    const void **row; ///< by slot: the host's row, NULL when empty
    uint64_t mask;
} bucket_table;

static int free_slot(const bucket_table *table, uint64_t bucket) {
    for (int i = 0; i < NORN_CUDA_BUCKET_SLOTS; i++)
        if (!table->row[bucket * NORN_CUDA_BUCKET_SLOTS + (uint64_t)i]) return i;
    return -1;
}

/// Cuckoo: the emptier bucket, else push somebody out. False when it does not settle.
static bool insert(bucket_table *table, int64_t key, const void *row) {
    enum { MOVES = 512 };
    uint64_t hash = norn_cuda_bucket_hash(key), bucket = norn_cuda_bucket_first(hash, table->mask);
    if (free_slot(table, bucket) < 0) bucket = norn_cuda_bucket_second(hash, table->mask);
    for (int move = 0; move < MOVES; move++) {
        int slot = free_slot(table, bucket);
        bool found = slot >= 0;
        if (!found) slot = move * 5 % NORN_CUDA_BUCKET_SLOTS;
        uint64_t at = bucket * NORN_CUDA_BUCKET_SLOTS + (uint64_t)slot;
        const int64_t out_key = table->keys[at];
        const void *out_row = table->row[at];
        table->keys[at] = key;
        table->row[at] = row;
        if (found) return true;
        key = out_key, row = out_row;
        hash = norn_cuda_bucket_hash(key);
        uint64_t first = norn_cuda_bucket_first(hash, table->mask);
        bucket = first == bucket ? norn_cuda_bucket_second(hash, table->mask) : first;
    }
    return false;
}

static norn_status fill_buckets(norn_alloc alloc, const norn_table_binding *host, uint64_t buckets,
                                bucket_table *table, bool *settled) {
    enum { RUN = 256 };
    const norn_table_view *view = &host->view;
    const void *rows[RUN];
    int64_t keys[RUN], count;
    uint64_t cursor = 0;
    size_t slots = buckets * NORN_CUDA_BUCKET_SLOTS;
    table->mask = buckets - 1;
    *settled = true;
    NORN_TRY(NORN_NEW_ARRAY(alloc, slots, &table->keys));
    NORN_TRY(NORN_NEW_ARRAY(alloc, slots, &table->row));
    for (size_t i = 0; i < slots; i++) table->keys[i] = NORN_CUDA_BUCKET_EMPTY;
    while (*settled && (count = norn_host_rows_list(view->host.rows, view->host.step, &cursor, RUN,
                                                    keys, rows)) > 0)
        for (int64_t i = 0; i < count && *settled; i++) {
            if (keys[i] == NORN_CUDA_BUCKET_EMPTY)
                return norn_fail(NORN_INVALID_ARGUMENT, "table '%s': key %lld is reserved on CUDA",
                                 host->name, (long long)keys[i]);
            *settled = insert(table, keys[i], rows[i]);
        }
    return NORN_OK;
}

static norn_status upload_buckets(norn_alloc alloc, const norn_table_binding *host,
                                  const bucket_table *table, table_memory *memory) {
    const size_t slots = (table->mask + 1) * NORN_CUDA_BUCKET_SLOTS,
                 row_bytes = (size_t)host->view.row_bytes;
    char *rows = NULL;
    NORN_TRY(norn_alloc_zeroed(alloc, slots, row_bytes, (void **)&rows));
    for (size_t i = 0; i < slots; i++)
        if (table->row[i]) memcpy(rows + i * row_bytes, table->row[i], row_bytes);
    norn_status status = upload(memory, rows, slots * row_bytes, &memory->rows);
    norn_free(alloc, rows);
    return status == NORN_OK
               ? upload(memory, table->keys, slots * sizeof *table->keys, &memory->buckets)
               : status;
}

/// Keys that deltas added count too.
static uint64_t count_rows(const norn_table_view *view) {
    const norn_added_keys *added =
        atomic_load_explicit(&view->host.rows->added, memory_order_acquire);
    return view->host.rows->row_count + (added ? added->count : 0);
}

static norn_status bind_hashed(norn_alloc alloc, const norn_table_binding *host,
                               table_memory *memory, norn_table_binding *out) {
    bucket_table table = {0};
    bool settled = false;
    norn_status status = NORN_OK;
    const uint64_t count = count_rows(&host->view);
    uint64_t buckets = 2; // at most four fifths full
    while (buckets * NORN_CUDA_BUCKET_SLOTS * 4 / 5 < count) buckets *= 2;
    for (int grow = 0; grow < 4 && !settled; grow++, buckets *= 2) {
        norn_free(alloc, table.keys);
        norn_free(alloc, table.row);
        table = (bucket_table){0};
        NORN_TRY_DONE(fill_buckets(alloc, host, buckets, &table, &settled));
    }
    if (!settled) {
        status =
            norn_fail(NORN_INTERNAL, "table '%s': its keys do not settle in buckets", host->name);
        goto done;
    }
    NORN_TRY_DONE(upload_buckets(alloc, host, &table, memory));
    out->view.kind = NORN_TABLE_DEVICE_CACHE;
    out->view.cache.rows = memory->rows;
    out->view.cache.buckets = memory->buckets;
    out->view.cache.bucket_mask = table.mask;
done:
    norn_free(alloc, table.keys);
    norn_free(alloc, table.row);
    return status;
}

// ---- binding
static norn_status bind_dense(const norn_table_binding *host, table_memory *memory,
                              norn_table_binding *out) {
    const norn_table_view *view = &host->view;
    NORN_TRY(upload(memory, view->dense.rows, (size_t)view->row_count * (size_t)view->row_bytes,
                    &memory->rows));
    out->view.dense.rows = memory->rows;
    return NORN_OK;
}

static norn_status bind(const norn_table_binding *host, table_memory *memory,
                        norn_table_binding *out) {
    const norn_table_view *view = &host->view;
    if (view->kind == NORN_TABLE_HOST_INDEX)
        NORN_TRY(bind_hashed(memory->alloc, host, memory, out));
    else
        NORN_TRY(bind_dense(host, memory, out));
    if (view->default_row)
        NORN_TRY(upload(memory, view->default_row, (size_t)view->row_bytes, &memory->default_row));
    const uint64_t zero = 0;
    void *counter = NULL;
    norn_status status = upload(memory, &zero, sizeof zero, &counter);
    memory->missing = counter;
    memory->counter = view->missing_count;
    NORN_TRY(status);
    out->view.default_row = memory->default_row;
    out->view.missing_count = memory->missing;
    out->owner = memory;
    return NORN_OK;
}

static norn_status find_uploader(norn_cuda_device *device, norn_cuda_uploader **out) {
    norn_status status = NORN_OK;
    pthread_mutex_lock(&device->uploader_lock);
    if (!device->uploader) status = norn_cuda_uploader_create(device->alloc, &device->uploader);
    *out = device->uploader;
    pthread_mutex_unlock(&device->uploader_lock);
    return status;
}

norn_status norn_cuda_table_bind(norn_device *self, const norn_table_binding *host,
                                 norn_table_binding *out) {
    table_memory *memory = NULL;
    *out = *host;
    out->owner = NULL;
    if (!self->can_run) return norn_fail(NORN_UNAVAILABLE, "table '%s': no GPU here", host->name);
    NORN_TRY(NORN_NEW(norn_cuda_device_of(self)->alloc, &memory));
    memory->alloc = norn_cuda_device_of(self)->alloc;
    pthread_mutex_init(&memory->lock, NULL);
    norn_status status = find_uploader(norn_cuda_device_of(self), &memory->uploader);
    if (status == NORN_OK) status = bind(host, memory, out);
    if (status != NORN_OK) {
        norn_note("table '%s'", host->name);
        table_free(memory);
        *out = (norn_table_binding){0};
    }
    return status;
}

void norn_cuda_table_unbind(norn_device *self, norn_table_binding *table) {
    (void)self;
    if (table->owner) table_free(table->owner);
    *table = (norn_table_binding){0};
}

norn_status norn_cuda_table_count(norn_device *self, const norn_table_binding *table) {
    (void)self;
    return table->owner ? tell_counter(table->owner) : NORN_OK;
}
