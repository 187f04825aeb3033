#include "serve/grpc/grpc_frames.h"

enum {
    PREFACE_BYTES = 24, // "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    SMALL_DATA = 64,    // a DATA frame below this that does not end its stream is a waste
    DATA = 0,
    HEADERS = 1,
    CONTINUATION = 9,
    END_STREAM = 0x1,
    END_HEADERS = 0x4,
};

void norn_grpc_frames_init(norn_grpc_frames *frames, int64_t now_ns) {
    *frames = (norn_grpc_frames){.credits = NORN_GRPC_CREDITS_MAX, .credits_ns = now_ns};
}

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

/// A whole frame header was seen. False: the header block is too long.
static bool begin_frame(norn_grpc_frames *frames, int64_t now_ns) {
    const uint8_t *head = frames->head, type = head[3], flags = head[4];
    const uint32_t length = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    frames->left = length;
    ++frames->count;
    if (type == HEADERS || type == CONTINUATION) {
        if (frames->block_bytes == 0) frames->block_ns = now_ns;
        if (length > NORN_GRPC_HEADER_BLOCK_MAX - frames->block_bytes) return false;
        frames->block_bytes += length;
        if (frames->block_bytes == 0) frames->block_bytes = 1; // open, though nothing came yet
        if (flags & END_HEADERS) frames->block_bytes = 0;
    }
    if (type != DATA || (length < SMALL_DATA && !(flags & END_STREAM))) --frames->credits;
    return true;
}

bool norn_grpc_frames_see(norn_grpc_frames *frames, norn_span bytes, int64_t now_ns) {
    size_t at = 0;
    earn_by_time(frames, now_ns);
    while (at < bytes.count) {
        const size_t rest = bytes.count - at;
        if (frames->preface < PREFACE_BYTES) { // the library says whether it is right
            const size_t wanted = PREFACE_BYTES - frames->preface;
            const size_t count = rest < wanted ? rest : wanted;
            frames->preface += (uint32_t)count;
            at += count;
        } else if (frames->left > 0) {
            const size_t count = rest < frames->left ? rest : frames->left;
            frames->left -= (uint32_t)count;
            at += count;
        } else {
            frames->head[frames->head_count++] = bytes.bytes[at++];
            if (frames->head_count < sizeof frames->head) continue;
            frames->head_count = 0;
            if (!begin_frame(frames, now_ns)) return false;
        }
    }
    return frames->credits >= 0;
}
