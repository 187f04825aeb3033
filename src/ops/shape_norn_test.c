/// Shapes of Norn's own operators. Tensors are written as text: "f32[B,3] - i64?": the second is left
/// out, of the third not even the rank is known.
#include "base/memory.h"
#include "graph/region.h"
#include "ops/shape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 6 };

static norn_arena arena;
static norn_symbols symbols;

static int setup(void **state) {
    (void)state;
    int32_t index;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    symbols = (norn_symbols){.arena = &arena};
    return norn_symbol_input(&symbols, "B", &index) == NORN_OK &&
                   norn_symbol_input(&symbols, "T", &index) == NORN_OK
               ? 0
               : 1;
}

static int teardown(void **state) {
    (void)state;
    norn_arena_deinit(&arena);
    return 0;
}

static uint32_t tensors(const char *text, norn_shape_io io[MANY]) {
    static const struct {
        const char *word;
        norn_dtype dtype;
    } types[] = {{"f32", NORN_F32}, {"f16", NORN_F16}, {"i64", NORN_I64}};
    uint32_t count = 0;
    for (; *text; count++) {
        io[count] = (norn_shape_io){.shape = norn_shape_unknown()};
        for (int i = 0; i < 3; i++)
            if (strncmp(text, types[i].word, 3) == 0) io[count].dtype = types[i].dtype;
        text += *text == '-' ? 1 : 3;
        if (*text == '?') text++;
        if (*text == '[') {
            io[count].shape.rank = 0;
            while (*text++ != ']') {
                if (*text == ']') continue;
                norn_dim *dim = &io[count].shape.dims[io[count].shape.rank++];
                *dim = *text == 'B'   ? norn_dim_symbol(0)
                       : *text == 'T' ? norn_dim_symbol(1)
                                      : norn_dim_const(strtol(text, NULL, 10));
                text += strcspn(text, ",]");
            }
        }
        while (*text == ' ') text++;
    }
    return count;
}

/// "f32[B,3]", with "?" for a type that was not said, and for a size that is only known while running.
static const char *text_of(const norn_shape_io *io) {
    static char text[200];
    char dim[NORN_DIM_TEXT];
    size_t at = (size_t)snprintf(text, sizeof text, "%s%s",
                                 io->dtype == NORN_F32   ? "f32"
                                 : io->dtype == NORN_F16 ? "f16"
                                                         : "?",
                                 io->shape.rank < 0 ? "?" : "[");
    for (int32_t d = 0; d < io->shape.rank; d++) {
        const norn_dim is = io->shape.dims[d];
        const bool later =
            is.symbol >= 0 && symbols.at[is.symbol].kind == NORN_SYMBOL_RUNTIME && is.coef == 1;
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", d ? "," : "",
                               later ? "?" : norn_dim_text(&symbols, is, dim));
    }
    if (io->shape.rank >= 0) snprintf(text + at, sizeof text - at, "]");
    return text;
}

/// What comes of it: the outputs' texts, or a message that has the words of `expect`.
static void check(norn_shape_fn function, const norn_region *region, norn_attrs attrs,
                  const char *inputs, uint32_t out_count, const char *expect) {
    norn_shape_io in[MANY], out[MANY + 1];
    char all[600] = "";
    for (int i = 0; i <= MANY; i++) out[i] = (norn_shape_io){.shape = norn_shape_unknown()};
    out[out_count].dtype = NORN_BOOL;
    norn_shape_ctx ctx = {.attrs = attrs,
                          .region = region,
                          .symbols = &symbols,
                          .arena = &arena,
                          .in = in,
                          .in_count = tensors(inputs, in),
                          .out = out,
                          .out_count = out_count};
    const norn_status status = function(&ctx);
    assert_int_equal(out[out_count].dtype, NORN_BOOL); // nothing is written behind them
    if (status != NORN_OK) {
        if (!strstr(norn_message(), expect))
            fail_msg("%s: %s, not %s", inputs, norn_message(), expect);
        return;
    }
    for (uint32_t i = 0; i < out_count; i++) {
        if (i) strcat(all, " ");
        strcat(all, text_of(&out[i]));
    }
    if (strcmp(all, expect) != 0) fail_msg("%s: %s, not %s", inputs, all, expect);
}

static void an_embedding_has_a_row_a_key_or_a_bag(void **state) {
    (void)state;
    static const struct {
        int64_t dim;
        const char *inputs, *expect;
    } cases[] = {
        {8, "i64[B]", "f32[B,8]"},
        {8, "i64[]", "f32[8]"},
        {1, "i64[B,T]", "f32[B,T,1]"},
        {8, "i64?", "f32?"},
        {8, "i64[1,2,3,4,5,6,7]", "f32[1,2,3,4,5,6,7,8]"},
        {8, "i64[1,2,3,4,5,6,7,8]", "input 0 has rank 8, it must be from 0 to 7"},
        {0, "i64[B]", "dim must be at least 1"},
        {-1, "i64[B]", "dim must be at least 1"},
        {8, "", "input 0 is missing"},
        {8, "i64[9] i64[B]", "f32[B-1,8]"},
        {8, "i64[9] i64[5]", "f32[4,8]"},
        {8, "i64[0] i64[1]", "f32[0,8]"},
        {8, "i64[9] i64[0]", "offsets are empty"},
        {8, "i64[9] i64?", "f32[?,8]"},
        {8, "i64? i64[T]", "f32[T-1,8]"},
        {8, "i64[9] i64[2,2]", "the offsets of EmbeddingBag have rank 2, not 1"},
        {8, "i64[9] i64[]", "the offsets of EmbeddingBag have rank 0, not 1"},
        {8, "i64[9,9] i64[3]", "f32[2,8]"},
        {8, "i64[9] i64[3] - f16[100,8]", "f16[2,8]"},
        {8, "i64[9] i64[3] f32[9] -", "f32[2,8]"},
        {8, "i64[B] - - f16[100,8]", "f16[B,8]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_attr dim = {.name = "dim", .kind = NORN_ATTR_INT, .i64 = cases[i].dim};
        check(norn_shape_embedding, NULL, (norn_attrs){&dim, 1}, cases[i].inputs, 1,
              cases[i].expect);
    }
}

static void a_product_replaces_the_last_dim(void **state) {
    (void)state;
    static const struct {
        norn_dtype out;
        const char *inputs, *expect;
    } cases[] = {
        {NORN_DTYPE_NONE, "f32[B,3] f16[3,5]", "f32[B,5]"},
        {NORN_DTYPE_NONE, "f16[B,T,3] f32[3,5]", "f16[B,T,5]"},
        {NORN_F16, "f32[3] f32[3,5]", "f16[5]"},
        {NORN_DTYPE_NONE, "f32[B,T] f32[3,5]", "f32[B,5]"},
        {NORN_DTYPE_NONE, "f32[1,2,3,4,5,6,7,3] f32[3,5]", "f32[1,2,3,4,5,6,7,5]"},
        {NORN_DTYPE_NONE, "f32? f32[3,5]", "f32?"},
        {NORN_DTYPE_NONE, "f32[] f32[3,5]", "input 0 has rank 0"},
        {NORN_DTYPE_NONE, "f32[3,4] f32[3,5]", "columns of A and rows of B"},
        {NORN_DTYPE_NONE, "f32[B,3]", "input 1 is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_region region = {.gemm = {.k = 3, .n = 5, .out = cases[i].out}};
        check(norn_shape_gemm_region, &region, (norn_attrs){0}, cases[i].inputs, 1,
              cases[i].expect);
    }
    check(norn_shape_gemm_region, NULL, (norn_attrs){0}, "f32[B,3] f32[3,5]", 1, "no region");
}

/// Loads of inputs 0, 1, ..: per load where it repeats ("01": in the second dim), or "*": dynamic.
static norn_scalar_program program_of(const char *loads, norn_scalar_load room[MANY]) {
    norn_scalar_program program = {.loads = room};
    for (; *loads; program.load_count++) {
        norn_scalar_load *load = &room[program.load_count];
        *load = (norn_scalar_load){.input = program.load_count, .dynamic = *loads == '*'};
        for (int d = 0; *loads && *loads != ' '; loads++, d++) load->broadcast[d] = *loads == '1';
        while (*loads == ' ') loads++;
    }
    return program;
}

static void pointwise_work_is_as_large_as_what_does_not_repeat(void **state) {
    (void)state;
    static const struct {
        const char *loads, *inputs, *expect;
    } cases[] = {
        {"00", "f32[B,3]", "?[B,3] ?[B,3]"},
        {"00 10", "f32[B,3] f32[3]", "?[B,3] ?[B,3]"},
        {"10 01", "f32[1,3] f32[B,1]", "?[B,3] ?[B,3]"},
        {"00 00", "f32[7] f32[B,7]", "?[B,7] ?[B,7]"},
        {"11 10", "f32[] f32[7]", "?? ??"}, // the output's to know
        {"100", "f32[2,7]", "?? ??"},
        {"11", "f32[1,1]", "?? ??"},
        {"001", "f32[B,3]", "?? ??"}, // it repeats in more dims than it has
        {"1", "f32[]", "?? ??"},
        {"00 00", "f32? f32[B,3]", "?? ??"},
        {"00 00", "f32[B,3] f32?", "?? ??"},
        {"", "f32[B,3]", "?? ??"},
        {"0", "f32[]", "?[] ?[]"},
        {"00000000", "f32[1,2,3,4,5,6,7,8]", "?[1,2,3,4,5,6,7,8] ?[1,2,3,4,5,6,7,8]"},
        {"00000001 1", "f32[1,2,3,4,5,6,7,1] f32[8]", "?[1,2,3,4,5,6,7,8] ?[1,2,3,4,5,6,7,8]"},
        {"00000001 0", "f32[1,2,3,4,5,6,7,1] f32[]", "?? ??"},
        {"* 0", "f32[B,1] f32[1,5]", "?[B,5] ?[B,5]"},
        {"0 *", "f32[B,1] f32[1,5]", "?[B,5] ?[B,5]"},
        {"*", "f32[B,1]", "?? ??"}, // it may be an Expand
        {"* *", "f32[2] f32[3]", "broadcast"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_scalar_load room[MANY];
        const norn_region region = {.pointwise = {.program = program_of(cases[i].loads, room)}};
        check(norn_shape_pointwise, &region, (norn_attrs){0}, cases[i].inputs, 2, cases[i].expect);
    }
    check(norn_shape_pointwise, NULL, (norn_attrs){0}, "f32[B,3]", 1, "no region");
}

static void a_reduction_keeps_what_is_before_and_behind(void **state) {
    (void)state;
    static const struct {
        uint32_t reduced, inner;
        bool keep;
        const char *loads, *inputs, *expect;
    } cases[] = {
        {1, 0, false, "000", "f32[B,5,7]", "?[B,5] ?[B,5]"},
        {1, 1, false, "000", "f32[B,5,7]", "?[B,7] ?[B,7]"},
        {2, 0, true, "000", "f32[B,5,7]", "?[B,1,1] ?[B,1,1]"},
        {3, 0, false, "000", "f32[B,5,7]", "?[] ?[]"},
        {2, 1, true, "000", "f32[B,5,7]", "?[1,1,7] ?[1,1,7]"},
        {3, 1, false, "000", "f32[B,5,7]", "?? ??"}, // more than there are
        {1, 0, false, "010 100", "f32[B,1,7] f32[5,7]", "?[B,5] ?[B,5]"},
        {1, 0, false, "000", "f32?", "?? ??"},
        {1, 0, false, "01", "f32[B,1]", "?? ??"},
        {1, 0, true, "00000000", "f32[1,2,3,4,5,6,7,8]", "?[1,2,3,4,5,6,7,1] ?[1,2,3,4,5,6,7,1]"},
        {0, 0, true, "00", "f32[B,3]", "?[B,3] ?[B,3]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_scalar_load room[MANY];
        const norn_region region = {.row_reduce = {.reduced_dims = cases[i].reduced,
                                                   .inner_dims = cases[i].inner,
                                                   .keep_dims = cases[i].keep,
                                                   .prologue = program_of(cases[i].loads, room)}};
        check(norn_shape_row_reduce, &region, (norn_attrs){0}, cases[i].inputs, 2, cases[i].expect);
    }
    check(norn_shape_row_reduce, NULL, (norn_attrs){0}, "f32[B,3]", 1, "no region");
}

/// Two columns of two outputs, or both of one, side by side.
static void a_lookup_is_as_wide_as_its_columns(void **state) {
    (void)state;
    const norn_lookup_column one = {.dim = 4, .form = NORN_KEYS_ONE, .keys_count = 1},
                             beside = {.dim = 4,
                                       .form = NORN_KEYS_FIXED,
                                       .keys_input = 1,
                                       .keys_count = 3,
                                       .out = NORN_F16},
                             alone = {.dim = 4, .form = NORN_KEYS_FIXED, .keys_count = 1},
                             pooled = {.dim = 4,
                                       .form = NORN_KEYS_FIXED,
                                       .pool = NORN_POOL_SUM,
                                       .keys_input = 1,
                                       .keys_count = 3},
                             all = {.dim = 4,
                                    .form = NORN_KEYS_FIXED,
                                    .pool = NORN_POOL_MEAN,
                                    .keys_input = 1},
                             open = {.dim = 4, .form = NORN_KEYS_FIXED, .keys_input = 1},
                             strided = {.dim = 4,
                                        .form = NORN_KEYS_FIXED,
                                        .keys_stride = 9,
                                        .keys_count = 2,
                                        .keys_input = 1},
                             bags = {.dim = 4,
                                     .form = NORN_KEYS_CSR,
                                     .pool = NORN_POOL_SUM,
                                     .keys_input = 0,
                                     .offsets_input = 1};
    const struct {
        const norn_lookup_column *column;
        const char *inputs, *alone, *joined; ///< of a second output; behind 7 elements of the first
    } cases[] = {
        {&one, "i64[B] -", "f32[B,4]", "f32[B,11]"},
        {&one, "i64[] -", "??", "??"},
        {&one, "i64? -", "??", "??"},
        {&beside, "i64[B] i64[B,3]", "f16[B,12]", "f16[B,19]"},
        {&beside, "i64[B] i64[B,T,3]", "f16[B*T,12]", "f16[B*T,19]"},
        {&alone, "i64[B,1] -", "f32[B,4]", "f32[B,11]"},
        {&pooled, "i64[B] i64[B,3]", "f32[B,4]", "f32[B,11]"},
        {&all, "i64[B] i64[B,T]", "f32[B,4]", "f32[B,11]"},
        {&all, "i64[B] i64[B,T,5]", "f32[B*T,4]", "f32[B*T,11]"},
        {&open, "i64[B] i64[B,3]", "??", "??"},
        {&strided, "i64[B] i64[B,9]", "f32[B,8]", "f32[B,15]"},
        {&bags, "i64[T] i64[B]", "f32[B-1,4]", "f32[B-1,11]"},
        {&bags, "i64[T] i64?", "??", "??"},
        {&bags, "i64[T] i64[B,2]", "??", "??"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expect[64];
        norn_lookup_column columns[2] = {*cases[i].column, *cases[i].column};
        const norn_region region = {.lookup = {.column_count = 2, .columns = columns}};
        columns[1].output = 1;
        snprintf(expect, sizeof expect, "%s %s", cases[i].alone, cases[i].alone);
        check(norn_shape_lookup, &region, (norn_attrs){0}, cases[i].inputs, 2, expect);
        for (int last = 0; last < 2; last++) { // whichever is said first
            columns[0].output = columns[1].output = 0;
            columns[last].column = 7, columns[!last].column = 0;
            check(norn_shape_lookup, &region, (norn_attrs){0}, cases[i].inputs, 1, cases[i].joined);
        }
    }
    check(norn_shape_lookup, NULL, (norn_attrs){0}, "i64[B]", 1, "no region");
}

static void an_interaction_has_its_pairs_and_what_it_passes_through(void **state) {
    (void)state;
    static const int32_t order[4][2] = {{1, 0}, {2, 0}, {2, 1}, {0, 0}};
    const norn_interaction_region
        dot = {.features = 5, .dim = 3, .pass_input = NORN_NO_INPUT},
        square = {.features = 5, .dim = 3, .diagonal = true, .pass_input = NORN_NO_INPUT},
        passing = {.features = 5,
                   .dim = 3,
                   .pass_input = 0,
                   .pass_through = 7,
                   .pad = 2,
                   .out = NORN_F16},
        ordered = {.features = 5,
                   .dim = 3,
                   .pair_order = &order[0][0],
                   .pair_count = 4,
                   .pass_through = 9,
                   .pass_input = NORN_NO_INPUT},
        fm = {.kind = NORN_INTERACTION_FM, .features = 5, .dim = 3, .pass_input = NORN_NO_INPUT};
    const struct {
        const norn_interaction_region *region;
        const char *inputs, *expect;
    } cases[] = {
        {&dot, "f32[B,5,3]", "f32[B,10]"},
        {&dot, "f16[T,15]", "f16[T,10]"},
        {&square, "f32[B,15]", "f32[B,15]"},
        {&passing, "f32[B,15]", "f16[B,19]"},
        {&ordered, "f32[B,15]", "f32[B,4]"},
        {&fm, "f32[B,5,3]", "f32[B,3]"},
        {&fm, "f32?", "f32[?,3]"},
        {&dot, "f32[B]", "input 0 has rank 1, it must be from 2 to 3"},
        {&dot, "f32[B,5,3,1]", "input 0 has rank 4, it must be from 2 to 3"},
        {&dot, "", "input 0 is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const norn_region region = {.interaction = *cases[i].region};
        check(norn_shape_interaction, &region, (norn_attrs){0}, cases[i].inputs, 1,
              cases[i].expect);
    }
    check(norn_shape_interaction, NULL, (norn_attrs){0}, "f32[B,15]", 1, "no region");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_embedding_has_a_row_a_key_or_a_bag),
        cmocka_unit_test(a_product_replaces_the_last_dim),
        cmocka_unit_test(pointwise_work_is_as_large_as_what_does_not_repeat),
        cmocka_unit_test(a_reduction_keeps_what_is_before_and_behind),
        cmocka_unit_test(a_lookup_is_as_wide_as_its_columns),
        cmocka_unit_test(an_interaction_has_its_pairs_and_what_it_passes_through),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
