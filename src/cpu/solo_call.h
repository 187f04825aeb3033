/// One kernel run outside an executor: for tests and benchmarks.
///
///     norn_solo solo;
///     norn_solo_init(&solo, norn_alloc_heap(), pool);
///     solo.call.in = …;
///     solo.call.out = …;  // outputs with dtype and dims; data NULL: allocated here
///     NORN_TRY(norn_solo_run(&solo, norn_cpu_softmax));
///     norn_solo_deinit(&solo);  // frees the outputs and the scratch
#ifndef NORN_CPU_SOLO_CALL_H
#define NORN_CPU_SOLO_CALL_H

#include "base/arena.h"
#include "kernel/call.h"

typedef struct norn_solo {
    norn_call call; ///< first: the host functions find the solo by it
    norn_arena arena, scratch;
} norn_solo;

void norn_solo_init(norn_solo *solo, norn_alloc alloc, norn_pool *pool); ///< pool may be NULL
void norn_solo_deinit(norn_solo *solo);
/// Allocates outputs that have no data, runs `kernel`, forgets the
/// scratch. Bodies are UNIMPLEMENTED.
norn_status norn_solo_run(norn_solo *solo, norn_kernel_fn kernel) NORN_NODISCARD;

#endif
