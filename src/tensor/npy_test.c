#include "tensor/dtype.h"
#include "tensor/npy.h"
#include "tensor/view.h"
#include "testing/memory_sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN NORN_SOURCE_DIR "/tests/golden/tensor/"

static char folder[] = "/tmp/norn_npy_XXXXXX";
static char path[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/x.npy", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static norn_file *file;

static norn_status decode_file(const char *name, norn_view *view) {
    assert_int_equal(norn_file_read(name, norn_alloc_heap(), &file), NORN_OK);
    return norn_npy_decode(norn_file_bytes(file), name, view);
}

static void files_of_numpy_are_read(void **state) {
    (void)state;
    static const struct {
        const char *name;
        norn_dtype dtype;
    } rows[] = {{"f16", NORN_F16}, {"f32", NORN_F32}, {"f64", NORN_F64}, {"i8", NORN_I8},
                {"i16", NORN_I16}, {"i32", NORN_I32}, {"i64", NORN_I64}, {"u8", NORN_U8},
                {"u16", NORN_U16}, {"u32", NORN_U32}, {"u64", NORN_U64}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[200];
        norn_view view;
        snprintf(name, sizeof name, GOLDEN "%s.npy", rows[i].name);
        assert_int_equal(decode_file(name, &view), NORN_OK);
        assert_int_equal(view.dtype, rows[i].dtype);
        assert_true(view.rank == 2 && view.dims[0] == 2 && view.dims[1] == 3);
        for (int j = 0; j < 6; j++) assert_int_equal(norn_element_i64(view.dtype, view.data, j), j);
        norn_file_release(file);
    }
}

static void odd_shapes_and_versions_are_read(void **state) {
    (void)state;
    norn_view view;
    assert_int_equal(decode_file(GOLDEN "scalar.npy", &view), NORN_OK);
    assert_true(view.rank == 0 && *(float *)view.data == 2.5f);
    norn_file_release(file);
    assert_int_equal(decode_file(GOLDEN "empty.npy", &view), NORN_OK);
    assert_true(view.rank == 2 && view.dims[0] == 0 && view.dims[1] == 4);
    norn_file_release(file);
    assert_int_equal(decode_file(GOLDEN "bool.npy", &view), NORN_OK);
    assert_true(view.rank == 1 && view.dtype == NORN_BOOL && ((uint8_t *)view.data)[2] == 1);
    norn_file_release(file);
    assert_int_equal(decode_file(GOLDEN "c64.npy", &view), NORN_OK);
    assert_true(view.dtype == NORN_C64 && ((float *)view.data)[1] == 2);
    norn_file_release(file);
    assert_int_equal(decode_file(GOLDEN "version2.npy", &view), NORN_OK);
    assert_true(view.dtype == NORN_I32 && ((int32_t *)view.data)[2] == 2);
    norn_file_release(file);
}

/// numpy pads the header with spaces and a newline; the format does not ask for them.
static void a_header_that_ends_with_its_brace_is_read(void **state) {
    (void)state;
    static const char header[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }";
    _Alignas(64) uint8_t bytes[10 + sizeof header - 1 + 8] = "\x93NUMPY\x01";
    const int32_t elements[2] = {7, -9};
    norn_view view;
    bytes[8] = sizeof header - 1;
    memcpy(bytes + 10, header, sizeof header - 1);
    memcpy(bytes + 10 + sizeof header - 1, elements, sizeof elements);
    norn_status status = norn_npy_decode(norn_span_of(bytes, sizeof bytes), "x.npy", &view);
    if (status != NORN_OK) // where the elements are not aligned, that is what is said
        assert_non_null(strstr(norn_message(), "align"));
    else
        assert_true(view.rank == 1 && view.dims[0] == 2);
    for (size_t cut = 1; cut < sizeof header - 1; cut++) { // and one that ends before it is not
        bytes[8] = (uint8_t)(sizeof header - 1 - cut);
        assert_int_equal(
            norn_npy_decode(norn_span_of(bytes, 10 + sizeof header - 1 - cut), "x.npy", &view),
            NORN_INVALID_ARGUMENT);
    }
}

/// A header that is sound but for its version is not read as if it were one that is known.
static void an_unknown_version_is_refused(void **state) {
    (void)state;
    static const char header[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (0,), }";
    static const uint8_t unknown[] = {0, 4, 9, 255};
    uint8_t bytes[10 + sizeof header - 1] = "\x93NUMPY\x01";
    norn_view view;
    bytes[8] = sizeof header - 1;
    memcpy(bytes + 10, header, sizeof header - 1);
    for (size_t i = 0; i < sizeof unknown; i++) {
        bytes[6] = unknown[i];
        assert_int_equal(norn_npy_decode(norn_span_of(bytes, sizeof bytes), "x.npy", &view),
                         NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), "version"));
    }
}

static void what_cannot_be_read_says_why(void **state) {
    (void)state;
    static const struct {
        const char *name, *why;
    } rows[] = {{"fortran", "Fortran order"},
                {"big-endian", "'>f4'"},
                {"text", "'<U2'"},
                {"record", "structured"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[200];
        norn_view view;
        snprintf(name, sizeof name, GOLDEN "%s.npy", rows[i].name);
        assert_int_equal(decode_file(name, &view), NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), name));
        assert_non_null(strstr(norn_message(), rows[i].why));
        assert_false(norn_view_present(&view));
        norn_file_release(file);
    }
}

/// An .npy of `header`, whatever it says, and `data_bytes` zero bytes.
static norn_status decode_header(const char *header, size_t data_bytes, norn_view *view) {
    static uint64_t storage[64]; // aligned
    uint8_t *bytes = (uint8_t *)storage;
    size_t count = strlen(header), padded = (10 + count + 15) / 16 * 16 - 10;
    assert_true(10 + padded + data_bytes <= sizeof storage);
    memset(storage, 0, sizeof storage);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = (uint8_t)padded;
    bytes[9] = 0;
    memcpy(bytes + 10, header, count);
    memset(bytes + 10 + count, ' ', padded - count);
    return norn_npy_decode(norn_span_of(bytes, 10 + padded + data_bytes), "x.npy", view);
}

static void hostile_headers_are_refused(void **state) {
    (void)state;
    norn_view view;
    assert_int_equal(decode_header("{'descr':'<f4','fortran_order':False,'shape':(2,)}", 8, &view),
                     NORN_OK);
    assert_int_equal(
        decode_header("{\"shape\":(2,1,),\"descr\":'<u1','fortran_order':True,}", 2, &view),
        NORN_INVALID_ARGUMENT);
    assert_int_equal(decode_header("{'descr':'<f4','fortran_order':True,'shape':(2,)}", 8, &view),
                     NORN_OK);
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{'descr':'<f4','fortran_order':False,'shape':(2,)",
        "{'descr':'<f4'}",
        "{'descr':'<f4','fortran_order':False,'shape':2}",
        "{'descr':'<f4','fortran_order':False,'shape':(2}",
        "{'descr':'<f4','fortran_order':False,'shape':(-2,)}",
        "{'descr':'<f4','fortran_order':False,'shape':(2 2)}",
        "{'descr':'<f4','fortran_order':0,'shape':(2,)}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,)} x",
        "{'descr':'<f4','descr':'<f4','fortran_order':False,'shape':(2,)}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,),'x':1}",
        "{'descr':'<f4','fortran_order':False,'shape':(1,1,1,1,1,1,1,1,2)}",
        "{'descr':'<f4','fortran_order':False,'shape':(99999999999999999999,)}",
        "{'descr':'<f4','fortran_order':False,'shape':(4611686018427387904,4)}",
        "{'descr':'<f4,'fortran_order':False,'shape':(2,)}",
        "{'descr':'<V2','fortran_order':False,'shape':(2,)}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (decode_header(bad[i], 8, &view) != NORN_INVALID_ARGUMENT)
            fail_msg("'%s' was read", bad[i]);
        assert_memory_equal(norn_message(), "x.npy: ", 7);
    }
}

static void sizes_that_do_not_fit_are_refused(void **state) {
    (void)state;
    norn_view view;
    static const char header[] = "{'descr':'<f4','fortran_order':False,'shape':(2,)}";
    assert_int_equal(decode_header(header, 7, &view), NORN_DATA_LOSS);
    assert_int_equal(decode_header(header, 9, &view), NORN_INVALID_ARGUMENT);
    // Every truncation of a good file, and none is read beyond its end (the sanitizer looks).
    norn_file *whole;
    assert_int_equal(norn_file_read(GOLDEN "i64.npy", norn_alloc_heap(), &whole), NORN_OK);
    norn_span bytes = norn_file_bytes(whole);
    for (size_t count = 0; count < bytes.count; count++) {
        uint8_t *copy = malloc(count + 1);
        memcpy(copy, bytes.bytes, count);
        assert_int_not_equal(norn_npy_decode(norn_span_of(copy, count), "x.npy", &view), NORN_OK);
        free(copy);
    }
    norn_file_release(whole);
}

static void misaligned_elements_are_refused(void **state) {
    (void)state;
    norn_file *whole;
    norn_view view;
    assert_int_equal(norn_file_read(GOLDEN "i64.npy", norn_alloc_heap(), &whole), NORN_OK);
    norn_span bytes = norn_file_bytes(whole);
    uint64_t *copy = malloc(bytes.count + 8);
    memcpy((char *)copy + 4, bytes.bytes, bytes.count);
    assert_int_equal(norn_npy_decode(norn_span_of((char *)copy + 4, bytes.count), "x.npy", &view),
                     NORN_INVALID_ARGUMENT);
    free(copy);
    norn_file_release(whole);
}

static void every_type_is_written_and_read_back(void **state) {
    (void)state;
    for (int i = 1; i < NORN_DTYPE_COUNT; i++) {
        norn_dtype dtype = (norn_dtype)i;
        if (dtype == NORN_STRING) continue;
        uint64_t data[16] = {0};
        const int64_t dims[2] = {2, 2};
        norn_view view = norn_view_of(dtype, 2, dims, data), back;
        for (int64_t j = 0; j < 4; j++)
            norn_element_set_f64(dtype, data, j,
                                 dtype == NORN_F8E8M0 ? (double)(1 << j) : (double)(j % 2));
        assert_int_equal(norn_npy_write(path, &view, norn_alloc_heap()), NORN_OK);
        assert_int_equal(decode_file(path, &back), NORN_OK);
        assert_true(norn_view_same_shape(&view, &back));
        if (dtype == NORN_BF16 || dtype == NORN_F8E4M3FN || dtype == NORN_F4E2M1)
            assert_int_equal(back.dtype, NORN_F32);
        else if (dtype == NORN_I4 || dtype == NORN_I2)
            assert_int_equal(back.dtype, NORN_I8);
        else if (norn_dtype_bits(dtype) > 8)
            assert_int_equal(back.dtype, dtype);
        for (int64_t j = 0; j < 4; j++)
            assert_true(norn_element_f64(back.dtype, back.data, j) ==
                        norn_element_f64(dtype, data, j));
        norn_file_release(file);
    }
}

static void a_written_file_is_the_one_that_numpy_writes(void **state) {
    (void)state;
    static const char *const names[] = {"f32", "i64", "bool", "scalar", "empty", "u8", "c64"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[200];
        norn_view view;
        norn_file *mine;
        snprintf(name, sizeof name, GOLDEN "%s.npy", names[i]);
        assert_int_equal(decode_file(name, &view), NORN_OK);
        assert_int_equal(norn_npy_write(path, &view, norn_alloc_heap()), NORN_OK);
        assert_int_equal(norn_file_read(path, norn_alloc_heap(), &mine), NORN_OK);
        assert_int_equal(norn_file_bytes(mine).count, norn_file_bytes(file).count);
        assert_memory_equal(norn_file_bytes(mine).bytes, norn_file_bytes(file).bytes,
                            norn_file_bytes(mine).count);
        norn_file_release(mine);
        norn_file_release(file);
    }
}

static void strings_are_written_with_one_width(void **state) {
    (void)state;
    const norn_string strings[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    const int64_t dims[1] = {3};
    norn_view view = norn_view_of(NORN_STRING, 1, dims, (void *)(uintptr_t)strings);
    assert_int_equal(norn_npy_write(path, &view, norn_alloc_heap()), NORN_OK);
    assert_int_equal(norn_file_read(path, norn_alloc_heap(), &file), NORN_OK);
    norn_span bytes = norn_file_bytes(file);
    assert_memory_equal(bytes.bytes + bytes.count - 9, "ab\0\0\0\0cde", 9);
    assert_non_null(memmem(bytes.bytes, bytes.count, "'|S3'", 5));
    norn_file_release(file);
}

static void writing_cleans_up_when_memory_runs_out(void **state) {
    (void)state;
    float data[4] = {1, 2, 3, 4};
    const int64_t dims[1] = {4};
    norn_view view = norn_view_of(NORN_F32, 1, dims, data);
    norn_status status = NORN_RESOURCE_EXHAUSTED;
    for (size_t fail_at = 0; status != NORN_OK; fail_at++) {
        norn_alloc_faulty faulty = {.fail_at = fail_at};
        status = norn_npy_write(path, &view, norn_alloc_failing(&faulty));
        assert_int_equal(faulty.live, 0);
        assert_true(status == NORN_OK || status == NORN_RESOURCE_EXHAUSTED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_numpy_are_read),
        cmocka_unit_test(odd_shapes_and_versions_are_read),
        cmocka_unit_test(an_unknown_version_is_refused),
        cmocka_unit_test(a_header_that_ends_with_its_brace_is_read),
        cmocka_unit_test(what_cannot_be_read_says_why),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(sizes_that_do_not_fit_are_refused),
        cmocka_unit_test(misaligned_elements_are_refused),
        cmocka_unit_test(every_type_is_written_and_read_back),
        cmocka_unit_test(a_written_file_is_the_one_that_numpy_writes),
        cmocka_unit_test(strings_are_written_with_one_width),
        cmocka_unit_test(writing_cleans_up_when_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
