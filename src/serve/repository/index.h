/// What the repository serves, at one moment: models by name, each with its versions. Immutable,
/// so that requests read it without a lock (base/published.h).
#ifndef NORN_SERVE_REPOSITORY_INDEX_H
#define NORN_SERVE_REPOSITORY_INDEX_H

#include "base/arena.h"
#include "serve/repository/labels.h"
#include "serve/servable.h"

typedef enum norn_model_state {
    NORN_MODEL_LOADING,
    NORN_MODEL_READY,
    NORN_MODEL_UNAVAILABLE
} norn_model_state;

/// "LOADING", "READY", "UNAVAILABLE": the words of the repository index.
const char *norn_model_state_name(norn_model_state state);

typedef struct norn_index_version {
    int64_t version; ///< -1: none was ever found
    norn_model_state state;
    const char *reason;      ///< "" when all is well; also why the last load failed
    norn_servable *servable; ///< READY, else NULL
    bool failed;             ///< the last load tried this version in vain
} norn_index_version;

typedef struct norn_index_model {
    const char *name;
    uint64_t load_failures; ///< since the start
    /// First what a request gets that names no version, or what there is instead; at least one.
    const norn_index_version *versions;
    uint32_t version_count;
    const norn_label *labels;
    uint32_t label_count;
} norn_index_model;

typedef struct norn_index {
    norn_arena arena;
    norn_index_model *models; ///< by name
    uint32_t count;
} norn_index;

/// Room for `models` models, none of them there yet.
norn_status norn_index_create(uint32_t models, norn_alloc alloc, norn_index **out) NORN_NODISCARD;
/// Before it is published, in the order of names: text is copied, servables are retained.
norn_status norn_index_add(norn_index *index, const norn_index_model *model) NORN_NODISCARD;
void norn_index_destroy(norn_index *index); ///< releases its servables; takes NULL

/// NULL: there is no such model.
const norn_index_model *norn_index_find(const norn_index *index, const char *name);
/// What a request gets: `version`, a number or a label, or without one ("") the model's first.
/// Errors   UNAVAILABLE: it is not loaded, with the reason;
///          NOT_FOUND: the model has no such version or label;
///          INVALID_ARGUMENT: no number, and the model has no labels
norn_status norn_index_choose(const norn_index_model *model, const char *version,
                              norn_servable **out) NORN_NODISCARD;

#endif
