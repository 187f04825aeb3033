/// Asking servers and waiting for the answers, for threads that may wait.
#ifndef NORN_STORE_REDIS_ASK_H
#define NORN_STORE_REDIS_ASK_H

#include "store/redis/redis_client.h"

#include <pthread.h>

/// Calls that somebody waits for together.
typedef struct norn_redis_batch {
    norn_redis_client *client;
    norn_redis_calls calls; ///< not sent yet
    pthread_mutex_t lock;
    pthread_cond_t done;
    uint32_t left;
    norn_status status; ///< the first that was not OK, an ABORTED only where there is no other
    char message[512];
} norn_redis_batch;

void norn_redis_batch_init(norn_redis_batch *batch, norn_redis_client *client);
void norn_redis_batch_deinit(norn_redis_batch *batch);
/// One more, whose `done` ends with norn_redis_batch_done. Its memory stays until the wait.
void norn_redis_batch_put(norn_redis_batch *batch, norn_redis_call *call);
void norn_redis_batch_done(norn_redis_batch *batch, norn_status status);
/// Sends all and waits; the batch can be used again.
norn_status norn_redis_batch_wait(norn_redis_batch *batch) NORN_NODISCARD;

/// A command that is there as bytes, and somebody for its answer.
typedef struct norn_redis_question {
    norn_redis_call call;
    norn_redis_batch *batch;
    norn_buffer command;
    /// On the client's thread; its status is the question's.
    norn_status (*answer)(void *context, const norn_redis_reply *reply);
    void *context;
    norn_status status;
} norn_redis_question;

/// Ready for a command to be written. `slot` where `node` is NO_NODE.
void norn_redis_question_init(norn_redis_question *question, norn_alloc alloc, uint16_t slot,
                              uint16_t node, int64_t deadline_ns);
void norn_redis_question_deinit(norn_redis_question *question);
/// All at once; the first error. Each has its own `status`.
norn_status norn_redis_ask(norn_redis_client *client, norn_redis_question *questions,
                           uint32_t count) NORN_NODISCARD;

#endif
