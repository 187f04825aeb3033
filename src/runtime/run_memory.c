#include "runtime/run_memory.h"
#include "base/checked.h"
#include "base/poison.h"

// ---- blocks

struct norn_block {
    norn_block *next; ///< among the free ones of its class
    norn_block *next_all;
    size_t bytes;
    uint32_t size_class;
    bool taken;
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

void norn_blocks_init(norn_blocks *blocks, norn_memory_source source) {
    *blocks = (norn_blocks){.source = source};
}

/// Give back every block, or those that are free.
static void release_blocks(norn_blocks *blocks, bool taken_too) {
    norn_block **link = &blocks->all;
    while (*link) {
        norn_block *block = *link;
        if (block->taken && !taken_too) {
            link = &block->next_all;
            continue;
        }
        *link = block->next_all;
        blocks->held_bytes -= block->bytes;
        norn_unpoison(block, block->bytes + HEADER_BYTES);
        blocks->source.give(blocks->source.context, block, block->bytes + HEADER_BYTES);
    }
    for (int i = 0; i < NORN_BLOCK_CLASSES; i++) blocks->free[i] = NULL;
}

void norn_blocks_deinit(norn_blocks *blocks) {
    release_blocks(blocks, true);
    norn_blocks_init(blocks, blocks->source);
}

static norn_status add_block(norn_blocks *blocks, size_t bytes, uint32_t size_class,
                             norn_block **out) {
    void *memory;
    norn_memory_source source = blocks->source;
    norn_status status = source.take(source.context, bytes + HEADER_BYTES, &memory);
    if (status != NORN_OK && blocks->held_bytes > blocks->taken_bytes) {
        release_blocks(blocks, false); // of other sizes: they may make room
        status = source.take(source.context, bytes + HEADER_BYTES, &memory);
    }
    NORN_TRY(status);
    *out = memory;
    **out = (norn_block){.next_all = blocks->all, .bytes = bytes, .size_class = size_class};
    blocks->all = *out;
    blocks->held_bytes += bytes;
    return NORN_OK;
}

norn_status norn_blocks_take(norn_blocks *blocks, size_t bytes, norn_block **out) {
    size_t rounded;
    *out = NULL;
    if (bytes > (size_t)1 << 46)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu byte%s", bytes,
                         norn_plural(bytes));
    uint32_t size_class = class_of(bytes + NORN_RED_BYTES, &rounded);
    norn_block *block = blocks->free[size_class];
    if (block)
        blocks->free[size_class] = block->next;
    else
        NORN_TRY(add_block(blocks, rounded, size_class, &block));
    block->next = NULL;
    block->taken = true;
    blocks->taken_bytes += block->bytes;
    if (blocks->taken_bytes > blocks->peak_bytes) blocks->peak_bytes = blocks->taken_bytes;
    norn_block_use(block, bytes);
    *out = block;
    return NORN_OK;
}

void norn_block_use(norn_block *block, size_t bytes) {
    char *data = norn_block_data(block);
    norn_unpoison(data, bytes);
    norn_poison(data + bytes, block->bytes - bytes);
}

void norn_blocks_give(norn_blocks *blocks, norn_block *block) {
    if (!block) return;
    norn_block_use(block, 0);
    block->taken = false;
    blocks->taken_bytes -= block->bytes;
    block->next = blocks->free[block->size_class];
    blocks->free[block->size_class] = block;
}

void norn_blocks_trim(norn_blocks *blocks) {
    if (norn_keeps_too_much(blocks->held_bytes, blocks->peak_bytes)) release_blocks(blocks, false);
    blocks->peak_bytes = blocks->taken_bytes;
}

void *norn_block_data(norn_block *block) {
    return (char *)block + HEADER_BYTES;
}

size_t norn_block_bytes(const norn_block *block) {
    return block->bytes;
}

// ---- scratch

void norn_scratch_init(norn_scratch *scratch, norn_memory_source source, size_t align) {
    *scratch = (norn_scratch){.source = source, .align = align};
}

void norn_scratch_deinit(norn_scratch *scratch) {
    for (uint32_t i = 0; i < scratch->count; i++)
        scratch->source.give(scratch->source.context, scratch->chunk[i].memory,
                             scratch->chunk[i].bytes);
    scratch->count = scratch->current = 0;
}

static size_t held_bytes(const norn_scratch *scratch) {
    size_t total = 0;
    for (uint32_t i = 0; i < scratch->count; i++) total += scratch->chunk[i].bytes;
    return total;
}

/// A chunk's bytes [begin, end), which are free. Only memory of the host can be poisoned.
static void poison(const norn_scratch *scratch, void *memory, size_t begin, size_t end) {
    if (scratch->source.on_host) norn_poison((char *)memory + begin, end - begin);
}

/// At least `bytes`, and half of what there is: slowly rising sizes need few chunks.
static norn_status add_chunk(norn_scratch *scratch, size_t bytes) {
    enum { SMALLEST = 1 << 16 };
    size_t more = held_bytes(scratch) / 2;
    norn_scratch_chunk chunk = {.bytes = more > SMALLEST ? more : SMALLEST};
    if (scratch->count == NORN_SCRATCH_CHUNKS)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: scratch is in %d pieces",
                         NORN_SCRATCH_CHUNKS);
    if (bytes > chunk.bytes) chunk.bytes = bytes;
    NORN_TRY(scratch->source.take(scratch->source.context, chunk.bytes, &chunk.memory));
    poison(scratch, chunk.memory, 0, chunk.bytes);
    scratch->current = scratch->count;
    scratch->chunk[scratch->count++] = chunk;
    return NORN_OK;
}

static void note_peak(norn_scratch *scratch) {
    size_t used = 0;
    for (uint32_t i = 0; i <= scratch->current; i++) used += scratch->chunk[i].used;
    if (used > scratch->peak_bytes) scratch->peak_bytes = used;
}

norn_status norn_scratch_take(norn_scratch *scratch, size_t bytes, void **out) {
    if (bytes > (size_t)1 << 46)
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "out of memory: %zu byte%s of scratch", bytes,
                         norn_plural(bytes));
    const size_t wanted = bytes ? bytes : 1;
    bytes = norn_align_up(wanted + NORN_RED_BYTES, scratch->align);
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
    if (scratch->source.on_host) norn_unpoison(*out, wanted);
    chunk->used += bytes;
    note_peak(scratch);
    return NORN_OK;
}

norn_scratch_mark norn_scratch_save(const norn_scratch *scratch) {
    if (scratch->count == 0) return (norn_scratch_mark){0};
    return (norn_scratch_mark){scratch->current, scratch->chunk[scratch->current].used};
}

void norn_scratch_restore(norn_scratch *scratch, norn_scratch_mark mark) {
    if (scratch->count == 0) return;
    for (uint32_t i = mark.chunk; i <= scratch->current; i++) {
        const norn_scratch_chunk *chunk = &scratch->chunk[i];
        poison(scratch, chunk->memory, i == mark.chunk ? mark.used : 0, chunk->used);
    }
    scratch->current = mark.chunk;
    scratch->chunk[mark.chunk].used = mark.used;
}

static void one_chunk(norn_scratch *scratch, size_t bytes) {
    norn_scratch_deinit(scratch);
    if (bytes > 0 && add_chunk(scratch, bytes) != NORN_OK) scratch->count = scratch->current = 0;
}

void norn_scratch_settle(norn_scratch *scratch) {
    if (scratch->count >= 2) one_chunk(scratch, scratch->peak_bytes);
}

void norn_scratch_trim(norn_scratch *scratch) {
    norn_scratch_settle(scratch);
    if (norn_keeps_too_much(held_bytes(scratch), scratch->peak_bytes))
        one_chunk(scratch, scratch->peak_bytes);
    scratch->peak_bytes = 0;
}
