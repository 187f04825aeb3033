/// What `norn publish` does: a package as the next version of a model, or one step of its delta log.
/// Each is one writer's term: it fences whoever wrote before. A trainer that publishes often uses
/// the Publisher of python/norn instead, which keeps its epoch.
///
/// Threads  one a call; other processes may publish too, the log's lock and epochs put them in order.
#ifndef NORN_PACKAGE_PUBLISH_H
#define NORN_PACKAGE_PUBLISH_H

#include "base/progress.h"
#include "norn/alloc.h"
#include "package/folder_files.h"

typedef struct norn_publish_options {
    const char *to;      ///< the model's folder, with its versions and log/
    uint32_t partitions; ///< of a log that is made where there is none; 0: none is made
    const norn_progress *progress;
    norn_alloc alloc;
} norn_publish_options;

typedef struct norn_published {
    uint64_t version, base;
    uint64_t epoch, step; ///< of the log; 0: it has none
    char path[NORN_FOLDER_PATH];
} norn_published;

/// Copy the package into the next version. The model's folder is made where it is not there.
///
/// `base`   0: it begins a line of its own, or where the package has a manifest with a cut (as
///          `norn store apply` writes it) goes on where that says; else the version whose line it
///          continues: the rows are taken to have all that the log has now.
/// Errors   NOT_FOUND, INVALID_ARGUMENT: what PACKAGE lacks, or has wrong; FAILED_PRECONDITION: another
///          writer has taken over, or the package's cut is of another log
norn_status norn_publish_full(const char *package, uint64_t base,
                              const norn_publish_options *options,
                              norn_published *out) NORN_NODISCARD;

/// NAME=FILE
typedef struct norn_publish_part {
    const char *name, *path;
} norn_publish_part;

typedef struct norn_publish_step {
    const norn_publish_part
        *rows; ///< table files: keys (none: 0 to rows - 1) and rows, scales of int8
    const norn_publish_part *deletes; ///< .npy of int64 keys
    const norn_publish_part *dense;   ///< .npy of an initializer; bfloat16 as uint16
    size_t row_count, delete_count, dense_count;
} norn_publish_step;

/// Append one step for the line of the newest version. All is read and compared with that version
/// before the log is touched.
/// Errors   as above; NOT_FOUND: no version, no log, no such table or initializer; RESOURCE_EXHAUSTED:
///          the disk is full, and readers see nothing of the step
norn_status norn_publish_delta(const norn_publish_step *step, const norn_publish_options *options,
                               norn_published *out) NORN_NODISCARD;

#endif
