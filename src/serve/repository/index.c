#include "serve/repository/index.h"

#include "base/memory.h"
#include "package/version_folder.h"

#include <stdio.h>
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
    norn_label *labels;
    NORN_TRY(norn_arena_string(&index->arena, model->name, strlen(model->name), &copy.name));
    NORN_TRY(NORN_TAKE_ARRAY(&index->arena, model->version_count, &versions));
    for (uint32_t i = 0; i < model->version_count; i++) {
        const char *reason = model->versions[i].reason;
        versions[i] = model->versions[i];
        NORN_TRY(norn_arena_string(&index->arena, reason, strlen(reason), &versions[i].reason));
    }
    NORN_TRY(NORN_TAKE_ARRAY(&index->arena, model->label_count + (size_t)1, &labels));
    for (uint32_t i = 0; i < model->label_count; i++) labels[i] = model->labels[i];
    copy.labels = labels;
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

static norn_status not_loaded(const norn_index_model *model, const norn_index_version *version) {
    if (version->state == NORN_MODEL_LOADING)
        return norn_fail(NORN_UNAVAILABLE, "model '%s' is still loading", model->name);
    return norn_fail(NORN_UNAVAILABLE, "model '%s' is not loaded: %s", model->name,
                     version->reason);
}

static norn_status no_label(const norn_index_model *model, const char *text) {
    char known[NORN_LABELS_MAX * (NORN_LABEL_NAME + 2)];
    size_t used = 0;
    if (model->label_count == 0)
        return norn_fail(
            NORN_INVALID_ARGUMENT,
            "version '%.100s' is not a whole number, and model '%s' has no labels.json", text,
            model->name);
    for (uint32_t i = 0; i < model->label_count; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 model->labels[i].name);
    return norn_fail(NORN_NOT_FOUND, "model '%s' has no label '%.100s'; it has %s", model->name,
                     text, known);
}

static norn_status read_version(const norn_index_model *model, const char *text, int64_t *version) {
    if (norn_version_parse(text, version)) return NORN_OK;
    *version = norn_labels_find(model->labels, model->label_count, text);
    return *version >= 0 ? NORN_OK : no_label(model, text);
}

norn_status norn_index_choose(const norn_index_model *model, const char *text,
                              norn_servable **out) {
    const norn_index_version *first = &model->versions[0];
    int64_t version;
    *out = *text ? NULL : first->servable;
    if (!*text) return *out ? NORN_OK : not_loaded(model, first);
    NORN_TRY(read_version(model, text, &version));
    for (uint32_t i = 0; i < model->version_count; i++) {
        const norn_index_version *one = &model->versions[i];
        if (one->version != version) continue;
        *out = one->servable;
        return *out ? NORN_OK : not_loaded(model, one);
    }
    if (!first->servable) return not_loaded(model, first);
    return norn_fail(NORN_NOT_FOUND, "model '%s': version %lld is not loaded, version %lld is",
                     model->name, (long long)version, (long long)first->version);
}
