/// The sliding window of convolutions and pools: attributes read
/// once, for shapes and kernels alike.
#ifndef NORN_OPS_WINDOW_H
#define NORN_OPS_WINDOW_H

#include "base/status.h"
#include "tensor/attr.h"

enum { NORN_WINDOW_RANK_MAX = NORN_MAX_RANK - 2 };

typedef enum norn_auto_pad {
    NORN_PAD_EXPLICIT,
    NORN_PAD_VALID,
    NORN_PAD_SAME_UPPER,
    NORN_PAD_SAME_LOWER
} norn_auto_pad;

typedef struct norn_window {
    int32_t rank; ///< spatial dims
    norn_auto_pad auto_pad;
    bool ceil_mode;
    int64_t kernel[NORN_WINDOW_RANK_MAX], stride[NORN_WINDOW_RANK_MAX],
        dilation[NORN_WINDOW_RANK_MAX];
    int64_t begin[NORN_WINDOW_RANK_MAX], end[NORN_WINDOW_RANK_MAX]; ///< padding, once resolved
} norn_window;

/// `kernel` is the weight's spatial dims, or NULL: attribute kernel_shape. `rank` at most 6.
/// Errors   INVALID_ARGUMENT: a list of the wrong length, a value out of range.
norn_status norn_window_read(norn_attrs attrs, int32_t rank, const int64_t *kernel,
                             norn_window *out) NORN_NODISCARD;
/// Replace SAME_* and VALID by the padding they mean for `in` (the input's spatial dims).
void norn_window_resolve(norn_window *window, const int64_t *in);
/// Elements that a kernel spans: (kernel - 1) * dilation + 1.
static inline int64_t norn_window_span(const norn_window *window, int32_t dim) {
    return (window->kernel[dim] - 1) * window->dilation[dim] + 1;
}

#endif
