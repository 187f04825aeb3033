#include "tensor/view.h"

#include "base/checked.h"
#include "tensor/dtype.h"

#include <stdio.h>
#include <string.h>

/// -1 for a rank outside [0, NORN_MAX_RANK], a negative dim, or overflow. An empty dim wins over
/// overflow only where it comes first; shapes that big are refused anyway.
static int64_t count_elems(int32_t rank, const int64_t *dims) {
    int64_t elems = 1;
    if (rank < 0 || rank > NORN_MAX_RANK) return -1;
    for (int32_t i = 0; i < rank; i++)
        if (dims[i] < 0 || !norn_i64_mul(elems, dims[i], &elems)) return -1;
    return elems;
}

void norn_view_squeeze(norn_view *view) {
    int32_t kept = 0;
    for (int32_t d = 0; d < view->rank; d++)
        if (view->dims[d] != 1) view->dims[kept++] = view->dims[d];
    view->rank = kept;
}

int64_t norn_view_elems(const norn_view *view) {
    return count_elems(view->rank, view->dims);
}

norn_status norn_view_bytes(const norn_view *view, size_t *bytes) {
    int64_t elems = norn_view_elems(view);
    char text[NORN_VIEW_TEXT];
    if (elems < 0 || !norn_dtype_bytes(view->dtype, elems, bytes) || *bytes > PTRDIFF_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "a tensor of %s has no valid size",
                         norn_view_text(view, text));
    return NORN_OK;
}

bool norn_view_same_shape(const norn_view *a, const norn_view *b) {
    if (a->rank != b->rank) return false;
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i]) return false;
    return true;
}

norn_view norn_view_of(norn_dtype dtype, int32_t rank, const int64_t *dims, void *data) {
    norn_view view = {.dtype = dtype, .rank = rank, .data = data};
    for (int32_t i = 0; i < rank && i < NORN_MAX_RANK; i++) view.dims[i] = dims[i];
    return view;
}

int64_t norn_dims_product(const int64_t *dims, int32_t begin, int32_t end) {
    int64_t product = 1;
    for (int32_t i = begin; i < end; i++) product *= dims[i];
    return product;
}

const char *norn_view_text(const norn_view *view, char text[NORN_VIEW_TEXT]) {
    // Eight dims of at most 20 characters do not always fit: what does not is cut.
    size_t used = (size_t)snprintf(text, NORN_VIEW_TEXT, "%s[", norn_dtype_name(view->dtype));
    int32_t rank = view->rank < NORN_MAX_RANK ? view->rank : NORN_MAX_RANK;
    for (int32_t i = 0; i < rank && used < NORN_VIEW_TEXT; i++)
        used += (size_t)snprintf(text + used, NORN_VIEW_TEXT - used, "%s%lld", i ? "," : "",
                                 (long long)view->dims[i]);
    if (used < NORN_VIEW_TEXT) snprintf(text + used, NORN_VIEW_TEXT - used, "]");
    return text;
}

bool norn_broadcast_dims(int32_t rank_a, const int64_t *a, int32_t rank_b, const int64_t *b,
                         int32_t *rank, int64_t *out) {
    int32_t most = rank_a > rank_b ? rank_a : rank_b;
    int64_t dims[NORN_MAX_RANK];
    if (most > NORN_MAX_RANK || rank_a < 0 || rank_b < 0) return false;
    for (int32_t i = 0; i < most; i++) {
        int32_t at_a = i - (most - rank_a), at_b = i - (most - rank_b);
        int64_t dim_a = at_a < 0 ? 1 : a[at_a], dim_b = at_b < 0 ? 1 : b[at_b];
        if (dim_a != dim_b && dim_a != 1 && dim_b != 1) return false;
        dims[i] = dim_a == 1 ? dim_b : dim_a;
    }
    memcpy(out, dims, (size_t)most * sizeof *dims); // out may be a or b
    *rank = most;
    return true;
}

void norn_broadcast_strides(const norn_view *view, int32_t rank, const int64_t *dims,
                            int64_t *strides) {
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        int32_t at = i - (rank - view->rank);
        int64_t dim = at < 0 ? 1 : view->dims[at];
        strides[i] = dim == 1 && dims[i] != 1 ? 0 : at < 0 ? 0 : stride;
        stride *= dim;
        // The innermost row may lie in a wider one.
        if (at == view->rank - 1 && view->row_stride != 0 && view->rank > 0)
            stride = view->row_stride;
    }
}
