#include "base/file.h"
#include "runtime/instance.h"
#include "testing/fake_device.h"
#include "testing/hand_graph.h"

#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name) {
    static char path[2][128];
    static int next;
    next = !next;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static int begin(void **state) {
    (void)fake_begin(state);
    strcpy(folder, "/tmp/norn-tune-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) != 0 || fake_end(state) != 0;
}

static void open_session(norn_plan *plan) {
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1}, norn_alloc_heap(),
                                &session));
    norn_session_destroy(session);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_tuned_plan_is_timed_once_and_never_where_it_is_loaded(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    HAND_OK(norn_plan_tune(plan, NULL));
    assert_int_equal(fake_log.timed, 2); // a product a layer
    HAND_OK(norn_plan_save(plan, in_folder("tuned.norn")));
    open_session(plan);
    assert_int_equal(fake_log.timed, 2);
    norn_plan_release(plan);
    for (int again = 0; again < 2; again++) { // a plan that was loaded and saved has it too
        HAND_OK(norn_plan_read(in_folder("tuned.norn"), norn_alloc_heap(), &plan));
        HAND_OK(norn_plan_save(plan, in_folder("tuned.norn")));
        open_session(plan);
        assert_int_equal(fake_log.timed, 2);
        norn_plan_release(plan);
    }
}

static void an_untuned_plan_is_timed_where_it_is_loaded(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    HAND_OK(norn_plan_save(plan, in_folder("plain.norn")));
    norn_plan_release(plan);
    HAND_OK(norn_plan_read(in_folder("plain.norn"), norn_alloc_heap(), &plan));
    assert_int_equal(fake_log.timed, 0);
    open_session(plan);
    assert_int_equal(fake_log.timed, 2);
    norn_plan_release(plan);
}

static void models_share_the_choices_of_a_cache(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
        HAND_OK(norn_plan_tune(plan, in_folder("cache")));
        norn_plan_release(plan);
        assert_int_equal(fake_log.timed, 2);
    }
}

static void a_cache_of_another_gpu_is_written_anew(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    norn_file *file;
    write_text(in_folder("cache"), "fake choices of another");
    HAND_OK(norn_plan_tune(plan, in_folder("cache")));
    assert_int_equal(fake_log.timed, 2);
    norn_plan_release(plan);
    HAND_OK(norn_file_read(in_folder("cache"), norn_alloc_heap(), &file));
    assert_true(norn_span_equal(norn_file_bytes(file), FAKE_CHOICES));
    norn_file_release(file);
}

static void a_damaged_cache_is_refused_by_name_and_left_alone(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "fake", 64);
    write_text(in_folder("cache"), "rubbish");
    assert_int_equal(norn_plan_tune(plan, in_folder("cache")), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), in_folder("cache")));
    assert_int_equal(fake_log.timed, 0);
    norn_plan_release(plan);
}

static void a_cache_for_the_cpu_or_an_absent_device_is_refused(void **state) {
    (void)state;
    norn_plan *plan = hand_mlp(norn_alloc_heap(), "cpu", 64);
    HAND_OK(norn_plan_tune(plan, NULL));
    assert_int_equal(norn_plan_tune(plan, in_folder("cache")), NORN_INVALID_ARGUMENT);
    norn_plan_release(plan);
    plan = hand_mlp(norn_alloc_heap(), "fake:9", 64);
    HAND_OK(norn_plan_tune(plan, NULL)); // says in the log that it will be timed elsewhere
    assert_int_equal(norn_plan_tune(plan, in_folder("cache")), NORN_UNAVAILABLE);
    norn_plan_release(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tuned_plan_is_timed_once_and_never_where_it_is_loaded,
                                        begin, end),
        cmocka_unit_test_setup_teardown(an_untuned_plan_is_timed_where_it_is_loaded, begin, end),
        cmocka_unit_test_setup_teardown(models_share_the_choices_of_a_cache, begin, end),
        cmocka_unit_test_setup_teardown(a_cache_of_another_gpu_is_written_anew, begin, end),
        cmocka_unit_test_setup_teardown(a_damaged_cache_is_refused_by_name_and_left_alone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_cache_for_the_cpu_or_an_absent_device_is_refused, begin,
                                        end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
