/// Random inputs of the declared shapes for `run` and `bench`: ids that lie in the tables they
/// index, offsets that rise, floats in [-1, 1). The same seed gives the same inputs.
#ifndef NORN_RUNTIME_RANDOM_INPUT_H
#define NORN_RUNTIME_RANDOM_INPUT_H

#include "base/arena.h"
#include "norn/session.h"

typedef struct norn_random_inputs {
    int64_t batch;                  ///< value of the batch symbol; 0: 1
    const norn_input_shape *shapes; ///< wins where it names an input
    size_t shape_count;
    uint64_t seed;
} norn_random_inputs;

/// Value of every symbol of the plan's graph: from `given` views (dtype NONE where there is none),
/// then from options->shapes, then the batch, then the profile's optimum. Errors INVALID_ARGUMENT:
/// a shape does not fit its input
norn_status norn_random_bind(const norn_plan *plan, const norn_random_inputs *options,
                             const norn_view *given, norn_arena *arena,
                             int64_t **symbols) NORN_NODISCARD;

/// Input `index` at these symbol values, in `arena`. `snapshot` (may be NULL) says how many rows
/// tables have.
norn_status norn_random_fill(const norn_plan *plan, norn_snapshot *snapshot, const int64_t *symbols,
                             size_t index, uint64_t seed, norn_arena *arena,
                             norn_view *out) NORN_NODISCARD;

#endif
