#include "graph/graph_file.h"

#include "base/memory.h"
#include "testing/failing_alloc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const norn_op_info infos[] = {
    {.id = 1, .name = "Relu", .domain = ""},
    {.id = 2, .name = "If", .domain = ""},
    {.id = 3, .name = "Pointwise", .domain = "norn"},
    {.id = 4, .name = "GemmRegion", .domain = "norn"},
    {.id = 5, .name = "Lookup", .domain = "norn"},
    {.id = 6, .name = "Interaction", .domain = "norn"},
    {.id = 7, .name = "RowReduce", .domain = "norn"},
};

static const norn_op_info *find_op(const char *domain, const char *name) {
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) {
        if (strcmp(infos[i].name, name) == 0 && strcmp(infos[i].domain, domain) == 0)
            return &infos[i];
    }
    return NULL;
}

typedef struct weights {
    _Alignas(64) uint8_t bytes[4096];
    size_t count;
} weights;

static norn_status put(void *context, const void *bytes, size_t count, uint64_t *offset) {
    weights *w = context;
    *offset = w->count;
    memcpy(w->bytes + w->count, bytes, count);
    w->count += (count + 63) / 64 * 64;
    return NORN_OK;
}

static norn_status get(void *context, uint64_t offset, size_t count, void **data) {
    weights *w = context;
    norn_span span;
    if (!norn_span_slice(norn_span_of(w->bytes, w->count), offset, count, &span)) {
        return norn_fail(NORN_DATA_LOSS, "outside of the weights");
    }
    *data = w->bytes + offset;
    return NORN_OK;
}

#define OK(expr) assert_int_equal((expr), NORN_OK)

static const norn_scalar_load loads[] = {
    {.input = 0, .dtype = NORN_F32},
    {.input = 1, .dtype = NORN_F32, .broadcast = {true, false}, .dynamic = true},
};
static const norn_scalar_instr instrs[] = {
    {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 0},
    {.op = NORN_SCALAR_LOAD, .dtype = NORN_F32, .load = 1},
    {.op = NORN_SCALAR_CONST, .dtype = NORN_F32, .f64 = -0.1},
    {.op = NORN_SCALAR_FMA, .dtype = NORN_F32, .a = 0, .b = 1, .c = 2},
};
static const uint16_t stores[] = {3};
static const norn_scalar_program program = {2, 4, 1, loads, instrs, stores};

static norn_value *add_value(norn_graph *graph, const char *name, norn_dtype dtype, norn_dim d0,
                             int64_t d1) {
    norn_shape shape = {.rank = 2, .dims = {d0, norn_dim_const(d1)}};
    norn_value *value;
    OK(norn_graph_value(graph, name, dtype, &shape, &value));
    return value;
}

static norn_node *add_node(norn_graph *graph, int op, norn_value *const *in, uint32_t in_count,
                           norn_value *out, norn_attrs attrs, const norn_region *region) {
    norn_node *node;
    OK(norn_graph_node(graph, NULL, &infos[op - 1], "n", in, in_count, &out, 1, attrs, NULL,
                       &node));
    node->region = region;
    return node;
}

/// One of everything.
static norn_graph *rich_graph(void) {
    static float w[4] = {1, 2, 3, 4};
    static const norn_string words[] = {{"one", 3}, {"two", 3}};
    static const int32_t pairs[] = {1, 0};
    static const norn_lookup_column column = {.table = 3,
                                              .dim = 4,
                                              .form = NORN_KEYS_CSR,
                                              .pool = NORN_POOL_MEAN,
                                              .rows_input = NORN_NO_INPUT,
                                              .keys_input = 0,
                                              .offsets_input = 1,
                                              .weights_input = NORN_NO_INPUT,
                                              .keys_first = 1,
                                              .keys_stride = 5,
                                              .keys_count = 2,
                                              .negative_wraps = true,
                                              .key_offset = -7,
                                              .has_padding = true,
                                              .padding_key = 11,
                                              .output = 0,
                                              .column = 12};
    static const norn_region pointwise = {.pointwise = {{2, 4, 1, loads, instrs, stores}, 3}};
    static norn_region gemm = {.gemm = {.k = 4, .n = 4, .b_layout = NORN_GEMM_PANELS}};
    static const norn_region lookup = {.lookup = {1, &column}};
    static const norn_region interaction = {.interaction = {.kind = NORN_INTERACTION_DOT,
                                                            .features = 2,
                                                            .dim = 2,
                                                            .part_count = 1,
                                                            .upper = true,
                                                            .pass_input = NORN_NO_INPUT,
                                                            .pair_order = pairs,
                                                            .pair_count = 1}};
    static norn_region reduce = {.row_reduce = {.kind = NORN_REDUCE_MAX, .reduced_dims = 1}};
    gemm.gemm.epilogue = program;
    reduce.row_reduce.prologue = program;

    norn_graph *graph, *body;
    int32_t b;
    OK(norn_graph_create("rich", norn_alloc_heap(), &graph));
    OK(norn_symbol_input(&graph->symbols, "B", &b));
    graph->batch = b;
    graph->symbols.at[b].max = 64;
    graph->symbols.at[b].opt = 8;
    norn_dim batch = norn_dim_symbol(b), squared;
    OK(norn_dim_apply(&graph->symbols, NORN_DIM_MUL, batch, batch, &squared));

    norn_value *x = add_value(graph, "x", NORN_F32, batch, 4);
    norn_value *keys = add_value(graph, "keys", NORN_I64, squared, 1);
    norn_value *unused = add_value(graph, "unused", NORN_I64, batch, 1);
    (void)unused;
    norn_value *weight;
    norn_view view = norn_view_of(NORN_F32, 2, (int64_t[]){2, 2}, w);
    OK(norn_graph_constant(graph, "w", &view, &weight));
    OK(norn_graph_add_input(graph, x));
    OK(norn_graph_add_input(graph, keys));

    norn_value *p = add_value(graph, "p", NORN_F32, batch, 4),
               *g = add_value(graph, "g", NORN_F32, batch, 4);
    norn_value *l = add_value(graph, "l", NORN_F32, batch, 16),
               *i = add_value(graph, "i", NORN_F32, batch, 1);
    norn_value *r = add_value(graph, "r", NORN_F32, batch, 1),
               *c = add_value(graph, "c", NORN_F32, batch, 1);
    norn_dim *contents = NULL;
    OK(NORN_TAKE_ARRAY(&graph->arena, 2, &contents));
    contents[0] = squared;
    contents[1] = norn_dim_const(4);
    p->contents = contents;
    p->contents_count = 2;
    static int64_t ints[] = {-1, 5};
    static float floats[] = {0.5f, -2};
    static norn_view tensor;
    tensor =
        (norn_view){.dtype = NORN_STRING, .rank = 1, .dims = {2}, .data = (void *)(uintptr_t)words};
    const norn_attr list[] = {
        {.name = "i", .kind = NORN_ATTR_INT, .i64 = -3},
        {.name = "f", .kind = NORN_ATTR_FLOAT, .f32 = 1.5f},
        {.name = "s", .kind = NORN_ATTR_STRING, .string = {"mode", 4}},
        {.name = "ii", .kind = NORN_ATTR_INTS, .count = 2, .ints = ints},
        {.name = "ff", .kind = NORN_ATTR_FLOATS, .count = 2, .floats = floats},
        {.name = "ss", .kind = NORN_ATTR_STRINGS, .count = 2, .strings = words},
        {.name = "t", .kind = NORN_ATTR_TENSOR, .tensor = &tensor},
    };
    norn_attrs attrs = {list, 7}, none = {0};
    add_node(graph, 3, (norn_value *[]){x, weight}, 2, p, attrs, &pointwise);
    add_node(graph, 4, (norn_value *[]){p, weight, NULL}, 3, g, none, &gemm);
    add_node(graph, 5, (norn_value *[]){keys, keys}, 2, l, none, &lookup);
    add_node(graph, 6, (norn_value *[]){l}, 1, i, none, &interaction);
    norn_node *node = add_node(graph, 7, (norn_value *[]){i, weight}, 2, r, none, &reduce);
    const char **names;
    OK(NORN_TAKE_ARRAY(&graph->arena, 2, &names));
    names[0] = "top/a", names[1] = "top/b";
    node->origin = (norn_origin){names, 2};

    OK(norn_graph_create_body(graph, "then", &body));
    norn_value *bx = add_value(body, "bx", NORN_F32, norn_dim_const(2), 1);
    norn_value *by = add_value(body, "by", NORN_F32, norn_dim_const(2), 1);
    OK(norn_graph_add_input(body, bx));
    add_node(body, 1, (norn_value *[]){bx}, 1, by, none, NULL);
    OK(norn_graph_add_output(body, by));
    norn_attr branch = {.name = "then_branch", .kind = NORN_ATTR_GRAPH, .graph = body};
    add_node(graph, 2, (norn_value *[]){r}, 1, c, (norn_attrs){&branch, 1}, NULL);
    OK(norn_graph_add_output(graph, c));
    OK(norn_graph_add_output(graph, g));
    graph->output_names[1] = "renamed";
    OK(norn_graph_verify(graph));
    return graph;
}

static void print(const norn_graph *graph, norn_buffer *out) {
    norn_buffer_init(out, norn_alloc_heap());
    norn_graph_print(graph, out);
    norn_buffer_append(out, "", 1);
    OK(norn_buffer_status(out));
}

static void encode(norn_graph *graph, weights *w, norn_buffer *out) {
    norn_graph_sink sink = {put, w};
    w->count = 0;
    norn_buffer_init(out, norn_alloc_heap());
    OK(norn_graph_encode(graph, &sink, out));
}

static void a_graph_comes_back_from_its_bytes(void **state) {
    (void)state;
    static weights w;
    norn_graph *graph = rich_graph(), *back, *clone;
    norn_buffer bytes, again, before, after;
    norn_graph_source source = {get, find_op, &w};
    encode(graph, &w, &bytes);
    OK(norn_graph_decode(norn_span_of(bytes.bytes, bytes.count), &source, norn_alloc_heap(),
                         &back));
    print(graph, &before);
    print(back, &after);
    assert_string_equal((const char *)before.bytes, (const char *)after.bytes);
    assert_string_equal(back->output_names[1], "renamed");
    assert_int_equal(back->value_count, graph->value_count);
    assert_int_equal(back->symbols.at[back->batch].max, 64);
    assert_int_equal(back->symbols.at[1].max, 4096); // derived: recomputed
    // Every field that the printer leaves out is compared by encoding again.
    w.count = 0;
    encode(back, &w, &again);
    assert_int_equal(again.count, bytes.count);
    assert_memory_equal(again.bytes, bytes.bytes, bytes.count);
    OK(norn_graph_clone(back, norn_alloc_heap(), &clone));
    norn_graph_destroy(back);
    OK(norn_graph_verify(clone));
    assert_int_equal(clone->node_count, graph->node_count);
    norn_graph_destroy(clone);
    norn_graph_destroy(graph);
    norn_buffer_deinit(&bytes);
    norn_buffer_deinit(&again);
    norn_buffer_deinit(&before);
    norn_buffer_deinit(&after);
}

static void every_truncation_and_every_flipped_byte_is_survived(void **state) {
    (void)state;
    static weights w;
    norn_graph *graph = rich_graph(), *back;
    norn_graph_source source = {get, find_op, &w};
    norn_buffer bytes;
    encode(graph, &w, &bytes);
    size_t refused = 0;
    for (size_t cut = 0; cut < bytes.count; cut++) {
        norn_status status =
            norn_graph_decode(norn_span_of(bytes.bytes, cut), &source, norn_alloc_heap(), &back);
        refused += status != NORN_OK;
        norn_graph_destroy(back);
    }
    assert_true(refused > bytes.count * 9 / 10);
    for (size_t at = 0; at < bytes.count; at++) {
        for (int mask = 1; mask < 256; mask = mask * 2 + 1) {
            bytes.bytes[at] ^= (uint8_t)mask;
            norn_status status = norn_graph_decode(norn_span_of(bytes.bytes, bytes.count), &source,
                                                   norn_alloc_heap(), &back);
            if (status == NORN_OK) OK(norn_graph_verify(back));
            if (status != NORN_OK && status != NORN_DATA_LOSS &&
                status != NORN_FAILED_PRECONDITION) {
                assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
            }
            norn_graph_destroy(back);
            bytes.bytes[at] ^= (uint8_t)mask;
        }
    }
    norn_buffer_deinit(&bytes);
    norn_graph_destroy(graph);
}

static void another_version_says_compile_again(void **state) {
    (void)state;
    norn_graph *back;
    norn_graph_source source = {get, find_op, NULL};
    norn_buffer bytes;
    norn_buffer_init(&bytes, norn_alloc_heap());
    norn_wire_put_varint(&bytes, 1, 99);
    assert_int_equal(norn_graph_decode(norn_span_of(bytes.bytes, bytes.count), &source,
                                       norn_alloc_heap(), &back),
                     NORN_FAILED_PRECONDITION);
    assert_null(back);
    assert_string_equal(norn_message(), "graph version 99, this build reads 3; compile again");
    norn_buffer_deinit(&bytes);
}

static void decoding_survives_every_failed_allocation(void **state) {
    (void)state;
    static weights w;
    norn_graph *graph = rich_graph(), *back;
    norn_graph_source source = {get, find_op, &w};
    norn_buffer bytes;
    encode(graph, &w, &bytes);
    for (size_t fail_at = 0;; fail_at++) {
        norn_alloc_faulty faulty = {.fail_at = fail_at};
        norn_status status = norn_graph_decode(norn_span_of(bytes.bytes, bytes.count), &source,
                                               norn_alloc_failing(&faulty), &back);
        if (status != NORN_OK) assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
        norn_graph_destroy(back);
        assert_int_equal(faulty.live, 0);
        if (status == NORN_OK) break;
    }
    norn_buffer_deinit(&bytes);
    norn_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_graph_comes_back_from_its_bytes),
        cmocka_unit_test(every_truncation_and_every_flipped_byte_is_survived),
        cmocka_unit_test(another_version_says_compile_again),
        cmocka_unit_test(decoding_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
