/// Sizes of inputs that nobody gives, for models that run at few sizes.
#include "runtime/random_input.h"

#include "runtime/instance.h"
#include "testing/hand_graph.h"

/// x[B, T] * w[n, 1] runs where T is n, which nothing says before; a T of 3 is what the profile has.
static norn_session *wants(int64_t n, int32_t *steps) {
    hand h = hand_begin(norn_alloc_heap(), 64);
    float *zeros = calloc((size_t)n, sizeof *zeros);
    HAND_OK(norn_symbol_input(&h.graph->symbols, "T", steps));
    h.graph->symbols.at[*steps].opt = 3;
    norn_shape open = hand_rows(&h, 1);
    open.dims[1] = norn_dim_symbol(*steps);
    norn_value *in[] = {hand_input(&h, "x", NORN_F32, open),
                        hand_const(&h, "w", NORN_F32, 2, (int64_t[]){n, 1}, zeros)};
    norn_value *y = hand_value(&h, "y", NORN_F32, hand_rows(&h, 1));
    hand_node(&h, NORN_OP_MatMul, "product", in, 2, &y, 1, (norn_attrs){0}, NULL);
    hand_output(&h, y);
    free(zeros);
    return hand_session(hand_plan(&h, "cpu"));
}

static void a_size_that_models_are_made_for_is_found(void **state) {
    (void)state;
    static const struct {
        int64_t n;
        bool found;
    } cases[] = {{3, true},   {1, true},   {2, true},    {16, true}, {32, true}, {128, true},
                 {256, true}, {512, true}, {1024, true}, {23, true}, {77, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t steps;
        norn_session *session = wants(cases[i].n, &steps);
        norn_instance *instance;
        norn_arena arena;
        int64_t *symbols;
        norn_arena_init(&arena, norn_alloc_heap(), 4096);
        HAND_OK(norn_instance_acquire(session, 0, &instance));
        const norn_status status = norn_random_find(
            instance, NULL, &(norn_random_inputs){.batch = 23}, NULL, &arena, &symbols);
        assert_int_equal(status, cases[i].found ? NORN_OK : NORN_INVALID_ARGUMENT);
        assert_int_equal(symbols[steps], cases[i].found ? cases[i].n : 3);
        if (!cases[i].found) assert_non_null(strstr(norn_message(), "'x' float32[23,3]"));
        norn_instance_release(instance);
        norn_arena_deinit(&arena);
        norn_session_destroy(session);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_size_that_models_are_made_for_is_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
