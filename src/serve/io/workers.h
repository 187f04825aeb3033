/// A few threads for work that is too long for an I/O thread: inflating and reading large bodies,
/// writing large answers. I/O threads hand a job over and have it back through norn_io_finish.
///
/// Heavy jobs never take the last worker: what takes a second does not wait
/// in front of what takes a millisecond.
///
/// Memory   jobs are embedded in what they are about; the queue is as long as there are requests.
/// Threads  any may put.
#ifndef NORN_SERVE_IO_WORKERS_H
#define NORN_SERVE_IO_WORKERS_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct norn_workers norn_workers;

typedef struct norn_job {
    void (*run)(struct norn_job *job); ///< on a worker; may free the job
    bool heavy;
    struct norn_job *next;
} norn_job;

norn_status norn_workers_create(int32_t threads, norn_alloc alloc,
                                norn_workers **out) NORN_NODISCARD;
/// Runs what was put, then joins.
void norn_workers_destroy(norn_workers *workers);
/// First in, first out among the heavy and among the others. workers NULL: here and now.
void norn_workers_put(norn_workers *workers, norn_job *job);
/// Have a worker give the heap's free pages back to the system, when it is free to.
/// Asking twice is asking once.
void norn_workers_trim(norn_workers *workers);

#endif
