/// Frames and header blocks: however the bytes are cut, the same comes through.
#include "serve/grpc/grpc_frames.h"

#include <stdlib.h>
#include <string.h>

static norn_grpc_verdict see(norn_grpc_frames *frames, norn_span bytes, norn_buffer *seen) {
    while (bytes.count > 0) {
        norn_span out;
        const norn_grpc_verdict verdict = norn_grpc_frames_next(frames, &bytes, 0, &out);
        if (verdict != NORN_GRPC_FINE) return verdict;
        norn_buffer_append(seen, out.bytes, out.count);
    }
    return NORN_GRPC_FINE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_grpc_frames whole, cut;
    norn_buffer seen, again;
    if (size < 1) return 0;
    const size_t step = 1 + data[0];
    norn_grpc_frames_init(&whole, 0, norn_alloc_heap());
    norn_grpc_frames_init(&cut, 0, norn_alloc_heap());
    norn_buffer_init(&seen, norn_alloc_heap());
    norn_buffer_init(&again, norn_alloc_heap());
    whole.preface = cut.preface = 24;
    const norn_grpc_verdict first = see(&whole, norn_span_of(data + 1, size - 1), &seen);
    norn_grpc_verdict second = NORN_GRPC_FINE;
    for (size_t at = 1; at < size && second == NORN_GRPC_FINE; at += step) {
        const size_t count = size - at < step ? size - at : step;
        second = see(&cut, norn_span_of(data + at, count), &again);
    }
    if (first != second) abort();
    if (first == NORN_GRPC_FINE &&
        (seen.count != again.count || whole.count != cut.count ||
         (seen.count && memcmp(seen.bytes, again.bytes, seen.count) != 0)))
        abort();
    norn_grpc_frames_deinit(&whole);
    norn_grpc_frames_deinit(&cut);
    norn_buffer_deinit(&seen);
    norn_buffer_deinit(&again);
    return 0;
}
