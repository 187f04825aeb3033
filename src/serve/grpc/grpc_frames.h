/// Counting what a client sends, frame by frame, before the HTTP/2 library sees it. A frame that
/// asks for work and brings none (SETTINGS, PING, RST_STREAM, an empty DATA, a CONTINUATION, ...)
/// costs a credit; frames that the client lets us send, and time, earn some. Who has none left
/// floods. The library's own limits differ by version, and older ones have few.
///
/// Source   RFC 9113, 4.1 (frames) and 10.5 (denial of service); CVE-2019-9512 ff., CVE-2023-44487
#ifndef NORN_SERVE_GRPC_FRAMES_H
#define NORN_SERVE_GRPC_FRAMES_H

#include "base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    NORN_GRPC_CREDITS_MAX = 2000,
    NORN_GRPC_CREDITS_PER_S = 500,
    NORN_GRPC_EARNED_BY_DATA = 2,            ///< a DATA frame sent: its WINDOW_UPDATEs
    NORN_GRPC_EARNED_BY_ANSWER = 3,          ///< an answer sent: its request's HEADERS, a PING
    NORN_GRPC_HEADER_BLOCK_MAX = 256 * 1024, ///< of one request; its header list is bounded lower
};

typedef struct norn_grpc_frames {
    uint32_t preface;    ///< bytes of the client's preface that were seen
    uint32_t head_count; ///< bytes of the frame header that were seen
    uint8_t head[9];
    uint32_t left;        ///< payload bytes of the current frame that are to come
    uint32_t block_bytes; ///< of the header block that is open; 0: none
    int64_t block_ns;     ///< since when it is open
    int32_t credits;
    int64_t credits_ns; ///< when time last earned some
    uint64_t count;     ///< frames so far
} norn_grpc_frames;

void norn_grpc_frames_init(norn_grpc_frames *frames, int64_t now_ns);
/// Look at bytes that have come. False: the client floods.
bool norn_grpc_frames_see(norn_grpc_frames *frames, norn_span bytes, int64_t now_ns);
void norn_grpc_frames_earn(norn_grpc_frames *frames, int32_t credits);

#endif
