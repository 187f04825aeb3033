// Sequences and optionals: every result is a new value, written from the views of its tensors.
#include "base/checked.h"
#include "cpu/kernels/control.h"
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"
#include "graph/graph.h"
#include "tensor/sequence.h"

#include <string.h>

// ---- reading and writing

/// Sequence `index` of the call, with room for `more` views after those of its tensors.
static norn_status open_with_views(norn_call *call, uint32_t index, uint32_t more,
                                   norn_sequence *sequence, norn_view **views) {
    void *room;
    norn_status status = norn_sequence_open(&call->in[index], sequence);
    if (status != NORN_OK) {
        norn_note("input %u", index);
        return status;
    }
    NORN_TRY(norn_cpu_scratch(call, (int64_t)sequence->count + more, sizeof **views, &room));
    *views = room;
    for (uint32_t i = 0; i < sequence->count; i++) (*views)[i] = norn_sequence_at(sequence, i);
    return NORN_OK;
}

static norn_status emit(norn_call *call, uint32_t index, norn_dtype dtype, const norn_view *tensors,
                        uint32_t count, bool present) {
    size_t bytes;
    if (!norn_call_wants(call, index)) return NORN_OK;
    NORN_TRY(norn_sequence_bytes(tensors, count, &bytes));
    NORN_TRY(norn_call_output(call, index, dtype, 1, &(int64_t){(int64_t)bytes}));
    norn_sequence_write(call->out[index].data, tensors, count, present);
    return NORN_OK;
}

static norn_status emit_bool(norn_call *call, bool value) {
    if (norn_call_wants(call, 0)) *(uint8_t *)call->out[0].data = value;
    return NORN_OK;
}

/// The position that input `index` says, from the end if it is negative; it is in [-count, end].
/// `*out` is left alone without the input.
static norn_status position(const norn_call *call, uint32_t index, uint32_t count, int64_t end,
                            uint32_t *out) {
    if (!norn_call_has(call, index)) return NORN_OK;
    if (norn_view_elems(&call->in[index]) != 1) return norn_call_misfit(call, index);
    int64_t at = norn_element_i64(call->in[index].dtype, call->in[index].data, 0);
    if (at < -(int64_t)count || at > end)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "position %lld is outside a sequence of %u tensor%s", (long long)at, count,
                         norn_plural(count));
    *out = (uint32_t)(at < 0 ? at + (int64_t)count : at);
    return NORN_OK;
}

// ---- operators on whole tensors

norn_status norn_cpu_sequence_empty(norn_call *call) {
    return emit(call, 0, call->out[0].dtype, NULL, 0, true);
}

norn_status norn_cpu_sequence_construct(norn_call *call) {
    return emit(call, 0, call->out[0].dtype, call->in, call->in_count, true);
}

norn_status norn_cpu_sequence_insert(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    NORN_TRY(open_with_views(call, 0, 1, &sequence, &views));
    uint32_t count = sequence.count, at = count; // -1 is the last tensor's place, not the one after
    NORN_TRY(position(call, 2, count, count, &at));
    memmove(views + at + 1, views + at, (count - at) * sizeof *views);
    views[at] = call->in[1];
    return emit(call, 0, call->in[0].dtype, views, count + 1, true);
}

norn_status norn_cpu_sequence_erase(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    if (sequence.count == 0) return norn_fail(NORN_INVALID_ARGUMENT, "the sequence is empty");
    uint32_t at = sequence.count - 1;
    NORN_TRY(position(call, 1, sequence.count, (int64_t)sequence.count - 1, &at));
    memmove(views + at, views + at + 1, (sequence.count - at - 1) * sizeof *views);
    return emit(call, 0, call->in[0].dtype, views, sequence.count - 1, true);
}

norn_status norn_cpu_sequence_at(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    uint32_t at = 0;
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    NORN_TRY(position(call, 1, sequence.count, (int64_t)sequence.count - 1, &at));
    return norn_body_emit(call, 0, &views[at]);
}

norn_status norn_cpu_sequence_length(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    if (norn_call_wants(call, 0)) *(int64_t *)call->out[0].data = sequence.count;
    return NORN_OK;
}

// ---- splitting and joining

/// Sizes along the axis: those given, or `each` and a smaller last one.
typedef struct sizes {
    const int64_t *given; ///< NULL: all are `each`
    int64_t each, length;
    uint32_t count;
} sizes;

static norn_status read_sizes(norn_call *call, int64_t length, sizes *out) {
    const norn_view *split = norn_call_has(call, 1) ? &call->in[1] : NULL;
    *out = (sizes){.each = 1, .length = length};
    int64_t count = length, total = 0;
    if (split && split->rank == 0) {
        out->each = norn_element_i64(split->dtype, split->data, 0);
        if (out->each < 1)
            return norn_fail(NORN_INVALID_ARGUMENT, "parts of %lld", (long long)out->each);
        count = length / out->each + (length % out->each != 0);
    } else if (split) {
        NORN_TRY(norn_operand_i64(call, split, &out->given));
        count = norn_view_elems(split);
        for (int64_t i = 0; i < count; i++) {
            if (out->given[i] < 0 || out->given[i] > length - total)
                return norn_call_misfit(call, 1);
            total += out->given[i];
        }
        if (total != length) return norn_call_misfit(call, 1);
    }
    if (count > NORN_SEQUENCE_MAX)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "a sequence of %lld tensors", (long long)count);
    out->count = (uint32_t)count;
    return NORN_OK;
}

static int64_t size_of(const sizes *s, uint32_t index) {
    if (s->given) return s->given[index];
    int64_t rest = s->length - (int64_t)index * s->each;
    return rest < s->each ? rest : s->each;
}

/// `part` elements of every row of `whole`, from `first` on; or the other way round.
static void copy_columns(norn_call *call, void *to, const void *from, size_t size, int64_t outer,
                         int64_t part, int64_t whole, bool gathers) {
    norn_strided shape = {0};
    if (outer * part == 0) return;
    norn_strided_push(&shape, outer, gathers ? whole : part, gathers ? part : whole);
    norn_strided_push(&shape, part, 1, 1);
    norn_strided_copy(call->pool, to, from, size, &shape);
}

norn_status norn_cpu_split_to_sequence(norn_call *call) {
    const norn_view *in = &call->in[0];
    int32_t axis = norn_call_axis(call, 0, in->rank);
    bool keep = norn_call_has(call, 1) || norn_attr_i64(call->attrs, "keepdims", 1) == 1;
    size_t size = norn_view_element_bytes(in), bytes;
    sizes parts;
    void *room, *copy;
    if (in->rank < 1 || axis < 0 || axis >= in->rank) return norn_call_misfit(call, 0);
    if (size == 0) return norn_call_refuse(in->dtype);
    NORN_TRY(read_sizes(call, in->dims[axis], &parts));
    NORN_TRY(norn_cpu_scratch(call, parts.count, sizeof(norn_view), &room));
    NORN_TRY(norn_view_bytes(in, &bytes));
    int64_t outer = norn_dims_product(in->dims, 0, axis);
    int64_t inner = norn_dims_product(in->dims, axis + 1, in->rank), column = 0;
    copy = in->data; // parts of the first axis lie in the input as they are
    if (outer != 1) NORN_TRY(norn_call_scratch(call, bytes ? bytes : 1, &copy));
    norn_view *views = room;
    for (uint32_t i = 0; i < parts.count; i++) {
        norn_view *part = &views[i];
        int64_t length = size_of(&parts, i), width = length * inner;
        *part = norn_view_of(in->dtype, in->rank, in->dims,
                             (char *)copy + (size_t)(column * outer) * size);
        part->dims[axis] = length;
        if (outer != 1)
            copy_columns(call, part->data, (const char *)in->data + (size_t)column * size, size,
                         outer, width, in->dims[axis] * inner, true);
        column += width;
        if (keep) continue;
        part->rank--;
        for (int32_t d = axis; d < part->rank; d++) part->dims[d] = part->dims[d + 1];
    }
    return emit(call, 0, call->out[0].dtype, views, parts.count, true);
}

/// The shape of all `views` side by side along `axis`, or stacked along a new one.
static norn_status joined_dims(const norn_call *call, const norn_view *views, uint32_t count,
                               int32_t axis, bool stacked, norn_view *out) {
    *out = views[0];
    for (int32_t d = out->rank; stacked && d > axis; d--) out->dims[d] = out->dims[d - 1];
    out->rank += stacked ? 1 : 0;
    out->dims[axis] = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool same = views[i].rank == views[0].rank;
        for (int32_t d = 0; d < views[0].rank && same; d++)
            same = views[i].dims[d] == views[0].dims[d] || (d == axis && !stacked);
        if (!same)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "tensor %u of the sequence does not go with the first", i);
        int64_t more = stacked ? 1 : views[i].dims[axis];
        if (!norn_i64_add(out->dims[axis], more, &out->dims[axis]))
            return norn_call_misfit(call, 0);
    }
    return NORN_OK;
}

norn_status norn_cpu_concat_from_sequence(norn_call *call) {
    norn_sequence sequence;
    norn_view *views, out;
    bool stacked = norn_attr_i64(call->attrs, "new_axis", 0) != 0;
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    if (sequence.count == 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "the sequence is empty, which gives no shape");
    int32_t rank = views[0].rank + (stacked ? 1 : 0);
    int32_t axis = norn_call_axis(call, 0, rank);
    if (axis < 0 || axis >= rank || rank > NORN_MAX_RANK)
        return norn_fail(NORN_INVALID_ARGUMENT, "its axis is outside rank %d", rank);
    NORN_TRY(joined_dims(call, views, sequence.count, axis, stacked, &out));
    if (!norn_call_wants(call, 0)) return NORN_OK;
    NORN_TRY(norn_call_output(call, 0, out.dtype, out.rank, out.dims));
    size_t size = norn_view_element_bytes(&out);
    if (size == 0) return norn_call_refuse(out.dtype);
    int64_t outer = norn_dims_product(out.dims, 0, axis);
    int64_t inner = norn_dims_product(out.dims, axis + 1, out.rank), at = 0;
    for (uint32_t i = 0; i < sequence.count; i++) {
        int64_t part = (stacked ? 1 : views[i].dims[axis]) * inner;
        copy_columns(call, (char *)call->out[0].data + (size_t)at * size, views[i].data, size,
                     outer, part, out.dims[axis] * inner, false);
        at += part;
    }
    return NORN_OK;
}

// ---- SequenceMap

typedef struct map {
    norn_call *call;
    const norn_graph *body;
    uint32_t index, own;
    norn_view *in, *out;      ///< of the body
    norn_sequence *sequences; ///< by input; block NULL: a tensor, given whole
    norn_view *made;          ///< by output, then position
} map;

static norn_status take(norn_call *call, size_t count, size_t size, void **out) {
    NORN_TRY(norn_cpu_scratch(call, (int64_t)count, size, out));
    memset(*out, 0, count * size);
    return NORN_OK;
}

static norn_status open_map(map *m) {
    norn_call *call = m->call;
    NORN_TRY(norn_body_find(call, "body", &m->index, &m->body));
    if (m->body->input_count != call->in_count || m->body->output_count < call->out_count)
        return norn_fail(NORN_INVALID_ARGUMENT, "its body takes %u value%s and gives %u",
                         m->body->input_count, norn_plural(m->body->input_count),
                         m->body->output_count);
    m->own = norn_body_own_inputs(call);
    NORN_TRY(take(call, call->in_count, sizeof *m->in, (void **)&m->in));
    NORN_TRY(take(call, m->body->output_count, sizeof *m->out, (void **)&m->out));
    NORN_TRY(take(call, call->in_count, sizeof *m->sequences, (void **)&m->sequences));
    for (uint32_t i = 0; i < call->in_count; i++) {
        m->in[i] = call->in[i];
        if (i >= m->own || !norn_dtype_holds_tensors(call->in[i].dtype)) continue;
        NORN_TRY(norn_sequence_open(&call->in[i], &m->sequences[i]));
        if (m->sequences[i].count != m->sequences[0].count)
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u has %u tensor%s, input 0 has %u", i,
                             m->sequences[i].count, norn_plural(m->sequences[i].count),
                             m->sequences[0].count);
    }
    // Both factors fit 32 bits.
    return take(call, (size_t)call->out_count * m->sequences[0].count, sizeof *m->made,
                (void **)&m->made);
}

norn_status norn_cpu_sequence_map(norn_call *call) {
    map m = {.call = call};
    NORN_TRY(open_map(&m));
    uint32_t count = m.sequences[0].count;
    for (uint32_t t = 0; t < count; t++) {
        for (uint32_t i = 0; i < m.own; i++)
            if (m.sequences[i].block) m.in[i] = norn_sequence_at(&m.sequences[i], t);
        NORN_TRY(call->host->body(call, m.index, m.in, m.body->input_count, m.out,
                                  m.body->output_count));
        for (uint32_t i = 0; i < call->out_count; i++) {
            norn_held held = {0}; // the next run of the body writes over what this one gave
            NORN_TRY(norn_held_copy(call, &held, &m.out[i]));
            m.made[(size_t)i * count + t] = held.view;
        }
    }
    for (uint32_t i = 0; i < call->out_count; i++)
        NORN_TRY(emit(call, i, call->out[i].dtype, m.made + (size_t)i * count, count, true));
    return NORN_OK;
}

// ---- optionals

norn_status norn_cpu_optional(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    if (!norn_call_has(call, 0)) return emit(call, 0, call->out[0].dtype, NULL, 0, false);
    if (!norn_dtype_holds_tensors(call->in[0].dtype))
        return emit(call, 0, call->out[0].dtype, &call->in[0], 1, true);
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    return emit(call, 0, call->out[0].dtype, views, sequence.count, true);
}

norn_status norn_cpu_optional_has_element(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    if (!norn_call_has(call, 0)) return emit_bool(call, false);
    if (!(call->in[0].dtype & NORN_OPTIONAL)) return emit_bool(call, true);
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    return emit_bool(call, sequence.present);
}

norn_status norn_cpu_optional_get_element(norn_call *call) {
    norn_sequence sequence;
    norn_view *views;
    if (!(call->in[0].dtype & NORN_OPTIONAL)) return norn_body_emit(call, 0, &call->in[0]);
    NORN_TRY(open_with_views(call, 0, 0, &sequence, &views));
    if (!sequence.present) return norn_fail(NORN_INVALID_ARGUMENT, "the optional has no element");
    if (call->in[0].dtype & NORN_SEQUENCE)
        return emit(call, 0, call->out[0].dtype, views, sequence.count, true);
    return norn_body_emit(call, 0, &views[0]);
}
