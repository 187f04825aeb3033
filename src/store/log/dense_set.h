/// Dense tensors on their way: weights of a model by the name of their initializer, put together
/// from the pieces that frames carry.
#ifndef NORN_STORE_LOG_DENSE_SET_H
#define NORN_STORE_LOG_DENSE_SET_H

#include "norn/alloc.h"
#include "store/log/frame.h"

typedef struct norn_dense_tensor {
    struct norn_dense_tensor *next;
    char *name;
    norn_view view; ///< its bytes are the set's
    uint64_t total, filled;
} norn_dense_tensor;

typedef struct norn_dense_set {
    norn_alloc alloc;
    norn_dense_tensor *first;
} norn_dense_set;

/// Pieces of a tensor come in order.
/// Errors   DATA_LOSS: a piece is missing, or dims and bytes do not go together; RESOURCE_EXHAUSTED
norn_status norn_dense_set_add(norn_dense_set *set,
                               const norn_log_frame_dense *piece) NORN_NODISCARD;
/// Errors   DATA_LOSS names a tensor that is not whole
norn_status norn_dense_set_check(const norn_dense_set *set) NORN_NODISCARD;
/// All of `from` in place of those of the same name; `from` is empty then.
void norn_dense_set_merge(norn_dense_set *set, norn_dense_set *from);
void norn_dense_set_clear(norn_dense_set *set);

#endif
