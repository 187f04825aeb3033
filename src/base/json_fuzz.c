#include "base/json.h"

#include <math.h>
#include <stdlib.h>

/// What is read as a number is written and read again as the same number.
static void check_number(norn_span text, norn_buffer *buffer) {
    int64_t whole;
    double value, again;
    bool is_whole = norn_json_i64(text, &whole);
    if (!norn_json_f64(text, &value)) abort(); // the reader let its grammar pass
    if (is_whole && (double)whole != value) abort();
    if (isinf(value)) return;
    norn_buffer_clear(buffer);
    norn_json_put_f64(buffer, value);
    if (!norn_json_f64(norn_span_of(buffer->bytes, buffer->count), &again) || again != value)
        abort();
    float single = (float)value;
    if (isinf(single)) return;
    norn_buffer_clear(buffer);
    norn_json_put_f32(buffer, single);
    if (!norn_json_f64(norn_span_of(buffer->bytes, buffer->count), &again) ||
        (float)again != single)
        abort();
}

/// What is read as a string is written and read again as the same bytes.
static void check_string(norn_span text, norn_buffer *buffer) {
    size_t count, again;
    char *bytes = malloc(text.count + 1), *copy;
    if (bytes && norn_json_unescape(text, bytes, &count) == NORN_OK) {
        norn_json_reader reader;
        norn_json_token token;
        norn_buffer_clear(buffer);
        norn_json_put_string(buffer, bytes, count);
        norn_json_init(&reader, norn_span_of(buffer->bytes, buffer->count));
        if (norn_json_next(&reader, &token) != NORN_OK || token.kind != NORN_JSON_STRING) abort();
        copy = malloc(token.text.count + 1);
        if (!copy || norn_json_unescape(token.text, copy, &again) != NORN_OK) abort();
        if (again != count || memcmp(copy, bytes, count) != 0) abort();
        free(copy);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_json_reader reader;
    norn_json_token token;
    norn_buffer buffer;
    norn_buffer_init(&buffer, norn_alloc_heap());
    norn_json_init(&reader, norn_span_of(data, size));
    while (norn_json_next(&reader, &token) == NORN_OK && token.kind != NORN_JSON_END) {
        if (reader.depth > 64 || token.offset > size) abort();
        if (token.kind == NORN_JSON_NUMBER) check_number(token.text, &buffer);
        if (token.kind == NORN_JSON_STRING || token.kind == NORN_JSON_KEY)
            check_string(token.text, &buffer);
    }
    norn_buffer_deinit(&buffer);
    return 0;
}
