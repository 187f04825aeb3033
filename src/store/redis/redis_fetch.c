#include "store/redis/redis_fetch.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

typedef struct row_call {
    norn_redis_call call;
    norn_redis_job *job;
    uint32_t at; ///< in the fetch
    uint32_t table;
    int64_t key; ///< a copy: the fetch may be over before the call
} row_call;

/// Outlives its fetch until no call is on its way.
struct norn_redis_job {
    norn_redis_job *next, *previous, *expired;
    norn_redis_fetches *of;
    norn_fetch *fetch; ///< the client's thread; NULL: it has been answered
    const norn_redis_version *version;
    uint64_t step; ///< of the pin
    int64_t deadline_ns;
    uint32_t left;
    row_call calls[];
};

void norn_redis_fetches_init(norn_redis_fetches *fetches, norn_redis_home *home) {
    *fetches = (norn_redis_fetches){.home = home};
    pthread_mutex_init(&fetches->lock, NULL);
}

void norn_redis_fetches_deinit(norn_redis_fetches *fetches) {
    pthread_mutex_destroy(&fetches->lock);
}

static void link_job(norn_redis_job *job) {
    norn_redis_fetches *of = job->of;
    pthread_mutex_lock(&of->lock);
    job->next = of->first;
    if (of->first) of->first->previous = job;
    of->first = job;
    pthread_mutex_unlock(&of->lock);
}

static void unlink_job(norn_redis_job *job) {
    norn_redis_fetches *of = job->of;
    pthread_mutex_lock(&of->lock);
    if (job->next) job->next->previous = job->previous;
    *(job->previous ? &job->previous->next : &of->first) = job->next;
    pthread_mutex_unlock(&of->lock);
}

/// Rows that have not come are late. Calls that were not sent are not: the pin may go with the fetch,
/// and the version with the pin.
static void end(norn_redis_job *job, norn_status status) {
    norn_fetch *fetch = job->fetch;
    job->fetch = NULL;
    for (uint32_t i = 0; job->left > 0 && i < fetch->count; i++) job->calls[i].call.unwanted = true;
    for (uint32_t i = 0; i < fetch->count; i++)
        if (fetch->state[i] == NORN_ROW_WAITING) fetch->state[i] = NORN_ROW_LATE;
    fetch->status = status;
    fetch->done(fetch);
}

// ---- rows

static void encode(const norn_redis_call *call, norn_buffer *out) {
    const row_call *row = (const row_call *)(const void *)call;
    norn_redis_put_get(row->job->version, row->table, row->key, out);
}

static norn_status take_row(const row_call *row, const norn_redis_reply *reply) {
    norn_fetch *fetch = row->job->fetch;
    const norn_table_form *form = &row->job->version->base.tables[row->table];
    const norn_span bytes = norn_redis_bytes(reply, 0);
    uint64_t step;
    if (norn_redis_is(reply, 0, NORN_REDIS_NIL)) {
        fetch->step[row->at] = 0;
        fetch->state[row->at] = NORN_ROW_ABSENT;
        return NORN_OK;
    }
    const size_t whole = NORN_REDIS_STEP_BYTES + (size_t)form->row_bytes;
    if (!norn_redis_is(reply, 0, NORN_REDIS_TEXT) ||
        (bytes.count != NORN_REDIS_STEP_BYTES && bytes.count != whole))
        return norn_fail(NORN_DATA_LOSS, "table '%s', key %lld: a row of %zu bytes, not of %zu",
                         form->name, (long long)row->key, bytes.count, whole);
    memcpy(&step, bytes.bytes, sizeof step);
    fetch->step[row->at] = step;
    if (step > row->job->step)
        atomic_fetch_add_explicit(&row->job->of->home->skewed, 1, memory_order_relaxed);
    fetch->state[row->at] = bytes.count == whole ? NORN_ROW_FOUND : NORN_ROW_DELETED;
    if (bytes.count == whole)
        memcpy(fetch->rows + fetch->row_at[row->at], bytes.bytes + NORN_REDIS_STEP_BYTES,
               (size_t)form->row_bytes);
    return NORN_OK;
}

static void done(norn_redis_call *call, norn_status status, const norn_redis_reply *reply) {
    row_call *row = (row_call *)(void *)call;
    norn_redis_job *job = row->job;
    if (job->fetch) {
        if (status == NORN_OK) status = take_row(row, reply);
        // A server that is away makes rows late where there is a deadline, and fails the fetch else.
        if (status != NORN_OK && !(status == NORN_UNAVAILABLE && job->deadline_ns != INT64_MAX)) {
            NORN_LOG_LIMITED(NORN_LOG_WARN, "a fetch failed: %s", norn_message());
            end(job, status);
        }
    }
    if (--job->left > 0) return;
    if (job->fetch) end(job, NORN_OK);
    unlink_job(job);
    norn_free(job->of->home->alloc, job);
}

// ---- fetches

static void start_row(norn_redis_job *job, uint32_t i, int64_t deadline_ns) {
    const norn_row_key *key = &job->fetch->keys[i];
    const norn_redis_place place = norn_redis_place_of(job->version, key->table, key->key);
    job->calls[i] = (row_call){.call = {.encode = encode,
                                        .done = done,
                                        .deadline_ns = deadline_ns,
                                        .replies = 1,
                                        .slot = job->version->tags[place.partition].slot,
                                        .node = NORN_REDIS_NO_NODE,
                                        .kind = NORN_REDIS_FETCH},
                               .job = job,
                               .at = i,
                               .table = key->table,
                               .key = key->key};
}

norn_status norn_redis_fetches_add(norn_redis_fetches *fetches, norn_fetch *fetch) {
    const norn_redis_home *home = fetches->home;
    const int64_t now_ns = norn_clock_now_ns();
    const int64_t patience_ns = now_ns + home->options.fetch_patience_ms * INT64_C(1000000);
    norn_redis_calls calls = {0};
    norn_redis_job *job;
    size_t bytes;
    fetch->status = NORN_OK;
    if (fetch->count == 0 || fetch->deadline_ns <= now_ns) {
        for (uint32_t i = 0; i < fetch->count; i++) fetch->state[i] = NORN_ROW_LATE;
        fetch->done(fetch);
        return NORN_OK;
    }
    if (!norn_size_mul(fetch->count, sizeof *job->calls, &bytes) ||
        !norn_size_add(bytes, sizeof *job, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "%u keys are too many", fetch->count);
    NORN_TRY(norn_alloc_bytes(home->alloc, bytes, (void **)&job));
    *job = (norn_redis_job){.of = fetches,
                            .fetch = fetch,
                            .version = norn_redis_version_of(fetch->pin->version),
                            .step = fetch->pin->step,
                            .deadline_ns = fetch->deadline_ns,
                            .left = fetch->count};
    const int64_t until_ns = fetch->deadline_ns < patience_ns ? fetch->deadline_ns : patience_ns;
    for (uint32_t i = 0; i < fetch->count; i++) {
        fetch->state[i] = NORN_ROW_WAITING;
        start_row(job, i, until_ns);
        norn_redis_calls_put(&calls, &job->calls[i].call);
    }
    link_job(job);
    norn_redis_client_send(home->client, &calls);
    return NORN_OK;
}

int64_t norn_redis_fetches_look(void *context, int64_t now_ns) {
    norn_redis_fetches *fetches = context;
    norn_redis_job *over = NULL;
    int64_t next_ns = INT64_MAX;
    pthread_mutex_lock(&fetches->lock);
    for (norn_redis_job *job = fetches->first; job; job = job->next) {
        if (!job->fetch) continue;
        if (job->deadline_ns <= now_ns) {
            job->expired = over;
            over = job;
        } else if (job->deadline_ns < next_ns) {
            next_ns = job->deadline_ns;
        }
    }
    pthread_mutex_unlock(&fetches->lock);
    for (; over; over = over->expired) end(over, NORN_OK);
    return next_ns;
}
