/// A server without threads for the protocol fuzzers: an empty repository in a temporary folder and
/// one event loop that the fuzzer turns itself.
#ifndef NORN_SERVE_FUZZ_SERVER_H
#define NORN_SERVE_FUZZ_SERVER_H

#include "serve/io/io.h"

#include <stdlib.h>

static norn_service fuzz_server;
static norn_io fuzz_io;

/// Once; aborts when it cannot, because then nothing would be tested.
static inline void fuzz_server_start(void) {
    char dir[] = "/tmp/norn-fuzz-XXXXXX";
    const norn_serving_defaults defaults = {.device = NULL};
    fuzz_server.alloc = norn_alloc_heap();
    fuzz_server.limits = (norn_limits){1 << 20, 1000, 1000000000, 1000000000, 1000000000};
    norn_budget_init(&fuzz_server.budget, 64 << 20);
    if (!mkdtemp(dir) ||
        norn_repository_open(dir, &defaults, fuzz_server.alloc, &fuzz_server.repository) !=
            NORN_OK ||
        norn_io_init(&fuzz_io, &fuzz_server) != NORN_OK)
        abort();
}

/// Turn the loop until it has nothing to do at once.
static inline void fuzz_server_turn(void) {
    for (int i = 0; i < 8; i++) (void)event_base_loop(fuzz_io.base, EVLOOP_NONBLOCK);
}

#endif
