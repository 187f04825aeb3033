#include "plan/hand_graph.h"
#include "runtime/instance.h"

#include <pthread.h>
#include <unistd.h>

static void fill(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) x[i] = (float)((i * 5 + 1) % 7 - 3);
}

static void expect_mlp(norn_session *session, int64_t batch) {
    float *x = calloc((size_t)batch * 4 + 1, sizeof *x),
          *y = calloc((size_t)batch * 3 + 1, sizeof *y), want[3];
    fill(x, batch * 4);
    norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x), out = {.data = y};
    size_t room = (size_t)batch * 3 * sizeof *y;
    HAND_OK(norn_session_run(
        session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
    assert_int_equal(out.dtype, NORN_F32);
    assert_int_equal(out.rank, 2);
    assert_int_equal(out.dims[0], batch);
    assert_int_equal(out.dims[1], 3);
    for (int64_t r = 0; r < batch; r++) {
        hand_mlp_row(x + r * 4, want);
        for (int j = 0; j < 3; j++) assert_true(y[r * 3 + j] == want[j]);
    }
    free(x);
    free(y);
}

static norn_session *session_of(norn_plan *plan, int32_t instances) {
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.instances = instances, .threads = 1},
                                norn_alloc_heap(), &session));
    norn_plan_release(plan);
    return session;
}

static void an_mlp_gives_the_right_scores_at_any_batch(void **state) {
    (void)state;
    static const int64_t batches[] = {1, 7, 16, 3, 0, 16, 50, 1, 200};
    norn_session *session = session_of(hand_mlp(norn_alloc_heap(), "cpu", 16), 1);
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) expect_mlp(session, batches[i]);
    norn_session_destroy(session);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_mlp_gives_the_right_scores_at_any_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
