/// Bodies that come in chunks, taken apart in place.
///
/// What is not data is bounded: a chunk's line (its extensions are passed over), the trailers, and
/// the lines of all chunks together: 64 KiB, and eight bytes for each byte of data, which a chunk
/// of one byte just needs. So a body costs no more work than its data deserves.
#include "serve/http/http_parser.h"

enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILERS };

static int hex(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static norn_http_step count_overhead(norn_http_parser *parser, size_t bytes) {
    parser->overhead += bytes;
    if (parser->overhead <= NORN_HTTP_CHUNK_SPARE ||
        (parser->overhead - NORN_HTTP_CHUNK_SPARE) / 8 <= parser->request.body_bytes)
        return NORN_HTTP_DONE;
    return norn_http_refuse(parser, 400, "the chunks of the body are more lines than data");
}

/// 1*HEXDIG, then nothing or blanks and ";" extensions.
static norn_http_step read_size(norn_http_parser *parser, const uint8_t *bytes, size_t begin,
                                size_t end) {
    size_t at = begin, size = 0;
    const norn_http_step step = count_overhead(parser, end - begin + 2);
    if (step != NORN_HTTP_DONE) return step;
    for (; at < end && hex(bytes[at]) >= 0; at++) {
        if (size > SIZE_MAX >> 5) return norn_http_refuse(parser, 413, "a chunk without end");
        size = size << 4 | (size_t)hex(bytes[at]);
    }
    const bool any = at > begin;
    while (at < end && (bytes[at] == ' ' || bytes[at] == '\t')) at++;
    if (!any || (at < end && bytes[at] != ';'))
        return norn_http_refuse(parser, 400, "a chunk does not begin with its size in hex");
    if (size > parser->body_max - parser->request.body_bytes)
        return norn_http_refuse(parser, 413,
                                "the body is larger than the limit; see --max-request-bytes");
    parser->chunk_left = size;
    parser->chunk_stage = size ? CHUNK_DATA : CHUNK_TRAILERS;
    return NORN_HTTP_DONE;
}

static norn_http_step read_trailer(norn_http_parser *parser, const uint8_t *bytes, size_t begin,
                                   size_t end) {
    norn_http_range name, value;
    parser->trailer_bytes += end - begin + 2;
    if (parser->trailer_bytes > NORN_HTTP_TRAILER_MAX)
        return norn_http_refuse(parser, 431, "the trailers are larger than 8 KiB");
    return norn_http_take_field(parser, bytes, begin, end, &name, &value);
}

static norn_http_step take_data(norn_http_parser *parser, uint8_t *bytes, size_t count) {
    norn_http_request *request = &parser->request;
    const size_t there = count - parser->line;
    const size_t n = there < parser->chunk_left ? there : parser->chunk_left;
    memmove(bytes + request->head_bytes + request->body_bytes, bytes + parser->line, n);
    request->body_bytes += n;
    parser->chunk_left -= n;
    parser->line = parser->scanned = parser->line + n;
    if (parser->chunk_left) return NORN_HTTP_MORE;
    parser->chunk_stage = CHUNK_END;
    return NORN_HTTP_DONE;
}

static norn_http_step take_end(norn_http_parser *parser, const uint8_t *bytes, size_t count) {
    const uint8_t *at = bytes + parser->line;
    const size_t there = count - parser->line;
    if ((there > 0 && at[0] != '\r') || (there > 1 && at[1] != '\n'))
        return norn_http_refuse(parser, 400, "a chunk is longer than its size says");
    if (there < 2) return NORN_HTTP_MORE;
    parser->line = parser->scanned = parser->line + 2;
    parser->chunk_stage = CHUNK_SIZE;
    return count_overhead(parser, 2);
}

/// A size or trailer line; *last: the empty line that ends the body.
static norn_http_step take_line(norn_http_parser *parser, const uint8_t *bytes, size_t count,
                                bool *last) {
    size_t begin, end;
    const norn_http_step step = norn_http_take_line(parser, bytes, count, &begin, &end);
    if (step == NORN_HTTP_BAD) return step;
    if (count - parser->line > NORN_HTTP_CHUNK_LINE_MAX + 1 && step == NORN_HTTP_MORE)
        return norn_http_refuse(parser, 400, "a chunk's line is longer than 4 KiB");
    if (step == NORN_HTTP_MORE) return step;
    if (end - begin > NORN_HTTP_CHUNK_LINE_MAX)
        return norn_http_refuse(parser, 400, "a chunk's line is longer than 4 KiB");
    if (parser->chunk_stage == CHUNK_SIZE) return read_size(parser, bytes, begin, end);
    *last = begin == end;
    return *last ? NORN_HTTP_DONE : read_trailer(parser, bytes, begin, end);
}

norn_http_step norn_http_parse_chunks(norn_http_parser *parser, uint8_t *bytes, size_t *count) {
    const norn_http_request *request = &parser->request;
    norn_http_step step = NORN_HTTP_DONE;
    bool last = false;
    while (step == NORN_HTTP_DONE && !last) {
        if (parser->chunk_stage == CHUNK_DATA) {
            step = take_data(parser, bytes, *count);
        } else if (parser->chunk_stage == CHUNK_END) {
            step = take_end(parser, bytes, *count);
        } else {
            step = take_line(parser, bytes, *count, &last);
        }
    }
    // Close the gap between the data and what has not been looked at.
    const size_t data_end = request->head_bytes + request->body_bytes;
    const size_t gap = parser->line - data_end;
    memmove(bytes + data_end, bytes + parser->line, *count - parser->line);
    *count -= gap;
    parser->line -= gap;
    parser->scanned -= gap;
    return step;
}
