/// The one who writes a log: makes frames of steps, keeps the chain, and begins an epoch.
///
/// A step is collected in memory and appended whole by norn_log_writer_seal. Where that fails, readers
/// may have seen it or not: the same step is sealed again until it is there, before anything else.
///
/// Threads  one.
#ifndef NORN_STORE_LOG_LOG_WRITER_H
#define NORN_STORE_LOG_LOG_WRITER_H

#include "store/log/log.h"
#include "store/tier.h"

typedef struct norn_log_writer norn_log_writer;

typedef struct norn_log_writer_options {
    const char *model;
    uint64_t base;                 ///< the version that began this line of training
    const norn_table_form *tables; ///< of it, in order of name; copied
    uint32_t table_count;
} norn_log_writer_options;

/// Fences `log` (borrowed) and opens an epoch.
/// Errors   those of norn_delta_log_ops.fence and append
norn_status norn_log_writer_create(norn_delta_log *log, const norn_log_writer_options *options,
                                   norn_alloc alloc, norn_log_writer **out) NORN_NODISCARD;
void norn_log_writer_destroy(
    norn_log_writer *writer); ///< takes NULL; what was not sealed is dropped

/// Rows of `table` in this step: `count` keys, and rows of the table's row_bytes (I8: with their
/// scales). `rows` NULL: these keys are deleted.
/// Errors   INVALID_ARGUMENT: no such table, a key outside a dense one, or one of a dense one to be
///          deleted; RESOURCE_EXHAUSTED. Then norn_log_writer_abort, or seal without it.
norn_status norn_log_writer_put(norn_log_writer *writer, uint32_t table, const int64_t *keys,
                                const void *rows, uint32_t count) NORN_NODISCARD;
/// A dense tensor of the model, whole, by the initializer's name.
norn_status norn_log_writer_put_dense(norn_log_writer *writer, const char *name,
                                      const norn_view *tensor) NORN_NODISCARD;
/// The step is whole: append it. *step: its number. Nothing was put: still a step.
/// Errors   FAILED_PRECONDITION: another writer has taken over, the step is lost; RESOURCE_EXHAUSTED,
///          UNAVAILABLE: call it again, nothing is lost
norn_status norn_log_writer_seal(norn_log_writer *writer, uint64_t *step) NORN_NODISCARD;
/// Forget what was put since the last seal. Not a step whose seal has failed.
void norn_log_writer_abort(norn_log_writer *writer);

/// Where the log stands after the last seal: what a full version of now has as its cut. positions[]
/// is the writer's.
norn_cut norn_log_writer_cut(const norn_log_writer *writer);

#endif
