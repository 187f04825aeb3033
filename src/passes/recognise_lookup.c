/// Embedding lookups, in the forms that exporters give them, become Lookup regions:
///   Gather(table, ids)                              one key a row, or n rows side by side
///   Gather(table, x[:, i]), x[:, a:b], split(x)[i]  keys are read as columns of x
///   Gather(table, Add(x [B, F], starts [F]))        F columns, each with an offset of its keys
///   ReduceSum | ReduceMean | ReduceMax(Gather(table, ids [B, n]), axis 1)  pooled
///   ReduceSum(Mul(Gather(table, ids), weights [B, n, 1]), axis 1)          pooled with weights
///   ai.norn::Embedding(keys)
///   ai.norn::EmbeddingBag(values, offsets, weights), that of recognise_bag too
/// All of one batch and one dependency level are one Lookup. Those that stand side by side in a
/// Concat along the last axis, or as parts of an Interaction, write side by side in one output.
///
/// A table is an initializer of at least table_threshold bytes that is only gathered from, or one
/// that the package has by the same name; a smaller one stays a weight, an input of the region.
#include "passes/lookup_site.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"

struct norn_lookup_out {
    norn_value *value; ///< [rows, width]
    int64_t width;
    uint32_t index; ///< output of the region's node
};

typedef struct merger {
    norn_graph *graph;
    norn_lookup_site *first, *last; ///< in order
    uint32_t count;
} merger;

static norn_status find_sites(norn_pass_context *context, merger *m) {
    for (norn_node *node = m->graph->nodes; node; node = node->next) {
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (node->out[i]) node->out[i]->note = NULL;
        }
    }
    for (norn_node *node = m->graph->nodes; node; node = node->next) {
        norn_lookup_site *site;
        if (node->dead || node->region) continue;
        norn_status status = norn_lookup_site_of(context, m->graph, node, &site);
        if (status != NORN_OK) {
            norn_note("node '%s'", node->name);
            return status;
        }
        if (!site) continue;
        site->result->note = site;
        if (m->last) {
            m->last->next = site;
        } else {
            m->first = site;
        }
        m->last = site;
        m->count++;
    }
    return NORN_OK;
}

// ---- dependency levels

static uint32_t depth_of(const norn_value *value) {
    return value && value->producer ? (uint32_t)(uintptr_t)value->producer->note : 0;
}

static uint32_t deeper(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

static void find_depths(merger *m) {
    for (norn_node *node = m->graph->nodes; node; node = node->next) {
        uint32_t depth = 0;
        for (uint32_t i = 0; i < node->in_count; i++)
            depth = deeper(depth, depth_of(node->in[i].value));
        for (uint32_t i = 0; i < node->out_count; i++) {
            norn_lookup_site *site = node->out[i] ? node->out[i]->note : NULL;
            if (!site) continue;
            depth = deeper(depth_of(site->keys),
                           deeper(depth_of(site->offsets), depth_of(site->weights))) +
                    1;
            site->depth = depth;
        }
        node->note = (void *)(uintptr_t)depth;
    }
}

static bool same_region(const norn_lookup_site *a, const norn_lookup_site *b) {
    return a->depth == b->depth && norn_dim_equal(a->rows, b->rows);
}

// ---- outputs

static norn_status new_out(norn_graph *graph, const char *name, const norn_lookup_site *site,
                           int64_t width, norn_lookup_out **out) {
    norn_shape shape = {.rank = 2, .dims = {site->rows, norn_dim_const(width)}};
    NORN_TRY(NORN_TAKE(&graph->arena, out));
    (*out)->width = width;
    return norn_graph_value(graph, name, site->result->dtype, &shape, &(*out)->value);
}

/// The site that `node` alone reads as input `index`, each row as it
/// is, and that writes nowhere yet.
static norn_lookup_site *site_read_by(norn_graph *graph, const norn_node *node, uint32_t index,
                                      bool rows_matter) {
    norn_value *value = norn_node_in(node, index);
    norn_shape leading;
    norn_dim rows;
    if (!value || value->shape.rank < 1) return NULL;
    norn_value *root = value;
    while (root->readers == 1 && norn_node_is_static_reshape(root->producer))
        root = root->producer->in[0].value;
    norn_lookup_site *site = root->producer ? root->note : NULL;
    if (!site || site->out || root->readers != 1 || site->result != root) return NULL;
    // An Interaction reads parts as [B, f * D], whatever their shape.
    if (!rows_matter) return norn_dim_equal(value->shape.dims[0], site->rows) ? site : NULL;
    leading = value->shape;
    if (!norn_shape_dim_is(&value->shape, value->shape.rank - 1, site->width)) return NULL;
    if (norn_shape_product(&graph->symbols, &leading, 0, value->shape.rank - 1, &rows) != NORN_OK)
        return NULL;
    return norn_dim_equal(rows, site->rows) ? site : NULL;
}

typedef struct run {
    uint32_t first, count; ///< inputs of the reader
    int64_t width;
    norn_lookup_site *site; ///< of the first
} run;

/// The next two or more neighbouring inputs, from `from`, of sites of one region.
static bool next_run(norn_graph *graph, const norn_node *node, uint32_t from, uint32_t end,
                     bool rows_matter, run *r) {
    for (uint32_t i = from; i < end; i++) {
        norn_lookup_site *site = site_read_by(graph, node, i, rows_matter), *other = site;
        *r = (run){.first = i, .site = site};
        while (other && same_region(site, other)) {
            r->width += other->width;
            r->count++;
            other =
                i + r->count < end ? site_read_by(graph, node, i + r->count, rows_matter) : NULL;
        }
        if (r->count >= 2) return true;
    }
    return false;
}

/// Lets the sites of a run write one output.
static norn_status join_run(norn_graph *graph, const norn_node *node, const run *r,
                            bool rows_matter, norn_lookup_out **out) {
    int64_t at = 0;
    NORN_TRY(new_out(graph, node->name, r->site, r->width, out));
    for (uint32_t i = 0; i < r->count; i++) {
        norn_lookup_site *site = site_read_by(graph, node, r->first + i, rows_matter);
        if (!site) return norn_fail(NORN_INTERNAL, "a lookup is read twice");
        site->first = at;
        at += site->width;
    }
    // Marked after, so that site_read_by finds them all.
    for (uint32_t i = 0; i < r->count; i++)
        site_read_by(graph, node, r->first + i, rows_matter)->out = *out;
    return NORN_OK;
}

/// The node's inputs with the run's as one, which is `joined`.
static norn_status inputs_with(norn_graph *graph, const norn_node *node, const run *r,
                               norn_value *joined, norn_value ***in, uint32_t *count) {
    *count = 0;
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, node->in_count, in));
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (i > r->first && i < r->first + r->count) continue;
        (*in)[(*count)++] = i == r->first ? joined : node->in[i].value;
    }
    return NORN_OK;
}

static norn_status join_concat(norn_graph *graph, norn_node **concat) {
    norn_node *old = *concat, *made;
    norn_lookup_out *out;
    norn_value **in, *joined;
    uint32_t count;
    run r;
    if (!next_run(graph, old, 0, old->in_count, true, &r)) {
        *concat = NULL;
        return NORN_OK;
    }
    norn_shape shape = old->in[r.first].value->shape;
    shape.dims[shape.rank - 1] = norn_dim_const(r.width);
    NORN_TRY(join_run(graph, old, &r, true, &out));
    NORN_TRY(norn_rewrite_reshape(graph, old, out->value, &shape, old, &joined));
    NORN_TRY(inputs_with(graph, old, &r, joined, &in, &count));
    if (count == 1) {
        *concat = NULL;
        norn_rewrite_replace(graph, old, 0, joined);
        return NORN_OK;
    }
    NORN_TRY(norn_rewrite_node(graph, old, NORN_OP_Concat, in, count, old->attrs,
                               old->out[0]->dtype, &old->out[0]->shape, old, &made));
    norn_rewrite_replace(graph, old, 0, made->out[0]);
    *concat = made;
    return NORN_OK;
}

static norn_status join_interaction(norn_graph *graph, norn_node **node) {
    norn_node *old = *node, *made;
    const norn_interaction_region *parts = &old->region->interaction;
    norn_lookup_out *out;
    norn_value **in;
    norn_region *region;
    uint32_t count;
    run r;
    bool found = next_run(graph, old, 0, parts->part_count, false, &r);
    bool passed = found && parts->pass_input >= r.first && parts->pass_input < r.first + r.count;
    *node = NULL;
    if (!found || passed) return NORN_OK;
    NORN_TRY(join_run(graph, old, &r, false, &out));
    NORN_TRY(inputs_with(graph, old, &r, out->value, &in, &count));
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    *region = *old->region;
    region->interaction.part_count -= r.count - 1;
    if (parts->pass_input != NORN_NO_INPUT && parts->pass_input > r.first) {
        region->interaction.pass_input -= r.count - 1;
    }
    NORN_TRY(norn_rewrite_node(graph, old, NORN_OP_Interaction, in, count, old->attrs,
                               old->out[0]->dtype, &old->out[0]->shape, old, &made));
    made->region = region;
    norn_rewrite_replace(graph, old, 0, made->out[0]);
    *node = made;
    return NORN_OK;
}

static bool is_last_axis_concat(const norn_node *node) {
    if (!norn_node_is(node, NORN_OP_Concat) || !node->out[0]) return false;
    int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
    return axis == -1 || axis == node->out[0]->shape.rank - 1;
}

static norn_status join_neighbours(norn_graph *graph) {
    for (norn_node *node = graph->nodes; node; node = node->next) {
        norn_node *at = node->dead ? NULL : node;
        if (is_last_axis_concat(node)) {
            while (at) NORN_TRY(join_concat(graph, &at));
        } else if (norn_node_is(node, NORN_OP_Interaction)) {
            while (at) NORN_TRY(join_interaction(graph, &at));
        }
    }
    return NORN_OK;
}

/// A site that stands alone has an output of its own, in the shape that its readers know.
static norn_status give_own_out(norn_graph *graph, norn_lookup_site *site) {
    norn_node *producer = site->result->producer;
    norn_value *shaped;
    NORN_TRY(new_out(graph, site->result->name, site, site->width, &site->out));
    NORN_TRY(norn_rewrite_reshape(graph, producer, site->out->value, &site->result->shape, producer,
                                  &shaped));
    norn_graph_forward(graph, site->result, shaped);
    return NORN_OK;
}

// ---- region

typedef struct region_parts {
    norn_value **in, **out;
    uint32_t in_count, out_count, column_count;
    norn_lookup_column *columns;
} region_parts;

static uint32_t input_of(region_parts *p, norn_value *value) {
    if (!value) return NORN_NO_INPUT;
    for (uint32_t i = 0; i < p->in_count; i++) {
        if (p->in[i] == value) return i;
    }
    p->in[p->in_count] = value;
    return p->in_count++;
}

static void add_site(region_parts *p, const norn_lookup_site *site) {
    norn_lookup_out *out = site->out;
    uint32_t at = 0;
    while (at < p->out_count && p->out[at] != out->value) at++;
    if (at == p->out_count) p->out[p->out_count++] = out->value;
    out->index = at;
    for (int64_t i = 0; i < site->fields; i++) {
        norn_lookup_column *column = &p->columns[p->column_count++];
        *column = site->column;
        column->table = site->table;
        column->keys_input = input_of(p, site->keys);
        column->offsets_input = input_of(p, site->offsets);
        column->weights_input = input_of(p, site->weights);
        column->rows_input = input_of(p, site->inline_rows);
        column->output = out->index;
        // F32 goes without saying.
        column->out = out->value->dtype == NORN_F32 ? NORN_DTYPE_NONE : out->value->dtype;
        column->column = site->first + i * column->dim;
        if (!site->field_offsets) continue;
        column->keys_first += i;
        column->key_offset += site->field_offsets[i];
    }
}

/// One Lookup of `first` and all later sites that go with it, which are marked by an empty result.
static norn_status make_region(merger *m, norn_lookup_site *first) {
    norn_graph *graph = m->graph;
    region_parts p = {.in_count = 0};
    norn_region *region;
    norn_node *made, *last = first->nodes[0];
    size_t columns = 0, sites = 0;
    for (const norn_lookup_site *site = first; site; site = site->next) {
        if (!site->result || !same_region(first, site)) continue;
        columns += (size_t)site->fields, sites++;
        last = site->nodes[0];
    }
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, columns, &p.columns));
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, sites * 4, &p.in));
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, sites, &p.out));
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    for (const norn_lookup_site *site = first; site; site = site->next) {
        if (site->result && same_region(first, site)) add_site(&p, site);
    }
    region->lookup = (norn_lookup_region){.column_count = p.column_count, .columns = p.columns};
    NORN_TRY(norn_graph_node(graph, last, norn_op_info_of(NORN_OP_Lookup), first->nodes[0]->name,
                             p.in, p.in_count, p.out, p.out_count, (norn_attrs){NULL, 0}, NULL,
                             &made));
    made->region = region;
    for (norn_lookup_site *site = first; site; site = site->next) {
        if (!site->result || !same_region(first, site)) continue;
        for (uint32_t i = 0; i < site->node_count; i++)
            NORN_TRY(norn_node_add_origin(graph, made, site->nodes[i]));
        if (site != first) site->result = NULL;
    }
    first->result = NULL;
    return NORN_OK;
}

norn_status norn_pass_recognise_lookup(norn_pass_context *context, norn_graph *graph) {
    merger m = {.graph = graph};
    NORN_TRY(find_sites(context, &m));
    if (!m.count) return NORN_OK;
    find_depths(&m);
    NORN_TRY(join_neighbours(graph));
    for (norn_lookup_site *site = m.first; site; site = site->next) {
        if (!site->out) NORN_TRY(give_own_out(graph, site));
    }
    for (norn_lookup_site *site = m.first; site; site = site->next) {
        if (site->result) NORN_TRY(make_region(&m, site));
    }
    norn_graph_sweep(graph);
    NORN_TRY(norn_graph_sort(graph));
    return norn_pass_simplify(context, graph); // reshapes of reshapes, and dead code
}
