#include "serve/http/http_parser.h"

#include "base/cmocka_all.h"

#include <stdlib.h>

enum { BODY_MAX = 1000 };

static uint8_t bytes[256 * 1024];
static size_t count;
static norn_http_parser parser;

static norn_http_step head_of(const void *text, size_t length) {
    memcpy(bytes, text, length);
    count = length;
    norn_http_parser_init(&parser, BODY_MAX);
    return norn_http_parse_head(&parser, bytes, count);
}

/// The same in pieces: the head byte by byte must come to the same end.
static norn_http_step head_in_pieces(const void *text, size_t length) {
    norn_http_step step = NORN_HTTP_MORE;
    memcpy(bytes, text, length);
    norn_http_parser_init(&parser, BODY_MAX);
    for (count = 1; count <= length && step == NORN_HTTP_MORE; count++)
        step = norn_http_parse_head(&parser, bytes, count);
    return step;
}

static void refused(int code, const char *text, size_t length) {
    norn_http_step step = head_of(text, length);
    if (step != NORN_HTTP_BAD || parser.code != code)
        print_error("%d instead of %d for: %s\n", step == NORN_HTTP_BAD ? parser.code : 0, code,
                    text);
    assert_int_equal(step, NORN_HTTP_BAD);
    assert_int_equal(parser.code, code);
    step = head_in_pieces(text, length);
    assert_int_equal(step, NORN_HTTP_BAD);
    assert_int_equal(parser.code, code);
}
#define REFUSED(code, text) refused((code), (text), sizeof(text) - 1)
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST /x HTTP/1.1\r\nHost: a\r\n"

static void a_plain_request_is_read_whole(void **state) {
    static const char text[] = "\r\nPOST /v2/models/m/infer?q=1 HTTP/1.1\r\nhOsT:localhost:80\r\n"
                               "Content-Length: \t 12 \r\nX-Other: \xe2\x82\xac ; a\tb\r\n"
                               "Inference-Header-Content-Length: 7\r\nAccept-Encoding:\r\n\r\nbody";
    (void)state;
    for (int pieces = 0; pieces < 2; pieces++) {
        assert_int_equal(pieces ? head_in_pieces(text, sizeof text - 1)
                                : head_of(text, sizeof text - 1),
                         NORN_HTTP_DONE);
        const norn_http_request *request = &parser.request;
        assert_int_equal(request->method, NORN_HTTP_POST);
        assert_memory_equal(bytes + request->target.at, "/v2/models/m/infer?q=1",
                            request->target.count);
        assert_true(
            norn_span_equal(norn_http_value(request, NORN_HTTP_HOST, bytes), "localhost:80"));
        assert_true(norn_span_equal(norn_http_value(request, NORN_HTTP_JSON_LENGTH, bytes), "7"));
        assert_true(norn_http_sent(request, NORN_HTTP_ACCEPT_ENCODING));
        assert_false(norn_http_sent(request, NORN_HTTP_CONTENT_ENCODING));
        assert_int_equal(request->body_bytes, 12);
        assert_int_equal(request->head_bytes, sizeof text - 1 - 4);
        assert_int_equal(request->minor, 1);
        assert_true(request->keep_alive && !request->chunked && !request->expect_continue);
    }
}

static void connections_are_kept_as_the_version_and_the_client_say(void **state) {
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"HEAD http://a/v2 HTTP/1.9\r\nHost: a\r\n\r\n", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(head_of(cases[i].text, strlen(cases[i].text)), NORN_HTTP_DONE);
        assert_int_equal(parser.request.keep_alive, cases[i].keep);
    }
}

static void what_two_readers_could_read_differently_is_refused(void **state) {
    (void)state;
    REFUSED(400, POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n");
    REFUSED(400, POST "Content-Length: 5, 5\r\n\r\n");
    REFUSED(400, POST "Content-Length: +5\r\n\r\n");
    REFUSED(400, POST "Content-Length: -5\r\n\r\n");
    REFUSED(400, POST "Content-Length: 0x5\r\n\r\n");
    REFUSED(400, POST "Content-Length: 5 5\r\n\r\n");
    REFUSED(400, POST "Content-Length: 5.0\r\n\r\n");
    REFUSED(400, POST "Content-Length:\r\n\r\n");
    REFUSED(400, POST "Content-Length: 18446744073709551621\r\n\r\n"); // 5 modulo 2^64
    REFUSED(400, POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n");
    REFUSED(400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n");
    REFUSED(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
    REFUSED(501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n");
    REFUSED(501, POST "Transfer-Encoding: xchunked\r\n\r\n");
    REFUSED(501, POST "Transfer-Encoding:\r\n\r\n");
    REFUSED(400, POST "Content-Length : 5\r\n\r\n");
    REFUSED(400, POST "Content-Length\t: 5\r\n\r\n");
    REFUSED(400, POST ": 5\r\n\r\n");
    REFUSED(400, POST "no colon\r\n\r\n");
    REFUSED(400, POST "X: a\r\n folded\r\n\r\n");
    REFUSED(400, GET " X: a\r\nHost: a\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1\nHost: a\r\n\r\n");
    REFUSED(400, GET "Host: a\n\r\n");
    REFUSED(400, GET "Host: a\r\n\n");
    REFUSED(400, GET "Host: a\rX: b\r\n\r\n");
    REFUSED(400, GET "Host: a\r\r\n\r\n");
    REFUSED(400, GET "Host: a\0b\r\n\r\n");
    REFUSED(400, GET "X\0: b\r\nHost: a\r\n\r\n");
    REFUSED(400, GET "X: \x01\r\nHost: a\r\n\r\n");
    REFUSED(400, GET "X: \x7f\r\nHost: a\r\n\r\n");
    REFUSED(400, GET "\r\n");
    REFUSED(400, GET "Host: a\r\nHost: a\r\n\r\n");
    REFUSED(400, GET "Host: a b\r\n\r\n");
    REFUSED(400, GET "Host: a/b\r\n\r\n");
    REFUSED(417, POST "Expect: everything\r\n\r\n");
}

static void request_lines_are_a_method_a_target_and_a_version(void **state) {
    (void)state;
    REFUSED(505, "GET / HTTP/2.0\r\n\r\n");
    REFUSED(505, "GET / HTTP/9.9\r\n\r\n");
    REFUSED(505, "GET / HTTP/0.9\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.10\r\n\r\n");
    REFUSED(400, "GET / http/1.1\r\n\r\n");
    REFUSED(400, "GET / HTTP/1.1 \r\n\r\n");
    REFUSED(400, "GET /\r\n\r\n");
    REFUSED(400, "GET  / HTTP/1.1\r\n\r\n");
    REFUSED(400, "GET /\tHTTP/1.1\r\n\r\n");
    REFUSED(400, "GET /a b HTTP/1.1\r\n\r\n");
    REFUSED(400, "GET /\xc3\xa9 HTTP/1.1\r\n\r\n");
    REFUSED(400, " GET / HTTP/1.1\r\n\r\n");
    REFUSED(400, "\x16\x03\x01");
    REFUSED(501, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(501, "get / HTTP/1.1\r\nHost: a\r\n\r\n");
    REFUSED(400, "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n");
    assert_int_equal(head_of("DELETE * HTTP/1.1\r\nHost:\r\n\r\n", 28), NORN_HTTP_DONE);
    assert_int_equal(parser.request.method, NORN_HTTP_OTHER);
}

static void heads_that_are_too_large_are_refused_before_they_end(void **state) {
    static char text[128 * 1024];
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    refused(414, text, NORN_HTTP_TARGET_MAX + 100);
    memcpy(text + 5 + NORN_HTTP_TARGET_MAX, " HTTP/1.1\r\n", 11);
    refused(414, text, NORN_HTTP_TARGET_MAX + 16);
    assert_int_equal(head_of(text, 100), NORN_HTTP_MORE);

    memset(text, 'a', sizeof text);
    memcpy(text, GET "X: ", sizeof GET "X: " - 1);
    assert_int_equal(head_of(text, NORN_HTTP_HEAD_MAX), NORN_HTTP_MORE);
    assert_int_equal(head_of(text, NORN_HTTP_HEAD_MAX + 1), NORN_HTTP_BAD);
    assert_int_equal(parser.code, 431);

    size_t used = sizeof GET - 1;
    memcpy(text, GET, used);
    for (int i = 0; i < NORN_HTTP_FIELDS_MAX + 1; i++, used += 4) memcpy(text + used, "X:\r\n", 4);
    assert_int_equal(head_of(text, used - 4), NORN_HTTP_MORE);
    assert_int_equal(head_of(text, used), NORN_HTTP_BAD);
    assert_int_equal(parser.code, 431);
    REFUSED(413, POST "Content-Length: 1001\r\n\r\n");
    assert_int_equal(head_of(POST "Content-Length: 1000\r\n\r\n", sizeof POST + 23),
                     NORN_HTTP_DONE);
}

// ---- chunks

#define CHUNKED POST "Transfer-Encoding: Chunked\r\n\r\n"

/// Decode `text` after a head, `piece` bytes at a time.
static norn_http_step chunks_of(const char *text, size_t length, size_t piece) {
    norn_http_step step = NORN_HTTP_MORE;
    assert_int_equal(head_of(CHUNKED, sizeof CHUNKED - 1), NORN_HTTP_DONE);
    for (size_t at = 0; at < length && step != NORN_HTTP_BAD; at += piece) {
        const size_t n = length - at < piece ? length - at : piece;
        memcpy(bytes + count, text + at, n);
        count += n;
        if (step == NORN_HTTP_MORE) step = norn_http_parse_chunks(&parser, bytes, &count);
    }
    return step;
}

static void chunks_are_put_together_wherever_they_are_cut(void **state) {
    static const char text[] = "3\r\nabc\r\n00a ; x=\"y\";z\r\n0123456789\r\n1\r\n!\r\n0;e\r\n"
                               "Trailer: t\r\n\r\nGET / ";
    (void)state;
    for (size_t piece = 1; piece <= sizeof text; piece++) {
        assert_int_equal(chunks_of(text, sizeof text - 1, piece), NORN_HTTP_DONE);
        assert_int_equal(parser.request.body_bytes, 14);
        assert_memory_equal(bytes + parser.request.head_bytes, "abc0123456789!GET / ", 20);
        assert_int_equal(count, parser.request.head_bytes + 20);
    }
    assert_int_equal(chunks_of(text, sizeof text - 1 - 7, 5), NORN_HTTP_MORE);
}

static void chunks_refused(int code, const char *text, size_t length) {
    for (size_t piece = 1; piece <= length; piece = 2 * piece + 1) {
        assert_int_equal(chunks_of(text, length, piece), NORN_HTTP_BAD);
        assert_int_equal(parser.code, code);
    }
}
#define CHUNKS_REFUSED(code, text) chunks_refused((code), (text), sizeof(text) - 1)

static void chunks_that_are_not_what_they_say_are_refused(void **state) {
    static char text[256 * 1024];
    size_t used = 0;
    (void)state;
    CHUNKS_REFUSED(400, "\r\nabc");
    CHUNKS_REFUSED(400, "-3\r\nabc\r\n");
    CHUNKS_REFUSED(400, "+3\r\nabc\r\n");
    CHUNKS_REFUSED(400, "0x3\r\nabc\r\n");
    CHUNKS_REFUSED(400, " 3\r\nabc\r\n");
    CHUNKS_REFUSED(400, "3 3\r\nabc\r\n");
    CHUNKS_REFUSED(400, "3\nabc\r\n");
    CHUNKS_REFUSED(400, "3\r\nabcd\r\n");
    CHUNKS_REFUSED(400, "3\r\nabc\n");
    CHUNKS_REFUSED(400, "3;\x01\r\nabc\r\n");
    CHUNKS_REFUSED(400, "0\r\nbad trailer\r\n\r\n");
    CHUNKS_REFUSED(413, "3e9\r\n");
    CHUNKS_REFUSED(413, "fffffffffffffffff\r\n");
    CHUNKS_REFUSED(413, "10000000000000003\r\nabc\r\n");
    memset(text, '0', sizeof text);
    CHUNKS_REFUSED(400, "zzz\r\n");
    chunks_refused(400, text, NORN_HTTP_CHUNK_LINE_MAX + 2); // a line without end
    text[0] = '1';
    text[1] = ';';
    chunks_refused(400, text, NORN_HTTP_CHUNK_LINE_MAX + 2);
    // Many lines of little data: allowed up to a point.
    for (int i = 0; i < 16; i++) {
        memset(text + used, 'e', 4005);
        memcpy(text + used, "1;", 2);
        memcpy(text + used + 4000, "\r\nx\r\n", 5);
        used += 4005;
    }
    assert_int_equal(chunks_of(text, used, used), NORN_HTTP_MORE);
    for (int i = 0; i < 2; i++, used += 4005) memcpy(text + used, text, 4005);
    assert_int_equal(chunks_of(text, used, used), NORN_HTTP_BAD);
    used = 0;
    memcpy(text, "0\r\n", 3);
    for (used = 3; used < NORN_HTTP_TRAILER_MAX + 3; used += 16)
        memcpy(text + used, "Trailer: 12345\r\n", 16);
    assert_int_equal(chunks_of(text, used, used), NORN_HTTP_MORE);
    memcpy(text + used, "T:\r\n", 4);
    assert_int_equal(chunks_of(text, used + 4, used + 4), NORN_HTTP_BAD);
    assert_int_equal(parser.code, 431);
}

static void chunks_of_one_byte_are_taken(void **state) {
    static char text[BODY_MAX * 6 + 5];
    (void)state;
    for (int i = 0; i < BODY_MAX; i++) memcpy(text + 6 * i, "1\r\nx\r\n", 6);
    memcpy(text + 6 * BODY_MAX, "0\r\n\r\n", 5);
    assert_int_equal(chunks_of(text, sizeof text, 100), NORN_HTTP_DONE);
    assert_int_equal(parser.request.body_bytes, BODY_MAX);
}

static void numbers_are_digits_that_fit(void **state) {
    int64_t number = -1;
    (void)state;
    assert_true(norn_http_number(norn_span_text("9223372036854775807"), &number));
    assert_int_equal(number, INT64_MAX);
    assert_true(norn_http_number(norn_span_text("007"), &number));
    assert_int_equal(number, 7);
    assert_false(norn_http_number(norn_span_text("9223372036854775808"), &number));
    assert_false(norn_http_number(norn_span_text(""), &number));
    assert_false(norn_http_number(norn_span_text("1 "), &number));
    assert_true(norn_http_has_token(norn_span_text("a,\tB ,c"), "b"));
    assert_false(norn_http_has_token(norn_span_text("ab, bc"), "b"));
    assert_false(norn_http_has_token(norn_span_text(""), "b"));
}

static void eight_empty_lines_before_a_request_are_passed_over_and_no_more(void **state) {
    (void)state;
    static const char eight[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" GET "Host: a\r\n\r\n";
    assert_int_equal(head_of(eight, sizeof eight - 1), NORN_HTTP_DONE);
    REFUSED(400, "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" GET "Host: a\r\n\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_empty_lines_before_a_request_are_passed_over_and_no_more),
        cmocka_unit_test(a_plain_request_is_read_whole),
        cmocka_unit_test(connections_are_kept_as_the_version_and_the_client_say),
        cmocka_unit_test(what_two_readers_could_read_differently_is_refused),
        cmocka_unit_test(request_lines_are_a_method_a_target_and_a_version),
        cmocka_unit_test(heads_that_are_too_large_are_refused_before_they_end),
        cmocka_unit_test(chunks_are_put_together_wherever_they_are_cut),
        cmocka_unit_test(chunks_that_are_not_what_they_say_are_refused),
        cmocka_unit_test(chunks_of_one_byte_are_taken),
        cmocka_unit_test(numbers_are_digits_that_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
