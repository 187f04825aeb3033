/// A model made ready to run, in the one way that serve, run, bench and check share: a version
/// folder (model.norn, else model.onnx; tables/; norn.json), a model file or a plan file.
#ifndef NORN_PACKAGE_PACKAGE_OPEN_H
#define NORN_PACKAGE_PACKAGE_OPEN_H

#include "compile/package.h"
#include "norn/store.h"
#include "package/manifest.h"
#include "package/tier_use.h"

typedef struct norn_package_options {
    const norn_compile_options *compile; ///< wins over norn.json; may be NULL
    const char *device;                  ///< where neither says; NULL: cpu
    int64_t max_batch;                   ///< likewise; 0: 1024
    uint64_t
        version;     ///< of a version folder, for its snapshots; 0: what MANIFEST.json says, else 1
    bool keep_model; ///< norn_package_refit will be asked for: the model stays in memory
} norn_package_options;

enum { NORN_PACKAGE_NOTES = 8 };

typedef struct norn_package_weight norn_package_weight; ///< refit.h

typedef struct norn_package {
    norn_alloc alloc;
    norn_arena arena;
    norn_package_config config; ///< of norn.json; strings in `arena`
    norn_manifest manifest;     ///< of a version folder; in `arena`
    norn_plan *plan;
    norn_store *store;  ///< of tables/ beside the model; NULL when there is none
    norn_tier_use kept; ///< the tier that norn.json names; of nothing: host memory
    norn_tier *tier;    ///< whose rows the tables are, and the version there
    norn_version *version;
    norn_snapshot *snapshot; ///< of store; NULL likewise
    bool compiled;           ///< from model.onnx, just now
    int64_t compile_ns;
    norn_model *model;            ///< what it was compiled from, where that is kept
    norn_compile_options compile; ///< as it was, of a model that is kept
    norn_package_weight *weights; ///< that are not the model file's any more
    /// What is said and does not hold, one line each: files of other servers,
    /// and what a plan file has settled otherwise.
    const char *notes[NORN_PACKAGE_NOTES];
    uint32_t note_count;
} norn_package;

/// A folder with a MANIFEST.json is read when its files are what that says.
/// Errors   CANCELLED: compile->stop_after ended it. All name file, node, tensor or key.
///          A table that the model names and nobody has is found when a session is made.
norn_status norn_package_open(const char *path, const norn_package_options *options,
                              norn_alloc alloc, norn_package **out) NORN_NODISCARD;
void norn_package_close(norn_package *package); ///< takes NULL

/// The plan file that `path` is, or has as a version folder; false: it is a model, or has one.
bool norn_package_plan_path(const char *path, char out[NORN_PACKAGE_PATH]);
/// The tables/ in a version folder, or beside a file; false: there is none.
bool norn_package_tables_dir(const char *path, char out[NORN_PACKAGE_PATH]);

#endif
