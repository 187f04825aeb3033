/// How one model stands: what the loader knows of it, on its thread alone.
#ifndef NORN_SERVE_REPOSITORY_MODEL_ENTRY_H
#define NORN_SERVE_REPOSITORY_MODEL_ENTRY_H

#include "serve/repository/index.h"
#include "serve/repository/version_load.h"

typedef struct norn_model_entry {
    char *name;
    int64_t version; ///< live, or last tried; -1: none
    norn_model_state state;
    char reason[NORN_REASON_BYTES + 128];
    uint64_t load_failures;
    norn_servable *servable;                          ///< live; NULL: none
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

/// Put the outcome of a load into it. A failed load leaves the live version serving, and says why
/// it failed. Moves no references: outcome->servable, or entry->servable as it was, is to be
/// released by the caller.
void norn_model_entry_settle(norn_model_entry *entry, const norn_load_outcome *outcome);
void norn_model_entry_unloaded(norn_model_entry *entry); ///< likewise

#endif
