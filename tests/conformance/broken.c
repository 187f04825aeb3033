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
#include "conformance/case_value.h"
#include "conformance/plan_text.h"
#include "conformance/verdict_list.h"
#include "norn/norn.h"
#include "plan/plan.h"
#include "tensor/view.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUTS_MAX = 64, PART_MAX = 1 << 24 };

typedef struct broken_case {
    char name[256];
    norn_arena arena; ///< of the parts
    norn_span model, inputs[INPUTS_MAX], outputs[INPUTS_MAX];
    uint32_t input_count, output_count; ///< no outputs: they are not known
} broken_case;

static void damaged(void) {
    fputs("cases.bin is damaged\n", stderr);
    exit(1);
}

static bool read_count(FILE *file, uint32_t *count) {
    uint8_t bytes[4];
    if (fread(bytes, 1, 4, file) != 4) return false;
    *count = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
             (uint32_t)bytes[3] << 24;
    return true;
}

static norn_span read_part(FILE *file, norn_arena *arena) {
    uint32_t count;
    void *bytes;
    if (!read_count(file, &count) || count > PART_MAX ||
        norn_arena_take(arena, count + 1, 1, 64, &bytes) != NORN_OK ||
        fread(bytes, 1, count, file) != count)
        damaged();
    return (norn_span){bytes, count};
}

static uint32_t read_parts(FILE *file, norn_arena *arena, norn_span parts[INPUTS_MAX]) {
    uint32_t count;
    if (!read_count(file, &count) || count > INPUTS_MAX) damaged();
    for (uint32_t i = 0; i < count; i++) parts[i] = read_part(file, arena);
    return count;
}

/// False at the end of the file.
static bool read_case(FILE *file, broken_case *out) {
    uint32_t count;
    if (!read_count(file, &count)) return false;
    if (count >= sizeof out->name || fread(out->name, 1, count, file) != count) damaged();
    out->name[count] = '\0';
    out->model = read_part(file, &out->arena);
    out->input_count = read_parts(file, &out->arena, out->inputs);
    out->output_count = read_parts(file, &out->arena, out->outputs);
    return true;
}

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

static norn_status give_inputs(const broken_case *test, const norn_plan *plan,
                               norn_instance *instance, norn_arena *arena) {
    for (uint32_t i = 0; i < test->input_count; i++) {
        norn_view in;
        size_t bytes;
        void *to;
        NORN_TRY(case_value_read(test->inputs[i], norn_plan_input(plan, i)->dtype, arena, &in));
        if (in.dtype != norn_plan_input(plan, i)->dtype)
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u is of another type", i);
        NORN_TRY(norn_view_bytes(&in, &bytes));
        NORN_TRY(norn_instance_input(instance, i, in.rank, in.dims, &to));
        if (bytes) memcpy(to, in.data, bytes);
    }
    return NORN_OK;
}

/// Is output `i` what was wanted? Sums in another order are.
static void compare(const broken_case *test, uint32_t i, const norn_view *got, norn_arena *arena,
                    char text[VERDICT_TEXT]) {
    const case_tolerance tolerance = {1e-4, 1e-5};
    norn_view want;
    double most = 0;
    bool same = case_value_read(test->outputs[i], got->dtype, arena, &want) == NORN_OK &&
                got->dtype == want.dtype && norn_view_same_shape(got, &want);
    for (int64_t e = 0; same && e < norn_view_elems(&want); e++)
        same = case_value_same(got, &want, e, tolerance, &most);
    if (!same) say(text, " WRONG", 6);
}

static norn_status run(const broken_case *test, norn_plan *plan, norn_arena *arena,
                       char text[VERDICT_TEXT]) {
    norn_session *session = NULL;
    norn_instance *instance = NULL;
    const norn_session_options options = {.threads = 1};
    norn_status status;
    NORN_TRY_DONE(norn_session_create(plan, &options, norn_alloc_heap(), &session));
    NORN_TRY_DONE(norn_instance_acquire(session, 0, &instance));
    NORN_TRY_DONE(give_inputs(test, plan, instance, arena));
    NORN_TRY_DONE(norn_instance_run(instance));
    for (size_t i = 0; i < norn_plan_output_count(plan); i++) {
        char view[NORN_VIEW_TEXT];
        norn_view_text(norn_instance_output(instance, i), view);
        say(text, i ? ", " : "gives ", i ? 2 : 6);
        say(text, view, strlen(view));
        if (i < test->output_count)
            compare(test, (uint32_t)i, norn_instance_output(instance, i), arena, text);
    }
done:
    if (instance) norn_instance_release(instance);
    norn_session_destroy(session);
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

static bool plans, show; ///< of the command line

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

static void judge(const broken_case *test, const char *folder, norn_arena *arena,
                  char text[VERDICT_TEXT]) {
    norn_model *model = NULL;
    norn_plan *plan = NULL;
    const norn_compile_options options = {.device = "cpu"};
    char path[96];
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    text[0] = '\0';
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(test->model.bytes, 1, test->model.count, file) != test->model.count ||
        fclose(file) != 0)
        damaged();
    if (norn_model_open(path, norn_alloc_heap(), &model) != NORN_OK)
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

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at) {
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

int main(int argc, char **argv) {
    verdict_list list;
    broken_case test;
    char text[VERDICT_TEXT], folder[] = "/tmp/norn_broken_XXXXXX";
    setenv("NORN_LOG", "error", 0);
    argc = take_flags(argc, argv);
    verdict_list_open(&list, argc, argv);
    FILE *cases = verdict_list_cases(&list, "cases.bin");
    if (!mkdtemp(folder)) damaged();
    for (;;) {
        norn_arena_init(&test.arena, norn_alloc_heap(), 1 << 16);
        const bool more = read_case(cases, &test);
        if (more && (!list.filter || strstr(test.name, list.filter))) {
            judge(&test, folder, &test.arena, text);
            verdict_list_take(&list, test.name, text, NULL);
        }
        norn_arena_deinit(&test.arena);
        if (!more) break;
    }
    fclose(cases);
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return verdict_list_close(&list);
}
