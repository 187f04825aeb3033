#include "compile/compile.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_MAX_BATCH = 1024 };

typedef enum bound { BOUND_MIN, BOUND_OPT, BOUND_MAX } bound;
/// How a message names a bound: as it was said.
static const char *const bound_names[2][3] = {
    {"--min-shapes", "--opt-shapes", "--max-shapes"},
    {"norn.json: \"profile.min\"", "norn.json: \"profile.opt\"", "norn.json: \"profile.max\""}};

static const norn_value *find_input(const norn_graph *graph, const char *name, size_t count) {
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (strlen(graph->inputs[i]->name) == count &&
            memcmp(graph->inputs[i]->name, name, count) == 0)
            return graph->inputs[i];
    return NULL;
}

static norn_status set_bound(norn_graph *graph, const norn_input_shape *said,
                             const norn_value *input, int32_t d, bound which, const char *option) {
    norn_dim dim = input->shape.dims[d];
    int64_t value = said->dims[d];
    if (norn_dim_is_const(dim)) {
        if (value == dim.constant) return NORN_OK;
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: input '%s': dim %d is %lld, the model expects %lld", option,
                         said->name, d, (long long)value, (long long)dim.constant);
    }
    norn_symbol *symbol = &graph->symbols.at[dim.symbol];
    if (symbol->kind != NORN_SYMBOL_INPUT) return NORN_OK; // follows from others
    int64_t rest = value - dim.constant;
    if (value < 0 || rest < 0 || rest % dim.coef != 0)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: input '%s': dim %d cannot be %lld, it is %lld%+lld*%s", option,
                         said->name, d, (long long)value, (long long)dim.constant,
                         (long long)dim.coef, symbol->name);
    int64_t *at = which == BOUND_MIN   ? &symbol->min
                  : which == BOUND_OPT ? &symbol->opt
                                       : &symbol->max;
    *at = rest / dim.coef;
    return NORN_OK;
}

static norn_status apply_shapes(norn_graph *graph, const norn_input_shape *shapes, size_t count,
                                bound which, bool from_package) {
    const char *option = bound_names[from_package][which];
    for (size_t i = 0; i < count; i++) {
        const norn_input_shape *said = &shapes[i];
        const norn_value *input = find_input(graph, said->name, strlen(said->name));
        if (!input)
            return norn_fail(NORN_INVALID_ARGUMENT, "%s: the model has no input '%s'", option,
                             said->name);
        if (input->shape.rank != said->rank)
            return norn_fail(NORN_INVALID_ARGUMENT, "%s: input '%s' has %d dim%s, not %d", option,
                             said->name, input->shape.rank, norn_plural(input->shape.rank),
                             said->rank);
        for (int32_t d = 0; d < said->rank; d++)
            NORN_TRY(set_bound(graph, said, input, d, which, option));
    }
    return NORN_OK;
}

/// "INPUT:0" names the dimension that is the batch.
static norn_status batch_from_option(norn_graph *graph, const char *text) {
    const char *colon = strrchr(text, ':');
    const norn_value *input = colon ? find_input(graph, text, (size_t)(colon - text)) : NULL;
    char *end = NULL;
    long dim = colon ? strtol(colon + 1, &end, 10) : -1;
    if (!input || !end || *end || end == colon + 1 || dim < 0 || dim >= input->shape.rank)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "--batch-dim '%s': write INPUT:DIM, of an input that the model has", text);
    norn_dim batch = input->shape.dims[dim];
    if (norn_dim_is_const(batch))
        return norn_fail(
            NORN_INVALID_ARGUMENT,
            "--batch-dim '%s': this dimension is %lld in the model; export it as dynamic", text,
            (long long)batch.constant);
    graph->batch = batch.symbol;
    return NORN_OK;
}

/// The symbol that most inputs have as dim 0; the first of equals.
static void infer_batch(norn_graph *graph) {
    uint32_t best = 0;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const norn_shape *shape = &graph->inputs[i]->shape;
        if (shape->rank < 1 || shape->dims[0].symbol < 0 || shape->dims[0].constant != 0) continue;
        uint32_t votes = 0;
        for (uint32_t k = 0; k < graph->input_count; k++) {
            const norn_shape *other = &graph->inputs[k]->shape;
            votes += other->rank > 0 && other->dims[0].symbol == shape->dims[0].symbol;
        }
        if (votes > best) best = votes, graph->batch = shape->dims[0].symbol;
    }
}

norn_status norn_compile_profile(norn_graph *graph, const norn_compile_options *options,
                                 const norn_compile_options *given) {
    for (int32_t i = 0; i < graph->symbols.count; i++) {
        norn_symbol *symbol = &graph->symbols.at[i];
        if (symbol->kind == NORN_SYMBOL_INPUT) symbol->min = symbol->opt = symbol->max = -1;
    }
    if (options->batch_dim) NORN_TRY(batch_from_option(graph, options->batch_dim));
    if (graph->batch < 0 || graph->symbols.at[graph->batch].kind != NORN_SYMBOL_INPUT) {
        graph->batch = -1;
        infer_batch(graph);
    }
    NORN_TRY(apply_shapes(graph, options->min_shapes, options->min_count, BOUND_MIN,
                          !given || given->min_count == 0));
    NORN_TRY(apply_shapes(graph, options->opt_shapes, options->opt_count, BOUND_OPT,
                          !given || given->opt_count == 0));
    NORN_TRY(apply_shapes(graph, options->max_shapes, options->max_count, BOUND_MAX,
                          !given || given->max_count == 0));
    if (options->max_batch < 0 || options->max_batch > INT32_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "the largest batch is %lld; give 1 to %d",
                         (long long)options->max_batch, INT32_MAX);
    if (graph->batch >= 0) {
        norn_symbol *batch = &graph->symbols.at[graph->batch];
        if (batch->max < 0)
            batch->max = options->max_batch > 0 ? options->max_batch : DEFAULT_MAX_BATCH;
    }
    for (int32_t i = 0; i < graph->symbols.count; i++) {
        norn_symbol *symbol = &graph->symbols.at[i];
        if (symbol->kind != NORN_SYMBOL_INPUT) continue;
        if (symbol->min < 0) symbol->min = 1;
        if (symbol->opt < 0) {
            symbol->opt = symbol->max >= 0 && symbol->max < 64 ? symbol->max : 64;
            if (symbol->opt < symbol->min) symbol->opt = symbol->min;
        }
        if (symbol->max >= 0 &&
            (symbol->min > symbol->max || symbol->opt > symbol->max || symbol->opt < symbol->min))
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "profile of '%s': min %lld, opt %lld, max %lld are out of order",
                             symbol->name, (long long)symbol->min, (long long)symbol->opt,
                             (long long)symbol->max);
    }
    norn_symbols_bound(&graph->symbols);
    return NORN_OK;
}
