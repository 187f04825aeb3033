#include "tensor/safetensors.h"

#include "base/checked.h"
#include "base/json.h"
#include "base/memory.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdlib.h>

static const struct {
    const char *name;
    norn_dtype dtype;
} names[] = {
    {"F64", NORN_F64},
    {"F32", NORN_F32},
    {"F16", NORN_F16},
    {"BF16", NORN_BF16},
    {"I64", NORN_I64},
    {"I32", NORN_I32},
    {"I16", NORN_I16},
    {"I8", NORN_I8},
    {"U64", NORN_U64},
    {"U32", NORN_U32},
    {"U16", NORN_U16},
    {"U8", NORN_U8},
    {"BOOL", NORN_BOOL},
    {"C64", NORN_C64},
    {"F8_E4M3", NORN_F8E4M3FN},
    {"F8_E5M2", NORN_F8E5M2},
    {"F8_E4M3FNUZ", NORN_F8E4M3FNUZ},
    {"F8_E5M2FNUZ", NORN_F8E5M2FNUZ},
    {"F8_E8M0", NORN_F8E8M0},
    {"F4", NORN_F4E2M1},
};

/// The reference reader's bound; a header is read whole.
enum { HEADER_BYTES_MAX = 100000000 };

const char *norn_safetensors_dtype_name(norn_dtype dtype) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].dtype == dtype) return names[i].name;
    return NULL;
}

norn_dtype norn_safetensors_dtype(norn_span name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (norn_span_equal(name, names[i].name)) return names[i].dtype;
    return NORN_DTYPE_NONE;
}

typedef struct tensors_reader {
    const char *file;
    norn_json_reader json;
    norn_span data;
    norn_arena *arena;
    norn_safetensor *at;
    size_t count, capacity;
} tensors_reader;

static norn_status fail_tensor(const tensors_reader *reader, const char *tensor, const char *what) {
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: tensor '%s': %s", reader->file, tensor, what);
}

static norn_status next_of(tensors_reader *reader, norn_json_kind kind, norn_json_token *token,
                           const char *what) {
    NORN_TRY(norn_json_next(&reader->json, token));
    if (token->kind == kind) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "header byte %zu: %s should be here", token->offset,
                     what);
}

static norn_status read_dtype(tensors_reader *reader, const char *tensor, norn_view *view) {
    norn_json_token token;
    NORN_TRY(next_of(reader, NORN_JSON_STRING, &token, "the name of an element type"));
    view->dtype = norn_safetensors_dtype(token.text);
    if (view->dtype != NORN_DTYPE_NONE) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "tensor '%s': element type '%.*s' is not known", tensor,
                     (int)(token.text.count < 40 ? token.text.count : 40),
                     (const char *)token.text.bytes);
}

/// `[n, n, …]` of whole numbers >= 0, at most `room` of them.
static norn_status read_numbers(tensors_reader *reader, int64_t *out, int32_t room,
                                int32_t *count) {
    norn_json_token token;
    *count = 0;
    NORN_TRY(next_of(reader, NORN_JSON_ARRAY_BEGIN, &token, "a list of whole numbers"));
    for (;;) {
        int64_t value;
        NORN_TRY(norn_json_next(&reader->json, &token));
        if (token.kind == NORN_JSON_ARRAY_END) return NORN_OK;
        if (token.kind != NORN_JSON_NUMBER || !norn_json_i64(token.text, &value) || value < 0)
            return norn_fail(NORN_INVALID_ARGUMENT, "header byte %zu: not a whole number from 0 up",
                             token.offset);
        if (*count == room)
            return norn_fail(NORN_INVALID_ARGUMENT, "header byte %zu: more than %d number%s",
                             token.offset, room, norn_plural(room));
        out[(*count)++] = value;
    }
}

static norn_status place_tensor(const tensors_reader *reader, const char *tensor,
                                const int64_t offsets[2], norn_view *view) {
    size_t bytes;
    norn_span data;
    NORN_TRY(norn_view_bytes(view, &bytes));
    if (offsets[1] < offsets[0] || (uint64_t)(offsets[1] - offsets[0]) != bytes)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: tensor '%s': data_offsets [%lld, %lld] do not hold its %zu byte%s",
                         reader->file, tensor, (long long)offsets[0], (long long)offsets[1], bytes,
                         norn_plural(bytes));
    if (!norn_span_slice(reader->data, (size_t)offsets[0], bytes, &data))
        return norn_fail(NORN_DATA_LOSS,
                         "%s: tensor '%s' ends at byte %lld of %zu: the file is truncated",
                         reader->file, tensor, (long long)offsets[1], reader->data.count);
    view->data = (void *)(uintptr_t)data.bytes; // views are not const; readers do not write
    return NORN_OK;
}

static norn_status append_tensor(tensors_reader *reader, const char *tensor,
                                 const norn_view *view) {
    NORN_TRY(NORN_TAKE_MORE(reader->arena, &reader->at, reader->count, &reader->capacity));
    reader->at[reader->count++] = (norn_safetensor){tensor, *view};
    return NORN_OK;
}

static norn_status read_tensor(tensors_reader *reader, const char *tensor) {
    norn_json_token token;
    norn_view view = {0};
    int64_t offsets[2];
    int32_t offset_count = 0;
    bool dtype = false, shape = false;
    NORN_TRY(next_of(reader, NORN_JSON_OBJECT_BEGIN, &token, "the description of a tensor"));
    for (;;) {
        NORN_TRY(norn_json_next(&reader->json, &token));
        if (token.kind == NORN_JSON_OBJECT_END) break;
        if (norn_span_equal(token.text, "dtype")) {
            NORN_TRY(read_dtype(reader, tensor, &view));
            dtype = true;
        } else if (norn_span_equal(token.text, "shape")) {
            NORN_TRY(read_numbers(reader, view.dims, NORN_MAX_RANK, &view.rank));
            shape = true;
        } else if (norn_span_equal(token.text, "data_offsets")) {
            NORN_TRY(read_numbers(reader, offsets, 2, &offset_count));
        } else {
            NORN_TRY(norn_json_skip(&reader->json, &token));
        }
    }
    if (!dtype || !shape || offset_count != 2)
        return fail_tensor(reader, tensor, "dtype, shape or data_offsets is missing");
    NORN_TRY(place_tensor(reader, tensor, offsets, &view));
    return append_tensor(reader, tensor, &view);
}

/// A key's text, unescaped, in the arena.
static norn_status read_name(const tensors_reader *reader, const norn_json_token *token,
                             const char **out) {
    void *memory;
    size_t count;
    NORN_TRY(norn_arena_take(reader->arena, token->text.count + 1, 1, 1, &memory));
    NORN_TRY(norn_json_unescape(token->text, memory, &count));
    if (memchr(memory, 0, count))
        return norn_fail(NORN_INVALID_ARGUMENT, "header byte %zu: a NUL in a tensor's name",
                         token->offset);
    ((char *)memory)[count] = '\0';
    *out = memory;
    return NORN_OK;
}

static norn_status read_header(tensors_reader *reader) {
    norn_json_token token;
    NORN_TRY(next_of(reader, NORN_JSON_OBJECT_BEGIN, &token, "an object"));
    for (;;) {
        const char *tensor = NULL;
        NORN_TRY(norn_json_next(&reader->json, &token));
        if (token.kind == NORN_JSON_OBJECT_END) break;
        if (norn_span_equal(token.text, "__metadata__")) {
            NORN_TRY(norn_json_skip(&reader->json, &token));
            continue;
        }
        NORN_TRY(read_name(reader, &token, &tensor));
        NORN_TRY(read_tensor(reader, tensor));
    }
    return norn_json_next(&reader->json, &token); // END, or the error for what follows
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(norn_safetensor *const *)a)->name, (*(norn_safetensor *const *)b)->name);
}

static int by_place(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)(*(norn_safetensor *const *)a)->view.data;
    uintptr_t y = (uintptr_t)(*(norn_safetensor *const *)b)->view.data;
    return (x > y) - (x < y);
}

/// No name twice; no byte in two tensors. (Bytes in no tensor are let pass.)
static norn_status check_apart(const tensors_reader *reader) {
    norn_safetensor **sorted;
    size_t used = 0;
    NORN_TRY(NORN_TAKE_ARRAY(reader->arena, reader->count, &sorted));
    for (size_t i = 0; i < reader->count; i++) sorted[i] = &reader->at[i];
    if (reader->count) qsort(sorted, reader->count, sizeof *sorted, by_name);
    for (size_t i = 1; i < reader->count; i++)
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return fail_tensor(reader, sorted[i]->name, "the name is there twice");
    for (size_t i = 0; i < reader->count; i++)
        if (norn_view_elems(&reader->at[i].view) > 0) sorted[used++] = &reader->at[i];
    if (used) qsort(sorted, used, sizeof *sorted, by_place);
    for (size_t i = 1; i < used; i++) {
        size_t bytes;
        NORN_TRY(norn_view_bytes(&sorted[i - 1]->view, &bytes));
        if ((uintptr_t)sorted[i]->view.data - (uintptr_t)sorted[i - 1]->view.data < bytes)
            return norn_fail(NORN_INVALID_ARGUMENT, "%s: tensors '%s' and '%s' overlap",
                             reader->file, sorted[i - 1]->name, sorted[i]->name);
    }
    return NORN_OK;
}

/// The format pads nothing, so some writers leave elements at any byte: those are copied.
static norn_status align_tensors(tensors_reader *reader) {
    for (size_t i = 0; i < reader->count; i++) {
        norn_view *view = &reader->at[i].view;
        size_t align = norn_dtype_bits(view->dtype) / 8, bytes;
        const void *from = view->data;
        if (align > 8) align = 8;
        NORN_TRY(norn_view_bytes(view, &bytes));
        if (bytes == 0 || align <= 1 || (uintptr_t)from % align == 0) continue;
        NORN_TRY(norn_arena_take(reader->arena, bytes, 1, 64, &view->data));
        memcpy(view->data, from, bytes);
    }
    return NORN_OK;
}

norn_status norn_safetensors_decode(norn_span bytes, const char *name, norn_arena *arena,
                                    norn_safetensors *out) {
    tensors_reader reader = {.file = name, .arena = arena};
    norn_span length, header;
    uint64_t count = 0;
    *out = (norn_safetensors){0};
    if (!norn_span_slice(bytes, 0, 8, &length))
        return norn_fail(NORN_DATA_LOSS, "%s: truncated: %zu byte%s no safetensors file", name,
                         bytes.count, norn_number(bytes.count, " is", "s are"));
    for (size_t i = 0; i < 8; i++) count |= (uint64_t)length.bytes[i] << (8 * i);
    if (count > HEADER_BYTES_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: not a safetensors file: a header of %llu byte%s", name,
                         (unsigned long long)count, norn_plural(count));
    if (!norn_span_slice(bytes, 8, (size_t)count, &header))
        return norn_fail(NORN_DATA_LOSS, "%s: truncated inside the header", name);
    (void)norn_span_slice(bytes, 8 + (size_t)count, bytes.count - 8 - (size_t)count, &reader.data);
    norn_json_init(&reader.json, header);
    norn_status status = read_header(&reader);
    if (status != NORN_OK) {
        if (strncmp(norn_message(), name, strlen(name)) != 0) norn_note("%s", name);
        return status;
    }
    NORN_TRY(check_apart(&reader));
    NORN_TRY(align_tensors(&reader));
    *out = (norn_safetensors){reader.at, reader.count};
    return NORN_OK;
}

const norn_view *norn_safetensors_find(const norn_safetensors *all, const char *name) {
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->at[i].name, name) == 0) return &all->at[i].view;
    return NULL;
}

/// Wide elements first: the format has no room for padding, so this order is what keeps every
/// tensor aligned. Among equals the caller's order stays.
static int by_width(const void *a, const void *b) {
    const norn_safetensor *x = *(const norn_safetensor *const *)a;
    const norn_safetensor *y = *(const norn_safetensor *const *)b;
    uint32_t wide_x = norn_dtype_bits(x->view.dtype), wide_y = norn_dtype_bits(y->view.dtype);
    if (wide_x != wide_y) return wide_x < wide_y ? 1 : -1;
    return (x > y) - (x < y);
}

static norn_status put_header(norn_buffer *header, const norn_safetensor **sorted, size_t count) {
    size_t offset = 0;
    norn_json_writer json = {.buffer = header};
    norn_buffer_extend(header, 8);
    norn_json_begin_object(&json, NULL);
    for (size_t i = 0; i < count; i++) {
        const norn_view *view = &sorted[i]->view;
        const char *dtype = norn_safetensors_dtype_name(view->dtype);
        size_t bytes, end;
        NORN_TRY(norn_view_bytes(view, &bytes));
        if (!dtype)
            return norn_fail(NORN_INVALID_ARGUMENT, "tensor '%s': safetensors has no type for %s",
                             sorted[i]->name, norn_dtype_name(view->dtype));
        if (!norn_size_add(offset, bytes, &end))
            return norn_fail(NORN_INVALID_ARGUMENT, "tensor '%s': the file would be too large",
                             sorted[i]->name);
        norn_json_begin_object(&json, sorted[i]->name);
        norn_json_add_text(&json, "dtype", dtype);
        norn_json_begin_array(&json, "shape");
        for (int32_t d = 0; d < view->rank; d++) norn_json_add_i64(&json, NULL, view->dims[d]);
        norn_json_end(&json);
        norn_json_begin_array(&json, "data_offsets");
        norn_json_add_u64(&json, NULL, offset);
        norn_json_add_u64(&json, NULL, end);
        norn_json_end(&json);
        norn_json_end(&json);
        offset = end;
    }
    norn_json_end(&json);
    while (!header->failed && header->count % NORN_HOST_ALIGN != 0) norn_buffer_text(header, " ");
    NORN_TRY(norn_buffer_status(header));
    uint64_t length = header->count - 8;
    memcpy(header->bytes, &length, sizeof length);
    return NORN_OK;
}

norn_status norn_safetensors_stage(const char *path, const norn_safetensor *tensors, size_t count,
                                   norn_alloc alloc, norn_file_writer **out) {
    const norn_safetensor **sorted = NULL;
    norn_file_writer *writer = NULL;
    norn_buffer header;
    norn_status status;
    *out = NULL;
    norn_buffer_init(&header, alloc);
    NORN_TRY_DONE(NORN_NEW_ARRAY(alloc, count, &sorted));
    for (size_t i = 0; i < count; i++) sorted[i] = &tensors[i];
    if (count) qsort(sorted, count, sizeof *sorted, by_width);
    NORN_TRY_DONE(put_header(&header, sorted, count));
    NORN_TRY_DONE(norn_file_writer_open(path, alloc, &writer));
    NORN_TRY_DONE(norn_file_writer_append(writer, header.bytes, header.count));
    for (size_t i = 0; i < count; i++) {
        size_t bytes;
        NORN_TRY_DONE(norn_view_bytes(&sorted[i]->view, &bytes));
        NORN_TRY_DONE(norn_file_writer_append(writer, sorted[i]->view.data, bytes));
    }
    NORN_TRY_DONE(norn_file_writer_finish(writer));
    *out = writer;
    writer = NULL;
done:
    if (status != NORN_OK) norn_note("writing '%s'", path);
    norn_file_writer_abort(writer);
    norn_buffer_deinit(&header);
    norn_free(alloc, sorted);
    return status;
}

norn_status norn_safetensors_write(const char *path, const norn_safetensor *tensors, size_t count,
                                   norn_alloc alloc) {
    norn_file_writer *writer;
    NORN_TRY(norn_safetensors_stage(path, tensors, count, alloc, &writer));
    return norn_file_writer_commit(writer);
}
