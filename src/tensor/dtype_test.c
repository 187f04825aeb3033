#include "base/cmocka_all.h"
#include "base/file.h"
#include "base/hash.h"
#include "tensor/dtype.h"

#include <math.h>
#include <stdio.h>

static void every_type_has_facts(void **state) {
    (void)state;
    for (int i = 1; i < NORN_DTYPE_COUNT; i++) {
        norn_dtype dtype = (norn_dtype)i;
        assert_string_not_equal(norn_dtype_name(dtype), "none");
        assert_in_range(norn_dtype_bits(dtype), 2, 128);
        assert_false(norn_dtype_is_float(dtype) && norn_dtype_is_integer(dtype));
        norn_dtype back = norn_dtype_from_kserve(norn_dtype_kserve_name(dtype));
        if (strcmp(norn_dtype_kserve_name(dtype), "NONE") != 0) assert_int_equal(back, dtype);
    }
    assert_string_equal(norn_dtype_name(NORN_F8E4M3FNUZ), "float8e4m3fnuz");
    assert_string_equal(norn_dtype_kserve_name(NORN_STRING), "BYTES");
    assert_string_equal(norn_dtype_kserve_name(NORN_BF16), "BF16");
    assert_int_equal(norn_dtype_from_kserve("FP32"), NORN_F32);
    assert_int_equal(norn_dtype_from_kserve("FP31"), NORN_DTYPE_NONE);
    assert_int_equal(norn_dtype_from_kserve("NONE"), NORN_DTYPE_NONE);
    assert_true(norn_dtype_is_signed(NORN_I4) && norn_dtype_is_signed(NORN_F16));
    assert_false(norn_dtype_is_signed(NORN_U64) || norn_dtype_is_signed(NORN_F8E8M0));
}

static void a_number_from_a_file_that_is_no_type_is_none(void **state) {
    (void)state;
    assert_string_equal(norn_dtype_name((norn_dtype)-1), "none");
    assert_string_equal(norn_dtype_name(NORN_DTYPE_COUNT), "none");
    assert_int_equal(norn_dtype_bits((norn_dtype)1000), 0);
}

static void packed_types_round_their_bytes_up(void **state) {
    (void)state;
    size_t bytes = 99;
    assert_true(norn_dtype_bytes(NORN_I4, 5, &bytes));
    assert_int_equal(bytes, 3);
    assert_true(norn_dtype_bytes(NORN_U2, 5, &bytes));
    assert_int_equal(bytes, 2);
    assert_true(norn_dtype_bytes(NORN_U2, 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_true(norn_dtype_bytes(NORN_C128, 3, &bytes));
    assert_int_equal(bytes, 48);
    assert_true(norn_dtype_bytes(NORN_I4, INT64_MAX, &bytes));
    assert_int_equal(bytes, (size_t)INT64_MAX / 2 + 1);
    assert_false(norn_dtype_bytes(NORN_F64, INT64_MAX, &bytes));
    assert_false(norn_dtype_bytes(NORN_F32, -1, &bytes));
    assert_false(norn_dtype_bytes(NORN_DTYPE_NONE, 1, &bytes));
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void every_half_float_survives_float32(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 65536; code++) {
        float value = norn_f16_to_f32((uint16_t)code);
        if ((code & 0x7fff) > 0x7c00) {
            assert_true(isnan(value));
            assert_int_equal(norn_f32_to_f16(value), code | 0x200); // quiet, payload kept
        } else {
            assert_int_equal(norn_f32_to_f16(value), code);
            assert_int_equal(signbit(value) != 0, code >> 15);
        }
        uint16_t half = (uint16_t)code;
        double exact = norn_element_f64(NORN_F16, &half, 0);
        assert_true(isnan(value) ? isnan(exact) : exact == (double)value);
    }
}

static void every_bfloat_survives_float32(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 65536; code++) {
        float value = norn_bf16_to_f32((uint16_t)code);
        if ((code & 0x7fff) > 0x7f80)
            assert_true(isnan(value) && (norn_f32_to_bf16(value) & 0x7fff) > 0x7f80);
        else
            assert_int_equal(norn_f32_to_bf16(value), code);
        uint16_t half = (uint16_t)code;
        double exact = norn_element_f64(NORN_BF16, &half, 0);
        assert_true(isnan(value) ? isnan(exact) : exact == (double)value);
    }
}

/// The bit tricks of dtype.h against the arithmetic of element.c, at and beside every tie.
static void rounding_of_float32_agrees_with_the_exact_path(void **state) {
    (void)state;
    for (uint32_t code = 0; code < 0x7c00; code++) {
        float low = norn_f16_to_f32((uint16_t)code);
        float high = code == 0x7bff ? 65536.0f : norn_f16_to_f32((uint16_t)(code + 1));
        float middle = (low + high) / 2;
        float tries[] = {middle, nextafterf(middle, 0), nextafterf(middle, INFINITY), -middle};
        for (size_t i = 0; i < 4; i++) {
            uint16_t wanted;
            norn_element_set_f64(NORN_F16, &wanted, 0, (double)tries[i]);
            assert_int_equal(norn_f32_to_f16(tries[i]), wanted);
        }
        assert_int_equal(norn_f32_to_f16(middle), code + code % 2);
    }
    norn_random random;
    norn_random_init(&random, 1);
    for (int i = 0; i < 300000; i++) {
        uint32_t bits = (uint32_t)norn_random_u64(&random);
        if (i % 4 == 0) bits = (bits & 0xffff0000) | 0x8000; // bfloat16 ties
        float value = float_of(bits);
        if (isnan(value)) continue;
        uint16_t half, brain;
        norn_element_set_f64(NORN_F16, &half, 0, (double)value);
        norn_element_set_f64(NORN_BF16, &brain, 0, (double)value);
        assert_int_equal(norn_f32_to_f16(value), half);
        assert_int_equal(norn_f32_to_bf16(value), brain);
    }
    assert_true(isnan(norn_bf16_to_f32(norn_f32_to_bf16(float_of(0x7f800001)))));
}

/// By way of float32 this would round to 1, then stay there: the tie is broken by the 2^-40.
static void a_double_is_rounded_once(void **state) {
    (void)state;
    uint16_t code;
    norn_element_set_f64(NORN_F16, &code, 0, 1 + 0x1p-11 + 0x1p-40);
    assert_int_equal(code, 0x3c01);
    norn_element_set_f64(NORN_F16, &code, 0, 1 + 0x1p-11);
    assert_int_equal(code, 0x3c00);
    norn_element_set_f64(NORN_F16, &code, 0, 5e-324);
    assert_int_equal(code, 0);
    norn_element_set_f64(NORN_F16, &code, 0, -1e308);
    assert_int_equal(code, 0xfc00);
}

static uint32_t get_code(norn_dtype dtype, const void *data) {
    uint32_t code = 0;
    memcpy(&code, data, norn_dtype_bits(dtype) > 8 ? 2 : 1);
    return norn_dtype_bits(dtype) == 4 ? code & 15 : code;
}

/// tests/golden/tensor/codes.bin: see make_golden.py beside it.
static void small_floats_agree_with_ml_dtypes(void **state) {
    (void)state;
    norn_file *file;
    assert_int_equal(
        norn_file_read(NORN_SOURCE_DIR "/tests/golden/tensor/codes.bin", norn_alloc_heap(), &file),
        NORN_OK);
    const uint8_t *at = norn_file_bytes(file).bytes, *end = at + norn_file_bytes(file).count;
    int types = 0;
    for (; at < end; types++) {
        const char *name = (const char *)at;
        uint32_t counts[3];
        memcpy(counts, at + 16, sizeof counts);
        const uint8_t *decoded = at + 28, *values = decoded + 4 * counts[0],
                      *codes = values + 4 * counts[2];
        norn_dtype dtype = NORN_DTYPE_NONE;
        for (int i = 1; i < NORN_DTYPE_COUNT; i++)
            if (strcmp(norn_dtype_name((norn_dtype)i), name) == 0) dtype = (norn_dtype)i;
        assert_int_not_equal(dtype, NORN_DTYPE_NONE);
        for (uint32_t i = 0; i < counts[0]; i++) {
            uint32_t code = i * counts[1];
            float wanted;
            memcpy(&wanted, decoded + 4 * i, 4);
            double found = norn_element_f64(dtype, &code, 0);
            if (isnan(wanted) ? !isnan(found)
                              : found != (double)wanted || !signbit(found) != !signbit(wanted))
                fail_msg("%s: code %x is %g, not %g", name, code, found, (double)wanted);
        }
        for (uint32_t i = 0; i < counts[2]; i++) {
            uint32_t found = 0;
            uint16_t wanted;
            float value;
            memcpy(&value, values + 4 * i, 4);
            memcpy(&wanted, codes + 2 * i, 2);
            norn_element_set_f64(dtype, &found, 0, (double)value);
            uint32_t code = get_code(dtype, &found);
            if (isnan(value) ? !isnan(norn_element_f64(dtype, &found, 0)) : code != wanted)
                fail_msg("%s: %.9g becomes %x, not %x", name, (double)value, code, wanted);
        }
        at = codes + 2 * counts[2];
    }
    assert_int_equal(types, 8);
    norn_file_release(file);
}

static void every_code_of_8_bits_survives_a_round_trip(void **state) {
    (void)state;
    const norn_dtype types[] = {NORN_F8E4M3FN, NORN_F8E4M3FNUZ, NORN_F8E5M2, NORN_F8E5M2FNUZ,
                                NORN_F8E8M0};
    for (size_t t = 0; t < 5; t++) {
        for (uint32_t code = 0; code < 256; code++) {
            uint8_t byte = (uint8_t)code, again = 0x55;
            double value = norn_element_f64(types[t], &byte, 0);
            norn_element_set_f64(types[t], &again, 0, value);
            if (isnan(value))
                assert_true(isnan(norn_element_f64(types[t], &again, 0)));
            else if (isinf(value)) // float8e5m2 has infinities, but Cast saturates
                assert_int_equal(again, code - 1);
            else
                assert_int_equal(again, code);
        }
    }
}

static void casts_to_float8_saturate(void **state) {
    (void)state;
    static const struct {
        norn_dtype dtype;
        uint8_t max, nan;
    } rows[] = {{NORN_F8E4M3FN, 0x7e, 0x7f},
                {NORN_F8E4M3FNUZ, 0x7f, 0x80},
                {NORN_F8E5M2, 0x7b, 0x7f},
                {NORN_F8E5M2FNUZ, 0x7f, 0x80}};
    for (size_t i = 0; i < 4; i++) {
        uint8_t code;
        norn_element_set_f64(rows[i].dtype, &code, 0, (double)INFINITY);
        assert_int_equal(code, rows[i].max);
        norn_element_set_f64(rows[i].dtype, &code, 0, 1e9);
        assert_int_equal(code, rows[i].max);
        norn_element_set_f64(rows[i].dtype, &code, 0, -1e9);
        assert_int_equal(code, rows[i].max | 0x80);
        norn_element_set_f64(rows[i].dtype, &code, 0, (double)NAN);
        assert_int_equal(code, rows[i].nan);
        norn_element_set_f64(rows[i].dtype, &code, 0, -0.0);
        assert_int_equal(code, rows[i].nan == 0x80 ? 0 : 0x80);
    }
}

static void float8e8m0_rounds_up(void **state) {
    (void)state;
    uint8_t code;
    norn_element_set_f64(NORN_F8E8M0, &code, 0, 1);
    assert_int_equal(code, 127);
    norn_element_set_f64(NORN_F8E8M0, &code, 0, 1.001);
    assert_int_equal(code, 128);
    norn_element_set_f64(NORN_F8E8M0, &code, 0, 0);
    assert_int_equal(code, 0);
    norn_element_set_f64(NORN_F8E8M0, &code, 0, (double)INFINITY);
    assert_int_equal(code, 254);
    norn_element_set_f64(NORN_F8E8M0, &code, 0, -1);
    assert_int_equal(code, 255);
}

static void packed_elements_keep_their_neighbours(void **state) {
    (void)state;
    const norn_dtype types[] = {NORN_U4, NORN_I4, NORN_U2, NORN_I2, NORN_F4E2M1};
    for (size_t t = 0; t < 5; t++) {
        uint8_t data[8] = {0}, before[8];
        int64_t count = 8 * 8 / norn_dtype_bits(types[t]);
        for (int64_t i = 0; i < 5000; i++) {
            memcpy(before, data, sizeof data);
            int64_t index = i * 7 % count, value = i % 4 - (norn_dtype_is_signed(types[t]) ? 2 : 0);
            norn_element_set_i64(types[t], data, index, value);
            for (int64_t j = 0; j < count; j++)
                assert_int_equal(norn_element_i64(types[t], data, j),
                                 j == index ? value : norn_element_i64(types[t], before, j));
        }
    }
    uint8_t low_nibble_first[1] = {0};
    norn_element_set_i64(NORN_I4, low_nibble_first, 0, -8);
    norn_element_set_i64(NORN_I4, low_nibble_first, 1, 7);
    assert_int_equal(low_nibble_first[0], 0x78);
}

static void doubles_become_integers_towards_zero_and_saturate(void **state) {
    (void)state;
    static const struct {
        norn_dtype dtype;
        double value;
        int64_t wanted;
    } rows[] = {
        {NORN_I8, 3.9, 3},
        {NORN_I8, -3.9, -3},
        {NORN_I8, 300, 127},
        {NORN_I8, -300, -128},
        {NORN_U8, -1, 0},
        {NORN_U8, 256, 255},
        {NORN_I32, 1e10, INT32_MAX},
        {NORN_U32, 4294967295.0, 4294967295},
        {NORN_I64, 1e19, INT64_MAX},
        {NORN_I64, -1e19, INT64_MIN},
        {NORN_I16, 32767.5, 32767},
        {NORN_BOOL, 0.25, 1},
        {NORN_I4, 8, -8},
        {NORN_U4, 17, 1},
        {NORN_I2, 1.5, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint64_t data = 0;
        norn_element_set_f64(rows[i].dtype, &data, 0, rows[i].value);
        assert_true(norn_element_i64(rows[i].dtype, &data, 0) == rows[i].wanted);
        norn_element_set_f64(rows[i].dtype, &data, 0, (double)NAN);
        assert_int_equal(norn_element_i64(rows[i].dtype, &data, 0), rows[i].dtype == NORN_BOOL);
    }
    uint64_t large;
    norn_element_set_f64(NORN_U64, &large, 0, 1e30);
    assert_true(large == UINT64_MAX);
    assert_true(norn_element_i64(NORN_U64, &large, 0) == INT64_MAX);
    assert_true(norn_element_f64(NORN_U64, &large, 0) == 0x1p64);
    float big = 1e30f;
    assert_true(norn_element_i64(NORN_F32, &big, 0) == INT64_MAX);
}

static void integers_wrap_into_narrower_ones(void **state) {
    (void)state;
    uint64_t data = 0;
    norn_element_set_i64(NORN_U8, &data, 0, -1);
    assert_int_equal(norn_element_i64(NORN_U8, &data, 0), 255);
    norn_element_set_i64(NORN_I16, &data, 0, 40000);
    assert_int_equal(norn_element_i64(NORN_I16, &data, 0), 40000 - 65536);
    norn_element_set_i64(NORN_BOOL, &data, 0, 256);
    assert_int_equal(norn_element_i64(NORN_BOOL, &data, 0), 1);
    norn_element_set_i64(NORN_F32, &data, 0, (INT64_C(1) << 60) + (INT64_C(1) << 36) + 1);
    float once;
    memcpy(&once, &data, sizeof once);
    assert_int_equal(bits_of(once), bits_of(0x1p60f + 0x1p37f));
    double pair[2] = {5, 5};
    norn_element_set_f64(NORN_C128, pair, 0, 2);
    assert_true(pair[0] == 2 && pair[1] == 0 && norn_element_f64(NORN_C128, pair, 0) == 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_facts),
        cmocka_unit_test(a_number_from_a_file_that_is_no_type_is_none),
        cmocka_unit_test(packed_types_round_their_bytes_up),
        cmocka_unit_test(every_half_float_survives_float32),
        cmocka_unit_test(every_bfloat_survives_float32),
        cmocka_unit_test(rounding_of_float32_agrees_with_the_exact_path),
        cmocka_unit_test(a_double_is_rounded_once),
        cmocka_unit_test(small_floats_agree_with_ml_dtypes),
        cmocka_unit_test(every_code_of_8_bits_survives_a_round_trip),
        cmocka_unit_test(casts_to_float8_saturate),
        cmocka_unit_test(float8e8m0_rounds_up),
        cmocka_unit_test(packed_elements_keep_their_neighbours),
        cmocka_unit_test(doubles_become_integers_towards_zero_and_saturate),
        cmocka_unit_test(integers_wrap_into_narrower_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
