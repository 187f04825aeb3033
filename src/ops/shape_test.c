#include "ops/shape.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static norn_graph *graph;
static norn_dim B;

static norn_value *value(norn_dtype dtype, int32_t rank, const norn_dim *dims) {
    norn_shape shape = {.rank = rank};
    for (int32_t i = 0; i < rank; i++) shape.dims[i] = dims[i];
    norn_value *out;
    assert_int_equal(norn_graph_value(graph, "v", dtype, &shape, &out), NORN_OK);
    return out;
}

static norn_value *ints(int32_t rank, uint32_t count, const int64_t *values) {
    norn_view *view;
    int64_t *copy, dims[1] = {count};
    assert_int_equal(NORN_TAKE(&graph->arena, &view), NORN_OK);
    assert_int_equal(NORN_TAKE_ARRAY(&graph->arena, count, &copy), NORN_OK);
    memcpy(copy, values, count * sizeof *copy);
    *view = norn_view_of(NORN_I64, rank, dims, copy);
    norn_value *out;
    assert_int_equal(norn_graph_constant(graph, "c", view, &out), NORN_OK);
    return out;
}

/// Adds the node, infers it, returns its only output; NULL where inference refuses.
static norn_value *node(norn_op_id op, norn_attrs attrs, uint32_t count, norn_value *const *in) {
    norn_shape unknown = norn_shape_unknown();
    norn_value *out;
    norn_node *made;
    assert_int_equal(norn_graph_value(graph, "y", NORN_DTYPE_NONE, &unknown, &out), NORN_OK);
    assert_int_equal(norn_graph_node(graph, NULL, norn_op_info_of(op), "n", in, count, &out, 1,
                                     attrs, NULL, &made),
                     NORN_OK);
    return norn_node_infer(graph, made) == NORN_OK ? out : NULL;
}

static void assert_dim(norn_dim dim, const char *text) {
    char buffer[NORN_DIM_TEXT];
    assert_string_equal(norn_dim_text(&graph->symbols, dim, buffer), text);
}

static norn_attrs axis(int64_t value) {
    static norn_attr attr;
    attr = (norn_attr){.name = "axis", .kind = NORN_ATTR_INT, .i64 = value};
    return (norn_attrs){&attr, 1};
}

static void an_exporters_reshape_chain_keeps_the_batch(void **state) {
    (void)state;
    norn_value *x = value(NORN_F32, 3, (norn_dim[]){B, norn_dim_const(4), norn_dim_const(8)});
    norn_value *shape = node(NORN_OP_Shape, (norn_attrs){0}, 1, &x);
    norn_value *batch =
        node(NORN_OP_Gather, axis(0), 2, (norn_value *[]){shape, ints(0, 1, (int64_t[]){0})});
    norn_value *row = node(NORN_OP_Unsqueeze, (norn_attrs){0}, 2,
                           (norn_value *[]){batch, ints(1, 1, (int64_t[]){0})});
    norn_value *want =
        node(NORN_OP_Concat, axis(0), 2, (norn_value *[]){row, ints(1, 1, (int64_t[]){-1})});
    norn_value *y = node(NORN_OP_Reshape, (norn_attrs){0}, 2, (norn_value *[]){x, want});
    assert_int_equal(y->shape.rank, 2);
    assert_dim(y->shape.dims[0], "B");
    assert_dim(y->shape.dims[1], "32");
}

static void an_expand_to_the_shape_of_another_value_is_symbolic(void **state) {
    (void)state;
    norn_value *x = value(NORN_F32, 2, (norn_dim[]){B, norn_dim_const(16)});
    norn_value *shape = node(NORN_OP_Shape, (norn_attrs){0}, 1, &x);
    norn_value *minus = node(NORN_OP_Equal, (norn_attrs){0}, 2,
                             (norn_value *[]){shape, ints(1, 1, (int64_t[]){-1})});
    norn_value *want = node(NORN_OP_Where, (norn_attrs){0}, 3,
                            (norn_value *[]){minus, ints(1, 2, (int64_t[]){1, 1}), shape});
    norn_value *one = value(NORN_F32, 2, (norn_dim[]){norn_dim_const(1), norn_dim_const(16)});
    norn_value *y = node(NORN_OP_Expand, (norn_attrs){0}, 2, (norn_value *[]){one, want});
    assert_dim(y->shape.dims[0], "B");
    assert_dim(y->shape.dims[1], "16");
}

static void a_slice_of_the_last_columns_needs_no_batch(void **state) {
    (void)state;
    norn_value *x = value(NORN_F32, 2, (norn_dim[]){B, norn_dim_const(39)});
    norn_value *in[] = {x, ints(1, 1, (int64_t[]){13}), ints(1, 1, (int64_t[]){INT64_MAX}),
                        ints(1, 1, (int64_t[]){1}), ints(1, 1, (int64_t[]){1})};
    norn_value *y = node(NORN_OP_Slice, (norn_attrs){0}, 5, in);
    assert_dim(y->shape.dims[0], "B");
    assert_dim(y->shape.dims[1], "26");
}

static void a_symbolic_axis_is_sliced_exactly_at_its_ends(void **state) {
    (void)state;
    norn_value *x = value(NORN_F32, 2, (norn_dim[]){B, norn_dim_const(4)});
    norn_value *zero = ints(1, 1, (int64_t[]){0});
    norn_value *all = node(NORN_OP_Slice, (norn_attrs){0}, 4,
                           (norn_value *[]){x, zero, ints(1, 1, (int64_t[]){INT64_MAX}), zero});
    assert_dim(all->shape.dims[0], "B");
    norn_value *last = node(
        NORN_OP_Slice, (norn_attrs){0}, 4,
        (norn_value *[]){x, ints(1, 1, (int64_t[]){-1}), ints(1, 1, (int64_t[]){INT64_MAX}), zero});
    assert_dim(last->shape.dims[0], "1");
}

static void a_product_of_unequal_widths_is_refused_in_words(void **state) {
    (void)state;
    norn_value *a = value(NORN_F32, 2, (norn_dim[]){B, norn_dim_const(479)});
    norn_value *b = value(NORN_F32, 2, (norn_dim[]){norn_dim_const(480), norn_dim_const(64)});
    assert_null(node(NORN_OP_MatMul, (norn_attrs){0}, 2, (norn_value *[]){a, b}));
    assert_non_null(strstr(norn_message(), "479"));
    assert_non_null(strstr(norn_message(), "480"));
    assert_non_null(strstr(norn_message(), "feature list"));
}

static void a_convolution_halves_its_image(void **state) {
    (void)state;
    const int64_t two[] = {2, 2}, pads[] = {1, 1, 1, 1};
    const norn_attr attrs[] = {{.name = "strides", .kind = NORN_ATTR_INTS, .count = 2, .ints = two},
                               {.name = "pads", .kind = NORN_ATTR_INTS, .count = 4, .ints = pads}};
    norn_value *x = value(
        NORN_F32, 4, (norn_dim[]){B, norn_dim_const(3), norn_dim_const(224), norn_dim_const(224)});
    norn_value *w = value(
        NORN_F32, 4,
        (norn_dim[]){norn_dim_const(8), norn_dim_const(3), norn_dim_const(3), norn_dim_const(3)});
    norn_value *y = node(NORN_OP_Conv, (norn_attrs){attrs, 2}, 2, (norn_value *[]){x, w});
    assert_dim(y->shape.dims[0], "B");
    assert_dim(y->shape.dims[1], "8");
    assert_dim(y->shape.dims[2], "112");
}

static void data_dependent_dims_are_runtime_symbols(void **state) {
    (void)state;
    norn_value *x = value(NORN_F32, 2, (norn_dim[]){B, norn_dim_const(4)});
    norn_value *y = node(NORN_OP_NonZero, (norn_attrs){0}, 1, &x);
    assert_dim(y->shape.dims[0], "2");
    assert_int_equal(graph->symbols.at[y->shape.dims[1].symbol].kind, NORN_SYMBOL_RUNTIME);
}

static void an_embedding_bag_has_one_row_for_each_offset_but_the_last(void **state) {
    (void)state;
    const norn_attr dim = {.name = "dim", .kind = NORN_ATTR_INT, .i64 = 16};
    norn_dim offsets;
    assert_int_equal(norn_dim_apply(&graph->symbols, NORN_DIM_ADD, B, norn_dim_const(1), &offsets),
                     NORN_OK);
    norn_value *in[] = {value(NORN_I64, 1, (norn_dim[]){norn_dim_const(99)}),
                        value(NORN_I64, 1, &offsets)};
    norn_value *y = node(NORN_OP_EmbeddingBag, (norn_attrs){&dim, 1}, 2, in);
    assert_dim(y->shape.dims[0], "B");
    assert_dim(y->shape.dims[1], "16");
}

/// x[B, 5, 7]: the dims just before the last `inner` are reduced.
static void a_row_reduction_keeps_what_it_does_not_reduce(void **state) {
    (void)state;
    static const struct {
        uint32_t reduced, inner;
        bool keep;
        int32_t rank;
        const char *dims[3];
    } cases[] = {
        {1, 0, false, 2, {"B", "5"}},
        {1, 1, false, 2, {"B", "7"}},
        {1, 2, false, 2, {"5", "7"}},
        {2, 0, false, 1, {"B"}},
        {1, 0, true, 3, {"B", "5", "1"}},
        {1, 1, true, 3, {"B", "1", "7"}},
        {3, 0, false, 0, {0}},
        {2, 1, true, 3, {"1", "1", "7"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_scalar_load load = {.dtype = NORN_F32};
        const norn_region region = {.row_reduce = {.reduced_dims = cases[i].reduced,
                                                   .inner_dims = cases[i].inner,
                                                   .keep_dims = cases[i].keep,
                                                   .prologue = {.load_count = 1, .loads = &load}}};
        norn_shape_io in = {.dtype = NORN_F32,
                            .shape = {3, {B, norn_dim_const(5), norn_dim_const(7)}}},
                      out = {.shape = norn_shape_unknown()};
        norn_shape_ctx ctx = {
            .region = &region, .in = &in, .in_count = 1, .out = &out, .out_count = 1};
        assert_int_equal(norn_shape_row_reduce(&ctx), NORN_OK);
        assert_int_equal(out.shape.rank, cases[i].rank);
        for (int32_t d = 0; d < out.shape.rank; d++)
            assert_dim(out.shape.dims[d], cases[i].dims[d]);
    }
}

static void every_operator_refuses_no_inputs_without_a_crash(void **state) {
    (void)state;
    for (int op = 1; op < NORN_OP_COUNT; op++) {
        norn_shape_io out = {.shape = norn_shape_unknown()};
        norn_shape_ctx ctx = {
            .out = &out, .out_count = 1, .symbols = &graph->symbols, .arena = &graph->arena};
        (void)!norn_op_info_of((norn_op_id)op)->shape(&ctx);
    }
}

/// A few ranks and types at every operator: whatever comes, a status, no crash.
static void every_operator_takes_odd_inputs_without_a_crash(void **state) {
    (void)state;
    for (int op = 1; op < NORN_OP_COUNT; op++) {
        for (int32_t rank = -1; rank <= NORN_MAX_RANK; rank++) {
            norn_shape_io in[8], out[4];
            for (int i = 0; i < 8; i++) {
                in[i] =
                    (norn_shape_io){.dtype = i % 2 ? NORN_I64 : NORN_F32, .shape = {.rank = rank}};
                for (int32_t d = 0; d < rank; d++)
                    in[i].shape.dims[d] = (d + i) % 3 ? norn_dim_const(d) : B;
            }
            for (int i = 0; i < 4; i++) out[i] = (norn_shape_io){.shape = norn_shape_unknown()};
            norn_shape_ctx ctx = {.in = in,
                                  .in_count = 8,
                                  .out = out,
                                  .out_count = 4,
                                  .symbols = &graph->symbols,
                                  .arena = &graph->arena};
            (void)!norn_op_info_of((norn_op_id)op)->shape(&ctx);
        }
    }
}

static void what_fills_a_small_vector_of_integers_is_known(void **state) {
    (void)state;
    int64_t seven = 7, dims[1] = {1};
    const norn_view filling = norn_view_of(NORN_I64, 1, dims, &seven);
    norn_attr attr = {.name = "value", .kind = NORN_ATTR_TENSOR, .tensor = &filling};
    norn_value *in[1] = {ints(1, 1, (int64_t[]){3})};
    const norn_value *out = node(NORN_OP_ConstantOfShape, (norn_attrs){&attr, 1}, 1, in);
    assert_non_null(out);
    assert_int_equal(out->contents_count, 3);
    for (int i = 0; i < 3; i++) assert_dim(out->contents[i], "7");
}

static void a_list_of_integers_is_taken_up_to_its_bound(void **state) {
    (void)state;
    int64_t axes[NORN_CONTENTS_MAX + 1];
    for (uint32_t count = NORN_CONTENTS_MAX - 1; count <= NORN_CONTENTS_MAX + 1; count++) {
        for (uint32_t i = 0; i < count; i++) axes[i] = i;
        const norn_attr attr = {
            .name = "axes", .kind = NORN_ATTR_INTS, .ints = axes, .count = count};
        const norn_shape_ctx ctx = {.attrs = {&attr, 1}};
        int64_t values[NORN_CONTENTS_MAX];
        uint32_t taken;
        bool present, known;
        norn_status status = norn_shape_int_list(&ctx, 1, "axes", values, &taken, &present, &known);
        assert_int_equal(status, count > NORN_CONTENTS_MAX ? NORN_INVALID_ARGUMENT : NORN_OK);
        if (status == NORN_OK) assert_int_equal(values[count - 1], count - 1);
    }
}

static int setup(void **state) {
    (void)state;
    int32_t symbol;
    if (norn_graph_create("g", norn_alloc_heap(), &graph) != NORN_OK) return 1;
    if (norn_symbol_input(&graph->symbols, "B", &symbol) != NORN_OK) return 1;
    B = norn_dim_symbol(symbol);
    return 0;
}
static int teardown(void **state) {
    (void)state;
    norn_graph_destroy(graph);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exporters_reshape_chain_keeps_the_batch),
        cmocka_unit_test(an_expand_to_the_shape_of_another_value_is_symbolic),
        cmocka_unit_test(a_slice_of_the_last_columns_needs_no_batch),
        cmocka_unit_test(a_symbolic_axis_is_sliced_exactly_at_its_ends),
        cmocka_unit_test(a_product_of_unequal_widths_is_refused_in_words),
        cmocka_unit_test(a_convolution_halves_its_image),
        cmocka_unit_test(data_dependent_dims_are_runtime_symbols),
        cmocka_unit_test(what_fills_a_small_vector_of_integers_is_known),
        cmocka_unit_test(a_list_of_integers_is_taken_up_to_its_bound),
        cmocka_unit_test(an_embedding_bag_has_one_row_for_each_offset_but_the_last),
        cmocka_unit_test(a_row_reduction_keeps_what_it_does_not_reduce),
        cmocka_unit_test(every_operator_refuses_no_inputs_without_a_crash),
        cmocka_unit_test(every_operator_takes_odd_inputs_without_a_crash),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
