#include "onnx/names.h"

#include "base/hash.h"

#include <string.h>

static norn_name_slot *slot_of(norn_name_slot *slots, uint32_t capacity, const char *name,
                               uint64_t hash) {
    uint32_t at = (uint32_t)hash & (capacity - 1);
    while (slots[at].name && (slots[at].hash != hash || strcmp(slots[at].name, name) != 0)) {
        at = (at + 1) & (capacity - 1);
    }
    return &slots[at];
}

void *norn_name_map_find(const norn_name_map *map, const char *name) {
    if (map->capacity == 0) return NULL;
    return slot_of(map->slots, map->capacity, name, norn_hash_text(name))->value;
}

static norn_status grow(norn_name_map *map) {
    uint32_t capacity = map->capacity ? map->capacity * 2 : 64;
    norn_name_slot *slots;
    if (capacity < map->capacity) return norn_fail(NORN_RESOURCE_EXHAUSTED, "too many names");
    NORN_TRY(NORN_TAKE_ARRAY(map->arena, capacity, &slots));
    for (uint32_t i = 0; i < map->capacity; i++) {
        const norn_name_slot *old = &map->slots[i];
        if (old->name) *slot_of(slots, capacity, old->name, old->hash) = *old;
    }
    map->slots = slots;
    map->capacity = capacity;
    return NORN_OK;
}

norn_status norn_name_map_put(norn_name_map *map, const char *name, void *value) {
    if ((uint64_t)map->count * 4 >= (uint64_t)map->capacity * 3) NORN_TRY(grow(map));
    uint64_t hash = norn_hash_text(name);
    norn_name_slot *slot = slot_of(map->slots, map->capacity, name, hash);
    if (!slot->name) map->count++;
    *slot = (norn_name_slot){name, hash, value};
    return NORN_OK;
}
