#include "plan/row_safe.h"

#include "plan/row_follow.h"
#include "testing/hand_graph.h"

/// Two open dims, "B" and "T"; every value of floats unless said.
typedef struct rows {
    hand h;
    norn_arena arena;
    int32_t time;
    uint32_t nodes;
    norn_row_safety safety;
} rows;

static const int64_t BATCH = -1, TIME = -2; // in a list of dims

static norn_dim dim_of(const rows *r, int64_t dim) {
    return dim == BATCH  ? norn_dim_symbol(r->h.batch)
           : dim == TIME ? norn_dim_symbol(r->time)
                         : norn_dim_const(dim);
}

static rows begin(void) {
    rows r = {.h = hand_begin(norn_alloc_heap(), 64)};
    norn_arena_init(&r.arena, norn_alloc_heap(), 4096);
    HAND_OK(norn_symbol_input(&r.h.graph->symbols, "T", &r.time));
    return r;
}

static norn_value *typed_input(rows *r, const char *name, norn_dtype dtype, int32_t rank,
                               const int64_t *dims) {
    norn_shape shape = {.rank = rank};
    for (int32_t d = 0; d < rank; d++) shape.dims[d] = dim_of(r, dims[d]);
    return hand_input(&r->h, name, dtype, shape);
}

#define INPUT(r, name, ...)                                                         \
    typed_input(r, name, NORN_F32, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), \
                (int64_t[]){__VA_ARGS__})
#define KEYS(r, name, ...)                                                          \
    typed_input(r, name, NORN_I64, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), \
                (int64_t[]){__VA_ARGS__})

static norn_value *ints(rows *r, int32_t count, const int64_t *values) {
    return hand_const(&r->h, "ints", NORN_I64, 1, (int64_t[]){count}, values);
}
#define INTS(r, ...) \
    ints(r, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})

static norn_value *scalar(rows *r, int64_t value) {
    return hand_const(&r->h, "scalar", NORN_I64, 0, NULL, &value);
}

static norn_value *floats(rows *r, int32_t rank, const int64_t *dims) {
    int64_t count = 1;
    for (int32_t d = 0; d < rank; d++) count *= dims[d];
    float *zeros = calloc((size_t)count + 1, sizeof *zeros);
    norn_value *value = hand_const(&r->h, "weights", NORN_F32, rank, dims, zeros);
    free(zeros);
    return value;
}
#define FLOATS(r, ...) \
    floats(r, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8), (int64_t[]){__VA_ARGS__})

static const norn_attr *int_attr(const char *name, int64_t value) {
    static norn_attr attrs[8];
    static uint32_t next;
    norn_attr *attr = &attrs[next++ % 8];
    *attr = (norn_attr){.name = name, .kind = NORN_ATTR_INT, .i64 = value};
    return attr;
}

/// Output 0 of a new node with inferred shapes. Up to two attributes.
static norn_node *node(rows *r, norn_op_id op, norn_value *const *in, uint32_t count,
                       uint32_t outputs, const norn_attr *a, const norn_attr *b) {
    norn_attr both[2];
    norn_attrs attrs = {both, 0};
    norn_value *out[4];
    const char *name;
    norn_shape unknown = norn_shape_unknown();
    if (a) both[attrs.count++] = *a;
    if (b) both[attrs.count++] = *b;
    HAND_OK(norn_arena_format(&r->h.graph->arena, &name, "%s_%u", norn_op_info_of(op)->name,
                              r->nodes++));
    for (uint32_t i = 0; i < outputs; i++)
        HAND_OK(norn_graph_value(r->h.graph, name, NORN_DTYPE_NONE, &unknown, &out[i]));
    norn_node *made;
    HAND_OK(norn_graph_node(r->h.graph, NULL, norn_op_info_of(op), name, in, count, out, outputs,
                            attrs, NULL, &made));
    for (uint32_t i = 0; i < outputs; i++) out[i]->dtype = NORN_F32; // where inference is silent
    HAND_OK(norn_node_infer(r->h.graph, made));
    return made;
}

#define OP(r, op, a, b, ...)                                                                \
    node(r, NORN_OP_##op, (norn_value *[]){__VA_ARGS__},                                    \
         (uint32_t)(sizeof((norn_value *[]){__VA_ARGS__}) / sizeof(norn_value *)), 1, a, b) \
        ->out[0]

static void end(rows *r) {
    norn_graph_destroy(r->h.graph);
    norn_arena_deinit(&r->arena);
}

/// `y` is the output: its rows may be joined (or what says no names `why`).
static void judge(rows *r, norn_value *y, const char *why) {
    hand_output(&r->h, y);
    HAND_OK(norn_row_safety_find(r->h.graph, &r->arena, &r->safety));
    const norn_row_verdict *join = &r->safety.join;
    if (why) {
        assert_false(join->allowed);
        if (!strstr(join->why, why)) print_error("'%s' should say '%s'\n", join->why, why);
        assert_non_null(strstr(join->why, why));
    } else {
        if (join->why) print_error("%s\n", join->why);
        assert_true(join->allowed);
        assert_null(join->why);
    }
    end(r);
}

static void every_operator_that_is_not_pointwise_has_a_rule(void **state) {
    (void)state;
    for (int op = 1; op < NORN_OP_COUNT; op++) {
        const norn_op_info *info = norn_op_info_of((norn_op_id)op);
        const bool has = norn_rows_rule_of(info) != NULL;
        if (strcmp(info->domain, "ai.norn") == 0) continue; // no plan has one: they become Lookups
        if (has == ((info->flags & NORN_OP_POINTWISE) != 0))
            print_error("operator %s: see plan/row_rules.inc\n", info->name);
        assert_int_equal(has, (info->flags & NORN_OP_POINTWISE) == 0);
    }
}

static void softmax_keeps_rows_apart_along_every_axis_but_the_batch(void **state) {
    (void)state;
    rows r = begin();
    judge(&r, OP(&r, Softmax, int_attr("axis", -1), NULL, INPUT(&r, "x", BATCH, 3)), NULL);
    r = begin();
    judge(&r, OP(&r, Softmax, int_attr("axis", 0), NULL, INPUT(&r, "x", BATCH, 3)),
          "'Softmax_0' (Softmax) works along the rows");
    r = begin();
    judge(&r, OP(&r, Softmax, int_attr("axis", -2), NULL, INPUT(&r, "x", BATCH, 3)), "Softmax_0");
    r = begin();
    judge(&r, OP(&r, Softmax, int_attr("axis", 1), NULL, INPUT(&r, "x", BATCH, TIME, 3)), NULL);
}

static void the_batch_is_followed_through_transposes_and_folds(void **state) {
    (void)state;
    rows r = begin();
    const int64_t swap[] = {1, 0, 2};
    norn_attr perm = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 3, .ints = swap};
    norn_value *x = INPUT(&r, "x", BATCH, 5, 4);
    norn_value *turned = OP(&r, Transpose, &perm, NULL, x);                    // [5, B, 4]
    norn_value *folded = OP(&r, Reshape, NULL, NULL, turned, INTS(&r, -1, 4)); // [5*B, 4]
    norn_value *dense = OP(&r, MatMul, NULL, NULL, folded, FLOATS(&r, 4, 2));  // [5*B, 2]
    norn_value *open = OP(&r, Reshape, NULL, NULL, dense, INTS(&r, 5, -1, 2)); // [5, B, 2]
    judge(&r, OP(&r, Transpose, &perm, NULL, open), NULL);

    r = begin(); // cut between rows instead of around them
    x = INPUT(&r, "x", BATCH, 5, 4);
    turned = OP(&r, Transpose, &perm, NULL, x);
    folded = OP(&r, Reshape, NULL, NULL, turned, INTS(&r, -1, 4));
    judge(&r, OP(&r, Reshape, NULL, NULL, folded, INTS(&r, -1, 5, 4)),
          "folds rows of the batch into one another");

    r = begin(); // a softmax over a fold of the batch with another dim
    folded = OP(&r, Reshape, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, -1));
    judge(&r, OP(&r, Softmax, int_attr("axis", 0), NULL, folded), "Softmax_1");

    r = begin(); // half of the rows beside the other half
    folded = OP(&r, Reshape, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 2, -1));
    judge(&r, OP(&r, Softmax, int_attr("axis", 0), NULL, folded), "'Reshape_0'");
}

static void a_product_of_rows_with_rows_is_refused(void **state) {
    (void)state;
    rows r = begin();
    norn_value *x = INPUT(&r, "x", BATCH, 4);
    norn_value *product = OP(&r, MatMul, NULL, NULL, x, OP(&r, Transpose, NULL, NULL, x));
    judge(&r, OP(&r, ReduceSum, NULL, NULL, product, INTS(&r, 1)), "'MatMul_1'");
    r = begin(); // within each row it is an attention
    const int64_t swap[] = {0, 2, 1};
    norn_attr perm = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 3, .ints = swap};
    x = INPUT(&r, "x", BATCH, TIME, 4);
    judge(&r, OP(&r, MatMul, NULL, NULL, x, OP(&r, Transpose, &perm, NULL, x)), NULL);
    r = begin();
    judge(&r, OP(&r, MatMul, NULL, NULL, FLOATS(&r, 3, 5), INPUT(&r, "x", BATCH, 5, 2)), NULL);
    r = begin();
    judge(&r, OP(&r, Gemm, int_attr("transA", 1), NULL, INPUT(&r, "x", 4, BATCH), FLOATS(&r, 4, 2)),
          "input 'x' has its rows in another dim");
}

static void a_broadcast_that_meets_the_batch_with_another_dim_is_refused(void **state) {
    (void)state;
    rows r = begin();
    judge(&r, OP(&r, Add, NULL, NULL, INPUT(&r, "x", BATCH, BATCH), FLOATS(&r, 1)),
          "input 'x' has the batch in two dims");
    r = begin(); // [B, 4, 1] + [B, 1]: the second one's rows meet the 4
    judge(&r, OP(&r, Add, NULL, NULL, INPUT(&r, "x", BATCH, 1, 4), INPUT(&r, "y", BATCH, 1)),
          "'Add_0'");
    r = begin();
    judge(&r, OP(&r, Add, NULL, NULL, INPUT(&r, "x", BATCH, 4), FLOATS(&r, 1, 4)), NULL);
    r = begin(); // a table by place in the batch
    judge(&r, OP(&r, Add, NULL, NULL, INPUT(&r, "x", BATCH, 4), FLOATS(&r, 5, 4)), "'Add_0'");
}

static void the_number_of_rows_may_be_a_shape_but_no_value(void **state) {
    (void)state;
    rows r = begin();
    norn_value *x = INPUT(&r, "x", BATCH, 4), *shape = OP(&r, Shape, NULL, NULL, x);
    norn_value *first = OP(&r, Gather, NULL, NULL, shape, INTS(&r, 0));
    norn_value *both = OP(&r, Concat, int_attr("axis", 0), NULL, first, INTS(&r, 2, 2));
    judge(&r, OP(&r, Reshape, NULL, NULL, x, both), NULL);
    r = begin();
    x = INPUT(&r, "x", BATCH, 4), shape = OP(&r, Shape, NULL, NULL, x);
    norn_value *filled = OP(&r, ConstantOfShape, NULL, NULL, shape);
    judge(&r, OP(&r, Add, NULL, NULL, x, filled), NULL);
    r = begin();
    x = INPUT(&r, "x", BATCH, 4), shape = OP(&r, Shape, NULL, NULL, x);
    norn_value *size = OP(&r, Cast, int_attr("to", NORN_F32), NULL,
                          OP(&r, Gather, NULL, NULL, shape, scalar(&r, 0)));
    judge(&r, OP(&r, Div, NULL, NULL, x, size), "'Div_3' (Div) computes with the number of rows");
    r = begin(); // another dim than the batch is the same in all requests that are joined
    x = INPUT(&r, "x", BATCH, TIME), shape = OP(&r, Shape, NULL, NULL, x);
    size = OP(&r, Cast, int_attr("to", NORN_F32), NULL,
              OP(&r, Gather, NULL, NULL, shape, scalar(&r, 1)));
    judge(&r, OP(&r, Div, NULL, NULL, x, size), NULL);
    r = begin();
    x = INPUT(&r, "x", BATCH, 4), shape = OP(&r, Shape, NULL, NULL, x);
    norn_value *range = OP(&r, Range, NULL, NULL, scalar(&r, 0),
                           OP(&r, Gather, NULL, NULL, shape, scalar(&r, 0)), scalar(&r, 1));
    judge(&r, OP(&r, Cast, int_attr("to", NORN_F32), NULL, range), "Range");
}

static void rows_are_not_picked_cut_or_moved_by_their_place(void **state) {
    (void)state;
    rows r = begin();
    judge(&r, OP(&r, Gather, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, -1)), "'Gather_0'");
    r = begin();
    judge(&r, OP(&r, Gather, int_attr("axis", 1), NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, -1)),
          NULL);
    r = begin();
    judge(&r, OP(&r, Gather, NULL, NULL, FLOATS(&r, 9, 4), KEYS(&r, "k", BATCH, 3)), NULL);
    r = begin();
    judge(&r,
          OP(&r, Slice, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 1), INTS(&r, INT64_MAX),
             INTS(&r, 0)),
          "'Slice_0'");
    r = begin(); // from the first to the last, every other one
    judge(&r,
          OP(&r, Slice, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 0), INTS(&r, INT64_MAX),
             INTS(&r, 0), INTS(&r, 2)),
          "'Slice_0'");
    r = begin(); // the whole batch, by name, and less of another dim
    judge(&r,
          OP(&r, Slice, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 0, 1),
             INTS(&r, INT64_MAX, 3), INTS(&r, 0, 1), INTS(&r, 1, 1)),
          NULL);
    r = begin(); // the batch is the second dim that it cuts
    judge(&r,
          OP(&r, Slice, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 0, -1),
             INTS(&r, INT64_MAX, -INT64_MAX), INTS(&r, 1, 0), INTS(&r, 1, -1)),
          "'Slice_0'");
    r = begin(); // from the end to the front: as long, and another order
    judge(&r,
          OP(&r, Slice, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, -1), INTS(&r, -INT64_MAX),
             INTS(&r, 0), INTS(&r, -1)),
          "'Slice_0'");
    r = begin();
    judge(
        &r,
        OP(&r, Slice, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 1), INTS(&r, 3), INTS(&r, -1)),
        NULL);
    r = begin();
    norn_value *x = INPUT(&r, "x", BATCH, 4);
    norn_value *part = OP(&r, Slice, NULL, NULL, x, INTS(&r, 0), INTS(&r, INT64_MAX), INTS(&r, 0));
    judge(&r, part, NULL); // all of it; steps are 1 where none are given
    const int64_t steps[][2] = {{-1, 1}, {1, -1}, {2, 1}, {1, 2}};
    for (int i = 0; i < 4; i++) { // a plan file may say that rows stay where they are
        r = begin();
        x = INPUT(&r, "x", BATCH, 4);
        part = OP(&r, Slice, NULL, NULL, x, INTS(&r, 0, 0), INTS(&r, INT64_MAX, INT64_MAX),
                  INTS(&r, 0, 1), ints(&r, 2, steps[i]));
        part->shape = x->shape;
        judge(&r, part, "'Slice_0'");
    }
    r = begin(); // steps that come with the request
    x = INPUT(&r, "x", BATCH, 4);
    part = OP(&r, Slice, NULL, NULL, x, INTS(&r, 0), INTS(&r, INT64_MAX), INTS(&r, 0),
              KEYS(&r, "steps", 1));
    part->shape = x->shape;
    judge(&r, part, "'Slice_0'");
    r = begin();
    x = INPUT(&r, "x", BATCH, 4);
    judge(&r, OP(&r, Concat, int_attr("axis", 0), NULL, x, x), "'Concat_0'");
    r = begin();
    x = INPUT(&r, "x", BATCH, 4);
    judge(&r, OP(&r, Concat, int_attr("axis", -1), NULL, x, x), NULL);
    r = begin();
    judge(&r, OP(&r, Pad, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 1, 0, -1, 0)), "'Pad_0'");
    r = begin();
    judge(&r, OP(&r, Pad, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 0, 1, 0, 1)), NULL);
    r = begin();
    judge(&r, OP(&r, Tile, NULL, NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 2, 1)), "'Tile_0'");
}

static void a_slice_without_axes_cuts_the_first_dims(void **state) {
    (void)state;
    const int64_t swap[] = {1, 0, 2}, starts[] = {0, 0}, ends[] = {1, 2};
    const norn_attr perm = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 3, .ints = swap};
    for (int count = 1; count <= 2; count++) { // of [3, B, 4]: 3 alone, or the rows too
        rows r = begin();
        norn_value *x = OP(&r, Transpose, &perm, NULL, INPUT(&r, "x", BATCH, 3, 4));
        norn_value *part =
            OP(&r, Slice, NULL, NULL, x, ints(&r, count, starts), ints(&r, count, ends));
        judge(&r, OP(&r, Transpose, &perm, NULL, part), count == 2 ? "'Slice_1'" : NULL);
    }
}

/// Rows are dim 1 of [3, B, 4]. The sizes stay as they are, which alone proves nothing.
static void only_a_slice_of_other_dims_may_turn_them_around(void **state) {
    static const struct {
        int64_t axes[2], steps[2];
        int32_t count;
        bool named, apart;
    } cases[] = {{{0}, {-1}, 1, true, true},         {{2}, {-1}, 1, true, true},
                 {{-1}, {-1}, 1, true, true},        {{-3}, {-1}, 1, true, true},
                 {{0, 2}, {-1, -1}, 2, true, true},  {{1}, {-1}, 1, true, false},
                 {{-2}, {-1}, 1, true, false},       {{0, 1}, {1, -1}, 2, true, false},
                 {{0, -2}, {1, -1}, 2, true, false}, {{0}, {-1}, 1, false, true},
                 {{0, 1}, {1, -1}, 2, false, false}};
    const int64_t swap[] = {1, 0, 2}, starts[] = {-1, -1}, ends[] = {-INT64_MAX, -INT64_MAX};
    const norn_attr perm = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 3, .ints = swap};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rows r = begin();
        const int32_t n = cases[i].count;
        norn_value *x = OP(&r, Transpose, &perm, NULL, INPUT(&r, "x", BATCH, 3, 4));
        norn_value *part =
            OP(&r, Slice, NULL, NULL, x, ints(&r, n, starts), ints(&r, n, ends),
               cases[i].named ? ints(&r, n, cases[i].axes) : NULL, ints(&r, n, cases[i].steps));
        part->shape = x->shape;
        judge(&r, OP(&r, Transpose, &perm, NULL, part), cases[i].apart ? NULL : "'Slice_1'");
    }
    rows r = begin(); // axes that come with the request may be any
    norn_value *x = OP(&r, Transpose, &perm, NULL, INPUT(&r, "x", BATCH, 3, 4));
    norn_value *part = OP(&r, Slice, NULL, NULL, x, INTS(&r, -1), INTS(&r, -INT64_MAX),
                          KEYS(&r, "axes", 1), INTS(&r, -1));
    part->shape = x->shape;
    judge(&r, OP(&r, Transpose, &perm, NULL, part), "'Slice_1'");
}

static void repeated_values_keep_rows_where_they_are(void **state) {
    (void)state;
    rows r = begin(); // the rows move by the dims that are new in front
    norn_value *x = INPUT(&r, "x", BATCH, 1);
    const int64_t swap[] = {1, 0, 2};
    const norn_attr perm = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 3, .ints = swap};
    norn_value *wide = OP(&r, Expand, NULL, NULL, x, INTS(&r, 5, 1, 4));
    judge(&r, OP(&r, Transpose, &perm, NULL, wide), NULL);
    r = begin();
    wide = OP(&r, Expand, NULL, NULL, INPUT(&r, "x", BATCH, 1), INTS(&r, 1, 4));
    judge(&r, wide, NULL);
    r = begin(); // a constant row for all, by the number of rows
    x = INPUT(&r, "x", BATCH, 4);
    norn_value *shape = OP(&r, Shape, NULL, NULL, x);
    judge(&r, OP(&r, Add, NULL, NULL, x, OP(&r, Expand, NULL, NULL, FLOATS(&r, 1, 4), shape)),
          NULL);
    r = begin(); // and how often comes with the request
    judge(&r, OP(&r, Expand, NULL, NULL, INPUT(&r, "x", BATCH, 1), KEYS(&r, "times", 2)),
          "'Expand_0'");
}

static void sums_and_statistics_over_the_batch_are_refused(void **state) {
    (void)state;
    rows r = begin();
    judge(&r, OP(&r, CumSum, NULL, NULL, INPUT(&r, "x", BATCH, 4), scalar(&r, 0)), "'CumSum_0'");
    r = begin();
    judge(&r, OP(&r, CumSum, NULL, NULL, INPUT(&r, "x", BATCH, 4), scalar(&r, -1)), NULL);
    r = begin();
    judge(&r, OP(&r, ReduceMean, int_attr("keepdims", 0), NULL, INPUT(&r, "x", BATCH, 4)),
          "'ReduceMean_0'");
    r = begin();
    judge(&r,
          OP(&r, ReduceMean, int_attr("keepdims", 0), NULL, INPUT(&r, "x", 3, BATCH, 4),
             INTS(&r, 0, -1)),
          "input 'x'");
    r = begin();
    judge(&r, OP(&r, TopK, int_attr("axis", 0), NULL, INPUT(&r, "x", BATCH, 4), INTS(&r, 1)),
          "'TopK_0'");
    r = begin();
    judge(&r,
          OP(&r, LayerNormalization, int_attr("axis", 1), NULL, INPUT(&r, "x", BATCH, 4),
             FLOATS(&r, 4)),
          NULL);
    r = begin();
    judge(&r,
          OP(&r, LayerNormalization, int_attr("axis", 0), NULL, INPUT(&r, "x", BATCH, 4),
             FLOATS(&r, 4)),
          "'LayerNormalization_0'");
    r = begin();
    norn_node *quantised = node(&r, NORN_OP_DynamicQuantizeLinear,
                                (norn_value *[]){INPUT(&r, "x", BATCH, 4)}, 1, 3, NULL, NULL);
    judge(&r, quantised->out[0], "one scale for all rows");
    r = begin(); // kept, for it says how rows were drawn
    judge(&r, OP(&r, RandomNormalLike, NULL, NULL, INPUT(&r, "x", BATCH, 4)), "random");
}

static void a_recurrent_layer_runs_over_time_and_not_over_the_batch(void **state) {
    (void)state;
    rows r = begin();
    norn_value *w = FLOATS(&r, 1, 6, 4), *u = FLOATS(&r, 1, 6, 2);
    judge(&r, OP(&r, GRU, int_attr("hidden_size", 2), NULL, INPUT(&r, "x", BATCH, TIME, 4), w, u),
          "'GRU_0' (GRU) runs from one row of the batch to the next");
    r = begin();
    w = FLOATS(&r, 1, 6, 4), u = FLOATS(&r, 1, 6, 2);
    judge(&r,
          OP(&r, GRU, int_attr("hidden_size", 2), int_attr("layout", 1),
             INPUT(&r, "x", BATCH, TIME, 4), w, u),
          NULL);
    r = begin();
    w = FLOATS(&r, 1, 6, 4), u = FLOATS(&r, 1, 6, 2);
    const int64_t swap[] = {1, 0, 2}, first[] = {2, 0, 1, 3};
    norn_attr perm = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 3, .ints = swap},
              back = {.name = "perm", .kind = NORN_ATTR_INTS, .count = 4, .ints = first};
    norn_value *turned = OP(&r, Transpose, &perm, NULL, INPUT(&r, "x", BATCH, TIME, 4));
    norn_value *y = OP(&r, GRU, int_attr("hidden_size", 2), NULL, turned, w, u);
    judge(&r, OP(&r, Transpose, &back, NULL, y), NULL);
}

static void images_have_their_rows_first(void **state) {
    (void)state;
    rows r = begin();
    judge(&r, OP(&r, Conv, NULL, NULL, INPUT(&r, "x", BATCH, 3, 8, 8), FLOATS(&r, 2, 3, 3, 3)),
          NULL);
    r = begin();
    norn_value *ones = FLOATS(&r, 3);
    judge(&r, OP(&r, InstanceNormalization, NULL, NULL, INPUT(&r, "x", BATCH, 3, 8), ones, ones),
          NULL);
    r = begin();
    ones = FLOATS(&r, 3);
    judge(
        &r,
        OP(&r, BatchNormalization, NULL, NULL, INPUT(&r, "x", BATCH, 3, 8), ones, ones, ones, ones),
        NULL);
    r = begin();
    judge(&r, OP(&r, MeanVarianceNormalization, NULL, NULL, INPUT(&r, "x", BATCH, 3, 8, 8)),
          "'MeanVarianceNormalization_0'");
    r = begin(); // its indices count from the first row of the batch
    const int64_t two[] = {2, 2};
    norn_attr window = {.name = "kernel_shape", .kind = NORN_ATTR_INTS, .count = 2, .ints = two};
    norn_node *pool = node(&r, NORN_OP_MaxPool, (norn_value *[]){INPUT(&r, "x", BATCH, 3, 8, 8)}, 1,
                           2, &window, NULL);
    judge(&r, pool->out[0], "'MaxPool_0'");
}

static void what_is_the_same_for_all_may_be_split_over_and_not_joined(void **state) {
    (void)state;
    rows r = begin();
    norn_value *y = OP(&r, Mul, NULL, NULL, INPUT(&r, "x", BATCH, 4), INPUT(&r, "temperature", 1));
    hand_output(&r.h, y);
    HAND_OK(norn_row_safety_find(r.h.graph, &r.arena, &r.safety));
    assert_false(r.safety.join.allowed);
    assert_non_null(strstr(r.safety.join.why, "'temperature'"));
    assert_true(r.safety.split.allowed);
    assert_true(r.safety.pad.allowed);
    assert_int_equal(r.safety.pads[0], NORN_PAD_LAST_ROW);
    assert_int_equal(r.safety.pads[1], NORN_PAD_NONE);
    assert_int_equal(r.safety.output_rows[0], 1);
    end(&r);
}

static void several_entries_a_row_and_none_at_all_are_counted(void **state) {
    (void)state;
    rows r = begin();
    norn_value *x = INPUT(&r, "x", BATCH, 3, 4);
    hand_output(&r.h, OP(&r, Reshape, NULL, NULL, x, INTS(&r, -1, 4)));
    hand_output(&r.h, OP(&r, Relu, NULL, NULL, x));
    hand_output(&r.h, FLOATS(&r, 7));
    HAND_OK(norn_row_safety_find(r.h.graph, &r.arena, &r.safety));
    assert_true(r.safety.join.allowed);
    assert_int_equal(r.safety.output_rows[0], 3);
    assert_int_equal(r.safety.output_rows[1], 1);
    assert_int_equal(r.safety.output_rows[2], 0);
    end(&r);
}

/// One pooled column of bags: keys [T] by offsets [B + 1], or [B, 3].
static norn_value *lookup(rows *r, norn_value *keys, norn_value *offsets) {
    norn_lookup_column *column;
    norn_region *region;
    HAND_OK(NORN_TAKE(&r->h.graph->arena, &column));
    HAND_OK(NORN_TAKE(&r->h.graph->arena, &region));
    *column = (norn_lookup_column){.dim = 4,
                                   .form = offsets ? NORN_KEYS_CSR : NORN_KEYS_FIXED,
                                   .pool = NORN_POOL_SUM,
                                   .rows_input = NORN_NO_INPUT,
                                   .offsets_input = offsets ? 1 : NORN_NO_INPUT,
                                   .weights_input = NORN_NO_INPUT};
    region->lookup = (norn_lookup_region){1, column};
    norn_value *y = hand_value(&r->h, "bags", NORN_F32, hand_rows(&r->h, 4));
    hand_node(&r->h, NORN_OP_Lookup, "bag", (norn_value *[]){keys, offsets}, offsets ? 2 : 1, &y, 1,
              (norn_attrs){0}, region);
    return y;
}

static void ragged_rows_are_padded_but_not_joined_yet(void **state) {
    (void)state;
    rows r = begin();
    norn_value *keys = KEYS(&r, "keys", TIME), *offsets = KEYS(&r, "offsets", BATCH);
    offsets->shape.dims[0].constant = 1;
    hand_output(&r.h, lookup(&r, keys, offsets));
    HAND_OK(norn_row_safety_find(r.h.graph, &r.arena, &r.safety));
    assert_false(r.safety.join.allowed);
    assert_false(r.safety.split.allowed);
    assert_non_null(strstr(r.safety.split.why, "'offsets' holds offsets of ragged rows"));
    assert_true(r.safety.pad.allowed);
    assert_true(r.safety.symbol[r.h.batch] && r.safety.symbol[r.time]);
    assert_int_equal(r.safety.pads[0], NORN_PAD_LAST_ROW);
    assert_int_equal(r.safety.pads[1], NORN_PAD_LAST_ELEM);
    end(&r);
    r = begin();
    judge(&r, lookup(&r, KEYS(&r, "keys", BATCH, 3), NULL), NULL);
    r = begin(); // half a row of keys each, by what a plan file declares
    norn_value *y = lookup(&r, KEYS(&r, "keys", BATCH, 3), NULL);
    y->shape.dims[0].coef = 2;
    judge(&r, y, "'bag' (Lookup)");
    r = begin(); // offsets that are computed with are numbers of the batch
    keys = KEYS(&r, "keys", TIME), offsets = KEYS(&r, "offsets", BATCH);
    offsets->shape.dims[0].constant = 1;
    hand_output(&r.h, OP(&r, Neg, NULL, NULL, offsets));
    judge(&r, lookup(&r, keys, offsets), "input 'offsets'");
}

static void a_length_of_ragged_rows_is_found_whichever_symbol_it_is(void **state) {
    (void)state;
    for (int other = 0; other < 2; other++)
        for (int more = 0; more <= 14; more += 14) { // 16 fill the room of a graph's symbols
            rows r = begin();
            if (other) { // "T" for the batch
                const int32_t batch = r.h.batch;
                r.h.batch = r.h.graph->batch = r.time;
                r.time = batch;
            }
            for (int i = 0; i < more; i++) {
                norn_dim unused;
                HAND_OK(norn_symbol_runtime(&r.h.graph->symbols, &unused));
            }
            norn_value *keys = KEYS(&r, "keys", TIME), *offsets = KEYS(&r, "offsets", BATCH);
            offsets->shape.dims[0].constant = 1;
            hand_output(&r.h, lookup(&r, keys, offsets));
            HAND_OK(norn_row_safety_find(r.h.graph, &r.arena, &r.safety));
            assert_true(r.safety.pad.allowed);
            assert_int_equal(r.safety.pads[0], NORN_PAD_LAST_ROW);
            assert_int_equal(r.safety.pads[1], NORN_PAD_LAST_ELEM);
            for (int32_t s = 0; s < r.h.graph->symbols.count + 1; s++)
                assert_int_equal(r.safety.symbol[s], s < 2); // [count] is room, nobody's
            end(&r);
        }
}

static void a_size_that_data_decides_is_no_length_of_ragged_rows(void **state) {
    (void)state;
    rows r = begin();
    norn_value *keys = KEYS(&r, "keys", TIME), *offsets = KEYS(&r, "offsets", BATCH);
    offsets->shape.dims[0].constant = 1;
    hand_output(&r.h, lookup(&r, keys, offsets));
    norn_value *found = hand_value(&r.h, "found", NORN_F32, (norn_shape){.rank = 1});
    HAND_OK(norn_symbol_runtime(&r.h.graph->symbols, &found->shape.dims[0]));
    hand_node(&r.h, NORN_OP_Compress, "some", (norn_value *[]){INPUT(&r, "all", 3)}, 1, &found, 1,
              (norn_attrs){0}, NULL);
    hand_output(&r.h, found);
    HAND_OK(norn_row_safety_find(r.h.graph, &r.arena, &r.safety));
    assert_true(r.safety.symbol[r.time]); // which `found` has nothing to do with
    assert_int_equal(r.safety.pads[0], NORN_PAD_LAST_ROW);
    assert_int_equal(r.safety.pads[2], NORN_PAD_NONE);
    assert_false(r.safety.symbol[found->shape.dims[0].symbol]);
    end(&r);
}

static void a_declared_shape_that_hides_the_batch_is_not_believed(void **state) {
    (void)state;
    rows r = begin(); // a plan file may say that a transpose leaves rows where they are
    norn_value *y = OP(&r, Transpose, NULL, NULL, INPUT(&r, "x", BATCH, 4));
    y->shape.dims[0] = norn_dim_symbol(r.h.batch), y->shape.dims[1] = norn_dim_const(4);
    judge(&r, y, "rows cannot be told apart");
    r = begin(); // or that Shape gives a constant
    norn_value *x = INPUT(&r, "x", BATCH, 4), *shape = OP(&r, Shape, NULL, NULL, x);
    static const norn_dim lie[] = {{4, 0, -1}, {4, 0, -1}};
    shape->contents = lie;
    norn_value *size = OP(&r, Cast, int_attr("to", NORN_F32), NULL,
                          OP(&r, Gather, NULL, NULL, shape, scalar(&r, 0)));
    judge(&r, OP(&r, Div, NULL, NULL, x, size), "'Div_3'");
}

static void a_model_without_an_open_batch_is_never_joined(void **state) {
    (void)state;
    rows r = begin();
    r.h.graph->batch = -1;
    judge(&r, OP(&r, Relu, NULL, NULL, INPUT(&r, "x", 1, 4)), "no input has a batch");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator_that_is_not_pointwise_has_a_rule),
        cmocka_unit_test(softmax_keeps_rows_apart_along_every_axis_but_the_batch),
        cmocka_unit_test(the_batch_is_followed_through_transposes_and_folds),
        cmocka_unit_test(a_product_of_rows_with_rows_is_refused),
        cmocka_unit_test(a_broadcast_that_meets_the_batch_with_another_dim_is_refused),
        cmocka_unit_test(the_number_of_rows_may_be_a_shape_but_no_value),
        cmocka_unit_test(rows_are_not_picked_cut_or_moved_by_their_place),
        cmocka_unit_test(a_slice_without_axes_cuts_the_first_dims),
        cmocka_unit_test(only_a_slice_of_other_dims_may_turn_them_around),
        cmocka_unit_test(repeated_values_keep_rows_where_they_are),
        cmocka_unit_test(sums_and_statistics_over_the_batch_are_refused),
        cmocka_unit_test(a_recurrent_layer_runs_over_time_and_not_over_the_batch),
        cmocka_unit_test(images_have_their_rows_first),
        cmocka_unit_test(what_is_the_same_for_all_may_be_split_over_and_not_joined),
        cmocka_unit_test(several_entries_a_row_and_none_at_all_are_counted),
        cmocka_unit_test(ragged_rows_are_padded_but_not_joined_yet),
        cmocka_unit_test(a_length_of_ragged_rows_is_found_whichever_symbol_it_is),
        cmocka_unit_test(a_size_that_data_decides_is_no_length_of_ragged_rows),
        cmocka_unit_test(a_declared_shape_that_hides_the_batch_is_not_believed),
        cmocka_unit_test(a_model_without_an_open_batch_is_never_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
