#include "store/redis/redis_load.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/redis/redis_command.h"
#include "store/table_dir.h"
#include "store/version_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP_CALLS = 8192, ROUNDS_MAX = 8 };

typedef struct load {
    norn_redis_home *home;
    norn_redis_version *version;
    const char *dir;
    norn_table_names names;
    uint64_t sum;        ///< of the files
    char files[24];      ///< the same as text
    int64_t compact_max; ///< the longest value that hashes keep compact; 0: none
    uint32_t *loaded;    ///< by partition
} load;

// ---- what servers are like

static norn_status take_limit(void *context, const norn_redis_reply *reply) {
    int64_t *least = context;
    const norn_span text = norn_redis_bytes(reply, 2);
    char digits[24] = "0"; // a server that has no such setting has no such hashes
    if (text.count && text.count < sizeof digits) {
        memcpy(digits, text.bytes, text.count);
        digits[text.count] = '\0';
    }
    const long long value = strtoll(digits, NULL, 10);
    if (value < *least) *least = value;
    return NORN_OK;
}

static norn_status ask_limit(norn_redis_home *home, const char *setting, int64_t *least) {
    uint16_t nodes[NORN_REDIS_NODES_MAX];
    uint32_t count;
    norn_redis_client_masters(home->client, nodes, &count);
    *least = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        norn_redis_question question;
        norn_redis_question_init(&question, home->alloc, 0, nodes[i], norn_redis_deadline(home));
        norn_redis_put_words(&question.command, "CONFIG", "GET", setting, NULL);
        question.answer = take_limit;
        question.context = least;
        const norn_status status = norn_redis_ask(home->client, &question, 1);
        norn_redis_question_deinit(&question);
        if (status == NORN_INTERNAL || status == NORN_PERMISSION_DENIED)
            *least = 0; // it does not say
        else
            NORN_TRY(status);
    }
    return NORN_OK;
}

static norn_status look_at_servers(load *l) {
    int64_t entries;
    NORN_TRY(ask_limit(l->home, "hash-max-listpack-value", &l->compact_max));
    NORN_TRY(ask_limit(l->home, "hash-max-listpack-entries", &entries));
    if (entries < 4 * NORN_REDIS_BUCKET_ROWS) l->compact_max = 0;
    return NORN_OK;
}

static uint32_t choose_buckets(const load *l, const norn_table_form *form) {
    const int64_t value = form->row_bytes + NORN_REDIS_STEP_BYTES;
    if (value > l->compact_max) {
        norn_log(
            NORN_LOG_INFO,
            "redis: table '%s' is kept a string a row: the servers' hash-max-listpack-value is "
            "%lld, and its values have %lld bytes; set it higher before a load to save about "
            "100 bytes a row",
            form->name, (long long)(l->compact_max == INT64_MAX ? 0 : l->compact_max),
            (long long)value);
        return 0;
    }
    const int64_t rows = (int64_t)NORN_REDIS_BUCKET_ROWS * l->version->partitions;
    const int64_t buckets = (form->rows + rows - 1) / rows;
    return buckets < 1 ? 1 : buckets > UINT32_MAX ? UINT32_MAX : (uint32_t)buckets;
}

// ---- looking at the files

static norn_status look_at_table(load *l, uint32_t t, norn_table_form *form) {
    norn_redis_version *version = l->version;
    norn_table *table;
    NORN_TRY(norn_table_dir_table(l->dir, l->names.at[t], l->home->alloc, &table));
    const norn_host_rows *rows = &table->rows.rows;
    uint64_t sum = norn_hash_bytes(rows->rows, rows->row_count * rows->row_bytes, t);
    if (table->keys) sum = norn_hash_bytes(table->keys, rows->row_count * sizeof(int64_t), sum);
    l->sum = norn_hash_u64(l->sum ^ sum);
    const norn_status status = norn_form_of_table(table, &version->arena, form);
    norn_table_release(table);
    NORN_TRY(status);
    version->buckets[t] = choose_buckets(l, form);
    return NORN_OK;
}

static norn_status look_at_files(load *l) {
    norn_redis_version *version = l->version;
    norn_table_form *forms;
    const size_t count = l->names.count ? l->names.count : 1;
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, count, &forms));
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, count, &version->buckets));
    for (uint32_t t = 0; t < l->names.count; t++) NORN_TRY(look_at_table(l, t, &forms[t]));
    version->base.tables = forms;
    version->base.table_count = (uint32_t)l->names.count;
    (void)snprintf(l->files, sizeof l->files, "%016llx", (unsigned long long)l->sum);
    return norn_redis_version_prefixes(version);
}

// ---- rows of a table

typedef struct table_load {
    const load *of;
    const norn_table *table;
    uint32_t index;
    uint64_t *order; ///< rows by partition
    uint64_t *begin; ///< by partition, in it; partitions + 1
} table_load;

/// Rows of one bucket, or one row; or the mark of a partition that has all of the table.
typedef struct load_call {
    norn_redis_call call;
    norn_redis_batch *batch;
    const table_load *of;
    uint64_t first, end; ///< in its order; none: the mark
    uint32_t partition;
} load_call;

static int64_t key_of(const norn_table *table, uint64_t row) {
    return table->keys ? table->keys[row] : (int64_t)row;
}

static const char *row_of(const norn_table *table, uint64_t row) {
    return table->rows.rows.rows + row * table->rows.rows.row_bytes;
}

static void encode_mark(const load_call *l, norn_buffer *out) {
    const norn_redis_version *version = l->of->of->version;
    char key[NORN_REDIS_KEY_BYTES];
    uint8_t bytes[32];
    norn_buffer cut = {.alloc = out->alloc, .bytes = bytes, .capacity = sizeof bytes};
    norn_redis_cut_write(&(norn_cut){0}, l->of->index + 1, &cut);
    norn_redis_put_array(out, 3);
    norn_redis_put_text(out, "SET");
    norn_redis_put_bytes(out, key, norn_redis_cut_key(version, l->partition, key));
    norn_redis_put_bytes(out, cut.bytes, cut.count);
}

static void encode_rows(const norn_redis_call *call, norn_buffer *out) {
    const load_call *l = (const load_call *)(const void *)call;
    const norn_redis_version *version = l->of->of->version;
    const norn_table *table = l->of->table;
    const size_t row_bytes = (size_t)table->binding.view.row_bytes;
    const uint64_t step = 0;
    char name[NORN_REDIS_KEY_BYTES];
    if (l->first == l->end) {
        encode_mark(l, out);
        return;
    }
    const int64_t first = key_of(table, l->of->order[l->first]);
    const norn_redis_place place = norn_redis_place_of(version, l->of->index, first);
    if (version->buckets[l->of->index] == 0) {
        norn_redis_put_set(version, l->of->index, first, step,
                           row_of(table, l->of->order[l->first]), row_bytes, out);
        return;
    }
    norn_redis_put_array(out, (uint32_t)(2 + 2 * (l->end - l->first)));
    norn_redis_put_text(out, "HSET");
    norn_redis_put_bytes(out, name, norn_redis_row_key(version, l->of->index, first, place, name));
    for (uint64_t i = l->first; i < l->end; i++) {
        const int64_t key = key_of(table, l->of->order[i]);
        norn_redis_put_bytes(out, &key, sizeof key);
        norn_redis_put_pair(out, &step, sizeof step, row_of(table, l->of->order[i]), row_bytes);
    }
}

static void load_done(norn_redis_call *call, norn_status status, const norn_redis_reply *reply) {
    (void)reply;
    norn_redis_batch_done(((load_call *)(void *)call)->batch, status);
}

static void put_call(const table_load *t, norn_redis_batch *batch, load_call *call,
                     uint32_t partition, uint64_t first, uint64_t end) {
    *call = (load_call){.call = {.encode = encode_rows,
                                 .done = load_done,
                                 .deadline_ns = norn_redis_deadline(t->of->home),
                                 .replies = 1,
                                 .slot = t->of->version->tags[partition].slot,
                                 .node = NORN_REDIS_NO_NODE,
                                 .kind = NORN_REDIS_OTHER},
                        .batch = batch,
                        .of = t,
                        .first = first,
                        .end = end,
                        .partition = partition};
    norn_redis_batch_put(batch, &call->call);
}

/// How far the rows of one command go.
static uint64_t end_of_command(const table_load *t, uint64_t first, uint64_t end) {
    enum { ROWS_MAX = 256 };
    const norn_redis_version *version = t->of->version;
    if (version->buckets[t->index] == 0) return first + 1;
    const uint32_t bucket =
        norn_redis_place_of(version, t->index, key_of(t->table, t->order[first])).bucket;
    uint64_t at = first + 1;
    while (at < end && at - first < ROWS_MAX &&
           norn_redis_place_of(version, t->index, key_of(t->table, t->order[at])).bucket == bucket)
        at++;
    return at;
}

/// A group of calls at a time; the marks of partitions that are complete go with the next group.
static norn_status write_rows(const table_load *t, load_call *calls) {
    const load *l = t->of;
    norn_redis_batch batch;
    norn_status status = NORN_OK;
    uint32_t count = 0, marked = 0;
    norn_redis_batch_init(&batch, l->home->client);
    for (uint32_t p = 0; status == NORN_OK && p < l->version->partitions; p++) {
        if (l->loaded[p] > t->index) continue;
        for (uint64_t at = t->begin[p]; status == NORN_OK && at < t->begin[p + 1];) {
            const uint64_t end = end_of_command(t, at, t->begin[p + 1]);
            put_call(t, &batch, &calls[count++], p, at, end);
            at = end;
            if (count < GROUP_CALLS) continue;
            status = norn_redis_batch_wait(&batch);
            count = 0;
            for (; status == NORN_OK && marked < p; marked++)
                if (l->loaded[marked] <= t->index)
                    put_call(t, &batch, &calls[GROUP_CALLS + marked], marked, 0, 0);
        }
    }
    if (status == NORN_OK) status = norn_redis_batch_wait(&batch);
    for (; status == NORN_OK && marked < l->version->partitions; marked++)
        if (l->loaded[marked] <= t->index)
            put_call(t, &batch, &calls[GROUP_CALLS + marked], marked, 0, 0);
    if (status == NORN_OK) status = norn_redis_batch_wait(&batch);
    norn_redis_batch_deinit(&batch);
    return status;
}

// ---- order

static uint32_t bucket_of(const table_load *t, uint64_t row) {
    return norn_redis_place_of(t->of->version, t->index, key_of(t->table, row)).bucket;
}

static int by_bucket(const void *a, const void *b, void *context) {
    const uint32_t x = bucket_of(context, *(const uint64_t *)a),
                   y = bucket_of(context, *(const uint64_t *)b);
    return x < y ? -1 : x > y;
}

static void sort_rows(table_load *t) {
    const norn_redis_version *version = t->of->version;
    const uint64_t rows = (uint64_t)t->table->binding.view.row_count;
    for (uint64_t row = 0; row < rows; row++)
        t->begin[1 + norn_redis_place_of(version, t->index, key_of(t->table, row)).partition]++;
    for (uint32_t p = 0; p < version->partitions; p++) t->begin[p + 1] += t->begin[p];
    for (uint64_t row = rows;
         row-- > 0;) // begin[p + 1] goes down from the end to the beginning of p
        t->order[--t->begin[1 + norn_redis_place_of(version, t->index, key_of(t->table, row))
                                    .partition]] = row;
    memmove(t->begin, t->begin + 1, version->partitions * sizeof *t->begin);
    t->begin[version->partitions] = rows;
    for (uint32_t p = 0; version->buckets[t->index] > 1 && p < version->partitions; p++)
        qsort_r(t->order + t->begin[p], t->begin[p + 1] - t->begin[p], sizeof *t->order, by_bucket,
                t);
}

static norn_status load_table(load *l, uint32_t index) {
    table_load t = {.of = l, .index = index};
    const norn_alloc alloc = l->home->alloc;
    norn_table *table = NULL;
    load_call *calls = NULL;
    norn_status status;
    NORN_TRY_DONE(norn_table_dir_table(l->dir, l->names.at[index], alloc, &table));
    t.table = table;
    if (table->binding.view.row_count != l->version->base.tables[index].rows ||
        table->binding.view.row_bytes != l->version->base.tables[index].row_bytes)
        NORN_TRY_DONE(norn_fail(NORN_DATA_LOSS, "%s: the file was changed while it was loaded",
                                table->source));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, (size_t)table->binding.view.row_count, &t.order));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, l->version->partitions + 2, &t.begin));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, GROUP_CALLS + l->version->partitions, &calls));
    sort_rows(&t);
    status = write_rows(&t, calls);
    if (status != NORN_OK) norn_note("loading table '%s'", table->name);
done:
    norn_free(alloc, calls);
    norn_free(alloc, t.order);
    norn_free(alloc, t.begin);
    norn_table_release(table);
    return status;
}

// ---- the whole

/// *whole: every partition has every table.
static norn_status check(load *l, bool *whole) {
    norn_redis_cuts cuts;
    norn_redis_version *version = l->version;
    const uint64_t generation = norn_redis_client_generation(l->home->client);
    norn_status status = norn_redis_cuts_read(version, NULL, l->loaded, &cuts);
    *whole =
        status == NORN_OK && cuts.absent == 0 && cuts.least_loaded >= version->base.table_count;
    if (*whole) {
        status = norn_redis_cuts_take(version, &cuts);
        version->generation = generation;
    }
    norn_redis_cuts_deinit(&cuts);
    return status;
}

/// Of a folder without tables the cuts alone are written.
static norn_status load_nothing(load *l) {
    table_load t = {.of = l, .index = UINT32_MAX};
    const norn_alloc alloc = l->home->alloc;
    load_call *calls = NULL;
    norn_status status;
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, l->version->partitions + 2, &t.begin));
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, GROUP_CALLS + l->version->partitions, &calls));
    status = write_rows(&t, calls);
done:
    norn_free(alloc, calls);
    norn_free(alloc, t.begin);
    return status;
}

static norn_status write_all(load *l) {
    const uint32_t tables = l->version->base.table_count;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool whole;
        NORN_TRY(check(l, &whole));
        if (whole) return norn_redis_version_state(l->version, "ready");
        for (uint32_t t = 0; t < tables; t++) NORN_TRY(load_table(l, t));
        if (tables == 0) NORN_TRY(load_nothing(l));
    }
    return norn_fail(NORN_UNAVAILABLE, "redis: servers lose what they are given");
}

static norn_status add_number(norn_redis_home *home, uint64_t number) {
    norn_redis_question question;
    char key[NORN_REDIS_KEY_BYTES], text[24];
    const int count = snprintf(key, sizeof key, "%s:versions", home->options.name_space);
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    norn_redis_question_init(&question, home->alloc, norn_redis_slot(key, (size_t)count),
                             NORN_REDIS_NO_NODE, norn_redis_deadline(home));
    norn_redis_put_words(&question.command, "SADD", key, text, NULL);
    const norn_status status = norn_redis_ask(home->client, &question, 1);
    norn_redis_question_deinit(&question);
    return status;
}

/// A load that was not finished goes on as it was begun; others of the number are in its way.
static norn_status continue_load(load *l, const norn_redis_record *record,
                                 norn_redis_version *there) {
    const unsigned long long number = l->version->base.number;
    bool whole;
    if (strcmp(record->state, "dropping") == 0)
        return norn_fail(NORN_FAILED_PRECONDITION, "version %llu is being dropped; load it later",
                         number);
    if (strcmp(record->files, l->files) != 0 || there->base.table_count != l->names.count)
        return strcmp(record->state, "ready") == 0
                   ? norn_fail(NORN_ALREADY_EXISTS, "version %llu is there already, of other files",
                               number)
                   : norn_fail(NORN_FAILED_PRECONDITION,
                               "a load of version %llu from other files was not finished; finish "
                               "it, or take another number",
                               number);
    memcpy(l->version->buckets, there->buckets, l->names.count * sizeof *there->buckets);
    if (strcmp(record->state, "ready") != 0) return NORN_OK;
    NORN_TRY(check(l, &whole));
    return whole ? norn_fail(NORN_ALREADY_EXISTS, "version %llu is there already", number)
                 : NORN_OK;
}

static norn_status load_all(load *l) {
    norn_redis_record record;
    norn_redis_version *there;
    NORN_TRY(norn_redis_version_read(l->home, l->version->base.number, &record, &there));
    const uint32_t partitions = there ? there->partitions : l->home->options.partitions;
    norn_status status = look_at_servers(l);
    if (status == NORN_OK && partitions != l->version->partitions) {
        const uint64_t number = l->version->base.number;
        norn_redis_version_destroy(l->version);
        status = norn_redis_version_create(l->home, number, partitions, &l->version);
    }
    if (status == NORN_OK) status = NORN_NEW_ARRAY(l->home->alloc, partitions, &l->loaded);
    if (status == NORN_OK) status = look_at_files(l);
    if (status == NORN_OK && record.state[0]) status = continue_load(l, &record, there);
    norn_redis_version_destroy(there);
    NORN_TRY(status);
    if (!record.state[0]) {
        NORN_TRY(norn_redis_version_write(l->version, "loading", l->files));
        NORN_TRY(add_number(l->home, l->version->base.number));
    }
    return write_all(l);
}

norn_status norn_redis_load(norn_redis_home *home, uint64_t number, const char *dir,
                            norn_redis_version **out) {
    load l = {.home = home, .dir = dir};
    *out = NULL;
    NORN_TRY(norn_table_names_read(dir, home->alloc, &l.names));
    norn_status status =
        norn_redis_version_create(home, number, home->options.partitions, &l.version);
    if (status == NORN_OK) status = load_all(&l);
    norn_table_names_deinit(&l.names);
    norn_free(home->alloc, l.loaded);
    if (status == NORN_OK)
        *out = l.version;
    else
        norn_redis_version_destroy(l.version);
    return status;
}
