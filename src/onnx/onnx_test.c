#include "onnx/onnx.h"

#include "base/log.h"
#include "base/memory.h"
#include "graph/model.h"
#include "testing/failing_alloc.h"
#include "testing/onnx_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    norn_buffer graph, functions, model;
    norn_model *opened;
    char text[4096];
} fixture;

static int setup(void **state) {
    static fixture f;
    norn_log_set_level(NORN_LOG_ERROR);
    memset(&f, 0, sizeof f);
    norn_buffer_init(&f.graph, norn_alloc_heap());
    norn_buffer_init(&f.functions, norn_alloc_heap());
    norn_buffer_init(&f.model, norn_alloc_heap());
    norn_wire_put_text(&f.graph, 2, "g");
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    norn_model_close(f->opened);
    norn_buffer_deinit(&f->graph);
    norn_buffer_deinit(&f->functions);
    norn_buffer_deinit(&f->model);
    return 0;
}

static norn_status decode_with(fixture *f, int64_t opset, norn_alloc alloc, norn_model **out) {
    norn_model *model;
    *out = NULL;
    norn_buffer_clear(&f->model);
    build_model(&f->model, &f->graph, opset, &f->functions);
    norn_status status = NORN_NEW(alloc, &model);
    if (status != NORN_OK) return status;
    model->alloc = alloc;
    status = norn_alloc_string(alloc, "dir/m.onnx", &model->path);
    if (status == NORN_OK)
        status = norn_onnx_decode(model, norn_span_of(f->model.bytes, f->model.count));
    if (status != NORN_OK) {
        norn_model_close(model);
    } else {
        *out = model;
    }
    return status;
}

static norn_status decode(fixture *f, int64_t opset) {
    norn_model_close(f->opened);
    return decode_with(f, opset, norn_alloc_heap(), &f->opened);
}

static const char *print(fixture *f) {
    norn_buffer out;
    norn_buffer_init(&out, norn_alloc_heap());
    norn_graph_print(f->opened->graph, &out);
    assert_in_range(out.count, 1, sizeof f->text - 1);
    memcpy(f->text, out.bytes, out.count);
    f->text[out.count] = 0;
    norn_buffer_deinit(&out);
    return f->text;
}

static void node(fixture *f, const char *op, const char *name, const char *const *in,
                 const char *const *out) {
    norn_wire_end(&f->graph, build_node(&f->graph, 1, op, "", name, in, out));
}

static void refused(fixture *f, int64_t opset, norn_status status, const char *message) {
    assert_int_equal(decode(f, opset), status);
    assert_string_equal(norn_message(), message);
}

// ---- what is read

static void a_small_model_is_read_with_its_batch_symbol(void **state) {
    fixture *f = *state;
    static const float w[6] = {1, 2, 3, 4, 5, 6};
    build_value(&f->graph, 11, "x", 1, "batch_size,3");
    build_tensor(&f->graph, 5, "w", 1, (int64_t[]){3, 2}, 2, w, sizeof w);
    node(f, "MatMul", "mm", NAMES("x", "w"), NAMES("h"));
    node(f, "Relu", "", NAMES("h"), NAMES("y"));
    build_value(&f->graph, 12, "y", 1, "batch_size,2");
    assert_int_equal(decode(f, 17), NORN_OK);
    assert_string_equal(print(f), "graph 'g' batch=B\n"
                                  "input %1 float32[B,3] x\n"
                                  "%2 float32[B,2] = MatMul(%1, {1,2,3,4,5,6})  # mm\n"
                                  "%3 float32[B,2] = Relu(%2)  # Relu:y\n"
                                  "output %3 float32[B,2] y\n");
    assert_int_equal(f->opened->opset, 17);
    assert_string_equal(f->opened->producer, "test");
}

static void an_initializer_that_is_also_an_input_is_its_default(void **state) {
    fixture *f = *state;
    static const float w[2] = {1, 2};
    build_value(&f->graph, 11, "x", 1, "N,2");
    build_value(&f->graph, 11, "w", 1, "2");
    build_tensor(&f->graph, 5, "w", 1, (int64_t[]){2}, 1, w, sizeof w);
    node(f, "Add", "a", NAMES("x", "w"), NAMES("y"));
    build_value(&f->graph, 12, "y", 1, NULL);
    assert_int_equal(decode(f, 9), NORN_OK);
    norn_graph *graph = f->opened->graph;
    assert_int_equal(graph->input_count, 2);
    assert_null(graph->nodes->in[1].value->data);
    assert_float_equal(((const float *)graph->inputs[1]->fallback->data)[1], 2, 0);
    assert_int_equal(norn_graph_freeze(graph), NORN_OK);
    assert_int_equal(graph->input_count, 1);
    assert_non_null(graph->nodes->in[1].value->data);
}

static void names_of_dimensions_that_meet_become_one(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "a", 1, "batch,3");
    build_value(&f->graph, 11, "b", 1, "s0,4");
    build_value(&f->graph, 11, "c", 1, "?,7");
    size_t mark = build_node(&f->graph, 1, "Concat", "", "cat", NAMES("a", "b"), NAMES("ab"));
    build_attr_int(&f->graph, "axis", 1);
    norn_wire_end(&f->graph, mark);
    node(f, "Add", "add", NAMES("ab", "c"), NAMES("y"));
    build_value(&f->graph, 12, "y", 1, "batch,7");
    assert_int_equal(decode(f, 17), NORN_OK);
    assert_string_equal(print(f), "graph 'g' batch=B\n"
                                  "input %0 float32[B,3] a\n"
                                  "input %1 float32[B,4] b\n"
                                  "input %2 float32[B,7] c\n"
                                  "%3 float32[B,7] = Concat(%0, %1) {axis=1}  # cat\n"
                                  "%4 float32[B,7] = Add(%3, %2)  # add\n"
                                  "output %4 float32[B,7] y\n");
    assert_int_equal(f->opened->graph->symbols.count, 1);
}

static void another_dimension_called_b_keeps_its_name(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N,B");
    node(f, "Relu", "r", NAMES("x"), NAMES("y"));
    build_value(&f->graph, 12, "y", 1, "N,B");
    assert_int_equal(decode(f, 17), NORN_OK);
    const norn_graph *graph = f->opened->graph;
    assert_string_equal(graph->symbols.at[graph->batch].name, "N");
}

static void a_function_is_inlined_with_its_attributes(void **state) {
    fixture *f = *state;
    norn_buffer *fn = &f->functions;
    size_t function = norn_wire_begin(fn, 25);
    norn_wire_put_text(fn, 1, "Leak");
    norn_wire_put_text(fn, 10, "my");
    norn_wire_put_text(fn, 4, "in");
    norn_wire_put_text(fn, 4, "unused");
    norn_wire_put_text(fn, 5, "out");
    norn_wire_put_text(fn, 6, "slope");
    size_t mark = build_node(fn, 7, "LeakyRelu", "", "inner", NAMES("in"), NAMES("t"));
    build_attr_ref(fn, "alpha", "slope", 1);
    norn_wire_end(fn, mark);
    norn_wire_end(fn, build_node(fn, 7, "Neg", "", "neg", NAMES("t"), NAMES("out")));
    norn_wire_end(fn, function);

    build_value(&f->graph, 11, "x", 1, "N");
    mark = build_node(&f->graph, 1, "Leak", "my", "call", NAMES("x"), NAMES("h"));
    build_attr_float(&f->graph, "slope", 0.5f);
    norn_wire_end(&f->graph, mark);
    norn_wire_end(&f->graph,
                  build_node(&f->graph, 1, "Leak", "my", "again", NAMES("h"), NAMES("y")));
    build_value(&f->graph, 12, "y", 1, NULL);
    assert_int_equal(decode(f, 17), NORN_OK);
    assert_string_equal(print(f), "graph 'g' batch=B\n"
                                  "input %0 float32[B] x\n"
                                  "%1 float32[B] = LeakyRelu(%0) {alpha=0.5}  # call/inner\n"
                                  "%2 float32[B] = Neg(%1)  # call/neg\n"
                                  "%3 float32[B] = LeakyRelu(%2)  # again/inner\n"
                                  "%4 float32[B] = Neg(%3)  # again/neg\n"
                                  "output %4 float32[B] y\n");
}

static void branches_take_what_they_read_as_inputs(void **state) {
    fixture *f = *state;
    norn_buffer yes, no;
    norn_buffer_init(&yes, norn_alloc_heap());
    norn_buffer_init(&no, norn_alloc_heap());
    norn_wire_put_text(&yes, 2, "yes");
    norn_wire_end(&yes, build_node(&yes, 1, "Add", "", "ya", NAMES("x", "one"), NAMES("yo")));
    build_value(&yes, 12, "yo", 1, NULL);
    norn_wire_put_text(&no, 2, "no");
    norn_wire_end(&no, build_node(&no, 1, "Sub", "", "ns", NAMES("z", "x"), NAMES("no")));
    build_value(&no, 12, "no", 1, NULL);

    static const float one = 1;
    build_value(&f->graph, 11, "c", 9, "");
    build_value(&f->graph, 11, "x", 1, "N,2");
    build_value(&f->graph, 11, "z", 1, "N,2");
    build_tensor(&f->graph, 5, "one", 1, NULL, 0, &one, sizeof one);
    size_t mark = build_node(&f->graph, 1, "If", "", "if", NAMES("c"), NAMES("y"));
    build_attr_graph(&f->graph, "then_branch", &yes);
    build_attr_graph(&f->graph, "else_branch", &no);
    norn_wire_end(&f->graph, mark);
    build_value(&f->graph, 12, "y", 1, NULL);
    assert_int_equal(decode(f, 17), NORN_OK);
    // Both bodies take both values, in the order of the node's inputs; the constant is copied.
    const norn_node *branch = f->opened->graph->nodes;
    assert_int_equal(branch->in_count, 3);
    assert_int_equal(norn_attr_i64(branch->attrs, "norn_own_inputs", -1), 1);
    assert_string_equal(branch->in[1].value->name, "x");
    assert_string_equal(branch->in[2].value->name, "z");
    for (int i = 0; i < 2; i++) {
        const norn_graph *body =
            norn_attr_find(branch->attrs, i ? "else_branch" : "then_branch")->graph;
        assert_int_equal(body->input_count, 2);
        assert_string_equal(body->inputs[0]->name, "x");
        assert_string_equal(body->inputs[1]->name, "z");
    }
    norn_buffer_deinit(&yes);
    norn_buffer_deinit(&no);
}

// ---- older opsets

static void axes_of_opset_11_become_an_input(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N,1,4");
    size_t mark = build_node(&f->graph, 1, "Squeeze", "", "s", NAMES("x"), NAMES("h"));
    build_attr_ints(&f->graph, "axes", (int64_t[]){1}, 1);
    norn_wire_end(&f->graph, mark);
    mark = build_node(&f->graph, 1, "ReduceMean", "", "r", NAMES("h"), NAMES("y"));
    build_attr_ints(&f->graph, "axes", (int64_t[]){-1}, 1);
    build_attr_int(&f->graph, "keepdims", 0);
    norn_wire_end(&f->graph, mark);
    build_value(&f->graph, 12, "y", 1, "N");
    assert_int_equal(decode(f, 11), NORN_OK);
    assert_string_equal(print(f), "graph 'g' batch=B\n"
                                  "input %0 float32[B,1,4] x\n"
                                  "%2 float32[B,4] = Squeeze(%0, {1})  # s\n"
                                  "%4 float32[B] = ReduceMean(%2, {-1}) {keepdims=0}  # r\n"
                                  "output %4 float32[B] y\n");
}

static void softmax_of_opset_11_flattens_unless_its_axis_is_last(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N,3,4");
    size_t mark = build_node(&f->graph, 1, "Softmax", "", "last", NAMES("x"), NAMES("h"));
    build_attr_int(&f->graph, "axis", 2);
    norn_wire_end(&f->graph, mark);
    node(f, "Softmax", "two", NAMES("h"), NAMES("y"));
    build_value(&f->graph, 12, "y", 1, "N,3,4");
    assert_int_equal(decode(f, 11), NORN_OK);
    assert_string_equal(print(f), "graph 'g' batch=B\n"
                                  "input %0 float32[B,3,4] x\n"
                                  "%1 float32[B,3,4] = Softmax(%0) {axis=-1}  # last\n"
                                  "%2 float32[B,12] = Flatten(%1) {axis=1}  # two\n"
                                  "%3 float32[B,12] = Softmax(%2) {axis=-1}  # two\n"
                                  "%4 int64[3] = Shape(%1)  # two\n"
                                  "%5 float32[B,3,4] = Reshape(%3, %4)  # two\n"
                                  "output %5 float32[B,3,4] y\n");
}

static void clip_slice_pad_top_k_and_dropout_take_inputs(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N,8");
    size_t mark = build_node(&f->graph, 1, "Clip", "", "c", NAMES("x"), NAMES("a"));
    build_attr_float(&f->graph, "max", 6);
    norn_wire_end(&f->graph, mark);
    mark = build_node(&f->graph, 1, "Slice", "", "s", NAMES("a"), NAMES("b"));
    build_attr_ints(&f->graph, "starts", (int64_t[]){2}, 1);
    build_attr_ints(&f->graph, "ends", (int64_t[]){6}, 1);
    build_attr_ints(&f->graph, "axes", (int64_t[]){1}, 1);
    norn_wire_end(&f->graph, mark);
    mark = build_node(&f->graph, 1, "Pad", "", "p", NAMES("b"), NAMES("c"));
    build_attr_ints(&f->graph, "pads", (int64_t[]){0, 1, 0, 1}, 4);
    build_attr_float(&f->graph, "value", 0.5f);
    norn_wire_end(&f->graph, mark);
    mark = build_node(&f->graph, 1, "Dropout", "", "d", NAMES("c"), NAMES("e"));
    build_attr_float(&f->graph, "ratio", 0.5f);
    norn_wire_end(&f->graph, mark);
    mark = build_node(&f->graph, 1, "TopK", "", "t", NAMES("e"), NAMES("v", "i"));
    build_attr_int(&f->graph, "k", 2);
    norn_wire_end(&f->graph, mark);
    build_value(&f->graph, 12, "v", 1, "N,2");
    build_value(&f->graph, 12, "i", 7, "N,2");
    assert_int_equal(decode(f, 9), NORN_OK);
    assert_string_equal(print(f), "graph 'g' batch=B\n"
                                  "input %0 float32[B,8] x\n"
                                  "%2 float32[B,8] = Clip(%0, _, {6})  # c\n"
                                  "%6 float32[B,4] = Slice(%2, {2}, {6}, {1})  # s\n"
                                  "%9 float32[B,6] = Pad(%6, {0,1,0,1}, {0.5})  # p\n"
                                  "%10 float32[B,6] = Dropout(%9)  # d\n"
                                  "%12 float32[B,2], %13 int64[B,2] = TopK(%10, {2})  # t\n"
                                  "output %12 float32[B,2] v\n"
                                  "output %13 int64[B,2] i\n");
}

static void upsample_becomes_resize(void **state) {
    fixture *f = *state;
    static const float scales[4] = {1, 1, 2, 2};
    build_value(&f->graph, 11, "x", 1, "N,3,4,4");
    build_tensor(&f->graph, 5, "s", 1, (int64_t[]){4}, 1, scales, sizeof scales);
    node(f, "Upsample", "u", NAMES("x", "s"), NAMES("y"));
    build_value(&f->graph, 12, "y", 1, NULL);
    assert_int_equal(decode(f, 9), NORN_OK);
    assert_non_null(strstr(print(f), "float32[B,3,8,8] = Resize(%1, _, {1,1,2,2})"));
    assert_non_null(strstr(f->text, "nearest_mode=\"norn_simple\""));
}

// ---- what is refused

static void every_missing_operator_is_named_at_once(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N");
    norn_wire_end(&f->graph, build_node(&f->graph, 1, "Fancy", "my", "n1", NAMES("x"), NAMES("a")));
    node(f, "Relu", "r", NAMES("a"), NAMES("b"));
    node(f, "StringSplit", "n2", NAMES("b"), NAMES("c"));
    norn_wire_end(&f->graph, build_node(&f->graph, 1, "Fancy", "my", "n3", NAMES("c"), NAMES("y")));
    build_value(&f->graph, 12, "y", 1, "N");
    refused(f, 20, NORN_UNIMPLEMENTED,
            "node 'n1': operator 'my.Fancy' (domain my, opset 1) is not implemented; also missing: "
            "StringSplit");
}

static void missing_operators_of_a_family_come_with_the_way_out(void **state) {
    static const struct {
        const char *op, *domain, *says;
    } cases[] = {
        {"TreeEnsembleRegressor", "ai.onnx.ml",
         "operator 'ai.onnx.ml.TreeEnsembleRegressor' (domain ai.onnx.ml, opset 1) is not "
         "implemented; Norn has no classical models: export trees and encoders as tensor "
         "operators"},
        {"DynamicQuantizeLSTM", "com.microsoft", "save the model with its graph optimisations off"},
        {"ATen", "org.pytorch.aten", "norn.export.from_torch"},
        {"aten_embedding_bag", "pkg.onnxscript.torch_lib", "norn.export.from_torch"},
        {"_EmbeddingBagForwardOnly", "my", "norn.export.from_torch"},
        {"embedding_bag_codegen", "fbgemm", "norn.export.from_torch"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *one;
        assert_int_equal(setup(&one), 0);
        fixture *f = one;
        build_value(&f->graph, 11, "x", 1, "N");
        norn_wire_end(&f->graph, build_node(&f->graph, 1, cases[i].op, cases[i].domain, "n1",
                                            NAMES("x"), NAMES("y")));
        build_value(&f->graph, 12, "y", 1, "N");
        assert_int_equal(decode(f, 20), NORN_UNIMPLEMENTED);
        assert_non_null(strstr(norn_message(), cases[i].says));
        assert_int_equal(teardown(&one), 0);
    }
}

static void an_old_opset_is_refused(void **state) {
    fixture *f = *state;
    refused(f, 6, NORN_UNIMPLEMENTED, "opset 6; Norn reads 7 to 28: export with one of these");
    refused(f, 29, NORN_UNIMPLEMENTED, "opset 29; Norn reads 7 to 28: export with one of these");
}

static void a_name_that_nothing_makes_is_named(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N");
    node(f, "Add", "a", NAMES("x", "ghost"), NAMES("y"));
    refused(f, 17, NORN_INVALID_ARGUMENT,
            "node 'a' (Add): input 1 'ghost' is not made by any node");
}

static void a_name_made_twice_is_named(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N");
    node(f, "Relu", "a", NAMES("x"), NAMES("y"));
    node(f, "Relu", "b", NAMES("x"), NAMES("y"));
    refused(f, 17, NORN_INVALID_ARGUMENT, "node 'b' (Relu): 'y' is made twice");
}

static void a_missing_output_is_named(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N");
    build_value(&f->graph, 12, "y", 1, "N");
    refused(f, 17, NORN_INVALID_ARGUMENT, "output 'y' is not made by any node");
}

static void an_output_of_the_wrong_type_is_named(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, "N");
    node(f, "Relu", "a", NAMES("x"), NAMES("y"));
    build_value(&f->graph, 12, "y", 7, "N");
    refused(f, 17, NORN_INVALID_ARGUMENT, "output 'y' is declared int64 but computed as float32");
}

static void raw_data_of_the_wrong_size_is_named(void **state) {
    fixture *f = *state;
    build_tensor(&f->graph, 5, "w", 1, (int64_t[]){3}, 1, "12345678", 8);
    refused(f, 17, NORN_INVALID_ARGUMENT,
            "tensor 'w' is float32[3], which takes 12 bytes; it has 8");
}

static void an_input_without_a_rank_is_refused(void **state) {
    fixture *f = *state;
    build_value(&f->graph, 11, "x", 1, NULL);
    refused(f, 17, NORN_UNIMPLEMENTED,
            "input 'x' has no shape, not even a rank; export it with its dimensions (they may be "
            "dynamic)");
}

static void a_function_that_calls_itself_ends(void **state) {
    fixture *f = *state;
    norn_buffer *fn = &f->functions;
    size_t function = norn_wire_begin(fn, 25);
    norn_wire_put_text(fn, 1, "F");
    norn_wire_put_text(fn, 10, "my");
    norn_wire_put_text(fn, 4, "in");
    norn_wire_put_text(fn, 5, "out");
    norn_wire_end(fn, build_node(fn, 7, "F", "my", "inner", NAMES("in"), NAMES("out")));
    norn_wire_end(fn, function);
    build_value(&f->graph, 11, "x", 1, "N");
    norn_wire_end(&f->graph, build_node(&f->graph, 1, "F", "my", "call", NAMES("x"), NAMES("y")));
    build_value(&f->graph, 12, "y", 1, NULL);
    assert_int_equal(decode(f, 17), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "nested more than 24 deep"));
}

/// 2^n calls out of n functions.
static void a_bomb_of_functions_ends(void **state) {
    fixture *f = *state;
    norn_buffer *fn = &f->functions;
    for (int i = 0; i < 22; i++) {
        char name[8], next[8];
        snprintf(name, sizeof name, "F%d", i);
        snprintf(next, sizeof next, "F%d", i + 1);
        size_t function = norn_wire_begin(fn, 25);
        norn_wire_put_text(fn, 1, name);
        norn_wire_put_text(fn, 10, "my");
        norn_wire_put_text(fn, 4, "in");
        norn_wire_put_text(fn, 5, "out");
        const char *op = i == 21 ? "Relu" : next, *domain = i == 21 ? "" : "my";
        norn_wire_end(fn, build_node(fn, 7, op, domain, "a", NAMES("in"), NAMES("t")));
        norn_wire_end(fn, build_node(fn, 7, op, domain, "b", NAMES("t"), NAMES("out")));
        norn_wire_end(fn, function);
    }
    build_value(&f->graph, 11, "x", 1, "N");
    norn_wire_end(&f->graph, build_node(&f->graph, 1, "F0", "my", "call", NAMES("x"), NAMES("y")));
    build_value(&f->graph, 12, "y", 1, NULL);
    assert_int_equal(decode(f, 17), NORN_RESOURCE_EXHAUSTED);
}

static void every_truncation_and_every_failed_allocation_is_survived(void **state) {
    fixture *f = *state;
    axes_of_opset_11_become_an_input(state);
    norn_buffer whole = f->model;
    for (size_t cut = 0; cut < whole.count; cut++) {
        norn_model *model;
        assert_int_equal(NORN_NEW(norn_alloc_heap(), &model), NORN_OK);
        model->alloc = norn_alloc_heap();
        assert_int_equal(norn_alloc_string(model->alloc, "m.onnx", &model->path), NORN_OK);
        norn_status status = norn_onnx_decode(model, norn_span_of(whole.bytes, cut));
        if (status == NORN_OK) assert_int_equal(norn_graph_verify(model->graph), NORN_OK);
        norn_model_close(model);
    }
    for (size_t fail_at = 0;; fail_at++) {
        norn_alloc_faulty faulty = {.fail_at = fail_at};
        norn_model *model;
        norn_status status = decode_with(f, 11, norn_alloc_failing(&faulty), &model);
        norn_model_close(model);
        assert_int_equal(faulty.live, 0);
        if (status == NORN_OK) break;
        assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
    }
}

// ---- files

static void write_file(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void external(fixture *f, const char *location, const char *offset) {
    static const char *const keys[] = {"location", "offset", "length"};
    norn_buffer_clear(&f->graph);
    norn_buffer_clear(&f->model);
    norn_wire_put_text(&f->graph, 2, "g");
    size_t mark = norn_wire_begin(&f->graph, 5);
    norn_wire_put_signed(&f->graph, 1, 2);
    norn_wire_put_varint(&f->graph, 2, 1);
    norn_wire_put_text(&f->graph, 8, "w");
    for (int i = 0; i < 3; i++) {
        size_t entry = norn_wire_begin(&f->graph, 13);
        norn_wire_put_text(&f->graph, 1, keys[i]);
        norn_wire_put_text(&f->graph, 2, i == 0 ? location : i == 1 ? offset : "8");
        norn_wire_end(&f->graph, entry);
    }
    norn_wire_put_varint(&f->graph, 14, 1);
    norn_wire_end(&f->graph, mark);
    build_value(&f->graph, 12, "w", 1, "2");
    build_model(&f->model, &f->graph, 17, NULL);
    write_file("external_test.onnx", f->model.bytes, f->model.count);
}

static void external_data_is_read_from_inside_the_folder_only(void **state) {
    fixture *f = *state;
    static const float data[4] = {1, 2, 3, 4};
    write_file("external_test.bin", data, sizeof data);
    external(f, "external_test.bin", "8");
    assert_int_equal(norn_model_open("external_test.onnx", norn_alloc_heap(), &f->opened), NORN_OK);
    const norn_view *w = f->opened->graph->outputs[0].value->data;
    assert_true(((const float *)w->data)[1] == 4);
    const struct {
        const char *location, *offset;
        norn_status status;
        const char *message;
    } cases[] = {
        {"../external_test.bin", "0", NORN_INVALID_ARGUMENT, "not inside the model's folder"},
        {"/etc/passwd", "0", NORN_INVALID_ARGUMENT, "not inside the model's folder"},
        {"a/../../b", "0", NORN_INVALID_ARGUMENT, "not inside the model's folder"},
        {"", "0", NORN_INVALID_ARGUMENT, "not inside the model's folder"},
        {"external_test.bin", "9", NORN_DATA_LOSS,
         "are outside of 'external_test.bin', which has 16"},
        {"external_test.bin", "18446744073709551615", NORN_DATA_LOSS, "are outside of"},
        {"external_test.bin", "x", NORN_INVALID_ARGUMENT, "no number"},
        {"no_such_file.bin", "0", NORN_NOT_FOUND, "no_such_file.bin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_model *model;
        external(f, cases[i].location, cases[i].offset);
        assert_int_equal(norn_model_open("external_test.onnx", norn_alloc_heap(), &model),
                         cases[i].status);
        assert_non_null(strstr(norn_message(), cases[i].message));
        assert_non_null(strstr(norn_message(), "external_test.onnx: "));
    }
    unlink("external_test.onnx");
    unlink("external_test.bin");
}

static void a_file_that_is_not_onnx_is_refused(void **state) {
    (void)state;
    norn_model *model;
    write_file("not_a_model.onnx", "", 0);
    assert_int_equal(norn_model_open("not_a_model.onnx", norn_alloc_heap(), &model),
                     NORN_INVALID_ARGUMENT);
    assert_string_equal(norn_message(), "not_a_model.onnx: not an ONNX model: it has no graph");
    unlink("not_a_model.onnx");
    assert_int_equal(norn_model_open("no/such/model.onnx", norn_alloc_heap(), &model),
                     NORN_NOT_FOUND);
    assert_null(model);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_small_model_is_read_with_its_batch_symbol),
        CASE(an_initializer_that_is_also_an_input_is_its_default),
        CASE(names_of_dimensions_that_meet_become_one),
        CASE(another_dimension_called_b_keeps_its_name),
        CASE(a_function_is_inlined_with_its_attributes),
        CASE(branches_take_what_they_read_as_inputs),
        CASE(axes_of_opset_11_become_an_input),
        CASE(softmax_of_opset_11_flattens_unless_its_axis_is_last),
        CASE(clip_slice_pad_top_k_and_dropout_take_inputs),
        CASE(upsample_becomes_resize),
        CASE(every_missing_operator_is_named_at_once),
        cmocka_unit_test(missing_operators_of_a_family_come_with_the_way_out),
        CASE(an_old_opset_is_refused),
        CASE(a_name_that_nothing_makes_is_named),
        CASE(a_name_made_twice_is_named),
        CASE(a_missing_output_is_named),
        CASE(an_output_of_the_wrong_type_is_named),
        CASE(raw_data_of_the_wrong_size_is_named),
        CASE(an_input_without_a_rank_is_refused),
        CASE(a_function_that_calls_itself_ends),
        CASE(a_bomb_of_functions_ends),
        CASE(every_truncation_and_every_failed_allocation_is_survived),
        CASE(external_data_is_read_from_inside_the_folder_only),
        CASE(a_file_that_is_not_onnx_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
