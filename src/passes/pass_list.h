/// The functions behind pass_table.inc; for pass.c, the files that define them, and tests.
#ifndef NORN_PASSES_PASS_LIST_H
#define NORN_PASSES_PASS_LIST_H

#include "passes/pass.h"

#define NORN_PASS(name, bodies, summary) \
    norn_status norn_pass_##name(norn_pass_context *context, norn_graph *graph);
#include "passes/pass_table.inc"
#undef NORN_PASS

#endif
