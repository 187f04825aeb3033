#include "serve/repository/model_load.h"

#include <stdio.h>

static norn_servable *moved(const norn_model_entry *entry, int64_t version) {
    norn_servable *servable = norn_model_entry_live(entry, version);
    return servable ? norn_servable_retain(servable) : NULL;
}

static void load_first(const norn_load_request *request, const norn_model_entry *entry,
                       const norn_labels *labels, norn_load_outcome *outcome) {
    norn_load_request first = *request;
    first.serving = entry->servable != NULL;
    first.first = norn_labels_find(labels->at, labels->count, NORN_LABEL_STABLE);
    if (first.first >= 0 && first.first != entry->version)
        outcome->servable = moved(entry, first.first);
    if (outcome->servable)
        outcome->version = first.first;
    else
        norn_version_load(&first, outcome);
}

/// The versions beside the first choice, each once.
static uint32_t load_others(const norn_load_request *request, const norn_model_entry *entry,
                            const norn_labels *labels, norn_load_outcome *outcome,
                            norn_servable *others[NORN_LABELS_MAX]) {
    const int64_t first = outcome->servable || !entry->servable ? outcome->version : entry->version;
    const bool has_first = outcome->servable || entry->servable;
    uint32_t count = 0;
    for (uint32_t i = 0; i < labels->count; i++) {
        const int64_t version = labels->at[i].version;
        bool there = has_first && version == first;
        for (uint32_t k = 0; k < count; k++) there = there || others[k]->version == version;
        for (uint32_t k = 0; k < outcome->failed_count; k++) // it was tried as the first choice
            there = there || outcome->failed[k].version == version;
        if (there || request->cancelled(request->context)) continue;
        others[count] = moved(entry, version);
        if (!others[count]) others[count] = norn_version_load_one(request, version, outcome);
        if (others[count]) count++;
    }
    return count;
}

void norn_model_load(const norn_load_request *request, norn_model_entry *entry,
                     norn_load_outcome *outcome) {
    char dir[4096];
    norn_labels labels;
    norn_servable *others[NORN_LABELS_MAX];
    *outcome = (norn_load_outcome){.version = -1};
    (void)snprintf(dir, sizeof dir, "%s/%s", request->dir, request->name);
    const norn_status status = norn_labels_read(dir, request->alloc, &labels);
    if (status != NORN_OK) {
        norn_version_note_failure(outcome, request->name, -1, status);
    } else {
        load_first(request, entry, &labels, outcome);
        const uint32_t count = load_others(request, entry, &labels, outcome, others);
        norn_model_entry_label(entry, &labels, others, count);
    }
    norn_model_entry_settle(entry, outcome);
}
