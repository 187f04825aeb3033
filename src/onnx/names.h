/// A map from names to pointers, in an arena. Names are borrowed; nothing is removed.
#ifndef NORN_ONNX_NAMES_H
#define NORN_ONNX_NAMES_H

#include "base/arena.h"

#include <stdint.h>

typedef struct norn_name_slot {
    const char *name; ///< NULL: free
    uint64_t hash;
    void *value;
} norn_name_slot;

typedef struct norn_name_map {
    norn_arena *arena;
    norn_name_slot *slots;
    uint32_t count, capacity; ///< capacity: a power of two, at most three quarters full
} norn_name_map;

static inline norn_name_map norn_name_map_in(norn_arena *arena) {
    return (norn_name_map){.arena = arena};
}
void *norn_name_map_find(const norn_name_map *map, const char *name); ///< NULL if absent
/// Replaces.
norn_status norn_name_map_put(norn_name_map *map, const char *name, void *value) NORN_NODISCARD;

#endif
