#include "serve/repository/index.h"

#include "base/memory.h"

#include <string.h>

const char *norn_model_state_name(norn_model_state state) {
    static const char *const names[] = {"LOADING", "READY", "UNAVAILABLE"};
    return names[state];
}

norn_status norn_index_create(uint32_t models, norn_alloc alloc, norn_index **out) {
    norn_index *index;
    *out = NULL;
    NORN_TRY(NORN_NEW(alloc, &index));
    norn_arena_init(&index->arena, alloc, 4096);
    if (NORN_TAKE_ARRAY(&index->arena, models + (size_t)1, &index->models) != NORN_OK) {
        norn_index_destroy(index);
        return NORN_RESOURCE_EXHAUSTED;
    }
    *out = index;
    return NORN_OK;
}

norn_status norn_index_add(norn_index *index, const norn_index_model *model) {
    norn_index_model copy = *model;
    norn_index_version *versions;
    NORN_TRY(norn_arena_string(&index->arena, model->name, strlen(model->name), &copy.name));
    NORN_TRY(NORN_TAKE_ARRAY(&index->arena, model->version_count, &versions));
    for (uint32_t i = 0; i < model->version_count; i++) {
        const char *reason = model->versions[i].reason;
        versions[i] = model->versions[i];
        NORN_TRY(norn_arena_string(&index->arena, reason, strlen(reason), &versions[i].reason));
    }
    for (uint32_t i = 0; i < model->version_count; i++) // nothing fails any more
        if (versions[i].servable) (void)norn_servable_retain(versions[i].servable);
    copy.versions = versions;
    index->models[index->count++] = copy;
    return NORN_OK;
}

void norn_index_destroy(norn_index *index) {
    if (!index) return;
    const norn_alloc alloc = index->arena.alloc;
    for (uint32_t m = 0; m < index->count; m++)
        for (uint32_t i = 0; i < index->models[m].version_count; i++)
            norn_servable_release(index->models[m].versions[i].servable);
    norn_arena_deinit(&index->arena);
    norn_free(alloc, index);
}

const norn_index_model *norn_index_find(const norn_index *index, const char *name) {
    uint32_t low = 0, high = index->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = strcmp(index->models[middle].name, name);
        if (order == 0) return &index->models[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

norn_status norn_index_choose(const norn_index_model *model, int64_t version, norn_servable **out) {
    const norn_index_version *first = &model->versions[0];
    *out = first->servable;
    if (!first->servable && first->state == NORN_MODEL_LOADING)
        return norn_fail(NORN_UNAVAILABLE, "model '%s' is still loading", model->name);
    if (!first->servable)
        return norn_fail(NORN_UNAVAILABLE, "model '%s' is not loaded: %s", model->name,
                         first->reason);
    if (version < 0) return NORN_OK;
    for (uint32_t i = 0; i < model->version_count; i++) {
        const norn_index_version *one = &model->versions[i];
        if (one->version != version) continue;
        *out = one->servable;
        if (one->servable) return NORN_OK;
        return norn_fail(NORN_UNAVAILABLE, "model '%s' is not loaded: %s", model->name,
                         one->reason);
    }
    *out = NULL;
    return norn_fail(NORN_NOT_FOUND, "model '%s': version %lld is not loaded, version %lld is",
                     model->name, (long long)version, (long long)first->version);
}
