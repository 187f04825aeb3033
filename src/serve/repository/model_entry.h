/// How one model stands: what the loader knows of it, on its thread alone.
#ifndef NORN_SERVE_REPOSITORY_MODEL_ENTRY_H
#define NORN_SERVE_REPOSITORY_MODEL_ENTRY_H

#include "serve/repository/index.h"
#include "serve/repository/labels.h"
#include "serve/repository/version_load.h"

typedef struct norn_model_entry {
    char *name;
    int64_t version; ///< of the first choice: live, or last tried; -1: none
    norn_model_state state;
    char reason[NORN_REASON_BYTES + 128];
    uint64_t load_failures;
    norn_servable *servable;                ///< the first choice, live; NULL: none
    norn_servable *others[NORN_LABELS_MAX]; ///< live versions that labels name beside it
    uint32_t other_count;
    norn_labels labels;
    norn_failed_version failed[NORN_FAILED_VERSIONS]; ///< by the last load
    uint32_t failed_count;
    struct norn_model_entry *next; ///< by name
} norn_model_entry;

/// NULL: there is none.
norn_model_entry *norn_model_entry_find(norn_model_entry *models, const char *name);
/// The entry of that name, made where there is none: LOADING, in its place.
norn_status norn_model_entry_make(norn_model_entry **models, const char *name, norn_alloc alloc,
                                  norn_model_entry **out) NORN_NODISCARD;
void norn_model_entries_destroy(norn_model_entry *models, norn_alloc alloc);
/// An index of all, with `other` in place of `entry` (both may be NULL).
norn_status norn_model_entries_list(const norn_model_entry *models, const norn_model_entry *entry,
                                    const norn_model_entry *other, norn_alloc alloc,
                                    norn_index **out) NORN_NODISCARD;

/// How `entry` stands, with references of its own to what is live.
norn_model_entry norn_model_entry_copy(const norn_model_entry *entry);
/// Lets go of what is live.
void norn_model_entry_drop(norn_model_entry *entry);
/// The live version of that number, or NULL; not retained.
norn_servable *norn_model_entry_live(const norn_model_entry *entry, int64_t version);

/// New labels, and `others` (it takes over the references) in place of those that it had.
void norn_model_entry_label(norn_model_entry *entry, const norn_labels *labels,
                            norn_servable *const *others, uint32_t count);
/// Put the outcome of a load into it, with the reference to what was loaded. A failed load leaves
/// the live version serving, and says why it failed.
void norn_model_entry_settle(norn_model_entry *entry, const norn_load_outcome *outcome);
void norn_model_entry_unloaded(norn_model_entry *entry);

#endif
