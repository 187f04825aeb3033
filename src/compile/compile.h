/// Model to plan, and its parts. What loading a plan file needs as
/// well (lowering, generating code) is plan/'s.
#ifndef NORN_COMPILE_COMPILE_H
#define NORN_COMPILE_COMPILE_H

#include "plan/plan.h"

/// norn_plan_compile (norn/plan.h), for devices that were registered.
norn_status norn_compile_plan(const norn_model *model, const norn_compile_options *options,
                              norn_alloc alloc, norn_plan **out) NORN_NODISCARD;

/// Make every constant of `graph` point into memory of the plan: it keeps the model's files that
/// constants lie in; bytes in the model's own memory are copied.
norn_status norn_compile_adopt_constants(norn_plan *plan, const norn_model *model,
                                         norn_graph *graph) NORN_NODISCARD;
/// Write the profile of `options` into the graph's symbols and choose the batch symbol. Shapes that
/// `given` (may be NULL) does not have came from norn.json, and messages say so.
norn_status norn_compile_profile(norn_graph *graph, const norn_compile_options *options,
                                 const norn_compile_options *given) NORN_NODISCARD;

#endif
