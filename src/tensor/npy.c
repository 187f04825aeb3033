#include "tensor/npy.h"

#include "base/file_writer.h"
#include "base/memory.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>

static const struct {
    char text[5];
    norn_dtype dtype;
} descrs[] = {
    {"<f4", NORN_F32}, {"<f8", NORN_F64},   {"<f2", NORN_F16}, {"<i8", NORN_I64},
    {"<i4", NORN_I32}, {"<i2", NORN_I16},   {"|i1", NORN_I8},  {"<u8", NORN_U64},
    {"<u4", NORN_U32}, {"<u2", NORN_U16},   {"|u1", NORN_U8},  {"|b1", NORN_BOOL},
    {"<c8", NORN_C64}, {"<c16", NORN_C128},
};

/// The header is a Python dict literal; the parser takes what numpy writes and nothing else.
typedef struct npy_header {
    const char *file;
    norn_span rest;
} npy_header;

static norn_status fail(const npy_header *header, const char *what) {
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: not a usable .npy file: %s", header->file, what);
}

static void skip_space(npy_header *header) {
    while (header->rest.count > 0 && strchr(" \t\n", header->rest.bytes[0]) &&
           header->rest.bytes[0] != 0) {
        header->rest.bytes++;
        header->rest.count--;
    }
}

static bool take_char(npy_header *header, char wanted) {
    skip_space(header);
    if (header->rest.count == 0 || header->rest.bytes[0] != (uint8_t)wanted) return false;
    header->rest.bytes++;
    header->rest.count--;
    return true;
}

static bool take_word(npy_header *header, const char *word) {
    norn_span found;
    size_t count = strlen(word);
    skip_space(header);
    if (!norn_span_slice(header->rest, 0, count, &found) || !norn_span_equal(found, word))
        return false;
    header->rest.bytes += count;
    header->rest.count -= count;
    return true;
}

static bool take_string(npy_header *header, norn_span *out) {
    skip_space(header);
    if (header->rest.count == 0) return false;
    char quote = (char)header->rest.bytes[0];
    if ((quote != '\'' && quote != '"') || !take_char(header, quote)) return false;
    const uint8_t *end =
        header->rest.count ? memchr(header->rest.bytes, quote, header->rest.count) : NULL;
    if (!end) return false;
    *out = norn_span_of(header->rest.bytes, (size_t)(end - header->rest.bytes));
    header->rest.bytes += out->count;
    header->rest.count -= out->count;
    return take_char(header, quote);
}

static bool take_dim(npy_header *header, int64_t *out) {
    int64_t value = 0;
    bool any = false;
    skip_space(header);
    while (header->rest.count > 0) {
        uint8_t digit = (uint8_t)(header->rest.bytes[0] - '0');
        if (digit > 9) break;
        if (value > (INT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
        any = true;
        header->rest.bytes++;
        header->rest.count--;
    }
    *out = value;
    return any;
}

static norn_status read_descr(npy_header *header, norn_view *out) {
    norn_span text;
    if (!take_string(header, &text))
        return fail(header, "'descr' is no plain type; structured arrays cannot be read");
    for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++) {
        // The order mark of single bytes is '|', but '<' means the same.
        norn_span tail;
        if (norn_span_equal(text, descrs[i].text) ||
            (descrs[i].text[0] == '|' && text.count == 3 && text.bytes[0] == '<' &&
             norn_span_slice(text, 1, 2, &tail) && norn_span_equal(tail, descrs[i].text + 1))) {
            out->dtype = descrs[i].dtype;
            return NORN_OK;
        }
    }
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "%s: element type '%.*s' cannot be read; save a little-endian bool, integer "
                     "or float array (bfloat16 and float8 as float32)",
                     header->file, (int)(text.count < 40 ? text.count : 40),
                     (const char *)text.bytes);
}

static norn_status read_shape(npy_header *header, norn_view *out) {
    if (!take_char(header, '(')) return fail(header, "'shape' is no tuple");
    while (!take_char(header, ')')) {
        if (out->rank == NORN_MAX_RANK) return fail(header, "more than 8 dimensions");
        if (!take_dim(header, &out->dims[out->rank])) return fail(header, "a bad dimension");
        out->rank++;
        if (!take_char(header, ',')) {
            if (!take_char(header, ')')) return fail(header, "'shape' is not closed");
            break;
        }
    }
    return NORN_OK;
}

static norn_status read_dict(npy_header *header, norn_view *out) {
    bool descr = false, shape = false, order = false, fortran = false;
    if (!take_char(header, '{')) return fail(header, "the header is no dict");
    while (!take_char(header, '}')) {
        norn_span key;
        if (!take_string(header, &key) || !take_char(header, ':'))
            return fail(header, "a bad key in the header");
        if (norn_span_equal(key, "descr") && !descr) {
            NORN_TRY(read_descr(header, out));
            descr = true;
        } else if (norn_span_equal(key, "fortran_order") && !order) {
            fortran = take_word(header, "True");
            if (!fortran && !take_word(header, "False"))
                return fail(header, "'fortran_order' is neither True nor False");
            order = true;
        } else if (norn_span_equal(key, "shape") && !shape) {
            NORN_TRY(read_shape(header, out));
            shape = true;
        } else {
            return fail(header, "an unknown or repeated key in the header");
        }
        if (!take_char(header, ',')) {
            if (!take_char(header, '}')) return fail(header, "the header's dict is not closed");
            break;
        }
    }
    if (!descr || !shape || !order) return fail(header, "the header lacks a key");
    if (fortran && out->rank > 1)
        return fail(header, "the array is in Fortran order; save numpy.ascontiguousarray(x)");
    return NORN_OK;
}

norn_status norn_npy_decode(norn_span bytes, const char *name, norn_view *out) {
    npy_header header = {.file = name};
    norn_span magic, length, data;
    size_t begin, count;
    *out = (norn_view){0};
    if (!norn_span_slice(bytes, 0, 8, &magic) || memcmp(magic.bytes, "\x93NUMPY", 6) != 0)
        return fail(&header, "it does not begin with the magic \"\\x93NUMPY\"");
    uint8_t version = magic.bytes[6];
    if (version < 1 || version > 3) return fail(&header, "its version is not 1, 2 or 3");
    size_t length_bytes = version == 1 ? 2 : 4;
    if (!norn_span_slice(bytes, 8, length_bytes, &length))
        return norn_fail(NORN_DATA_LOSS, "%s: truncated inside the header", name);
    begin = 0;
    for (size_t i = 0; i < length_bytes; i++) begin |= (size_t)length.bytes[i] << (8 * i);
    if (!norn_span_slice(bytes, 8 + length_bytes, begin, &header.rest))
        return norn_fail(NORN_DATA_LOSS, "%s: truncated inside the header", name);
    begin += 8 + length_bytes;
    norn_view view = {0};
    NORN_TRY(read_dict(&header, &view));
    skip_space(&header);
    if (header.rest.count > 0) return fail(&header, "text after the header's dict");
    norn_status status = norn_view_bytes(&view, &count);
    if (status != NORN_OK) {
        norn_note("%s", name);
        return status;
    }
    if (!norn_span_slice(bytes, begin, count, &data))
        return norn_fail(NORN_DATA_LOSS,
                         "%s: truncated: %zu byte%s of elements, the shape wants %zu", name,
                         bytes.count - begin, norn_plural(bytes.count - begin), count);
    if (bytes.count - begin > count)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: %zu byte%s the last element", name,
                         bytes.count - begin - count,
                         norn_number(bytes.count - begin - count, " follows", "s follow"));
    size_t align = norn_dtype_bits(view.dtype) / 8;
    if (align > 8) align = 8;
    if (count > 0 && (uintptr_t)data.bytes % align != 0)
        return fail(&header,
                    "the elements are not aligned; save it again with numpy 1.14 or later");
    view.data = (void *)(uintptr_t)data.bytes; // views are not const; readers do not write
    *out = view;
    return NORN_OK;
}

/// How a type is written: numpy has no bfloat16, float8 or packed types.
static norn_dtype written_as(norn_dtype dtype) {
    for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++)
        if (descrs[i].dtype == dtype) return dtype;
    if (norn_dtype_is_float(dtype)) return NORN_F32;
    if (norn_dtype_is_integer(dtype)) return norn_dtype_is_signed(dtype) ? NORN_I8 : NORN_U8;
    return dtype; // STRING: as '|S'
}

static size_t longest_string(const norn_view *view, int64_t elems) {
    const norn_string *strings = view->data;
    size_t most = 1;
    for (int64_t i = 0; i < elems; i++)
        if (strings[i].count > most) most = strings[i].count;
    return most;
}

static norn_status write_header(norn_file_writer *writer, const char *descr,
                                const norn_view *view) {
    char text[512];
    uint8_t prefix[10] = "\x93NUMPY\x01";
    size_t used = (size_t)snprintf(text, sizeof text,
                                   "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int32_t i = 0; i < view->rank; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%lld%s", (long long)view->dims[i],
                             view->rank == 1      ? ","
                             : i + 1 < view->rank ? ", "
                                                  : "");
    used += (size_t)snprintf(text + used, sizeof text - used, "), }");
    // Spaces and a newline up to a multiple of 64, so that the
    // elements of a mapped file are aligned.
    while ((sizeof prefix + used + 1) % 64 != 0) text[used++] = ' ';
    text[used++] = '\n';
    prefix[8] = (uint8_t)used;
    prefix[9] = (uint8_t)(used >> 8);
    NORN_TRY(norn_file_writer_append(writer, prefix, sizeof prefix));
    return norn_file_writer_append(writer, text, used);
}

static norn_status write_strings(norn_file_writer *writer, const norn_view *view, int64_t elems,
                                 size_t width) {
    static const char zeros[64];
    const norn_string *strings = view->data;
    for (int64_t i = 0; i < elems; i++) {
        NORN_TRY(norn_file_writer_append(writer, strings[i].bytes, strings[i].count));
        for (size_t left = width - strings[i].count; left > 0;) {
            size_t some = left < sizeof zeros ? left : sizeof zeros;
            NORN_TRY(norn_file_writer_append(writer, zeros, some));
            left -= some;
        }
    }
    return NORN_OK;
}

static norn_status write_converted(norn_file_writer *writer, const norn_view *view, norn_dtype as,
                                   int64_t elems) {
    for (int64_t i = 0; i < elems; i++) {
        uint8_t element[8];
        norn_element_set_f64(as, element, 0, norn_element_f64(view->dtype, view->data, i));
        NORN_TRY(norn_file_writer_append(writer, element, norn_dtype_bits(as) / 8));
    }
    return NORN_OK;
}

norn_status norn_npy_write(const char *path, const norn_view *view, norn_alloc alloc) {
    norn_file_writer *writer = NULL;
    norn_status status;
    char descr[32] = "";
    size_t bytes, width = 0;
    norn_dtype as = written_as(view->dtype);
    int64_t elems = norn_view_elems(view);
    NORN_TRY(norn_view_bytes(view, &bytes));
    if (view->dtype == NORN_STRING) {
        width = longest_string(view, elems);
        snprintf(descr, sizeof descr, "|S%zu", width);
    }
    for (size_t i = 0; i < sizeof descrs / sizeof *descrs; i++)
        if (descrs[i].dtype == as) memcpy(descr, descrs[i].text, sizeof descrs[i].text);
    NORN_TRY_DONE(norn_file_writer_open(path, alloc, &writer));
    NORN_TRY_DONE(write_header(writer, descr, view));
    if (view->dtype == NORN_STRING)
        NORN_TRY_DONE(write_strings(writer, view, elems, width));
    else if (as != view->dtype)
        NORN_TRY_DONE(write_converted(writer, view, as, elems));
    else
        NORN_TRY_DONE(norn_file_writer_append(writer, view->data, bytes));
    status = norn_file_writer_commit(writer);
    writer = NULL;
done:
    norn_file_writer_abort(writer);
    return status;
}
