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

static void breaches_are_found(void **state) {
    (void)state;
    small s = small_graph();
    s.h->readers = 7;
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    s.h->readers = 1;
    s.h->dtype = NORN_DTYPE_NONE;
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    s.h->dtype = NORN_F32;
    s.y->producer = NULL;
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    s.y->producer = s.add;
    s.graph->node_count = 3;
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    s.graph->node_count = 2;
    s.y->shape.dims[0].symbol = 9;
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    s.y->shape.dims[0].symbol = 0;
    s.relu->op = &pointwise;
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "has no region"));
    s.relu->op = &relu;
    norn_graph_forward(s.graph, s.y, s.y);
    assert_int_equal(norn_graph_add_output(s.graph, s.y), NORN_OK);
    assert_int_equal(norn_graph_verify(s.graph), NORN_INTERNAL);
    assert_non_null(strstr(norn_message(), "two outputs are named 'y'"));
    norn_graph_destroy(s.graph);
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
        cmocka_unit_test(breaches_are_found),
        cmocka_unit_test(inference_keeps_a_declared_size_over_a_made_up_symbol),
        cmocka_unit_test(attributes_are_replaced_by_name),
        cmocka_unit_test(origins_join_without_repeating),
        cmocka_unit_test(outputs_grow_without_losing_their_readers),
        cmocka_unit_test(every_failed_allocation_leaves_nothing_behind),
        cmocka_unit_test(deeply_nested_bodies_are_destroyed_without_recursion),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
