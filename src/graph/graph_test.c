#include "graph/graph.h"

#include "base/memory.h"
#include "testing/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static norn_status shape_like_first(norn_shape_ctx *ctx) {
    ctx->out[0].dtype = ctx->in[0].dtype;
    ctx->out[0].shape = ctx->in[0].shape;
    return NORN_OK;
}

static norn_status shape_runtime(norn_shape_ctx *ctx) {
    ctx->out[0].dtype = NORN_I64;
    ctx->out[0].shape.rank = 1;
    return norn_symbol_runtime(ctx->symbols, &ctx->out[0].shape.dims[0]);
}

static const norn_op_info relu = {.id = 1, .name = "Relu", .domain = "", .shape = shape_like_first};
static const norn_op_info add = {.id = 2, .name = "Add", .domain = "", .shape = shape_like_first};
static const norn_op_info nonzero = {
    .id = 3, .name = "NonZero", .domain = "", .shape = shape_runtime};
static const norn_op_info pointwise = {.id = 4, .name = "Pointwise", .domain = "norn"};

static const norn_attrs no_attrs = {0};

static norn_value *value_of(norn_graph *graph, const char *name) {
    norn_value *value;
    int32_t b;
    assert_int_equal(norn_symbol_input(&graph->symbols, "B", &b), NORN_OK);
    norn_shape shape = {.rank = 2, .dims = {norn_dim_symbol(b), norn_dim_const(3)}};
    assert_int_equal(norn_graph_value(graph, name, NORN_F32, &shape, &value), NORN_OK);
    return value;
}

static norn_node *node_of(norn_graph *graph, norn_node *before, const norn_op_info *op,
                          const char *name, norn_value *a, norn_value *b, norn_value *out) {
    norn_value *in[2] = {a, b};
    norn_node *node;
    assert_int_equal(
        norn_graph_node(graph, before, op, name, in, b ? 2 : 1, &out, 1, no_attrs, NULL, &node),
        NORN_OK);
    return node;
}

/// x -> relu -> h; add(h, w) -> y
typedef struct small {
    norn_graph *graph;
    norn_value *x, *h, *w, *y;
    norn_node *relu, *add;
} small;

static small small_graph(void) {
    static float weights[3] = {1, 2, 3};
    small s = {0};
    assert_int_equal(norn_graph_create("small", norn_alloc_heap(), &s.graph), NORN_OK);
    s.x = value_of(s.graph, "x");
    s.h = value_of(s.graph, "h");
    s.y = value_of(s.graph, "y");
    norn_view view = norn_view_of(NORN_F32, 1, (int64_t[]){3}, weights);
    assert_int_equal(norn_graph_constant(s.graph, "w", &view, &s.w), NORN_OK);
    assert_int_equal(norn_graph_add_input(s.graph, s.x), NORN_OK);
    s.relu = node_of(s.graph, NULL, &relu, "r", s.x, NULL, s.h);
    s.add = node_of(s.graph, NULL, &add, "a", s.h, s.w, s.y);
    assert_int_equal(norn_graph_add_output(s.graph, s.y), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    return s;
}

static void a_built_graph_verifies_and_prints(void **state) {
    (void)state;
    small s = small_graph();
    const char *origin = "top/r";
    s.relu->origin = (norn_origin){&origin, 1};
    norn_buffer text;
    norn_buffer_init(&text, norn_alloc_heap());
    norn_graph_print(s.graph, &text);
    norn_buffer_append(&text, "", 1);
    assert_int_equal(norn_buffer_status(&text), NORN_OK);
    assert_string_equal((const char *)text.bytes, "graph 'small'\n"
                                                  "input %0 float32[B,3] x\n"
                                                  "%1 float32[B,3] = Relu(%0)  # top/r\n"
                                                  "%2 float32[B,3] = Add(%1, {1,2,3})  # a\n"
                                                  "output %2 float32[B,3] y\n");
    norn_buffer_deinit(&text);
    norn_graph_destroy(s.graph);
}

static void forwarding_moves_every_reader_and_keeps_the_name_of_an_output(void **state) {
    (void)state;
    small s = small_graph();
    norn_graph_forward(s.graph, s.y, s.h);
    assert_ptr_equal(s.graph->outputs[0].value, s.h);
    assert_int_equal(s.y->readers, 0);
    assert_int_equal(s.h->readers, 2);
    assert_string_equal(s.graph->output_names[0], "y");
    assert_string_equal(s.h->name, "y");
    norn_graph_kill(s.graph, s.add);
    assert_int_equal(s.h->readers, 1);
    assert_int_equal(s.w->readers, 0);
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    norn_graph_sweep(s.graph);
    assert_int_equal(s.graph->node_count, 1);
    assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    norn_graph_destroy(s.graph);
}

static void an_input_that_becomes_an_output_keeps_its_own_name(void **state) {
    (void)state;
    small s = small_graph();
    norn_graph_forward(s.graph, s.y, s.x);
    assert_string_equal(s.x->name, "x");
    assert_string_equal(s.graph->output_names[0], "y");
    norn_graph_destroy(s.graph);
}

static void sorting_puts_producers_first_and_leaves_the_rest(void **state) {
    (void)state;
    small s = small_graph();
    norn_value *z = value_of(s.graph, "z");
    // Inserted before the producer of what it reads.
    norn_node *late = node_of(s.graph, s.relu, &relu, "late", s.y, NULL, z);
    assert_int_equal(norn_graph_add_output(s.graph, z), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "before the node that makes it"));
    assert_int_equal(norn_graph_sort(s.graph), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    assert_ptr_equal(s.graph->nodes, s.relu);
    assert_ptr_equal(s.relu->next, s.add);
    assert_ptr_equal(s.add->next, late);
    assert_ptr_equal(s.graph->last, late);
    norn_graph_destroy(s.graph);
}

static void a_cycle_is_named_and_the_order_kept(void **state) {
    (void)state;
    small s = small_graph();
    norn_node_set_input(s.relu, 0, s.y);
    assert_int_equal(norn_graph_sort(s.graph), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "cycle"));
    assert_ptr_equal(s.graph->nodes, s.relu);
    assert_ptr_equal(s.relu->next, s.add);
    assert_ptr_equal(s.graph->last, s.add);
    norn_graph_destroy(s.graph);
}

static void ten_thousand_nodes_in_reverse_sort(void **state) {
    (void)state;
    small s = small_graph();
    norn_value *at = s.y;
    for (int i = 0; i < 10000; i++) {
        norn_value *next = value_of(s.graph, "");
        node_of(s.graph, s.graph->nodes, &relu, "", at, NULL, next);
        at = next;
    }
    assert_int_equal(norn_graph_sort(s.graph), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    assert_int_equal(s.graph->node_count, 10002);
    norn_graph_destroy(s.graph);
}

/// Breaks the graph in one way, or (undo) makes it whole again.
typedef void break_fn(small *s, bool undo);

static norn_use *unlink_kept;
static const norn_view *unlink_data;

#define BREACH(name, broken, whole)         \
    static void name(small *s, bool undo) { \
        if (undo) {                         \
            whole;                          \
        } else {                            \
            broken;                         \
        }                                   \
    }
BREACH(too_many_readers, s->h->readers = 7, s->h->readers = 1)
BREACH(too_few_readers, s->h->readers = 0, s->h->readers = 1)
BREACH(no_type, s->h->dtype = NORN_DTYPE_NONE, s->h->dtype = NORN_F32)
BREACH(no_type_of_output, s->y->dtype = NORN_DTYPE_NONE, s->y->dtype = NORN_F32)
BREACH(no_producer, s->y->producer = NULL, s->y->producer = s->add)
BREACH(other_producer, s->y->producer = s->relu, s->y->producer = s->add)
BREACH(other_place, s->y->producer_index = 1, s->y->producer_index = 0)
BREACH(node_more, s->graph->node_count = 3, s->graph->node_count = 2)
BREACH(node_less, s->graph->node_count = 1, s->graph->node_count = 2)
BREACH(symbol_unknown, s->y->shape.dims[0].symbol = s->graph->symbols.count,
       s->y->shape.dims[0].symbol = 0)
BREACH(symbol_times_nothing, s->h->shape.dims[0].coef = 0, s->h->shape.dims[0].coef = 1)
BREACH(negative_size, s->x->shape.dims[1].constant = -1, s->x->shape.dims[1].constant = 3)
BREACH(constant_times, s->x->shape.dims[1].coef = 1, s->x->shape.dims[1].coef = 0)
BREACH(constant_of_negative_size, s->w->shape.dims[0].constant = -1,
       s->w->shape.dims[0].constant = 3)
BREACH(rank_too_high, s->y->shape.rank = NORN_MAX_RANK + 1, s->y->shape.rank = 2)
BREACH(rank_too_low, s->y->shape.rank = -2, s->y->shape.rank = 2)
BREACH(region_missing, s->relu->op = &pointwise, s->relu->op = &relu)
BREACH(region_too_many, s->add->region = (const norn_region *)(const void *)s,
       s->add->region = NULL)
BREACH(dead, s->relu->dead = true, s->relu->dead = false)
BREACH(use_of_other_node, s->add->in[1].node = s->relu, s->add->in[1].node = s->add)
BREACH(use_of_other_index, s->add->in[1].index = 0, s->add->in[1].index = 1)
BREACH(output_use_of_node, s->graph->outputs[0].node = s->add, s->graph->outputs[0].node = NULL)
BREACH(output_of_nothing, s->graph->outputs[0].value = NULL, s->graph->outputs[0].value = s->y)
BREACH(use_unlisted, (unlink_kept = s->h->uses, s->h->uses = NULL), s->h->uses = unlink_kept)
BREACH(use_unlisted_behind, s->add->in[0].prev = &s->add->in[1], s->add->in[0].prev = NULL)
BREACH(use_list_broken, s->add->in[0].next = &s->add->in[1], s->add->in[0].next = NULL)
BREACH(use_of_no_id, s->w->id = s->graph->value_count, s->w->id = 3)
BREACH(output_of_no_id, s->y->id = s->graph->value_count, s->y->id = 2)
BREACH(input_of_no_id, s->x->id = s->graph->value_count, s->x->id = 0)
BREACH(made_twice, s->y->id = s->h->id, s->y->id = 2)
BREACH(made_as_a_constant, s->y->id = s->w->id, s->y->id = 2)
BREACH(input_made, s->x->producer = s->add, s->x->producer = NULL)
BREACH(input_constant, s->x->data = s->w->data, s->x->data = NULL)
BREACH(output_constant, s->y->data = s->w->data, s->y->data = NULL)
BREACH(made_by_nothing, s->w->data = NULL, s->w->data = unlink_data)
BREACH(order_broken, s->add->prev = NULL, s->add->prev = s->relu)
BREACH(end_broken, s->graph->last = s->relu, s->graph->last = s->add)
#undef BREACH

/// Every rule of a graph, broken alone: what is said, and that nothing else was wrong.
static void each_rule_of_a_graph_is_looked_at(void **state) {
    (void)state;
    static const struct {
        break_fn *apply;
        const char *words;
    } cases[] = {
        {too_many_readers, "node 'r' (Relu): the count of an output's readers is wrong"},
        {too_few_readers, "node 'r' (Relu): the count of an output's readers is wrong"},
        {no_type, "node 'a' (Add): a value has no element type"},
        {no_type_of_output, "node '' (output): a value has no element type"},
        {no_producer, "node 'a' (Add): an output does not point back"},
        {other_producer, "node 'a' (Add): an output does not point back"},
        {other_place, "node 'a' (Add): an output does not point back"},
        {node_more, "2 nodes, counted as 3"},
        {node_less, "2 nodes, counted as 1"},
        {symbol_unknown, "node 'a' (Add): a value has a malformed dimension"},
        {symbol_times_nothing, "node 'r' (Relu): a value has a malformed dimension"},
        {negative_size, "node '' (output): a value has a malformed dimension"},
        {constant_times, "a value has a malformed dimension"},
        {constant_of_negative_size, "node 'a' (Add): a value has a malformed dimension"},
        {rank_too_high, "node 'a' (Add): a value has a rank out of range"},
        {rank_too_low, "node 'a' (Add): a value has a rank out of range"},
        {region_missing, "node 'r' (Pointwise): has no region"},
        {region_too_many, "node 'a' (Add): has a region but is none"},
        {dead, "node 'r' (Relu): is dead but was not swept"},
        {use_of_other_node, "node 'a' (Add): a use does not point back to its reader"},
        {use_of_other_index, "node 'a' (Add): a use does not point back to its reader"},
        {output_use_of_node, "node '' (output): a use does not point back to its reader"},
        {output_of_nothing, "node '' (output): an output has no value"},
        {use_unlisted, "node 'a' (Add): a use is not in its value's list"},
        {use_unlisted_behind, "node 'a' (Add): a use is not in its value's list"},
        {use_list_broken, "node 'a' (Add): a use list is broken"},
        {use_of_no_id, "node 'a' (Add): a value id is out of range"},
        {output_of_no_id, "node 'a' (Add): an output is made twice"},
        {input_of_no_id, "input 'x' is not a plain value"},
        {made_twice, "node 'a' (Add): an output is made twice"},
        {made_as_a_constant, "node 'a' (Add): an output is made twice"},
        {input_made, "input 'x' is not a plain value"},
        {input_constant, "input 'x' is not a plain value"},
        {output_constant, "node 'a' (Add): an output is also a constant"},
        {made_by_nothing, "node 'a' (Add): reads a value that nothing makes"},
        {order_broken, "node 'r' (Relu): the list of nodes is broken"},
        {end_broken, "node 'a' (Add): the list of nodes is broken"},
    };
    small s = small_graph();
    unlink_data = s.w->data;
    s.x->id = 0, s.h->id = 1, s.y->id = 2, s.w->id = 3; // as they were made
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].apply(&s, false);
        const norn_status status = norn_graph_verify(s.graph);
        if (status != NORN_INTERNAL || !strstr(norn_message(), cases[i].words))
            fail_msg("case %d: %s, not %s", (int)i, norn_message(), cases[i].words);
        cases[i].apply(&s, true);
        assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    }
    assert_int_equal(norn_graph_add_input(s.graph, s.x), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "input 'x' is there twice"));
    norn_graph_destroy(s.graph);
}

/// A constant that several nodes read, a node without an input and one of which no output is wanted.
static void what_may_be_left_out_of_a_graph_is_none_of_its_breaches(void **state) {
    (void)state;
    small s = small_graph();
    norn_value *z = value_of(s.graph, "z"), *none = NULL;
    norn_node *node;
    static const norn_shape shapes[] = {{.rank = -1},
                                        {.rank = 0},
                                        {.rank = NORN_MAX_RANK, .dims = {{1, 0, -1}}},
                                        {1, {{0, 0, -1}}}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        norn_value *any;
        norn_shape shape = shapes[i];
        for (int32_t d = 1; d < shape.rank; d++) shape.dims[d] = norn_dim_const(d);
        assert_int_equal(norn_graph_value(s.graph, "any", NORN_F32, &shape, &any), NORN_OK);
        assert_int_equal(norn_graph_add_input(s.graph, any), NORN_OK);
    }
    node_of(s.graph, NULL, &add, "more", s.w, s.w, z);
    norn_node_set_input(s.add, 1, NULL);
    assert_int_equal(
        norn_graph_node(s.graph, NULL, &relu, "", &z, 1, &none, 1, no_attrs, NULL, &node), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    assert_int_equal(norn_graph_add_output(s.graph, s.w), NORN_OK);
    assert_int_equal(norn_graph_add_output(s.graph, z), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_OK);
    s.graph->output_names[2] = s.graph->output_names[0];
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    s.graph->output_names[2] = s.graph->output_names[1];
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "two outputs are named 'w'"));
    norn_graph_destroy(s.graph);
}

/// Bodies within bodies, `depth` of them.
static void bodies_belong_to_their_node_and_are_nested_no_deeper_than_allowed(void **state) {
    (void)state;
    for (int depth = 31; depth <= 33; depth++) {
        small s = small_graph();
        norn_graph *at = s.graph;
        norn_attr *attrs = calloc((size_t)depth, sizeof *attrs);
        norn_node *node;
        assert_non_null(attrs);
        for (int i = 0; i < depth; i++) {
            attrs[i] = (norn_attr){.name = "body", .kind = NORN_ATTR_GRAPH};
            assert_int_equal(norn_graph_create_body(at, "body", &attrs[i].graph), NORN_OK);
            assert_int_equal(norn_graph_node(at, NULL, &relu, "holder", NULL, 0, NULL, 0,
                                             (norn_attrs){&attrs[i], 1}, NULL, &node),
                             NORN_OK);
            at = attrs[i].graph;
        }
        assert_int_equal(norn_graph_verify(s.graph), depth > 32 ? NORN_INVALID_ARGUMENT : NORN_OK);
        for (int wrong = 0; wrong < 2 && depth == 31; wrong++) {
            norn_node *last = s.graph->last;
            norn_attr *attr = (norn_attr *)(uintptr_t)&last->attrs.at[0];
            norn_graph *body = attr->graph;
            attr->graph = wrong ? NULL : body->last->attrs.at[0].graph;
            assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
            assert_non_null(strstr(norn_message(), "'holder' (Relu): a body belongs to another"));
            attr->graph = body;
        }
        norn_graph_destroy(s.graph);
        free(attrs);
    }
}

static void inference_keeps_a_declared_size_over_a_made_up_symbol(void **state) {
    (void)state;
    small s = small_graph();
    norn_value *nz, *free_nz;
    norn_shape five = {.rank = 1, .dims = {norn_dim_const(5)}};
    assert_int_equal(norn_graph_value(s.graph, "nz", NORN_DTYPE_NONE, &five, &nz), NORN_OK);
    assert_int_equal(norn_graph_value(s.graph, "fz", NORN_DTYPE_NONE, NULL, &free_nz), NORN_OK);
    norn_node *declared = node_of(s.graph, NULL, &nonzero, "nz", s.x, NULL, nz);
    norn_node *open = node_of(s.graph, NULL, &nonzero, "fz", s.x, NULL, free_nz);
    assert_int_equal(norn_node_infer(s.graph, declared), NORN_OK);
    assert_int_equal(nz->dtype, NORN_I64);
    assert_true(norn_dim_equal(nz->shape.dims[0], norn_dim_const(5)));
    assert_int_equal(norn_node_infer(s.graph, open), NORN_OK);
    norn_dim first = free_nz->shape.dims[0];
    assert_int_equal(norn_node_infer(s.graph, open), NORN_OK);
    assert_true(norn_dim_equal(first, free_nz->shape.dims[0]));
    norn_graph_destroy(s.graph);
}

static void attributes_are_replaced_by_name(void **state) {
    (void)state;
    small s = small_graph();
    norn_attr axis = {.name = "axis", .kind = NORN_ATTR_INT, .i64 = 1};
    assert_int_equal(norn_node_set_attr(s.graph, s.relu, &axis), NORN_OK);
    axis.i64 = 2;
    assert_int_equal(norn_node_set_attr(s.graph, s.relu, &axis), NORN_OK);
    axis = (norn_attr){.name = "k", .kind = NORN_ATTR_INT, .i64 = 3};
    assert_int_equal(norn_node_set_attr(s.graph, s.relu, &axis), NORN_OK);
    assert_int_equal(s.relu->attrs.count, 2);
    assert_int_equal(norn_attr_i64(s.relu->attrs, "axis", 0), 2);
    assert_int_equal(norn_attr_i64(s.relu->attrs, "k", 0), 3);
    norn_graph_destroy(s.graph);
}

static void origins_join_without_repeating(void **state) {
    (void)state;
    small s = small_graph();
    const char *one[] = {"a", "b"}, *two[] = {"b", "c"};
    s.relu->origin = (norn_origin){one, 2};
    s.add->origin = (norn_origin){two, 2};
    assert_int_equal(norn_node_add_origin(s.graph, s.relu, s.add), NORN_OK);
    assert_int_equal(s.relu->origin.count, 3);
    assert_string_equal(s.relu->origin.names[2], "c");
    norn_graph_destroy(s.graph);
}

static void outputs_grow_without_losing_their_readers(void **state) {
    (void)state;
    small s = small_graph();
    for (int i = 0; i < 20; i++) assert_int_equal(norn_graph_add_output(s.graph, s.h), NORN_OK);
    assert_int_equal(s.h->readers, 21);
    for (uint32_t i = 0; i < 21; i++) {
        assert_int_equal(s.graph->outputs[i].index, i);
        assert_ptr_equal(s.graph->outputs[i].value, i ? s.h : s.y);
    }
    norn_graph_destroy(s.graph);
}

static void every_failed_allocation_leaves_nothing_behind(void **state) {
    (void)state;
    for (size_t fail_at = 0;; fail_at++) {
        norn_alloc_faulty faulty = {.fail_at = fail_at};
        norn_alloc alloc = norn_alloc_failing(&faulty);
        small s = small_graph();
        norn_graph *body, *copy = NULL;
        assert_int_equal(norn_graph_create_body(s.graph, "body", &body), NORN_OK);
        norn_attr attr = {.name = "body", .kind = NORN_ATTR_GRAPH, .graph = body};
        assert_int_equal(norn_node_set_attr(s.graph, s.relu, &attr), NORN_OK);
        norn_status status = norn_graph_clone(s.graph, alloc, &copy);
        if (status == NORN_OK) {
            assert_true(fail_at > 3);
            faulty.fail_at = SIZE_MAX;
            assert_int_equal(norn_graph_verify(copy), NORN_OK);
        } else {
            assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
            assert_null(copy);
        }
        norn_graph_destroy(copy);
        norn_graph_destroy(s.graph);
        assert_int_equal(faulty.live, 0);
        if (status == NORN_OK) break;
    }
}

static void deeply_nested_bodies_are_destroyed_without_recursion(void **state) {
    (void)state;
    norn_graph *top, *at;
    assert_int_equal(norn_graph_create("top", norn_alloc_heap(), &top), NORN_OK);
    at = top;
    for (int i = 0; i < 100000; i++) assert_int_equal(norn_graph_create_body(at, "", &at), NORN_OK);
    norn_graph_destroy(top);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_built_graph_verifies_and_prints),
        cmocka_unit_test(forwarding_moves_every_reader_and_keeps_the_name_of_an_output),
        cmocka_unit_test(an_input_that_becomes_an_output_keeps_its_own_name),
        cmocka_unit_test(sorting_puts_producers_first_and_leaves_the_rest),
        cmocka_unit_test(a_cycle_is_named_and_the_order_kept),
        cmocka_unit_test(ten_thousand_nodes_in_reverse_sort),
        cmocka_unit_test(each_rule_of_a_graph_is_looked_at),
        cmocka_unit_test(what_may_be_left_out_of_a_graph_is_none_of_its_breaches),
        cmocka_unit_test(bodies_belong_to_their_node_and_are_nested_no_deeper_than_allowed),
        cmocka_unit_test(inference_keeps_a_declared_size_over_a_made_up_symbol),
        cmocka_unit_test(attributes_are_replaced_by_name),
        cmocka_unit_test(origins_join_without_repeating),
        cmocka_unit_test(outputs_grow_without_losing_their_readers),
        cmocka_unit_test(every_failed_allocation_leaves_nothing_behind),
        cmocka_unit_test(deeply_nested_bodies_are_destroyed_without_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
