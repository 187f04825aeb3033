#include "base/hash.h"
#include "runtime/instance.h"
#include "runtime/resident.h"
#include "testing/fake_device.h"
#include "testing/hand_graph.h"
#include "testing/memory_sweep.h"

#include <pthread.h>

static norn_session *session_on(norn_resident *resident) {
    norn_session *session;
    HAND_OK(norn_session_create_on(resident, &(norn_session_options){.threads = 1},
                                   norn_alloc_heap(), &session));
    return session;
}

static void expect_mlp(norn_session *session, int64_t batch) {
    float x[64 * 4], y[64 * 3], want[3];
    for (int64_t i = 0; i < batch * 4; i++) x[i] = (float)((i * 5 + batch) % 7 - 3);
    norn_view in = norn_view_of(NORN_F32, 2, (int64_t[]){batch, 4}, x), out = {.data = y};
    size_t room = sizeof y;
    HAND_OK(norn_session_run(
        session, &(norn_run_args){.inputs = &in, .outputs = &out, .output_bytes = &room}));
    assert_int_equal(out.dims[0], batch);
    for (int64_t r = 0; r < batch; r++) {
        hand_mlp_row(x + r * 4, want);
        for (int j = 0; j < 3; j++) assert_true(y[r * 3 + j] == want[j]);
    }
}

static uint64_t hash_program(const norn_program *program) {
    return norn_hash_bytes(program->slots, program->slot_count * sizeof *program->slots,
                           norn_hash_bytes(program->steps,
                                           program->step_count * sizeof *program->steps,
                                           norn_hash_bytes(program, sizeof *program, 1)));
}

static void two_residents_of_one_plan_answer_alike_and_end_by_themselves(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    norn_device *device[2];
    norn_resident *resident[2];
    norn_session *session[2];
    for (int i = 0; i < 2; i++) {
        HAND_OK(norn_device_open(i ? "fake:2" : "fake:1", norn_alloc_heap(), &device[i]));
        HAND_OK(norn_resident_create(plan, &device[i], norn_alloc_heap(), &resident[i]));
        assert_ptr_equal(resident[i]->devices[1], device[i]);
        session[i] = session_on(resident[i]);
    }
    norn_plan_release(plan); // residents hold it
    assert_ptr_not_equal(resident[0]->weights, resident[1]->weights);
    for (int64_t batch = 1; batch < 4; batch++)
        for (int i = 0; i < 2; i++) expect_mlp(session[i], batch);
    norn_session_destroy(session[0]);
    norn_resident_release(resident[0]);
    norn_device_close(device[0]);
    for (int64_t batch = 1; batch < 9; batch++) expect_mlp(session[1], batch);
    norn_resident_release(resident[1]); // the session holds it
    expect_mlp(session[1], 64);
    norn_session_destroy(session[1]);
    norn_device_close(device[1]);
}

static void a_plan_is_not_written_by_what_runs_it(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    const norn_plan before = *plan;
    const uint64_t program = hash_program(plan->program);
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1}, norn_alloc_heap(),
                                &session));
    for (int64_t batch = 1; batch < 9; batch++) expect_mlp(session, batch);
    assert_true(hash_program(plan->program) == program);
    norn_session_destroy(session);
    assert_memory_equal(plan, &before, sizeof before); // the references too
    assert_true(hash_program(plan->program) == program);
    norn_plan_release(plan);
}

static void sessions_of_a_plan_share_one_resident(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64),
              *other = hand_mlp(norn_alloc_heap(), "fake", 64);
    norn_resident *first, *second, *of_other;
    HAND_OK(norn_resident_share(plan, &first));
    assert_int_equal(fake_log.timed, 2);
    HAND_OK(norn_resident_share(other, &of_other));
    assert_ptr_not_equal(of_other, first);
    assert_int_equal(fake_log.timed, 4);
    const int blocks = fake_log.blocks;
    HAND_OK(norn_resident_share(plan, &second));
    assert_ptr_equal(first, second);
    assert_int_equal(fake_log.blocks, blocks);
    norn_resident_release(first);
    norn_resident_release(of_other);
    HAND_OK(norn_resident_share(plan, &first)); // it is still held
    assert_ptr_equal(first, second);
    norn_session *session = session_on(first);
    norn_resident_release(first);
    norn_resident_release(second);
    expect_mlp(session, 5);
    norn_session_destroy(session);
    assert_int_equal(fake_log.blocks, 0);
    HAND_OK(norn_resident_share(plan, &first)); // and made again when nobody holds one
    assert_true(fake_log.blocks > 0);
    norn_resident_release(first);
    norn_resident_release(NULL);
    norn_plan_release(plan);
    norn_plan_release(other);
}

static void options_that_cannot_be_upload_nothing(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    norn_session *session = (norn_session *)(uintptr_t)1;
    assert_int_equal(norn_session_create(plan, &(norn_session_options){.threads = -1},
                                         norn_alloc_heap(), &session),
                     NORN_INVALID_ARGUMENT);
    assert_null(session);
    assert_int_equal(fake_log.timed, 0);
    norn_plan_release(plan);
}

static void weights_lie_side_by_side_and_every_kernel_has_a_state(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    const norn_program *program = plan->program;
    norn_resident *resident;
    size_t end = 0, bytes;
    uint32_t weights = 0;
    HAND_OK(norn_resident_share(plan, &resident));
    for (uint32_t i = 0; i < program->slot_count; i++) {
        const norn_slot *slot = &program->slots[i];
        if (slot->kind != NORN_SLOT_CONST || !slot->place) continue;
        assert_int_equal(slot->weight_offset, end);
        HAND_OK(norn_view_bytes(slot->value->data, &bytes));
        assert_memory_equal(resident->weights[1] + end, slot->value->data->data, bytes);
        end += (bytes + 255) / 256 * 256;
        weights++;
    }
    assert_int_equal(weights, 4);
    assert_int_equal(program->weight_bytes[1], end);
    assert_int_equal(program->state_count, 2);
    for (uint32_t i = 0, kernels = 0; i < program->step_count; i++) {
        if (program->steps[i].kind != NORN_STEP_KERNEL) continue;
        assert_int_equal(program->steps[i].state, kernels++);
        assert_non_null(resident->states[program->steps[i].state]);
    }
    norn_resident_release(resident);
    norn_plan_release(plan);
}

static void choices_of_the_plans_device_are_not_timed_again_on_another(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    norn_device *device;
    norn_resident *resident;
    HAND_OK(norn_plan_tune(plan, NULL));
    assert_int_equal(fake_log.timed, 2);
    HAND_OK(norn_device_open("fake:1", norn_alloc_heap(), &device));
    HAND_OK(norn_resident_create(plan, &device, norn_alloc_heap(), &resident));
    assert_int_equal(fake_log.timed, 2);
    norn_resident_release(resident);
    norn_device_close(device);
    norn_plan_release(plan);
}

static void a_device_that_cannot_be_is_refused(void **state) {
    (void)state;
    norn_plan *fake = hand_mlp(norn_alloc_heap(), "fake", 64),
              *cpu = hand_mlp(norn_alloc_heap(), "cpu", 64),
              *absent = hand_mlp(norn_alloc_heap(), "fake:9", 64);
    norn_device *one, *gone;
    norn_resident *resident = (norn_resident *)(uintptr_t)1;
    HAND_OK(norn_device_open("fake:1", norn_alloc_heap(), &one));
    HAND_OK(norn_device_open("fake:9", norn_alloc_heap(), &gone));
    assert_int_equal(norn_resident_create(cpu, &one, norn_alloc_heap(), &resident),
                     NORN_INVALID_ARGUMENT);
    assert_null(resident);
    assert_string_equal(norn_message(), "the plan is for 'cpu'; on a 'fake' device it cannot be");
    assert_int_equal(
        norn_resident_create(fake, &fake->devices[NORN_HOST], norn_alloc_heap(), &resident),
        NORN_INVALID_ARGUMENT);
    assert_int_equal(norn_resident_create(fake, &gone, norn_alloc_heap(), &resident),
                     NORN_UNAVAILABLE);
    assert_int_equal(norn_resident_share(absent, &resident), NORN_UNAVAILABLE);
    assert_null(resident);
    assert_non_null(strstr(norn_message(), "which this machine cannot run"));
    HAND_OK(norn_resident_create(absent, &one, norn_alloc_heap(), &resident)); // but elsewhere
    norn_session *session = session_on(resident);
    expect_mlp(session, 3);
    norn_session_destroy(session);
    norn_resident_release(resident);
    norn_device_close(one);
    norn_device_close(gone);
    norn_plan_release(fake);
    norn_plan_release(cpu);
    norn_plan_release(absent);
}

typedef struct pair {
    norn_device *device;
    norn_resident *resident;
} pair;

static norn_status open_pair(norn_plan *plan, norn_alloc alloc, pair *p, pair **out) {
    *out = NULL;
    NORN_TRY(fake_open(1, alloc, &p->device));
    const norn_status status = norn_resident_create(plan, &p->device, alloc, &p->resident);
    if (status == NORN_OK)
        *out = p;
    else
        norn_device_close(p->device);
    return status;
}

static void close_pair(pair *p) {
    norn_resident_release(p->resident);
    norn_device_close(p->device);
}

static void out_of_memory_anywhere_leaves_nothing(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    pair room, *out;
    NORN_MEMORY_SWEEP(open_pair(plan, alloc, &room, &out), out, close_pair(out));
    assert_int_equal(fake_log.blocks, 0);
    norn_plan_release(plan);
}

static void *share_and_release(void *context) {
    for (int i = 0; i < 200; i++) {
        norn_resident *resident;
        if (norn_resident_share(context, &resident) != NORN_OK) return context;
        norn_resident_release(resident);
    }
    return NULL;
}

static void many_threads_share_and_release(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, share_and_release, plan), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(fake_log.blocks, 0);
    assert_int_equal(plan->references, 1);
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            two_residents_of_one_plan_answer_alike_and_end_by_themselves, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_plan_is_not_written_by_what_runs_it, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(sessions_of_a_plan_share_one_resident, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(options_that_cannot_be_upload_nothing, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(weights_lie_side_by_side_and_every_kernel_has_a_state,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(choices_of_the_plans_device_are_not_timed_again_on_another,
                                        fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(a_device_that_cannot_be_is_refused, fake_begin, fake_end),
        cmocka_unit_test_setup_teardown(out_of_memory_anywhere_leaves_nothing, fake_begin,
                                        fake_end),
        cmocka_unit_test_setup_teardown(many_threads_share_and_release, fake_begin, fake_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
