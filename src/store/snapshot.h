/// One immutable view of a model's tables: what a session pins while it runs. The store makes one of
/// everything that it holds, at the step that is visible then; a plan's own tables are one.
#ifndef NORN_STORE_SNAPSHOT_H
#define NORN_STORE_SNAPSHOT_H

#include "kernel/table.h"

/// Counted: norn_snapshot_retain, _release.
struct norn_snapshot {
    atomic_uint references; ///< begins at 1
    const char *model;      ///< borrowed for as long as it lives; "" where it has no name
    uint64_t version;       ///< the newest full version of its tables; 0: none
    uint64_t sequence;      ///< the step of that version that the rows are of
    /// NULL: no such table. Borrowed while the snapshot is held. Any thread.
    const norn_table_binding *(*find)(const norn_snapshot *self, const char *name);
    void (*destroy)(norn_snapshot *self); ///< at the last release
};

#endif
