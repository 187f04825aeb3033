/// All that can be said of a plan and does not depend on the machine, as text: for goldens.
#ifndef NORN_CONFORMANCE_PLAN_TEXT_H
#define NORN_CONFORMANCE_PLAN_TEXT_H

#include "plan/plan.h"

/// One after the other, so that a digest of each says which has changed.
typedef enum plan_part {
    PLAN_GRAPH,   ///< after all passes
    PLAN_PROGRAM, ///< steps and slots, ports, what is proved of rows
    PLAN_MEMORY,  ///< where planned values lie, at the profile's largest and a small size
    PLAN_SAID,    ///< what --explain and inspect say of it: costs, tables, origins
    PLAN_INPUTS,  ///< inputs that are made up for it
    PLAN_PARTS
} plan_part;

void plan_text(const norn_plan *plan, plan_part part, norn_buffer *out);

#endif
