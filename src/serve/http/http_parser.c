/// The head of a request: its first line and its fields.
#include "serve/http/http_parser.h"

enum { STAGE_REQUEST_LINE, STAGE_FIELDS, STAGE_END };
/// Empty lines before a request that old clients send after a body.
enum { BLANK_LINES_MAX = 8 };

static const struct field_row {
    const char *name;
    bool once; ///< a second one is refused: the two could differ, or be read by different readers
} field_table[NORN_HTTP_FIELD_COUNT] = {
    [NORN_HTTP_HOST] = {"host", true},
    [NORN_HTTP_CONTENT_LENGTH] = {"content-length", true},
    [NORN_HTTP_TRANSFER_ENCODING] = {"transfer-encoding", true},
    [NORN_HTTP_CONNECTION] = {"connection", false},
    [NORN_HTTP_EXPECT] = {"expect", true},
    [NORN_HTTP_CONTENT_ENCODING] = {"content-encoding", true},
    [NORN_HTTP_ACCEPT_ENCODING] = {"accept-encoding", false},
    [NORN_HTTP_JSON_LENGTH] = {"inference-header-content-length", true},
};

void norn_http_parser_init(norn_http_parser *parser, size_t body_max) {
    *parser = (norn_http_parser){.body_max = body_max, .stage = STAGE_REQUEST_LINE};
}

norn_http_step norn_http_refuse(norn_http_parser *parser, int code, const char *why) {
    parser->code = code;
    parser->why = why;
    return NORN_HTTP_BAD;
}

// ---- characters

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

static uint8_t lower(uint8_t c) {
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static bool is_alpha(uint8_t c) {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

/// RFC 9110's tchar: what methods and field names are made of.
static bool is_token(uint8_t c) {
    return is_alpha(c) || is_digit(c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_blank(uint8_t c) {
    return c == ' ' || c == '\t';
}

/// Of a value: visible, blank, or a byte that is not ASCII.
static bool is_text(uint8_t c) {
    return (c >= 0x20 && c != 0x7f) || c == '\t';
}

bool norn_http_same(norn_span text, const char *word) {
    if (text.count != strlen(word)) return false;
    for (size_t i = 0; i < text.count; i++)
        if (lower(text.bytes[i]) != lower((uint8_t)word[i])) return false;
    return true;
}

bool norn_http_has_token(norn_span list, const char *word) {
    for (size_t at = 0; at < list.count;) {
        size_t end = at;
        while (end < list.count && list.bytes[end] != ',') end++;
        size_t begin = at, stop = end;
        while (begin < stop && is_blank(list.bytes[begin])) begin++;
        while (stop > begin && is_blank(list.bytes[stop - 1])) stop--;
        if (norn_http_same(norn_span_of(list.bytes + begin, stop - begin), word)) return true;
        at = end + 1;
    }
    return false;
}

bool norn_http_number(norn_span text, int64_t *out) {
    int64_t value = 0;
    if (text.count == 0) return false;
    for (size_t i = 0; i < text.count; i++)
        if (!is_digit(text.bytes[i]) || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text.bytes[i] - '0', &value))
            return false;
    *out = value;
    return true;
}

// ---- lines

norn_http_step norn_http_take_line(norn_http_parser *parser, const uint8_t *bytes, size_t count,
                                   size_t *begin, size_t *end) {
    const uint8_t *found = parser->scanned < count
                               ? memchr(bytes + parser->scanned, '\n', count - parser->scanned)
                               : NULL;
    if (!found) {
        parser->scanned = count;
        return NORN_HTTP_MORE;
    }
    const size_t stop = (size_t)(found - bytes);
    if (stop == parser->line || bytes[stop - 1] != '\r')
        return norn_http_refuse(parser, 400, "a line must end with CR LF, not with LF alone");
    *begin = parser->line;
    *end = stop - 1;
    parser->line = parser->scanned = stop + 1;
    for (size_t i = *begin; i < *end; i++)
        if (!is_text(bytes[i]))
            return norn_http_refuse(parser, 400, "a control character in a line of the request");
    return NORN_HTTP_DONE;
}

norn_http_step norn_http_take_field(norn_http_parser *parser, const uint8_t *bytes, size_t begin,
                                    size_t end, norn_http_range *name, norn_http_range *value) {
    size_t colon = begin;
    if (is_blank(bytes[begin]))
        return norn_http_refuse(parser, 400,
                                "a header line begins with a blank: folded lines are "
                                "not accepted");
    while (colon < end && is_token(bytes[colon])) colon++;
    if (colon == end) return norn_http_refuse(parser, 400, "a header line without a colon");
    if (colon == begin) return norn_http_refuse(parser, 400, "a header line without a name");
    if (bytes[colon] != ':')
        return norn_http_refuse(parser, 400,
                                is_blank(bytes[colon])
                                    ? "a blank before the colon of a header line"
                                    : "a character in a header's name that none has");
    *name = (norn_http_range){(uint32_t)begin, (uint32_t)(colon - begin)};
    for (begin = colon + 1; begin < end && is_blank(bytes[begin]);) begin++;
    while (end > begin && is_blank(bytes[end - 1])) end--;
    *value = (norn_http_range){(uint32_t)begin, (uint32_t)(end - begin)};
    return NORN_HTTP_DONE;
}

// ---- the request line

static norn_http_step read_method(norn_http_parser *parser, norn_span word) {
    static const struct {
        const char *name;
        norn_http_method method;
    } methods[] = {
        {"GET", NORN_HTTP_GET},       {"POST", NORN_HTTP_POST},    {"HEAD", NORN_HTTP_HEAD},
        {"PUT", NORN_HTTP_OTHER},     {"DELETE", NORN_HTTP_OTHER}, {"OPTIONS", NORN_HTTP_OTHER},
        {"CONNECT", NORN_HTTP_OTHER}, {"TRACE", NORN_HTTP_OTHER},  {"PATCH", NORN_HTTP_OTHER}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (!norn_span_equal(word, methods[i].name)) continue;
        parser->request.method = methods[i].method;
        return NORN_HTTP_DONE;
    }
    return norn_http_refuse(parser, 501, "no such method; GET, HEAD and POST are served");
}

static norn_http_step read_version(norn_http_parser *parser, norn_span word) {
    if (word.count != 8 || memcmp(word.bytes, "HTTP/", 5) != 0 || !is_digit(word.bytes[5]) ||
        word.bytes[6] != '.' || !is_digit(word.bytes[7]))
        return norn_http_refuse(parser, 400, "the request line does not end with HTTP/1.1");
    if (word.bytes[5] != '1')
        return norn_http_refuse(parser, 505, "only HTTP/1.1 and HTTP/1.0 are served here");
    parser->request.minor = word.bytes[7] - '0';
    return NORN_HTTP_DONE;
}

/// METHOD SP TARGET SP VERSION, each blank one space.
static norn_http_step read_request_line(norn_http_parser *parser, const uint8_t *bytes,
                                        size_t begin, size_t end) {
    size_t at = begin;
    while (at < end && is_token(bytes[at])) at++;
    if (at == begin || at == end || bytes[at] != ' ')
        return norn_http_refuse(parser, 400, "the request line does not begin with a method");
    const norn_span method = norn_span_of(bytes + begin, at - begin);
    const size_t target = ++at;
    while (at < end && bytes[at] > 0x20 && bytes[at] < 0x7f) at++;
    if (at == target || at == end || bytes[at] != ' ')
        return norn_http_refuse(parser, 400, "the request line must be METHOD TARGET HTTP/1.1");
    if (at - target > NORN_HTTP_TARGET_MAX)
        return norn_http_refuse(parser, 414, "the target is longer than 8000 bytes");
    parser->request.target = (norn_http_range){(uint32_t)target, (uint32_t)(at - target)};
    const norn_http_step step = read_version(parser, norn_span_of(bytes + at + 1, end - at - 1));
    return step == NORN_HTTP_DONE ? read_method(parser, method) : step;
}

// ---- fields

static norn_http_step read_field(norn_http_parser *parser, const uint8_t *bytes, size_t begin,
                                 size_t end) {
    norn_http_request *request = &parser->request;
    norn_http_range name, value;
    const norn_http_step step = norn_http_take_field(parser, bytes, begin, end, &name, &value);
    if (step != NORN_HTTP_DONE) return step;
    if (++parser->field_lines > NORN_HTTP_FIELDS_MAX)
        return norn_http_refuse(parser, 431, "more than 100 header lines");
    for (uint32_t f = 0; f < NORN_HTTP_FIELD_COUNT; f++) {
        if (!norn_http_same(norn_span_of(bytes + name.at, name.count), field_table[f].name))
            continue;
        if (f == NORN_HTTP_CONNECTION) { // lists add up; what matters in them is kept here
            const norn_span list = norn_span_of(bytes + value.at, value.count);
            if (norn_http_has_token(list, "close")) request->keep_alive = false;
            if (request->minor == 0 && norn_http_has_token(list, "keep-alive"))
                request->keep_alive = true;
        }
        if (request->fields_seen >> f & 1) {
            if (field_table[f].once)
                return norn_http_refuse(parser, 400,
                                        "a header that may be sent once was sent twice");
            return NORN_HTTP_DONE; // the first of a list is enough for what Norn reads
        }
        request->fields_seen |= 1u << f;
        request->field[f] = value;
        return NORN_HTTP_DONE;
    }
    return NORN_HTTP_DONE;
}

static bool is_host(norn_span text) {
    for (size_t i = 0; i < text.count; i++) {
        const uint8_t c = text.bytes[i];
        if (!is_alpha(c) && !is_digit(c) && (c == 0 || !strchr("-._~:[]%!$&'()*+;=", c)))
            return false;
    }
    return true;
}

/// How the body ends, or why that cannot be said for certain.
static norn_http_step frame_body(norn_http_parser *parser, const uint8_t *bytes) {
    norn_http_request *request = &parser->request;
    const bool sized = norn_http_sent(request, NORN_HTTP_CONTENT_LENGTH);
    int64_t length = 0;
    request->chunked = norn_http_sent(request, NORN_HTTP_TRANSFER_ENCODING);
    if (request->chunked) {
        if (sized)
            return norn_http_refuse(parser, 400, "both Content-Length and Transfer-Encoding");
        if (request->minor == 0)
            return norn_http_refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
        if (!norn_http_same(norn_http_value(request, NORN_HTTP_TRANSFER_ENCODING, bytes),
                            "chunked"))
            return norn_http_refuse(parser, 501, "the only Transfer-Encoding is chunked");
    }
    if (!sized) return NORN_HTTP_DONE;
    if (!norn_http_number(norn_http_value(request, NORN_HTTP_CONTENT_LENGTH, bytes), &length))
        return norn_http_refuse(parser, 400, "Content-Length is not a whole number");
    if ((uint64_t)length > parser->body_max)
        return norn_http_refuse(parser, 413,
                                "the body is larger than the limit; see --max-request-bytes");
    request->body_bytes = (size_t)length;
    return NORN_HTTP_DONE;
}

static norn_http_step finish_head(norn_http_parser *parser, const uint8_t *bytes) {
    norn_http_request *request = &parser->request;
    request->head_bytes = parser->line;
    parser->stage = STAGE_END;
    if (request->minor > 0 && !norn_http_sent(request, NORN_HTTP_HOST))
        return norn_http_refuse(parser, 400, "HTTP/1.1 wants a Host");
    if (!is_host(norn_http_value(request, NORN_HTTP_HOST, bytes)))
        return norn_http_refuse(parser, 400, "Host is not a host's name");
    if (norn_http_sent(request, NORN_HTTP_EXPECT) && request->minor > 0) {
        if (!norn_http_same(norn_http_value(request, NORN_HTTP_EXPECT, bytes), "100-continue"))
            return norn_http_refuse(parser, 417, "the only Expect is 100-continue");
        request->expect_continue = true;
    }
    return frame_body(parser, bytes);
}

/// The line is not whole yet: could it still become one?
static norn_http_step wait_for_line(norn_http_parser *parser, const uint8_t *bytes, size_t count) {
    if (parser->stage == STAGE_REQUEST_LINE && count > parser->line &&
        !is_token(bytes[parser->line]) && bytes[parser->line] != '\r')
        return norn_http_refuse(parser, 400, "this is not HTTP");
    if (parser->stage == STAGE_REQUEST_LINE && count - parser->line > NORN_HTTP_TARGET_MAX + 64)
        return norn_http_refuse(parser, 414, "the request line is longer than 8000 bytes");
    if (count > NORN_HTTP_HEAD_MAX)
        return norn_http_refuse(parser, 431, "the headers are larger than 64 KiB");
    return NORN_HTTP_MORE;
}

norn_http_step norn_http_parse_head(norn_http_parser *parser, const uint8_t *bytes, size_t count) {
    for (;;) {
        size_t begin, end;
        norn_http_step step = norn_http_take_line(parser, bytes, count, &begin, &end);
        if (step == NORN_HTTP_MORE) return wait_for_line(parser, bytes, count);
        if (step == NORN_HTTP_DONE && parser->line > NORN_HTTP_HEAD_MAX)
            step = norn_http_refuse(parser, 431, "the headers are larger than 64 KiB");
        if (step != NORN_HTTP_DONE) return step;
        if (parser->stage == STAGE_REQUEST_LINE && begin == end) {
            if (++parser->blank_lines > BLANK_LINES_MAX)
                return norn_http_refuse(parser, 400, "empty lines where a request should be");
            continue;
        }
        if (parser->stage == STAGE_FIELDS && begin == end) return finish_head(parser, bytes);
        if (parser->stage == STAGE_REQUEST_LINE) {
            step = read_request_line(parser, bytes, begin, end);
            parser->request.keep_alive = parser->request.minor > 0;
            parser->stage = STAGE_FIELDS;
        } else {
            step = read_field(parser, bytes, begin, end);
        }
        if (step != NORN_HTTP_DONE) return step;
    }
}
