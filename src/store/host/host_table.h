/// The write side of a table in host memory: rows of deltas go in beside readers, become part of
/// what later readers see, or are taken back.
///
/// Memory   a row that a newer one replaced is used again once no reader can come to it: each
///          commit or abort ends an epoch, and what was retired in it waits for the pins of that
///          epoch and before.
/// Threads  one writer at a time, beside any number of readers of `rows`.
#ifndef NORN_STORE_HOST_TABLE_H
#define NORN_STORE_HOST_TABLE_H

#include "kernel/host_rows.h"

typedef struct norn_row_list {
    norn_row_version *first, **last;
} norn_row_list;

typedef struct norn_host_table {
    norn_host_rows rows;
    norn_alloc alloc;
    uint64_t changed_step;    ///< the newest committed step that wrote here; 0: none
    norn_row_list pending;    ///< put since the last commit, newest first
    norn_row_list retired;    ///< in order of epoch
    norn_row_version *unused; ///< free ones
    struct norn_row_chunk *chunks;
    struct norn_old_keys *old_added; ///< `added` of before it grew: readers may still be in them
    size_t bytes;                    ///< of all this
} norn_host_table;

/// As norn_host_rows_init.
norn_status norn_host_table_init(norn_host_table *table, const int64_t *keys, const void *rows,
                                 int64_t count, int64_t row_bytes, norn_alloc alloc) NORN_NODISCARD;
void norn_host_table_deinit(norn_host_table *table);

/// The row of `key` as of `step`, not committed; `row` NULL deletes it. A key that was put with the
/// same step since the last commit gets the new bytes; one whose row is of a later step, or of the
/// same and committed, keeps it.
/// Errors   INVALID_ARGUMENT: outside a dense table; RESOURCE_EXHAUSTED; nothing has changed
norn_status norn_host_table_put(norn_host_table *table, uint64_t step, int64_t key,
                                const void *row) NORN_NODISCARD;
/// A row that another tier has, committed as it comes: kept (*kept true) where what is here is
/// older. `step` is visible.
norn_status norn_host_table_fill(norn_host_table *table, uint64_t step, uint64_t epoch, int64_t key,
                                 const void *row, bool *kept) NORN_NODISCARD;
void norn_host_table_commit(norn_host_table *table, uint64_t epoch);
void norn_host_table_abort(norn_host_table *table, uint64_t epoch);
/// Use again what was retired before epoch `oldest`, the first that has pins.
void norn_host_table_reclaim(norn_host_table *table, uint64_t oldest);

#endif
