/// One frame of the delta log: what a trainer changed in one table in one step, or what holds steps
/// together. docs/delta-log.md is the specification.
#ifndef NORN_STORE_LOG_FRAME_H
#define NORN_STORE_LOG_FRAME_H

#include "base/span.h"
#include "base/status.h"
#include "norn/tensor.h"

#include <stdint.h>

typedef enum norn_log_frame_kind {
    NORN_LOG_FRAME_ROWS = 1,
    NORN_LOG_FRAME_DELETES = 2,
    NORN_LOG_FRAME_DENSE = 3,
    NORN_LOG_FRAME_SEAL = 4, ///< the step is whole in this partition
    NORN_LOG_FRAME_OPEN = 5, ///< a writer begins: an epoch, or another line of training
} norn_log_frame_kind;

enum {
    NORN_LOG_FRAME_MAGIC = 0x314c444e, ///< "NDL1"
    NORN_LOG_FRAME_HEADER_BYTES = 96,
    NORN_LOG_FRAME_PAYLOAD_MAX = 900 * 1024,
    NORN_LOG_FRAME_STORED_MAX = NORN_LOG_FRAME_HEADER_BYTES + NORN_LOG_FRAME_PAYLOAD_MAX,
    NORN_LOG_PARTITIONS_MAX = 1024,
};

typedef struct norn_log_frame_header {
    uint32_t magic;
    uint16_t bytes;
    uint8_t kind;
    uint8_t dtype; ///< ROWS, DENSE: norn_log_frame_dtype_of
    uint64_t base; ///< the version that began this line of training
    uint64_t epoch, sequence, step;
    int64_t published_ns; ///< Unix time
    uint32_t partition;
    uint32_t table; ///< ROWS, DELETES: of the version, by name
    uint32_t count; ///< keys; DENSE: bytes of the piece; SEAL: partitions; OPEN: tables
    uint32_t row_bytes;
    uint64_t payload_bytes;
    uint32_t payload_crc, codec;
    uint32_t previous_crc; ///< of the header before in this partition: the chain
    uint32_t reserved, flags;
    uint32_t header_crc;
} norn_log_frame_header;
_Static_assert(sizeof(norn_log_frame_header) == NORN_LOG_FRAME_HEADER_BYTES, "a frame's header");

typedef struct norn_log_frame {
    norn_log_frame_header header;
    const uint8_t *payload; ///< borrowed from what was read
} norn_log_frame;

/// A piece of a dense tensor.
typedef struct norn_log_frame_dense {
    norn_span name;
    norn_dtype dtype;
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
    uint64_t offset, total; ///< of `bytes`, in the tensor's
    norn_span bytes;
} norn_log_frame_dense;

/// Read the frame that `bytes`, which align to 8, begin with: its form, its checksums, and that its payload is as long
/// as its kind says. *stored: its bytes with padding; 0: `bytes` end before it does, and *out is not
/// written. What the values mean (is there such a table, is it the next sequence) is the reader's to ask.
/// Errors   DATA_LOSS: this is no frame; UNIMPLEMENTED: a codec or kind of later versions
norn_status norn_log_frame_read(norn_span bytes, norn_log_frame *out,
                                size_t *stored) NORN_NODISCARD;
/// Bytes with padding.
size_t norn_log_frame_stored_bytes(const norn_log_frame_header *header);

/// Complete `header` (magic, sizes and checksums; `previous_crc` is the caller's) for this payload.
void norn_log_frame_finish(norn_log_frame_header *header, const void *payload,
                           size_t payload_bytes);

const int64_t *norn_log_frame_keys(const norn_log_frame *frame); ///< ROWS, DELETES
const char *norn_log_frame_rows(const norn_log_frame *frame);    ///< ROWS
/// The last sequence of a partition in this step. SEAL.
uint64_t norn_log_frame_seal_sequence(const norn_log_frame *frame, uint32_t partition);
/// Errors   DATA_LOSS: the payload is not one of a dense tensor
norn_status norn_log_frame_dense_read(const norn_log_frame *frame,
                                      norn_log_frame_dense *out) NORN_NODISCARD;

/// 0: the log has no such rows.
uint8_t norn_log_frame_dtype_of(norn_dtype dtype);
/// NORN_DTYPE_NONE for a number that is none.
norn_dtype norn_log_frame_dtype(uint8_t code);

/// Where a key's changes go.
uint32_t norn_log_partition_of(int64_t key, uint32_t partitions);

#endif
