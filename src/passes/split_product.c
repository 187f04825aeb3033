/// A product of a Concat by a constant matrix W is the sum of products of its parts, W in rows:
///   [q, k, q - k, q * k] W  ->  q (W1 + W3) + [k, q * k] [W2 - W3; W4]
/// where differences and sums of other parts cost nothing, and a part that repeats over steps (an
/// Expand of [B, 1, D] to [B, T, D]) is multiplied once a row of the batch, not once a step. That
/// is the first layer of DIN's attention, which becomes half the work. Done only where a part goes
/// away. Weights are added up in double and rounded once.
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

enum { TERMS_MAX = 32 };

typedef struct term {
    norn_value *x;
    double *weights; ///< [width, n]
    int64_t width;
    bool small; ///< repeats over a dim of the result
    bool gone;  ///< a sum or difference of others
} term;

typedef struct split {
    norn_graph *graph;
    norn_node *product, *concat;
    const norn_view *w; ///< [k, n]
    norn_dtype dtype;   ///< of all values
    int64_t n;
    term terms[TERMS_MAX];
    uint32_t count;
} split;

static norn_value *unexpanded(norn_value *value) {
    const norn_node *node = value->producer;
    if (!norn_node_is(node, NORN_OP_Expand) || !node->in[0].value) return value;
    norn_value *x = node->in[0].value;
    return x->shape.rank == value->shape.rank ? x : value;
}

static bool last_dim(const norn_value *value, int64_t *width) {
    const norn_shape *shape = &value->shape;
    if (shape->rank < 2 || !norn_dim_is_const(shape->dims[shape->rank - 1])) return false;
    *width = shape->dims[shape->rank - 1].constant;
    return true;
}

static term *term_of(split *s, const norn_value *x) {
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->terms[i].x == x) return &s->terms[i];
    }
    return NULL;
}

static norn_status add_rows(const split *s, term *t, int64_t first_row, double sign) {
    if (!t->weights) {
        NORN_TRY(NORN_TAKE_ARRAY(&s->graph->arena, (size_t)(t->width * s->n), &t->weights));
    }
    for (int64_t i = 0; i < t->width * s->n; i++)
        t->weights[i] += sign * norn_element_f64(s->dtype, s->w->data, first_row * s->n + i);
    return NORN_OK;
}

/// A term for each different part; false when one is not of constant width.
static bool find_terms(split *s) {
    const norn_shape *out = &s->concat->out[0]->shape;
    for (uint32_t i = 0; i < s->concat->in_count; i++) {
        norn_value *part = s->concat->in[i].value, *x = unexpanded(part);
        int64_t width, x_width;
        if (!last_dim(part, &width) || !last_dim(x, &x_width) || width != x_width || width < 1)
            return false;
        if (s->count == TERMS_MAX) return false;
        term *t = term_of(s, x);
        if (t) continue;
        t = &s->terms[s->count++];
        *t = (term){.x = x, .width = width};
        for (int32_t d = 0; d + 1 < out->rank; d++) {
            t->small = t->small || !norn_dim_equal(x->shape.dims[d], out->dims[d]);
        }
    }
    return true;
}

/// Sub(u, v) or Add(u, v) of two other parts, that only the Concat reads.
static bool combines(split *s, const norn_value *part, term **u, term **v, double *sign) {
    const norn_node *node = part->producer;
    bool sub = norn_node_is(node, NORN_OP_Sub);
    if ((!sub && !norn_node_is(node, NORN_OP_Add)) || part->readers != 1) return false;
    if (!norn_node_is_binary(node)) return false;
    *u = term_of(s, unexpanded(node->in[0].value));
    *v = term_of(s, unexpanded(node->in[1].value));
    *sign = sub ? -1 : 1;
    const term *self = term_of(s, part);
    return *u && *v && *u != self && *v != self && (*u)->width == self->width &&
           (*v)->width == self->width;
}

/// Whether a part goes away, or is multiplied less often, and one of full shape stays.
static bool gains(split *s) {
    bool gain = false, full = false;
    for (uint32_t i = 0; i < s->concat->in_count; i++) {
        const norn_value *part = s->concat->in[i].value;
        term *u, *v;
        double sign;
        bool gone = combines(s, part, &u, &v, &sign),
             small = term_of(s, unexpanded(s->concat->in[i].value))->small;
        gain = gain || gone || small;
        full = full || (!gone && !small);
    }
    return gain && full;
}

static norn_status fill_weights(split *s) {
    int64_t row = 0;
    for (uint32_t i = 0; i < s->concat->in_count; i++) {
        const norn_value *part = s->concat->in[i].value;
        term *t = term_of(s, unexpanded(s->concat->in[i].value)), *u, *v;
        double sign;
        if (combines(s, part, &u, &v, &sign)) {
            NORN_TRY(add_rows(s, u, row, 1));
            NORN_TRY(add_rows(s, v, row, sign));
            t->gone = true;
        } else {
            NORN_TRY(add_rows(s, t, row, 1));
        }
        row += t->width;
    }
    return NORN_OK;
}

/// The terms' weights, one over the other.
static norn_status stacked_weights(const split *s, bool small, const term *only, norn_value **out) {
    int64_t dims[2] = {0, s->n}, at = 0;
    void *data;
    for (uint32_t i = 0; i < s->count; i++) {
        const term *t = &s->terms[i];
        if (!t->gone && (only ? t == only : t->small == small)) dims[0] += t->width;
    }
    NORN_TRY(norn_rewrite_constant(s->graph, s->product->in[1].value->name, s->dtype, 2, dims, out,
                                   &data));
    for (uint32_t i = 0; i < s->count; i++) {
        const term *t = &s->terms[i];
        if (t->gone || (only ? t != only : t->small != small)) continue;
        for (int64_t j = 0; j < t->width * s->n; j++)
            norn_element_set_f64(s->dtype, data, at++, t->weights[j]);
    }
    return NORN_OK;
}

static norn_status multiply(const split *s, norn_value *x, norn_value *weights, norn_value **out) {
    norn_shape shape = x->shape;
    norn_node *node;
    shape.dims[shape.rank - 1] = norn_dim_const(s->n);
    NORN_TRY(norn_rewrite_node(s->graph, s->product, NORN_OP_MatMul, (norn_value *[]){x, weights},
                               2, (norn_attrs){NULL, 0}, s->dtype, &shape, s->product, &node));
    NORN_TRY(norn_node_add_origin(s->graph, node, s->concat));
    *out = node->out[0];
    return NORN_OK;
}

/// The terms of full shape as one product, of their Concat when there are several.
static norn_status multiply_full(const split *s, norn_value **out) {
    norn_value *in[TERMS_MAX], *weights, *x;
    norn_shape shape = s->concat->out[0]->shape;
    uint32_t count = 0;
    int64_t width = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->terms[i].small || s->terms[i].gone) continue;
        in[count++] = s->terms[i].x;
        width += s->terms[i].width;
    }
    x = in[0];
    if (count > 1) {
        norn_attr axis = norn_attr_int_of("axis", shape.rank - 1);
        norn_node *concat;
        shape.dims[shape.rank - 1] = norn_dim_const(width);
        NORN_TRY(norn_rewrite_node(s->graph, s->product, NORN_OP_Concat, in, count,
                                   (norn_attrs){&axis, 1}, s->dtype, &shape, s->concat, &concat));
        x = concat->out[0];
    }
    NORN_TRY(stacked_weights(s, false, NULL, &weights));
    return multiply(s, x, weights, out);
}

static norn_status rewrite(const split *s) {
    norn_value *sum, *weights, *more;
    norn_node *add;
    NORN_TRY(multiply_full(s, &sum));
    for (uint32_t i = 0; i < s->count; i++) {
        const term *t = &s->terms[i];
        if (!t->small || t->gone) continue;
        NORN_TRY(stacked_weights(s, true, t, &weights));
        NORN_TRY(multiply(s, t->x, weights, &more));
        NORN_TRY(norn_rewrite_node(s->graph, s->product, NORN_OP_Add, (norn_value *[]){sum, more},
                                   2, (norn_attrs){NULL, 0}, s->dtype, &s->product->out[0]->shape,
                                   s->product, &add));
        sum = add->out[0];
    }
    norn_rewrite_replace(s->graph, s->product, 0, sum);
    return NORN_OK;
}

static bool split_of(norn_graph *graph, norn_node *product, split *s) {
    const norn_value *a = norn_node_in(product, 0), *b = norn_node_in(product, 1);
    *s = (split){.graph = graph, .product = product};
    if (!norn_node_is(product, NORN_OP_MatMul) || !a || !b || !b->data || b->data->rank != 2)
        return false;
    s->concat = a->producer;
    if (!norn_node_is(s->concat, NORN_OP_Concat) || a->readers != 1 ||
        !norn_dtype_is_float(a->dtype) || b->dtype != a->dtype)
        return false;
    int64_t axis = norn_attr_i64(s->concat->attrs, "axis", 0);
    int32_t rank = a->shape.rank;
    if (rank < 2 || (axis != -1 && axis != rank - 1) || b->data->dims[1] < 1) return false;
    for (uint32_t i = 0; i < s->concat->in_count; i++) {
        const norn_value *part = s->concat->in[i].value;
        if (!part || part->data || part->shape.rank != rank) return false;
    }
    s->w = b->data, s->n = b->data->dims[1], s->dtype = a->dtype;
    return norn_shape_dim_is(&a->shape, rank - 1, b->data->dims[0]);
}

norn_status norn_pass_split_product(norn_pass_context *context, norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        split s;
        if (node->dead || !split_of(graph, node, &s) || !find_terms(&s) || !gains(&s)) continue;
        NORN_TRY(fill_weights(&s));
        NORN_TRY(rewrite(&s));
    }
    norn_graph_sweep(graph);
    return norn_pass_dead_code(context, graph);
}
