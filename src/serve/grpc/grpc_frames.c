#include "serve/grpc/grpc_frames.h"

#include <string.h>

enum {
    PREFACE_BYTES = 24, // "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    HEAD_BYTES = 9,
    SMALL_DATA = 64,           // a DATA frame below this that does not end its stream is a waste
    FRAME_BYTES = 16384,       // every peer takes frames of this size
    KEPT_CAPACITY = 16 * 1024, // of a buffer between blocks
    DATA = 0,
    HEADERS = 1,
    CONTINUATION = 9,
    END_STREAM = 0x1,
    END_HEADERS = 0x4,
    PADDED = 0x8,
    PRIORITY = 0x20,
};

void norn_grpc_frames_init(norn_grpc_frames *frames, int64_t now_ns, norn_alloc alloc) {
    *frames = (norn_grpc_frames){.credits = NORN_GRPC_CREDITS_MAX, .credits_ns = now_ns};
    norn_grpc_fields_init(&frames->fields, alloc);
    norn_buffer_init(&frames->long_block, alloc);
}

void norn_grpc_frames_deinit(norn_grpc_frames *frames) {
    norn_grpc_fields_deinit(&frames->fields);
    norn_buffer_deinit(&frames->long_block);
}

// ---- credits

void norn_grpc_frames_earn(norn_grpc_frames *frames, int32_t credits) {
    frames->credits += credits;
    if (frames->credits > NORN_GRPC_CREDITS_MAX) frames->credits = NORN_GRPC_CREDITS_MAX;
}

static void earn_by_time(norn_grpc_frames *frames, int64_t now_ns) {
    const int64_t ns_a_credit = 1000000000 / NORN_GRPC_CREDITS_PER_S;
    const int64_t earned = (now_ns - frames->credits_ns) / ns_a_credit;
    if (earned <= 0) return;
    norn_grpc_frames_earn(frames,
                          earned < NORN_GRPC_CREDITS_MAX ? (int32_t)earned : NORN_GRPC_CREDITS_MAX);
    frames->credits_ns += earned * ns_a_credit;
}

// ---- header blocks

static uint32_t length_of(const uint8_t head[HEAD_BYTES]) {
    return (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
}

static void put_head(uint8_t out[HEAD_BYTES], const uint8_t like[HEAD_BYTES], uint8_t type,
                     uint8_t flags, size_t length) {
    memcpy(out, like, HEAD_BYTES); // the stream
    out[0] = (uint8_t)(length >> 16);
    out[1] = (uint8_t)(length >> 8);
    out[2] = (uint8_t)length;
    out[3] = type;
    out[4] = flags;
}

/// Buffers that one long block made large are not kept for the life of the connection.
static void forget_blocks(norn_grpc_frames *frames) {
    norn_buffer_deinit(&frames->long_block);
    if (frames->fields.kept.capacity > KEPT_CAPACITY) norn_buffer_deinit(&frames->fields.kept);
}

static void begin_block(norn_grpc_frames *frames, int64_t now_ns) {
    forget_blocks(frames);
    norn_grpc_fields_begin(&frames->fields, HEAD_BYTES);
    memcpy(frames->block_head, frames->head, HEAD_BYTES);
    frames->in_block = true;
    frames->block_bytes = 0;
    frames->block_ns = now_ns;
}

/// The block as frames of the library's own: without padding, priorities and what was left out.
static bool write_block(norn_grpc_frames *frames, norn_span *out) {
    norn_buffer *kept = &frames->fields.kept, *many = &frames->long_block;
    const uint8_t end_stream = frames->block_head[4] & END_STREAM;
    if (norn_buffer_status(kept) != NORN_OK) return false;
    const size_t count = kept->count - HEAD_BYTES;
    if (count <= FRAME_BYTES) {
        put_head(kept->bytes, frames->block_head, HEADERS, end_stream | END_HEADERS, count);
        *out = norn_span_of(kept->bytes, kept->count);
        return true;
    }
    for (size_t at = 0; at < count;) {
        const size_t piece = count - at < FRAME_BYTES ? count - at : FRAME_BYTES;
        uint8_t head[HEAD_BYTES];
        put_head(head, frames->block_head, at ? CONTINUATION : HEADERS,
                 (uint8_t)((at ? 0 : end_stream) | (at + piece == count ? END_HEADERS : 0)), piece);
        norn_buffer_append(many, head, HEAD_BYTES);
        norn_buffer_append(many, kept->bytes + HEAD_BYTES + at, piece);
        at += piece;
    }
    *out = norn_span_of(many->bytes, many->count);
    return norn_buffer_status(many) == NORN_OK;
}

/// A frame of a block has been read.
static norn_grpc_verdict end_block_frame(norn_grpc_frames *frames, norn_span *out) {
    if (frames->padded || frames->skip > 0) return NORN_GRPC_MALFORMED; // too short for its flags
    if (!(frames->head[4] & END_HEADERS)) return NORN_GRPC_FINE;
    frames->in_block = false;
    return norn_grpc_fields_end(&frames->fields) && write_block(frames, out) ? NORN_GRPC_FINE
                                                                             : NORN_GRPC_MALFORMED;
}

static norn_grpc_verdict read_block(norn_grpc_frames *frames, norn_span bytes, norn_span *out) {
    frames->left -= (uint32_t)bytes.count;
    if (frames->padded && bytes.count > 0) {
        frames->padded = false;
        frames->pad = bytes.bytes[0];
        bytes = (norn_span){bytes.bytes + 1, bytes.count - 1};
        if (frames->pad + frames->skip > bytes.count + frames->left) return NORN_GRPC_MALFORMED;
    }
    const size_t skip = bytes.count < frames->skip ? bytes.count : frames->skip;
    frames->skip -= (uint32_t)skip;
    bytes = (norn_span){bytes.bytes + skip, bytes.count - skip};
    // Of what is left of the frame, these bytes included, the last are padding.
    const size_t until_pad =
        bytes.count + frames->left > frames->pad ? bytes.count + frames->left - frames->pad : 0;
    if (bytes.count > until_pad) bytes.count = until_pad;
    if (!norn_grpc_fields_add(&frames->fields, bytes)) return NORN_GRPC_MALFORMED;
    return frames->left == 0 ? end_block_frame(frames, out) : NORN_GRPC_FINE;
}

// ---- frames

/// A whole frame header was seen.
static norn_grpc_verdict begin_frame(norn_grpc_frames *frames, int64_t now_ns, norn_span *out) {
    const uint8_t *head = frames->head, type = head[3], flags = head[4];
    const uint32_t length = length_of(head);
    frames->left = length;
    ++frames->count;
    if (type != DATA || (length < SMALL_DATA && !(flags & END_STREAM))) --frames->credits;
    if (frames->credits < 0) return NORN_GRPC_FLOOD;
    if (frames->in_block &&
        (type != CONTINUATION || memcmp(head + 5, frames->block_head + 5, 4) != 0))
        return NORN_GRPC_MALFORMED; // nothing may come between
    if (!frames->in_block && type != HEADERS) {
        *out = norn_span_of(head, HEAD_BYTES);
        return NORN_GRPC_FINE;
    }
    if (type == HEADERS) begin_block(frames, now_ns);
    frames->block_bytes += length;
    if (frames->block_bytes > NORN_GRPC_BLOCK_MAX) return NORN_GRPC_FLOOD;
    frames->padded = type == HEADERS && flags & PADDED;
    frames->skip = type == HEADERS && flags & PRIORITY ? 5 : 0;
    frames->pad = 0;
    return length > 0 ? NORN_GRPC_FINE : end_block_frame(frames, out);
}

static norn_span take(norn_span *bytes, size_t most) {
    const norn_span piece = {bytes->bytes, bytes->count < most ? bytes->count : most};
    *bytes = (norn_span){bytes->bytes + piece.count, bytes->count - piece.count};
    return piece;
}

norn_grpc_verdict norn_grpc_frames_next(norn_grpc_frames *frames, norn_span *bytes, int64_t now_ns,
                                        norn_span *out) {
    *out = (norn_span){NULL, 0};
    earn_by_time(frames, now_ns);
    if (frames->preface < PREFACE_BYTES) { // the library says whether it is right
        *out = take(bytes, PREFACE_BYTES - frames->preface);
        frames->preface += (uint32_t)out->count;
        return NORN_GRPC_FINE;
    }
    if (frames->left > 0 && frames->in_block)
        return read_block(frames, take(bytes, frames->left), out);
    if (frames->left > 0) {
        *out = take(bytes, frames->left);
        frames->left -= (uint32_t)out->count;
        return NORN_GRPC_FINE;
    }
    const norn_span head = take(bytes, HEAD_BYTES - frames->head_count);
    if (head.count) memcpy(frames->head + frames->head_count, head.bytes, head.count);
    frames->head_count += (uint32_t)head.count;
    if (frames->head_count < HEAD_BYTES) return NORN_GRPC_FINE;
    frames->head_count = 0;
    const norn_grpc_verdict verdict = begin_frame(frames, now_ns, out);
    if (out->bytes == frames->head && head.count == HEAD_BYTES) { // mostly: one call for a frame
        const norn_span payload = take(bytes, frames->left);
        frames->left -= (uint32_t)payload.count;
        *out = norn_span_of(head.bytes, HEAD_BYTES + payload.count);
    }
    return verdict;
}
