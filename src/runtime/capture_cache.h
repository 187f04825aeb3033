/// Captured graphs by the shapes that they were captured at. Few are kept; the least used one goes.
#ifndef NORN_RUNTIME_CAPTURE_CACHE_H
#define NORN_RUNTIME_CAPTURE_CACHE_H

#include "device/device.h"

#include <stdbool.h>

enum { NORN_CAPTURES = 32 };

typedef struct norn_capture_entry {
    int64_t *symbols; ///< values; NULL: a free entry
    norn_capture *capture;
    bool warm;     ///< these shapes have run once
    uint64_t used; ///< when, in finds
} norn_capture_entry;

typedef struct norn_capture_cache {
    norn_device *device;
    norn_alloc alloc;
    uint32_t symbol_count;
    uint64_t generation, tables_layout, clock;
    norn_capture_entry entry[NORN_CAPTURES];
} norn_capture_cache;

void norn_capture_cache_init(norn_capture_cache *cache, norn_device *device, uint32_t symbol_count,
                             norn_alloc alloc);
void norn_capture_cache_deinit(norn_capture_cache *cache);
/// The entry of these values, made when there is none. Another generation of addresses or tables of
/// another layout end every capture.
norn_status norn_capture_cache_find(norn_capture_cache *cache, const int64_t *symbols,
                                    uint64_t generation, uint64_t tables_layout,
                                    norn_capture_entry **out) NORN_NODISCARD;

#endif
