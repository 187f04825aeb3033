#include "passes/bag_loop.h"

#include "passes/bag_scope.h"
#include "tensor/dtype.h"

typedef struct loop {
    norn_graph *graph;
    norn_node *node;
    const norn_graph *body;
    uint32_t own;
    norn_body_scope around, inside;
    norn_bag *bag;
} loop;

// ---- the iteration number and what is sliced by it

static norn_scoped in_body(const loop *l, norn_value *value) {
    return (norn_scoped){value, &l->inside};
}

/// Body input `index` of a Loop as a counter: 0 at first, one more each time.
static bool counts(const loop *l, uint32_t index) {
    if (index == 0) return true;
    if (index < 2 || index >= l->own || index - 1 >= l->body->output_count) return false;
    if (!norn_scoped_is_int((norn_scoped){l->node->in[index].value, &l->around}, 0)) return false;
    norn_scoped next = norn_scoped_elements(in_body(l, l->body->outputs[index - 1].value));
    const norn_node *add = norn_scoped_made_by(next, NORN_OP_Add);
    for (uint32_t i = 0; norn_node_is_binary(add) && i < 2; i++)
        if (norn_scoped_elements(norn_scoped_in(next, add, i)).value == l->body->inputs[index] &&
            norn_scoped_is_int(norn_scoped_in(next, add, 1 - i), 1))
            return true;
    return false;
}

/// i + *more
static bool is_index(const loop *l, norn_scoped at, int64_t *more) {
    *more = 0;
    for (int depth = 0; depth < 4; depth++) {
        int64_t step;
        at = norn_scoped_elements(at);
        if (at.scope == &l->inside && at.value && !at.value->producer && !at.value->data) {
            for (uint32_t i = 0; i < l->own; i++)
                if (l->body->inputs[i] == at.value) return counts(l, i);
            return false;
        }
        const norn_node *add = norn_scoped_made_by(at, NORN_OP_Add);
        if (!norn_node_is_binary(add)) return false;
        uint32_t constant = norn_scoped_int(norn_scoped_in(at, add, 1), &step) ? 1 : 0;
        if (!norn_scoped_int(norn_scoped_in(at, add, constant), &step)) return false;
        if (step < 0 || step > 8) return false;
        *more += step;
        at = norn_scoped_in(at, add, 1 - constant);
    }
    return false;
}

/// Input `index` of a Slice or Gather: absent, or the one axis 0 (steps: 1).
static bool absent_or(norn_scoped at, const norn_node *node, uint32_t index, int64_t expected) {
    return !norn_node_in(node, index) ||
           norn_scoped_is_int(norn_scoped_in(at, node, index), expected);
}

static bool slices_rows(norn_scoped at, const norn_node *slice) {
    return slice && absent_or(at, slice, 3, 0) && absent_or(at, slice, 4, 1);
}

/// offsets[i + *more]: Gather, or a Slice of one; also of offsets without the first (TorchScript).
static bool is_offset(const loop *l, norn_scoped at, norn_value **offsets, int64_t *more) {
    int64_t end;
    at = norn_scoped_elements(at);
    const norn_node *gather = norn_scoped_made_by(at, NORN_OP_Gather);
    const norn_node *slice = norn_scoped_made_by(at, NORN_OP_Slice),
                    *node = gather ? gather : slice;
    if (!node || (gather && norn_attr_i64(gather->attrs, "axis", 0) != 0)) return false;
    if (!is_index(l, norn_scoped_in(at, node, 1), more)) return false;
    if (slice && (!slices_rows(at, slice) || !is_index(l, norn_scoped_in(at, slice, 2), &end) ||
                  end != *more + 1))
        return false;
    norn_scoped from = norn_scoped_root(norn_scoped_in(at, node, 0));
    slice = norn_scoped_made_by(from, NORN_OP_Slice);
    if (from.scope == &l->around && slices_rows(from, slice) &&
        norn_scoped_is_int(norn_scoped_in(from, slice, 1), 1) &&
        norn_scoped_int(norn_scoped_in(from, slice, 2), &end) && end >= INT32_MAX) {
        from = norn_scoped_root(norn_scoped_in(from, slice, 0));
        ++*more;
    }
    *offsets = from.value;
    return from.scope == &l->around && from.value && from.value->shape.rank == 1 &&
           (from.value->dtype == NORN_I64 || from.value->dtype == NORN_I32);
}

static bool starts_bag(const loop *l, norn_scoped at) {
    norn_value *offsets;
    int64_t more;
    if (!is_offset(l, at, &offsets, &more) || more != 0) return false;
    if (!l->bag->offsets) l->bag->offsets = offsets;
    return l->bag->offsets == offsets;
}

/// How many keys there are: the end of the last bag, which exporters write in its own branch.
static bool is_key_count(const loop *l, norn_scoped at) {
    const norn_value *keys = l->bag->keys;
    at = norn_scoped_elements(at);
    if (!keys || keys->shape.rank != 1 || !at.value) return false;
    const norn_node *shape = norn_scoped_made_by(at, NORN_OP_Shape);
    if (!shape) shape = norn_scoped_made_by(at, NORN_OP_Size);
    if (shape) return norn_scoped_root(norn_scoped_in(at, shape, 0)).value == keys;
    return at.scope == &l->around && at.value->contents_count == 1 &&
           norn_dim_equal(at.value->contents[0], keys->shape.dims[0]);
}

static bool ends_bag(const loop *l, norn_scoped at) {
    norn_value *offsets;
    int64_t more;
    if (is_offset(l, at, &offsets, &more)) return more == 1 && offsets == l->bag->offsets;
    return is_key_count(l, at);
}

// ---- which bag is the last

/// One less than the offsets: the sizes are the graph's, as far as it knows its integers.
static bool is_bag_count(const loop *l, norn_scoped at) {
    norn_symbols *symbols = &l->graph->symbols;
    norn_dim less, bounded;
    at = norn_scoped_elements(at);
    if (at.scope != &l->around || !at.value || at.value->contents_count != 1 || !l->bag->offsets)
        return false;
    norn_dim count = at.value->contents[0];
    if (norn_dim_apply(symbols, NORN_DIM_ADD, l->bag->offsets->shape.dims[0], norn_dim_const(-1),
                       &less) != NORN_OK)
        return false;
    if (norn_dim_equal(count, less)) return true;
    return norn_dim_apply(symbols, NORN_DIM_MAX, less, norn_dim_const(0), &bounded) == NORN_OK &&
           norn_dim_equal(count, bounded);
}

/// Equal(i, bags - 1), once the offsets are known: a branch of its own for the last bag, whose end
/// exporters write as the number of keys.
static bool is_last_bag(const loop *l, norn_scoped condition) {
    int64_t more;
    condition = norn_scoped_elements(condition);
    const norn_node *equal = norn_scoped_made_by(condition, NORN_OP_Equal);
    for (uint32_t i = 0; norn_node_is_binary(equal) && i < 2; i++) {
        norn_scoped last = norn_scoped_elements(norn_scoped_in(condition, equal, 1 - i));
        const norn_node *less = norn_scoped_made_by(last, NORN_OP_Sub);
        if (is_index(l, norn_scoped_in(condition, equal, i), &more) && more == 0 &&
            norn_node_is_binary(less) && is_bag_count(l, norn_scoped_in(last, less, 0)) &&
            norn_scoped_is_int(norn_scoped_in(last, less, 1), 1))
            return true;
    }
    return false;
}

// ---- rows of a bag

/// Every bag is read in one way: the first place found counts, the others must be the same.
static bool agree(norn_value **known, norn_value *value) {
    if (!*known) *known = value;
    return *known == value;
}

static bool is_table(const norn_value *value) {
    return value && value->data && norn_dtype_is_float(value->dtype) && value->data->rank == 2 &&
           value->data->dims[1] >= 1;
}

/// Gather(table, keys): input 1 is left to the caller.
static norn_node *table_gather(const loop *l, norn_scoped at) {
    norn_node *gather = norn_scoped_made_by(at, NORN_OP_Gather);
    if (!gather || norn_attr_i64(gather->attrs, "axis", 0) != 0) return NULL;
    norn_scoped table = norn_scoped_root(norn_scoped_in(at, gather, 0));
    if (!is_table(table.value)) return NULL;
    if (l->bag->table && l->bag->table->data->data != table.value->data->data) return NULL;
    l->bag->table = table.value;
    return gather;
}

static bool take_keys(const loop *l, norn_scoped at) {
    at = norn_scoped_root(at);
    const norn_value *keys = at.value;
    return at.scope == &l->around && keys && !keys->data && keys->shape.rank == 1 &&
           (keys->dtype == NORN_I64 || keys->dtype == NORN_I32) && agree(&l->bag->keys, at.value);
}

static bool is_ones(norn_scoped at) {
    const norn_node *expand = norn_scoped_made_by(at, NORN_OP_Expand);
    return expand && norn_value_is_scalar(norn_node_in(expand, 0), 1);
}

/// [nnz, 1] or [nnz] of the graph around; ones, which the exporter multiplies by, are none.
static bool take_weights(const loop *l, norn_scoped at) {
    at = norn_scoped_elements(at);
    if (at.scope != &l->around || !at.value) return false;
    if (is_ones(at)) return l->bag->weights == NULL;
    return norn_dtype_is_float(at.value->dtype) && at.value->shape.rank == 1 &&
           agree(&l->bag->weights, at.value);
}

/// Rows of all bags, in the graph around: Gather(table, keys), times weights.
static bool is_all_rows(const loop *l, norn_scoped at) {
    at = norn_scoped_root(at);
    if (at.scope != &l->around) return false;
    const norn_node *gather = table_gather(l, at);
    if (gather) return take_keys(l, norn_scoped_in(at, gather, 1));
    const norn_node *mul = norn_scoped_made_by(at, NORN_OP_Mul);
    for (uint32_t i = 0; norn_node_is_binary(mul) && i < 2; i++) {
        norn_scoped rows = norn_scoped_root(norn_scoped_in(at, mul, i));
        gather = table_gather(l, rows);
        if (!gather) continue;
        return take_keys(l, norn_scoped_in(rows, gather, 1)) &&
               take_weights(l, norn_scoped_in(at, mul, 1 - i));
    }
    return false;
}

/// Slice(x, start of the bag, its end): *whole is x.
static bool is_bag_slice(const loop *l, norn_scoped at, norn_scoped *whole) {
    const norn_node *slice = norn_scoped_made_by(at, NORN_OP_Slice);
    if (!slices_rows(at, slice)) return false;
    *whole = norn_scoped_in(at, slice, 0);
    return starts_bag(l, norn_scoped_in(at, slice, 1));
}

static bool ends_slice(const loop *l, norn_scoped at) {
    return ends_bag(l, norn_scoped_in(at, norn_scoped_made_by(at, NORN_OP_Slice), 2));
}

/// Gather(table, Slice(keys, start, end)), as TorchScript has it.
static bool is_sliced_keys(const loop *l, norn_scoped at) {
    norn_scoped whole;
    const norn_node *gather = table_gather(l, at);
    if (!gather) return false;
    norn_scoped keys = norn_scoped_root(norn_scoped_in(at, gather, 1));
    return is_bag_slice(l, keys, &whole) && take_keys(l, whole) && ends_slice(l, keys);
}

static bool is_sliced_weights(const loop *l, norn_scoped at) {
    norn_scoped whole;
    at = norn_scoped_elements(at);
    return is_bag_slice(l, at, &whole) && take_weights(l, whole) && ends_slice(l, at);
}

// ---- bags without padding

/// The loop within the loop: j goes from the start of the bag to its end,
/// and the places whose key is no padding are kept.
typedef struct keeper {
    const loop *l;
    norn_body_scope scope;
} keeper;

static bool is_own(const keeper *k, norn_scoped at, uint32_t input) {
    at = norn_scoped_elements(at);
    return at.scope == &k->scope && at.value == k->scope.graph->inputs[input];
}

static bool is_next_place(const keeper *k, norn_scoped at) {
    at = norn_scoped_elements(at);
    const norn_node *add = norn_scoped_made_by(at, NORN_OP_Add);
    return norn_node_is_binary(add) && is_own(k, norn_scoped_in(at, add, 0), 3) &&
           norn_scoped_is_int(norn_scoped_in(at, add, 1), 1);
}

/// keys[j]
static bool is_key(const keeper *k, norn_scoped at) {
    at = norn_scoped_elements(at);
    const norn_node *gather = norn_scoped_made_by(at, NORN_OP_Gather);
    return gather && norn_attr_i64(gather->attrs, "axis", 0) == 0 &&
           take_keys(k->l, norn_scoped_in(at, gather, 0)) &&
           is_own(k, norn_scoped_in(at, gather, 1), 3);
}

/// keys[j], counted from the end if it is negative: If(key < 0) key + rows, else key.
static bool is_wrapped_key(const keeper *k, norn_scoped at) {
    norn_body_scope yes, no;
    at = norn_scoped_elements(at);
    const norn_node *branch = norn_scoped_made_by(at, NORN_OP_If);
    if (!branch) return is_key(k, at);
    norn_scoped condition = norn_scoped_elements(norn_scoped_in(at, branch, 0));
    const norn_node *less = norn_scoped_made_by(condition, NORN_OP_Less);
    norn_scoped wrapped = norn_scoped_branch(at, "then_branch", &yes);
    const norn_node *add = norn_scoped_made_by(wrapped, NORN_OP_Add);
    return norn_node_is_binary(less) && norn_node_is_binary(add) &&
           is_key(k, norn_scoped_in(condition, less, 0)) &&
           norn_scoped_is_int(norn_scoped_in(condition, less, 1), 0) &&
           is_key(k, norn_scoped_in(wrapped, add, 0)) &&
           norn_scoped_is_int(norn_scoped_in(wrapped, add, 1), k->l->bag->table->data->dims[0]) &&
           is_key(k, norn_scoped_branch(at, "else_branch", &no));
}

/// If(Not(Equal(key, padding))) Concat(kept, j), else kept
static bool keeps_place(const keeper *k, norn_scoped at) {
    norn_body_scope yes, no;
    norn_bag *bag = k->l->bag;
    at = norn_scoped_root(at);
    const norn_node *branch = norn_scoped_made_by(at, NORN_OP_If);
    if (!branch) return false;
    norn_scoped condition = norn_scoped_elements(norn_scoped_in(at, branch, 0));
    const norn_node *not = norn_scoped_made_by(condition, NORN_OP_Not);
    if (!not ) return false;
    condition = norn_scoped_elements(norn_scoped_in(condition, not, 0));
    const norn_node *equal = norn_scoped_made_by(condition, NORN_OP_Equal);
    norn_scoped more = norn_scoped_branch(at, "then_branch", &yes);
    const norn_node *concat = norn_scoped_made_by(more, NORN_OP_Concat);
    bag->has_padding = true;
    return norn_node_is_binary(equal) && norn_node_is_binary(concat) &&
           is_wrapped_key(k, norn_scoped_in(condition, equal, 0)) &&
           norn_scoped_int(norn_scoped_in(condition, equal, 1), &bag->padding) &&
           is_own(k, norn_scoped_in(more, concat, 0), 2) &&
           is_own(k, norn_scoped_in(more, concat, 1), 3) &&
           is_own(k, norn_scoped_branch(at, "else_branch", &no), 2);
}

static bool is_place_in_bag(const loop *l, norn_scoped at, const keeper *k) {
    at = norn_scoped_elements(at);
    const norn_node *less = norn_scoped_made_by(at, NORN_OP_Less);
    if (!norn_node_is_binary(less)) return false;
    norn_scoped place = norn_scoped_in(at, less, 0);
    return (k ? is_next_place(k, place) : starts_bag(l, place)) &&
           ends_bag(l, norn_scoped_in(at, less, 1));
}

static bool is_kept_places(const loop *l, norn_scoped at) {
    at = norn_scoped_root(at);
    norn_node *node = norn_scoped_made_by(at, NORN_OP_Loop);
    const norn_attr *body = node ? norn_attr_find(node->attrs, "body") : NULL;
    if (!body || body->kind != NORN_ATTR_GRAPH || at.value->producer_index != 0) return false;
    if (norn_attr_i64(node->attrs, "norn_own_inputs", 0) != 4 || body->graph->output_count != 3 ||
        body->graph->input_count < 4 || node->in[0].value)
        return false;
    keeper k = {l, {at.scope, body->graph, node}};
    const norn_value *none = node->in[2].value;
    norn_scoped out[3];
    for (int i = 0; i < 3; i++) out[i] = (norn_scoped){body->graph->outputs[i].value, &k.scope};
    l->bag->kept = at.value;
    return none && none->data && norn_view_elems(none->data) == 0 &&
           starts_bag(l, norn_scoped_in(at, node, 3)) &&
           is_place_in_bag(l, norn_scoped_in(at, node, 1), NULL) &&
           is_place_in_bag(l, out[0], &k) && keeps_place(&k, out[1]) && is_next_place(&k, out[2]);
}

/// Equal(Size(kept places), 0): nothing but padding.
static bool is_nothing_kept(const loop *l, norn_scoped condition) {
    condition = norn_scoped_elements(condition);
    const norn_node *equal = norn_scoped_made_by(condition, NORN_OP_Equal);
    if (!norn_node_is_binary(equal) || !l->bag->kept) return false;
    norn_scoped size = norn_scoped_elements(norn_scoped_in(condition, equal, 0));
    const norn_node *node = norn_scoped_made_by(size, NORN_OP_Size);
    return node && norn_scoped_root(norn_scoped_in(size, node, 0)).value == l->bag->kept &&
           norn_scoped_is_int(norn_scoped_in(condition, equal, 1), 0);
}

static bool is_bag_rows(const loop *l, norn_scoped at, int depth) {
    norn_body_scope yes, no;
    norn_scoped whole;
    at = norn_scoped_root(at);
    const norn_node *branch = norn_scoped_made_by(at, NORN_OP_If);
    if (branch)
        return depth > 0 && is_bag_rows(l, norn_scoped_branch(at, "else_branch", &no), depth - 1) &&
               is_last_bag(l, norn_scoped_in(at, branch, 0)) &&
               is_bag_rows(l, norn_scoped_branch(at, "then_branch", &yes), depth - 1);
    if (is_bag_slice(l, at, &whole)) return is_all_rows(l, whole) && ends_slice(l, at);
    const norn_node *gather = norn_scoped_made_by(at, NORN_OP_Gather);
    if (gather && norn_attr_i64(gather->attrs, "axis", 0) == 0 &&
        is_all_rows(l, norn_scoped_in(at, gather, 0)))
        return is_kept_places(l, norn_scoped_in(at, gather, 1));
    const norn_node *mul = norn_scoped_made_by(at, NORN_OP_Mul);
    for (uint32_t i = 0; norn_node_is_binary(mul) && i < 2; i++)
        if (is_sliced_keys(l, norn_scoped_root(norn_scoped_in(at, mul, i))))
            return is_sliced_weights(l, norn_scoped_in(at, mul, 1 - i));
    return is_sliced_keys(l, at);
}

// ---- pooling

/// The reduction over the rows, with their pooling; NULL: none.
static const norn_node *pooling_of(norn_scoped at, norn_pool_mode *mode) {
    static const struct {
        norn_op_id op;
        norn_pool_mode mode;
    } reductions[] = {{NORN_OP_ReduceSum, NORN_POOL_SUM},
                      {NORN_OP_ReduceMean, NORN_POOL_MEAN},
                      {NORN_OP_ReduceMax, NORN_POOL_MAX}};
    int32_t axes[NORN_MAX_RANK];
    uint32_t count;
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++) {
        const norn_node *node = norn_scoped_made_by(at, reductions[i].op);
        if (!node) continue;
        *mode = reductions[i].mode;
        bool first = norn_node_axes(node, 1, "axes", 2, axes, &count) && count == 1 && axes[0] == 0;
        return first ? node : NULL;
    }
    return NULL;
}

static bool take_pooling(const loop *l, norn_pool_mode mode, bool keeps_dims) {
    norn_bag *bag = l->bag;
    if (bag->mode == NORN_POOL_NONE) bag->mode = mode, bag->keeps_dims = keeps_dims;
    return bag->mode == mode && bag->keeps_dims == keeps_dims;
}

static bool is_pooled(const loop *l, norn_scoped at, norn_pool_mode mode) {
    norn_pool_mode own;
    const norn_node *node = pooling_of(at, &own);
    if (!node || (mode != NORN_POOL_NONE && own != NORN_POOL_SUM)) return false;
    return take_pooling(l, mode != NORN_POOL_NONE ? mode : own,
                        norn_attr_i64(node->attrs, "keepdims", 1) == 1) &&
           is_bag_rows(l, norn_scoped_in(at, node, 0), 2);
}

/// The mean of the last bag by hand: sum, divided by `keys - start` where that is positive.
static bool is_mean_by_hand(const loop *l, norn_scoped at) {
    norn_body_scope yes, no;
    norn_scoped quotient = norn_scoped_branch(at, "then_branch", &yes);
    norn_scoped sum = norn_scoped_branch(at, "else_branch", &no);
    const norn_node *divide = norn_scoped_made_by(quotient, NORN_OP_Div);
    if (!norn_node_is_binary(divide)) return false;
    norn_scoped dividend = norn_scoped_root(norn_scoped_in(quotient, divide, 0));
    norn_scoped count = norn_scoped_elements(norn_scoped_in(quotient, divide, 1));
    const norn_node *cast = norn_scoped_made_by(count, NORN_OP_Cast);
    if (!cast || dividend.value != sum.value) return false;
    count = norn_scoped_elements(norn_scoped_in(count, cast, 0));
    const norn_node *subtract = norn_scoped_made_by(count, NORN_OP_Sub);
    return norn_node_is_binary(subtract) && is_pooled(l, sum, NORN_POOL_MEAN) &&
           is_key_count(l, norn_scoped_in(count, subtract, 0)) &&
           starts_bag(l, norn_scoped_in(count, subtract, 1));
}

static bool is_zeros(norn_scoped at) {
    const norn_value *value = at.value;
    if (!value || !value->data || !norn_dtype_is_float(value->dtype)) return false;
    for (int64_t i = 0; i < norn_view_elems(value->data); i++)
        if (norn_element_f64(value->dtype, value->data->data, i) != 0) return false;
    return true;
}

/// Equal(start, end): the bag is empty.
static bool is_empty_bag(const loop *l, norn_scoped condition) {
    condition = norn_scoped_elements(condition);
    const norn_node *equal = norn_scoped_made_by(condition, NORN_OP_Equal);
    return norn_node_is_binary(equal) && starts_bag(l, norn_scoped_in(condition, equal, 0)) &&
           ends_bag(l, norn_scoped_in(condition, equal, 1));
}

static bool is_bag(const loop *l, norn_scoped at, int depth) {
    norn_body_scope yes, no;
    at = norn_scoped_root(at);
    const norn_node *branch = norn_scoped_made_by(at, NORN_OP_If);
    if (!branch) return is_pooled(l, at, NORN_POOL_NONE);
    if (depth == 0) return false;
    norn_scoped condition = norn_scoped_in(at, branch, 0);
    norn_scoped other = norn_scoped_branch(at, "else_branch", &no);
    norn_scoped taken = norn_scoped_branch(at, "then_branch", &yes);
    if (is_zeros(taken))
        return is_bag(l, other, depth - 1) &&
               (l->bag->has_padding ? is_nothing_kept(l, condition) : is_empty_bag(l, condition));
    if (!is_bag(l, other, depth - 1) || !is_last_bag(l, condition)) return false;
    return is_pooled(l, taken, NORN_POOL_NONE) || is_mean_by_hand(l, taken);
}

// ---- iterations

/// True, or the condition as it came, which was true.
static bool stays_true(const loop *l, norn_scoped at) {
    at = norn_scoped_elements(at);
    if (at.scope == &l->inside && at.value == l->body->inputs[1]) return true;
    return norn_scoped_is_true(at);
}

/// `more` + i < bags
static bool is_before_end(const loop *l, norn_scoped at, int64_t more) {
    int64_t index;
    at = norn_scoped_elements(at);
    const norn_node *less = norn_scoped_made_by(at, NORN_OP_Less);
    if (!norn_node_is_binary(less) || !is_bag_count(l, norn_scoped_in(at, less, 1))) return false;
    norn_scoped left = norn_scoped_in(at, less, 0);
    if (at.scope == &l->around) return norn_scoped_is_int(left, more);
    return is_index(l, left, &index) && index == more;
}

/// Once for every bag: by the number of iterations, or by a condition.
static bool runs_every_bag(const loop *l) {
    norn_scoped trips = {norn_node_in(l->node, 0), &l->around};
    norn_scoped first = {norn_node_in(l->node, 1), &l->around};
    norn_scoped next = in_body(l, l->body->outputs[0].value);
    int64_t many;
    if (trips.value && !(norn_scoped_int(trips, &many) && many >= INT32_MAX))
        return is_bag_count(l, trips) && (!first.value || norn_scoped_is_true(first)) &&
               stays_true(l, next);
    return first.value && is_before_end(l, first, 0) && is_before_end(l, next, 1);
}

/// What an iteration adds to the output: a scan output's value, or what is put at the end of a
/// sequence that was empty at first.
static norn_scoped row_of(const loop *l, uint32_t output) {
    norn_scoped none = {NULL, &l->inside};
    norn_value *made = l->body->outputs[output + 1].value;
    if (output + 2 >= l->own) return in_body(l, made);
    const norn_value *first = l->node->in[output + 2].value, *held = l->body->inputs[output + 2];
    const norn_node *insert = norn_scoped_made_by(in_body(l, made), NORN_OP_SequenceInsert);
    if (!insert || norn_node_in(insert, 2) || norn_node_in(insert, 0) != held) return none;
    if (held->readers != 1 || !first || !norn_node_is(first->producer, NORN_OP_SequenceEmpty))
        return none;
    return norn_scoped_in(in_body(l, made), insert, 1);
}

bool norn_bag_loop_match(norn_graph *graph, norn_node *node, uint32_t output, norn_bag *bag) {
    const norn_attr *body = norn_attr_find(node->attrs, "body");
    int64_t own = norn_attr_i64(node->attrs, "norn_own_inputs", -1);
    loop l = {.graph = graph, .node = node, .bag = bag, .around = {NULL, graph, NULL}};
    *bag = (norn_bag){.mode = NORN_POOL_NONE};
    if (!body || body->kind != NORN_ATTR_GRAPH || own < 2 || own > node->in_count) return false;
    l.body = body->graph, l.own = (uint32_t)own;
    if (l.body->input_count != node->in_count || output + 1 >= l.body->output_count) return false;
    l.inside = (norn_body_scope){&l.around, l.body, node};
    norn_scoped row = row_of(&l, output);
    return row.value && is_bag(&l, row, 2) && bag->offsets && bag->keys && runs_every_bag(&l);
}
