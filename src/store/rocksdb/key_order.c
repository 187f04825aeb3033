#include "store/rocksdb/key_order.h"
#include "base/checked.h"
#include "base/memory.h"

#include <stdbool.h>

enum { DIGITS = 8, VALUES = 256 };

static bool ascends(const int64_t *keys, uint64_t count) {
    for (uint64_t i = 1; i < count; i++)
        if (keys[i] <= keys[i - 1]) return false;
    return true;
}

/// One pass of a sort by digits, least first; false: all have the same digit, nothing was moved.
static bool pass(const norn_ordered_key *from, norn_ordered_key *to, uint64_t count, int shift) {
    uint64_t start[VALUES] = {0}, sum = 0;
    for (uint64_t i = 0; i < count; i++) start[from[i].key >> shift & (VALUES - 1)]++;
    if (start[from[0].key >> shift & (VALUES - 1)] == count) return false;
    for (int v = 0; v < VALUES; v++) {
        const uint64_t here = start[v];
        start[v] = sum;
        sum += here;
    }
    for (uint64_t i = 0; i < count; i++) to[start[from[i].key >> shift & (VALUES - 1)]++] = from[i];
    return true;
}

norn_status norn_key_order(const int64_t *keys, uint64_t count, norn_alloc alloc,
                           norn_ordered_key **out) {
    norn_ordered_key *sorted, *spare;
    size_t bytes;
    *out = NULL;
    if (ascends(keys, count)) return NORN_OK;
    if (!norn_size_mul(count, sizeof *sorted, &bytes))
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "too many keys to sort");
    NORN_TRY(norn_alloc_bytes(alloc, bytes, (void **)&sorted));
    const norn_status status = norn_alloc_bytes(alloc, bytes, (void **)&spare);
    if (status != NORN_OK) {
        norn_free(alloc, sorted);
        return status;
    }
    for (uint64_t i = 0; i < count; i++)
        sorted[i] = (norn_ordered_key){(uint64_t)keys[i] ^ (UINT64_C(1) << 63), i};
    for (int d = 0; d < DIGITS; d++) {
        if (!pass(sorted, spare, count, d * 8)) continue;
        norn_ordered_key *swap = sorted;
        sorted = spare;
        spare = swap;
    }
    norn_free(alloc, spare);
    *out = sorted;
    return NORN_OK;
}
