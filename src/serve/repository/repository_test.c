#include "serve/repository/repository.h"

#include "base/clock.h"
#include "base/log.h"
#include "testing/memory_sweep.h"
#include "testing/package_build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

// ---- helpers

static const norn_serving_defaults defaults = {.instances = 1, .threads = 1};

static void sleep_ms(long ms) {
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

static norn_repository *open_settled(const char *folder) {
    norn_repository *repository;
    assert_int_equal(
        norn_repository_open(build_path("%s", folder), &defaults, norn_alloc_heap(), &repository),
        NORN_OK);
    for (int i = 0; i < 6000 && !norn_repository_settled(repository); i++) sleep_ms(10);
    assert_true(norn_repository_settled(repository));
    return repository;
}

typedef struct outcome {
    atomic_bool done;
    norn_status status;
    char message[512];
} outcome;

static void on_done(void *context, norn_status status, const char *message) {
    outcome *out = context;
    out->status = status;
    (void)snprintf(out->message, sizeof out->message, "%s", message);
    atomic_store(&out->done, true);
}

static norn_status ask(norn_repository *repository, const char *name, bool load, outcome *out) {
    *out = (outcome){.status = NORN_OK};
    (load ? norn_repository_load : norn_repository_unload)(repository, name, on_done, out);
    for (int i = 0; i < 6000 && !atomic_load(&out->done); i++) sleep_ms(10);
    assert_true(out->done);
    return out->status;
}

typedef struct listing {
    char text[2048];
    size_t used;
} listing;

static void list_one(void *context, const norn_index_model *model,
                     const norn_index_version *version) {
    listing *list = context;
    list->used += (size_t)snprintf(
        list->text + list->used, sizeof list->text - list->used, "%s%s %lld %s %s\n",
        version == model->versions ? "" : "  ", model->name, (long long)version->version,
        norn_model_state_name(version->state), *version->reason ? "reason" : "-");
}

static void assert_listing(norn_repository *repository, const char *wanted) {
    listing list = {.used = 0};
    norn_repository_visit(repository, list_one, &list);
    assert_string_equal(list.text, wanted);
}

static int64_t live_version(norn_repository *repository, const char *name) {
    norn_servable *servable;
    if (norn_repository_get(repository, name, "", &servable) != NORN_OK) return -1;
    const int64_t version = servable->version;
    norn_servable_release(servable);
    return version;
}

static void wait_for_reaper(norn_repository *repository, uint64_t done) {
    for (int i = 0; i < 6000 && norn_repository_reaped(repository).done < done; i++) sleep_ms(10);
    assert_int_equal(norn_repository_reaped(repository).done, done);
}

// ---- tests

static void the_newest_version_that_can_be_loaded_serves(void **state) {
    (void)state;
    outcome out;
    norn_servable *servable;
    build_scale(build_path("fall/m/1/model.onnx"), 1);
    build_scale(build_path("fall/m/2/model.onnx"), 2);
    build_text(build_path("fall/m/3/model.onnx"), "not a model");
    build_text(build_path("fall/m/20/model.onnx"), "");
    build_text(build_path("fall/none/7/readme"), "");
    norn_repository *repository = open_settled("fall");
    assert_listing(repository, "m 2 READY reason\n  m 20 UNAVAILABLE reason\n"
                               "  m 3 UNAVAILABLE reason\nnone 7 UNAVAILABLE reason\n");
    assert_int_equal(live_version(repository, "m"), 2);
    assert_int_equal(norn_repository_get(repository, "m", "20", &servable), NORN_UNAVAILABLE);
    assert_int_equal(norn_repository_get(repository, "m", "1", &servable), NORN_NOT_FOUND);
    assert_int_equal(norn_repository_get(repository, "nobody", "", &servable), NORN_NOT_FOUND);
    // A load fails while 2 is live: 2 stays, and no older one is tried.
    assert_int_not_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_non_null(strstr(out.message, "version 20"));
    assert_non_null(strstr(out.message, "version 2 serves"));
    assert_listing(repository, "m 2 READY reason\n  m 20 UNAVAILABLE reason\n"
                               "none 7 UNAVAILABLE reason\n");
    build_scale(build_path("fall/m/20/model.onnx"), 20);
    assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_listing(repository, "m 20 READY -\nnone 7 UNAVAILABLE reason\n");
    norn_repository_close(repository);
}

static void a_replaced_version_lives_until_its_last_release_and_is_reaped(void **state) {
    (void)state;
    outcome out;
    norn_servable *held;
    build_scale(build_path("reap/m/1/model.onnx"), 1);
    norn_repository *repository = open_settled("reap");
    assert_int_equal(norn_repository_get(repository, "m", "", &held), NORN_OK);
    assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    wait_for_reaper(repository, 1); // the second load's; the first is held
    assert_string_equal(held->inputs[0]->name, "x");
    const int64_t begin_ns = norn_clock_now_ns();
    norn_servable_release(held);
    assert_true(norn_clock_now_ns() - begin_ns < 1000000000);
    wait_for_reaper(repository, 2);
    assert_int_equal(norn_repository_reaped(repository).waiting, 0);
    assert_int_equal(ask(repository, "m", false, &out), NORN_OK);
    wait_for_reaper(repository, 3);
    assert_listing(repository, "m 1 UNAVAILABLE reason\n");
    assert_int_equal(ask(repository, "m", false, &out), NORN_NOT_FOUND);
    assert_int_equal(ask(repository, "stranger", true, &out), NORN_NOT_FOUND);
    assert_listing(repository, "m 1 UNAVAILABLE reason\n");
    norn_repository_close(repository);
}

static int64_t version_of(norn_repository *repository, const char *version) {
    norn_servable *servable;
    if (norn_repository_get(repository, "m", version, &servable) != NORN_OK) return -1;
    const int64_t number = servable->version;
    norn_servable_release(servable);
    return number;
}

static const norn_servable *held_by(norn_repository *repository, const char *version) {
    norn_servable *servable;
    assert_int_equal(norn_repository_get(repository, "m", version, &servable), NORN_OK);
    norn_servable_release(servable); // the repository has it
    return servable;
}

static void labels_say_which_versions_serve(void **state) {
    (void)state;
    outcome out;
    for (int i = 1; i <= 4; i++) build_scale(build_path("named/m/%d/model.onnx", i), (float)i);
    build_text(build_path("named/m/labels.json"), "{\"stable\": 2, \"canary\": 3}");
    norn_repository *repository = open_settled("named");
    assert_listing(repository, "m 2 READY -\n  m 3 READY -\n");
    assert_int_equal(version_of(repository, ""), 2);
    assert_int_equal(version_of(repository, "stable"), 2);
    assert_int_equal(version_of(repository, "canary"), 3);
    assert_int_equal(version_of(repository, "4"), -1); // nobody named it

    // The canary becomes stable: it moves as it is, and so does what was stable.
    const norn_servable *two = held_by(repository, "2"), *three = held_by(repository, "3");
    build_text(build_path("named/m/labels.json"),
               "{\"canary\": 4, \"stable\": 3, \"previous\": 2, \"last\": 2}");
    assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_listing(repository, "m 3 READY -\n  m 4 READY -\n  m 2 READY -\n");
    assert_ptr_equal(held_by(repository, ""), three);
    assert_ptr_equal(held_by(repository, "last"), two);
    assert_int_equal(norn_repository_reaped(repository).done, 0);

    // What cannot be loaded leaves what serves; labels that make no sense leave everything.
    build_text(build_path("named/m/5/model.onnx"), "");
    build_text(build_path("named/m/labels.json"), "{\"stable\": 9, \"canary\": 5, \"old\": 4}");
    assert_int_not_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_non_null(strstr(out.message, "labels.json names version 9"));
    assert_non_null(strstr(out.message, "version 3 serves"));
    assert_listing(repository, "m 3 READY reason\n  m 4 READY -\n  m 9 UNAVAILABLE reason\n"
                               "  m 5 UNAVAILABLE reason\n");
    assert_int_equal(version_of(repository, "old"), 4);
    assert_int_equal(version_of(repository, "canary"), -1);
    build_text(build_path("named/m/labels.json"), "{\"stable\": \"three\"}");
    assert_int_not_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_non_null(strstr(out.message, "label 'stable' stands for a version"));
    assert_int_equal(version_of(repository, "old"), 4);
    assert_int_equal(version_of(repository, ""), 3);

    // Without the file the newest serves again, alone; and unloading ends them all.
    assert_int_equal(remove(build_path("named/m/labels.json")), 0);
    build_scale(build_path("named/m/5/model.onnx"), 5);
    assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_listing(repository, "m 5 READY -\n");
    wait_for_reaper(repository, 3);
    build_text(build_path("named/m/labels.json"), "{\"old\": 1}");
    assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    assert_listing(repository, "m 5 READY -\n  m 1 READY -\n");
    assert_int_equal(ask(repository, "m", false, &out), NORN_OK);
    assert_listing(repository, "m 5 UNAVAILABLE reason\n");
    wait_for_reaper(repository, 6);
    norn_repository_close(repository);
}

/// As after a restart: the stable version is damaged, and an older one is better than none; a newer
/// one is not what anybody asked for.
static void a_damaged_stable_version_falls_back_to_an_older_one(void **state) {
    (void)state;
    build_scale(build_path("damaged/m/1/model.onnx"), 1);
    build_text(build_path("damaged/m/2/model.onnx"), "");
    build_scale(build_path("damaged/m/3/model.onnx"), 3);
    build_text(build_path("damaged/m/labels.json"), "{\"stable\": 2, \"canary\": 3}");
    norn_repository *repository = open_settled("damaged");
    assert_listing(repository, "m 1 READY reason\n  m 3 READY -\n  m 2 UNAVAILABLE reason\n");
    assert_int_equal(version_of(repository, ""), 1);
    assert_int_equal(version_of(repository, "stable"), -1);
    norn_repository_close(repository);
}

static atomic_bool stop;

static void *get_and_release(void *context) {
    size_t seen = 0;
    while (!atomic_load(&stop)) seen += live_version(context, "m") == 1;
    return (void *)seen;
}

static void versions_come_and_go_beside_requests(void **state) {
    (void)state;
    pthread_t threads[3];
    outcome out;
    build_scale(build_path("race/m/1/model.onnx"), 1);
    norn_repository *repository = open_settled("race");
    atomic_store(&stop, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, get_and_release, repository), 0);
    for (int i = 0; i < 20; i++) assert_int_equal(ask(repository, "m", true, &out), NORN_OK);
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++) {
        void *seen;
        pthread_join(threads[i], &seen);
        assert_true((size_t)seen > 0);
    }
    wait_for_reaper(repository, 20);
    norn_repository_close(repository);
}

static void without_memory_there_is_no_repository_and_nothing_is_left(void **state) {
    norn_repository *repository;
    (void)state;
    build_text(build_path("sweep/readme"), "");
    NORN_MEMORY_SWEEP(norn_repository_open(build_path("sweep"), &defaults, alloc, &repository),
                      repository, norn_repository_close(repository));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_version_that_can_be_loaded_serves),
        cmocka_unit_test(a_replaced_version_lives_until_its_last_release_and_is_reaped),
        cmocka_unit_test(labels_say_which_versions_serve),
        cmocka_unit_test(a_damaged_stable_version_falls_back_to_an_older_one),
        cmocka_unit_test(versions_come_and_go_beside_requests),
        cmocka_unit_test(without_memory_there_is_no_repository_and_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, build_set_up, build_tear_down);
}
