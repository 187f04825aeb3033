/// One connection to one node: calls go out in order, a bounded number ahead of their answers.
/// Of the client's thread alone; nothing here waits.
#ifndef NORN_STORE_REDIS_LINK_H
#define NORN_STORE_REDIS_LINK_H

#include "store/redis/redis_call.h"

/// Calls that are on their way at once: a batch of more keys only makes the first wait for the last.
enum { NORN_REDIS_AHEAD = 1024 };

typedef struct norn_redis_link {
    norn_alloc alloc;
    int file; ///< -1: closed
    bool connecting;
    norn_redis_calls waiting, sent;
    norn_buffer out;
    size_t out_at;
    norn_redis_reader *reader;
    uint32_t greetings; ///< answers that are still owed to the greeting
    uint32_t replies;   ///< of the first call that was sent
    bool has_error;     ///< among them:
    char error[256];
    int64_t moved_ns; ///< when the server last answered, or began to owe it
    int64_t again_ns; ///< not to be opened before
    uint32_t failures;
} norn_redis_link;

typedef struct norn_redis_answers {
    /// A call has its answer, the first error of several; it is the link's no more.
    void (*answer)(void *context, norn_redis_call *call, const norn_redis_reply *reply);
    /// Before a call is sent. False: it has been dealt with, and is not sent.
    bool (*still)(void *context, norn_redis_call *call);
    void *context;
} norn_redis_answers;

void norn_redis_link_init(norn_redis_link *link, norn_alloc alloc);
void norn_redis_link_deinit(norn_redis_link *link); ///< no calls are left
/// Begins to connect. readonly: a replica is to answer too.
/// Errors   UNAVAILABLE, RESOURCE_EXHAUSTED; it stays closed
norn_status norn_redis_link_open(norn_redis_link *link, const norn_redis_address *address,
                                 bool readonly, int64_t now_ns) NORN_NODISCARD;
/// Calls that were sent are put behind *sent, others behind *waiting.
void norn_redis_link_close(norn_redis_link *link, norn_redis_calls *sent,
                           norn_redis_calls *waiting);
/// What poll is to look for.
short norn_redis_link_events(const norn_redis_link *link);
/// Whether the server owes something.
static inline bool norn_redis_link_owed(const norn_redis_link *link) {
    return link->file >= 0 && (link->connecting || link->sent.first);
}
/// Send what waits, as far as it goes.
/// Errors   UNAVAILABLE, RESOURCE_EXHAUSTED: close it
norn_status norn_redis_link_send(norn_redis_link *link, const norn_redis_answers *to,
                                 int64_t now_ns) NORN_NODISCARD;
/// Read what has come.
/// Errors   UNAVAILABLE; DATA_LOSS: what came is no answer; RESOURCE_EXHAUSTED: close it
norn_status norn_redis_link_read(norn_redis_link *link, const norn_redis_answers *to,
                                 int64_t now_ns) NORN_NODISCARD;

#endif
