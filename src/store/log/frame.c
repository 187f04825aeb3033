#include "store/log/frame.h"
#include "base/checked.h"
#include "base/crc32.h"
#include "base/hash.h"

#include <stddef.h>
#include <string.h>

enum { PADDING = 8, DENSE_FIXED = 24 };

static const norn_dtype dtypes[] = {NORN_DTYPE_NONE, NORN_F32, NORN_F16, NORN_BF16, NORN_I8};
enum { DTYPES = sizeof dtypes / sizeof *dtypes };

uint8_t norn_log_frame_dtype_of(norn_dtype dtype) {
    for (uint8_t code = 1; code < DTYPES; code++)
        if (dtypes[code] == dtype) return code;
    return 0;
}

norn_dtype norn_log_frame_dtype(uint8_t code) {
    return code < DTYPES ? dtypes[code] : NORN_DTYPE_NONE;
}

uint32_t norn_log_partition_of(int64_t key, uint32_t partitions) {
    return (uint32_t)(norn_hash_key(key) >> 32) % partitions;
}

size_t norn_log_frame_stored_bytes(const norn_log_frame_header *header) {
    return norn_align_up(sizeof *header + header->payload_bytes, PADDING);
}

// ---- reading

static uint32_t header_crc(const norn_log_frame_header *header) {
    return norn_crc32(0, header, offsetof(norn_log_frame_header, header_crc));
}

/// Both factors come from 32 bits.
static bool payload_fits_kind(const norn_log_frame_header *h) {
    const uint64_t keys = (uint64_t)h->count * sizeof(int64_t);
    switch (h->kind) {
    case NORN_LOG_FRAME_ROWS:
        return h->count > 0 && h->row_bytes > 0 &&
               norn_log_frame_dtype(h->dtype) != NORN_DTYPE_NONE &&
               h->payload_bytes == keys + (uint64_t)h->count * h->row_bytes;
    case NORN_LOG_FRAME_DELETES:
        return h->count > 0 && h->payload_bytes == keys;
    case NORN_LOG_FRAME_DENSE:
        return norn_log_frame_dtype(h->dtype) != NORN_DTYPE_NONE &&
               h->payload_bytes >= (uint64_t)DENSE_FIXED + h->count;
    case NORN_LOG_FRAME_SEAL:
        return h->count > 0 && h->payload_bytes == keys;
    default:
        return true;
    }
}

static norn_status check_header(const norn_log_frame_header *h) {
    if (h->magic != NORN_LOG_FRAME_MAGIC || h->bytes != sizeof *h || header_crc(h) != h->header_crc)
        return norn_fail(NORN_DATA_LOSS, "no frame header is here (its checksum does not fit)");
    if (h->kind < NORN_LOG_FRAME_ROWS || h->kind > NORN_LOG_FRAME_OPEN || h->codec != 0)
        return norn_fail(NORN_UNIMPLEMENTED,
                         "sequence %llu: a frame of kind %u with codec %u; this Norn knows kinds 1 "
                         "to 5 and no codec: follow this log with a newer one",
                         (unsigned long long)h->sequence, h->kind, h->codec);
    if (h->payload_bytes > NORN_LOG_FRAME_PAYLOAD_MAX || !payload_fits_kind(h))
        return norn_fail(NORN_DATA_LOSS,
                         "sequence %llu: a payload of %llu bytes does not go with kind %u, %u "
                         "entries and rows of %u bytes",
                         (unsigned long long)h->sequence, (unsigned long long)h->payload_bytes,
                         h->kind, h->count, h->row_bytes);
    return NORN_OK;
}

norn_status norn_log_frame_read(norn_span bytes, norn_log_frame *out, size_t *stored) {
    norn_log_frame frame;
    *stored = 0;
    if (bytes.count < sizeof frame.header) return NORN_OK;
    memcpy(&frame.header, bytes.bytes, sizeof frame.header);
    NORN_TRY(check_header(&frame.header));
    const size_t whole = norn_log_frame_stored_bytes(&frame.header);
    if (bytes.count < whole) return NORN_OK;
    frame.payload = bytes.bytes + sizeof frame.header;
    if (norn_crc32(0, frame.payload, frame.header.payload_bytes) != frame.header.payload_crc)
        return norn_fail(NORN_DATA_LOSS, "sequence %llu: the checksum of the payload does not fit",
                         (unsigned long long)frame.header.sequence);
    *out = frame;
    *stored = whole;
    return NORN_OK;
}

const int64_t *norn_log_frame_keys(const norn_log_frame *frame) {
    return (const int64_t *)(const void *)frame->payload;
}

const char *norn_log_frame_rows(const norn_log_frame *frame) {
    return (const char *)(norn_log_frame_keys(frame) + frame->header.count);
}

uint64_t norn_log_frame_seal_sequence(const norn_log_frame *frame, uint32_t partition) {
    uint64_t sequence;
    memcpy(&sequence, frame->payload + partition * sizeof sequence, sizeof sequence);
    return sequence;
}

norn_status norn_log_frame_dense_read(const norn_log_frame *frame, norn_log_frame_dense *out) {
    const norn_log_frame_header *h = &frame->header;
    const norn_span payload = norn_span_of(frame->payload, h->payload_bytes);
    uint32_t name_bytes, rank;
    memcpy(&name_bytes, payload.bytes, sizeof name_bytes);
    memcpy(&rank, payload.bytes + 4, sizeof rank);
    *out = (norn_log_frame_dense){.dtype = norn_log_frame_dtype(h->dtype)};
    memcpy(&out->offset, payload.bytes + 8, sizeof out->offset);
    memcpy(&out->total, payload.bytes + 16, sizeof out->total);
    if (rank <= NORN_MAX_RANK && name_bytes > 0 && name_bytes <= NORN_LOG_FRAME_PAYLOAD_MAX) {
        const size_t name_at = DENSE_FIXED + rank * sizeof(int64_t);
        const size_t at = name_at + norn_align_up(name_bytes, PADDING);
        out->rank = (int32_t)rank;
        if (at + h->count == payload.count && norn_span_slice(payload, at, h->count, &out->bytes) &&
            norn_span_slice(payload, name_at, name_bytes, &out->name) &&
            out->offset <= out->total && h->count <= out->total - out->offset) {
            memcpy(out->dims, payload.bytes + DENSE_FIXED, rank * sizeof(int64_t));
            return NORN_OK;
        }
    }
    return norn_fail(NORN_DATA_LOSS, "sequence %llu: this is no piece of a dense tensor",
                     (unsigned long long)h->sequence);
}

// ---- writing

void norn_log_frame_finish(norn_log_frame_header *header, const void *payload,
                           size_t payload_bytes) {
    header->magic = NORN_LOG_FRAME_MAGIC;
    header->bytes = sizeof *header;
    header->codec = header->reserved = header->flags = 0;
    header->payload_bytes = payload_bytes;
    header->payload_crc = norn_crc32(0, payload, payload_bytes);
    header->header_crc = header_crc(header);
}
