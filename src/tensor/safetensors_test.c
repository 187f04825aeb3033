#include "tensor/dtype.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"
#include "testing/memory_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN NORN_SOURCE_DIR "/tests/golden/tensor/table.safetensors"

static char folder[] = "/tmp/norn_safetensors_XXXXXX";
static char path[64];
static norn_arena arena;

static int begin(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.safetensors", folder);
    norn_arena_init(&arena, norn_alloc_heap(), 0);
    return 0;
}

static int end(void **state) {
    (void)state;
    norn_arena_deinit(&arena);
    unlink(path);
    return rmdir(folder);
}

static void a_file_of_the_reference_writer_is_read(void **state) {
    (void)state;
    norn_file *file;
    norn_safetensors all;
    assert_int_equal(norn_file_read(GOLDEN, norn_alloc_heap(), &file), NORN_OK);
    assert_int_equal(norn_safetensors_decode(norn_file_bytes(file), GOLDEN, &arena, &all), NORN_OK);
    assert_int_equal(all.count, 4);
    const norn_view *keys = norn_safetensors_find(&all, "keys"),
                    *rows = norn_safetensors_find(&all, "rows");
    assert_non_null(keys);
    assert_non_null(rows);
    assert_true(keys->dtype == NORN_I64 && keys->rank == 1 && keys->dims[0] == 3);
    assert_true(((int64_t *)keys->data)[1] == -1 && ((int64_t *)keys->data)[2] == INT64_C(1) << 40);
    assert_true(rows->dtype == NORN_F32 && rows->rank == 2 && rows->dims[0] == 3 &&
                rows->dims[1] == 2);
    for (int i = 0; i < 6; i++) assert_true(((float *)rows->data)[i] == (float)i);
    assert_true(norn_element_f64(NORN_F16, norn_safetensors_find(&all, "half")->data, 2) == 3);
    assert_int_equal(norn_safetensors_find(&all, "scalar")->rank, 0);
    assert_null(norn_safetensors_find(&all, "__metadata__"));
    norn_file_release(file);
}

static void what_is_written_reads_back_aligned(void **state) {
    (void)state;
    uint8_t bytes[3] = {1, 2, 3};
    uint16_t halves[5] = {1, 2, 3, 4, 5};
    float rows[6] = {0, 1, 2, 3, 4, 5};
    int64_t keys[3] = {7, 8, 9};
    norn_safetensor tensors[5] = {
        {"bytes", norn_view_of(NORN_U8, 1, (int64_t[]){3}, bytes)},
        {"half \"quoted\"", norn_view_of(NORN_BF16, 1, (int64_t[]){5}, halves)},
        {"rows", norn_view_of(NORN_F32, 2, (int64_t[]){3, 2}, rows)},
        {"keys", norn_view_of(NORN_I64, 1, (int64_t[]){3}, keys)},
        {"none", norn_view_of(NORN_F64, 2, (int64_t[]){0, 4}, keys)},
    };
    norn_file *file;
    norn_safetensors all;
    assert_int_equal(norn_safetensors_write(path, tensors, 5, norn_alloc_heap()), NORN_OK);
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
    assert_int_equal(norn_safetensors_decode(norn_file_bytes(file), path, &arena, &all), NORN_OK);
    assert_int_equal(all.count, 5);
    for (size_t i = 0; i < 5; i++) {
        const norn_view *view = norn_safetensors_find(&all, tensors[i].name);
        size_t count;
        assert_non_null(view);
        assert_int_equal(view->dtype, tensors[i].view.dtype);
        assert_true(norn_view_same_shape(view, &tensors[i].view));
        assert_int_equal(norn_view_bytes(view, &count), NORN_OK);
        assert_memory_equal(view->data, tensors[i].view.data, count);
    }
    uint64_t header;
    memcpy(&header, norn_file_bytes(file).bytes, 8);
    assert_int_equal((header + 8) % 64, 0);
    norn_file_release(file);
}

static norn_status decode_text(const char *header, size_t data_bytes) {
    static uint64_t storage[512];
    uint8_t *bytes = (uint8_t *)storage;
    size_t count = strlen(header), padded = (count + 7) / 8 * 8;
    uint64_t length = padded;
    norn_safetensors all;
    assert_true(8 + padded + data_bytes <= sizeof storage);
    memset(storage, 0, sizeof storage);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, count);
    memset(bytes + 8 + count, ' ', padded - count);
    return norn_safetensors_decode(norn_span_of(bytes, 8 + padded + data_bytes), "x.safetensors",
                                   &arena, &all);
}

static void hostile_headers_are_refused(void **state) {
    (void)state;
    assert_int_equal(decode_text("{}", 0), NORN_OK);
    assert_int_equal(
        decode_text(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":[{}]}}", 8),
        NORN_OK);
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{\"a\":1}",
        "{\"a\":{}}",
        "{} {}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}",
        "{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}",
        "{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
        "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (decode_text(bad[i], 8) != NORN_INVALID_ARGUMENT) fail_msg("'%s' was read", bad[i]);
        assert_memory_equal(norn_message(), "x.safetensors: ", 15);
    }
}

static void elements_at_any_byte_are_copied_to_where_they_can_be_read(void **state) {
    (void)state;
    static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]},"
                                 "\"c\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[9,17]}}";
    uint64_t storage[40] = {sizeof header - 1};
    uint8_t *data = (uint8_t *)storage + 8 + sizeof header - 1;
    const float floats[2] = {1.5F, -2};
    const int64_t key = INT64_MIN + 7;
    norn_safetensors all;
    memcpy(storage + 1, header, sizeof header - 1);
    data[0] = 9;
    memcpy(data + 1, floats, sizeof floats);
    memcpy(data + 9, &key, sizeof key);
    size_t count = 8 + sizeof header - 1 + 17;
    assert_int_equal(norn_safetensors_decode(norn_span_of(storage, count), "x", &arena, &all),
                     NORN_OK);
    memset(data, 0xee, 17); // what is copied does not follow the file
    const norn_view *b = norn_safetensors_find(&all, "b"), *c = norn_safetensors_find(&all, "c");
    assert_memory_equal(b->data, floats, sizeof floats);
    assert_memory_equal(c->data, &key, sizeof key);
    assert_int_equal((uintptr_t)b->data % 4 + (uintptr_t)c->data % 8, 0);
    assert_ptr_equal(norn_safetensors_find(&all, "a")->data, data);
}

static void truncated_files_are_data_loss(void **state) {
    (void)state;
    assert_int_equal(
        decode_text("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7),
        NORN_DATA_LOSS);
    norn_file *whole;
    norn_safetensors all;
    assert_int_equal(norn_file_read(GOLDEN, norn_alloc_heap(), &whole), NORN_OK);
    norn_span bytes = norn_file_bytes(whole);
    for (size_t count = 0; count < bytes.count; count++) {
        uint8_t *copy = malloc(count + 1);
        memcpy(copy, bytes.bytes, count);
        norn_status status = norn_safetensors_decode(norn_span_of(copy, count), "x", &arena, &all);
        assert_int_equal(status, NORN_DATA_LOSS);
        free(copy);
    }
    uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f};
    assert_int_equal(norn_safetensors_decode(norn_span_of(huge, 16), "x", &arena, &all),
                     NORN_INVALID_ARGUMENT);
    norn_file_release(whole);
}

static void what_cannot_be_written_leaves_no_file(void **state) {
    (void)state;
    norn_string text = {"a", 1};
    norn_safetensor tensor = {"text", norn_view_of(NORN_STRING, 1, (int64_t[]){1}, &text)};
    unlink(path);
    assert_int_equal(norn_safetensors_write(path, &tensor, 1, norn_alloc_heap()),
                     NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "'text'"));
    assert_false(norn_path_is_file(path));
}

static void reading_and_writing_clean_up_when_memory_runs_out(void **state) {
    (void)state;
    norn_file *file;
    norn_status status;
    norn_safetensors all;
    assert_int_equal(norn_file_read(GOLDEN, norn_alloc_heap(), &file), NORN_OK);
    size_t fail_at = 0;
    do {
        norn_alloc_faulty faulty = {.fail_at = fail_at++};
        norn_arena small;
        norn_arena_init(&small, norn_alloc_failing(&faulty), 1);
        status = norn_safetensors_decode(norn_file_bytes(file), GOLDEN, &small, &all);
        assert_true(status == NORN_OK || status == NORN_RESOURCE_EXHAUSTED);
        norn_arena_deinit(&small);
        assert_int_equal(faulty.live, 0);
    } while (status != NORN_OK);
    assert_true(fail_at > 5);
    fail_at = 0;
    do {
        norn_alloc_faulty faulty = {.fail_at = fail_at++};
        status = norn_safetensors_write(path, all.at, 0, norn_alloc_failing(&faulty));
        assert_true(status == NORN_OK || status == NORN_RESOURCE_EXHAUSTED);
        assert_int_equal(faulty.live, 0);
    } while (status != NORN_OK);
    norn_file_release(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_the_reference_writer_is_read),
        cmocka_unit_test(what_is_written_reads_back_aligned),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(elements_at_any_byte_are_copied_to_where_they_can_be_read),
        cmocka_unit_test(truncated_files_are_data_loss),
        cmocka_unit_test(what_cannot_be_written_leaves_no_file),
        cmocka_unit_test(reading_and_writing_clean_up_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
