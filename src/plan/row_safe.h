/// May rows be added to the batch without a trace in the other rows? A captured graph has fixed
/// shapes, so a device run rounds the batch up; that is right only when no step mixes rows.
#ifndef NORN_PLAN_ROW_SAFE_H
#define NORN_PLAN_ROW_SAFE_H

#include "plan/program.h"

/// How an input is filled beyond its actual size.
typedef enum norn_pad {
    NORN_PAD_NONE,     ///< it has no padded dim
    NORN_PAD_LAST_ROW, ///< the last row again: as valid as that one (a zero key may be in no table)
    NORN_PAD_LAST_ELEM, ///< CSR offsets: the bags of added rows are empty
} norn_pad;

typedef struct norn_row_safety {
    bool batch;      ///< the batch symbol may be rounded up
    bool *symbol;    ///< by symbol: it may be (the batch, and lengths of CSR values)
    norn_pad *pads;  ///< by graph input
    const char *why; ///< what forbids it, for --explain: a node's or input's name; NULL
} norn_row_safety;

/// Memory is taken in `arena`.
norn_status norn_row_safety_find(const norn_program *program, norn_arena *arena,
                                 norn_row_safety *out) NORN_NODISCARD;

#endif
