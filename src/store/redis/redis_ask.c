#include "store/redis/redis_ask.h"

#include <stdio.h>

void norn_redis_batch_init(norn_redis_batch *batch, norn_redis_client *client) {
    *batch = (norn_redis_batch){.client = client};
    pthread_mutex_init(&batch->lock, NULL);
    pthread_cond_init(&batch->done, NULL);
}

void norn_redis_batch_deinit(norn_redis_batch *batch) {
    pthread_mutex_destroy(&batch->lock);
    pthread_cond_destroy(&batch->done);
}

void norn_redis_batch_put(norn_redis_batch *batch, norn_redis_call *call) {
    norn_redis_calls_put(&batch->calls, call);
}

void norn_redis_batch_done(norn_redis_batch *batch, norn_status status) {
    pthread_mutex_lock(&batch->lock);
    if (status != NORN_OK && (batch->status == NORN_OK || batch->status == NORN_ABORTED)) {
        batch->status = status;
        (void)snprintf(batch->message, sizeof batch->message, "%s", norn_message());
    }
    if (--batch->left == 0) pthread_cond_signal(&batch->done);
    pthread_mutex_unlock(&batch->lock);
}

norn_status norn_redis_batch_wait(norn_redis_batch *batch) {
    if (!batch->calls.first) return NORN_OK;
    batch->left = batch->calls.count;
    batch->status = NORN_OK;
    norn_redis_client_send(batch->client, &batch->calls);
    pthread_mutex_lock(&batch->lock);
    while (batch->left) pthread_cond_wait(&batch->done, &batch->lock);
    pthread_mutex_unlock(&batch->lock);
    if (batch->status == NORN_OK) return NORN_OK;
    return norn_fail(batch->status, "%s", batch->message);
}

// ---- questions

static void encode(const norn_redis_call *call, norn_buffer *out) {
    const norn_redis_question *question = (const norn_redis_question *)(const void *)call;
    norn_buffer_append(out, question->command.bytes, question->command.count);
}

static void done(norn_redis_call *call, norn_status status, const norn_redis_reply *reply) {
    norn_redis_question *question = (norn_redis_question *)(void *)call;
    if (status == NORN_OK && question->answer) status = question->answer(question->context, reply);
    question->status = status;
    norn_redis_batch_done(question->batch, status);
}

void norn_redis_question_init(norn_redis_question *question, norn_alloc alloc, uint16_t slot,
                              uint16_t node, int64_t deadline_ns) {
    *question = (norn_redis_question){.call = {.encode = encode,
                                               .done = done,
                                               .deadline_ns = deadline_ns,
                                               .replies = 1,
                                               .slot = slot,
                                               .node = node,
                                               .kind = NORN_REDIS_OTHER}};
    norn_buffer_init(&question->command, alloc);
}

void norn_redis_question_deinit(norn_redis_question *question) {
    norn_buffer_deinit(&question->command);
}

norn_status norn_redis_ask(norn_redis_client *client, norn_redis_question *questions,
                           uint32_t count) {
    norn_redis_batch batch;
    for (uint32_t i = 0; i < count; i++) NORN_TRY(norn_buffer_status(&questions[i].command));
    norn_redis_batch_init(&batch, client);
    for (uint32_t i = 0; i < count; i++) {
        questions[i].batch = &batch;
        norn_redis_batch_put(&batch, &questions[i].call);
    }
    const norn_status status = norn_redis_batch_wait(&batch);
    norn_redis_batch_deinit(&batch);
    return status;
}
