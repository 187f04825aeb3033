/// Objects and arrays as JSON text.
#include "base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

/// What stands before a value: a comma, a key.
static void put_place(norn_json_writer *writer, const char *key) {
    const bool in_array = writer->depth > 0 && (writer->arrays >> (writer->depth - 1) & 1);
    assert((key == NULL) == (writer->depth == 0 || in_array));
    (void)in_array;
    assert(writer->depth > 0 || !writer->comma); // a document is one value
    if (writer->comma) norn_buffer_append(writer->buffer, ",", 1);
    writer->comma = true;
    if (!key) return;
    norn_json_put_string(writer->buffer, key, strlen(key));
    norn_buffer_append(writer->buffer, ":", 1);
}

static void begin(norn_json_writer *writer, const char *key, bool array) {
    put_place(writer, key);
    assert(writer->depth < 64);
    const uint64_t bit = (uint64_t)1 << writer->depth++;
    writer->arrays = array ? writer->arrays | bit : writer->arrays & ~bit;
    writer->comma = false;
    norn_buffer_append(writer->buffer, array ? "[" : "{", 1);
}

void norn_json_begin_object(norn_json_writer *writer, const char *key) {
    begin(writer, key, false);
}

void norn_json_begin_array(norn_json_writer *writer, const char *key) {
    begin(writer, key, true);
}

void norn_json_end(norn_json_writer *writer) {
    assert(writer->depth > 0);
    const bool array = writer->arrays >> --writer->depth & 1;
    norn_buffer_append(writer->buffer, array ? "]" : "}", 1);
    writer->comma = true;
}

void norn_json_add_text(norn_json_writer *writer, const char *key, const char *text) {
    put_place(writer, key);
    if (text) {
        norn_json_put_string(writer->buffer, text, strlen(text));
    } else {
        norn_buffer_text(writer->buffer, "null");
    }
}

void norn_json_add_i64(norn_json_writer *writer, const char *key, int64_t value) {
    put_place(writer, key);
    norn_json_put_i64(writer->buffer, value);
}

void norn_json_add_u64(norn_json_writer *writer, const char *key, uint64_t value) {
    put_place(writer, key);
    norn_json_put_u64(writer->buffer, value);
}

void norn_json_add_bool(norn_json_writer *writer, const char *key, bool value) {
    put_place(writer, key);
    norn_buffer_text(writer->buffer, value ? "true" : "false");
}

void norn_json_add_fixed(norn_json_writer *writer, const char *key, double value, int digits) {
    put_place(writer, key);
    if (!isfinite(value)) {
        norn_buffer_text(writer->buffer, "null");
        return;
    }
    char text[400]; // the largest double has 309 digits
    const int count = snprintf(text, sizeof text, "%.*f", digits, value);
    assert(digits >= 0 && digits <= 17 && count > 0 && count < (int)sizeof text);
    norn_buffer_append(writer->buffer, text, strspn(text, "-0123456789"));
    if (digits == 0) return;
    norn_buffer_append(writer->buffer, ".", 1); // whatever the locale has there
    norn_buffer_append(writer->buffer, text + count - digits, (size_t)digits);
}
