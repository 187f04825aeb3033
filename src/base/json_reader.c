#include "base/json.h"
#include "base/utf8.h"

enum { DEPTH_MAX = 64 };

/// What may come next.
enum {
    STATE_VALUE,         ///< a value
    STATE_FIRST_ELEMENT, ///< a value or ']'
    STATE_FIRST_KEY,     ///< a key or '}'
    STATE_AFTER_VALUE,   ///< ',' or the closing bracket; at depth 0 the end
};

void norn_json_init(norn_json_reader *reader, norn_span text) {
    *reader = (norn_json_reader){.text = text, .state = STATE_VALUE};
    // A byte order mark, as Windows editors write it:
    // RFC 8259 section 8.1 lets readers pass over it.
    if (text.count >= 3 && memcmp(text.bytes, "\xef\xbb\xbf", 3) == 0) reader->position = 3;
}

static norn_status fail_at(size_t offset, const char *what) {
    return norn_fail(NORN_INVALID_ARGUMENT, "JSON, byte %zu: %s", offset, what);
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/// The byte at `at`, or 0 past the end (a NUL in the text is an error wherever it is looked at).
static uint8_t peek(const norn_json_reader *reader, size_t at) {
    return at < reader->text.count ? reader->text.bytes[at] : 0;
}

static void skip_space(norn_json_reader *reader) {
    size_t at = reader->position;
    const uint8_t *bytes = reader->text.bytes;
    while (at < reader->text.count &&
           (bytes[at] == ' ' || bytes[at] == '\n' || bytes[at] == '\r' || bytes[at] == '\t'))
        at++;
    reader->position = at;
}

static bool is_hex(uint8_t c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// Bytes of the escape at `at` (a backslash), or 0.
static size_t escape_length(const norn_json_reader *reader, size_t at) {
    uint8_t kind = peek(reader, at + 1);
    if (kind == 0) return 0;
    if (strchr("\"\\/bfnrt", kind)) return 2;
    if (kind != 'u') return 0;
    for (size_t i = 2; i < 6; i++)
        if (!is_hex(peek(reader, at + i))) return 0;
    return 6;
}

/// At the opening quote.
static norn_status scan_string(norn_json_reader *reader, norn_json_token *token) {
    const uint8_t *bytes = reader->text.bytes;
    size_t begin = reader->position + 1, at = begin, count = reader->text.count;
    while (at < count) {
        uint8_t c = bytes[at];
        if (c == '"') {
            token->text = norn_span_of(bytes + begin, at - begin);
            reader->position = at + 1;
            return NORN_OK;
        }
        if (c < 0x20) return fail_at(at, "a control character inside a string; escape it");
        size_t length = 1;
        if (c == '\\') {
            token->escaped = true;
            length = escape_length(reader, at);
            if (length == 0) return fail_at(at, "a bad escape");
        } else if (c >= 0x80) {
            length = norn_utf8_length(bytes + at, count - at);
            if (length == 0) return fail_at(at, "bytes that are not UTF-8");
        }
        at += length;
    }
    return fail_at(token->offset, "a string without its closing quote");
}

static size_t scan_digits(const norn_json_reader *reader, size_t at) {
    while (is_digit(peek(reader, at))) at++;
    return at;
}

static norn_status scan_number(norn_json_reader *reader, norn_json_token *token) {
    size_t begin = reader->position, at = begin, digits;
    if (peek(reader, at) == '-') at++;
    digits = at;
    at = scan_digits(reader, at);
    if (at == digits || (at - digits > 1 && peek(reader, digits) == '0'))
        return fail_at(begin, "a bad number");
    if (peek(reader, at) == '.') {
        digits = ++at;
        at = scan_digits(reader, at);
        if (at == digits) return fail_at(begin, "a number without digits after its point");
    }
    if ((peek(reader, at) | 0x20) == 'e') {
        at++;
        if (peek(reader, at) == '+' || peek(reader, at) == '-') at++;
        digits = at;
        at = scan_digits(reader, at);
        if (at == digits) return fail_at(begin, "a number without digits in its exponent");
    }
    token->kind = NORN_JSON_NUMBER;
    token->text = norn_span_of(reader->text.bytes + begin, at - begin);
    reader->position = at;
    return NORN_OK;
}

static norn_status scan_word(norn_json_reader *reader, norn_json_token *token, const char *word,
                             norn_json_kind kind) {
    norn_span found;
    size_t count = strlen(word);
    if (!norn_span_slice(reader->text, reader->position, count, &found) ||
        !norn_span_equal(found, word))
        return fail_at(reader->position, "not a value");
    token->kind = kind;
    token->text = found;
    reader->position += count;
    return NORN_OK;
}

static norn_status open_bracket(norn_json_reader *reader, norn_json_token *token, uint8_t bracket) {
    if (reader->depth == DEPTH_MAX) return fail_at(reader->position, "nested deeper than 64");
    reader->stack[reader->depth++] = bracket;
    reader->position++;
    reader->state = bracket == '{' ? STATE_FIRST_KEY : STATE_FIRST_ELEMENT;
    token->kind = bracket == '{' ? NORN_JSON_OBJECT_BEGIN : NORN_JSON_ARRAY_BEGIN;
    return NORN_OK;
}

static norn_status close_bracket(norn_json_reader *reader, norn_json_token *token) {
    uint8_t bracket = reader->stack[--reader->depth];
    reader->position++;
    reader->state = STATE_AFTER_VALUE;
    token->kind = bracket == '{' ? NORN_JSON_OBJECT_END : NORN_JSON_ARRAY_END;
    return NORN_OK;
}

static norn_status read_value(norn_json_reader *reader, norn_json_token *token) {
    uint8_t c = peek(reader, reader->position);
    reader->state = STATE_AFTER_VALUE;
    switch (c) {
    case '{':
    case '[':
        return open_bracket(reader, token, c);
    case '"':
        token->kind = NORN_JSON_STRING;
        return scan_string(reader, token);
    case 't':
        return scan_word(reader, token, "true", NORN_JSON_TRUE);
    case 'f':
        return scan_word(reader, token, "false", NORN_JSON_FALSE);
    case 'n':
        return scan_word(reader, token, "null", NORN_JSON_NULL);
    default:
        if (reader->specials && c == 'N') return scan_word(reader, token, "NaN", NORN_JSON_NUMBER);
        if (reader->specials && c == 'I')
            return scan_word(reader, token, "Infinity", NORN_JSON_NUMBER);
        if (reader->specials && c == '-' && peek(reader, reader->position + 1) == 'I')
            return scan_word(reader, token, "-Infinity", NORN_JSON_NUMBER);
        if (c == '-' || is_digit(c)) return scan_number(reader, token);
        return fail_at(reader->position, reader->position < reader->text.count
                                             ? "not a value"
                                             : "the document ends where a value should be");
    }
}

static norn_status read_key(norn_json_reader *reader, norn_json_token *token) {
    if (peek(reader, reader->position) != '"')
        return fail_at(reader->position, "a key in quotes should be here");
    token->kind = NORN_JSON_KEY;
    NORN_TRY(scan_string(reader, token));
    skip_space(reader);
    if (peek(reader, reader->position) != ':')
        return fail_at(reader->position, "':' should be here");
    reader->position++;
    reader->state = STATE_VALUE;
    return NORN_OK;
}

/// At depth > 0 after a value: the closing bracket, or the ',' and what follows it.
static norn_status read_next_member(norn_json_reader *reader, norn_json_token *token) {
    bool in_object = reader->stack[reader->depth - 1] == '{';
    uint8_t c = peek(reader, reader->position);
    if (c == (in_object ? '}' : ']')) return close_bracket(reader, token);
    if (c != ',')
        return fail_at(reader->position,
                       in_object ? "',' or '}' should be here" : "',' or ']' should be here");
    reader->position++;
    skip_space(reader);
    token->offset = reader->position;
    return in_object ? read_key(reader, token) : read_value(reader, token);
}

norn_status norn_json_next(norn_json_reader *reader, norn_json_token *token) {
    skip_space(reader);
    *token = (norn_json_token){.kind = NORN_JSON_END, .offset = reader->position};
    uint8_t c = peek(reader, reader->position);
    switch (reader->state) {
    case STATE_FIRST_ELEMENT:
        if (c == ']') return close_bracket(reader, token);
        return read_value(reader, token);
    case STATE_FIRST_KEY:
        if (c == '}') return close_bracket(reader, token);
        return read_key(reader, token);
    case STATE_AFTER_VALUE:
        if (reader->depth > 0) return read_next_member(reader, token);
        if (reader->position < reader->text.count)
            return fail_at(reader->position, "text after the end of the document");
        return NORN_OK;
    default:
        return read_value(reader, token);
    }
}

norn_status norn_json_skip(norn_json_reader *reader, const norn_json_token *token) {
    norn_json_token next = *token;
    if (token->kind == NORN_JSON_KEY) NORN_TRY(norn_json_next(reader, &next));
    if (next.kind != NORN_JSON_OBJECT_BEGIN && next.kind != NORN_JSON_ARRAY_BEGIN) return NORN_OK;
    uint32_t outside = reader->depth - 1;
    while (reader->depth > outside) NORN_TRY(norn_json_next(reader, &next));
    return NORN_OK;
}

static uint32_t hex4(const uint8_t *at) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint32_t c = at[i];
        value = value << 4 | (is_digit(at[i]) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

/// `\uXXXX` at text[*at], perhaps the first half of a pair; advances *at. False: a lone surrogate.
static bool unescape_unicode(norn_span text, size_t *at, uint32_t *code) {
    norn_span digits;
    if (!norn_span_slice(text, *at + 2, 4, &digits)) return false;
    for (size_t i = 0; i < 4; i++)
        if (!is_hex(digits.bytes[i])) return false;
    uint32_t high = hex4(digits.bytes);
    *at += 6;
    *code = high;
    if (high < 0xd800 || high > 0xdfff) return true;
    norn_span pair;
    if (high > 0xdbff || !norn_span_slice(text, *at, 6, &pair) || pair.bytes[0] != '\\' ||
        pair.bytes[1] != 'u')
        return false;
    for (size_t i = 2; i < 6; i++)
        if (!is_hex(pair.bytes[i])) return false;
    uint32_t low = hex4(pair.bytes + 2);
    if (low < 0xdc00 || low > 0xdfff) return false;
    *at += 6;
    *code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

norn_status norn_json_unescape(norn_span text, char *out, size_t *count) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t used = 0;
    *count = 0;
    for (size_t at = 0; at < text.count;) {
        if (text.bytes[at] != '\\') {
            out[used++] = (char)text.bytes[at++];
            continue;
        }
        uint8_t kind = at + 1 < text.count ? text.bytes[at + 1] : 0;
        uint32_t code;
        const char *simple = kind ? strchr(from, kind) : NULL;
        if (simple) {
            out[used++] = to[simple - from];
            at += 2;
        } else if (kind == 'u' && unescape_unicode(text, &at, &code)) {
            used += norn_utf8_encode(code, out + used);
        } else {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "JSON: a bad escape or half of a surrogate pair in a string");
        }
    }
    *count = used;
    return NORN_OK;
}
