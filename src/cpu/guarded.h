/// For tests: views whose elements lie between bytes that must stay as they are.
///
///     norn_view out = guarded(NORN_F32, 2, dims);
///     …                                             // a kernel writes out.data
///     guarded_free(&out);                           // fails when it wrote beside it
#ifndef NORN_CPU_GUARDED_H
#define NORN_CPU_GUARDED_H

#include "tensor/view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD_BYTES = 64, GUARD = 0x5a };

static inline size_t guarded_bytes(const norn_view *view) {
    size_t bytes;
    assert_int_equal(norn_view_bytes(view, &bytes), NORN_OK);
    return bytes;
}

/// Its elements are guard bytes too. What is behind an operand can be read, so that a kernel that
/// reads there goes on to give a wrong answer.
static inline norn_view guarded(norn_dtype dtype, int32_t rank, const int64_t *dims) {
    norn_view view = norn_view_of(dtype, rank, dims, NULL);
    const size_t bytes = guarded_bytes(&view), room = (bytes + 63) / 64 * 64 + 2 * GUARD_BYTES;
    char *at = aligned_alloc(64, room);
    assert_non_null(at);
    memset(at, GUARD, room);
    view.data = at + GUARD_BYTES;
    return view;
}

static inline void guarded_free(norn_view *view) {
    const unsigned char *at = view->data;
    const size_t bytes = guarded_bytes(view);
    for (size_t i = 1; i <= GUARD_BYTES; i++) {
        if (at[bytes + i - 1] != GUARD) fail_msg("byte %zu past the end was written", i);
        if (*(at - i) != GUARD) fail_msg("byte %zu before the start was written", i);
    }
    free((char *)view->data - GUARD_BYTES);
    view->data = NULL;
}

#endif
