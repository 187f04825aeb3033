#include "runtime/run_memory.h"
#include "base/checked.h"
#include "base/memory.h"

// ---- blocks

struct norn_block {
    norn_block *next; ///< among the free ones of its class
    norn_block *next_all;
    size_t bytes;
    uint32_t size_class;
};

enum { HEADER_BYTES = 64, SMALLEST_BITS = 8 };
_Static_assert(sizeof(struct norn_block) <= HEADER_BYTES, "a block's header fits before its data");

/// Classes 2^k and 1.5 * 2^k: at most a third is wasted.
static uint32_t class_of(size_t bytes, size_t *rounded) {
    uint32_t bits = SMALLEST_BITS;
    while (bits < 62 && ((size_t)1 << bits) < bytes) bits++;
    size_t whole = (size_t)1 << bits, less = whole / 4 * 3;
    bool smaller = bits > SMALLEST_BITS && bytes <= less;
    *rounded = smaller ? less : whole;
    return (bits - SMALLEST_BITS) * 2 - (smaller ? 1 : 0);
}

void norn_blocks_init(norn_blocks *blocks, norn_alloc alloc) {
    *blocks = (norn_blocks){.alloc = alloc};
}

void norn_blocks_deinit(norn_blocks *blocks) {
    while (blocks->all) {
        norn_block *block = blocks->all;
        blocks->all = block->next_all;
        norn_free(blocks->alloc, block);
    }
    norn_blocks_init(blocks, blocks->alloc);
}

norn_status norn_blocks_take(norn_blocks *blocks, size_t bytes, norn_block **out) {
    size_t rounded;
    void *memory;
    *out = NULL;
    if (bytes > (size_t)1 << 46)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu bytes", bytes);
    uint32_t size_class = class_of(bytes, &rounded);
    norn_block *block = blocks->free[size_class];
    if (block) {
        blocks->free[size_class] = block->next;
    } else {
        NORN_TRY(norn_alloc_bytes(blocks->alloc, rounded + HEADER_BYTES, &memory));
        block = memory;
        *block = (norn_block){.next_all = blocks->all, .bytes = rounded, .size_class = size_class};
        blocks->all = block;
    }
    block->next = NULL;
    *out = block;
    return NORN_OK;
}

void norn_blocks_give(norn_blocks *blocks, norn_block *block) {
    if (!block) return;
    block->next = blocks->free[block->size_class];
    blocks->free[block->size_class] = block;
}

void *norn_block_data(norn_block *block) {
    return (char *)block + HEADER_BYTES;
}

size_t norn_block_bytes(const norn_block *block) {
    return block->bytes;
}

// ---- scratch

void norn_scratch_init(norn_scratch *scratch, norn_scratch_source source, size_t align) {
    *scratch = (norn_scratch){.source = source, .align = align};
}

void norn_scratch_deinit(norn_scratch *scratch) {
    for (uint32_t i = 0; i < scratch->count; i++)
        scratch->source.give(scratch->source.context, scratch->chunk[i].memory);
    scratch->count = scratch->current = 0;
}

static norn_status add_chunk(norn_scratch *scratch, size_t bytes) {
    size_t before = scratch->count ? scratch->chunk[scratch->count - 1].bytes : 1 << 15;
    norn_scratch_chunk chunk = {0};
    if (scratch->count == NORN_SCRATCH_CHUNKS)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: scratch is in %d pieces",
                         NORN_SCRATCH_CHUNKS);
    chunk.bytes = bytes > before * 2 ? bytes : before * 2;
    NORN_TRY(scratch->source.take(scratch->source.context, chunk.bytes, &chunk.memory));
    scratch->current = scratch->count;
    scratch->chunk[scratch->count++] = chunk;
    return NORN_OK;
}

norn_status norn_scratch_take(norn_scratch *scratch, size_t bytes, void **out) {
    bytes = norn_align_up(bytes ? bytes : 1, scratch->align);
    if (bytes > (size_t)1 << 46)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu bytes of scratch", bytes);
    for (; scratch->current < scratch->count; scratch->current++) {
        norn_scratch_chunk *chunk = &scratch->chunk[scratch->current];
        if (chunk->bytes - chunk->used >= bytes) break;
        if (scratch->current + 1 == scratch->count) {
            NORN_TRY(add_chunk(scratch, bytes));
            break;
        }
        scratch->chunk[scratch->current + 1].used = 0;
    }
    if (scratch->count == 0) NORN_TRY(add_chunk(scratch, bytes));
    norn_scratch_chunk *chunk = &scratch->chunk[scratch->current];
    *out = (char *)chunk->memory + chunk->used;
    chunk->used += bytes;
    return NORN_OK;
}

norn_scratch_mark norn_scratch_save(const norn_scratch *scratch) {
    if (scratch->count == 0) return (norn_scratch_mark){0};
    return (norn_scratch_mark){scratch->current, scratch->chunk[scratch->current].used};
}

void norn_scratch_restore(norn_scratch *scratch, norn_scratch_mark mark) {
    if (scratch->count == 0) return;
    scratch->current = mark.chunk;
    scratch->chunk[mark.chunk].used = mark.used;
}

norn_status norn_scratch_settle(norn_scratch *scratch) {
    if (scratch->count < 2) return NORN_OK;
    size_t total = 0;
    for (uint32_t i = 0; i < scratch->count; i++) total += scratch->chunk[i].bytes;
    norn_scratch_deinit(scratch);
    return add_chunk(scratch, total);
}
