/// One inference request, from the bytes of a protocol to the bytes of its answer. Protocols fill
/// it, a servable admits it and takes it, and calls `done`; the protocol writes the answer.
///
/// Memory   everything hangs on `arena`; request bytes that views alias are kept
///          by the protocol until it destroys the request.
/// Threads  owned by one thread at a time: I/O thread -> compute thread -> I/O thread.
#ifndef NORN_SERVE_REQUEST_H
#define NORN_SERVE_REQUEST_H

#include "base/arena.h"
#include "norn/tensor.h"
#include "serve/budget.h"
#include "serve/observe/stats.h"

#include <stdatomic.h>
#include <stdbool.h>

typedef struct norn_servable norn_servable; ///< who answers it: servable.h
typedef struct norn_request norn_request;

typedef struct norn_request_input {
    const char *name;
    norn_view view;
    int64_t bytes; ///< of view.data; -1: view.data is known to fit its shape
} norn_request_input;

typedef struct norn_request_output {
    const char *name;
    uint32_t port;  ///< output index
    norn_view view; ///< filled by the run; data in the request's arena
    bool binary;    ///< HTTP: as binary data rather than JSON
} norn_request_output;

struct norn_request {
    norn_arena arena;
    const char *id;             ///< "" when none
    norn_servable *servable;    ///< retained; NULL until it is known
    norn_request_input *inputs; ///< as the client named them; by port after admission
    uint32_t input_count;
    bool binary_outputs;          ///< HTTP: outputs that the client did not name are binary
    norn_request_output *outputs; ///< wanted; all when the client named none (after admission)
    uint32_t output_count;
    int64_t deadline_ns;     ///< CLOCK_MONOTONIC; 0: none
    _Atomic bool cancelled;  ///< nobody waits for the answer any more: norn_request_cancel
    _Atomic int64_t left_ns; ///< when the client was seen to have gone
    norn_budget *budget;     ///< what its tensors are taken from: norn_request_hold; NULL: nothing
    int64_t held_bytes;
    norn_request_times times;
    norn_status status;
    char message[512];
    int64_t retry_ns; ///< refused for want of room: when to ask again; 0: not said
    void (*done)(norn_request *request); ///< called once, on any thread, after it was taken
    void *context;                       ///< the protocol's
    // of admission
    int64_t rows;      ///< batch rows; 1 when there is no batch dimension
    int64_t *symbols;  ///< of the plan, by what the inputs' shapes bind; in the arena
    bool overrides;    ///< gives an optional input
    uint64_t join_key; ///< only requests of one key may be one batch; 0: runs alone
    // of the queue (schedule/queue.h)
    norn_request *next;                                 ///< in a batch
    norn_request *group_next, *group_prev, *group_last; ///< of a group's first request
    int64_t group_rows, group_count;
};

norn_status norn_request_create(norn_alloc alloc, norn_request **out) NORN_NODISCARD;
/// Releases the servable and what it holds; takes NULL.
void norn_request_destroy(norn_request *request);
/// Ask for room in the budget, before `bytes` of tensors are taken from the arena. Given back by
/// norn_request_destroy. The thread that owns the request.
/// Errors   UNAVAILABLE: others hold it; RESOURCE_EXHAUSTED: it is more than there ever is
norn_status norn_request_hold(norn_request *request, size_t bytes) NORN_NODISCARD;
/// Nobody waits for the answer any more. A request that has not begun to run, or has pieces left to
/// run, ends with CANCELLED; one whose answer is already made ends as it would have. `done` is
/// called once either way. Any thread, as long as the request lives.
void norn_request_cancel(norn_request *request);
/// Should the request not be run (any more)? Records why in it: cancelled, or past its deadline.
bool norn_request_is_over(norn_request *request, int64_t now_ns);
/// May two admitted requests of one servable be one batch: are all dims but the batch equal? The key
/// only filters, for clients choose what it is made of.
bool norn_request_can_join(const norn_request *a, const norn_request *b);
/// Record the thread's last failure in the request.
void norn_request_fail(norn_request *request, norn_status status);

#endif
