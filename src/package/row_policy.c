#include "package/row_policy.h"

#include <string.h>

/// Is dim 0 of a port the batch?
static bool has_rows(const norn_plan *plan, const norn_port *port) {
    const char *batch = norn_plan_batch_symbol(plan);
    return batch && port->rank > 0 && port->dims[0] < 0 && port->dim_names[0] &&
           strcmp(port->dim_names[0], batch) == 0;
}

static bool may(norn_package_rows said, const norn_row_verdict *proof) {
    return said == NORN_PACKAGE_ROWS_ALWAYS || (said == NORN_PACKAGE_ROWS_PROVED && proof->allowed);
}

/// A promise must at least fit the shapes.
static norn_status check_promise(const norn_plan *plan, const char *key, bool joins,
                                 const norn_row_policy *policy) {
    for (size_t i = 0; joins && i < norn_plan_input_count(plan); i++)
        if (!policy->input_has_rows[i] && !norn_plan_input(plan, i)->optional)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "norn.json: batching.%s cannot be \"always\": dim 0 of input '%s' is "
                             "not the batch",
                             key, norn_plan_input(plan, i)->name);
    for (size_t i = 0; i < norn_plan_output_count(plan); i++) {
        const norn_port *port = norn_plan_output(plan, i);
        if (port->rank < 1 || port->dims[0] >= 0)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "norn.json: batching.%s cannot be \"always\": output '%s' has no dim "
                             "0 that follows the batch",
                             key, port->name);
    }
    if (!norn_plan_batch_symbol(plan))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "norn.json: batching.%s cannot be \"always\": no input has a batch whose "
                         "size is open",
                         key);
    return NORN_OK;
}

static const char *why_not(norn_package_rows said, const norn_row_verdict *proof) {
    return said == NORN_PACKAGE_ROWS_NEVER ? "norn.json says so" : proof->why;
}

static norn_status describe(const norn_package_config *config, const norn_row_safety *rows,
                            norn_arena *arena, norn_row_policy *out) {
    const char *promised = out->promised ? ", because norn.json says so (not proved: " : "";
    const char *doubt = !out->promised        ? ""
                        : rows->split.allowed ? rows->join.why
                                              : rows->split.why;
    const char *end = out->promised ? ")" : "";
    if (out->joins && out->splits)
        return norn_arena_format(arena, &out->text, "requests are joined and split%s%s%s", promised,
                                 doubt, end);
    if (!out->joins && !out->splits &&
        strcmp(why_not(config->join, &rows->join), why_not(config->split, &rows->split)) == 0)
        return norn_arena_format(arena, &out->text, "requests are neither joined nor split: %s",
                                 why_not(config->join, &rows->join));
    if (out->joins || out->splits)
        return norn_arena_format(
            arena, &out->text, "requests are %s%s%s%s, but not %s: %s",
            out->joins ? "joined" : "split", promised, doubt, end, out->joins ? "split" : "joined",
            out->joins ? why_not(config->split, &rows->split) : why_not(config->join, &rows->join));
    return norn_arena_format(arena, &out->text, "requests are not joined: %s; nor split: %s",
                             why_not(config->join, &rows->join),
                             why_not(config->split, &rows->split));
}

norn_status norn_row_policy_find(const norn_plan *plan, const norn_package_config *config,
                                 norn_arena *arena, norn_row_policy *out) {
    const norn_row_safety *rows = &plan->program->rows;
    const size_t inputs = norn_plan_input_count(plan), outputs = norn_plan_output_count(plan);
    const bool join_promised = config->join == NORN_PACKAGE_ROWS_ALWAYS && !rows->join.allowed,
               split_promised = config->split == NORN_PACKAGE_ROWS_ALWAYS && !rows->split.allowed;
    *out = (norn_row_policy){.joins = may(config->join, &rows->join),
                             .splits = may(config->split, &rows->split),
                             .promised = join_promised || split_promised};
    out->rows_apart = rows->join.allowed || rows->split.allowed || out->promised;
    NORN_TRY(NORN_TAKE_ARRAY(arena, inputs + 1, &out->input_has_rows));
    NORN_TRY(NORN_TAKE_ARRAY(arena, outputs + 1, &out->output_rows));
    for (size_t i = 0; i < inputs; i++)
        out->input_has_rows[i] = has_rows(plan, norn_plan_input(plan, i));
    if (join_promised) NORN_TRY(check_promise(plan, "join", true, out));
    if (split_promised) NORN_TRY(check_promise(plan, "split", false, out));
    for (size_t i = 0; i < outputs; i++)
        out->output_rows[i] = rows->join.allowed || rows->split.allowed ? rows->output_rows[i] : 1;
    return describe(config, rows, arena, out);
}
