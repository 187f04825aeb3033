#include "store/redis/redis_commit.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/delta_check.h"
#include "store/redis/redis_command.h"

#include <string.h>

/// A transaction is cut where it would hold a server up for long.
enum { CHUNK_BYTES = 1 << 20, CHUNK_ROWS = 4096 };

/// A row as it waits for the commit; its bytes follow, none: it is deleted.
typedef struct kept_row {
    int64_t key;
    uint64_t step;
    uint32_t table, bytes;
} kept_row;

static size_t size_of(const kept_row *row) {
    return sizeof *row + ((size_t)row->bytes + 7) / 8 * 8;
}

// ---- applying

static norn_status lost(const norn_redis_version *version) {
    return norn_fail(NORN_DATA_LOSS,
                     "version %llu: a failover took steps after %llu with it; replay the log from "
                     "the version's cut",
                     (unsigned long long)version->base.number,
                     (unsigned long long)version->cut.step);
}

static norn_status check_keys(const norn_table_form *form, const norn_delta *delta) {
    for (uint32_t i = 0; form->dense && i < delta->count; i++)
        if (delta->keys[i] < 0 || delta->keys[i] >= form->rows)
            return norn_fail(NORN_INVALID_ARGUMENT, "table '%s': row %lld of a dense table of %lld",
                             form->name, (long long)delta->keys[i], (long long)form->rows);
    return NORN_OK;
}

/// From now on this process knows the version's step by itself.
static uint64_t own(norn_redis_version *version) {
    pthread_mutex_lock(&version->lock);
    version->written = true;
    pthread_mutex_unlock(&version->lock);
    return version->visible;
}

norn_status norn_redis_apply(norn_redis_version *version, const norn_delta *delta) {
    if (version->lost) return lost(version);
    NORN_TRY(norn_delta_check(&version->base, delta, own(version), version->applied));
    const norn_table_form *form = &version->base.tables[delta->table];
    NORN_TRY(check_keys(form, delta));
    const uint32_t bytes = delta->deletes ? 0 : (uint32_t)delta->row_bytes;
    const kept_row shape = {.bytes = bytes};
    const size_t each = size_of(&shape), most = version->home->options.step_bytes;
    if (version->rows.count > most || delta->count > (most - version->rows.count) / each)
        return norn_fail(NORN_RESOURCE_EXHAUSTED,
                         "table '%s': step %llu has more than %zu bytes (step_bytes)", form->name,
                         (unsigned long long)delta->step, most);
    version->applied = delta->step;
    char *at = norn_buffer_extend(&version->rows, each * delta->count);
    if (!at) {
        version->rows.failed = false; // what is there stays as it was
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "table '%s': no memory for %u rows", form->name,
                         delta->count);
    }
    for (uint32_t i = 0; i < delta->count; i++, at += each) {
        *(kept_row *)(void *)at = (kept_row){delta->keys[i], delta->step, delta->table, bytes};
        if (bytes) memcpy(at + sizeof(kept_row), delta->rows + i * delta->row_bytes, bytes);
    }
    version->row_count += delta->count;
    version->kept_bytes = version->rows.capacity;
    return NORN_OK;
}

void norn_redis_abort(norn_redis_version *version) {
    norn_buffer_clear(&version->rows);
    version->row_count = 0;
    version->applied = 0;
}

// ---- writing

typedef struct commit commit;

/// What is written of one partition, a chunk at a time.
typedef struct part {
    norn_redis_call call;
    commit *of;
    uint64_t first, end; ///< its rows in commit.rows that are still to be written
    uint64_t chunk_end;
    uint32_t partition;
    bool last_chunk, done;
} part;

struct commit {
    norn_redis_version *version;
    norn_redis_batch batch;
    const kept_row **rows; ///< by partition, in their order
    part *parts;
    uint64_t *steps; ///< what each partition must have
    norn_buffer cut;
    uint64_t step;
};

static void encode_part(const norn_redis_call *call, norn_buffer *out) {
    const part *p = (const part *)(const void *)call;
    const norn_redis_version *version = p->of->version;
    char key[NORN_REDIS_KEY_BYTES];
    const bool rows = p->chunk_end > p->first;
    if (rows) norn_redis_put_words(out, "MULTI", NULL);
    for (uint64_t i = p->first; i < p->chunk_end; i++) {
        const kept_row *row = p->of->rows[i];
        norn_redis_put_set(version, row->table, row->key, row->step, row->bytes ? row + 1 : NULL,
                           row->bytes, out);
    }
    if (p->last_chunk) {
        norn_redis_put_array(out, 3);
        norn_redis_put_text(out, "SET");
        norn_redis_put_bytes(out, key, norn_redis_cut_key(version, p->partition, key));
        norn_redis_put_bytes(out, p->of->cut.bytes, p->of->cut.count);
    }
    if (rows) norn_redis_put_words(out, "EXEC", NULL);
}

static norn_status check_answer(const part *p, const norn_redis_reply *reply) {
    const uint64_t rows = p->chunk_end - p->first;
    if (rows ? norn_redis_is(reply, 0, NORN_REDIS_ARRAY) &&
                   reply->values[0].count == rows + p->last_chunk
             : norn_redis_is(reply, 0, NORN_REDIS_WORD))
        return NORN_OK;
    return norn_fail(NORN_DATA_LOSS, "redis: a transaction was answered with something else");
}

static void part_done(norn_redis_call *call, norn_status status, const norn_redis_reply *reply) {
    part *p = (part *)(void *)call;
    if (status == NORN_OK) status = check_answer(p, reply);
    if (status == NORN_OK) {
        p->first = p->chunk_end;
        p->done = p->last_chunk;
    }
    norn_redis_batch_done(&p->of->batch, status);
}

static void start_chunk(commit *c, part *p, int64_t deadline_ns) {
    size_t bytes = 0;
    p->chunk_end = p->first;
    while (p->chunk_end < p->end && p->chunk_end - p->first < CHUNK_ROWS && bytes < CHUNK_BYTES)
        bytes += size_of(c->rows[p->chunk_end++]);
    p->last_chunk = p->chunk_end == p->end;
    const uint64_t rows = p->chunk_end - p->first;
    p->call = (norn_redis_call){.encode = encode_part,
                                .done = part_done,
                                .deadline_ns = deadline_ns,
                                .generation = c->version->generation,
                                .replies = (uint32_t)(rows ? rows + 2 : 0) + p->last_chunk,
                                .slot = c->version->tags[p->partition].slot,
                                .node = NORN_REDIS_NO_NODE,
                                .kind = NORN_REDIS_OTHER};
    norn_redis_batch_put(&c->batch, &p->call);
}

/// The first partition comes when the others are there: its cut is what readers take for the version's.
static bool start_chunks(commit *c, int64_t deadline_ns) {
    part *last = &c->parts[0];
    for (uint32_t p = 1; p < c->version->partitions; p++)
        if (!c->parts[p].done) start_chunk(c, &c->parts[p], deadline_ns);
    if (!c->batch.calls.first && !last->done) start_chunk(c, last, deadline_ns);
    return c->batch.calls.first != NULL;
}

/// After a failover, or what may have been one: every partition must have what was acknowledged.
static norn_status check_cuts(commit *c) {
    norn_redis_version *version = c->version;
    norn_redis_cuts cuts;
    const uint64_t generation = norn_redis_client_generation(version->home->client);
    if (generation == version->generation) return NORN_OK;
    for (uint32_t p = 0; p < version->partitions; p++)
        c->steps[p] = c->parts[p].done ? c->step : version->visible;
    norn_status status = norn_redis_cuts_read(version, c->steps, NULL, &cuts);
    if (status == NORN_OK && (cuts.behind || cuts.absent)) {
        status = norn_redis_cuts_take(version, &cuts);
        version->lost = status == NORN_OK;
        if (version->lost) status = lost(version);
        norn_log(NORN_LOG_WARN, "redis: %s", norn_message());
    }
    norn_redis_cuts_deinit(&cuts);
    if (status == NORN_OK) version->generation = generation;
    return status;
}

static norn_status write_parts(commit *c) {
    const int64_t deadline_ns = norn_redis_deadline(c->version->home);
    for (;;) {
        NORN_TRY(check_cuts(c));
        if (!start_chunks(c, deadline_ns)) return NORN_OK;
        const norn_status status = norn_redis_batch_wait(&c->batch);
        if (status != NORN_OK && status != NORN_ABORTED) return status;
        if (status == NORN_ABORTED && norn_clock_now_ns() >= deadline_ns)
            return norn_fail(NORN_UNAVAILABLE, "redis: slots and connections do not hold still");
    }
}

// ---- rows by partition

static const kept_row *row_at(const norn_redis_version *version, size_t at) {
    return (const kept_row *)(const void *)(version->rows.bytes + at);
}

static void sort_rows(commit *c) {
    norn_redis_version *version = c->version;
    for (size_t at = 0; at < version->rows.count; at += size_of(row_at(version, at))) {
        const kept_row *row = row_at(version, at);
        c->parts[norn_redis_place_of(version, row->table, row->key).partition].end++;
    }
    uint64_t begin = 0;
    for (uint32_t p = 0; p < version->partitions; p++) {
        part *to = &c->parts[p];
        const uint64_t count = to->end;
        *to = (part){.of = c, .first = begin, .end = begin, .partition = p};
        begin += count;
    }
    for (size_t at = 0; at < version->rows.count; at += size_of(row_at(version, at))) {
        const kept_row *row = row_at(version, at);
        part *to = &c->parts[norn_redis_place_of(version, row->table, row->key).partition];
        c->rows[to->end++] = row;
    }
}

static norn_status keep_cut(norn_redis_version *version, const norn_cut *cut,
                            norn_position *positions) {
    if (cut->partition_count)
        memcpy(positions, cut->positions, cut->partition_count * sizeof *positions);
    norn_free(version->home->alloc, version->positions);
    version->positions = positions;
    version->cut = (norn_cut){cut->step, cut->partition_count, positions};
    pthread_mutex_lock(&version->lock);
    version->visible = cut->step;
    pthread_mutex_unlock(&version->lock);
    norn_redis_abort(version);
    return NORN_OK;
}

norn_status norn_redis_commit(norn_redis_version *version, const norn_cut *cut) {
    const norn_alloc alloc = version->home->alloc;
    commit c = {.version = version, .step = cut->step};
    norn_position *positions = NULL;
    norn_status status;
    if (version->lost) return lost(version);
    NORN_TRY(norn_cut_check(cut, own(version), version->applied));
    norn_redis_batch_init(&c.batch, version->home->client);
    norn_buffer_init(&c.cut, alloc);
    norn_redis_cut_write(cut, version->base.table_count, &c.cut);
    NORN_TRY_DONE(norn_buffer_status(&c.cut));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, cut->partition_count, &positions));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, version->partitions, &c.parts));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, version->partitions, &c.steps));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, version->row_count, &c.rows));
    sort_rows(&c);
    NORN_TRY_DONE(write_parts(&c));
    status = keep_cut(version, cut, positions);
    positions = NULL;
done:
    if (status != NORN_OK)
        norn_note("version %llu, step %llu", (unsigned long long)version->base.number,
                  (unsigned long long)cut->step);
    norn_buffer_deinit(&c.cut);
    norn_free(alloc, positions);
    norn_free(alloc, c.parts);
    norn_free(alloc, c.steps);
    norn_free(alloc, c.rows);
    norn_redis_batch_deinit(&c.batch);
    return status;
}

norn_cut norn_redis_cut(norn_redis_version *version) {
    norn_redis_cuts cuts;
    const uint64_t generation = norn_redis_client_generation(version->home->client);
    norn_status status = norn_redis_cuts_read(version, NULL, NULL, &cuts);
    if (status == NORN_OK) status = norn_redis_cuts_take(version, &cuts);
    norn_redis_cuts_deinit(&cuts);
    if (status == NORN_OK) {
        version->generation = generation;
        version->lost = false;
    } else {
        norn_log(NORN_LOG_WARN, "redis: %s; its cut is the one last known", norn_message());
    }
    return version->cut;
}
