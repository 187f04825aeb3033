#include "cpu/kernels/control.h"

#include "cpu/kernels/strided.h"
#include "graph/graph.h"

#include <string.h>

norn_status norn_body_find(const norn_call *call, const char *name, uint32_t *index,
                           const norn_graph **graph) {
    *index = 0;
    for (uint32_t i = 0; i < call->attrs.count; i++) {
        const norn_attr *attr = &call->attrs.at[i];
        if (attr->kind != NORN_ATTR_GRAPH) continue;
        if (strcmp(attr->name, name) == 0) {
            *graph = attr->graph;
            return NORN_OK;
        }
        ++*index;
    }
    return norn_fail(NORN_INTERNAL, "it has no body '%s'", name);
}

uint32_t norn_body_own_inputs(const norn_call *call) {
    int64_t own = norn_attr_i64(call->attrs, "norn_own_inputs", call->in_count);
    return own < 0 || own > call->in_count ? call->in_count : (uint32_t)own;
}

static norn_status reserve(norn_call *call, norn_held *held, size_t bytes, size_t keep) {
    void *room;
    if (bytes <= held->capacity) return NORN_OK;
    size_t wanted = held->capacity * 2 > bytes ? held->capacity * 2 : bytes;
    NORN_TRY(norn_call_scratch(call, wanted, &room));
    if (keep) memcpy(room, held->view.data, keep);
    held->view.data = room;
    held->capacity = wanted;
    return NORN_OK;
}

norn_status norn_held_copy(norn_call *call, norn_held *held, const norn_view *from) {
    size_t bytes;
    NORN_TRY(norn_view_bytes(from, &bytes));
    NORN_TRY(reserve(call, held, bytes ? bytes : 1, 0));
    void *data = held->view.data;
    held->view = *from;
    held->view.data = data;
    if (bytes) memcpy(data, from->data, bytes);
    return NORN_OK;
}

norn_status norn_body_emit(norn_call *call, uint32_t index, const norn_view *from) {
    size_t bytes;
    if (!norn_call_wants(call, index)) return NORN_OK;
    NORN_TRY(norn_call_output(call, index, from->dtype, from->rank, from->dims));
    NORN_TRY(norn_view_bytes(from, &bytes));
    if (bytes) memcpy(call->out[index].data, from->data, bytes);
    return NORN_OK;
}

norn_status norn_stacked_add(norn_call *call, norn_stacked *stacked, const norn_view *value) {
    size_t bytes, total;
    NORN_TRY(norn_view_bytes(value, &bytes));
    if (norn_dtype_bits(value->dtype) < 8) return norn_call_refuse(value->dtype);
    if (stacked->count > 0 && (stacked->all.view.dtype != value->dtype ||
                               !norn_view_same_shape(&stacked->all.view, value)))
        return norn_fail(NORN_INVALID_ARGUMENT, "a scan output changes its shape in iteration %lld",
                         (long long)stacked->count);
    total = (size_t)stacked->count * bytes;
    NORN_TRY(reserve(call, &stacked->all, total + bytes, total));
    void *data = stacked->all.view.data;
    stacked->all.view = *value;
    stacked->all.view.data = data;
    stacked->each = bytes;
    if (bytes) memcpy((char *)data + total, value->data, bytes);
    stacked->count++;
    return NORN_OK;
}

norn_status norn_stacked_emit(norn_call *call, uint32_t index, const norn_stacked *stacked,
                              int64_t axis, bool reverse, const norn_view *inner) {
    const norn_view *one = stacked->count ? &stacked->all.view : inner;
    int64_t dims[NORN_MAX_RANK], outer, run;
    if (!norn_call_wants(call, index)) return NORN_OK;
    if (one->rank < 0 || one->rank >= NORN_MAX_RANK) return norn_call_misfit(call, 0);
    if (axis < 0) axis += one->rank + 1;
    if (axis < 0 || axis > one->rank) return norn_call_misfit(call, 0);
    for (int32_t d = 0, from = 0; d <= one->rank; d++)
        dims[d] = d == axis ? stacked->count : one->dims[from++];
    NORN_TRY(norn_call_output(call, index, one->dtype, one->rank + 1, dims));
    outer = norn_dims_product(one->dims, 0, (int32_t)axis);
    run = norn_dims_product(one->dims, (int32_t)axis, one->rank);
    if (stacked->count == 0 || outer * run == 0) return NORN_OK;
    size_t size = norn_dtype_bits(one->dtype) / 8;
    norn_strided shape = {0};
    norn_strided_push(&shape, stacked->count, reverse ? -outer * run : outer * run, run);
    norn_strided_push(&shape, outer, run, run * stacked->count);
    norn_strided_push(&shape, run, 1, 1);
    const char *from = (const char *)stacked->all.view.data +
                       (reverse ? (size_t)(stacked->count - 1) * stacked->each : 0);
    norn_strided_copy(call->pool, call->out[index].data, from, size, &shape);
    return NORN_OK;
}

/// What is known of a body's output when no iteration ran.
static norn_view declared(const norn_graph *body, uint32_t output) {
    const norn_value *value = body->outputs[output].value;
    norn_view view = {.dtype = value->dtype, .rank = value->shape.rank < 0 ? 0 : value->shape.rank};
    for (int32_t d = 0; d < view.rank; d++)
        view.dims[d] = norn_dim_is_const(value->shape.dims[d]) ? value->shape.dims[d].constant : 0;
    return view;
}

/// `count` zeroed items until the kernel returns.
static norn_status take(norn_call *call, size_t count, size_t size, void **out) {
    NORN_TRY(norn_cpu_scratch(call, (int64_t)count + 1, size, out));
    memset(*out, 0, (count + 1) * size);
    return NORN_OK;
}

norn_status norn_cpu_if(norn_call *call) {
    const norn_view *condition = &call->in[0];
    const norn_graph *body;
    norn_view *out;
    uint32_t index;
    if (norn_view_elems(condition) != 1) return norn_call_misfit(call, 0);
    bool yes = norn_element_i64(condition->dtype, condition->data, 0) != 0;
    NORN_TRY(norn_body_find(call, yes ? "then_branch" : "else_branch", &index, &body));
    NORN_TRY(take(call, body->output_count, sizeof *out, (void **)&out));
    NORN_TRY(
        call->host->body(call, index, call->in + 1, call->in_count - 1, out, body->output_count));
    for (uint32_t i = 0; i < call->out_count && i < body->output_count; i++)
        NORN_TRY(norn_body_emit(call, i, &out[i]));
    return NORN_OK;
}

/// State of a Loop. Carried values are kept twice: what the body reads, and what it gave.
typedef struct loop {
    norn_call *call;
    const norn_graph *body;
    uint32_t index, carried, outer, scanned;
    norn_view *in, *out; ///< of the body
    norn_held *now, *next;
    norn_stacked *scans;
} loop;

/// Room for a body's values, once `carried` and `scanned` are known.
static norn_status loop_room(loop *l) {
    norn_call *call = l->call;
    NORN_TRY(take(call, l->body->input_count, sizeof *l->in, (void **)&l->in));
    NORN_TRY(take(call, l->body->output_count, sizeof *l->out, (void **)&l->out));
    NORN_TRY(take(call, l->carried, sizeof *l->now, (void **)&l->now));
    NORN_TRY(take(call, l->carried, sizeof *l->next, (void **)&l->next));
    return take(call, l->scanned, sizeof *l->scans, (void **)&l->scans);
}

/// A body that takes an optional sequence may give a sequence for the next
/// iteration: present, and the same bytes.
static void take_as_optional(norn_view *view, norn_dtype declared) {
    if (norn_dtype_holds_tensors(view->dtype) &&
        norn_dtype_with(view->dtype, NORN_OPTIONAL) == declared)
        view->dtype = declared;
}

static norn_status loop_step(loop *l, uint32_t first_in, uint32_t first_out) {
    for (uint32_t i = 0; i < l->carried; i++) {
        l->in[first_in + i] = l->now[i].view;
        take_as_optional(&l->in[first_in + i], l->body->inputs[first_in + i]->dtype);
    }
    NORN_TRY(l->call->host->body(l->call, l->index, l->in, l->body->input_count, l->out,
                                 l->body->output_count));
    for (uint32_t i = 0; i < l->carried; i++)
        NORN_TRY(norn_held_copy(l->call, &l->next[i], &l->out[first_out + i]));
    for (uint32_t i = 0; i < l->scanned; i++)
        NORN_TRY(norn_stacked_add(l->call, &l->scans[i], &l->out[first_out + l->carried + i]));
    for (uint32_t i = 0; i < l->carried; i++) {
        norn_held kept = l->now[i];
        l->now[i] = l->next[i];
        l->next[i] = kept;
    }
    return NORN_OK;
}

static norn_status loop_run(loop *l) {
    norn_call *call = l->call;
    NORN_TRY(norn_call_numbers(call, 0, 2));
    int64_t trips = norn_call_has(call, 0)
                        ? norn_element_i64(call->in[0].dtype, call->in[0].data, 0)
                        : INT64_MAX;
    uint8_t condition =
        norn_call_has(call, 1) ? norn_element_i64(call->in[1].dtype, call->in[1].data, 0) != 0 : 1;
    for (int64_t i = 0; i < trips && condition; i++) {
        l->in[0] = norn_view_of(NORN_I64, 0, NULL, &i);
        l->in[1] = norn_view_of(NORN_BOOL, 0, NULL, &condition);
        NORN_TRY(loop_step(l, 2, 1));
        condition = norn_element_i64(l->out[0].dtype, l->out[0].data, 0) != 0;
    }
    return NORN_OK;
}

norn_status norn_cpu_loop(norn_call *call) {
    loop state = {.call = call}, *l = &state;
    NORN_TRY(norn_body_find(call, "body", &l->index, &l->body));
    uint32_t own = norn_body_own_inputs(call);
    if (own < 2 || l->body->input_count != call->in_count || l->body->output_count < own - 1)
        return norn_fail(NORN_INVALID_ARGUMENT, "its body takes %u value%s and gives %u",
                         l->body->input_count, norn_plural(l->body->input_count),
                         l->body->output_count);
    l->carried = own - 2;
    l->scanned = l->body->output_count - 1 - l->carried;
    NORN_TRY(loop_room(l));
    for (uint32_t i = 0; i < l->carried; i++)
        NORN_TRY(norn_held_copy(call, &l->now[i], &call->in[2 + i]));
    for (uint32_t i = own; i < call->in_count; i++) l->in[i] = call->in[i];
    NORN_TRY(loop_run(l));
    for (uint32_t i = 0; i < l->carried; i++) NORN_TRY(norn_body_emit(call, i, &l->now[i].view));
    for (uint32_t i = 0; i < l->scanned; i++) {
        norn_view inner = declared(l->body, 1 + l->carried + i);
        NORN_TRY(norn_stacked_emit(call, l->carried + i, &l->scans[i], 0, false, &inner));
    }
    return NORN_OK;
}

static int64_t listed(const norn_call *call, const char *name, uint32_t i) {
    const int64_t *values;
    uint32_t count = norn_attr_ints(call->attrs, name, &values);
    return i < count ? values[i] : 0;
}

/// Slice `at` of a scan input along its axis, into `held`.
static norn_status scan_slice(norn_call *call, const norn_view *from, int64_t axis, int64_t at,
                              norn_held *held) {
    norn_view one = {.dtype = from->dtype, .rank = from->rank - 1};
    for (int32_t d = 0, to = 0; d < from->rank; d++)
        if (d != axis) one.dims[to++] = from->dims[d];
    size_t size = norn_dtype_bits(from->dtype) / 8, bytes;
    if (size == 0) return norn_call_refuse(from->dtype);
    NORN_TRY(norn_view_bytes(&one, &bytes));
    NORN_TRY(reserve(call, held, bytes ? bytes : 1, 0));
    one.data = held->view.data;
    held->view = one;
    int64_t outer = norn_dims_product(from->dims, 0, (int32_t)axis),
            run = norn_dims_product(from->dims, (int32_t)axis + 1, from->rank);
    if (bytes == 0) return NORN_OK;
    norn_strided shape = {0};
    norn_strided_push(&shape, outer, from->dims[axis] * run, run);
    norn_strided_push(&shape, run, 1, 1);
    norn_strided_copy(NULL, one.data, (const char *)from->data + (size_t)(at * run) * size, size,
                      &shape);
    return NORN_OK;
}

norn_status norn_cpu_scan(norn_call *call) {
    uint32_t own = norn_body_own_inputs(call),
             scans_in = (uint32_t)norn_attr_i64(call->attrs, "num_scan_inputs", 0);
    loop state = {.call = call}, *l = &state;
    NORN_TRY(norn_body_find(call, "body", &l->index, &l->body));
    if (scans_in < 1 || scans_in > own || l->body->input_count != call->in_count ||
        l->body->output_count < own - scans_in)
        return norn_fail(NORN_INVALID_ARGUMENT, "its body takes %u value%s and gives %u",
                         l->body->input_count, norn_plural(l->body->input_count),
                         l->body->output_count);
    l->carried = own - scans_in;
    l->scanned = l->body->output_count - l->carried;
    norn_held *slices;
    int64_t length = -1, *axes;
    NORN_TRY(loop_room(l));
    NORN_TRY(take(call, scans_in, sizeof *slices, (void **)&slices));
    NORN_TRY(take(call, scans_in, sizeof *axes, (void **)&axes));
    for (uint32_t i = 0; i < l->carried; i++)
        NORN_TRY(norn_held_copy(call, &l->now[i], &call->in[i]));
    for (uint32_t i = own; i < call->in_count; i++) l->in[i] = call->in[i];
    for (uint32_t i = 0; i < scans_in; i++) {
        const norn_view *in = &call->in[l->carried + i];
        axes[i] = listed(call, "scan_input_axes", i);
        if (axes[i] < 0) axes[i] += in->rank;
        if (axes[i] < 0 || axes[i] >= in->rank || (length >= 0 && in->dims[axes[i]] != length))
            return norn_call_misfit(call, l->carried + i);
        length = in->dims[axes[i]];
    }
    for (int64_t t = 0; t < length; t++) {
        for (uint32_t i = 0; i < scans_in; i++) {
            int64_t at = listed(call, "scan_input_directions", i) ? length - 1 - t : t;
            NORN_TRY(scan_slice(call, &call->in[l->carried + i], axes[i], at, &slices[i]));
            l->in[l->carried + i] = slices[i].view;
        }
        NORN_TRY(loop_step(l, 0, 0));
    }
    for (uint32_t i = 0; i < l->carried; i++) NORN_TRY(norn_body_emit(call, i, &l->now[i].view));
    for (uint32_t i = 0; i < l->scanned; i++) {
        norn_view inner = declared(l->body, l->carried + i);
        NORN_TRY(norn_stacked_emit(call, l->carried + i, &l->scans[i],
                                   listed(call, "scan_output_axes", i),
                                   listed(call, "scan_output_directions", i) != 0, &inner));
    }
    return NORN_OK;
}
