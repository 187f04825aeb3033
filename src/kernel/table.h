/// An embedding table as a snapshot offers it: its names and form, for messages and checks, and the
/// view that kernels read.
///
/// A binding is made by the store for one snapshot and one device; kernels borrow it for a run.
#ifndef NORN_KERNEL_TABLE_H
#define NORN_KERNEL_TABLE_H

#include "base/status.h"
#include "kernel/table_view.h"
#include "norn/store.h"

typedef struct norn_table_binding {
    const char *name;
    const char *source; ///< file that it came from, for messages; may be NULL
    norn_dtype dtype;   ///< of the elements: F32, F16, BF16, I8 (each row ends in its scale)
    int64_t dim;        ///< elements a row
    norn_table_view view;
    void *owner; ///< what a device's table_bind made, for its table_unbind; else NULL
} norn_table_binding;

/// Bytes from the start of an I8 row to its float32 scale: an element is its int8 times the scale.
static inline int64_t norn_table_scale_offset(int64_t dim) {
    return (dim + 3) / 4 * 4;
}

#endif
