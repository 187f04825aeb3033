/// May the rows of a batch be treated apart? Joining requests in one run, splitting one
/// request over several, and rounding the batch up on a device are right only when row r
/// of every output follows from row r of the inputs alone. A plan proves it of its own graph,
/// when it is compiled and again when it is loaded: nothing that a file says is believed.
/// What is not proved is not done, and `why` names the node that forbids it.
#ifndef NORN_PLAN_ROW_SAFE_H
#define NORN_PLAN_ROW_SAFE_H

#include "graph/graph.h"

/// How an input is filled beyond its actual size.
typedef enum norn_pad {
    NORN_PAD_NONE,     ///< it has no padded dim
    NORN_PAD_LAST_ROW, ///< the last row again: as valid as that one (a zero key may be in no table)
    NORN_PAD_LAST_ELEM, ///< CSR offsets: the bags of added rows are empty
} norn_pad;

typedef struct norn_row_verdict {
    bool allowed;
    /// What forbids it, as "node 'top/Softmax' (Softmax) works along the rows of the batch";
    /// NULL when allowed.
    const char *why;
} norn_row_verdict;

typedef struct norn_row_safety {
    norn_row_verdict join;  ///< rows of several requests in one run: every input has them at dim 0
    norn_row_verdict split; ///< rows of one request in several runs; inputs without rows go to each
    norn_row_verdict pad;   ///< the batch may be rounded up
    /// By output, where joined or split: dim 0 counts this many a batch
    /// row; 0: no rows, the same for all.
    int64_t *output_rows;
    bool *symbol;   ///< by symbol: it may be rounded up (the batch, lengths of CSR values)
    norn_pad *pads; ///< by graph input
} norn_row_safety;

/// Memory is taken in `arena`.
norn_status norn_row_safety_find(const norn_graph *graph, norn_arena *arena,
                                 norn_row_safety *out) NORN_NODISCARD;

#endif
