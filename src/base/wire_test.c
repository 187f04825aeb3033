#include "base/cmocka_all.h"
#include "base/memory.h"
#include "base/wire.h"
#include "testing/failing_alloc.h"

#include <math.h>

static norn_buffer buffer;

static int begin(void **state) {
    (void)state;
    norn_buffer_init(&buffer, norn_alloc_heap());
    return 0;
}

static int end(void **state) {
    (void)state;
    norn_buffer_deinit(&buffer);
    return 0;
}

static void assert_bytes(const char *bytes, size_t count) {
    assert_int_equal(norn_buffer_status(&buffer), NORN_OK);
    assert_int_equal(buffer.count, count);
    assert_memory_equal(buffer.bytes, bytes, count);
}

// The examples of protobuf.dev/programming-guides/encoding.
static void the_specification_s_examples_come_out(void **state) {
    (void)state;
    norn_wire_put_varint(&buffer, 1, 150);
    assert_bytes("\x08\x96\x01", 3);
    norn_buffer_clear(&buffer);
    norn_wire_put_text(&buffer, 2, "testing");
    assert_bytes("\x12\x07testing", 9);
    norn_buffer_clear(&buffer);
    size_t mark = norn_wire_begin(&buffer, 3);
    norn_wire_put_varint(&buffer, 1, 150);
    norn_wire_end(&buffer, mark);
    assert_bytes("\x1a\x03\x08\x96\x01", 5);
    norn_buffer_clear(&buffer);
    norn_wire_put_signed(&buffer, 1, -2);
    assert_bytes("\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
}

static norn_wire_field read_field(norn_wire_reader *reader) {
    norn_wire_field field;
    bool more;
    assert_int_equal(norn_wire_next(reader, &field, &more), NORN_OK);
    assert_true(more);
    return field;
}

static void what_is_written_reads_back(void **state) {
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++)
        norn_wire_put_varint(&buffer, shift + 1, (UINT64_C(1) << shift) - (shift % 2));
    norn_wire_put_fixed32(&buffer, 7, 0xdeadbeef);
    norn_wire_put_fixed64(&buffer, 0x1fffffff, UINT64_C(0x0123456789abcdef));
    norn_wire_put_float(&buffer, 8, -1.5f);
    norn_wire_put_fixed64(&buffer, 9, UINT64_C(0x400921fb54442d18));
    norn_wire_put_bytes(&buffer, 10, "\0a", 2);
    norn_wire_put_bytes(&buffer, 11, NULL, 0);
    norn_wire_reader reader = {.rest = norn_span_of(buffer.bytes, buffer.count)};
    for (unsigned shift = 0; shift < 64; shift++) {
        norn_wire_field field = read_field(&reader);
        assert_int_equal(field.number, shift + 1);
        assert_int_equal(field.type, NORN_WIRE_VARINT);
        assert_int_equal(field.value, (UINT64_C(1) << shift) - (shift % 2));
    }
    norn_wire_field field = read_field(&reader);
    assert_int_equal(field.type, NORN_WIRE_FIXED32);
    assert_int_equal(field.value, 0xdeadbeef);
    field = read_field(&reader);
    assert_int_equal(field.number, 0x1fffffff);
    assert_int_equal(field.value, UINT64_C(0x0123456789abcdef));
    field = read_field(&reader);
    assert_true(norn_wire_float(&field) == -1.5f);
    field = read_field(&reader);
    assert_true(norn_wire_double(&field) == M_PI);
    field = read_field(&reader);
    assert_int_equal(field.bytes.count, 2);
    assert_memory_equal(field.bytes.bytes, "\0a", 2);
    field = read_field(&reader);
    assert_int_equal(field.bytes.count, 0);
    bool more;
    assert_int_equal(norn_wire_next(&reader, &field, &more), NORN_OK);
    assert_false(more);
}

static void nested_messages_have_canonical_lengths_at_every_size(void **state) {
    (void)state;
    for (size_t count = 0; count < 20000; count = count * 3 / 2 + 1) {
        norn_buffer_clear(&buffer);
        size_t outer = norn_wire_begin(&buffer, 1);
        size_t inner = norn_wire_begin(&buffer, 2);
        for (size_t i = 0; i < count; i++) norn_buffer_append(&buffer, "x", 1);
        norn_wire_end(&buffer, inner);
        norn_wire_put_varint(&buffer, 3, 5);
        norn_wire_end(&buffer, outer);
        norn_wire_reader reader = {.rest = norn_span_of(buffer.bytes, buffer.count)};
        norn_wire_field message = read_field(&reader);
        assert_int_equal(reader.rest.count, 0);
        norn_wire_reader nested = {.rest = message.bytes};
        norn_wire_field text = read_field(&nested);
        assert_int_equal(text.bytes.count, count);
        for (size_t i = 0; i < count; i++) assert_int_equal(text.bytes.bytes[i], 'x');
        assert_int_equal(read_field(&nested).value, 5);
        assert_int_equal(nested.rest.count, 0);
        size_t varint = count < 128 ? 1 : count < 16384 ? 2 : 3;
        assert_int_equal(message.bytes.count, 1 + varint + count + 2);
    }
}

static void malformed_fields_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
    } bad[] = {
        {"\x08", 1},                                              // no value
        {"\x08\x80", 2},                                          // varint cut short
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", 11},     // 65 bits
        {"\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 12}, // eleven bytes
        {"\x00\x01", 2},                                          // field number 0
        {"\x80\x80\x80\x80\x80\x01\x01", 7},                      // field number over 2^29 - 1
        {"\x0b", 1},                                              // group
        {"\x0c", 1},                                              // end of group
        {"\x0e\x00", 2},                                          // wire type 6
        {"\x0f\x00", 2},                                          // wire type 7
        {"\x0d\x00\x00\x00", 4},                                  // fixed32 cut short
        {"\x09\x00\x00\x00\x00\x00\x00\x00", 8},                  // fixed64 cut short
        {"\x0a\x02x", 3},                                         // bytes cut short
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     // 2^64 - 1 bytes
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        norn_wire_reader reader = {.rest = norn_span_of(bad[i].bytes, bad[i].count)};
        norn_wire_field field;
        bool more;
        if (norn_wire_next(&reader, &field, &more) != NORN_INVALID_ARGUMENT)
            fail_msg("case %zu was read", i);
        assert_non_null(strstr(norn_message(), "protobuf"));
    }
}

static norn_status sum_up(void *context, const norn_wire_field *field) {
    uint64_t *sum = context;
    if (field->value == 99) return NORN_CANCELLED;
    *sum += field->value;
    return NORN_OK;
}

static void a_loop_and_a_visit_end_with_the_message_or_at_what_is_wrong(void **state) {
    (void)state;
    for (uint64_t i = 1; i <= 5; i++) norn_wire_put_varint(&buffer, (uint32_t)i, i);
    const norn_span whole = norn_span_of(buffer.bytes, buffer.count);
    for (size_t cut = 0; cut < 2; cut++) {
        norn_wire_reader reader = {.rest = norn_span_of(whole.bytes, whole.count - cut)};
        norn_wire_field field;
        uint64_t sum = 0, visited = 0;
        while (norn_wire_each(&reader, &field)) sum += field.value;
        assert_int_equal(sum, cut ? 10 : 15);
        assert_int_equal(reader.status, cut ? NORN_INVALID_ARGUMENT : NORN_OK);
        assert_int_equal(
            norn_wire_visit(norn_span_of(whole.bytes, whole.count - cut), sum_up, &visited),
            cut ? NORN_INVALID_ARGUMENT : NORN_OK);
        assert_int_equal(visited, sum);
    }
    uint64_t sum = 0;
    norn_wire_put_varint(&buffer, 6, 99);
    norn_wire_put_varint(&buffer, 7, 1);
    assert_int_equal(norn_wire_visit(norn_span_of(buffer.bytes, buffer.count), sum_up, &sum),
                     NORN_CANCELLED);
    assert_int_equal(sum, 15);
}

static void packed_varints_advance(void **state) {
    (void)state;
    norn_span packed = norn_span_of("\x03\x8e\x02\x9e\xa7\x05\x80", 7);
    const uint64_t wanted[] = {3, 270, 86942};
    uint64_t value;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(norn_wire_varint(&packed, &value), NORN_OK);
        assert_int_equal(value, wanted[i]);
    }
    assert_int_equal(norn_wire_varint(&packed, &value), NORN_INVALID_ARGUMENT);
}

static void a_buffer_latches_out_of_memory(void **state) {
    (void)state;
    norn_alloc_faulty faulty = {.fail_at = 1};
    norn_buffer small;
    norn_buffer_init(&small, norn_alloc_failing(&faulty));
    norn_buffer_append(&small, "abc", 3);
    assert_int_equal(norn_buffer_status(&small), NORN_OK);
    assert_null(norn_buffer_extend(&small, 100000));
    norn_buffer_append(&small, "d", 1);
    size_t mark = norn_wire_begin(&small, 1);
    norn_wire_end(&small, mark);
    assert_int_equal(norn_buffer_status(&small), NORN_RESOURCE_EXHAUSTED);
    assert_int_equal(small.count, 3);
    norn_buffer_clear(&small);
    norn_buffer_append(&small, "e", 1);
    assert_int_equal(norn_buffer_status(&small), NORN_OK);
    norn_buffer_deinit(&small);
    assert_int_equal(faulty.live, 0);
    norn_buffer_extend(&buffer, 1);
    assert_null(norn_buffer_extend(&buffer, SIZE_MAX));
}

static void formatting_grows_the_buffer(void **state) {
    (void)state;
    norn_buffer_format(&buffer, "%d-%s", 5, "a");
    norn_buffer_format(&buffer, "%0500d", 7);
    norn_buffer_text(&buffer, "end");
    assert_int_equal(buffer.count, 3 + 500 + 3);
    assert_memory_equal(buffer.bytes, "5-a0000", 7);
    assert_memory_equal(buffer.bytes + 502, "7end", 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_specification_s_examples_come_out),
        TEST(what_is_written_reads_back),
        TEST(nested_messages_have_canonical_lengths_at_every_size),
        TEST(malformed_fields_are_refused),
        TEST(a_loop_and_a_visit_end_with_the_message_or_at_what_is_wrong),
        TEST(packed_varints_advance),
        TEST(a_buffer_latches_out_of_memory),
        TEST(formatting_grows_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
