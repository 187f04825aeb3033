/// The log as files of a folder, on a disk or a shared file system: the default. The layout and who
/// may do what when are specified in docs/delta-log.md, "As files".
///
/// Readers look for more every few milliseconds: it costs a pread of nothing, and works on file
/// systems that tell nobody of changes (NFS).
#ifndef NORN_STORE_LOG_FILE_LOG_H
#define NORN_STORE_LOG_FILE_LOG_H

#include "store/log/log.h"

enum { NORN_LOG_NAME_DIGITS = 20 };

/// Errors   NOT_FOUND: no LOG.json in `dir`
norn_status norn_file_log_open(const char *dir, norn_alloc alloc,
                               norn_delta_log **out) NORN_NODISCARD;
/// An empty log in `dir`, which is made where it is not there. Nothing is done where there is one.
/// Errors   FAILED_PRECONDITION: the log there has another number of partitions
norn_status norn_file_log_create(const char *dir, uint32_t partitions,
                                 norn_alloc alloc) NORN_NODISCARD;
/// Hold the log's lock while something that belongs to it is put in place, such as a version; *held for
/// norn_file_log_release.
/// Errors   FAILED_PRECONDITION: an epoch after `epoch` has begun, its writer has taken over;
///          UNAVAILABLE: another process holds the lock and does not end
norn_status norn_file_log_hold(norn_delta_log *self, uint64_t epoch, int *held) NORN_NODISCARD;
void norn_file_log_release(int held);

#endif
