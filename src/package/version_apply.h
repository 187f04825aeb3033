/// A version with its delta log applied: opened in memory up to a step, and written as a full version.
#ifndef NORN_PACKAGE_VERSION_APPLY_H
#define NORN_PACKAGE_VERSION_APPLY_H

#include "base/progress.h"
#include "package/manifest.h"
#include "store/log/applier.h"
#include "store/table_dir.h"

/// Tables of a version at a step.
typedef struct norn_applied {
    norn_alloc alloc;
    norn_arena arena;
    norn_manifest manifest; ///< of the folder; in `arena`
    norn_table_dir tables;
    norn_tier *tier; ///< which holds them
    norn_version *version;
    norn_delta_log *log; ///< NULL: none was asked for
    norn_applier *applier;
    norn_pin pin;
} norn_applied;

/// Read the tables of `dir`, a version folder or one of tables alone, and apply what `log_url` (NULL:
/// nothing) has after its cut: all, or with `last_step` up to that step.
/// Errors   of the files, which are named; those of norn_applier_run; OUT_OF_RANGE: the log does not
///          reach `last_step`, or the version is past it
norn_status norn_applied_open(const char *dir, const char *log_url, uint64_t last_step,
                              const norn_progress *progress, norn_alloc alloc,
                              norn_applied *out) NORN_NODISCARD;
void norn_applied_close(norn_applied *applied);

/// Open `dir` so, and write it as the full version `to`: other files as they are, MANIFEST.json with
/// the same base and where the log stands as its cut. Dense weights go into model.onnx. `to` is the
/// version's number where it is one.
/// Errors   FAILED_PRECONDITION: the log has weights of a model.norn, which cannot take them
norn_status norn_version_apply(const char *dir, const char *log_url, uint64_t last_step,
                               const char *to, const norn_progress *progress, norn_alloc alloc,
                               norn_applier_stat *out) NORN_NODISCARD;

#endif
