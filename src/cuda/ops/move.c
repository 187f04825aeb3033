/// Operators that only move elements, as copies between strided layouts.
#include "cuda/kernels/move_kernel.h"
#include "cuda/ops/ops.h"

#include <stdlib.h>
#include <string.h>

// ---- copies
void norn_cuda_dense_strides(int32_t rank, const int64_t *dims, int64_t *strides) {
    int64_t step = 1;
    for (int32_t d = rank - 1; d >= 0; d--) {
        strides[d] = step;
        step *= dims[d];
    }
}

/// Drop dims of one and join neighbours that both sides walk through alike.
static void merge(norn_cuda_move *m) {
    int32_t kept = 0;
    for (int32_t d = 0; d < m->rank; d++) {
        if (m->dims[d] == 1) continue;
        bool join = kept > 0 && m->src_stride[kept - 1] == m->dims[d] * m->src_stride[d] &&
                    m->dst_stride[kept - 1] == m->dims[d] * m->dst_stride[d];
        if (join) kept--;
        m->dims[kept] = join ? m->dims[kept] * m->dims[d] : m->dims[d];
        m->src_stride[kept] = m->src_stride[d];
        m->dst_stride[kept] = m->dst_stride[d];
        kept++;
    }
    if (kept == 0) {
        m->dims[0] = m->src_stride[0] = m->dst_stride[0] = 1;
        kept = 1;
    }
    m->rank = kept;
}

/// Largest unit, up to 16 bytes, that the innermost dim and everything else is a multiple of.
static void widen(norn_cuda_move *m) {
    int32_t last = m->rank - 1;
    if (m->src_stride[last] != 1 || m->dst_stride[last] != 1) return;
    while (m->element_bytes < 16) {
        uintptr_t mask = (uintptr_t)m->element_bytes * 2 - 1;
        bool fits = ((uintptr_t)m->src & mask) == 0 && ((uintptr_t)m->dst & mask) == 0 &&
                    m->dims[last] % 2 == 0;
        for (int32_t d = 0; d < last; d++)
            fits = fits && m->src_stride[d] % 2 == 0 && m->dst_stride[d] % 2 == 0;
        if (!fits) return;
        m->element_bytes *= 2;
        m->dims[last] /= 2;
        for (int32_t d = 0; d < last; d++) m->src_stride[d] /= 2, m->dst_stride[d] /= 2;
    }
}

static void add_segment(const norn_cuda_move *m, norn_cuda_move_args *args) {
    norn_cuda_move_segment *s = &args->segment[args->count++];
    memset(s, 0, sizeof *s);
    s->src = m->src;
    s->dst = m->dst;
    s->total = norn_dims_product(m->dims, 0, m->rank);
    // Ranks above four run as eight, with leading dims of one.
    int32_t shift = args->rank - m->rank;
    for (int32_t d = 0; d < shift; d++) s->dims[d] = 1;
    for (int32_t d = 0; d < m->rank; d++) {
        s->dims[shift + d] = m->dims[d];
        s->src_stride[shift + d] = m->src_stride[d];
        s->dst_stride[shift + d] = m->dst_stride[d];
    }
}

norn_status norn_cuda_move_run(norn_call *call, norn_cuda_move *moves, uint32_t count) {
    cudaStream_t stream = norn_cuda_stream_of(call)->handle;
    norn_cuda_move_args args = {0};
    for (uint32_t i = 0; i < count; i++) {
        norn_cuda_move *m = &moves[i];
        if (m->src == m->dst || norn_dims_product(m->dims, 0, m->rank) == 0) continue;
        merge(m);
        widen(m);
        int32_t rank = m->rank > 4 ? 8 : m->rank;
        bool joins = args.count && args.rank == rank && args.unit == m->element_bytes &&
                     args.count < NORN_CUDA_MOVE_SEGMENTS;
        if (args.count && !joins) {
            NORN_TRY(norn_cuda_launched(norn_cuda_move_launch(&args, stream)));
            args.count = 0;
        }
        args.rank = rank;
        args.unit = m->element_bytes;
        add_segment(m, &args);
    }
    return args.count ? norn_cuda_launched(norn_cuda_move_launch(&args, stream)) : NORN_OK;
}

// ---- operators
static int32_t element_bytes(norn_dtype dtype) {
    uint32_t bits = norn_dtype_bits(dtype);
    return dtype != NORN_STRING &&
                   (bits == 8 || bits == 16 || bits == 32 || bits == 64 || bits == 128)
               ? (int32_t)bits / 8
               : 0;
}

bool norn_cuda_move_supports(const norn_step_spec *spec) {
    if (spec->op == NORN_OP_Split || spec->op == NORN_OP_Concat)
        if (spec->in_count > 64 || spec->out_count > 64) return false;
    // Dropout's mask is a second output; whether it trains, and what is dropped then, are inputs.
    if (spec->op == NORN_OP_Dropout &&
        (spec->in_count > 1 || (spec->out_count > 1 && norn_view_present(&spec->out[1]))))
        return false;
    return element_bytes(spec->in[0].dtype) > 0;
}

static norn_cuda_move dense_move(const norn_view *from, norn_view *to) {
    norn_cuda_move m = {
        .src = from->data, .dst = to->data, .rank = 1, .element_bytes = element_bytes(from->dtype)};
    m.dims[0] = norn_view_elems(from);
    m.src_stride[0] = m.dst_stride[0] = 1;
    return m;
}

norn_status norn_cuda_identity(norn_call *call) {
    norn_cuda_move m = dense_move(&call->in[0], &call->out[0]);
    return norn_cuda_move_run(call, &m, 1);
}

norn_status norn_cuda_transpose(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_cuda_move m = {.src = in->data,
                        .dst = out->data,
                        .rank = in->rank,
                        .element_bytes = element_bytes(in->dtype)};
    int64_t strides[NORN_MAX_RANK];
    const int64_t *perm;
    uint32_t given = norn_attr_ints(call->attrs, "perm", &perm);
    norn_cuda_dense_strides(in->rank, in->dims, strides);
    norn_cuda_dense_strides(out->rank, out->dims, m.dst_stride);
    for (int32_t d = 0; d < in->rank; d++) {
        int64_t from = given ? perm[d] : in->rank - 1 - d;
        m.dims[d] = in->dims[from];
        m.src_stride[d] = strides[from];
    }
    return norn_cuda_move_run(call, &m, 1);
}

/// A part of `whole` along `axis` beginning at `at`, to or from the dense view `part`.
static norn_cuda_move part_move(const norn_view *part, const norn_view *whole, int32_t axis,
                                int64_t at, bool into_whole) {
    norn_cuda_move m = {.rank = part->rank, .element_bytes = element_bytes(part->dtype)};
    int64_t part_stride[NORN_MAX_RANK], whole_stride[NORN_MAX_RANK];
    norn_cuda_dense_strides(part->rank, part->dims, part_stride);
    norn_cuda_dense_strides(whole->rank, whole->dims, whole_stride);
    char *inside = (char *)whole->data + at * whole_stride[axis] * m.element_bytes;
    m.src = into_whole ? part->data : (void *)inside;
    m.dst = into_whole ? (void *)inside : part->data;
    memcpy(m.dims, part->dims, sizeof m.dims);
    memcpy(m.src_stride, into_whole ? part_stride : whole_stride, sizeof m.src_stride);
    memcpy(m.dst_stride, into_whole ? whole_stride : part_stride, sizeof m.dst_stride);
    return m;
}

norn_status norn_cuda_concat(norn_call *call) {
    norn_cuda_move moves[64];
    int32_t axis = norn_cuda_axis(norn_attr_i64(call->attrs, "axis", 0), call->out[0].rank);
    int64_t at = 0;
    for (uint32_t i = 0; i < call->in_count; i++) {
        moves[i] = part_move(&call->in[i], &call->out[0], axis, at, true);
        at += call->in[i].dims[axis];
    }
    return norn_cuda_move_run(call, moves, call->in_count);
}

norn_status norn_cuda_split(norn_call *call) {
    norn_cuda_move moves[64];
    uint32_t count = 0;
    int32_t axis = norn_cuda_axis(norn_attr_i64(call->attrs, "axis", 0), call->in[0].rank);
    int64_t at = 0;
    for (uint32_t i = 0; i < call->out_count; i++) {
        if (norn_view_present(&call->out[i]))
            moves[count++] = part_move(&call->out[i], &call->in[0], axis, at, false);
        at += call->out[i].dims[axis];
    }
    return norn_cuda_move_run(call, moves, count);
}

norn_status norn_cuda_expand(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_cuda_move m = {.src = in->data,
                        .dst = out->data,
                        .rank = out->rank,
                        .element_bytes = element_bytes(in->dtype)};
    memcpy(m.dims, out->dims, sizeof m.dims);
    norn_broadcast_strides(in, out->rank, out->dims, m.src_stride);
    norn_cuda_dense_strides(out->rank, out->dims, m.dst_stride);
    return norn_cuda_move_run(call, &m, 1);
}

bool norn_cuda_tile_supports(const norn_step_spec *spec) {
    return spec->in[0].rank <= NORN_MAX_RANK / 2 && norn_cuda_move_supports(spec);
}

/// Each dim of the output is [repeats, size]: twice the rank.
norn_status norn_cuda_tile(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_cuda_move m = {
        .src = in->data, .dst = out->data, .element_bytes = element_bytes(in->dtype)};
    int64_t from[NORN_MAX_RANK], to[NORN_MAX_RANK];
    norn_cuda_dense_strides(in->rank, in->dims, from);
    norn_cuda_dense_strides(out->rank, out->dims, to);
    if (norn_view_elems(out) == 0) return NORN_OK;
    for (int32_t d = 0; d < in->rank; d++) {
        int64_t repeats = out->dims[d] / in->dims[d];
        if (repeats > 1) {
            m.dims[m.rank] = repeats, m.src_stride[m.rank] = 0,
            m.dst_stride[m.rank] = in->dims[d] * to[d];
            m.rank++;
        }
        if (in->dims[d] > 1) {
            m.dims[m.rank] = in->dims[d], m.src_stride[m.rank] = from[d],
            m.dst_stride[m.rank] = to[d];
            m.rank++;
        }
    }
    return norn_cuda_move_run(call, &m, 1);
}

// ---- Slice
typedef struct slice_state {
    uint32_t count;
    int64_t start[NORN_MAX_RANK], axis[NORN_MAX_RANK], step[NORN_MAX_RANK];
} slice_state;

bool norn_cuda_constant_ints(const norn_step_spec *spec, uint32_t input, int64_t *values,
                             uint32_t most, uint32_t *count) {
    if (input >= spec->in_count) return false;
    const norn_view *view = &spec->in[input];
    int64_t elems = norn_view_elems(view);
    if (!view->data || !norn_dtype_is_integer(view->dtype) || elems < 0 || elems > most)
        return false;
    *count = (uint32_t)elems;
    for (uint32_t i = 0; i < *count; i++) values[i] = norn_element_i64(view->dtype, view->data, i);
    return true;
}

static bool read_slice(const norn_step_spec *spec, slice_state *state) {
    uint32_t axes = 0, steps = 0;
    if (!norn_cuda_constant_ints(spec, 1, state->start, NORN_MAX_RANK, &state->count)) return false;
    for (uint32_t i = 0; i < state->count; i++) state->axis[i] = i, state->step[i] = 1;
    if (spec->in_count > 3 && norn_view_present(&spec->in[3]) &&
        !norn_cuda_constant_ints(spec, 3, state->axis, NORN_MAX_RANK, &axes))
        return false;
    if (spec->in_count > 4 && norn_view_present(&spec->in[4]) &&
        !norn_cuda_constant_ints(spec, 4, state->step, NORN_MAX_RANK, &steps))
        return false;
    return true;
}

bool norn_cuda_slice_supports(const norn_step_spec *spec) {
    slice_state state;
    return norn_cuda_move_supports(spec) && read_slice(spec, &state);
}

norn_status norn_cuda_slice_prepare(norn_cuda_device *device, const norn_step_spec *spec,
                                    void **out) {
    slice_state *state = NULL;
    NORN_TRY(NORN_NEW(device->alloc, &state));
    if (!read_slice(spec, state)) {
        norn_free(device->alloc, state);
        return norn_fail(NORN_INTERNAL, "starts, axes or steps are not constant");
    }
    *out = state;
    return NORN_OK;
}

void norn_cuda_state_free(norn_cuda_device *device, void *state) {
    norn_free(device->alloc, state);
}

norn_status norn_cuda_slice(norn_call *call) {
    const slice_state *state = call->state;
    const norn_view *in = &call->in[0], *out = &call->out[0];
    norn_cuda_move m = {
        .rank = in->rank, .element_bytes = element_bytes(in->dtype), .dst = out->data};
    int64_t offset = 0;
    memcpy(m.dims, out->dims, sizeof m.dims);
    if (norn_view_elems(out) == 0) return NORN_OK;
    norn_cuda_dense_strides(in->rank, in->dims, m.src_stride);
    norn_cuda_dense_strides(out->rank, out->dims, m.dst_stride);
    for (uint32_t i = 0; i < state->count; i++) {
        int32_t axis = norn_cuda_axis(state->axis[i], in->rank);
        int64_t size = in->dims[axis],
                start = state->start[i] < 0 ? state->start[i] + size : state->start[i];
        int64_t most = state->step[i] < 0 ? size - 1 : size;
        start = start < 0 ? 0 : start > most ? most : start;
        offset += start * m.src_stride[axis];
        m.src_stride[axis] *= state->step[i];
    }
    m.src = (const char *)in->data + offset * m.element_bytes;
    return norn_cuda_move_run(call, &m, 1);
}
