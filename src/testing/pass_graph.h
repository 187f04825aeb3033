/// Small graphs for the tests of passes, built in code. Dims below zero are symbols: B and T.
#ifndef NORN_TESTING_PASS_GRAPH_H
#define NORN_TESTING_PASS_GRAPH_H

#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"
#include "testing/scalar_reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { B = -1, T = -2, END = -100 };

typedef struct test_graph {
    norn_graph *graph;
    norn_compile_options options;
    norn_pass_context context;
    int32_t batch, steps;
} test_graph;

#define CHECK(call) test_check((call), #call, __FILE__, __LINE__)
static inline void test_check(norn_status status, const char *call, const char *file, int line) {
    if (status == NORN_OK) return;
    print_error("%s: %s: %s\n", call, norn_status_name(status), norn_message());
    _fail(file, line);
}

/// Folds Add, Mul and Sub of int64 and float32: what the graphs here need of an evaluator.
static inline norn_status test_eval(void *context, norn_graph *graph, const norn_node *node,
                                    norn_view *out) {
    const norn_value *value = node->out[0];
    int64_t dims[NORN_MAX_RANK], elems = norn_shape_elems(&value->shape);
    size_t bytes;
    (void)context;
    if (!norn_node_is(node, NORN_OP_Add) && !norn_node_is(node, NORN_OP_Mul)) {
        return norn_fail(NORN_UNIMPLEMENTED, "the test evaluator has no %s", node->op->name);
    }
    for (int32_t i = 0; i < value->shape.rank; i++) dims[i] = value->shape.dims[i].constant;
    *out = norn_view_of(value->dtype, value->shape.rank, dims, NULL);
    NORN_TRY(norn_view_bytes(out, &bytes));
    NORN_TRY(norn_arena_take(&graph->arena, bytes, 1, 64, &out->data));
    for (int64_t i = 0; i < elems; i++) {
        double x[2];
        for (uint32_t j = 0; j < 2; j++) {
            const norn_view *in = node->in[j].value->data;
            x[j] = norn_element_f64(in->dtype, in->data, norn_view_elems(in) == 1 ? 0 : i);
        }
        norn_element_set_f64(out->dtype, out->data, i,
                             norn_node_is(node, NORN_OP_Add) ? x[0] + x[1] : x[0] * x[1]);
    }
    return NORN_OK;
}

/// Has every kernel, but for types wider than `widest` bits.
typedef struct test_target {
    norn_target target;
    uint32_t widest;
} test_target;

static inline norn_status test_kernel(norn_call *call) {
    (void)call;
    return NORN_OK;
}
static inline norn_kernel_fn test_kernel_of(const norn_target *self, const norn_step_spec *spec) {
    const uint32_t widest = ((const test_target *)(const void *)self)->widest;
    return norn_dtype_bits(spec->out[0].dtype) > widest ? NULL : test_kernel;
}
static const norn_target_ops test_target_ops = {.kind = "test", .kernel = test_kernel_of};
static const test_target test_host = {{&test_target_ops}, 32},
                         test_device = {{&test_target_ops}, 32};

static inline test_graph *test_begin(void) {
    static test_graph t;
    memset(&t, 0, sizeof t);
    CHECK(norn_graph_create("test", norn_alloc_heap(), &t.graph));
    CHECK(norn_symbol_input(&t.graph->symbols, "B", &t.batch));
    CHECK(norn_symbol_input(&t.graph->symbols, "T", &t.steps));
    t.context.options = &t.options;
    t.context.evaluator.eval = test_eval;
    t.context.host = &test_host.target;
    t.context.target = &test_device.target;
    return &t;
}

static inline void test_end(test_graph *t) {
    norn_graph_destroy(t->graph);
}

static inline norn_shape test_shape(test_graph *t, const int *dims) {
    norn_shape shape = {.rank = 0};
    for (; *dims != END; dims++) {
        shape.dims[shape.rank++] = *dims == B   ? norn_dim_symbol(t->batch)
                                   : *dims == T ? norn_dim_symbol(t->steps)
                                                : norn_dim_const(*dims);
    }
    return shape;
}
#define DIMS(...) ((const int[]){__VA_ARGS__, END})
#define SCALAR ((const int[]){END})

static inline norn_value *test_input(test_graph *t, const char *name, norn_dtype dtype,
                                     const int *dims) {
    norn_shape shape = test_shape(t, dims);
    norn_value *value;
    CHECK(norn_graph_value(t->graph, name, dtype, &shape, &value));
    CHECK(norn_graph_add_input(t->graph, value));
    return value;
}

/// Elements first, first + step, ...
static inline norn_value *test_const(test_graph *t, const char *name, norn_dtype dtype,
                                     const int *dims, double first, double step) {
    int64_t at[NORN_MAX_RANK] = {0}, elems = 1;
    int32_t rank = 0;
    norn_value *value;
    void *data;
    for (; dims[rank] != END; rank++) at[rank] = dims[rank], elems *= dims[rank];
    CHECK(norn_rewrite_constant(t->graph, name, dtype, rank, at, &value, &data));
    for (int64_t i = 0; i < elems; i++)
        norn_element_set_f64(dtype, data, i, first + step * (double)i);
    return value;
}
static inline norn_value *test_ints(test_graph *t, int count, const int64_t *values) {
    norn_value *value;
    void *data;
    int64_t dims[1] = {count};
    CHECK(norn_rewrite_constant(t->graph, "ints", NORN_I64, 1, dims, &value, &data));
    memcpy(data, values, (size_t)count * sizeof *values);
    return value;
}
#define INTS(t, ...)                                                        \
    test_ints(t, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
              (const int64_t[]){__VA_ARGS__})

/// Lists of attributes are borrowed by the graph; here they are literals of the caller's block.
static inline norn_attrs test_keep(test_graph *t, norn_attrs attrs) {
    norn_attr *kept;
    CHECK(NORN_TAKE_ARRAY(&t->graph->arena, attrs.count, &kept));
    for (uint32_t i = 0; i < attrs.count; i++) {
        kept[i] = attrs.at[i];
        if (kept[i].kind != NORN_ATTR_INTS) continue;
        int64_t *ints;
        CHECK(NORN_TAKE_ARRAY(&t->graph->arena, kept[i].count, &ints));
        memcpy(ints, attrs.at[i].ints, kept[i].count * sizeof *ints);
        kept[i].ints = ints;
    }
    return (norn_attrs){kept, attrs.count};
}

/// A node named after its operator, with `out_count` outputs, inferred; returns it.
static inline norn_node *test_node(test_graph *t, norn_op_id op, norn_attrs attrs,
                                   uint32_t out_count, norn_value *const *in, uint32_t in_count) {
    norn_value *out[8];
    norn_node *node;
    const norn_op_info *info = norn_op_info_of(op);
    const char **origin, *name;
    for (uint32_t i = 0; i < out_count; i++) {
        CHECK(
            norn_arena_format(&t->graph->arena, &name, "%s_%u", info->name, t->graph->value_count));
        CHECK(norn_graph_value(t->graph, name, NORN_DTYPE_NONE, NULL, &out[i]));
    }
    CHECK(norn_graph_node(t->graph, NULL, info, info->name, in, in_count, out, out_count,
                          test_keep(t, attrs), NULL, &node));
    CHECK(NORN_TAKE(&t->graph->arena, &origin));
    CHECK(
        norn_arena_format(&t->graph->arena, origin, "%s_%u", info->name, t->graph->node_count - 1));
    node->origin = (norn_origin){origin, 1};
    CHECK(norn_node_infer(t->graph, node));
    return node;
}
#define NONE ((norn_attrs){NULL, 0})
#define ATTR_INT(n, v) \
    ((norn_attrs){(norn_attr[]){{.name = (n), .kind = NORN_ATTR_INT, .i64 = (v)}}, 1})
#define ATTR_INTS(n, ...)                                                                       \
    ((norn_attrs){                                                                              \
        (norn_attr[]){{.name = (n),                                                             \
                       .kind = NORN_ATTR_INTS,                                                  \
                       .count = (uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                       .ints = (int64_t[]){__VA_ARGS__}}},                                      \
        1})
/// OP(t, Add, NONE, x, y): the first output of a new node.
#define OP(t, name, attrs, ...)                                                          \
    (test_node(t, NORN_OP_##name, attrs, 1, (norn_value *[]){__VA_ARGS__},               \
               (uint32_t)(sizeof((norn_value *[]){__VA_ARGS__}) / sizeof(norn_value *))) \
         ->out[0])

static inline norn_value *test_output(test_graph *t, norn_value *value) {
    CHECK(norn_graph_add_output(t->graph, value));
    return value;
}

static inline void test_print(test_graph *t) {
    norn_buffer text;
    norn_buffer_init(&text, t->graph->alloc);
    norn_graph_print(t->graph, &text);
    print_message("%.*s\n", (int)text.count, (const char *)text.bytes);
    norn_buffer_deinit(&text);
}

/// One pass, as the driver runs it.
static inline void test_run(test_graph *t, norn_status (*pass)(norn_pass_context *, norn_graph *)) {
    CHECK(pass(&t->context, t->graph));
    norn_graph_sweep(t->graph);
    CHECK(norn_pass_dead_code(&t->context, t->graph));
    norn_graph_sweep(t->graph);
    CHECK(norn_graph_verify(t->graph));
}

static inline uint32_t test_count(const test_graph *t, norn_op_id op) {
    uint32_t count = 0;
    for (const norn_node *node = t->graph->nodes; node; node = node->next)
        count += norn_node_is(node, op);
    return count;
}
static inline norn_node *test_find(const test_graph *t, norn_op_id op) {
    norn_node *node = t->graph->nodes;
    while (node && !norn_node_is(node, op)) node = node->next;
    assert_non_null(node);
    return node;
}
static inline norn_value *test_result(const test_graph *t, uint32_t index) {
    return t->graph->outputs[index].value;
}
static inline bool test_has_origin(const norn_node *node, const char *name) {
    for (uint32_t i = 0; i < node->origin.count; i++) {
        if (strcmp(node->origin.names[i], name) == 0) return true;
    }
    return false;
}

/// One element of a program's store 0 on float32 loads, by the reference.
static inline double test_program(const norn_scalar_program *program, const double *loads) {
    double f64[NORN_SCALAR_STORE_MAX];
    int64_t i64[NORN_SCALAR_STORE_MAX], none[NORN_SCALAR_LOAD_MAX] = {0};
    CHECK(norn_scalar_verify(program, 64, 8));
    norn_scalar_reference(program, loads, none, f64, i64);
    return f64[0];
}

#endif
