/// A package with other weights: the same model, compiled again with what a trainer has published of
/// its dense tensors. Compiling again is always right (weights are folded, packed and fused by then) and
/// takes what loading takes.
#ifndef NORN_PACKAGE_REFIT_H
#define NORN_PACKAGE_REFIT_H

#include "package/package_open.h"
#include "store/log/dense_set.h"

/// *out: the package's plan with `weights` in place of its initializers of those names, and with what
/// earlier calls have put there. The package keeps its own plan. It was opened with `keep_model`.
/// Errors   FAILED_PRECONDITION: it was compiled before (model.norn) or is not kept;
///          NOT_FOUND: no initializer of such a name; INVALID_ARGUMENT: of another type or shape.
///          All or none.
norn_status norn_package_refit(norn_package *package, const norn_dense_set *weights,
                               norn_plan **out) NORN_NODISCARD;
/// What refits have put in place of initializers; for norn_package_close.
void norn_package_weights_free(norn_package *package);

#endif
