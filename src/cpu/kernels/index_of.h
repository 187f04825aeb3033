/// Indices that come as data: wrapped when negative, refused when outside.
#ifndef NORN_CPU_INDEX_OF_H
#define NORN_CPU_INDEX_OF_H

#include "kernel/call.h"

static inline norn_status norn_index_outside(int64_t index, int64_t length) {
    return norn_fail(NORN_INVALID_ARGUMENT, "index %lld is outside an axis of %lld",
                     (long long)index, (long long)length);
}
/// Negative indices count from the end.
static inline norn_status norn_index_in(int64_t *index, int64_t length) {
    int64_t given = *index;
    if (given < -length || given >= length) return norn_index_outside(given, length);
    if (given < 0) *index = given + length;
    return NORN_OK;
}

#endif
