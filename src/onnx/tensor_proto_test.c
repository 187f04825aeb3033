#include "onnx/tensor_proto.h"

#include "base/memory.h"
#include "base/wire.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct fixture {
    norn_arena arena;
    norn_buffer proto;
    norn_view view;
} fixture;

static int setup(void **state) {
    static fixture f;
    norn_arena_init(&f.arena, norn_alloc_heap(), 4096);
    norn_buffer_init(&f.proto, norn_alloc_heap());
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    norn_arena_deinit(&f->arena);
    norn_buffer_deinit(&f->proto);
    return 0;
}

/// A header with dims [count]; fields follow.
static void begin(fixture *f, norn_dtype dtype, int64_t count) {
    norn_buffer_clear(&f->proto);
    norn_wire_put_signed(&f->proto, 1, count);
    norn_wire_put_varint(&f->proto, 2, (uint64_t)dtype);
    norn_wire_put_text(&f->proto, 8, "t");
}

static norn_status decode(fixture *f) {
    const char *name;
    return norn_tensor_proto_decode(norn_span_of(f->proto.bytes, f->proto.count), NULL, &f->arena,
                                    &f->view, &name);
}

static void refused(fixture *f, norn_status status, const char *message) {
    assert_int_equal(decode(f), status);
    assert_string_equal(norn_message(), message);
}

static void typed_fields_hold_every_integer_type(void **state) {
    fixture *f = *state;
    static const norn_dtype types[] = {NORN_U8, NORN_I8, NORN_U16, NORN_I16, NORN_I32};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        begin(f, types[i], 2);
        norn_wire_put_signed(&f->proto, 5, norn_dtype_is_signed(types[i]) ? -3 : 3);
        norn_wire_put_signed(&f->proto, 5, 100);
        assert_int_equal(decode(f), NORN_OK);
        assert_int_equal(norn_element_i64(types[i], f->view.data, 0),
                         norn_dtype_is_signed(types[i]) ? -3 : 3);
        assert_int_equal(norn_element_i64(types[i], f->view.data, 1), 100);
    }
}

static void packed_and_single_numbers_may_follow_one_another(void **state) {
    fixture *f = *state;
    norn_buffer packed;
    norn_buffer_init(&packed, norn_alloc_heap());
    norn_wire_put_varint_raw(&packed, 7);
    norn_wire_put_varint_raw(&packed, (uint64_t)-8);
    begin(f, NORN_I64, 3);
    norn_wire_put_bytes(&f->proto, 7, packed.bytes, packed.count);
    norn_wire_put_signed(&f->proto, 7, 9);
    assert_int_equal(decode(f), NORN_OK);
    const int64_t *data = f->view.data;
    assert_int_equal(data[0], 7);
    assert_int_equal(data[1], -8);
    assert_int_equal(data[2], 9);
    norn_buffer_deinit(&packed);
}

static void half_precision_comes_as_bits_in_int32(void **state) {
    fixture *f = *state;
    begin(f, NORN_F16, 1);
    norn_wire_put_varint(&f->proto, 5, 0x3e00); // 1.5
    assert_int_equal(decode(f), NORN_OK);
    assert_true(norn_element_f64(NORN_F16, f->view.data, 0) == 1.5);
}

static void four_bit_numbers_come_two_in_a_byte(void **state) {
    fixture *f = *state;
    begin(f, NORN_I4, 3);
    norn_wire_put_varint(&f->proto, 5, 0xf1); // 1, -1
    norn_wire_put_varint(&f->proto, 5, 0x08); // -8
    assert_int_equal(decode(f), NORN_OK);
    assert_int_equal(norn_element_i64(NORN_I4, f->view.data, 0), 1);
    assert_int_equal(norn_element_i64(NORN_I4, f->view.data, 1), -1);
    assert_int_equal(norn_element_i64(NORN_I4, f->view.data, 2), -8);
}

static void a_bool_is_zero_or_one_whatever_was_stored(void **state) {
    fixture *f = *state;
    begin(f, NORN_BOOL, 3);
    norn_wire_put_bytes(&f->proto, 9, "\x00\x07\x01", 3);
    assert_int_equal(decode(f), NORN_OK);
    assert_memory_equal(f->view.data, "\x00\x01\x01", 3);
}

static void raw_data_is_aliased_when_aligned_and_copied_when_not(void **state) {
    fixture *f = *state;
    static const float values[2] = {1, 2};
    for (int shift = 0; shift < 4; shift++) {
        _Alignas(64) uint8_t bytes[64];
        begin(f, NORN_F32, 2);
        norn_wire_put_bytes(&f->proto, 9, values, sizeof values);
        memcpy(bytes + shift, f->proto.bytes, f->proto.count);
        const uint8_t *raw = bytes + shift + f->proto.count - sizeof values;
        const char *name;
        assert_int_equal(norn_tensor_proto_decode(norn_span_of(bytes + shift, f->proto.count), NULL,
                                                  &f->arena, &f->view, &name),
                         NORN_OK);
        assert_int_equal(f->view.data == (const void *)raw, (uintptr_t)raw % 4 == 0);
        assert_memory_equal(f->view.data, values, sizeof values);
    }
}

static void strings_are_copied_with_their_lengths(void **state) {
    fixture *f = *state;
    begin(f, NORN_STRING, 2);
    norn_wire_put_bytes(&f->proto, 6, "a\0b", 3);
    norn_wire_put_text(&f->proto, 6, "");
    assert_int_equal(decode(f), NORN_OK);
    const norn_string *strings = f->view.data;
    assert_int_equal(strings[0].count, 3);
    assert_memory_equal(strings[0].bytes, "a\0b", 3);
    assert_int_equal(strings[1].count, 0);
}

static void what_does_not_fit_its_shape_is_refused(void **state) {
    fixture *f = *state;
    begin(f, NORN_I64, 2);
    norn_wire_put_signed(&f->proto, 7, 1);
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't': it has fewer elements than its shape");
    norn_wire_put_signed(&f->proto, 7, 1);
    norn_wire_put_signed(&f->proto, 7, 1);
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't': it has more elements than its shape");
    begin(f, NORN_F32, INT64_C(1) << 40); // must not be allocated
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't': it has fewer elements than its shape");
    begin(f, NORN_F32, -1);
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't': its shape is negative or too large");
    begin(f, (norn_dtype)99, 1);
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't': element type 99 is not one of ONNX's");
    begin(f, NORN_F32, 1);
    for (int i = 0; i < 8; i++) norn_wire_put_signed(&f->proto, 1, 1);
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't' has rank 9; the largest is 8");
    begin(f, NORN_F32, 1);
    norn_wire_put_varint(&f->proto, 14, 1);
    refused(f, NORN_INVALID_ARGUMENT, "tensor 't': its external data has no location");
}

static void put_nested(norn_buffer *out, uint32_t field, norn_dtype dtype, int64_t count,
                       const void *raw, size_t bytes) {
    size_t mark = norn_wire_begin(out, field);
    norn_wire_put_signed(out, 1, count);
    norn_wire_put_varint(out, 2, (uint64_t)dtype);
    norn_wire_put_text(out, 8, "s");
    norn_wire_put_bytes(out, 9, raw, bytes);
    norn_wire_end(out, mark);
}

static norn_status decode_sparse(fixture *f, int64_t second_index) {
    const float values[2] = {5, 6};
    const int64_t indices[2] = {1, second_index};
    norn_buffer_clear(&f->proto);
    put_nested(&f->proto, 1, NORN_F32, 2, values, sizeof values);
    put_nested(&f->proto, 2, NORN_I64, 2, indices, sizeof indices);
    norn_wire_put_signed(&f->proto, 3, 2);
    norn_wire_put_signed(&f->proto, 3, 3);
    const char *name;
    return norn_sparse_tensor_proto_decode(norn_span_of(f->proto.bytes, f->proto.count), NULL,
                                           &f->arena, &f->view, &name);
}

static void a_sparse_tensor_becomes_dense(void **state) {
    fixture *f = *state;
    assert_int_equal(decode_sparse(f, 5), NORN_OK);
    static const float expected[6] = {0, 5, 0, 0, 0, 6};
    assert_int_equal(f->view.rank, 2);
    assert_memory_equal(f->view.data, expected, sizeof expected);
    assert_int_equal(decode_sparse(f, 6), NORN_INVALID_ARGUMENT);
    assert_string_equal(norn_message(), "sparse tensor 's': index 1 is outside its shape");
    assert_int_equal(decode_sparse(f, -1), NORN_INVALID_ARGUMENT);
}

int main(void) {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(typed_fields_hold_every_integer_type),
        CASE(packed_and_single_numbers_may_follow_one_another),
        CASE(half_precision_comes_as_bits_in_int32),
        CASE(four_bit_numbers_come_two_in_a_byte),
        CASE(a_bool_is_zero_or_one_whatever_was_stored),
        CASE(raw_data_is_aliased_when_aligned_and_copied_when_not),
        CASE(strings_are_copied_with_their_lengths),
        CASE(what_does_not_fit_its_shape_is_refused),
        CASE(a_sparse_tensor_becomes_dense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
