#include "base/thread.h"

#include "base/clock.h"
#include "base/memory.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/// How a loop runs.
///
/// The caller fills in the loop and opens it by one store to `gate`. A worker that sees an open
/// gate joins it by counting itself in with a compare-and-swap, takes chunks from `next` until none
/// is left, and counts itself out. The caller takes chunks too, then closes the gate and waits for
/// the workers that are inside. A worker that comes too late finds the gate closed: nobody waits
/// for a thread that sleeps or was preempted before it joined.
///
/// `gate`: generation in the high half, OPEN, and the number of workers inside in the low bits.
enum { MAX_THREADS = 1024, CHUNKS_PER_THREAD = 8 };
enum { SPIN_NS = 30000, YIELD_NS = 100000, PAUSES_PER_LOOK = 32 };
static const uint64_t OPEN = UINT64_C(1) << 31;
static const uint64_t INSIDE = (UINT64_C(1) << 31) - 1;

typedef struct norn_worker {
    norn_pool *pool;
    pthread_t thread;
    int32_t index;
} norn_worker;

struct norn_pool {
    norn_alloc alloc;
    norn_worker *workers;
    int32_t threads, started;

    // The loop: written by the caller while the gate is closed.
    norn_loop_fn fn;
    void *context;
    int64_t count, chunk, chunks;

    _Alignas(64) _Atomic uint64_t gate;
    _Alignas(64) _Atomic int64_t next; ///< chunk
    _Alignas(64) _Atomic uint32_t parked;
    _Atomic uint32_t wake; ///< the futex; changes at every wake
    _Atomic bool stop;
};

static void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int32_t threads) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static void run_chunks(norn_pool *pool, int32_t worker) {
    for (;;) {
        int64_t index = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (index >= pool->chunks) return;
        int64_t begin = index * pool->chunk;
        int64_t end = pool->count - begin > pool->chunk ? begin + pool->chunk : pool->count;
        pool->fn(pool->context, begin, end, worker);
    }
}

/// Open, and not the loop that this worker has already emptied.
static bool wants_worker(uint64_t gate, uint32_t last) {
    return (gate & OPEN) != 0 && (uint32_t)(gate >> 32) != last;
}

static bool has_news(norn_pool *pool, uint32_t last) {
    return wants_worker(atomic_load(&pool->gate), last) || atomic_load(&pool->stop);
}

/// Spin, then spin and yield, then sleep, until there is a loop to join or the pool stops.
static void wait_for_news(norn_pool *pool, uint32_t last) {
    int64_t begin = 0;
    for (int64_t waited = 0; waited < YIELD_NS;) {
        for (int i = 0; i < PAUSES_PER_LOOK; i++) {
            if (wants_worker(atomic_load_explicit(&pool->gate, memory_order_relaxed), last) ||
                atomic_load_explicit(&pool->stop, memory_order_relaxed))
                return;
            pause_cpu();
        }
        // With more threads than cores, whoever has work to do gets this core.
        if (waited > SPIN_NS) sched_yield();
        int64_t now = norn_clock_now_ns();
        if (begin == 0) begin = now;
        waited = now - begin;
    }
    // Announce, then look again: either the caller sees this thread parked, or this thread sees the
    // open gate (both sides are sequentially consistent).
    uint32_t seen = atomic_load(&pool->wake);
    atomic_fetch_add(&pool->parked, 1);
    while (!has_news(pool, last)) {
        futex_wait(&pool->wake, seen);
        seen = atomic_load(&pool->wake);
    }
    atomic_fetch_sub(&pool->parked, 1);
}

static void *work(void *argument) {
    norn_worker *worker = argument;
    norn_pool *pool = worker->pool;
    uint32_t last = 0;
    for (;;) {
        wait_for_news(pool, last);
        if (atomic_load(&pool->stop)) return NULL;
        uint64_t gate = atomic_load(&pool->gate);
        if (!wants_worker(gate, last)) continue;
        if (!atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1)) continue;
        last = (uint32_t)(gate >> 32);
        run_chunks(pool, worker->index);
        atomic_fetch_sub_explicit(&pool->gate, 1, memory_order_release);
    }
}

static void open_gate(norn_pool *pool, int64_t chunks) {
    uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    uint32_t generation = (uint32_t)(gate >> 32) + 1;
    if (generation == 0) generation = 1; // 0 is what a fresh worker has seen
    atomic_store(&pool->gate, (uint64_t)generation << 32 | OPEN);
    if (atomic_load(&pool->parked) > 0) {
        atomic_fetch_add(&pool->wake, 1);
        futex_wake(&pool->wake, (int32_t)(chunks - 1));
    }
}

static void close_gate(norn_pool *pool) {
    atomic_fetch_and(&pool->gate, ~OPEN);
    for (int64_t looks = 1; (atomic_load_explicit(&pool->gate, memory_order_acquire) & INSIDE) != 0;
         looks++) {
        pause_cpu();
        // A worker inside may have been preempted; some 50 µs of spinning is enough.
        if (looks % 64 == 0 && looks > 1024) sched_yield();
    }
}

static atomic_bool shares_all;

void norn_pool_share_all(bool all) {
    atomic_store_explicit(&shares_all, all, memory_order_relaxed);
}

void norn_pool_loop(norn_pool *pool, int64_t count, int64_t grain, norn_loop_fn fn, void *context) {
    if (count <= 0) return;
    if (grain < 1 || atomic_load_explicit(&shares_all, memory_order_relaxed)) grain = 1;
    if (!pool || pool->threads == 1 || count <= grain) {
        fn(context, 0, count, 0);
        return;
    }
    // All in units of the grain, so that nothing overflows for any count.
    int64_t grains = count / grain + (count % grain != 0);
    int64_t wanted = (int64_t)pool->threads * CHUNKS_PER_THREAD;
    int64_t grains_per_chunk = grains / wanted + (grains % wanted != 0);
    pool->fn = fn;
    pool->context = context;
    pool->count = count;
    pool->chunk = grains_per_chunk * grain;
    pool->chunks = grains / grains_per_chunk + (grains % grains_per_chunk != 0);
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    open_gate(pool, pool->chunks);
    run_chunks(pool, 0);
    close_gate(pool);
}

norn_status norn_pool_create(int32_t threads, norn_alloc alloc, norn_pool **out) {
    norn_pool *pool = NULL;
    norn_status status;
    sigset_t all, old;
    *out = NULL;
    if (threads < 0 || threads > MAX_THREADS)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "a thread pool of %d thread%s: 0 to %d are possible", threads,
                         norn_plural(threads), MAX_THREADS);
    if (threads == 0) threads = norn_core_count();
    NORN_TRY_DONE(NORN_NEW(alloc, &pool));
    pool->alloc = alloc;
    pool->threads = threads;
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, (size_t)threads, &pool->workers));
    // Signals are for the threads that the program made itself.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (int32_t i = 1; i < threads; i++) {
        norn_worker *worker = &pool->workers[i];
        *worker = (norn_worker){.pool = pool, .index = i};
        int error = pthread_create(&worker->thread, NULL, work, worker);
        if (error) {
            status = norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start thread %d of %d: %s", i,
                               threads, strerror(error));
            break;
        }
        pool->started = i;
        char name[24]; // of which the kernel keeps 15 characters: indices have at most four
        snprintf(name, sizeof name, "norn-%d", i);
        pthread_setname_np(worker->thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (status != NORN_OK) goto done;
    *out = pool;
    pool = NULL;
done:
    norn_pool_destroy(pool);
    return status;
}

void norn_pool_destroy(norn_pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->wake, 1);
    futex_wake(&pool->wake, MAX_THREADS);
    for (int32_t i = 1; i <= pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
    norn_free(pool->alloc, pool->workers);
    norn_free(pool->alloc, pool);
}

int32_t norn_pool_threads(const norn_pool *pool) {
    return pool ? pool->threads : 1;
}
