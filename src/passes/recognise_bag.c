/// nn.EmbeddingBag as PyTorch's exporters write it -> ai.norn::EmbeddingBag, then a Lookup:
///   ConcatFromSequence(Loop(.., SequenceEmpty):
///       SequenceInsert(s, pool(rows[o[i]:o[i+1]])), axis 0)
///   Loop(..): scan output pool(Gather(table, keys[o[i]:o[i+1]]))
/// in sum, mean and max, with weights, with offsets that end with the number of keys
/// or without (then a Concat adds it), and with padding, which a loop in the loop leaves out.
/// The node has the table as its fourth input. An empty bag is zeros, as in PyTorch,
/// where the pooling of nothing would be infinite.
#include "passes/bag_loop.h"
#include "passes/lookup_site.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

/// The one output of a Loop that is read; -1 when there are several.
static int64_t only_output(const norn_node *loop) {
    int64_t only = -1;
    for (uint32_t i = 0; i < loop->out_count; i++) {
        if (!loop->out[i] || !loop->out[i]->readers) continue;
        if (only >= 0) return -1;
        only = i;
    }
    return only;
}

/// The node whose output 0 is [B, dim]: the join of the bags, or the Loop itself.
static norn_node *bags_made_by(norn_node *loop, uint32_t output, bool keeps_dims) {
    norn_value *value = loop->out[output];
    if (!norn_dtype_holds_tensors(value->dtype)) return keeps_dims ? NULL : loop;
    norn_node *join = value->readers == 1 ? norn_value_only_reader(value) : NULL;
    if (!norn_node_is(join, NORN_OP_ConcatFromSequence) || !join->out[0]) return NULL;
    bool stacks = norn_attr_i64(join->attrs, "new_axis", 0) != 0;
    int64_t axis = norn_attr_i64(join->attrs, "axis", 0);
    return stacks != keeps_dims && (axis == 0 || axis == -2) ? join : NULL;
}

static norn_status replace(norn_graph *graph, norn_node *made_by, norn_value *bags,
                           const norn_bag *bag) {
    static const char *const modes[] = {
        [NORN_POOL_SUM] = "sum", [NORN_POOL_MEAN] = "mean", [NORN_POOL_MAX] = "max"};
    norn_value *in[4] = {bag->keys, bag->offsets, bag->weights, NULL};
    norn_node *node;
    int64_t dim = bag->table->data->dims[1];
    const char *mode = modes[bag->mode];
    norn_attr attrs[] = {norn_attr_int_of("dim", dim),
                         {.name = "mode", .kind = NORN_ATTR_STRING, .string = {mode, strlen(mode)}},
                         norn_attr_int_of("padding_idx", bag->padding)};
    norn_attrs given = {attrs, bag->has_padding ? 3 : 2};
    norn_shape shape = {.rank = 2, .dims = {norn_dim_const(0), norn_dim_const(dim)}};
    NORN_TRY(norn_dim_apply(&graph->symbols, NORN_DIM_ADD, bag->offsets->shape.dims[0],
                            norn_dim_const(-1), &shape.dims[0]));
    NORN_TRY(norn_graph_constant(graph, bag->table->name, bag->table->data, &in[3]));
    NORN_TRY(norn_rewrite_node(graph, made_by, NORN_OP_EmbeddingBag, in, 4, given, bags->dtype,
                               &shape, made_by, &node));
    norn_graph_forward(graph, bags, node->out[0]);
    return NORN_OK;
}

norn_status norn_pass_recognise_bag(norn_pass_context *context, norn_graph *graph) {
    uint32_t found = 0;
    for (norn_node *loop = graph->nodes; loop; loop = loop->next) {
        norn_bag bag;
        if (loop->dead || !norn_node_is(loop, NORN_OP_Loop)) continue;
        int64_t output = only_output(loop);
        if (output < 0 || !norn_bag_loop_match(graph, loop, (uint32_t)output, &bag)) continue;
        norn_node *made_by = bags_made_by(loop, (uint32_t)output, bag.keeps_dims);
        if (!made_by) continue;
        norn_value *bags = made_by == loop ? loop->out[output] : made_by->out[0];
        const norn_lookup_column column = {.dim = bag.table->data->dims[1],
                                           .form = NORN_KEYS_CSR,
                                           .pool = bag.mode,
                                           .has_padding = bag.has_padding};
        if (!norn_lookup_has_kernel(context, &column, bag.keys, bag.offsets, bag.weights, bag.table,
                                    bags->dtype, true))
            continue;
        NORN_TRY(replace(graph, made_by, bags, &bag));
        found++;
    }
    if (!found) return NORN_OK;
    NORN_TRY(norn_pass_dead_code(context, graph));
    norn_graph_sweep(graph);
    NORN_TRY(norn_pass_fold_constants(context, graph)); // sizes follow from the bags' now
    norn_graph_sweep(graph);
    return norn_pass_simplify(context, graph);
}
