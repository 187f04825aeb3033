// What is said of ONNX's node cases that have one thing wrong, against a list: by the importer, by
// shape functions, by kernels. And what is made of those that are right: the graph after all passes.
//
//     conformance_broken CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]
//                        [--plans | --show]
//
// CASES is written by tests/peers/conformance_cases.py --broken (broken_cases.py has the form). --plans: of all that
// are compiled, digests of graph, program, memory and of what is said of them (plan_text.h); --show prints these texts.
#include "base/arena.h"
#include "base/hash.h"
#include "base/wire.h"
#include "conformance/case_file.h"
#include "conformance/case_value.h"
#include "conformance/plan_text.h"
#include "conformance/verdict_list.h"
#include "norn/norn.h"
#include "plan/plan.h"
#include "runtime/instance.h"
#include "tensor/view.h"

#include <stdlib.h>
#include <string.h>

static bool plans, show; ///< of the command line

/// The text goes on with `more`; lines become one.
static void say(char text[VERDICT_TEXT], const char *more, size_t count) {
    size_t used = strlen(text);
    for (size_t i = 0; i < count && used + 1 < VERDICT_TEXT; i++)
        text[used++] = more[i] == '\n' || more[i] == '\t' ? ' ' : more[i];
    text[used] = '\0';
}

static void say_message(char text[VERDICT_TEXT], const char *what) {
    const char *message = norn_message(), *file = strstr(message, "model.onnx: ");
    if (file) message = file + strlen("model.onnx: ");
    say(text, what, strlen(what));
    say(text, message, strlen(message));
}

/// Is output `i` what was wanted? Sums in another order are, and halves that were rounded once less.
static void compare(const case_entry *test, uint32_t i, const norn_view *got, norn_arena *arena,
                    char text[VERDICT_TEXT]) {
    const case_tolerance tolerance =
        got->dtype == NORN_F16 ? (case_tolerance){4e-3, 1e-3} : (case_tolerance){1e-4, 1e-5};
    norn_view want;
    if (case_value_read(test->outputs[i], got->dtype, arena, &want) != NORN_OK ||
        !case_tensor_same(got, &want, tolerance))
        say(text, " WRONG", 6);
}

/// The same inputs once more, recorded: every step, where it ran, what it came from and costs. Times are in order.
static void say_trace(char text[VERDICT_TEXT], norn_instance *instance) {
    const norn_step_trace *steps;
    norn_buffer buffer;
    char digest[64];
    norn_buffer_init(&buffer, norn_alloc_heap());
    norn_instance_trace_enable(instance, 1);
    const norn_status status = norn_instance_run(instance);
    const size_t count = status == NORN_OK ? norn_instance_trace(instance, &steps) : 0;
    for (size_t i = 0; i < count; i++) {
        const norn_step_trace *step = &steps[i];
        norn_buffer_format(&buffer, "%s %s '%s' %.9g %.9g\n", step->op, step->device, step->origin,
                           step->flops, step->bytes);
        if (step->begin_ns > step->end_ns || (i && step->begin_ns < step[-1].end_ns))
            say(text, "a time before another, ", 23);
    }
    if (show) printf("%.*s\n", (int)buffer.count, (const char *)buffer.bytes);
    const uint64_t hash = norn_hash_bytes(buffer.bytes, buffer.count, 0);
    const int length =
        snprintf(digest, sizeof digest, "trace %zu %08x, ", count, (unsigned)(hash >> 32));
    say(text, digest, (size_t)length);
    norn_buffer_deinit(&buffer);
}

static size_t held(const norn_instance *instance) {
    return instance->room.at[NORN_HOST].bound.held;
}

/// The same inputs again and again need no more memory than before.
static void say_growth(char text[VERDICT_TEXT], norn_instance *instance) {
    size_t before = 0;
    for (int i = 0; i < 4; i++) {
        if (norn_instance_run(instance) != NORN_OK) say(text, "not run again, ", 15);
        if (i == 2) before = held(instance);
    }
    if (held(instance) > before) say(text, "memory grows, ", 14);
}

static norn_status run(const case_entry *test, norn_plan *plan, norn_arena *arena,
                       char text[VERDICT_TEXT]) {
    norn_session *session;
    norn_instance *instance;
    const norn_status status =
        case_run(test, plan, arena, 1, norn_alloc_heap(), &session, &instance);
    for (size_t i = 0; status == NORN_OK && i < norn_plan_output_count(plan); i++) {
        char view[NORN_VIEW_TEXT];
        norn_view_text(norn_instance_output(instance, i), view);
        say(text, i ? ", " : "gives ", i ? 2 : 6);
        say(text, view, strlen(view));
        if (i < test->output_count)
            compare(test, (uint32_t)i, norn_instance_output(instance, i), arena, text);
    }
    if (status == NORN_OK && plans) {
        say(text, "; ", 2);
        say_trace(text, instance);
        say_growth(text, instance);
    }
    case_end(session, instance);
    return status;
}

static void say_graph(char text[VERDICT_TEXT], const norn_graph *graph) {
    norn_buffer buffer;
    norn_buffer_init(&buffer, norn_alloc_heap());
    norn_graph_print(graph, &buffer);
    say(text, (const char *)buffer.bytes, buffer.count);
    norn_buffer_deinit(&buffer);
    say(text, "; ", 2);
}

static void say_plan(char text[VERDICT_TEXT], const norn_plan *plan) {
    static const char *const names[PLAN_PARTS] = {"graph", "program", "memory", "said", "inputs"};
    char digest[64];
    for (plan_part part = 0; part < PLAN_PARTS; part++) {
        norn_buffer buffer;
        norn_buffer_init(&buffer, norn_alloc_heap());
        plan_text(plan, part, &buffer);
        if (show) printf("%.*s\n", (int)buffer.count, (const char *)buffer.bytes);
        const uint64_t hash = norn_hash_bytes(buffer.bytes, buffer.count, 0);
        const int count =
            snprintf(digest, sizeof digest, "%s %08x, ", names[part], (unsigned)(hash >> 32));
        say(text, digest, (size_t)count);
        norn_buffer_deinit(&buffer);
    }
}

/// Written to a file and read again it is the same plan.
static void say_reloaded(char text[VERDICT_TEXT], const norn_plan *plan, const char *folder) {
    char path[96], loaded[VERDICT_TEXT] = "", saved[VERDICT_TEXT] = "";
    norn_plan *again = NULL;
    snprintf(path, sizeof path, "%s/plan.norn", folder);
    if (norn_plan_save(plan, path) != NORN_OK ||
        norn_plan_load(path, norn_alloc_heap(), &again) != NORN_OK) {
        say_message(text, "not saved: ");
        return;
    }
    say_plan(saved, plan);
    say_plan(loaded, again);
    if (strcmp(saved, loaded) != 0) say(text, "another when read again: ", 25);
    norn_plan_release(again);
}

/// A case as it is, named CASE.fixed or CASE.sizes.
static bool is_whole(const char *name) {
    const char *suffix = strchr(name, '.');
    return suffix && (strcmp(suffix, ".fixed") == 0 || strcmp(suffix, ".sizes") == 0);
}

static void judge(const case_entry *test, const char *folder, norn_arena *arena,
                  char text[VERDICT_TEXT]) {
    norn_model *model = NULL;
    norn_plan *plan = NULL;
    const norn_compile_options options = {.device = "cpu"};
    text[0] = '\0';
    if (norn_model_open(case_write_model(test, folder), norn_alloc_heap(), &model) != NORN_OK)
        say_message(text, "not read: ");
    else if (norn_plan_compile(model, &options, norn_alloc_heap(), &plan) != NORN_OK)
        say_message(text, "not compiled: ");
    if (plan && plans) {
        say_plan(text, plan);
        say_reloaded(text, plan, folder);
    }
    if (plan && !plans && is_whole(test->name)) {
        say_graph(text, plan->program->graph);
        say_plan(text, plan);
    }
    if (plan && test->input_count != norn_plan_input_count(plan))
        say(text, "compiled", 8);
    else if (plan && run(test, plan, arena, text) != NORN_OK)
        say_message(text, "not run: ");
    norn_plan_release(plan);
    norn_model_close(model);
}

/// --plans and --show out of the command line; the words that are left.
static int take_flags(int argc, char **argv) {
    int left = 0;
    for (int i = 0; i < argc; i++) {
        const bool is_plans = strcmp(argv[i], "--plans") == 0,
                   is_show = strcmp(argv[i], "--show") == 0;
        plans |= is_plans || is_show;
        show |= is_show;
        if (!is_plans && !is_show) argv[left++] = argv[i];
    }
    return left;
}

static verdict_list list;

static void take_case(void *context, case_entry *test) {
    char text[VERDICT_TEXT];
    judge(test, context, &test->arena, text);
    verdict_list_take(&list, test->name, text, NULL);
}

int main(int argc, char **argv) {
    char folder[] = CASE_FOLDER;
    setenv("NORN_LOG", "error", 0);
    argc = take_flags(argc, argv);
    verdict_list_open(&list, argc, argv);
    FILE *cases = verdict_list_cases(&list, "cases.bin");
    case_folder_make(folder);
    case_each(cases, list.filter, take_case, folder);
    case_folder_remove(folder);
    return verdict_list_close(&list);
}
