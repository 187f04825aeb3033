#include "runtime/capture_cache.h"
#include "base/memory.h"

#include <string.h>

void norn_capture_cache_init(norn_capture_cache *cache, norn_device *device, uint32_t symbol_count,
                             norn_alloc alloc) {
    *cache = (norn_capture_cache){.device = device, .alloc = alloc, .symbol_count = symbol_count};
}

static void end_capture(norn_capture_cache *cache, norn_capture_entry *entry) {
    if (entry->capture) cache->device->ops->capture_destroy(cache->device, entry->capture);
    entry->capture = NULL;
    entry->warm = false;
}

void norn_capture_cache_deinit(norn_capture_cache *cache) {
    if (!cache->alloc.release) return;
    for (int i = 0; i < NORN_CAPTURES; i++) {
        end_capture(cache, &cache->entry[i]);
        norn_free(cache->alloc, cache->entry[i].symbols);
        cache->entry[i].symbols = NULL;
    }
}

norn_status norn_capture_cache_find(norn_capture_cache *cache, const int64_t *symbols,
                                    uint64_t generation, uint64_t tables_layout,
                                    norn_capture_entry **out) {
    size_t bytes = cache->symbol_count * sizeof *symbols;
    norn_capture_entry *oldest = &cache->entry[0];
    if (cache->generation != generation || cache->tables_layout != tables_layout)
        for (int i = 0; i < NORN_CAPTURES; i++) end_capture(cache, &cache->entry[i]);
    cache->generation = generation;
    cache->tables_layout = tables_layout;
    cache->clock++;
    for (int i = 0; i < NORN_CAPTURES; i++) {
        norn_capture_entry *entry = &cache->entry[i];
        if (entry->symbols && (bytes == 0 || memcmp(entry->symbols, symbols, bytes) == 0)) {
            entry->used = cache->clock;
            *out = entry;
            return NORN_OK;
        }
        if (entry->used < oldest->used) oldest = entry;
    }
    if (!oldest->symbols)
        NORN_TRY(NORN_NEW_ARRAY(cache->alloc, cache->symbol_count, &oldest->symbols));
    end_capture(cache, oldest);
    if (bytes) memcpy(oldest->symbols, symbols, bytes);
    oldest->used = cache->clock;
    *out = oldest;
    return NORN_OK;
}
