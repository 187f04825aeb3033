#include "ops/window.h"

#include <string.h>

/// Absent lists are filled with `fallback`. Values are bounded so that
/// products of a few cannot overflow.
static norn_status read_list(norn_attrs attrs, const char *name, int64_t count, int64_t min,
                             int64_t fallback, int64_t *out) {
    const int64_t *ints;
    uint32_t n = norn_attr_ints(attrs, name, &ints);
    if (ints && n != count)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s has %u value%s, it must have %lld", name, n,
                         norn_plural(n), (long long)count);
    for (int64_t i = 0; i < count; i++) {
        out[i] = ints ? ints[i] : fallback;
        if (out[i] < min || out[i] > INT32_MAX)
            return norn_fail(NORN_INVALID_ARGUMENT, "%s has %lld, out of range", name,
                             (long long)out[i]);
    }
    return NORN_OK;
}

norn_status norn_window_read(norn_attrs attrs, int32_t rank, const int64_t *kernel,
                             norn_window *out) {
    *out = (norn_window){.rank = rank};
    if (rank < 1 || rank > NORN_WINDOW_RANK_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "%d spatial dimension%s; from 1 to %d are taken",
                         rank, norn_plural(rank), NORN_WINDOW_RANK_MAX);
    const char *mode = norn_attr_string(attrs, "auto_pad", "NOTSET");
    if (strcmp(mode, "VALID") == 0)
        out->auto_pad = NORN_PAD_VALID;
    else if (strcmp(mode, "SAME_UPPER") == 0)
        out->auto_pad = NORN_PAD_SAME_UPPER;
    else if (strcmp(mode, "SAME_LOWER") == 0)
        out->auto_pad = NORN_PAD_SAME_LOWER;
    else if (strcmp(mode, "NOTSET") != 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "auto_pad is '%s'", mode);
    out->ceil_mode = norn_attr_i64(attrs, "ceil_mode", 0) != 0;
    if (!kernel) {
        const int64_t *given;
        if (norn_attr_ints(attrs, "kernel_shape", &given) == 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "no kernel_shape");
    }
    NORN_TRY(read_list(attrs, "kernel_shape", rank, 1, 1, out->kernel));
    for (int32_t i = 0; kernel && i < rank; i++) {
        const int64_t *given;
        if (norn_attr_ints(attrs, "kernel_shape", &given) && given[i] != kernel[i])
            return norn_fail(NORN_INVALID_ARGUMENT, "kernel_shape says %lld, the weight has %lld",
                             (long long)given[i], (long long)kernel[i]);
        if (kernel[i] < 1 || kernel[i] > INT32_MAX)
            return norn_fail(NORN_INVALID_ARGUMENT, "a kernel dimension of %lld",
                             (long long)kernel[i]);
        out->kernel[i] = kernel[i];
    }
    int64_t pads[2 * NORN_WINDOW_RANK_MAX];
    NORN_TRY(read_list(attrs, "strides", rank, 1, 1, out->stride));
    NORN_TRY(read_list(attrs, "dilations", rank, 1, 1, out->dilation));
    NORN_TRY(read_list(attrs, "pads", 2 * (int64_t)rank, INT32_MIN, 0, pads));
    for (int32_t i = 0; i < rank && out->auto_pad == NORN_PAD_EXPLICIT; i++) {
        out->begin[i] = pads[i];
        out->end[i] = pads[i + rank];
    }
    return NORN_OK;
}

void norn_window_resolve(norn_window *window, const int64_t *in) {
    for (int32_t i = 0; i < window->rank; i++) {
        if (window->auto_pad != NORN_PAD_SAME_UPPER && window->auto_pad != NORN_PAD_SAME_LOWER)
            continue;
        int64_t out = (in[i] + window->stride[i] - 1) / window->stride[i];
        int64_t pad = (out - 1) * window->stride[i] + norn_window_span(window, i) - in[i];
        if (pad < 0) pad = 0;
        int64_t half = pad / 2, rest = pad - half;
        window->begin[i] = window->auto_pad == NORN_PAD_SAME_UPPER ? half : rest;
        window->end[i] = window->auto_pad == NORN_PAD_SAME_UPPER ? rest : half;
    }
}
