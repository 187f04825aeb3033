#include "tensor/sequence.h"

#include "base/cmocka_all.h"
#include "tensor/dtype.h"

#include <stdalign.h>
#include <string.h>

enum { ROOM = 4096 };
static alignas(64) char block[ROOM];

static norn_view value_of(norn_dtype dtype, size_t bytes) {
    int64_t dims[1] = {(int64_t)bytes};
    return norn_view_of(dtype, 1, dims, block);
}

static size_t write_two(void) {
    static float a[6] = {1, 2, 3, 4, 5, 6}, b[1] = {7};
    norn_view tensors[2] = {norn_view_of(NORN_F32, 2, (int64_t[]){2, 3}, a),
                            norn_view_of(NORN_F32, 0, NULL, b)};
    size_t bytes;
    assert_int_equal(norn_sequence_bytes(tensors, 2, &bytes), NORN_OK);
    assert_true(bytes <= ROOM);
    memset(block, 0x5a, sizeof block);
    norn_sequence_write(block, tensors, 2, true);
    assert_int_equal(block[bytes], 0x5a); // nothing past its end
    return bytes;
}

static void tensors_come_back_wherever_the_block_is_copied(void **state) {
    (void)state;
    static alignas(64) char other[ROOM];
    norn_view value = value_of(norn_dtype_with(NORN_F32, NORN_SEQUENCE), write_two());
    norn_sequence sequence;
    memcpy(other, block, sizeof other);
    memset(block, 0, sizeof block);
    value.data = other;
    assert_int_equal(norn_sequence_open(&value, &sequence), NORN_OK);
    assert_int_equal(sequence.count, 2);
    norn_view first = norn_sequence_at(&sequence, 0), last = norn_sequence_at(&sequence, 1);
    assert_int_equal(first.rank, 2);
    assert_int_equal(first.dims[1], 3);
    assert_true(((const float *)first.data)[5] == 6);
    assert_int_equal(last.rank, 0);
    assert_true(((const float *)last.data)[0] == 7);
    assert_int_equal((uintptr_t)first.data % 64, 0);
}

static void an_empty_sequence_and_an_absent_one_differ(void **state) {
    (void)state;
    size_t bytes;
    norn_sequence sequence;
    assert_int_equal(norn_sequence_bytes(NULL, 0, &bytes), NORN_OK);
    norn_view value = value_of(norn_dtype_with(NORN_F32, NORN_SEQUENCE | NORN_OPTIONAL), bytes);
    for (int present = 0; present < 2; present++) {
        norn_sequence_write(block, NULL, 0, present != 0);
        assert_int_equal(norn_sequence_open(&value, &sequence), NORN_OK);
        assert_int_equal(sequence.present, present);
        assert_int_equal(sequence.count, 0);
    }
    value.dtype = norn_dtype_with(NORN_F32, NORN_OPTIONAL); // present, but no tensor
    assert_int_equal(norn_sequence_open(&value, &sequence), NORN_INVALID_ARGUMENT);
}

static void damaged_bytes_are_refused_and_never_read_outside(void **state) {
    (void)state;
    size_t bytes = write_two();
    static char good[ROOM];
    memcpy(good, block, sizeof good);
    norn_view value = value_of(norn_dtype_with(NORN_F32, NORN_SEQUENCE), bytes);
    norn_sequence sequence;
    for (size_t at = 0; at < 16 + 2 * 88; at++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(block, good, sizeof good);
            block[at] = (char)(block[at] ^ (1 << bit));
            if (norn_sequence_open(&value, &sequence) != NORN_OK) continue;
            for (uint32_t i = 0; i < sequence.count; i++) { // what is accepted lies inside
                norn_view tensor = norn_sequence_at(&sequence, i);
                size_t size;
                assert_int_equal(norn_view_bytes(&tensor, &size), NORN_OK);
                assert_true((char *)tensor.data >= block);
                assert_true((char *)tensor.data + size <= block + bytes);
            }
        }
    }
    memcpy(block, good, sizeof good);
    value.dims[0] = 8;
    assert_int_equal(norn_sequence_open(&value, &sequence), NORN_INVALID_ARGUMENT);
    value.dims[0] = (int64_t)bytes, value.dtype = norn_dtype_with(NORN_I32, NORN_SEQUENCE);
    assert_int_equal(norn_sequence_open(&value, &sequence), NORN_INVALID_ARGUMENT);
    value.dtype = NORN_U8; // a tensor of the same bytes is no sequence
    assert_int_equal(norn_sequence_open(&value, &sequence), NORN_INVALID_ARGUMENT);
}

static void types_of_what_holds_tensors_have_names_and_count_bytes(void **state) {
    (void)state;
    norn_dtype sequence = norn_dtype_with(NORN_I64, NORN_SEQUENCE);
    assert_string_equal(norn_dtype_name(sequence), "sequence of int64");
    assert_string_equal(norn_dtype_name(norn_dtype_with(sequence, NORN_OPTIONAL)),
                        "optional sequence of int64");
    assert_string_equal(norn_dtype_name(norn_dtype_with(NORN_F16, NORN_OPTIONAL)),
                        "optional float16");
    assert_int_equal(norn_dtype_bits(sequence), 8);
    assert_int_equal(norn_dtype_element(sequence), NORN_I64);
    assert_false(norn_dtype_is_integer(sequence));
    assert_string_equal(norn_dtype_kserve_name(sequence), "NONE");
    assert_false(norn_dtype_is_known(NORN_SEQUENCE)); // of nothing
    assert_false(norn_dtype_is_known(0x100 | NORN_F32));
    assert_false(norn_dtype_is_known(NORN_SEQUENCE | NORN_DTYPE_COUNT));
    assert_string_equal(norn_dtype_name((norn_dtype)0x3f), "none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_come_back_wherever_the_block_is_copied),
        cmocka_unit_test(an_empty_sequence_and_an_absent_one_differ),
        cmocka_unit_test(damaged_bytes_are_refused_and_never_read_outside),
        cmocka_unit_test(types_of_what_holds_tensors_have_names_and_count_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
