/// One fetch on its way: of the tables of a run that share tier, pin and rule.
#ifndef NORN_RUNTIME_GATHER_BATCH_H
#define NORN_RUNTIME_GATHER_BATCH_H

#include "runtime/run_memory.h"
#include "store/elsewhere.h"
#include "store/snapshot.h"

#include <pthread.h>

typedef struct norn_gather_batch {
    norn_fetch fetch;
    norn_blocks *blocks; ///< where memory comes from
    norn_block *asked, *rows;
    norn_snapshot *snapshot; ///< held while the fetch is on its way
    norn_tier *tier;
    norn_fetch_rule rule;
    int64_t until_ns; ///< how long a run waits for it; INT64_MAX: until it comes
    bool flying;      ///< given to the tier, and not seen to be done
    bool blocked;     ///< in this round: it flies since an earlier one, and its rows are late
    bool ended;       ///< in this round: its rows are there, or late
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool answered; ///< `lock`
} norn_gather_batch;

void norn_gather_batch_init(norn_gather_batch *batch, norn_blocks *blocks);
void norn_gather_batch_deinit(norn_gather_batch *batch); ///< waits

/// For tables of this rule: waits for an earlier fetch as long as they may; false: it still flies.
bool norn_gather_batch_free(norn_gather_batch *batch, norn_fetch_rule rule);
/// Room for `keys` keys in fetch.keys, row_at, step, state.
norn_status norn_gather_batch_room(norn_gather_batch *batch, uint64_t keys) NORN_NODISCARD;
/// Fetch what fetch.keys says, into `row_bytes` bytes. `snapshot` is retained meanwhile.
norn_status norn_gather_batch_start(norn_gather_batch *batch, norn_snapshot *snapshot,
                                    size_t row_bytes) NORN_NODISCARD;
/// Waits as long as the rule says; true: it is done, and fetch.status and what was fetched may be
/// read until the next _room.
bool norn_gather_batch_wait(norn_gather_batch *batch);

#endif
