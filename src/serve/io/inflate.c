#include "serve/io/inflate.h"

#include <strings.h>

#if NORN_HAVE_ZLIB
#include <limits.h>
#include <string.h>
#include <zlib.h>

enum { PIECE = 64 * 1024, WINDOW_GZIP = 15 + 16, WINDOW_EITHER = 15 + 32, FAST = 1 };

bool norn_inflate_knows(const char *encoding) {
    return strcasecmp(encoding, "gzip") == 0 || strcasecmp(encoding, "deflate") == 0;
}

static void set_input(z_stream *stream, norn_span span) {
    // zlib's field is not const everywhere.
    memcpy(&stream->next_in, &span.bytes, sizeof stream->next_in);
    stream->avail_in = (uInt)span.count;
}

/// Append to a buffer whose memory is taken from `budget`; while it grows there are two of it.
static norn_status append_within(norn_buffer *out, const void *bytes, size_t count,
                                 norn_budget *budget, int64_t *held_bytes) {
    const size_t before = out->capacity;
    size_t after = before ? before : 256; // as norn_buffer grows
    while (after - out->count < count) after *= 2;
    if (budget && after > before) {
        if (!norn_budget_take(budget, (int64_t)after))
            return norn_fail(
                NORN_UNAVAILABLE,
                "no room for a body of more than %zu byte%s: --memory-budget is used up; try again",
                out->count, norn_plural(out->count));
        *held_bytes += (int64_t)after;
    }
    norn_buffer_append(out, bytes, count);
    if (budget && after > before) {
        norn_budget_give(budget, (int64_t)before);
        *held_bytes -= (int64_t)before;
    }
    return norn_buffer_status(out);
}

norn_status norn_inflate_within(norn_span packed, size_t max_bytes, norn_budget *budget,
                                int64_t *held_bytes, norn_buffer *out) {
    unsigned char piece[PIECE];
    z_stream stream = {0};
    norn_status status = NORN_OK;
    int result = Z_OK;
    if (packed.count > UINT_MAX)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "a compressed body of more than 4 GiB");
    if (inflateInit2(&stream, WINDOW_EITHER) != Z_OK)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory to inflate");
    set_input(&stream, packed);
    while (result == Z_OK) {
        stream.next_out = piece;
        stream.avail_out = PIECE;
        result = inflate(&stream, Z_NO_FLUSH);
        const size_t count = PIECE - stream.avail_out;
        if (result != Z_OK && result != Z_STREAM_END) {
            status = norn_fail(NORN_INVALID_ARGUMENT, "the compressed body is damaged or cut: %s",
                               stream.msg ? stream.msg : "it ends too early");
        } else if (count > max_bytes - out->count) {
            status = norn_fail(NORN_RESOURCE_EXHAUSTED,
                               "the compressed body holds more than %zu byte%s, the limit; see "
                               "--max-request-bytes",
                               max_bytes, norn_plural(max_bytes));
        } else {
            status = append_within(out, piece, count, budget, held_bytes);
        }
        if (status != NORN_OK) break;
    }
    if (status == NORN_OK && stream.avail_in)
        status = norn_fail(NORN_INVALID_ARGUMENT, "%u byte%s the compressed body", stream.avail_in,
                           norn_number(stream.avail_in, " follows", "s follow"));
    (void)inflateEnd(&stream);
    return status;
}

norn_status norn_deflate(norn_span plain, bool gzip, norn_buffer *out) {
    unsigned char piece[PIECE];
    z_stream stream = {0};
    int result = Z_OK;
    if (plain.count > UINT_MAX)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "a body of more than 4 GiB");
    if (deflateInit2(&stream, FAST, Z_DEFLATED, gzip ? WINDOW_GZIP : 15, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "no memory to deflate");
    set_input(&stream, plain);
    while (result == Z_OK) {
        stream.next_out = piece;
        stream.avail_out = PIECE;
        result = deflate(&stream, Z_FINISH);
        norn_buffer_append(out, piece, PIECE - stream.avail_out);
    }
    (void)deflateEnd(&stream);
    if (result != Z_STREAM_END) return norn_fail(NORN_INTERNAL, "deflate failed");
    return norn_buffer_status(out);
}

#else

bool norn_inflate_knows(const char *encoding) {
    (void)encoding;
    return false;
}

static norn_status none(void) {
    return norn_fail(NORN_UNIMPLEMENTED, "this build has no zlib; send the body as it is");
}

norn_status norn_inflate_within(norn_span packed, size_t max_bytes, norn_budget *budget,
                                int64_t *held_bytes, norn_buffer *out) {
    (void)packed, (void)max_bytes, (void)budget, (void)held_bytes, (void)out;
    return none();
}

norn_status norn_deflate(norn_span plain, bool gzip, norn_buffer *out) {
    (void)plain, (void)gzip, (void)out;
    return none();
}

#endif

norn_status norn_inflate(norn_span packed, size_t max_bytes, norn_buffer *out) {
    int64_t held_bytes = 0;
    return norn_inflate_within(packed, max_bytes, NULL, &held_bytes, out);
}
