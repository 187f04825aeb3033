// What is said of ONNX's node cases that have one thing wrong, against a list: by the importer, by
// shape functions, by kernels. And what is made of those that are right: the graph after all passes.
//
//     conformance_broken CASES [--expected FILE] [--filter TEXT] [--write-expected FILE]
//
// CASES is written by tests/peers/conformance_cases.py --broken (broken_cases.py has the form).
#include "base/arena.h"
#include "base/wire.h"
#include "conformance/case_value.h"
#include "conformance/verdict_list.h"
#include "norn/norn.h"
#include "plan/plan.h"
#include "tensor/view.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { INPUTS_MAX = 64, PART_MAX = 1 << 24 };

typedef struct broken_case {
    char name[256];
    norn_arena arena; ///< of the parts
    norn_span model, inputs[INPUTS_MAX];
    uint32_t input_count;
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

/// False at the end of the file.
static bool read_case(FILE *file, broken_case *out) {
    uint32_t count;
    if (!read_count(file, &count)) return false;
    if (count >= sizeof out->name || fread(out->name, 1, count, file) != count) damaged();
    out->name[count] = '\0';
    out->model = read_part(file, &out->arena);
    if (!read_count(file, &out->input_count) || out->input_count > INPUTS_MAX) damaged();
    for (uint32_t i = 0; i < out->input_count; i++) out->inputs[i] = read_part(file, &out->arena);
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

/// A case as it is, named CASE.fixed or CASE.sizes.
static bool is_whole(const char *name) {
    const char *suffix = strchr(name, '.');
    return suffix && (strcmp(suffix, ".fixed") == 0 || strcmp(suffix, ".sizes") == 0);
}

static void judge(const broken_case *test, const char *path, norn_arena *arena,
                  char text[VERDICT_TEXT]) {
    norn_model *model = NULL;
    norn_plan *plan = NULL;
    const norn_compile_options options = {.device = "cpu"};
    text[0] = '\0';
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(test->model.bytes, 1, test->model.count, file) != test->model.count ||
        fclose(file) != 0)
        damaged();
    if (norn_model_open(path, norn_alloc_heap(), &model) != NORN_OK)
        say_message(text, "not read: ");
    else if (norn_plan_compile(model, &options, norn_alloc_heap(), &plan) != NORN_OK)
        say_message(text, "not compiled: ");
    if (plan && is_whole(test->name)) say_graph(text, plan->program->graph);
    if (plan && test->input_count != norn_plan_input_count(plan))
        say(text, "compiled", 8);
    else if (plan && run(test, plan, arena, text) != NORN_OK)
        say_message(text, "not run: ");
    norn_plan_release(plan);
    norn_model_close(model);
}

int main(int argc, char **argv) {
    verdict_list list;
    broken_case test;
    char text[VERDICT_TEXT], folder[] = "/tmp/norn_broken_XXXXXX", path[64];
    setenv("NORN_LOG", "error", 0);
    verdict_list_open(&list, argc, argv);
    FILE *cases = verdict_list_cases(&list, "cases.bin");
    if (!mkdtemp(folder)) damaged();
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    for (;;) {
        norn_arena_init(&test.arena, norn_alloc_heap(), 1 << 16);
        const bool more = read_case(cases, &test);
        if (more && (!list.filter || strstr(test.name, list.filter))) {
            judge(&test, path, &test.arena, text);
            verdict_list_take(&list, test.name, text, NULL);
        }
        norn_arena_deinit(&test.arena);
        if (!more) break;
    }
    fclose(cases);
    unlink(path);
    rmdir(folder);
    return verdict_list_close(&list);
}
