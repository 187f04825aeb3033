/// Which of a model's requests may share a run, and which may be cut into several: what its plan
/// proves (plan/row_safe.h) and what norn.json says.
#ifndef NORN_PACKAGE_ROW_POLICY_H
#define NORN_PACKAGE_ROW_POLICY_H

#include "base/arena.h"
#include "compile/package.h"
#include "plan/plan.h"

typedef struct norn_row_policy {
    bool joins;           ///< requests of equal shapes share a run
    bool splits;          ///< a request above the largest batch takes several
    bool rows_apart;      ///< the proof or the user's word that a row stands for itself
    bool *input_has_rows; ///< by input: dim 0 is the batch
    int64_t *output_rows; ///< by output: dim 0 counts this many a row of the batch; 0: it has none
    const char *text;     ///< for the log and for `norn check`
    bool promised;        ///< some of it is the user's word against the proof: worth a warning
} norn_row_policy;

/// Errors   INVALID_ARGUMENT: norn.json promises what the shapes of inputs or outputs rule out.
norn_status norn_row_policy_find(const norn_plan *plan, const norn_package_config *config,
                                 norn_arena *arena, norn_row_policy *out) NORN_NODISCARD;

#endif
