#include "package/publish.h"

#include "base/file.h"
#include "package/manifest.h"
#include "package/model_weights.h"
#include "package/store_folder.h"
#include "package/version_apply.h"
#include "package/version_write.h"
#include "store/host/host_tier.h"
#include "store/log/file_log.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"
#include "testing/memory_sweep.h"
#include "testing/package_build.h"

#include <sys/wait.h>
#include <unistd.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

static char package[256], model[256], log_dir[256];

static void write_table(const char *path, const int64_t *keys, float first, int64_t count) {
    float rows[16];
    const int64_t dims[] = {count, 2};
    for (int64_t i = 0; i < 2 * count; i++) rows[i] = first + (float)i;
    const norn_safetensor tensors[] = {
        {"keys", norn_view_of(NORN_I64, 1, dims, (void *)(uintptr_t)keys)},
        {"rows", norn_view_of(NORN_F32, 2, dims, rows)}};
    OK(norn_safetensors_write(path, tensors, 2, norn_alloc_heap()));
}

static int set_up(void **state) {
    if (build_set_up(state)) return -1;
    snprintf(package, sizeof package, "%s/package", build_root);
    snprintf(model, sizeof model, "%s/ranker", build_root);
    snprintf(log_dir, sizeof log_dir, "%s/ranker/log", build_root);
    build_scale(build_path("package/model.onnx"), 3);
    write_table(build_path("package/tables/user.safetensors"), (int64_t[]){5, -1}, 10, 2);
    return 0;
}

static norn_publish_options to_model(uint32_t partitions, norn_alloc alloc) {
    return (norn_publish_options){.to = model, .partitions = partitions, .alloc = alloc};
}

static norn_published publish_full(uint64_t base) {
    const norn_publish_options options = to_model(2, norn_alloc_heap());
    norn_published out;
    OK(norn_publish_full(package, base, &options, &out));
    return out;
}

static norn_status publish_rows(const char *path, norn_published *out) {
    const norn_publish_options options = to_model(0, norn_alloc_heap());
    const norn_publish_part rows = {"user", path};
    const norn_publish_step step = {.rows = &rows, .row_count = 1};
    return norn_publish_delta(&step, &options, out);
}

static void read_manifest(const char *dir, norn_arena *arena, norn_manifest *out) {
    OK(norn_manifest_read(dir, arena, out));
    assert_true(out->found);
    OK(norn_manifest_verify(out, dir, NULL, norn_alloc_heap()));
}

static void test_a_version_then_a_step_then_both_as_a_version(void **state) {
    norn_published out;
    norn_applier_stat stat;
    norn_manifest manifest;
    norn_arena arena;
    norn_applied applied;
    (void)state;
    out = publish_full(0);
    assert_int_equal(out.version, 1);
    assert_int_equal(out.base, 1);
    assert_int_equal(out.epoch, 1);
    write_table(build_path("new.safetensors"), (int64_t[]){7, 5}, 50, 2);
    OK(publish_rows(build_path("new.safetensors"), &out));
    assert_int_equal(out.step, 1);
    assert_int_equal(out.epoch, 2);
    OK(norn_version_apply(build_path("ranker/1"), log_dir, 0, build_path("now"), NULL,
                          norn_alloc_heap(), &stat));
    assert_int_equal(stat.rows, 2);
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    read_manifest(build_path("now"), &arena, &manifest);
    assert_string_equal(manifest.model, "ranker");
    assert_int_equal(manifest.cut.step, 1);
    assert_int_equal(manifest.table_count, 1);
    assert_int_equal(manifest.tables[0].rows, 3);
    norn_arena_deinit(&arena);
    OK(norn_applied_open(build_path("now"), NULL, 0, NULL, norn_alloc_heap(), &applied));
    const norn_host_rows *rows = &norn_host_tier_table(applied.version, 0)->rows.rows;
    assert_memory_equal(norn_host_rows_get(rows, 0, 7).row, ((float[]){50, 51}), 8);
    assert_memory_equal(norn_host_rows_get(rows, 0, 5).row, ((float[]){52, 53}), 8);
    assert_memory_equal(norn_host_rows_get(rows, 0, -1).row, ((float[]){12, 13}), 8);
    norn_applied_close(&applied);
    const norn_publish_options options = to_model(0, norn_alloc_heap());
    OK(norn_publish_full(build_path("now"), 0, &options, &out));
    assert_int_equal(out.version, 2);
    assert_int_equal(out.base, 1);
    assert_int_equal(out.step, 1);
    assert_int_equal(out.epoch, 2); // nobody was fenced
}

static void say_nothing(void *context, const char *what) {
    (void)what;
    ++*(int *)context;
}

static void test_what_was_published_is_right(void **state) {
    int right = 0;
    (void)state;
    OK(norn_folder_verify(model, NULL, norn_alloc_heap(), say_nothing, &right));
    assert_int_equal(right, 5); // two versions with a table each, and the log
    OK(norn_folder_verify(log_dir, NULL, norn_alloc_heap(), say_nothing, &right));
}

static void test_dense_weights_go_into_the_model(void **state) {
    const norn_log_frame_dense k = {.name = norn_span_text("k"),
                                    .dtype = NORN_F32,
                                    .total = 4,
                                    .bytes = norn_span_of(&(float){7}, 4)};
    norn_log_frame_dense other = k;
    norn_dense_set weights = {.alloc = norn_alloc_heap()};
    norn_file *a, *b;
    (void)state;
    build_scale(build_path("three.onnx"), 3);
    build_scale(build_path("seven.onnx"), 7);
    OK(norn_dense_set_add(&weights, &k));
    OK(norn_model_weights_check(build_path("three.onnx"), &weights, norn_alloc_heap()));
    OK(norn_model_weights_put(build_path("three.onnx"), &weights, norn_alloc_heap()));
    OK(norn_file_read(build_path("three.onnx"), norn_alloc_heap(), &a));
    OK(norn_file_read(build_path("seven.onnx"), norn_alloc_heap(), &b));
    const norn_span x = norn_file_bytes(a);
    assert_non_null(memmem(x.bytes, x.count, &(float){7}, 4));
    assert_null(memmem(x.bytes, x.count, &(float){3}, 4));
    norn_file_release(a);
    norn_file_release(b);
    other.name = norn_span_text("ghost");
    OK(norn_dense_set_add(&weights, &other));
    assert_int_equal(
        norn_model_weights_check(build_path("three.onnx"), &weights, norn_alloc_heap()),
        NORN_NOT_FOUND);
    norn_dense_set_clear(&weights);
    other = k;
    other.rank = 1;
    other.dims[0] = 1;
    OK(norn_dense_set_add(&weights, &other));
    assert_int_equal(norn_model_weights_put(build_path("three.onnx"), &weights, norn_alloc_heap()),
                     NORN_INVALID_ARGUMENT);
    norn_dense_set_clear(&weights);
}

static void test_a_folder_of_a_dead_process_is_removed_and_of_a_living_one_kept(void **state) {
    norn_version_write write;
    char dead[64], living[64];
    (void)state;
    const pid_t pid = fork();
    if (pid == 0) _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    snprintf(dead, sizeof dead, "place/.8.%ld.partial/tables/x", (long)pid);
    snprintf(living, sizeof living, "place/.9.%ld.partial/tables/x", (long)getppid());
    build_text(build_path("%s", dead), "x");
    build_text(build_path("%s", living), "x");
    OK(norn_version_write_begin(build_path("place/8"), &write));
    norn_version_write_abort(&write);
    assert_int_equal(access(build_path("%s", living), F_OK), 0);
    snprintf(dead, sizeof dead, "place/.8.%ld.partial", (long)pid);
    assert_false(norn_path_is_dir(build_path("%s", dead)));
    assert_int_equal(norn_version_write_begin(build_path("place"), &write), NORN_ALREADY_EXISTS);
    assert_int_equal(norn_version_write_begin(build_path("no") /* made */, &write), NORN_OK);
    norn_version_write_abort(&write);
    assert_int_equal(norn_version_write_begin("/nowhere/at/all", &write), NORN_NOT_FOUND);
    norn_version_write_abort(&write);
}

static void test_another_epoch_keeps_a_version_out(void **state) {
    norn_delta_log *log;
    int held;
    (void)state;
    OK(norn_file_log_open(log_dir, norn_alloc_heap(), &log));
    OK(norn_file_log_hold(log, 2, &held));
    norn_file_log_release(held);
    assert_int_equal(norn_file_log_hold(log, 1, &held), NORN_FAILED_PRECONDITION);
    assert_non_null(strstr(norn_message(), "epoch 2 has taken over"));
    OK(norn_file_log_hold(log, UINT64_MAX, &held));
    norn_file_log_release(held);
    norn_delta_log_close(log);
}

static norn_status full(norn_alloc alloc, const char **done) {
    const norn_publish_options options = to_model(0, alloc);
    norn_published out;
    const norn_status status = norn_publish_full(package, 1, &options, &out);
    *done = status == NORN_OK ? "done" : NULL;
    return status;
}

static norn_status apply(norn_alloc alloc, const char **done) {
    norn_applier_stat stat;
    const norn_status status = norn_version_apply(build_path("ranker/1"), log_dir, 0,
                                                  build_path("swept"), NULL, alloc, &stat);
    *done = status == NORN_OK ? "done" : NULL;
    return status;
}

static norn_status delta(norn_alloc alloc, const char **done) {
    const norn_publish_options options = to_model(0, alloc);
    const norn_publish_part rows = {"user", build_path("new.safetensors")};
    const norn_publish_step step = {.rows = &rows, .row_count = 1};
    norn_published out;
    const norn_status status = norn_publish_delta(&step, &options, &out);
    *done = status == NORN_OK ? "done" : NULL;
    return status;
}

static void test_memory_may_end_at_every_allocation(void **state) {
    const char *done;
    int right = 0;
    (void)state;
    NORN_MEMORY_SWEEP(delta(alloc, &done), done, (void)done);
    NORN_MEMORY_SWEEP(full(alloc, &done), done, (void)done);
    NORN_MEMORY_SWEEP(apply(alloc, &done), done, (void)done);
    assert_true(norn_path_is_dir(build_path("ranker/3")));
    assert_false(norn_path_is_dir(build_path("ranker/4")));
    OK(norn_folder_verify(model, NULL, norn_alloc_heap(), say_nothing, &right));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_version_then_a_step_then_both_as_a_version),
        cmocka_unit_test(test_what_was_published_is_right),
        cmocka_unit_test(test_another_epoch_keeps_a_version_out),
        cmocka_unit_test(test_dense_weights_go_into_the_model),
        cmocka_unit_test(test_a_folder_of_a_dead_process_is_removed_and_of_a_living_one_kept),
        cmocka_unit_test(test_memory_may_end_at_every_allocation),
    };
    return cmocka_run_group_tests(tests, set_up, build_tear_down);
}
