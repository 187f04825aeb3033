/// Regions in a plan file: every field comes back, and what does not fit the node is refused.
#include "base/memory.h"
#include "graph/graph_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { IN = 5, OUT = 3 };

static norn_arena arena;

static int setup(void **state) {
    (void)state;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    norn_arena_deinit(&arena);
    return 0;
}

static norn_status round_trip(norn_region_kind kind, const norn_region *region,
                              const norn_region **back) {
    norn_buffer bytes;
    norn_buffer_init(&bytes, norn_alloc_heap());
    norn_region_encode(kind, region, &bytes);
    assert_int_equal(norn_buffer_status(&bytes), NORN_OK);
    const norn_status status =
        norn_region_decode(kind, norn_span_of(bytes.bytes, bytes.count), &arena, IN, OUT, back);
    norn_buffer_deinit(&bytes);
    return status;
}

static void refused(norn_region_kind kind, const norn_region *region, const char *words) {
    const norn_region *back;
    if (round_trip(kind, region, &back) != NORN_DATA_LOSS || !strstr(norn_message(), words))
        fail_msg("%s, not: %s", norn_message(), words);
}

#define SAME(a, b, field) assert_true((a)->field == (b)->field)

static void same_program(const norn_scalar_program *a, const norn_scalar_program *b) {
    SAME(a, b, load_count);
    SAME(a, b, instr_count);
    SAME(a, b, store_count);
    for (uint32_t i = 0; i < a->load_count; i++) {
        SAME(&a->loads[i], &b->loads[i], input);
        SAME(&a->loads[i], &b->loads[i], dtype);
        SAME(&a->loads[i], &b->loads[i], dynamic);
        for (int d = 0; d < NORN_MAX_RANK; d++) SAME(&a->loads[i], &b->loads[i], broadcast[d]);
    }
    for (uint32_t i = 0; i < a->instr_count; i++) {
        SAME(&a->instrs[i], &b->instrs[i], op);
        SAME(&a->instrs[i], &b->instrs[i], dtype);
        SAME(&a->instrs[i], &b->instrs[i], a);
        SAME(&a->instrs[i], &b->instrs[i], b);
        SAME(&a->instrs[i], &b->instrs[i], c);
        SAME(&a->instrs[i], &b->instrs[i], load);
        SAME(&a->instrs[i], &b->instrs[i], f64);
        SAME(&a->instrs[i], &b->instrs[i], i64);
    }
    for (uint32_t i = 0; i < a->store_count; i++) SAME(a, b, stores[i]);
}

static norn_scalar_load loads[NORN_SCALAR_LOAD_MAX + 1];
static norn_scalar_instr instrs[NORN_SCALAR_INSTR_MAX + 1];
static uint16_t stores[NORN_SCALAR_STORE_MAX + 1];

/// Two loads, a constant of each kind, their sum and three stores.
static norn_scalar_program program(void) {
    memset(loads, 0, sizeof loads);
    memset(instrs, 0, sizeof instrs);
    loads[0] = (norn_scalar_load){.input = NORN_SCALAR_ACC, .dtype = NORN_F16};
    loads[1] = (norn_scalar_load){.input = IN - 1, .dtype = NORN_F64, .dynamic = true};
    loads[0].broadcast[0] = loads[1].broadcast[NORN_MAX_RANK - 1] = loads[1].broadcast[3] = true;
    instrs[0] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = NORN_F32};
    instrs[1] = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = NORN_F64, .load = 1};
    instrs[2] = (norn_scalar_instr){.op = NORN_SCALAR_CONST, .dtype = NORN_F64, .f64 = -0.1};
    instrs[3] =
        (norn_scalar_instr){.op = NORN_SCALAR_CONST, .dtype = NORN_I64, .i64 = INT64_MIN, .f64 = 3};
    instrs[4] =
        (norn_scalar_instr){.op = NORN_SCALAR_FMA, .dtype = NORN_F32, .a = 1, .b = 2, .c = 3};
    stores[0] = 4, stores[1] = 2, stores[2] = 0;
    return (norn_scalar_program){2, 5, 3, loads, instrs, stores};
}

static void a_product_comes_back(void **state) {
    (void)state;
    const norn_region *back;
    norn_region region = {
        .gemm = {
            .k = 7, .n = 9, .b_layout = NORN_GEMM_PANELS, .out = NORN_BF16, .epilogue = program()}};
    for (int plain = 0; plain < 2; plain++) {
        if (plain) region.gemm = (norn_gemm_region){.b_layout = NORN_GEMM_COLUMNS};
        assert_int_equal(round_trip(NORN_REGION_GEMM, &region, &back), NORN_OK);
        SAME(&region, back, gemm.k);
        SAME(&region, back, gemm.n);
        SAME(&region, back, gemm.b_layout);
        SAME(&region, back, gemm.out);
        same_program(&region.gemm.epilogue, &back->gemm.epilogue);
    }
    region.gemm.b_layout = NORN_GEMM_LAYOUTS;
    refused(NORN_REGION_GEMM, &region, "layout of a product's B");
    region.gemm = (norn_gemm_region){.k = -1};
    refused(NORN_REGION_GEMM, &region, "size of a product");
    region.gemm = (norn_gemm_region){.n = -1};
    refused(NORN_REGION_GEMM, &region, "size of a product");
    region.gemm = (norn_gemm_region){.out = (norn_dtype)0xfff};
    refused(NORN_REGION_GEMM, &region, "type of a product");
}

static void a_reduction_comes_back(void **state) {
    (void)state;
    const norn_region *back;
    norn_region region = {.row_reduce = {.kind = NORN_REDUCE_PROD,
                                         .reduced_dims = NORN_MAX_RANK,
                                         .inner_dims = 3,
                                         .keep_dims = true,
                                         .prologue = program(),
                                         .epilogue = program()}};
    region.row_reduce.epilogue.instr_count = 3, region.row_reduce.epilogue.store_count = 0;
    for (int plain = 0; plain < 2; plain++) {
        if (plain)
            region.row_reduce = (norn_row_reduce_region){
                .kind = NORN_REDUCE_MEAN, .reduced_dims = 1, .inner_dims = NORN_MAX_RANK};
        assert_int_equal(round_trip(NORN_REGION_ROW_REDUCE, &region, &back), NORN_OK);
        SAME(&region, back, row_reduce.kind);
        SAME(&region, back, row_reduce.reduced_dims);
        SAME(&region, back, row_reduce.inner_dims);
        SAME(&region, back, row_reduce.keep_dims);
        same_program(&region.row_reduce.prologue, &back->row_reduce.prologue);
        same_program(&region.row_reduce.epilogue, &back->row_reduce.epilogue);
    }
    region.row_reduce = (norn_row_reduce_region){.kind = (norn_reduce_kind)(NORN_REDUCE_PROD + 1)};
    refused(NORN_REGION_ROW_REDUCE, &region, "kind of reduction");
    region.row_reduce = (norn_row_reduce_region){.reduced_dims = NORN_MAX_RANK + 1};
    refused(NORN_REGION_ROW_REDUCE, &region, "dimensions of a reduction");
    region.row_reduce = (norn_row_reduce_region){.inner_dims = NORN_MAX_RANK + 1};
    refused(NORN_REGION_ROW_REDUCE, &region, "dimensions of a reduction");
}

static norn_lookup_column column(void) {
    return (norn_lookup_column){.table = 11,
                                .dim = 12,
                                .form = NORN_KEYS_CSR,
                                .pool = NORN_POOL_MAX,
                                .rows_input = 4,
                                .keys_input = 3,
                                .offsets_input = 2,
                                .weights_input = 1,
                                .keys_first = 13,
                                .keys_stride = 14,
                                .keys_count = 15,
                                .negative_wraps = true,
                                .key_offset = -16,
                                .has_padding = true,
                                .padding_key = -17,
                                .output = OUT - 1,
                                .out = NORN_F16,
                                .column = 18};
}

static void a_lookup_comes_back(void **state) {
    (void)state;
    const norn_region *back;
    norn_lookup_column columns[3] = {column(),
                                     {.dim = 1,
                                      .form = NORN_KEYS_FIXED,
                                      .pool = NORN_POOL_SUM,
                                      .rows_input = NORN_NO_INPUT,
                                      .offsets_input = NORN_NO_INPUT,
                                      .weights_input = NORN_NO_INPUT},
                                     column()};
    columns[2].table = 99;
    const norn_region region = {.lookup = {3, columns}};
    assert_int_equal(round_trip(NORN_REGION_LOOKUP, &region, &back), NORN_OK);
    SAME(&region, back, lookup.column_count);
    for (int i = 0; i < 3; i++) {
        const norn_lookup_column *a = &columns[i], *b = &back->lookup.columns[i];
        SAME(a, b, table);
        SAME(a, b, dim);
        SAME(a, b, form);
        SAME(a, b, pool);
        SAME(a, b, rows_input);
        SAME(a, b, keys_input);
        SAME(a, b, offsets_input);
        SAME(a, b, weights_input);
        SAME(a, b, keys_first);
        SAME(a, b, keys_stride);
        SAME(a, b, keys_count);
        SAME(a, b, negative_wraps);
        SAME(a, b, key_offset);
        SAME(a, b, has_padding);
        SAME(a, b, padding_key);
        SAME(a, b, output);
        SAME(a, b, out);
        SAME(a, b, column);
    }
}

/// One field of a column that does not fit, and its neighbour that does.
static void a_lookup_that_does_not_fit_its_node_is_refused(void **state) {
    (void)state;
    const norn_region *back;
#define WRONG(field, good, bad, words)                                             \
    do {                                                                           \
        norn_lookup_column one = column();                                         \
        const norn_region region = {.lookup = {1, &one}};                          \
        one.field = good;                                                          \
        assert_int_equal(round_trip(NORN_REGION_LOOKUP, &region, &back), NORN_OK); \
        one.field = bad;                                                           \
        refused(NORN_REGION_LOOKUP, &region, words);                               \
    } while (0)
    WRONG(rows_input, IN - 1, IN, "an operand");
    WRONG(offsets_input, IN - 1, IN, "an operand");
    WRONG(weights_input, IN - 1, IN, "an operand");
    WRONG(weights_input, NORN_NO_INPUT, IN, "an operand");
    WRONG(keys_input, IN - 1, IN, "an operand");
    WRONG(keys_input, 0, NORN_NO_INPUT, "an operand");
    WRONG(output, OUT - 1, OUT, "an operand");
    WRONG(offsets_input, 0, NORN_NO_INPUT, "without its offsets");
    WRONG(dim, 1, 0, "sizes");
    WRONG(column, 0, -1, "sizes");
    WRONG(keys_first, 0, -1, "sizes");
    WRONG(keys_stride, 0, -1, "sizes");
    WRONG(keys_count, 0, -1, "sizes");
    WRONG(form, NORN_KEYS_ONE, (norn_keys_form)(NORN_KEYS_CSR + 1), "form");
    WRONG(pool, NORN_POOL_NONE, (norn_pool_mode)(NORN_POOL_MAX + 1), "pooling");
    WRONG(out, NORN_F32, (norn_dtype)0xfff, "type of a lookup");
#undef WRONG
}

static void an_interaction_comes_back(void **state) {
    (void)state;
    static const int32_t pairs[6] = {1, 0, 2, 0, 2, 1};
    const norn_region *back;
    norn_region region = {.interaction = {.kind = NORN_INTERACTION_DOT,
                                          .features = 3,
                                          .dim = 4,
                                          .part_count = 2,
                                          .diagonal = true,
                                          .pass_input = 1,
                                          .pass_through = 3,
                                          .pair_order = pairs,
                                          .pair_count = 3,
                                          .out = NORN_F16,
                                          .pad = 6}};
    for (int plain = 0; plain < 2; plain++) {
        if (plain)
            region.interaction = (norn_interaction_region){.kind = NORN_INTERACTION_FM,
                                                           .features = 5,
                                                           .dim = 1,
                                                           .part_count = 1,
                                                           .upper = true,
                                                           .pass_input = NORN_NO_INPUT};
        assert_int_equal(round_trip(NORN_REGION_INTERACTION, &region, &back), NORN_OK);
        SAME(&region, back, interaction.kind);
        SAME(&region, back, interaction.features);
        SAME(&region, back, interaction.dim);
        SAME(&region, back, interaction.part_count);
        SAME(&region, back, interaction.diagonal);
        SAME(&region, back, interaction.upper);
        SAME(&region, back, interaction.pass_input);
        SAME(&region, back, interaction.pass_through);
        SAME(&region, back, interaction.pair_count);
        SAME(&region, back, interaction.out);
        SAME(&region, back, interaction.pad);
        if (!plain) assert_memory_equal(back->interaction.pair_order, pairs, sizeof pairs);
        if (plain) assert_null(back->interaction.pair_order);
    }
}

static void a_program_is_checked_instruction_by_instruction(void **state) {
    (void)state;
    const norn_region *back;
    norn_region region = {.pointwise = {.program = program()}};
    norn_scalar_program *p = &region.pointwise.program;
    assert_int_equal(round_trip(NORN_REGION_POINTWISE, &region, &back), NORN_OK);
    same_program(p, &back->pointwise.program);
#define WRONG(field, good, bad, words)                                                \
    do {                                                                              \
        *p = program();                                                               \
        field = good;                                                                 \
        assert_int_equal(round_trip(NORN_REGION_POINTWISE, &region, &back), NORN_OK); \
        field = bad;                                                                  \
        refused(NORN_REGION_POINTWISE, &region, words);                               \
    } while (0)
    WRONG(loads[1].input, IN - 1, IN, "operand of a load");
    WRONG(loads[1].input, NORN_SCALAR_ACC, NORN_SCALAR_ACC - 1, "operand of a load");
    WRONG(loads[1].dtype, NORN_I8, NORN_DTYPE_NONE, "element type of a load");
    WRONG(loads[1].dtype, NORN_I8, NORN_DTYPE_COUNT, "element type of a load");
    WRONG(instrs[1].dtype, NORN_I8, NORN_DTYPE_NONE, "element type of an instruction");
    WRONG(instrs[1].dtype, NORN_I8, NORN_DTYPE_COUNT, "element type of an instruction");
    WRONG(instrs[1].load, 0, 2, "a load out of range");
    WRONG(instrs[4].a, 3, 4, "reads a later register");
    WRONG(instrs[4].b, 0, 5, "reads a later register");
    WRONG(instrs[4].c, 3, 4, "reads a later register");
    WRONG(instrs[4].op, NORN_SCALAR_FMA, NORN_SCALAR_COUNT, "unknown instruction");
    WRONG(stores[1], 4, 5, "a store of no register");
#undef WRONG
    *p = program();
    instrs[2].a = instrs[2].b = instrs[2].c = UINT16_MAX; // a constant reads none
    assert_int_equal(round_trip(NORN_REGION_POINTWISE, &region, &back), NORN_OK);
}

static void a_program_has_no_more_than_it_may(void **state) {
    (void)state;
    const norn_region *back;
    for (int more = 0; more < 2; more++) {
        for (int what = 0; what < 3; what++) {
            norn_region region = {.pointwise = {.program = program()}};
            norn_scalar_program *p = &region.pointwise.program;
            if (what == 0) p->load_count = NORN_SCALAR_LOAD_MAX + (uint32_t)more;
            if (what == 1) p->instr_count = NORN_SCALAR_INSTR_MAX + (uint32_t)more;
            if (what == 2) p->store_count = OUT + (uint32_t)more;
            for (uint32_t i = 2; i < p->load_count; i++) loads[i] = loads[0];
            for (uint32_t i = 5; i < p->instr_count; i++) instrs[i] = instrs[2];
            if (more) {
                refused(NORN_REGION_POINTWISE, &region, "a scalar program is too long");
                continue;
            }
            assert_int_equal(round_trip(NORN_REGION_POINTWISE, &region, &back), NORN_OK);
            same_program(p, &back->pointwise.program);
        }
    }
}

static void an_interaction_that_cannot_be_is_refused(void **state) {
    (void)state;
    static const int32_t pairs[4] = {1, 0, 2, 1};
    const norn_region *back;
#define WRONG(field, good, bad, words)                                                  \
    do {                                                                                \
        norn_region region = {.interaction = {.features = 3,                            \
                                              .dim = 4,                                 \
                                              .part_count = 2,                          \
                                              .pass_input = NORN_NO_INPUT,              \
                                              .pair_order = pairs,                      \
                                              .pair_count = 2}};                        \
        region.interaction.field = good;                                                \
        assert_int_equal(round_trip(NORN_REGION_INTERACTION, &region, &back), NORN_OK); \
        region.interaction.field = bad;                                                 \
        refused(NORN_REGION_INTERACTION, &region, words);                               \
    } while (0)
    WRONG(kind, NORN_INTERACTION_FM, (norn_interaction_kind)(NORN_INTERACTION_FM + 1), "kind");
    WRONG(features, INT32_MAX, INT64_C(1) << 31, "sizes");
    WRONG(features, 3, 0, "sizes");
    WRONG(features, 3, 2, "a pair of no feature");
    WRONG(dim, 1, 0, "sizes");
    WRONG(pass_through, 0, -1, "sizes");
    WRONG(pad, 63, 64, "sizes");
    WRONG(pad, 1, -1, "sizes");
    WRONG(part_count, IN, IN + 1, "parts");
    WRONG(pass_input, IN - 1, IN, "pass-through");
    WRONG(out, NORN_F64, (norn_dtype)0xfff, "type of an interaction");
#undef WRONG
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_product_comes_back),
        CASE(a_reduction_comes_back),
        CASE(a_lookup_comes_back),
        CASE(a_lookup_that_does_not_fit_its_node_is_refused),
        CASE(an_interaction_comes_back),
        CASE(an_interaction_that_cannot_be_is_refused),
        CASE(a_program_is_checked_instruction_by_instruction),
        CASE(a_program_has_no_more_than_it_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
