/// What both ways of publishing share: the model's newest version, its log, and a writer for it.
#ifndef NORN_PACKAGE_PUBLISH_LINE_H
#define NORN_PACKAGE_PUBLISH_LINE_H

#include "package/manifest.h"
#include "package/publish.h"
#include "store/log/log_writer.h"

/// Forms of the tables in a folder, in order of name.
typedef struct norn_line_tables {
    norn_table_form *forms; ///< the arena's, as names are
    uint32_t count;
} norn_line_tables;

/// From the heads of the files in `dir`/tables; none where that is not there.
norn_status norn_line_tables_read(const char *dir, norn_arena *arena,
                                  norn_line_tables *out) NORN_NODISCARD;
/// The log in the model's folder, made where `partitions` says so; NULL: there is none.
/// Errors   FAILED_PRECONDITION: it has another number of partitions
norn_status norn_line_log_open(const norn_publish_options *options,
                               norn_delta_log **out) NORN_NODISCARD;
/// Begin an epoch for the line of version `base`.
norn_status norn_line_writer(norn_delta_log *log, const char *model, uint64_t base,
                             const norn_line_tables *tables, norn_alloc alloc,
                             norn_log_writer **out) NORN_NODISCARD;

#endif
