/// A tier holds the rows of all tables of a model's versions: host memory here; RocksDB and Redis
/// are others. In memory: wait-free lookups that return pointers, under a pin. Elsewhere: one
/// asynchronous fetch over all tables of a run.
///
/// Deltas come in beside readers. Each carries the step that wrote it; what is applied is seen by
/// nobody until `commit`, and then by later pins alone: a pin is one step, of every table.
#ifndef NORN_STORE_TIER_H
#define NORN_STORE_TIER_H

#include "base/status.h"
#include "kernel/table.h"
#include "norn/alloc.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct norn_tier norn_tier;

/// What is known of one table of a version.
typedef struct norn_table_form {
    const char *name, *source; ///< `source`: a file, for messages
    norn_dtype dtype;          ///< F32, F16, BF16, I8 (each row ends in its scale)
    bool dense;                ///< keys 0 .. rows - 1
    int64_t dim, row_bytes;    ///< scale and padding included
    int64_t rows;              ///< of the full version
    const void *default_row;   ///< `dim` elements; NULL: zeros
} norn_table_form;

/// A full version in one tier, made by `load` and valid until `drop`, or longer: until the last of
/// its pins is released. Each tier has its own object of a version.
typedef struct norn_version {
    uint64_t number;
    uint32_t table_count;
    const norn_table_form *tables; ///< in order of name
} norn_version;

/// Where a log stands: what has been applied. Kept atomically with the rows that it speaks of.
typedef struct norn_position {
    uint64_t epoch, sequence;
    uint32_t chain;
} norn_position;

typedef struct norn_cut {
    uint64_t step;                  ///< the last sealed step that is visible; 0: the full version
    uint32_t partition_count;       ///< of the log
    const norn_position *positions; ///< by partition
} norn_cut;

/// A reader's view: rows of steps up to `step`. Holds the version and its rows.
typedef struct norn_pin {
    norn_version *version; ///< NULL: nothing is pinned
    uint64_t step;
    uint64_t epoch; ///< the tier's own
} norn_pin;

typedef enum norn_row_state {
    NORN_ROW_WAITING, ///< no answer yet
    NORN_ROW_FOUND,
    NORN_ROW_ABSENT,
    NORN_ROW_DELETED, ///< `step` says when
    NORN_ROW_LATE,    ///< it did not come by the deadline
} norn_row_state;

typedef struct norn_row_key {
    int64_t key;
    uint32_t table; ///< of the version
} norn_row_key;

/// A batch of rows on their way, over all tables of a run. Memory is the caller's, and stays until
/// `done`. `done` is called exactly once where `fetch` returned OK, on any thread, and may not
/// block: the caller waits elsewhere. The tier touches nothing of the batch after it.
typedef struct norn_fetch norn_fetch;
struct norn_fetch {
    const norn_pin *pin;
    const norn_row_key *keys; ///< distinct, in order of table
    uint32_t count;
    char *rows; ///< row i goes to rows + row_at[i]; written where FOUND
    const uint64_t *row_at;
    uint64_t *step;      ///< out: that wrote or deleted row i; 0: the full version
    uint8_t *state;      ///< out: norn_row_state
    int64_t deadline_ns; ///< CLOCK_MONOTONIC; INT64_MAX: none
    void (*done)(norn_fetch *fetch);
    void *context;      ///< the caller's
    norn_status status; ///< of the tier as a whole (a dead server): then no state is to be read
    norn_fetch *next;   ///< the tier's own
};

/// Rows of one table that one step wrote or deleted; spans point into the caller's buffer.
typedef struct norn_delta {
    uint64_t step; ///< after the visible one, and not before that of the delta before
    uint32_t table, partition;
    uint32_t count;
    bool deletes; ///< no rows
    const int64_t *keys;
    const char *rows; ///< row_bytes apart
    size_t row_bytes;
} norn_delta;

typedef struct norn_tier_stat {
    uint64_t step; ///< visible
    int64_t rows;  ///< of full versions
    uint64_t pins;
    size_t index_bytes, delta_bytes; ///< of memory that the tier took; files not counted
} norn_tier_stat;

enum {
    NORN_TIER_POINTERS = 1, ///< in memory: has `lookup` and `view`
    NORN_TIER_DURABLE = 2,  ///< versions outlive the process: has `cut`
    NORN_TIER_SHARED = 4,   ///< rows of steps after a pin's can show under it; their step says so
};

typedef struct norn_tier_ops {
    const char *kind; ///< "host", "rocksdb", "redis"
    uint32_t traits;

    // Reading. Any thread, beside everything else here.
    /// The step that is visible now. Not on the path of a row: once a snapshot.
    /// Errors   NOT_FOUND: the version was dropped; RESOURCE_EXHAUSTED
    norn_status (*pin)(norn_tier *self, norn_version *version, norn_pin *out);
    void (*unpin)(norn_tier *self, norn_pin *pin); ///< takes one of nothing
    /// POINTERS. row_out[i] is the row of keys[i] and stays valid until the pin is released. Keys
    /// without a row get NULL, and their indexes are put into missing[] in order (room for `count`;
    /// NULL: not wanted). Wait-free.
    void (*lookup)(norn_tier *self, const norn_pin *pin, uint32_t table, const int64_t *keys,
                   int64_t count, const void **row_out, int64_t *missing, int64_t *missing_count);
    /// POINTERS. What kernels read under the pin; out->name and source are borrowed from the version.
    void (*view)(norn_tier *self, const norn_pin *pin, uint32_t table, norn_table_binding *out);
    /// Returns at once in a tier that is not in memory.
    /// Errors   INVALID_ARGUMENT: no such table; then `done` is not called
    norn_status (*fetch)(norn_tier *self, norn_fetch *fetch);
    /// Keep the rows (and the deletions) that another tier's fetch gave, in the version of that
    /// number here. What is here of the same or a newer step stays, and rows of a step that is not
    /// visible here are left out. *kept: how many were taken.
    /// Errors   NOT_FOUND: no such version; INVALID_ARGUMENT; RESOURCE_EXHAUSTED: those before stay
    norn_status (*fill)(norn_tier *self, norn_version *version, const norn_fetch *fetched,
                        uint32_t *kept);

    // Writing. One thread at a time for each version.
    /// Not visible until commit. After an error, abort.
    /// Errors   INVALID_ARGUMENT: no such table, other row_bytes, a key outside a dense table;
    ///          FAILED_PRECONDITION: the step is not after what is visible or was applied;
    ///          RESOURCE_EXHAUSTED
    norn_status (*apply)(norn_tier *self, norn_version *version, const norn_delta *delta);
    /// Everything applied becomes visible to later pins, at once; DURABLE: rows and cut in one
    /// atomic write, on disk on OK.
    /// Errors   FAILED_PRECONDITION: the cut is before what is visible or was applied
    norn_status (*commit)(norn_tier *self, norn_version *version, const norn_cut *cut);
    /// Forget what was applied since the last commit.
    void (*abort)(norn_tier *self, norn_version *version);

    // Versions.
    /// Load the tables of a folder as a full version beside the others: all or nothing. DURABLE: a
    /// half-loaded one is dropped at open.
    /// Errors   ALREADY_EXISTS; NOT_FOUND: no such folder; of its files: DATA_LOSS,
    ///          INVALID_ARGUMENT, RESOURCE_EXHAUSTED
    norn_status (*load)(norn_tier *self, uint64_t number, const char *dir, norn_version **out);
    /// The versions that are here, DURABLE: after an open too, by index; and the step each stands at.
    /// NOT_FOUND after the last.
    norn_status (*found)(norn_tier *self, uint32_t index, norn_version **version, uint64_t *step);
    /// DURABLE. Where the version stands in its log: the cut of the last commit, after an open too; step
    /// and partition_count 0: none. positions[] until the next commit. The writer's thread.
    norn_cut (*cut)(norn_tier *self, const norn_version *version);
    /// No new pins; its memory goes with the last of them.
    void (*drop)(norn_tier *self, norn_version *version);

    void (*stat)(norn_tier *self, const norn_version *version, norn_tier_stat *out);
    /// No pin and no fetch is left.
    void (*close)(norn_tier *self);
} norn_tier_ops;

/// Every tier begins with this.
struct norn_tier {
    const norn_tier_ops *ops;
};

static inline void norn_tier_close(norn_tier *tier) {
    if (tier) tier->ops->close(tier);
}

#endif
