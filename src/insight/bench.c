#include "insight/bench.h"

#include "base/clock.h"
#include "base/memory.h"
#include "plan/plan.h"
#include "tensor/view.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef struct bench_run {
    norn_plan *plan;
    norn_session *session;
    const norn_bench_options *options;
    norn_bench_result *result;
    norn_view *inputs; ///< [input_sets][inputs]
    size_t input_count, output_count;
    _Atomic bool stop;
    _Atomic bool measuring;
    _Atomic int64_t runs;
} bench_run;

typedef struct bench_caller {
    bench_run *run;
    pthread_t thread;
    int32_t index;
    int64_t runs, first_ns, last_ns; ///< measured: how many, begin of the first, end of the last
    norn_status status;
    char message[512];
} bench_caller;

const char *norn_bench_phase_name(norn_bench_phase phase) {
    static const char *const names[NORN_BENCH_PHASES] = {"acquire", "input", "compute", "output",
                                                         "run"};
    return names[phase];
}

static norn_status place_inputs(const bench_run *run, norn_instance *instance,
                                const norn_view *inputs) {
    for (size_t i = 0; i < run->input_count; i++) {
        void *to;
        size_t bytes;
        NORN_TRY(norn_instance_input(instance, i, inputs[i].rank, inputs[i].dims, &to));
        NORN_TRY(norn_view_bytes(&inputs[i], &bytes));
        if (bytes) memcpy(to, inputs[i].data, bytes);
    }
    return NORN_OK;
}

/// Outputs to the caller's memory, which grows in `kept` when it must.
static norn_status take_outputs(const bench_run *run, const norn_instance *instance,
                                norn_buffer *kept) {
    norn_buffer_clear(kept);
    for (size_t i = 0; i < run->output_count; i++) {
        const norn_view *view = norn_instance_output(instance, i);
        size_t bytes;
        NORN_TRY(norn_view_bytes(view, &bytes));
        norn_buffer_append(kept, view->data, bytes);
    }
    return norn_buffer_status(kept);
}

static norn_status one_run(bench_run *run, bench_caller *caller, const norn_view *inputs,
                           norn_buffer *kept) {
    const bool measured = run->measuring; // a run of the warm-up may end later
    norn_histogram *phase = run->result->phase;
    norn_instance *instance;
    norn_status status;
    const int64_t start_ns = norn_clock_now_ns();
    NORN_TRY(norn_instance_acquire(run->session, 0, &instance));
    const int64_t acquired_ns = norn_clock_now_ns();
    NORN_TRY_DONE(place_inputs(run, instance, inputs));
    const int64_t placed_ns = norn_clock_now_ns();
    NORN_TRY_DONE(norn_instance_run(instance));
    const int64_t ran_ns = norn_clock_now_ns();
    NORN_TRY_DONE(take_outputs(run, instance, kept));
    const int64_t taken_ns = norn_clock_now_ns();
    const norn_run_phases phases = norn_instance_phases(instance);
    if (measured) {
        norn_histogram_add(&phase[NORN_BENCH_ACQUIRE], acquired_ns - start_ns);
        norn_histogram_add(&phase[NORN_BENCH_INPUT], placed_ns - acquired_ns + phases.input_ns);
        norn_histogram_add(&phase[NORN_BENCH_COMPUTE],
                           ran_ns - placed_ns - phases.input_ns - phases.output_ns);
        norn_histogram_add(&phase[NORN_BENCH_OUTPUT], taken_ns - ran_ns + phases.output_ns);
        norn_histogram_add(&phase[NORN_BENCH_RUN], taken_ns - acquired_ns);
        if (caller->runs++ == 0) caller->first_ns = start_ns;
        caller->last_ns = taken_ns;
        run->runs++;
    }
done:
    norn_instance_release(instance);
    return status;
}

static void *caller_main(void *context) {
    bench_caller *caller = context;
    bench_run *run = caller->run;
    norn_buffer kept;
    norn_buffer_init(&kept, norn_alloc_heap());
    for (int64_t turn = caller->index; !run->stop && caller->status == NORN_OK; turn++) {
        const int64_t set = turn % run->options->input_sets;
        caller->status = one_run(run, caller, run->inputs + (size_t)set * run->input_count, &kept);
    }
    if (caller->status != NORN_OK) {
        (void)snprintf(caller->message, sizeof caller->message, "%s", norn_message());
        run->stop = true;
    }
    norn_buffer_deinit(&kept);
    return NULL;
}

static void show_progress(const bench_run *run, int64_t begin_ns, double whole_s) {
    const norn_bench_options *options = run->options;
    char what[64];
    if (!options->progress) return;
    const double part = (double)(norn_clock_now_ns() - begin_ns) / 1e9 / whole_s;
    (void)snprintf(what, sizeof what, "%lld run%s", (long long)run->runs, norn_plural(run->runs));
    options->progress(options->progress_context, run->measuring ? what : "warming up",
                      part < 1 ? part : 1);
}

/// `seconds`, or until something failed; and until `runs_min` have ended.
static void wait_for(const bench_run *run, double seconds, int64_t runs_min) {
    const int64_t begin_ns = norn_clock_now_ns(), end_ns = begin_ns + (int64_t)(seconds * 1e9);
    for (;;) {
        const int64_t left_ns = end_ns - norn_clock_now_ns();
        if (run->stop || (left_ns <= 0 && run->runs >= runs_min)) return;
        show_progress(run, begin_ns, seconds > 0 ? seconds : 1);
        const int64_t step_ns = left_ns > 0 && left_ns < 50000000 ? left_ns : 50000000;
        (void)nanosleep(&(struct timespec){0, step_ns}, NULL);
    }
}

/// The time from the first measured run's begin to the last one's end.
static double measured_s(const bench_caller *callers, int32_t count) {
    int64_t first_ns = INT64_MAX, last_ns = 0;
    for (int32_t i = 0; i < count; i++) {
        if (callers[i].runs == 0) continue;
        if (callers[i].first_ns < first_ns) first_ns = callers[i].first_ns;
        if (callers[i].last_ns > last_ns) last_ns = callers[i].last_ns;
    }
    return last_ns > first_ns ? (double)(last_ns - first_ns) / 1e9 : 0;
}

static norn_status measure(bench_run *run, bench_caller *callers) {
    const norn_bench_options *options = run->options;
    int32_t started = 0;
    norn_status status = NORN_OK;
    for (; started < options->concurrency; started++) {
        callers[started] = (bench_caller){.run = run, .index = started};
        if (pthread_create(&callers[started].thread, NULL, caller_main, &callers[started]) != 0) {
            status = norn_fail(NORN_RESOURCE_EXHAUSTED, "cannot start %d caller%s",
                               options->concurrency, norn_plural(options->concurrency));
            run->stop = true;
            break;
        }
    }
    wait_for(run, options->warmup_s, 0);
    run->measuring = true;
    wait_for(run, options->duration_s, NORN_BENCH_RUNS_MIN);
    run->measuring = false;
    run->stop = true;
    for (int32_t i = 0; i < started; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        if (callers[i].status != NORN_OK)
            status = norn_fail(callers[i].status, "%s", callers[i].message);
    }
    run->result->runs = run->runs;
    run->result->elapsed_s = measured_s(callers, started);
    return status;
}

/// Sets of inputs; of shapes that a run was seen to take where any is made up.
static norn_status make_inputs(bench_run *run, norn_snapshot *snapshot, norn_arena *arena) {
    const norn_bench_options *options = run->options;
    const norn_graph *graph = run->plan->graph;
    norn_instance *instance;
    int64_t *symbols;
    bool missing = false;
    for (size_t i = 0; i < run->input_count; i++)
        missing |= !options->given || options->given[i].dtype == NORN_DTYPE_NONE;
    if (missing) {
        NORN_TRY(norn_instance_acquire(run->session, 0, &instance));
        norn_status status =
            norn_random_find(instance, snapshot, &options->inputs, options->given, arena, &symbols);
        norn_instance_release(instance);
        NORN_TRY(status);
    } else {
        NORN_TRY(norn_random_bind(run->plan, &options->inputs, options->given, arena, &symbols));
    }
    run->result->rows = graph->batch >= 0 ? symbols[graph->batch] : 1;
    for (int32_t set = 0; set < options->input_sets; set++)
        for (size_t i = 0; i < run->input_count; i++) {
            norn_view *input = &run->inputs[(size_t)set * run->input_count + i];
            if (options->given && options->given[i].dtype != NORN_DTYPE_NONE)
                *input = options->given[i];
            else
                NORN_TRY(norn_random_fill(run->plan, snapshot, symbols, i,
                                          options->inputs.seed + (uint64_t)set, arena, input));
        }
    return NORN_OK;
}

norn_status norn_bench(norn_plan *plan, norn_snapshot *snapshot, const norn_bench_options *options,
                       norn_alloc alloc, norn_bench_result *result) {
    bench_run run = {.plan = plan,
                     .options = options,
                     .result = result,
                     .input_count = norn_plan_input_count(plan),
                     .output_count = norn_plan_output_count(plan)};
    bench_caller *callers = NULL;
    norn_arena arena;
    norn_status status;
    norn_arena_init(&arena, alloc, 1 << 20);
    for (int p = 0; p < NORN_BENCH_PHASES; p++) norn_histogram_init(&result->phase[p]);
    const norn_session_options session = {.instances = options->concurrency,
                                          .threads = options->threads,
                                          .max_memory_bytes = options->max_memory_bytes,
                                          .snapshot = snapshot};
    NORN_TRY_DONE(norn_session_create(plan, &session, alloc, &run.session));
    NORN_TRY_DONE(
        NORN_TAKE_ARRAY(&arena, (size_t)options->input_sets * run.input_count, &run.inputs));
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&arena, (size_t)options->concurrency, &callers));
    NORN_TRY_DONE(make_inputs(&run, snapshot, &arena));
    status = measure(&run, callers);
done:
    norn_session_destroy(run.session);
    norn_arena_deinit(&arena);
    return status;
}
