/// From the shapes of a plan's inputs to the values of its symbols: done once a request, and what
/// admission, joining and the executor read.
#ifndef NORN_PLAN_BIND_H
#define NORN_PLAN_BIND_H

#include "graph/graph.h"

/// values[s]: of symbol s; -1 where it is known only while running. binder[s]: the input that set
/// it, or -1. Both have room for every symbol. Only types and shapes of `inputs` are read.
/// Errors   INVALID_ARGUMENT names the input and the dim that does not fit.
norn_status norn_bind_shapes(const norn_graph *graph, const norn_view *inputs, int64_t *values,
                             int32_t *binder) NORN_NODISCARD;
/// One input alone, for those who know only some of them: symbols that no input has set take their
/// value from it, the others must agree. Those that follow from others are not looked at.
norn_status norn_bind_input(const norn_graph *graph, uint32_t input, const norn_view *view,
                            int64_t *values, int32_t *binder) NORN_NODISCARD;

#endif
