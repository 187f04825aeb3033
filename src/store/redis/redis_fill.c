#include "base/memory.h"
#include "store/delta_check.h"
#include "store/redis/redis_command.h"
#include "store/redis/redis_commit.h"

/// Another process may write meanwhile, so the server compares: a script is one step to it. Of
/// little-endian steps the last byte counts most.
static const char script[] =
    "local o\n"
    "if #ARGV==2 then o=redis.call('HGET',KEYS[1],ARGV[1]) else o=redis.call('GET',KEYS[1]) end\n"
    "local n=ARGV[#ARGV]\n"
    "if o then\n"
    " local newer=false\n"
    " for i=8,1,-1 do\n"
    "  local a,b=o:byte(i) or 0,n:byte(i)\n"
    "  if a~=b then newer=b>a break end\n"
    " end\n"
    " if not newer then return 0 end\n"
    "end\n"
    "if #ARGV==2 then redis.call('HSET',KEYS[1],ARGV[1],n) else redis.call('SET',KEYS[1],n) end\n"
    "return 1\n";

static norn_status count_kept(void *context, const norn_redis_reply *reply) {
    uint32_t *kept = context;
    if (!norn_redis_is(reply, 0, NORN_REDIS_INTEGER))
        return norn_fail(NORN_DATA_LOSS, "redis: a script was answered with something else");
    *kept += reply->values[0].integer == 1;
    return NORN_OK;
}

static bool is_wanted(uint64_t visible, const norn_fetch *fetched, uint32_t i) {
    const uint8_t state = fetched->state[i];
    return (state == NORN_ROW_FOUND || state == NORN_ROW_DELETED) && fetched->step[i] <= visible;
}

static void ask_for(norn_redis_version *version, const norn_fetch *fetched, uint32_t i,
                    norn_redis_question *question) {
    const norn_row_key *key = &fetched->keys[i];
    const norn_redis_place place = norn_redis_place_of(version, key->table, key->key);
    const bool hash = version->buckets[key->table] != 0;
    const bool row = fetched->state[i] == NORN_ROW_FOUND;
    char name[NORN_REDIS_KEY_BYTES];
    norn_redis_question_init(question, version->home->alloc, version->tags[place.partition].slot,
                             NORN_REDIS_NO_NODE, norn_redis_deadline(version->home));
    norn_buffer *out = &question->command;
    norn_redis_put_array(out, hash ? 6 : 5);
    norn_redis_put_text(out, "EVAL");
    norn_redis_put_text(out, script);
    norn_redis_put_text(out, "1");
    norn_redis_put_bytes(out, name, norn_redis_row_key(version, key->table, key->key, place, name));
    if (hash) norn_redis_put_bytes(out, &key->key, sizeof key->key);
    norn_redis_put_pair(out, &fetched->step[i], sizeof fetched->step[i],
                        row ? fetched->rows + fetched->row_at[i] : NULL,
                        row ? (size_t)version->base.tables[key->table].row_bytes : 0);
}

norn_status norn_redis_fill(norn_redis_version *version, const norn_fetch *fetched,
                            uint32_t *kept) {
    const norn_alloc alloc = version->home->alloc;
    norn_redis_question *questions;
    const uint64_t visible = norn_redis_version_step(version);
    uint32_t count = 0;
    *kept = 0;
    NORN_TRY(norn_fetch_check(&version->base, fetched));
    NORN_TRY(NORN_NEW_ARRAY(alloc, fetched->count, &questions));
    for (uint32_t i = 0; i < fetched->count; i++) {
        if (!is_wanted(visible, fetched, i)) continue;
        ask_for(version, fetched, i, &questions[count]);
        questions[count].answer = count_kept;
        questions[count++].context = kept;
    }
    const norn_status status = norn_redis_ask(version->home->client, questions, count);
    for (uint32_t i = 0; i < count; i++) norn_redis_question_deinit(&questions[i]);
    norn_free(alloc, questions);
    return status;
}
