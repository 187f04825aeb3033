#include "cpu/kernels/strided.h"

#include "cpu/cpu_kernel.h"
#include "tensor/view.h"

#include <string.h>

/// Bytes below which one thread does all.
enum { GRAIN_BYTES = 64 * 1024, BLOCK = 16 };

typedef struct copy_job {
    norn_strided shape; ///< byte strides; the last dim is the inner loop
    char *to;
    const char *from;
    size_t size;
    bool blocked; ///< the last two dims are a transposition
} copy_job;

void norn_strided_dense(int32_t rank, const int64_t *dims, int64_t *strides) {
    int64_t stride = 1;
    for (int32_t i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

static void copy_line(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n,
                      size_t size) {
    if (from_step == (int64_t)size && to_step == (int64_t)size) {
        memcpy(to, from, (size_t)n * size);
        return;
    }
#define LINE(T)                                                 \
    for (int64_t i = 0; i < n; i++) {                           \
        T element;                                              \
        memcpy(&element, from + i * from_step, sizeof element); \
        memcpy(to + i * to_step, &element, sizeof element);     \
    }                                                           \
    return
    switch (size) {
    case 1:
        LINE(uint8_t);
    case 2:
        LINE(uint16_t);
    case 4:
        LINE(uint32_t);
    case 8:
        LINE(uint64_t);
    default:
        for (int64_t i = 0; i < n; i++) memcpy(to + i * to_step, from + i * from_step, size);
    }
#undef LINE
}

/// A plane whose rows are contiguous on one side and columns on the other, block by block.
static void copy_plane(const copy_job *job, char *to, const char *from) {
    const norn_strided *s = &job->shape;
    int32_t r = s->rank - 2, c = s->rank - 1;
    for (int64_t r0 = 0; r0 < s->dims[r]; r0 += BLOCK) {
        int64_t rows = s->dims[r] - r0 < BLOCK ? s->dims[r] - r0 : BLOCK;
        for (int64_t c0 = 0; c0 < s->dims[c]; c0 += BLOCK) {
            int64_t columns = s->dims[c] - c0 < BLOCK ? s->dims[c] - c0 : BLOCK;
            for (int64_t i = r0; i < r0 + rows; i++)
                copy_line(to + i * s->to[r] + c0 * s->to[c], s->to[c],
                          from + i * s->from[r] + c0 * s->from[c], s->from[c], columns, job->size);
        }
    }
}

static void copy_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const copy_job *job = context;
    const norn_strided *s = &job->shape;
    int32_t outer = s->rank - (job->blocked ? 2 : 1), last = s->rank - 1;
    int64_t at[NORN_MAX_RANK + 4] = {0}, rest = begin;
    char *to = job->to;
    const char *from = job->from;
    (void)worker;
    for (int32_t d = outer - 1; d >= 0; d--) {
        at[d] = rest % s->dims[d];
        rest /= s->dims[d];
        to += at[d] * s->to[d];
        from += at[d] * s->from[d];
    }
    for (int64_t i = begin; i < end; i++) {
        if (job->blocked)
            copy_plane(job, to, from);
        else
            copy_line(to, s->to[last], from, s->from[last], s->dims[last], job->size);
        for (int32_t d = outer - 1; d >= 0; d--) {
            to += s->to[d];
            from += s->from[d];
            if (++at[d] < s->dims[d]) break;
            to -= s->to[d] * s->dims[d];
            from -= s->from[d] * s->dims[d];
            at[d] = 0;
        }
    }
}

/// Drop dims of 1 and join neighbours that are one run on both sides.
static void collapse(norn_strided *out, const norn_strided *in) {
    out->rank = 0;
    for (int32_t i = 0; i < in->rank; i++) {
        if (in->dims[i] == 1) continue;
        int32_t last = out->rank - 1;
        bool joins = last >= 0 && out->from[last] == in->from[i] * in->dims[i] &&
                     out->to[last] == in->to[i] * in->dims[i];
        if (joins) {
            out->dims[last] *= in->dims[i];
            out->from[last] = in->from[i];
            out->to[last] = in->to[i];
        } else {
            norn_strided_push(out, in->dims[i], in->from[i], in->to[i]);
        }
    }
    if (out->rank == 0) norn_strided_push(out, 1, 1, 1);
}

void norn_strided_copy(norn_pool *pool, void *to, const void *from, size_t size,
                       const norn_strided *shape) {
    copy_job job = {.to = to, .from = from, .size = size};
    int64_t count = 1, inner;
    for (int32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] == 0) return;
    collapse(&job.shape, shape);
    norn_strided *s = &job.shape;
    for (int32_t i = 0; i < s->rank; i++) {
        s->from[i] *= (int64_t)size;
        s->to[i] *= (int64_t)size;
    }
    int32_t last = s->rank - 1;
    job.blocked = s->rank >= 2 && s->from[last] != (int64_t)size &&
                  s->from[last - 1] == (int64_t)size && s->dims[last] >= BLOCK &&
                  s->dims[last - 1] >= 4;
    inner = s->dims[last] * (job.blocked ? s->dims[last - 1] : 1);
    for (int32_t i = 0; i < s->rank - (job.blocked ? 2 : 1); i++) count *= s->dims[i];
    int64_t grain =
        GRAIN_BYTES / (inner * (int64_t)size > GRAIN_BYTES ? GRAIN_BYTES : inner * (int64_t)size);
    norn_pool_loop(pool, count, grain, copy_range, &job);
}

static norn_dtype raw_code(norn_dtype dtype) {
    return norn_dtype_bits(dtype) == 2 ? NORN_U2 : NORN_U4;
}

norn_status norn_unpack_output(norn_call *call, const norn_view *view, norn_view *out) {
    uint32_t bits = norn_dtype_bits(view->dtype);
    *out = *view;
    if (bits >= 8 || bits == 0) return NORN_OK;
    out->dtype = NORN_U8;
    return norn_cpu_scratch(call, norn_view_elems(view), 1, &out->data);
}

norn_status norn_unpack(norn_call *call, const norn_view *view, norn_view *out) {
    NORN_TRY(norn_unpack_output(call, view, out));
    if (out->data == view->data) return NORN_OK;
    uint8_t *bytes = out->data;
    int64_t elems = norn_view_elems(view);
    for (int64_t i = 0; i < elems; i++)
        bytes[i] = (uint8_t)norn_element_i64(raw_code(view->dtype), view->data, i);
    return NORN_OK;
}

void norn_pack(const norn_view *unpacked, const norn_view *view) {
    if (unpacked->data == view->data) return;
    const uint8_t *bytes = unpacked->data;
    int64_t elems = norn_view_elems(view);
    for (int64_t i = 0; i < elems; i++)
        norn_element_set_i64(raw_code(view->dtype), view->data, i, bytes[i]);
}
