#include "base/cmocka_all.h"
#include "base/hash.h"
#include "base/json.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/// The tokens of `text` as one character each, then E at the end or '!' at an error.
static const char *kinds(const char *text) {
    static char out[256];
    static const char letters[] = "E{}[]KSNTF0";
    norn_json_reader reader;
    norn_json_token token;
    size_t used = 0;
    norn_json_init(&reader, norn_span_text(text));
    do {
        if (norn_json_next(&reader, &token) != NORN_OK) {
            out[used++] = '!';
            break;
        }
        out[used++] = letters[token.kind];
    } while (token.kind != NORN_JSON_END && used < sizeof out - 2);
    out[used] = '\0';
    return out;
}

static void a_byte_order_mark_is_passed_over_at_the_begin_alone(void **state) {
    (void)state;
    norn_json_reader reader;
    norn_json_token token;
    assert_string_equal(kinds("\xef\xbb\xbf{\"a\":1}\r\n"), "{KN}E");
    assert_string_equal(kinds("\xef\xbb\xbf"), "!");
    assert_string_equal(kinds("\xef\xbb"), "!");
    assert_string_equal(kinds("[\xef\xbb\xbf]"), "[!");
    assert_string_equal(kinds("\xef\xbb\xbf\xef\xbb\xbf[]"), "!");
    norn_json_init(&reader, norn_span_text("\xef\xbb\xbf{}"));
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_int_equal(token.offset, 3);
}

static void documents_become_tokens(void **state) {
    (void)state;
    assert_string_equal(kinds("{}"), "{}E");
    assert_string_equal(kinds(" [ ] \n"), "[]E");
    assert_string_equal(kinds("{\"a\":[1,-2.5e+3,{}],\"b\" : null , \"c\":\"x\"}"),
                        "{K[NN{}]K0KS}E");
    assert_string_equal(kinds("true"), "TE");
    assert_string_equal(kinds("[false,[[]]]"), "[F[[]]]E");
    assert_string_equal(kinds("\"\\u00e9\\n\""), "SE");
    assert_string_equal(kinds("0"), "NE");
    assert_string_equal(kinds("-0.0E-1"), "NE");
}

static void malformed_documents_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\" 1}",
        "[1}",
        "{\"a\":1]",
        "1 2",
        "nul",
        "nulll",
        "tru",
        "True",
        "01",
        "-",
        "-a",
        "+1",
        ".5",
        "1.",
        "1.e3",
        "1e",
        "1e+",
        "0x1",
        "NaN",
        "Infinity",
        "\"",
        "\"a",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"\\u123",
        "[\"a]",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xc3\"",
        "'a'",
        "[1]]",
        "{}{}",
        "// x",
        "[1,\x01]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *found = kinds(bad[i]);
        if (found[strlen(found) - 1] != '!') fail_msg("'%s' was read as %s", bad[i], found);
        assert_non_null(strstr(norn_message(), "JSON, byte "));
    }
}

static void an_error_carries_its_offset(void **state) {
    (void)state;
    kinds("{\"a\": 1, b}");
    assert_non_null(strstr(norn_message(), "byte 9:"));
}

static void depth_is_bounded_at_64(void **state) {
    (void)state;
    char text[200];
    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    assert_int_equal(strlen(kinds(text)), 129);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = '\0';
    const char *found = kinds(text);
    assert_int_equal(found[strlen(found) - 1], '!');
}

static void a_skipped_value_leaves_the_reader_after_it(void **state) {
    (void)state;
    norn_json_reader reader;
    norn_json_token token;
    norn_json_init(&reader, norn_span_text("{\"a\":[1,{\"b\":[[2]]}],\"c\":3,\"d\":{}}"));
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
        assert_int_equal(token.kind, NORN_JSON_KEY);
        assert_int_equal(token.text.bytes[0], "acd"[i]);
        assert_int_equal(norn_json_skip(&reader, &token), NORN_OK);
    }
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_int_equal(token.kind, NORN_JSON_OBJECT_END);
    norn_json_init(&reader, norn_span_text("[[1,2],3]"));
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_int_equal(norn_json_skip(&reader, &token), NORN_OK);
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_true(norn_span_equal(token.text, "3"));
    norn_json_init(&reader, norn_span_text("[[1,"));
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_int_equal(norn_json_skip(&reader, &token), NORN_INVALID_ARGUMENT);
}

static void escapes_become_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"plain", "plain"},
        {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
        {"\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac"},
        {"\\ud83d\\ude00!", "\xf0\x9f\x98\x80!"},
        {"", ""},
    };
    char out[64];
    size_t count;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(norn_json_unescape(norn_span_text(cases[i].text), out, &count), NORN_OK);
        assert_int_equal(count, strlen(cases[i].wanted));
        assert_memory_equal(out, cases[i].wanted, count);
    }
    static const char *const bad[] = {
        "\\", "\\x", "\\u12", "\\ud83d", "\\ude00", "\\ud83d\\u0041", "\\ud83dxxxxxx", "\\u123g"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(norn_json_unescape(norn_span_text(bad[i]), out, &count),
                         NORN_INVALID_ARGUMENT);
}

static void integers_are_exact_or_refused(void **state) {
    (void)state;
    int64_t value = 5;
    assert_true(norn_json_i64(norn_span_text("9223372036854775807"), &value));
    assert_true(value == INT64_MAX);
    assert_true(norn_json_i64(norn_span_text("-9223372036854775808"), &value));
    assert_true(value == INT64_MIN);
    assert_true(norn_json_i64(norn_span_text("-0"), &value));
    assert_int_equal(value, 0);
    static const char *const bad[] = {
        "9223372036854775808",    "-9223372036854775809", "1.0", "1e3", "", "-",
        "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(norn_json_i64(norn_span_text(bad[i]), &value));
}

static void assert_f64(const char *text) {
    double value, wanted = strtod(text, NULL);
    if (!norn_json_f64(norn_span_text(text), &value) || value != wanted ||
        signbit(value) != signbit(wanted))
        fail_msg("%s was read as %.17g, not %.17g", text, value, wanted);
}

static void doubles_round_as_strtod_does(void **state) {
    (void)state;
    static const char *const texts[] = {
        "0",
        "-0",
        "0.0",
        "1",
        "-1.5",
        "0.1",
        "123456789012345678",
        "9007199254740993",
        "9007199254740992",
        "9007199254740991",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "4.35e22",
        "1e308",
        "1.7976931348623157e308",
        "1.8e308",
        "1e400",
        "-1e400",
        "1e999999999999",
        "1e-999999999999",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "0.000000000000000000000000000000000001",
        "0e999999999",
        "0.0e-5",
        "100000000000000000000000000000000000000000000000000000000000000000000000e-60",
        "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017"
        "977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273"
        "854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704"
        "342711559699508093042880e0",
        "0."
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "000123",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) assert_f64(texts[i]);
    norn_random random;
    norn_random_init(&random, 7);
    for (int i = 0; i < 200000; i++) {
        char text[64];
        uint64_t bits = norn_random_u64(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        snprintf(text, sizeof text, i % 3 ? "%.*e" : "%.*g", (int)(bits % 20), value);
        assert_f64(text);
        snprintf(text, sizeof text, "%llu.%llu", (unsigned long long)(bits >> 40),
                 (unsigned long long)(bits & 0xffffffffff));
        assert_f64(text);
    }
}

/// 1 + 2^-53 is the middle between two doubles: only its thousandth digit says which way to go.
static void a_digit_far_out_decides_a_tie(void **state) {
    (void)state;
    static const char middle[] = "1.00000000000000011102230246251565404236316680908203125";
    char text[2000];
    double value;
    size_t used = sizeof middle - 1;
    memcpy(text, middle, used);
    assert_true(norn_json_f64(norn_span_of(text, used), &value));
    assert_true(value == 1);
    memset(text + used, '0', sizeof text - used);
    text[sizeof text - 1] = '1';
    assert_true(norn_json_f64(norn_span_of(text, sizeof text), &value));
    assert_true(value == 1 + 0x1p-52);
    text[sizeof text - 1] = '0';
    assert_true(norn_json_f64(norn_span_of(text, sizeof text), &value));
    assert_true(value == 1);
}

static norn_buffer buffer;

static const char *put_f32(float value) {
    norn_buffer_clear(&buffer);
    norn_json_put_f32(&buffer, value);
    norn_buffer_append(&buffer, "", 1);
    return (const char *)buffer.bytes;
}

static const char *put_f64(double value) {
    norn_buffer_clear(&buffer);
    norn_json_put_f64(&buffer, value);
    norn_buffer_append(&buffer, "", 1);
    return (const char *)buffer.bytes;
}

static void numbers_are_written_in_the_usual_form(void **state) {
    (void)state;
    assert_string_equal(put_f32(0), "0.0");
    assert_string_equal(put_f32(-0.0f), "-0.0");
    assert_string_equal(put_f32(1), "1.0");
    assert_string_equal(put_f32(-12.5f), "-12.5");
    assert_string_equal(put_f32(0.1f), "0.1");
    assert_string_equal(put_f32(0.3333333433f), "0.33333334");
    assert_string_equal(put_f32(100), "100.0");
    assert_string_equal(put_f32(16777216), "16777216.0");
    assert_string_equal(put_f32(1e-5f), "0.00001");
    assert_string_equal(put_f32(1.5e-7f), "1.5e-7");
    assert_string_equal(put_f32(3.4028235e38f), "3.4028235e38");
    assert_string_equal(put_f32(1e-45f), "1e-45");
    assert_string_equal(put_f32(9.999999e20f), "9.999999e20");
    assert_string_equal(put_f32(NAN), "null");
    assert_string_equal(put_f32(-INFINITY), "null");
    assert_string_equal(put_f64(0.1), "0.1");
    assert_string_equal(put_f64(-1234567.125), "-1234567.125");
    assert_string_equal(put_f64(5e-324), "5e-324");
    assert_string_equal(put_f64(1.7976931348623157e308), "1.7976931348623157e308");
    assert_string_equal(put_f64(NAN), "null");
}

/// Digits of the mantissa, without sign, point, exponent, and zeros at its ends.
static int digits_of(const char *text) {
    char digits[64];
    int count = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (count > 0 || *text != '0')) digits[count++] = *text;
    while (count > 0 && digits[count - 1] == '0') count--;
    return count;
}

static void assert_shortest_f32(float value) {
    const char *text = put_f32(value);
    if (strtof(text, NULL) != value) fail_msg("%.9g was written as %s", (double)value, text);
    char plain[64];
    int least = 1;
    for (; least < 9; least++) {
        snprintf(plain, sizeof plain, "%.*e", least - 1, (double)value);
        if (strtof(plain, NULL) == value) break;
    }
    if (digits_of(text) > least)
        fail_msg("%.9g was written as %s, where %d digits do", (double)value, text, least);
}

static void floats_are_written_with_the_fewest_digits(void **state) {
    (void)state;
    norn_random random;
    norn_random_init(&random, 3);
    for (int i = 0; i < 200000; i++) {
        uint32_t bits = (uint32_t)norn_random_u64(&random);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value) && value != 0) assert_shortest_f32(value);
        assert_shortest_f32((float)norn_random_unit(&random) + 1e-9f);
        assert_shortest_f32((float)(i + 1) / 100);
    }
    for (int power = -44; power <= 38; power++) {
        float value = (float)pow(10, power);
        assert_shortest_f32(value);
        assert_shortest_f32(nextafterf(value, 0));
        assert_shortest_f32(nextafterf(value, INFINITY));
    }
}

static void doubles_read_back(void **state) {
    (void)state;
    norn_random random;
    norn_random_init(&random, 4);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = norn_random_u64(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) assert_true(strtod(put_f64(value), NULL) == value);
    }
}

static void strings_are_written_as_valid_json(void **state) {
    (void)state;
    norn_buffer_clear(&buffer);
    static const char text[] = "a\"b\\c\n\x01\xc3\xa9\xff\x7f\0z";
    norn_json_put_string(&buffer, text, sizeof text - 1);
    norn_buffer_append(&buffer, "", 1);
    assert_string_equal((const char *)buffer.bytes,
                        "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\xef\xbf\xbd\x7f\\u0000z\"");
    norn_buffer_clear(&buffer);
    norn_json_put_string(&buffer, NULL, 0);
    assert_int_equal(buffer.count, 2);
}

static void whole_numbers_are_written_to_their_bounds(void **state) {
    (void)state;
    norn_buffer_clear(&buffer);
    norn_json_put_i64(&buffer, INT64_MIN);
    norn_json_put_i64(&buffer, INT64_MAX);
    norn_json_put_i64(&buffer, -10);
    norn_json_put_u64(&buffer, 0);
    norn_json_put_u64(&buffer, UINT64_MAX);
    norn_buffer_append(&buffer, "", 1);
    assert_string_equal((const char *)buffer.bytes,
                        "-92233720368547758089223372036854775807-10018446744073709551615");
}

static void the_locale_does_not_matter(void **state) {
    (void)state;
    static const char *const locales[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < 3 && !found; i++) found = setlocale(LC_NUMERIC, locales[i]) != NULL;
    if (!found) skip();
    double value;
    assert_true(norn_json_f64(norn_span_text("0.123456789012345678901"), &value));
    assert_string_equal(put_f64(0.5), "0.5");
    assert_string_equal(put_f32(1.5e-30f), "1.5e-30");
    norn_buffer_clear(&buffer);
    norn_json_add_fixed(&(norn_json_writer){.buffer = &buffer}, NULL, 1234.5, 2);
    assert_int_equal(buffer.count, 7);
    assert_memory_equal(buffer.bytes, "1234.50", 7);
    setlocale(LC_NUMERIC, "C");
    assert_true(value == 0.123456789012345678901);
}

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

static void specials_are_numbers_only_where_they_were_asked_for(void **state) {
    static const char text[] = "[NaN,Infinity,-Infinity,-1]";
    norn_json_reader reader;
    norn_json_token token;
    double value;
    (void)state;
    for (int specials = 0; specials < 2; specials++) {
        norn_json_init(&reader, norn_span_text(text));
        reader.specials = specials;
        assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
        const norn_status status = norn_json_next(&reader, &token);
        assert_int_equal(status, specials ? NORN_OK : NORN_INVALID_ARGUMENT);
    }
    assert_int_equal(token.kind, NORN_JSON_NUMBER);
    assert_true(norn_json_f64(token.text, &value) && isnan(value));
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_true(norn_json_f64(token.text, &value) && value == HUGE_VAL);
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_true(norn_json_f64(token.text, &value) && value == -HUGE_VAL);
    assert_int_equal(token.offset, 14 + 1 - 1);
    assert_int_equal(norn_json_next(&reader, &token), NORN_OK);
    assert_true(norn_json_f64(token.text, &value) && value == -1);
    for (const char *const *bad = (const char *const[]){"Na", "Infinit", "-Inf", "-", "NaNs", NULL};
         *bad; bad++) {
        norn_json_init(&reader, norn_span_text(*bad));
        reader.specials = true;
        norn_status status = norn_json_next(&reader, &token);
        if (status == NORN_OK) status = norn_json_next(&reader, &token);
        assert_int_equal(status, NORN_INVALID_ARGUMENT);
    }
}

static void unsigned_numbers_are_exact(void **state) {
    uint64_t value = 7;
    (void)state;
    assert_true(norn_json_u64(norn_span_text("18446744073709551615"), &value) &&
                value == UINT64_MAX);
    assert_true(norn_json_u64(norn_span_text("-0"), &value) && value == 0);
    assert_false(norn_json_u64(norn_span_text("18446744073709551616"), &value));
    assert_false(norn_json_u64(norn_span_text("-1"), &value));
    assert_false(norn_json_u64(norn_span_text("1.0"), &value));
    assert_false(norn_json_u64(norn_span_text(""), &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_order_mark_is_passed_over_at_the_begin_alone),
        cmocka_unit_test(documents_become_tokens),
        cmocka_unit_test(malformed_documents_are_refused),
        cmocka_unit_test(an_error_carries_its_offset),
        cmocka_unit_test(depth_is_bounded_at_64),
        cmocka_unit_test(a_skipped_value_leaves_the_reader_after_it),
        cmocka_unit_test(escapes_become_utf8),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(doubles_round_as_strtod_does),
        cmocka_unit_test(a_digit_far_out_decides_a_tie),
        cmocka_unit_test(numbers_are_written_in_the_usual_form),
        cmocka_unit_test(floats_are_written_with_the_fewest_digits),
        cmocka_unit_test(doubles_read_back),
        cmocka_unit_test(strings_are_written_as_valid_json),
        cmocka_unit_test(whole_numbers_are_written_to_their_bounds),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(specials_are_numbers_only_where_they_were_asked_for),
        cmocka_unit_test(unsigned_numbers_are_exact),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
