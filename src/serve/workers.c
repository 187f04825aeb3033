#include "serve/workers.h"

#include "base/memory.h"
#include "serve/budget.h"

#include <pthread.h>
#include <stdbool.h>

struct norn_workers {
    norn_alloc alloc;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    norn_job *head, *tail;
    bool trim, stopping;
    int32_t thread_count;
    pthread_t threads[];
};

static void *worker_main(void *context) {
    norn_workers *workers = context;
    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        norn_job *job = workers->head;
        if (job) {
            workers->head = job->next;
            if (!workers->head) workers->tail = NULL;
            pthread_mutex_unlock(&workers->mutex);
            job->run(job);
            pthread_mutex_lock(&workers->mutex);
        } else if (workers->trim) {
            workers->trim = false;
            pthread_mutex_unlock(&workers->mutex);
            norn_budget_trim();
            pthread_mutex_lock(&workers->mutex);
        } else if (workers->stopping) {
            break;
        } else {
            pthread_cond_wait(&workers->arrived, &workers->mutex);
        }
    }
    pthread_mutex_unlock(&workers->mutex);
    return NULL;
}

norn_status norn_workers_create(int32_t threads, norn_alloc alloc, norn_workers **out) {
    norn_workers *workers;
    *out = NULL;
    NORN_TRY(norn_alloc_zeroed(alloc, 1, sizeof *workers + (size_t)threads * sizeof(pthread_t),
                               (void **)&workers));
    workers->alloc = alloc;
    pthread_mutex_init(&workers->mutex, NULL);
    pthread_cond_init(&workers->arrived, NULL);
    for (; workers->thread_count < threads; workers->thread_count++) {
        if (pthread_create(&workers->threads[workers->thread_count], NULL, worker_main, workers) ==
            0)
            continue;
        norn_workers_destroy(workers);
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start a worker thread");
    }
    *out = workers;
    return NORN_OK;
}

void norn_workers_destroy(norn_workers *workers) {
    if (!workers) return;
    pthread_mutex_lock(&workers->mutex);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->arrived);
    pthread_mutex_unlock(&workers->mutex);
    for (int32_t i = 0; i < workers->thread_count; i++) pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->arrived);
    pthread_mutex_destroy(&workers->mutex);
    norn_free(workers->alloc, workers);
}

void norn_workers_put(norn_workers *workers, norn_job *job) {
    if (!workers) {
        job->run(job);
        return;
    }
    job->next = NULL;
    pthread_mutex_lock(&workers->mutex);
    if (workers->tail) {
        workers->tail->next = job;
    } else {
        workers->head = job;
    }
    workers->tail = job;
    pthread_cond_signal(&workers->arrived);
    pthread_mutex_unlock(&workers->mutex);
}

void norn_workers_trim(norn_workers *workers) {
    if (!workers) return;
    pthread_mutex_lock(&workers->mutex);
    workers->trim = true;
    pthread_cond_signal(&workers->arrived);
    pthread_mutex_unlock(&workers->mutex);
}
