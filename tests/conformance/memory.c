// Every allocation from the model's file to its outputs fails once: the call says so, and nothing is left or lost.
//
//     conformance_memory CASES [--filter TEXT]
//
// CASES is near's, and models that are whole are taken. Two sweeps: allocation n fails and all after it, as where there
// is no memory left; or it alone: what goes on all the same gives the same outputs. A model that does not run here anyhow
// (near says why) is left out.
#include "base/hash.h"
#include "conformance/case_file.h"
#include "conformance/verdict_list.h"
#include "norn/norn.h"
#include "tensor/view.h"
#include "testing/failing_alloc.h"

#include <stdlib.h>
#include <string.h>

enum { TRIES_MAX = 600 }; ///< of a sweep; a model that allocates oftener has some left out

/// An allocator that fails number `fail_at`, then goes on.
static void *fail_once(void *context, size_t bytes, size_t align) {
    norn_alloc_faulty *state = context;
    if (state->count == state->fail_at) {
        state->count++;
        return NULL;
    }
    const norn_alloc heap = norn_alloc_heap();
    void *memory = heap.allocate(heap.context, bytes, align);
    state->count++;
    if (memory) state->live++;
    return memory;
}

typedef norn_status way(const case_entry *test, const char *folder, norn_alloc alloc,
                        norn_plan **out);

static const char *in_folder(const char *folder, const char *name, char path[96]) {
    snprintf(path, 96, "%s/%s", folder, name);
    return path;
}

static norn_status compile(const case_entry *test, const char *folder, norn_alloc alloc,
                           norn_plan **out) {
    const norn_compile_options options = {.device = "cpu"};
    norn_model *model;
    char path[96];
    (void)test;
    NORN_TRY(norn_model_open(in_folder(folder, "model.onnx", path), alloc, &model));
    norn_status status = norn_plan_compile(model, &options, alloc, out);
    norn_model_close(model);
    return status;
}

static norn_status load(const case_entry *test, const char *folder, norn_alloc alloc,
                        norn_plan **out) {
    char path[96];
    (void)test;
    return norn_plan_load(in_folder(folder, "plan.norn", path), alloc, out);
}

static uint64_t outputs_hash(const norn_plan *plan, const norn_instance *instance) {
    uint64_t hash = 0;
    for (size_t i = 0; i < norn_plan_output_count(plan); i++) {
        const norn_view *view = norn_instance_output(instance, i);
        size_t bytes;
        if (view->dtype == NORN_STRING || norn_view_bytes(view, &bytes) != NORN_OK) continue;
        hash = norn_hash_bytes(view->dims, (size_t)view->rank * sizeof *view->dims, hash);
        hash = norn_hash_bytes(view->data, bytes, hash);
    }
    return hash;
}

/// A plan that comes this way, its session and one run, with this allocator; and what that gave.
static norn_status run(const case_entry *test, const char *folder, way *make, norn_alloc alloc,
                       uint64_t *out) {
    norn_plan *plan = NULL;
    norn_session *session = NULL;
    norn_instance *instance = NULL;
    norn_arena arena; // what the test itself needs does not fail
    norn_arena_init(&arena, norn_alloc_heap(), 1 << 16);
    norn_status status = make(test, folder, alloc, &plan);
    if (status == NORN_OK) status = case_run(test, plan, &arena, 1, alloc, &session, &instance);
    if (status == NORN_OK) *out = outputs_hash(plan, instance);
    case_end(session, instance);
    norn_plan_release(plan);
    norn_arena_deinit(&arena);
    return status;
}

/// What is wrong with a sweep, or NULL.
static const char *sweep(const case_entry *test, const char *folder, way *make, bool once,
                         char why[256]) {
    norn_alloc_faulty counting = {.fail_at = SIZE_MAX};
    uint64_t wanted, found = 0;
    if (run(test, folder, make, norn_alloc_failing(&counting), &wanted) != NORN_OK) return NULL;
    const size_t count = counting.count, step = count / TRIES_MAX + 1;
    for (size_t at = 0; at < count; at += step) {
        norn_alloc_faulty faulty = {.fail_at = at};
        norn_alloc alloc = norn_alloc_failing(&faulty);
        if (once) alloc.allocate = fail_once;
        const norn_status status = run(test, folder, make, alloc, &found);
        const bool right = once && status == NORN_OK ? found == wanted // it could do without
                                                     : status == NORN_RESOURCE_EXHAUSTED;
        if (right && faulty.live == 0) continue;
        snprintf(why, 256, "allocation %zu of %zu fails%s: %s, %zu blocks are left", at, count,
                 once ? " once" : "", status == NORN_OK ? "other outputs" : norn_message(),
                 (size_t)faulty.live);
        return why;
    }
    return NULL;
}

static verdict_list list;

static void judge(void *context, case_entry *test) {
    const char *folder = context;
    static way *const ways[] = {compile, load};
    char why[256], path[96];
    const char *wrong = NULL;
    norn_plan *plan = NULL;
    if (!case_is_sample(test->name)) return;
    (void)case_write_model(test, folder);
    norn_status status = compile(test, folder, norn_alloc_heap(), &plan);
    if (status == NORN_OK) status = norn_plan_save(plan, in_folder(folder, "plan.norn", path));
    norn_plan_release(plan);
    if (status != NORN_OK) wrong = norn_message();
    for (int i = 0; i < 4 && !wrong; i++) wrong = sweep(test, folder, ways[i / 2], i % 2 == 1, why);
    verdict_list_take(&list, test->name, "swept", wrong);
}

int main(int argc, char **argv) {
    char folder[] = CASE_FOLDER;
    setenv("NORN_LOG", "error", 1);
    verdict_list_open(&list, argc, argv);
    FILE *cases = verdict_list_cases(&list, "cases.bin");
    case_folder_make(folder);
    case_each(cases, list.filter, judge, folder);
    case_folder_remove(folder);
    return verdict_list_close(&list);
}
