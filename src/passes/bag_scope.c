#include "passes/bag_scope.h"

#include <string.h>

/// Where the input of a body that is its node's extra input comes from; false: one of its own.
static bool step_out(norn_scoped *at) {
    const norn_body_scope *scope = at->scope;
    if (!scope->node) return false;
    int64_t own = norn_attr_i64(scope->node->attrs, "norn_own_inputs", scope->node->in_count);
    if (own < 0 || own > scope->node->in_count) return false;
    uint32_t extra = scope->node->in_count - (uint32_t)own, count = scope->graph->input_count;
    for (uint32_t i = 0; i < extra && extra <= count; i++) {
        if (scope->graph->inputs[count - extra + i] != at->value) continue;
        *at = (norn_scoped){scope->node->in[(uint32_t)own + i].value, scope->outer};
        return true;
    }
    return false;
}

static norn_scoped follow(norn_scoped at, bool reshapes) {
    for (;;) {
        if (!at.value || at.value->data) return at;
        const norn_node *node = at.value->producer;
        if (!node) {
            if (!step_out(&at)) return at;
            continue;
        }
        bool same = norn_node_is(node, NORN_OP_Identity) ||
                    (reshapes &&
                     (norn_node_is(node, NORN_OP_Reshape) || norn_node_is(node, NORN_OP_Squeeze) ||
                      norn_node_is(node, NORN_OP_Unsqueeze)));
        if (!same) return at;
        at.value = norn_node_in(node, 0);
    }
}

norn_scoped norn_scoped_root(norn_scoped at) {
    return follow(at, false);
}

norn_scoped norn_scoped_elements(norn_scoped at) {
    return follow(at, true);
}

norn_node *norn_scoped_made_by(norn_scoped at, norn_op_id op) {
    norn_node *node = at.value && !at.value->data ? at.value->producer : NULL;
    return norn_node_is(node, (int)op) ? node : NULL;
}

norn_scoped norn_scoped_in(norn_scoped at, const norn_node *node, uint32_t index) {
    return (norn_scoped){norn_node_in(node, index), at.scope};
}

norn_scoped norn_scoped_branch(norn_scoped at, const char *name, norn_body_scope *room) {
    norn_node *node = norn_scoped_made_by(at, NORN_OP_If);
    const norn_attr *attr = node ? norn_attr_find(node->attrs, name) : NULL;
    norn_scoped none = {NULL, at.scope};
    if (!attr || attr->kind != NORN_ATTR_GRAPH) return none;
    if (at.value->producer_index >= attr->graph->output_count) return none;
    *room = (norn_body_scope){at.scope, attr->graph, node};
    norn_scoped result = {attr->graph->outputs[at.value->producer_index].value, room};
    return norn_scoped_root(result);
}

bool norn_scoped_int(norn_scoped at, int64_t *out) {
    uint32_t count;
    at = norn_scoped_elements(at);
    return at.value && norn_value_ints(at.value, out, 1, &count) && count == 1;
}

bool norn_scoped_is_int(norn_scoped at, int64_t expected) {
    int64_t value;
    return norn_scoped_int(at, &value) && value == expected;
}

bool norn_scoped_is_true(norn_scoped at) {
    at = norn_scoped_elements(at);
    const norn_view *data = at.value ? at.value->data : NULL;
    return data && data->dtype == NORN_BOOL && norn_view_elems(data) == 1 &&
           *(const uint8_t *)data->data != 0;
}

bool norn_scoped_same(norn_scoped a, norn_scoped b) {
    a = norn_scoped_elements(a), b = norn_scoped_elements(b);
    return a.value && a.value == b.value;
}
