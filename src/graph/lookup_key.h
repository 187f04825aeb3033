/// Which keys a column of a lookup reads: what the kernels and the gather step agree on.
#ifndef NORN_GRAPH_LOOKUP_KEY_H
#define NORN_GRAPH_LOOKUP_KEY_H

#include "graph/region.h"

/// A key as its table knows it; `row_count` is the table's.
static inline int64_t norn_lookup_key(const norn_lookup_column *column, int64_t given,
                                      int64_t row_count) {
    int64_t key = (int64_t)((uint64_t)given + (uint64_t)column->key_offset);
    if (key < 0 && column->negative_wraps) key += row_count;
    return key;
}

/// A pooled column leaves it out: it is as if it were not there.
static inline bool norn_lookup_is_padding(const norn_lookup_column *column, int64_t key) {
    return column->has_padding && key == column->padding_key;
}

#endif
