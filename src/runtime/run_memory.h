/// Memory that a run takes while it runs: blocks for values whose size shows only then, and scratch
/// of kernels. Both keep what they got from their source, so that the steady state allocates
/// nothing; what has long not been needed goes back when they are trimmed.
///
/// Threads  one at a time; each instance has its own.
#ifndef NORN_RUNTIME_RUN_MEMORY_H
#define NORN_RUNTIME_RUN_MEMORY_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Where memory comes from, 64-byte aligned or better, and goes back to.
typedef struct norn_memory_source {
    norn_status (*take)(void *context, size_t bytes, void **out);
    void (*give)(void *context, void *memory, size_t bytes);
    void *context;
    bool on_host; ///< it is the process's own memory
} norn_memory_source;

/// Trimming: memory goes back when it is more than KEPT_TIMES what was
/// needed lately, and enough to matter.
enum { NORN_KEPT_TIMES = 4, NORN_KEPT_BYTES = 16 << 20 };
static inline bool norn_keeps_too_much(size_t held, size_t needed) {
    return held > NORN_KEPT_BYTES && held / NORN_KEPT_TIMES > needed;
}

// ---- blocks: any lifetime

enum { NORN_BLOCK_CLASSES = 96 }; ///< two a power of two

typedef struct norn_block norn_block;
typedef struct norn_blocks {
    norn_memory_source source;
    size_t held_bytes, taken_bytes, peak_bytes; ///< peak: most taken at once since the last trim
    norn_block *free[NORN_BLOCK_CLASSES];
    norn_block *all;
} norn_blocks;

void norn_blocks_init(norn_blocks *blocks, norn_memory_source source); ///< allocates nothing
void norn_blocks_deinit(norn_blocks *blocks); ///< frees every block, also those still taken
/// At least `bytes`, 64-byte aligned, not zeroed.
norn_status norn_blocks_take(norn_blocks *blocks, size_t bytes, norn_block **out) NORN_NODISCARD;
void norn_blocks_give(norn_blocks *blocks, norn_block *block); ///< takes NULL
void *norn_block_data(norn_block *block);
size_t norn_block_bytes(const norn_block *block); ///< that it has room for
/// A block is used for this many bytes now, of those that it has room for; others are poisoned.
void norn_block_use(norn_block *block, size_t bytes);
/// Between runs: give free blocks back when they are far more than what was taken since last time.
void norn_blocks_trim(norn_blocks *blocks);

// ---- scratch: last in, first out

typedef struct norn_scratch_chunk {
    void *memory;
    size_t bytes, used;
} norn_scratch_chunk;

enum { NORN_SCRATCH_CHUNKS = 32 };

typedef struct norn_scratch {
    norn_memory_source source;
    size_t align;
    size_t peak_bytes; ///< most in use at once since the last trim
    norn_scratch_chunk chunk[NORN_SCRATCH_CHUNKS];
    uint32_t count, current; ///< chunks; the one that is being used
} norn_scratch;

typedef struct norn_scratch_mark {
    uint32_t chunk;
    size_t used;
} norn_scratch_mark;

void norn_scratch_init(norn_scratch *scratch, norn_memory_source source, size_t align);
void norn_scratch_deinit(norn_scratch *scratch);
norn_status norn_scratch_take(norn_scratch *scratch, size_t bytes, void **out) NORN_NODISCARD;
norn_scratch_mark norn_scratch_save(const norn_scratch *scratch);
/// Everything taken after `mark` is free again.
void norn_scratch_restore(norn_scratch *scratch, norn_scratch_mark mark);
/// Between runs: several chunks become one that holds what was in use at once, so that a later run
/// needs one only. Without memory for that there is none, until a kernel asks.
void norn_scratch_settle(norn_scratch *scratch);
/// Between runs: give memory back when it is far more than what was in use since last time.
void norn_scratch_trim(norn_scratch *scratch);

#endif
