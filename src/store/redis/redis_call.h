/// A call: what one server is asked, as a whole, and what becomes of it.
#ifndef NORN_STORE_REDIS_CALL_H
#define NORN_STORE_REDIS_CALL_H

#include "store/redis/redis_map.h"

typedef enum norn_redis_kind {
    NORN_REDIS_FETCH, ///< its own connection to each node, so that it stands behind no load
    NORN_REDIS_OTHER,
    NORN_REDIS_KINDS
} norn_redis_kind;

typedef struct norn_redis_call norn_redis_call;
struct norn_redis_call {
    norn_redis_call *next; ///< the client's own
    /// Writes the command, or MULTI .. EXEC, on the client's thread; more than once where the call is
    /// sent elsewhere. A call does no harm when it is answered twice.
    void (*encode)(const norn_redis_call *call, norn_buffer *out);
    /// On the client's thread, once; may not block. `reply` is the last of its replies, NULL unless
    /// the status is NORN_OK; norn_message() says more of other statuses.
    void (*done)(norn_redis_call *call, norn_status status, const norn_redis_reply *reply);
    int64_t deadline_ns; ///< then it is not tried again (UNAVAILABLE); what waits its turn does
    /// Not 0: it is sent only while the client's generation is this, and not sent again after a
    /// connection was lost; else it is ABORTED.
    uint64_t generation;
    int64_t not_before_ns; ///< the client's own
    uint32_t replies;      ///< the commands that it has; an error in one is the call's
    uint16_t slot;
    uint16_t node; ///< NO_NODE: whoever has the slot
    uint8_t kind;  ///< norn_redis_kind
    bool unwanted; ///< set on the client's thread: it is not sent any more, but CANCELLED
    // The client's own.
    bool asking; ///< it goes to ask_node, which may not have the slot yet
    uint16_t ask_node;
    uint16_t at; ///< the node that it was sent to
    uint16_t tries, moves;
};

typedef struct norn_redis_calls {
    norn_redis_call *first, *last;
    uint32_t count;
} norn_redis_calls;

static inline void norn_redis_calls_put(norn_redis_calls *calls, norn_redis_call *call) {
    call->next = NULL;
    if (calls->last)
        calls->last->next = call;
    else
        calls->first = call;
    calls->last = call;
    calls->count++;
}

static inline norn_redis_call *norn_redis_calls_take(norn_redis_calls *calls) {
    norn_redis_call *call = calls->first;
    if (!call) return NULL;
    calls->first = call->next;
    if (!calls->first) calls->last = NULL;
    calls->count--;
    return call;
}

/// `more` goes behind `calls`.
static inline void norn_redis_calls_join(norn_redis_calls *calls, norn_redis_calls *more) {
    if (more->first) {
        if (calls->last)
            calls->last->next = more->first;
        else
            calls->first = more->first;
        calls->last = more->last;
        calls->count += more->count;
    }
    *more = (norn_redis_calls){0};
}

#endif
