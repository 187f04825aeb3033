#include "store/rocksdb/rocksdb_reads.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/rocksdb/rocksdb_key.h"
#include "store/rocksdb/rocksdb_version.h"

#include <pthread.h>
#include <string.h>

/// Keys that a thread reads with one call: as many as there are for each thread, but no fewer than
/// RocksDB reads at once itself, and no more than keep another thread from helping for long.
enum { SLICE_LEAST = 32, SLICE_MOST = 128 };

/// A fetch that is being read.
typedef struct reading {
    norn_fetch *fetch;  ///< NULL: free
    uint32_t slice;     ///< keys that a thread takes
    uint32_t given;     ///< that threads have taken
    uint32_t slices;    ///< that they have not done yet
    norn_status status; ///< the first error
} reading;

/// A thread and its room for a slice.
typedef struct reader {
    norn_rocksdb_reads *all;
    pthread_t thread;
    rocksdb_readoptions_t *options;
    char keys[SLICE_MOST][NORN_ROCKSDB_KEY_BYTES];
    const char *key_at[SLICE_MOST];
    size_t key_bytes[SLICE_MOST];
    rocksdb_pinnableslice_t *values[SLICE_MOST];
    char *errors[SLICE_MOST];
} reader;

struct norn_rocksdb_reads {
    const norn_rocksdb *db;
    norn_alloc alloc;
    pthread_mutex_t lock; ///< of all below
    pthread_cond_t more;
    norn_fetch *first, **last; ///< that nobody has begun
    reading *begun;            ///< one a thread: whoever begins another fetch reads none
    reading *current;          ///< whose slices are being given out; NULL: none
    bool stop;
    uint32_t threads, started;
    reader *readers;
};

// ---- a slice

static void late(norn_fetch *fetch, uint32_t from, uint32_t count) {
    memset(fetch->state + from, NORN_ROW_LATE, count);
}

/// RocksDB measures deadlines by the clock of the wall, in microseconds.
static void set_deadline(reader *r, int64_t left_ns) {
    const uint64_t us = left_ns == INT64_MAX ? 0 // none
                                             : (uint64_t)((norn_clock_wall_ns() + left_ns) / 1000);
    rocksdb_readoptions_set_deadline(r->options, us);
}

static norn_status take_value(norn_fetch *fetch, uint32_t i, const char *value, size_t bytes) {
    const norn_table_form *form = &fetch->pin->version->tables[fetch->keys[i].table];
    const bool deleted = bytes == NORN_ROCKSDB_STEP_BYTES;
    if (!deleted && bytes != NORN_ROCKSDB_STEP_BYTES + (size_t)form->row_bytes)
        return norn_fail(NORN_DATA_LOSS, "table '%s', key %lld: a row of %zu bytes", form->name,
                         (long long)fetch->keys[i].key, bytes);
    memcpy(&fetch->step[i], value, sizeof fetch->step[i]);
    fetch->state[i] = deleted ? NORN_ROW_DELETED : NORN_ROW_FOUND;
    if (!deleted)
        memcpy(fetch->rows + fetch->row_at[i], value + NORN_ROCKSDB_STEP_BYTES,
               (size_t)form->row_bytes);
    return NORN_OK;
}

static norn_status take_answer(const reader *r, norn_fetch *fetch, uint32_t i, uint32_t at) {
    char *error = r->errors[at];
    size_t bytes;
    fetch->step[i] = 0;
    fetch->state[i] = NORN_ROW_ABSENT;
    if (!error && !r->values[at]) return NORN_OK;
    if (!error) {
        const char *value = rocksdb_pinnableslice_value(r->values[at], &bytes);
        return take_value(fetch, i, value, bytes);
    }
    if (norn_rocksdb_is_late(error)) {
        fetch->state[i] = NORN_ROW_LATE;
        rocksdb_free(error);
        return NORN_OK;
    }
    return norn_rocksdb_status(r->all->db->path, "read rows", error);
}

static norn_status read_slice(reader *r, norn_fetch *fetch, uint32_t from, uint32_t count) {
    const norn_rocksdb_version *version = norn_rocksdb_version_of(fetch->pin->version);
    const int64_t deadline = fetch->deadline_ns;
    const int64_t left = deadline == INT64_MAX ? INT64_MAX : deadline - norn_clock_now_ns();
    norn_status status = NORN_OK;
    if (left <= 0) {
        late(fetch, from, count);
        return NORN_OK;
    }
    for (uint32_t i = 0; i < count; i++)
        norn_rocksdb_key(fetch->keys[from + i].table, fetch->keys[from + i].key, r->keys[i]);
    rocksdb_readoptions_set_snapshot(r->options, norn_rocksdb_snapshot_of(fetch->pin));
    set_deadline(r, left);
    rocksdb_batched_multi_get_cf(r->all->db->db, r->options, version->family, count, r->key_at,
                                 r->key_bytes, r->values, r->errors, false);
    for (uint32_t i = 0; i < count; i++) {
        const norn_status one = take_answer(r, fetch, from + i, i);
        if (one != NORN_OK) {
            NORN_LOG_LIMITED(NORN_LOG_ERROR, "version %llu: %s",
                             (unsigned long long)version->base.number, norn_message());
            status = one;
        }
        if (r->values[i]) rocksdb_pinnableslice_destroy(r->values[i]);
    }
    return status;
}

// ---- threads

static uint32_t slice_of(const norn_rocksdb_reads *all, uint32_t count) {
    const uint32_t fair = count / all->threads + 1;
    return fair < SLICE_LEAST ? SLICE_LEAST : fair > SLICE_MOST ? SLICE_MOST : fair;
}

/// A fetch that nobody has begun becomes the current one. `lock` is held.
static bool begin_next(norn_rocksdb_reads *all) {
    norn_fetch *fetch = all->first;
    if (!fetch) return false;
    all->first = fetch->next;
    if (!all->first) all->last = &all->first;
    reading *free_one = all->begun;
    while (free_one->fetch) free_one++;
    *free_one = (reading){.fetch = fetch, .slice = slice_of(all, fetch->count)};
    all->current = free_one;
    return true;
}

static void read_one(reader *r) {
    norn_rocksdb_reads *all = r->all;
    reading *of = all->current;
    norn_fetch *fetch = of->fetch;
    const uint32_t from = of->given, left = fetch->count - from,
                   count = left < of->slice ? left : of->slice;
    of->given += count;
    of->slices++;
    if (of->given == fetch->count) all->current = NULL;
    pthread_mutex_unlock(&all->lock);
    const norn_status status = read_slice(r, fetch, from, count);
    pthread_mutex_lock(&all->lock);
    if (of->status == NORN_OK) of->status = status;
    if (--of->slices || of->given < fetch->count) return;
    fetch->status = of->status;
    of->fetch = NULL;
    pthread_mutex_unlock(&all->lock);
    fetch->done(fetch);
    pthread_mutex_lock(&all->lock);
}

static void *serve(void *argument) {
    reader *r = argument;
    norn_rocksdb_reads *all = r->all;
    pthread_mutex_lock(&all->lock);
    while (!all->stop)
        if (all->current || begin_next(all))
            read_one(r);
        else
            pthread_cond_wait(&all->more, &all->lock);
    pthread_mutex_unlock(&all->lock);
    return NULL;
}

void norn_rocksdb_reads_add(norn_rocksdb_reads *all, norn_fetch *fetch) {
    uint32_t helpers = fetch->count / SLICE_LEAST + 1;
    if (fetch->count == 0) {
        fetch->status = NORN_OK;
        fetch->done(fetch);
        return;
    }
    fetch->next = NULL;
    pthread_mutex_lock(&all->lock);
    *all->last = fetch;
    all->last = &fetch->next;
    if (helpers > all->threads) helpers = all->threads;
    for (; helpers > 0; helpers--) pthread_cond_signal(&all->more);
    pthread_mutex_unlock(&all->lock);
}

// ---- life

static norn_status start_reader(norn_rocksdb_reads *all, reader *r) {
    r->all = all;
    for (uint32_t i = 0; i < SLICE_MOST; i++) {
        r->key_at[i] = r->keys[i];
        r->key_bytes[i] = NORN_ROCKSDB_KEY_BYTES;
    }
    r->options = rocksdb_readoptions_create();
    if (pthread_create(&r->thread, NULL, serve, r) == 0) return NORN_OK;
    rocksdb_readoptions_destroy(r->options);
    return norn_fail(NORN_RESOURCE_EXHAUSTED, "there are no threads left to read with");
}

void norn_rocksdb_reads_stop(norn_rocksdb_reads *all) {
    if (!all) return;
    pthread_mutex_lock(&all->lock);
    all->stop = true;
    pthread_cond_broadcast(&all->more);
    pthread_mutex_unlock(&all->lock);
    for (uint32_t i = 0; i < all->started; i++) {
        pthread_join(all->readers[i].thread, NULL);
        rocksdb_readoptions_destroy(all->readers[i].options);
    }
    pthread_cond_destroy(&all->more);
    pthread_mutex_destroy(&all->lock);
    norn_free(all->alloc, all->begun);
    norn_free(all->alloc, all->readers);
    norn_free(all->alloc, all);
}

norn_status norn_rocksdb_reads_start(const norn_rocksdb *db, norn_alloc alloc,
                                     norn_rocksdb_reads **out) {
    const uint32_t threads = db->tier.reader_threads;
    norn_rocksdb_reads *all;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &all));
    all->db = db;
    all->alloc = alloc;
    all->threads = threads;
    all->last = &all->first;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->more, NULL);
    norn_status status = NORN_NEW_ARRAY(alloc, threads, &all->readers);
    if (status == NORN_OK) status = NORN_NEW_ARRAY(alloc, threads, &all->begun);
    for (; status == NORN_OK && all->started < threads; all->started += status == NORN_OK)
        status = start_reader(all, &all->readers[all->started]);
    if (status == NORN_OK)
        *out = all;
    else
        norn_rocksdb_reads_stop(all);
    return status;
}
