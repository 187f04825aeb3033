/// Random inputs for `run`, `bench` and warming up, of shapes that fit each other:
/// ids that lie in the tables they index, offsets that rise, masks of ones and some zeros,
/// lengths of at most the sequence, the constant that a mode is compared with,
/// floats in [-1, 1). The same seed gives the same inputs.
#ifndef NORN_RUNTIME_RANDOM_INPUT_H
#define NORN_RUNTIME_RANDOM_INPUT_H

#include "base/arena.h"
#include "norn/session.h"

typedef struct norn_random_inputs {
    int64_t batch;                  ///< value of the batch symbol; 0: 1
    const norn_input_shape *shapes; ///< wins where it names an input
    size_t shape_count;
    uint64_t seed;
    int64_t search_ns; ///< how long norn_random_find tries; 0: 5 s
} norn_random_inputs;

/// Value of every symbol of the plan's graph: from `given` views (dtype NONE where there is none),
/// then from options->shapes, then the batch, then the profile's optimum.
/// Errors   INVALID_ARGUMENT: a shape does not fit its input
norn_status norn_random_bind(const norn_plan *plan, const norn_random_inputs *options,
                             const norn_view *given, norn_arena *arena,
                             int64_t **symbols) NORN_NODISCARD;

/// Symbol values that `instance` runs at: those of norn_random_bind, or where these do not fit each
/// other, ones near them, which is tried: runs that fail are short, and it gives up. When it
/// ends well, the instance has run on these inputs, and its outputs are there.
/// Errors   those of the first try, with the inputs that somebody must give
norn_status norn_random_find(norn_instance *instance, norn_snapshot *snapshot,
                             const norn_random_inputs *options, const norn_view *given,
                             norn_arena *arena, int64_t **symbols) NORN_NODISCARD;

/// Input `index` at these symbol values, in `arena`. `snapshot` (may be NULL)
/// says how many rows tables have.
norn_status norn_random_fill(const norn_plan *plan, norn_snapshot *snapshot, const int64_t *symbols,
                             size_t index, uint64_t seed, norn_arena *arena,
                             norn_view *out) NORN_NODISCARD;

#endif
