#include "base/memory.h"
#include "store/redis/redis_command.h"
#include "store/redis/redis_version.h"
#include "store/version_record.h"

#include <string.h>

enum { CUT_STEP = 1, CUT_LOADED = 15 }; ///< the rest is the cut's (store/version_record.h)

void norn_redis_cut_write(const norn_cut *cut, uint32_t loaded, norn_buffer *out) {
    norn_cut_encode(cut, out);
    norn_wire_put_varint(out, CUT_LOADED, loaded);
}

norn_status norn_redis_cut_look(norn_span bytes, uint64_t *step, uint32_t *loaded) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    *step = 0;
    *loaded = 0;
    while (norn_wire_each(&reader, &field)) {
        if (field.number == CUT_STEP) *step = field.value;
        if (field.number == CUT_LOADED) *loaded = (uint32_t)field.value;
    }
    if (reader.status == NORN_OK) return NORN_OK;
    return norn_fail(NORN_DATA_LOSS, "the cut of a partition is damaged");
}

// ---- reading

typedef struct reading {
    norn_redis_version *version;
    norn_redis_batch batch;
    norn_redis_cuts *out;
    const uint64_t *steps;
    uint32_t *loaded;
    bool any;
} reading;

typedef struct cut_call {
    norn_redis_call call;
    reading *of;
    uint32_t partition;
} cut_call;

static void encode(const norn_redis_call *call, norn_buffer *out) {
    const cut_call *cut = (const cut_call *)(const void *)call;
    char key[NORN_REDIS_KEY_BYTES];
    const size_t count = norn_redis_cut_key(cut->of->version, cut->partition, key);
    norn_redis_put_array(out, 2);
    norn_redis_put_text(out, "GET");
    norn_redis_put_bytes(out, key, count);
}

static norn_status take_cut(reading *r, uint32_t partition, const norn_redis_reply *reply) {
    norn_redis_cuts *out = r->out;
    uint64_t step = 0;
    uint32_t loaded = 0;
    const norn_span bytes = norn_redis_bytes(reply, 0);
    if (norn_redis_is(reply, 0, NORN_REDIS_TEXT))
        NORN_TRY(norn_redis_cut_look(bytes, &step, &loaded));
    else if (norn_redis_is(reply, 0, NORN_REDIS_NIL))
        out->absent++;
    else
        return norn_fail(NORN_DATA_LOSS, "the cut of a partition is no string");
    if (r->loaded) r->loaded[partition] = loaded;
    if (r->steps && step < r->steps[partition]) out->behind++;
    if (!r->any || loaded < out->least_loaded) out->least_loaded = loaded;
    if (r->any && step >= out->least_step) return NORN_OK;
    r->any = true;
    out->least_step = step;
    norn_buffer_clear(&out->least);
    norn_buffer_append(&out->least, bytes.bytes, bytes.count);
    return norn_buffer_status(&out->least);
}

static void done(norn_redis_call *call, norn_status status, const norn_redis_reply *reply) {
    cut_call *cut = (cut_call *)(void *)call;
    if (status == NORN_OK) status = take_cut(cut->of, cut->partition, reply);
    norn_redis_batch_done(&cut->of->batch, status);
}

norn_status norn_redis_cuts_read(norn_redis_version *version, const uint64_t *steps,
                                 uint32_t *loaded, norn_redis_cuts *out) {
    const norn_redis_home *home = version->home;
    reading r = {.version = version, .out = out, .steps = steps, .loaded = loaded};
    cut_call *calls;
    *out = (norn_redis_cuts){0};
    norn_buffer_init(&out->least, home->alloc);
    NORN_TRY(NORN_NEW_ARRAY(home->alloc, version->partitions, &calls));
    norn_redis_batch_init(&r.batch, home->client);
    for (uint32_t p = 0; p < version->partitions; p++) {
        calls[p] = (cut_call){.call = {.encode = encode,
                                       .done = done,
                                       .deadline_ns = norn_redis_deadline(home),
                                       .replies = 1,
                                       .slot = version->tags[p].slot,
                                       .node = NORN_REDIS_NO_NODE,
                                       .kind = NORN_REDIS_OTHER},
                              .of = &r,
                              .partition = p};
        norn_redis_batch_put(&r.batch, &calls[p].call);
    }
    const norn_status status = norn_redis_batch_wait(&r.batch);
    norn_redis_batch_deinit(&r.batch);
    norn_free(home->alloc, calls);
    if (status != NORN_OK)
        norn_note("the cuts of version %llu", (unsigned long long)version->base.number);
    return status;
}

void norn_redis_cuts_deinit(norn_redis_cuts *cuts) {
    norn_buffer_deinit(&cuts->least);
}

norn_status norn_redis_cuts_take(norn_redis_version *version, const norn_redis_cuts *cuts) {
    norn_cut cut;
    NORN_TRY(norn_cut_decode(norn_span_of(cuts->least.bytes, cuts->least.count),
                             version->home->alloc, &cut));
    norn_free(version->home->alloc, version->positions);
    version->cut = cut;
    version->positions = (norn_position *)(uintptr_t)cut.positions;
    pthread_mutex_lock(&version->lock);
    version->visible = cut.step;
    pthread_mutex_unlock(&version->lock);
    return NORN_OK;
}
