// Sizes of random inputs: what is said, what follows from that, and what fits, found by trying.
#include "base/clock.h"
#include "plan/bind.h"
#include "runtime/instance.h"
#include "runtime/random_input.h"
#include "tensor/view.h"

#include <stdio.h>
#include <string.h>

// ---- what is said

/// --shapes, into the values of the symbols that they bind.
static norn_status bind_options(const norn_graph *graph, const norn_random_inputs *options,
                                int64_t *symbols, int32_t *binder) {
    for (size_t i = 0; i < options->shape_count; i++) {
        uint32_t input = 0;
        while (input < graph->input_count &&
               strcmp(graph->inputs[input]->name, options->shapes[i].name) != 0)
            input++;
        if (input == graph->input_count)
            return norn_fail(NORN_INVALID_ARGUMENT, "--shapes: the model has no input '%s'",
                             options->shapes[i].name);
        const norn_view view = norn_view_of(graph->inputs[input]->dtype, options->shapes[i].rank,
                                            options->shapes[i].dims, NULL);
        NORN_TRY(norn_bind_input(graph, input, &view, symbols, binder));
    }
    return NORN_OK;
}

/// Values of all symbols; which of them somebody said, in *fixed.
static norn_status bind(const norn_plan *plan, const norn_random_inputs *options,
                        const norn_view *given, norn_arena *arena, int64_t **out, bool **fixed) {
    const norn_graph *graph = plan->graph;
    const size_t count = (size_t)graph->symbols.count + 1;
    const int64_t batch = options->batch > 0 ? options->batch : 1;
    int64_t *symbols;
    int32_t *binder;
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, &symbols));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, &binder));
    NORN_TRY(NORN_TAKE_ARRAY(arena, count, fixed));
    for (size_t s = 0; s < count; s++) binder[s] = -1;
    for (int32_t s = 0; s < graph->symbols.count; s++) {
        const norn_symbol *symbol = &graph->symbols.at[s];
        // A ragged length: a few elements a row.
        symbols[s] = s == graph->batch ? batch : symbol->opt > 0 ? symbol->opt : 4 * batch;
        (*fixed)[s] = s == graph->batch || symbol->kind != NORN_SYMBOL_INPUT;
    }
    NORN_TRY(bind_options(graph, options, symbols, binder));
    for (size_t s = 0; s < count; s++) {
        (*fixed)[s] |= binder[s] >= 0;
        binder[s] = -1; // a file wins over --shapes
    }
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const norn_view *view =
            given && given[i].dtype != NORN_DTYPE_NONE ? &given[i] : graph->inputs[i]->fallback;
        if (view) NORN_TRY(norn_bind_input(graph, i, view, symbols, binder));
    }
    for (size_t s = 0; s < count; s++) (*fixed)[s] |= binder[s] >= 0;
    norn_symbols_eval(&graph->symbols, symbols);
    *out = symbols;
    return NORN_OK;
}

norn_status norn_random_bind(const norn_plan *plan, const norn_random_inputs *options,
                             const norn_view *given, norn_arena *arena, int64_t **out) {
    bool *fixed;
    *out = NULL;
    return bind(plan, options, given, arena, out, &fixed);
}

// ---- what fits

enum { FREE_MAX = 16, TRIALS_MAX = 4000 };
static const int64_t SEARCH_NS = 5000000000; ///< trials that fail are short; one that runs ends it

/// Sizes that a dimension may have to be: the batch (-1), sums of two others (-2, -3 with one more:
/// a mask over past and present), and what models are made for.
static const int64_t candidates[] = {-1, -2, -3, 1, 2, 0, 16, 32, 128, 256, 512, 1024};
enum { CANDIDATES = sizeof candidates / sizeof *candidates };

typedef struct search {
    norn_instance *instance;
    norn_snapshot *snapshot;
    const norn_random_inputs *options;
    const norn_view *given;
    int64_t *symbols;                        ///< being tried
    int32_t free[FREE_MAX], parts[FREE_MAX]; ///< symbols that may change; all of inputs, for sums
    uint32_t free_count, part_count, trials;
    int64_t end_ns;
    bool found;
} search;

/// One run; false is no failure but a trial that did not fit.
static norn_status try_one(search *s) {
    const norn_plan *plan = s->instance->plan;
    norn_arena arena;
    norn_status status = NORN_OK;
    s->trials++;
    norn_symbols_eval(&plan->graph->symbols, s->symbols);
    norn_arena_init(&arena, s->instance->alloc, 1 << 16);
    for (uint32_t i = 0; i < plan->graph->input_count; i++) {
        norn_view view;
        void *to;
        size_t bytes;
        if (s->given && s->given[i].dtype != NORN_DTYPE_NONE)
            view = s->given[i];
        else
            NORN_TRY_DONE(norn_random_fill(plan, s->snapshot, s->symbols, i, s->options->seed,
                                           &arena, &view));
        NORN_TRY_DONE(norn_instance_input(s->instance, i, view.rank, view.dims, &to));
        NORN_TRY_DONE(norn_view_bytes(&view, &bytes));
        if (bytes) memcpy(to, view.data, bytes);
    }
    NORN_TRY_DONE(norn_instance_run(s->instance));
    s->found = true;
done:
    norn_arena_deinit(&arena);
    return status;
}

static bool may_go_on(const search *s) {
    return !s->found && s->trials < TRIALS_MAX && norn_clock_now_ns() < s->end_ns;
}

/// Give free symbol `which` its candidate; false where it is what another one is.
static bool set_candidate(search *s, uint32_t which, int c, uint32_t pair) {
    const norn_graph *graph = s->instance->plan->graph;
    int64_t value = candidates[c];
    const uint32_t a = pair / s->part_count, b = pair % s->part_count;
    const int32_t symbol = s->free[which];
    if (value >= -1 && pair > 0) return false;
    if (value == -1) {
        if (graph->batch < 0) return false;
        value = s->symbols[graph->batch];
    } else if (value < -1) {
        if (a > b || s->parts[a] == symbol || s->parts[b] == symbol) return false;
        value = s->symbols[s->parts[a]] - (value + 2) + (a == b ? 0 : s->symbols[s->parts[b]]);
    }
    if (value == s->symbols[symbol]) return false;
    s->symbols[symbol] = value;
    return true;
}

/// Change `depth` of the free symbols from `from` on, all ways.
static void vary(search *s, uint32_t from, int depth) {
    const uint32_t pairs = s->part_count * s->part_count;
    for (uint32_t f = from; f < s->free_count; f++) {
        const int64_t kept = s->symbols[s->free[f]];
        for (int c = 0; c < CANDIDATES; c++) {
            for (uint32_t pair = 0; pair < pairs && may_go_on(s); pair++) {
                if (set_candidate(s, f, c, pair)) {
                    if (depth > 1)
                        vary(s, f + 1, depth - 1);
                    else
                        (void)try_one(s);
                }
                if (s->found) return;
                s->symbols[s->free[f]] = kept;
            }
        }
    }
}

/// "x float32[1,64], sr int64[]": what was made up.
static void list_made_up(const search *s, char out[256]) {
    const norn_plan *plan = s->instance->plan;
    size_t used = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < plan->graph->input_count && used < 256; i++) {
        char text[NORN_VIEW_TEXT];
        const norn_value *value = plan->graph->inputs[i];
        norn_view view = {.dtype = value->dtype, .rank = value->shape.rank};
        if (s->given && s->given[i].dtype != NORN_DTYPE_NONE) continue;
        for (int32_t d = 0; d < view.rank; d++)
            view.dims[d] = norn_dim_eval(value->shape.dims[d], s->symbols);
        used += (size_t)snprintf(out + used, 256 - used, "%s'%s' %s", used ? ", " : "", value->name,
                                 norn_view_text(&view, text));
    }
}

norn_status norn_random_find(norn_instance *instance, norn_snapshot *snapshot,
                             const norn_random_inputs *options, const norn_view *given,
                             norn_arena *arena, int64_t **out) {
    const norn_graph *graph = instance->plan->graph;
    const size_t bytes = (size_t)graph->symbols.count * sizeof(int64_t);
    char first[512], made_up[256];
    bool *fixed;
    search s = {.instance = instance, .snapshot = snapshot, .options = options, .given = given};
    *out = NULL;
    NORN_TRY(bind(instance->plan, options, given, arena, &s.symbols, &fixed));
    int64_t *said;
    NORN_TRY(NORN_TAKE_ARRAY(arena, (size_t)graph->symbols.count + 1, &said));
    memcpy(said, s.symbols, bytes);
    norn_status status = try_one(&s);
    if (status != NORN_OK && status != NORN_INVALID_ARGUMENT && status != NORN_OUT_OF_RANGE)
        return status; // nothing that other inputs would mend
    if (status != NORN_OK) {
        (void)snprintf(first, sizeof first, "%s", norn_message());
        for (int32_t i = 0; i < graph->symbols.count && s.part_count < FREE_MAX; i++) {
            if (graph->symbols.at[i].kind != NORN_SYMBOL_INPUT) continue;
            s.parts[s.part_count++] = i;
            if (!fixed[i]) s.free[s.free_count++] = i;
        }
        s.end_ns = norn_clock_now_ns() + (options->search_ns ? options->search_ns : SEARCH_NS);
        for (int depth = 1; depth <= 2 && s.free_count > 0; depth++) vary(&s, 0, depth);
    }
    *out = s.symbols;
    if (s.found) return NORN_OK;
    memcpy(s.symbols, said, bytes);
    norn_symbols_eval(&graph->symbols, s.symbols);
    list_made_up(&s, made_up);
    if (!*made_up) return norn_fail(status, "%s", first);
    return norn_fail(
        status,
        "%s; these inputs are made up, and no others that fit were found: %s (norn run: "
        "--input NAME=FILE.npy, or sizes by --shapes NAME:1x2)",
        first, made_up);
}
