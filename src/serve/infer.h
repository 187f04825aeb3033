/// One inference request, from the bytes of a protocol to the bytes of its answer.
/// Protocols fill it, the model admits it, a batcher joins it with others,
/// an instance computes it, the protocol encodes it.
///
/// Memory   everything hangs on `arena`; request bytes that views alias are kept
///          by the protocol until it destroys the request.
/// Threads  owned by one thread at a time: I/O thread -> compute thread -> I/O thread.
#ifndef NORN_SERVE_INFER_H
#define NORN_SERVE_INFER_H

#include "base/arena.h"
#include "norn/plan.h"
#include "norn/session.h"
#include "serve/budget.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct norn_served norn_served; ///< one version of one model, ready to run: served.h
typedef struct norn_infer norn_infer;

typedef struct norn_infer_input {
    const char *name;
    norn_view view;
    int64_t bytes; ///< of view.data; -1: view.data is known to fit its shape
} norn_infer_input;

typedef struct norn_infer_output {
    const char *name;
    uint32_t port;  ///< output index of the plan
    norn_view view; ///< filled by the run; data in the request's arena
    bool binary;    ///< HTTP: as binary data rather than JSON
} norn_infer_output;

/// Where the time went; what statistics and metrics count.
typedef struct norn_infer_times {
    int64_t arrival_ns;                      ///< the request was read
    int64_t dequeue_ns;                      ///< a batch took it
    int64_t input_ns, compute_ns, output_ns; ///< durations of its batch
    int64_t done_ns;
} norn_infer_times;

struct norn_infer {
    norn_arena arena;
    const char *id;           ///< "" when none
    norn_served *model;       ///< retained
    norn_infer_input *inputs; ///< as the client named them; by plan order after norn_served_admit
    uint32_t input_count;
    bool binary_outputs;        ///< HTTP: outputs that the client did not name are binary
    norn_infer_output *outputs; ///< wanted; all when the client named none (after admission)
    uint32_t output_count;
    int64_t rows;            ///< batch rows; 1 when the model has no batch dimension
    int64_t *symbols;        ///< of the plan, by what the inputs' shapes bind; in the arena
    bool overrides;          ///< gives an optional input
    uint64_t join_key;       ///< only requests of one key may be one batch; 0: runs alone
    int64_t deadline_ns;     ///< CLOCK_MONOTONIC; 0: none
    _Atomic bool cancelled;  ///< nobody waits for the answer any more: norn_infer_cancel
    _Atomic int64_t left_ns; ///< when the client was seen to have gone
    norn_budget *budget;     ///< what its tensors are taken from: norn_infer_hold; NULL: nothing
    int64_t held_bytes;
    norn_infer_times times;
    norn_status status;
    char message[512];
    void (*done)(norn_infer *infer); ///< called once, on any thread, after norn_served_submit
    void *context;                   ///< the protocol's
    int64_t retry_ns;                ///< refused for want of room: when to ask again; 0: not said
    norn_infer *next;                ///< in a batch
    norn_infer *group_next, *group_prev, *group_last; ///< the queue's; of a group's first request
    int64_t group_rows, group_count;
};

norn_status norn_infer_create(norn_alloc alloc, norn_infer **out) NORN_NODISCARD;
void norn_infer_destroy(norn_infer *infer); ///< releases the model and what it holds; takes NULL
/// Ask for room in the budget, before `bytes` of tensors are taken from the arena. Given back by
/// norn_infer_destroy. The thread that owns the request.
/// Errors   UNAVAILABLE: others hold it; RESOURCE_EXHAUSTED: it is more than there ever is
norn_status norn_infer_hold(norn_infer *infer, size_t bytes) NORN_NODISCARD;
/// Nobody waits for the answer any more. A request that has not begun to run, or has pieces left to
/// run, ends with CANCELLED; one whose answer is already made ends as it would have. `done` is
/// called once either way. Any thread, as long as the request lives.
void norn_infer_cancel(norn_infer *infer);
/// Should the request not be run (any more)? Records why in it: cancelled, or past its deadline.
bool norn_infer_is_over(norn_infer *infer, int64_t now_ns);
/// May two admitted requests of one model be one batch: are all dims but the batch equal? The key
/// only filters, for clients choose what it is made of.
bool norn_infer_can_join(const norn_infer *a, const norn_infer *b);
/// Record the thread's last failure in the request.
void norn_infer_fail(norn_infer *infer, norn_status status);

#endif
