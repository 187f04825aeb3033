/// The frames of a client on their way to the HTTP/2 library.
///
/// They are counted: a frame that asks for work and brings none (SETTINGS, PING, RST_STREAM, an
/// empty DATA, a CONTINUATION, ...) costs a credit; frames that the client lets us send, and time,
/// earn some. Who has none left floods. The library's own limits differ by version, and older ones
/// have few. And header blocks are gathered, so that they are bounded and fields that are too long
/// for the library cost a stream, not the connection (grpc_fields).
///
/// Source   RFC 9113, 4.1 (frames), 6.2, 6.10 and 10.5; CVE-2019-9512 ff., CVE-2023-44487
#ifndef NORN_SERVE_GRPC_FRAMES_H
#define NORN_SERVE_GRPC_FRAMES_H

#include "serve/grpc/grpc_fields.h"

enum {
    NORN_GRPC_CREDITS_MAX = 2000,
    NORN_GRPC_CREDITS_PER_S = 500,
    NORN_GRPC_EARNED_BY_DATA = 2,   ///< a DATA frame sent: its WINDOW_UPDATEs
    NORN_GRPC_EARNED_BY_ANSWER = 3, ///< an answer sent: its request's HEADERS, a PING
    NORN_GRPC_BLOCK_MAX = 16 << 20, ///< coded bytes of one request's header fields
};

typedef enum norn_grpc_verdict {
    NORN_GRPC_FINE,
    NORN_GRPC_FLOOD,     ///< ENHANCE_YOUR_CALM
    NORN_GRPC_MALFORMED, ///< PROTOCOL_ERROR
} norn_grpc_verdict;

typedef struct norn_grpc_frames {
    uint32_t preface;    ///< bytes of the client's preface that were seen
    uint32_t head_count; ///< bytes of the frame header that were seen
    uint8_t head[9];
    uint32_t left;         ///< payload bytes of the current frame that are to come
    uint32_t skip, pad;    ///< of a HEADERS frame: before its fields, and after them
    bool padded;           ///< its first byte, the length of the padding, is to come
    bool in_block;         ///< a header block is open
    uint8_t block_head[9]; ///< of the HEADERS frame that began it
    uint64_t block_bytes;  ///< of it so far
    int64_t block_ns;      ///< since when it is open
    norn_grpc_fields fields;
    norn_buffer long_block; ///< a block that is more than one frame
    int32_t credits;
    int64_t credits_ns; ///< when time last earned some
    uint64_t count;     ///< frames so far
} norn_grpc_frames;

void norn_grpc_frames_init(norn_grpc_frames *frames, int64_t now_ns, norn_alloc alloc);
void norn_grpc_frames_deinit(norn_grpc_frames *frames);
/// Take bytes from the front of `*bytes`, which have come, and give those that the library is to
/// read next: of `*bytes`, or of `frames` and good until the next call. *out may be empty.
norn_grpc_verdict norn_grpc_frames_next(norn_grpc_frames *frames, norn_span *bytes, int64_t now_ns,
                                        norn_span *out);
void norn_grpc_frames_earn(norn_grpc_frames *frames, int32_t credits);

#endif
