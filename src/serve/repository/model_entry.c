#include "serve/repository/model_entry.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

norn_model_entry *norn_model_entry_find(norn_model_entry *models, const char *name) {
    while (models && strcmp(models->name, name) != 0) models = models->next;
    return models;
}

norn_status norn_model_entry_make(norn_model_entry **models, const char *name, norn_alloc alloc,
                                  norn_model_entry **out) {
    norn_model_entry *entry = norn_model_entry_find(*models, name);
    *out = entry;
    if (entry) return NORN_OK;
    NORN_TRY(NORN_NEW(alloc, &entry));
    if (norn_alloc_string(alloc, name, &entry->name) != NORN_OK) {
        norn_free(alloc, entry);
        return NORN_RESOURCE_EXHAUSTED;
    }
    entry->version = -1;
    entry->state = NORN_MODEL_LOADING;
    while (*models && strcmp((*models)->name, name) < 0) models = &(*models)->next;
    entry->next = *models;
    *models = entry;
    *out = entry;
    return NORN_OK;
}

void norn_model_entries_destroy(norn_model_entry *models, norn_alloc alloc) {
    while (models) {
        norn_model_entry *entry = models;
        models = entry->next;
        norn_model_entry_drop(entry);
        norn_free(alloc, entry->name);
        norn_free(alloc, entry);
    }
}

// ---- what others see

static norn_status list(const norn_model_entry *entry, norn_index *index) {
    norn_index_version rows[1 + NORN_LABELS_MAX + NORN_FAILED_VERSIONS];
    uint32_t count = 0;
    rows[count++] = (norn_index_version){.version = entry->version,
                                         .state = entry->state,
                                         .reason = entry->reason,
                                         .servable = entry->servable,
                                         .failed = !entry->servable && entry->failed_count > 0};
    for (uint32_t i = 0; i < entry->other_count; i++)
        rows[count++] = (norn_index_version){.version = entry->others[i]->version,
                                             .state = NORN_MODEL_READY,
                                             .reason = "",
                                             .servable = entry->others[i]};
    for (uint32_t i = 0; i < entry->failed_count; i++) {
        if (entry->failed[i].version == entry->version) continue; // said above
        rows[count++] = (norn_index_version){.version = entry->failed[i].version,
                                             .state = NORN_MODEL_UNAVAILABLE,
                                             .reason = entry->failed[i].reason,
                                             .failed = true};
    }
    return norn_index_add(index, &(norn_index_model){.name = entry->name,
                                                     .load_failures = entry->load_failures,
                                                     .versions = rows,
                                                     .version_count = count,
                                                     .labels = entry->labels.at,
                                                     .label_count = entry->labels.count});
}

norn_status norn_model_entries_list(const norn_model_entry *models, const norn_model_entry *entry,
                                    const norn_model_entry *other, norn_alloc alloc,
                                    norn_index **out) {
    uint32_t count = 0;
    norn_status status = NORN_OK;
    for (const norn_model_entry *at = models; at; at = at->next) count++;
    NORN_TRY(norn_index_create(count, alloc, out));
    for (const norn_model_entry *at = models; at && status == NORN_OK; at = at->next)
        status = list(at == entry ? other : at, *out);
    if (status == NORN_OK) return NORN_OK;
    norn_index_destroy(*out);
    *out = NULL;
    return status;
}

// ---- what a load makes of it

norn_model_entry norn_model_entry_copy(const norn_model_entry *entry) {
    if (entry->servable) (void)norn_servable_retain(entry->servable);
    for (uint32_t i = 0; i < entry->other_count; i++) (void)norn_servable_retain(entry->others[i]);
    return *entry;
}

static void drop_others(norn_model_entry *entry) {
    while (entry->other_count) norn_servable_release(entry->others[--entry->other_count]);
}

void norn_model_entry_drop(norn_model_entry *entry) {
    norn_servable_release(entry->servable);
    entry->servable = NULL;
    drop_others(entry);
}

norn_servable *norn_model_entry_live(const norn_model_entry *entry, int64_t version) {
    if (entry->servable && entry->version == version) return entry->servable;
    for (uint32_t i = 0; i < entry->other_count; i++)
        if (entry->others[i]->version == version) return entry->others[i];
    return NULL;
}

void norn_model_entry_label(norn_model_entry *entry, const norn_labels *labels,
                            norn_servable *const *others, uint32_t count) {
    entry->labels = *labels;
    drop_others(entry);
    for (uint32_t i = 0; i < count; i++) entry->others[entry->other_count++] = others[i];
}

void norn_model_entry_settle(norn_model_entry *entry, const norn_load_outcome *outcome) {
    if (outcome->servable || !entry->servable) {
        norn_servable_release(entry->servable);
        entry->servable = outcome->servable;
        entry->version = outcome->version;
    }
    entry->state = entry->servable ? NORN_MODEL_READY : NORN_MODEL_UNAVAILABLE;
    if (entry->servable && outcome->failures > 0)
        (void)snprintf(entry->reason, sizeof entry->reason,
                       "version %lld %s; the last load failed: %s", (long long)entry->version,
                       outcome->servable ? "serves" : "still serves", outcome->message);
    else
        (void)snprintf(entry->reason, sizeof entry->reason, "%s", outcome->message);
    memcpy(entry->failed, outcome->failed, sizeof entry->failed);
    entry->failed_count = outcome->failed_count;
    entry->load_failures += outcome->failures;
}

void norn_model_entry_unloaded(norn_model_entry *entry) {
    norn_model_entry_drop(entry);
    entry->labels.count = 0;
    entry->state = NORN_MODEL_UNAVAILABLE;
    (void)snprintf(entry->reason, sizeof entry->reason, "unloaded");
    entry->failed_count = 0;
}
