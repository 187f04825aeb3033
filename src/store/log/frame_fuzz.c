#include "store/log/dense_set.h"
#include "store/log/open_frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const norn_table_form forms[] = {{.name = "user", .dtype = NORN_F32, .dim = 4}};
static const norn_version version = {1, 1, forms};

/// A frame is read as it lies, and with checksums that fit: what checks them should not hide the rest.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_dense_set set = {norn_alloc_heap(), NULL};
    norn_log_frame frame;
    size_t stored, at = 0;
    uint64_t *bytes = malloc(size + 8);
    if (!bytes) return 0;
    memcpy(bytes, data, size);
    if (size >= sizeof frame.header && (data[size - 1] & 1)) {
        norn_log_frame_header *header = (norn_log_frame_header *)(void *)bytes;
        if (header->payload_bytes <= size - sizeof *header)
            norn_log_frame_finish(header, header + 1, header->payload_bytes);
    }
    while (norn_log_frame_read(norn_span_of((uint8_t *)bytes + at, size - at), &frame, &stored) ==
               NORN_OK &&
           stored > 0) {
        norn_log_frame_dense piece;
        if (stored > size - at || stored % 8 != 0) abort();
        if (frame.header.kind == NORN_LOG_FRAME_DENSE &&
            norn_log_frame_dense_read(&frame, &piece) == NORN_OK && piece.total < 1 << 20 &&
            norn_dense_set_add(&set, &piece) == NORN_OK)
            (void)!norn_dense_set_check(&set);
        if (frame.header.kind == NORN_LOG_FRAME_OPEN)
            (void)!norn_open_frame_check(&frame, &version);
        if (frame.header.kind == NORN_LOG_FRAME_ROWS) {
            const char *end =
                norn_log_frame_rows(&frame) + (size_t)frame.header.count * frame.header.row_bytes;
            if (end != (const char *)frame.payload + frame.header.payload_bytes) abort();
        }
        at += stored;
    }
    norn_dense_set_clear(&set);
    free(bytes);
    return 0;
}
