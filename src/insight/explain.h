/// What a plan does, step by step: kernel, device, precision, where it came from, and why
/// neighbours were left apart.
#ifndef NORN_INSIGHT_EXPLAIN_H
#define NORN_INSIGHT_EXPLAIN_H

#include "base/wire.h"
#include "norn/plan.h"

void norn_explain_plan(const norn_plan *plan, norn_buffer *out);

#endif
