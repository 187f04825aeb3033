/// The rules of row_rules.inc. Each reads walk->node; see row_follow.h.
#ifndef NORN_PLAN_ROW_RULES_H
#define NORN_PLAN_ROW_RULES_H

#include "ops/op.h"
#include "plan/row_follow.h"

#define NORN_ROWS_RULE(op, rule) const char *rule(norn_rows_walk *walk);
#define NORN_ROWS_FILL(op, rule) const char *rule(norn_rows_walk *walk);
#include "plan/row_rules.inc"
#undef NORN_ROWS_RULE
#undef NORN_ROWS_FILL

#endif
