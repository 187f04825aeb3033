/// The figures of every cost function, counted by hand. Sizes are primes,
/// so that no two products are the same.
#include "ops/op.h"
#include "tensor/dtype.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { OPERANDS = 5 };

/// One node; operands without a type are left out.
typedef struct node_case {
    const char *op;
    norn_attrs attrs;
    norn_view in[OPERANDS], out[2];
    double flops, bytes;
} node_case;

#define OF(type, ...) view_of(type, DIMS_OF(__VA_ARGS__))
#define DIMS_OF(...)                                                             \
    (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { \
        __VA_ARGS__                                                              \
    }

static norn_view view_of(norn_dtype dtype, int32_t rank, const int64_t *dims) {
    return norn_view_of(dtype, rank, dims, NULL);
}

static uint32_t count_of(const norn_view *views, uint32_t most) {
    while (most > 0 && views[most - 1].dtype == NORN_DTYPE_NONE) most--;
    return most;
}

static norn_cost cost_of(const char *domain, const node_case *c, const void *region) {
    const norn_op_info *op = norn_op_find(domain, c->op);
    norn_cost cost = {.flops = -1, .bytes = -1};
    assert_non_null(op);
    op->cost(c->attrs, region, c->in, count_of(c->in, OPERANDS), c->out, count_of(c->out, 2),
             &cost);
    return cost;
}

static void check(const char *domain, const node_case *c, const void *region) {
    norn_cost cost = cost_of(domain, c, region);
    if (cost.flops == c->flops && cost.bytes == c->bytes) return;
    print_error("%s: %g operations and %g bytes, want %g and %g\n", c->op, cost.flops, cost.bytes,
                c->flops, c->bytes);
    fail();
}

static void nodes_cost_what_they_do(void **state) {
    norn_attr turned = {.name = "transA", .kind = NORN_ATTR_INT, .i64 = 1};
    const int64_t window[] = {2, 3};
    norn_attr kernel = {.name = "kernel_shape", .kind = NORN_ATTR_INTS, .count = 2, .ints = window};
    norn_attr trace = {.name = "equation", .kind = NORN_ATTR_STRING};
    norn_attr product = trace, ends = trace;
    (void)state;
    trace.string.bytes = "ij->i", trace.string.count = 5;
    ends.string.bytes = "Az,aZ->AZ", ends.string.count = 9;
    product.string.bytes = "bij,bjd->bid", product.string.count = 12;
    const node_case cases[] = {
        {"Shape", {0}, {OF(NORN_F32, 5, 7)}, {OF(NORN_I64, 2)}, 0, 0},
        {"Reshape", {0}, {OF(NORN_F32, 5, 7), OF(NORN_I64, 1)}, {OF(NORN_F32, 35)}, 0, 0},
        // Gather reads as much of its table as it writes, a short table whole.
        {"Gather", {0}, {OF(NORN_F32, 97, 7), OF(NORN_I64, 3)}, {OF(NORN_F32, 3, 7)}, 0, 168},
        {"Gather", {0}, {OF(NORN_F32, 2, 7), OF(NORN_I64, 3)}, {OF(NORN_F32, 3, 7)}, 0, 84 + 80},
        {"Relu", {0}, {OF(NORN_F32, 5, 7)}, {OF(NORN_F32, 5, 7)}, 35, 280},
        {"Add", {0}, {OF(NORN_F16, 5, 7), OF(NORN_F16, 7)}, {OF(NORN_F16, 5, 7)}, 35, 70 + 14 + 70},
        {"Max",
         {0},
         {OF(NORN_F32, 5), OF(NORN_F32, 5), OF(NORN_F32, 5), OF(NORN_F32, 5)},
         {OF(NORN_F32, 5)},
         15,
         100},
        {"ReduceSum", {0}, {OF(NORN_F32, 5, 7)}, {OF(NORN_F32, 5)}, 35, 140 + 20},
        {"Softmax", {0}, {OF(NORN_F32, 5, 7)}, {OF(NORN_F32, 5, 7)}, 175, 280},
        {"MatMul",
         {0},
         {OF(NORN_F32, 5, 7), OF(NORN_F32, 7, 3)},
         {OF(NORN_F32, 5, 3)},
         210,
         140 + 84 + 60},
        {"MatMul", {0}, {OF(NORN_F32, 7), OF(NORN_F32, 7, 3)}, {OF(NORN_F32, 3)}, 42, 28 + 84 + 12},
        {"Gemm",
         {&turned, 1},
         {OF(NORN_F32, 11, 5), OF(NORN_F32, 11, 3)},
         {OF(NORN_F32, 5, 3)},
         330,
         220 + 132 + 60},
        // Every output element sums over 3 channels of 2 x 2.
        {"Conv",
         {0},
         {OF(NORN_F32, 2, 3, 5, 5), OF(NORN_F32, 7, 3, 2, 2)},
         {OF(NORN_F32, 2, 7, 4, 4)},
         2 * 224 * 12,
         4 * (150 + 84 + 224)},
        {"QLinearConv",
         {0},
         {OF(NORN_U8, 2, 3, 5, 5), OF(NORN_F32, 1), OF(NORN_U8, 1), OF(NORN_U8, 7, 3, 2, 2)},
         {OF(NORN_U8, 2, 7, 4, 4)},
         2 * 224 * 12,
         150 + 4 + 1 + 84 + 224},
        // And every input element goes to 7 channels of 2 x 2.
        {"ConvTranspose",
         {0},
         {OF(NORN_F32, 2, 3, 5, 5), OF(NORN_F32, 3, 7, 2, 2)},
         {OF(NORN_F32, 2, 7, 6, 6)},
         2 * 150 * 28,
         4 * (150 + 84 + 504)},
        {"MaxPool",
         {&kernel, 1},
         {OF(NORN_F32, 1, 1, 5, 5)},
         {OF(NORN_F32, 1, 1, 4, 3)},
         72,
         4 * (25 + 12)},
        {"QLinearMatMul", {0}, {OF(NORN_U8, 5, 7)}, {OF(NORN_U8, 5, 3)}, 210, 35 + 15},
        {"RNN",
         {0},
         {OF(NORN_F32, 5, 2, 3), OF(NORN_F32, 1, 7, 3), OF(NORN_F32, 1, 7, 7)},
         {OF(NORN_F32, 5, 1, 2, 7)},
         2 * 10 * 70,
         4 * (30 + 21 + 49 + 70)},
        {"Attention",
         {0},
         {OF(NORN_F32, 2, 3, 5, 7), OF(NORN_F32, 2, 3, 11, 7), OF(NORN_F32, 2, 3, 11, 7)},
         {OF(NORN_F32, 2, 3, 5, 7)},
         2 * 11 * (210 + 210),
         4 * (210 + 462 + 462 + 210)},
        {"Einsum",
         {&ends, 1},
         {OF(NORN_F32, 5, 7), OF(NORN_F32, 3, 2)},
         {OF(NORN_F32, 5, 2)},
         2 * 210,
         4 * (35 + 6 + 10)},
        {"Einsum", {&trace, 1}, {OF(NORN_F32, 5, 7)}, {OF(NORN_F32, 5)}, 35, 140 + 20},
        {"Einsum",
         {&product, 1},
         {OF(NORN_F32, 2, 5, 7), OF(NORN_F32, 2, 7, 3)},
         {OF(NORN_F32, 2, 5, 3)},
         2 * 210,
         4 * (70 + 42 + 30)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check("", &cases[i], NULL);
}

static void sizes_that_are_not_known_count_as_nothing(void **state) {
    const node_case unknown = {
        "Add", {0}, {OF(NORN_F32, -1, 7), OF(NORN_F32, 7)}, {OF(NORN_F32, -1, 7)}, 0, 28};
    (void)state;
    check("", &unknown, NULL);
}

static void a_program_counts_what_computes(void **state) {
    norn_scalar_instr instrs[] = {{.op = NORN_SCALAR_LOAD},
                                  {.op = NORN_SCALAR_CONST},
                                  {.op = NORN_SCALAR_CAST},
                                  {.op = NORN_SCALAR_MUL},
                                  {.op = NORN_SCALAR_ADD}};
    norn_scalar_program program = {.instrs = instrs, .instr_count = 5};
    norn_pointwise_region pointwise = {.program = program};
    norn_gemm_region gemm = {.k = 11, .epilogue = program};
    norn_row_reduce_region reduce = {.prologue = program, .epilogue = program};
    const node_case one = {"Pointwise", {0}, {OF(NORN_F32, 5, 7)}, {OF(NORN_F32, 5, 7)}, 70, 280};
    const node_case two = {"GemmRegion",         {0},     {OF(NORN_F32, 5, 11)},
                           {OF(NORN_F32, 5, 3)}, 15 * 24, 220 + 60};
    const node_case three = {"RowReduce",       {0},      {OF(NORN_F32, 7), OF(NORN_F32, 5, 7)},
                             {OF(NORN_F32, 5)}, 105 + 10, 28 + 140 + 20};
    (void)state;
    check("norn", &one, &pointwise);
    check("norn", &two, &gemm);
    check("norn", &three, &reduce);
}

static void a_lookup_reads_a_row_a_key(void **state) {
    norn_lookup_column columns[] = {
        {.keys_input = 0, .dim = 3, .pool = NORN_POOL_NONE},
        {.keys_input = 1, .dim = 5, .pool = NORN_POOL_SUM, .keys_stride = 4, .keys_count = 2},
        {.keys_input = 9, .dim = 97}, // not there: counts as nothing
    };
    norn_lookup_region region = {.columns = columns, .column_count = 3};
    const node_case lookup = {"Lookup",
                              {0},
                              {OF(NORN_I64, 7), OF(NORN_I64, 2, 4)},
                              {OF(NORN_F32, 7, 3), OF(NORN_F32, 2, 5)},
                              4 * 5,
                              84 + 40 + 4 * (7 * 3 + 4 * 5)};
    const node_case bag = {"EmbeddingBag",       {0}, {OF(NORN_I64, 7)},
                           {OF(NORN_F32, 2, 5)}, 0,   56 + 40 + 40};
    (void)state;
    check("norn", &lookup, &region);
    check("ai.norn", &bag, NULL);
}

static void an_interaction_counts_its_pairs(void **state) {
    norn_interaction_region dot = {.kind = NORN_INTERACTION_DOT, .features = 5, .dim = 3};
    norn_interaction_region fm = {.kind = NORN_INTERACTION_FM, .features = 5, .dim = 3};
    const uint32_t order[] = {1, 2};
    norn_interaction_region some = dot, whole = dot;
    node_case node = {"Interaction",         {0}, {OF(NORN_F32, 2, 15)},
                      {OF(NORN_F32, 2, 10)}, 0,   120 + 80};
    (void)state;
    whole.diagonal = true;
    some.pair_order = (void *)(uintptr_t)order, some.pair_count = 2;
    node.flops = 2 * 2 * 10 * 3;
    check("norn", &node, &dot);
    node.flops = 2 * 2 * 15 * 3;
    check("norn", &node, &whole);
    node.flops = 2 * 2 * 2 * 3;
    check("norn", &node, &some);
    node.flops = 2 * 4 * 5 * 3;
    check("norn", &node, &fm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_cost_what_they_do),
        cmocka_unit_test(sizes_that_are_not_known_count_as_nothing),
        cmocka_unit_test(a_program_counts_what_computes),
        cmocka_unit_test(a_lookup_reads_a_row_a_key),
        cmocka_unit_test(an_interaction_counts_its_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
