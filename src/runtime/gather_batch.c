#include "runtime/gather_batch.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/condition.h"

#include <string.h>

static void on_done(norn_fetch *fetch) {
    norn_gather_batch *batch = fetch->context;
    pthread_mutex_lock(&batch->lock);
    batch->answered = true;
    pthread_cond_signal(&batch->changed);
    pthread_mutex_unlock(&batch->lock);
}

void norn_gather_batch_init(norn_gather_batch *batch, norn_blocks *blocks) {
    *batch = (norn_gather_batch){.blocks = blocks};
    pthread_mutex_init(&batch->lock, NULL);
    norn_condition_init(&batch->changed);
}

/// Nothing of the batch is on its way any more.
static void land(norn_gather_batch *batch) {
    batch->flying = false;
    norn_snapshot_release(batch->snapshot);
    batch->snapshot = NULL;
}

static bool wait_until(norn_gather_batch *batch, int64_t until_ns) {
    bool in_time = true;
    if (!batch->flying) return true;
    pthread_mutex_lock(&batch->lock);
    while (!batch->answered && in_time)
        in_time = norn_condition_wait(&batch->changed, &batch->lock, until_ns);
    const bool done = batch->answered;
    pthread_mutex_unlock(&batch->lock);
    if (done) land(batch);
    return done;
}

/// When a run that begins to wait now has waited long enough.
static int64_t end_of(norn_fetch_rule rule) {
    switch (rule.policy) {
    case NORN_FETCH_WAIT:
        return INT64_MAX;
    case NORN_FETCH_DEADLINE:
        return norn_clock_now_ns() + rule.wait_ns;
    case NORN_FETCH_DEFAULT:
        return 0;
    }
    return 0;
}

bool norn_gather_batch_free(norn_gather_batch *batch, norn_fetch_rule rule) {
    return wait_until(batch, end_of(rule));
}

bool norn_gather_batch_wait(norn_gather_batch *batch) {
    return wait_until(batch, batch->until_ns);
}

void norn_gather_batch_deinit(norn_gather_batch *batch) {
    if (!batch->blocks) return;
    (void)wait_until(batch, INT64_MAX);
    norn_blocks_give(batch->blocks, batch->asked);
    norn_blocks_give(batch->blocks, batch->rows);
    pthread_cond_destroy(&batch->changed);
    pthread_mutex_destroy(&batch->lock);
}

static norn_status take_room(norn_blocks *blocks, size_t bytes, norn_block **block) {
    if (!*block || norn_block_bytes(*block) < bytes) {
        norn_blocks_give(blocks, *block);
        *block = NULL;
        NORN_TRY(norn_blocks_take(blocks, bytes, block));
    }
    norn_block_use(*block, bytes);
    return NORN_OK;
}

norn_status norn_gather_batch_room(norn_gather_batch *batch, uint64_t keys) {
    enum { EACH = sizeof(norn_row_key) + 2 * sizeof(uint64_t) + 1 };
    size_t bytes;
    if (keys > UINT32_MAX || !norn_size_mul(keys ? keys : 1, EACH, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "%llu keys in one run are too many to fetch",
                         (unsigned long long)keys);
    NORN_TRY(take_room(batch->blocks, bytes, &batch->asked));
    char *at = norn_block_data(batch->asked);
    batch->fetch = (norn_fetch){.keys = (const norn_row_key *)(void *)at};
    at += keys * sizeof(norn_row_key);
    batch->fetch.row_at = (const uint64_t *)(void *)at;
    at += keys * sizeof(uint64_t);
    batch->fetch.step = (uint64_t *)(void *)at;
    at += keys * sizeof(uint64_t);
    batch->fetch.state = (uint8_t *)at;
    return NORN_OK;
}

norn_status norn_gather_batch_start(norn_gather_batch *batch, norn_snapshot *snapshot,
                                    size_t row_bytes) {
    norn_fetch *fetch = &batch->fetch;
    NORN_TRY(take_room(batch->blocks, row_bytes ? row_bytes : 1, &batch->rows));
    memset(fetch->state, NORN_ROW_WAITING, fetch->count);
    fetch->rows = norn_block_data(batch->rows);
    fetch->done = on_done;
    fetch->context = batch;
    batch->until_ns = end_of(batch->rule);
    // A tier may be asked to give up when nobody waits any more; DEFAULT takes what comes.
    fetch->deadline_ns = batch->rule.policy == NORN_FETCH_DEADLINE ? batch->until_ns : INT64_MAX;
    batch->answered = false;
    batch->snapshot = norn_snapshot_retain(snapshot);
    batch->flying = true;
    const norn_status status = batch->tier->ops->fetch(batch->tier, fetch);
    if (status != NORN_OK) land(batch);
    return status;
}
