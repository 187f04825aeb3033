#include "serve/io/workers.h"

#include "base/memory.h"
#include "serve/budget.h"

#include <pthread.h>
#include <stdbool.h>

typedef struct job_queue {
    norn_job *head, *tail;
} job_queue;

struct norn_workers {
    norn_alloc alloc;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
    job_queue light, heavy;
    int32_t heavy_running;
    bool trim, stopping;
    int32_t thread_limit, thread_count;
    pthread_t threads[];
};

static void push(job_queue *queue, norn_job *job) {
    job->next = NULL;
    *(queue->tail ? &queue->tail->next : &queue->head) = job;
    queue->tail = job;
}

static norn_job *pop(job_queue *queue) {
    norn_job *job = queue->head;
    if (!job) return NULL;
    queue->head = job->next;
    if (!queue->head) queue->tail = NULL;
    return job;
}

/// With the mutex held.
static norn_job *next_job(norn_workers *workers) {
    norn_job *job = pop(&workers->light);
    if (job || (workers->heavy_running > 0 && workers->heavy_running >= workers->thread_limit - 1))
        return job;
    return pop(&workers->heavy);
}

/// The mutex is held before and after, not while the job runs, which may free itself.
static void run_job(norn_workers *workers, norn_job *job) {
    const bool heavy = job->heavy;
    workers->heavy_running += heavy;
    pthread_mutex_unlock(&workers->mutex);
    job->run(job);
    pthread_mutex_lock(&workers->mutex);
    workers->heavy_running -= heavy;
    if (heavy && workers->heavy.head) pthread_cond_signal(&workers->arrived);
}

static void *worker_main(void *context) {
    norn_workers *workers = context;
    pthread_mutex_lock(&workers->mutex);
    for (;;) {
        norn_job *job = next_job(workers);
        if (job) {
            run_job(workers, job);
        } else if (workers->trim) {
            workers->trim = false;
            pthread_mutex_unlock(&workers->mutex);
            norn_budget_trim();
            pthread_mutex_lock(&workers->mutex);
        } else if (workers->stopping && !workers->heavy.head) {
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
    workers->thread_limit = threads;
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
    pthread_mutex_lock(&workers->mutex);
    push(job->heavy ? &workers->heavy : &workers->light, job);
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
