#include "store/log/dense_set.h"
#include "base/memory.h"
#include "tensor/dtype.h"

#include <string.h>

static void destroy(norn_alloc alloc, norn_dense_tensor *tensor) {
    if (!tensor) return;
    norn_free(alloc, tensor->view.data);
    norn_free(alloc, tensor->name);
    norn_free(alloc, tensor);
}

/// Where the tensor of that name is linked, or would be.
static norn_dense_tensor **place_of(norn_dense_set *set, norn_span name) {
    norn_dense_tensor **at = &set->first;
    while (*at && !norn_span_equal(name, (*at)->name)) at = &(*at)->next;
    return at;
}

static bool dims_fit(const norn_log_frame_dense *piece) {
    int64_t elems = 1;
    size_t bytes;
    for (int32_t d = 0; d < piece->rank; d++)
        if (piece->dims[d] < 0 || __builtin_mul_overflow(elems, piece->dims[d], &elems))
            return false;
    return norn_dtype_bytes(piece->dtype, elems, &bytes) && bytes == piece->total;
}

static norn_status begin(norn_dense_set *set, const norn_log_frame_dense *piece,
                         norn_dense_tensor **at) {
    norn_dense_tensor *tensor;
    norn_status status;
    NORN_TRY(NORN_NEW(set->alloc, &tensor));
    NORN_TRY_DONE(norn_alloc_zeroed(set->alloc, piece->name.count + 1, 1, (void **)&tensor->name));
    memcpy(tensor->name, piece->name.bytes, piece->name.count);
    NORN_TRY_DONE(norn_alloc_bytes(set->alloc, piece->total + 1, &tensor->view.data));
    tensor->view.dtype = piece->dtype;
    tensor->view.rank = piece->rank;
    memcpy(tensor->view.dims, piece->dims, sizeof piece->dims);
    tensor->total = piece->total;
    tensor->next = *at;
    *at = tensor;
    return NORN_OK;
done:
    destroy(set->alloc, tensor);
    return status;
}

norn_status norn_dense_set_add(norn_dense_set *set, const norn_log_frame_dense *piece) {
    norn_dense_tensor **at = place_of(set, piece->name);
    if (piece->offset == 0 && *at) { // again: the newer one counts
        norn_dense_tensor *old = *at;
        *at = old->next;
        destroy(set->alloc, old);
    }
    if (piece->offset == 0) {
        if (!dims_fit(piece))
            return norn_fail(NORN_DATA_LOSS, "dense tensor '%.*s': its dims are not %llu byte%s",
                             (int)piece->name.count, (const char *)piece->name.bytes,
                             (unsigned long long)piece->total, norn_plural(piece->total));
        at = &set->first;
        NORN_TRY(begin(set, piece, at));
    }
    norn_dense_tensor *tensor = *at;
    if (!tensor || tensor->filled != piece->offset || tensor->total != piece->total)
        return norn_fail(NORN_DATA_LOSS,
                         "dense tensor '%.*s': the piece before byte %llu is missing",
                         (int)piece->name.count, (const char *)piece->name.bytes,
                         (unsigned long long)piece->offset);
    memcpy((char *)tensor->view.data + piece->offset, piece->bytes.bytes, piece->bytes.count);
    tensor->filled += piece->bytes.count;
    return NORN_OK;
}

norn_status norn_dense_set_check(const norn_dense_set *set) {
    for (const norn_dense_tensor *at = set->first; at; at = at->next)
        if (at->filled != at->total)
            return norn_fail(NORN_DATA_LOSS, "dense tensor '%s': %llu of %llu bytes are there",
                             at->name, (unsigned long long)at->filled,
                             (unsigned long long)at->total);
    return NORN_OK;
}

void norn_dense_set_merge(norn_dense_set *set, norn_dense_set *from) {
    while (from->first) {
        norn_dense_tensor *moved = from->first;
        norn_dense_tensor **at = place_of(set, norn_span_text(moved->name));
        norn_dense_tensor *old = *at;
        from->first = moved->next;
        moved->next = old ? old->next : NULL;
        *at = moved;
        destroy(set->alloc, old);
    }
}

void norn_dense_set_clear(norn_dense_set *set) {
    while (set->first) {
        norn_dense_tensor *next = set->first->next;
        destroy(set->alloc, set->first);
        set->first = next;
    }
}
