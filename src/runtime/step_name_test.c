/// Whose failure a run's message says it is: the executor puts the node's name there, once.
#include "ops/shape.h"
#include "runtime/instance.h"
#include "testing/failing_alloc.h"
#include "testing/hand_graph.h"

enum { ROWS = 4 };

/// y[i] = data[index], with three elements to choose from.
static norn_value *pick(hand *h, const char *name, norn_value *index) {
    static const float data[3] = {1, 2, 3};
    norn_value *table = hand_const(h, "data", NORN_F32, 1, (int64_t[]){3}, data),
               *y = hand_value(h, name, NORN_F32, hand_rows(h, 0));
    hand_node(h, NORN_OP_Gather, name, (norn_value *[]){table, index}, 2, &y, 1, (norn_attrs){0},
              NULL);
    return y;
}

/// In a graph whose node `name` is in the body of a Loop of `depth` - 1 more.
static norn_value *looped(hand *h, int depth, norn_value *index, norn_attr *attrs) {
    static const char *const names[] = {"pick", "inner", "outer"};
    static const int64_t once = 1;
    static const uint8_t yes = 1;
    const int64_t none[1] = {0};
    if (depth == 0) return pick(h, names[0], index);
    hand b = {NULL, 0};
    HAND_OK(norn_graph_create_body(h->graph, "body", &b.graph));
    HAND_OK(norn_symbol_input(&b.graph->symbols, "B", &b.batch));
    norn_symbol *symbol = &b.graph->symbols.at[b.batch];
    symbol->min = 1, symbol->opt = symbol->max = ROWS;
    (void)hand_input(&b, "i", NORN_I64, norn_shape_scalar());
    norn_value *c = hand_input(&b, "c", NORN_BOOL, norn_shape_scalar()),
               *s = hand_input(&b, "s", NORN_I64, hand_rows(&b, 0)),
               *t = hand_input(&b, "t", NORN_F32, hand_rows(&b, 0)),
               *d = hand_value(&b, "d", NORN_BOOL, norn_shape_scalar()),
               *r = hand_value(&b, "r", NORN_I64, hand_rows(&b, 0));
    (void)t;
    hand_node(&b, NORN_OP_Identity, "d", &c, 1, &d, 1, (norn_attrs){0}, NULL);
    hand_node(&b, NORN_OP_Identity, "r", &s, 1, &r, 1, (norn_attrs){0}, NULL);
    hand_output(&b, d);
    hand_output(&b, r);
    hand_output(&b, looped(&b, depth - 1, s, attrs));
    attrs[depth] = (norn_attr){.name = "body", .kind = NORN_ATTR_GRAPH, .graph = b.graph};
    static const float zeros[ROWS] = {0};
    norn_value *m = hand_const(h, "m", NORN_I64, 0, none, &once),
               *go = hand_const(h, "go", NORN_BOOL, 0, none, &yes),
               *from = hand_const(h, "from", NORN_F32, 1, (int64_t[]){ROWS}, zeros),
               *last = hand_value(h, "last", NORN_I64, hand_rows(h, 0)),
               *y = hand_value(h, "picked", NORN_F32, hand_rows(h, 0));
    hand_node(h, NORN_OP_Loop, names[depth], (norn_value *[]){m, go, index, from}, 4,
              (norn_value *[]){last, y}, 2, (norn_attrs){&attrs[depth], 1}, NULL);
    return y;
}

static norn_session *session_at(int depth) {
    static norn_attr attrs[3];
    hand h = hand_begin(norn_alloc_heap(), ROWS);
    norn_value *index = hand_input(&h, "index", NORN_I64, hand_rows(&h, 0));
    hand_output(&h, looped(&h, depth, index, attrs));
    return hand_session(hand_plan(&h, "cpu"));
}

static norn_status run(norn_session *session, int64_t wanted) {
    norn_instance *instance;
    void *index;
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    HAND_OK(norn_instance_input(instance, 0, 1, (int64_t[]){ROWS}, &index));
    for (int i = 0; i < ROWS; i++) ((int64_t *)index)[i] = wanted;
    norn_status status = norn_instance_run(instance);
    if (status == NORN_OK)
        assert_true(((const float *)norn_instance_output(instance, 0)->data)[0] ==
                    (float)wanted + 1);
    norn_instance_release(instance);
    return status;
}

static void expect_at(int depth, const char *message) {
    norn_session *session = session_at(depth);
    HAND_OK(run(session, 2));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(run(session, 7), NORN_INVALID_ARGUMENT);
        assert_string_equal(norn_message(), message);
    }
    HAND_OK(run(session, 1));
    norn_session_destroy(session);
}

static void a_kernel_that_fails_is_named_once(void **state) {
    (void)state;
    expect_at(0, "node 'pick': index 7 is outside an axis of 3");
}

static void a_step_of_a_body_is_named_with_the_nodes_around_it(void **state) {
    (void)state;
    expect_at(1, "body of node 'inner': node 'pick': index 7 is outside an axis of 3");
    expect_at(2, "body of node 'outer': body of node 'inner': node 'pick': index 7 is outside an "
                 "axis of 3");
}

/// x[B, 2] -> NonZero, a value sized while running, whose block there is no memory for. The names of
/// the node and of its input are one: a message that has the word does not name the node by that.
static void a_step_without_memory_is_named_once(void **state) {
    (void)state;
    norn_alloc_faulty faulty = {.fail_at = SIZE_MAX};
    hand h = hand_begin(norn_alloc_heap(), 1 << 16);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 2));
    norn_shape shape = {.rank = 2, .dims = {norn_dim_const(2)}};
    HAND_OK(norn_symbol_runtime(&h.graph->symbols, &shape.dims[1]));
    norn_value *where = hand_value(&h, "where", NORN_I64, shape);
    hand_node(&h, NORN_OP_NonZero, "bytes", &x, 1, &where, 1, (norn_attrs){0}, NULL);
    hand_output(&h, where);
    norn_plan *plan = hand_plan(&h, "cpu");
    norn_session *session;
    norn_instance *instance;
    void *data;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1},
                                norn_alloc_failing(&faulty), &session));
    norn_plan_release(plan);
    HAND_OK(norn_instance_acquire(session, 0, &instance));
    HAND_OK(norn_instance_input(instance, 0, 2, (int64_t[]){1 << 15, 2}, &data));
    for (int i = 0; i < 1 << 16; i++) ((float *)data)[i] = 1;
    int named = 0;
    for (size_t more = 1;; more++) { // until there is memory for all of it
        faulty.fail_at = faulty.count + more;
        const norn_status status = norn_instance_run(instance);
        if (status == NORN_OK) break;
        assert_int_equal(status, NORN_RESOURCE_EXHAUSTED);
        static const char own[] = "node 'bytes': ";
        if (strncmp(norn_message(), own, sizeof own - 1) == 0) {
            assert_null(strstr(norn_message() + 1, own));
            named++;
        }
    }
    assert_true(named > 0);
    norn_instance_release(instance);
    norn_session_destroy(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_that_fails_is_named_once),
        cmocka_unit_test(a_step_of_a_body_is_named_with_the_nodes_around_it),
        cmocka_unit_test(a_step_without_memory_is_named_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
