/// Helpers on norn_view: counts, bytes, strides, printing.
#ifndef NORN_TENSOR_VIEW_H
#define NORN_TENSOR_VIEW_H

#include "base/status.h"
#include "norn/tensor.h"

#include <stdbool.h>

/// Elements; -1 on overflow or a negative dim. Rank 0 has one.
int64_t norn_view_elems(const norn_view *view);
/// Bytes of dense data. INVALID_ARGUMENT on overflow.
norn_status norn_view_bytes(const norn_view *view, size_t *bytes) NORN_NODISCARD;
bool norn_view_same_shape(const norn_view *a, const norn_view *b);
/// Leave out dims that are 1.
void norn_view_squeeze(norn_view *view);

static inline bool norn_view_present(const norn_view *view) {
    return view->dtype != NORN_DTYPE_NONE;
}
norn_view norn_view_of(norn_dtype dtype, int32_t rank, const int64_t *dims, void *data);
/// Product of dims [begin, end).
int64_t norn_dims_product(const int64_t *dims, int32_t begin, int32_t end);
/// "float32[2,13]" into `text` (always terminated).
enum { NORN_VIEW_TEXT = 160 };
const char *norn_view_text(const norn_view *view, char text[NORN_VIEW_TEXT]);

/// ONNX (numpy) broadcasting of two shapes. False when they do not broadcast.
bool norn_broadcast_dims(int32_t rank_a, const int64_t *a, int32_t rank_b, const int64_t *b,
                         int32_t *rank, int64_t *out);
/// Element strides of `view` as seen from a broadcast result of `rank`: 0 where it repeats.
void norn_broadcast_strides(const norn_view *view, int32_t rank, const int64_t *dims,
                            int64_t *strides);

#endif
