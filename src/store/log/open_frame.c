#include "store/log/open_frame.h"
#include "base/json.h"
#include "tensor/safetensors.h"

#include <stdio.h>
#include <string.h>

void norn_open_frame_write(norn_buffer *text, const char *model, const norn_table_form *tables,
                           uint32_t count) {
    norn_json_writer json = {.buffer = text};
    norn_json_begin_object(&json, NULL);
    norn_json_add_text(&json, "model", model);
    norn_json_begin_array(&json, "tables");
    for (uint32_t t = 0; t < count; t++) {
        norn_json_begin_object(&json, NULL);
        norn_json_add_text(&json, "name", tables[t].name);
        norn_json_add_text(&json, "dtype", norn_safetensors_dtype_name(tables[t].dtype));
        norn_json_add_i64(&json, "dim", tables[t].dim);
        norn_json_add_text(&json, "kind", tables[t].dense ? "dense" : "hashed");
        norn_json_end(&json);
    }
    norn_json_end(&json);
    norn_json_end(&json);
}

// ---- reading

enum { NAME_BYTES = 256 };

/// A table as the writer describes it.
typedef struct described {
    char name[NAME_BYTES], dtype[8], kind[8];
    int64_t dim;
} described;

static void copy_text(const norn_json_token *token, char *out, size_t room) {
    char text[4096];
    size_t count = 0;
    if (token->text.count >= sizeof text ||
        norn_json_unescape(token->text, text, &count) != NORN_OK)
        count = 0;
    (void)snprintf(out, room, "%.*s", (int)count, text);
}

/// The object after its brace.
static norn_status read_table(norn_json_reader *reader, described *out) {
    norn_json_token key, value;
    *out = (described){0};
    for (;;) {
        NORN_TRY(norn_json_next(reader, &key));
        if (key.kind == NORN_JSON_OBJECT_END) return NORN_OK;
        NORN_TRY(norn_json_next(reader, &value));
        if (value.kind == NORN_JSON_STRING && norn_span_equal(key.text, "name"))
            copy_text(&value, out->name, sizeof out->name);
        else if (value.kind == NORN_JSON_STRING && norn_span_equal(key.text, "dtype"))
            copy_text(&value, out->dtype, sizeof out->dtype);
        else if (value.kind == NORN_JSON_STRING && norn_span_equal(key.text, "kind"))
            copy_text(&value, out->kind, sizeof out->kind);
        else if (value.kind == NORN_JSON_NUMBER && norn_span_equal(key.text, "dim"))
            (void)norn_json_i64(value.text, &out->dim);
        else
            NORN_TRY(norn_json_skip(reader, &value));
    }
}

static norn_status compare(const described *theirs, const norn_version *version, uint32_t index) {
    if (index >= version->table_count)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "its table '%s' is not one of the %u of version %llu", theirs->name,
                         version->table_count, (unsigned long long)version->number);
    const norn_table_form *ours = &version->tables[index];
    const char *dtype = norn_safetensors_dtype_name(ours->dtype);
    const char *kind = ours->dense ? "dense" : "hashed";
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s", ours->name);
    if (strcmp(theirs->name, name) == 0 && strcmp(theirs->dtype, dtype) == 0 &&
        strcmp(theirs->kind, kind) == 0 && theirs->dim == ours->dim)
        return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "its table %u is '%s' (%s %s, dim %lld); that of version %llu is '%s' (%s %s, "
                     "dim %lld)",
                     index, theirs->name, theirs->kind, theirs->dtype, (long long)theirs->dim,
                     (unsigned long long)version->number, ours->name, kind, dtype,
                     (long long)ours->dim);
}

static norn_status check_tables(norn_json_reader *reader, const norn_version *version) {
    norn_json_token token;
    described table;
    uint32_t count = 0;
    NORN_TRY(norn_json_next(reader, &token));
    if (token.kind != NORN_JSON_ARRAY_BEGIN)
        return norn_fail(NORN_DATA_LOSS, "\"tables\" is no list");
    for (;; count++) {
        NORN_TRY(norn_json_next(reader, &token));
        if (token.kind == NORN_JSON_ARRAY_END) break;
        if (token.kind != NORN_JSON_OBJECT_BEGIN)
            return norn_fail(NORN_DATA_LOSS, "\"tables\" holds what is no object");
        NORN_TRY(read_table(reader, &table));
        NORN_TRY(compare(&table, version, count));
    }
    if (count == version->table_count) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "it has no table '%s'", version->tables[count].name);
}

static norn_status check(const norn_log_frame *frame, const norn_version *version) {
    norn_json_reader reader;
    norn_json_token token;
    norn_json_init(&reader, norn_span_of(frame->payload, frame->header.payload_bytes));
    NORN_TRY(norn_json_next(&reader, &token));
    if (token.kind != NORN_JSON_OBJECT_BEGIN) return norn_fail(NORN_DATA_LOSS, "it is no object");
    for (;;) {
        NORN_TRY(norn_json_next(&reader, &token));
        if (token.kind == NORN_JSON_OBJECT_END)
            return norn_fail(NORN_DATA_LOSS, "it does not say its tables");
        if (norn_span_equal(token.text, "tables")) return check_tables(&reader, version);
        NORN_TRY(norn_json_skip(&reader, &token));
    }
}

norn_status norn_open_frame_check(const norn_log_frame *frame, const norn_version *version) {
    const norn_status status = check(frame, version);
    if (status != NORN_OK)
        norn_note("the writer of epoch %llu (sequence %llu) has other tables than this version",
                  (unsigned long long)frame->header.epoch,
                  (unsigned long long)frame->header.sequence);
    return status;
}
