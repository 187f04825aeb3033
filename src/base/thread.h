/// A pool of compute threads that share one parallel loop at a time.
/// Workers spin for a while after a loop, then park.
///
/// Threads  one caller at a time; the caller works too. A pool of 1 runs everything inline.
#ifndef NORN_BASE_THREAD_H
#define NORN_BASE_THREAD_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct norn_pool norn_pool;

/// `threads` counts the caller; 0 means one for every core that this process may use.
norn_status norn_pool_create(int32_t threads, norn_alloc alloc, norn_pool **out) NORN_NODISCARD;
void norn_pool_destroy(norn_pool *pool);
int32_t norn_pool_threads(const norn_pool *pool);

/// Cores this process may use (affinity and cgroup quota), at least 1.
int32_t norn_core_count(void);

/// `worker` is in [0, threads): use it to index per-thread scratch.
typedef void (*norn_loop_fn)(void *context, int64_t begin, int64_t end, int32_t worker);

/// Cover [0, count) with calls of `fn` on ranges that begin at a multiple of `grain` and are a
/// multiple of it long (but the last); returns when all are done. Ranges are handed out as threads
/// come free, so uneven work balances. Never allocates. count 0 calls nothing; count <= grain runs
/// inline. pool NULL runs inline. `fn` must not start another loop on the same pool.
void norn_pool_loop(norn_pool *pool, int64_t count, int64_t grain, norn_loop_fn fn, void *context);
/// For tests: of all pools every grain is one from now on, so that little work is shared out as well.
void norn_pool_share_all(bool all);

#endif
