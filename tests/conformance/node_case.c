#include "conformance/node_case.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/status.h"
#include "conformance/case_value.h"
#include "norn/norn.h"
#include "tensor/dtype.h"
#include "tensor/sequence.h"
#include "tensor/view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VALUES_MAX = 64, FILES_MAX = 256 };

typedef struct case_run {
    const node_case *test;
    const char *dir;
    const char *model; ///< path
    case_result *result;
    norn_arena arena;
    norn_file *files[FILES_MAX]; ///< of the values
    int file_count;
} case_run;

const char *case_status_name(case_status status) {
    const char *const names[] = {"pass", "fail", "unsupported", "crash"};
    return names[status];
}

typedef const norn_port *(*port_fn)(const norn_plan *plan, size_t index);

/// Values of DIR/NAME/test_data_set_SET/STEM_i.pb, as many as there are, each of its port's kind.
static norn_status read_values(case_run *run, int set, const char *stem, const norn_plan *plan,
                               port_fn port_of, norn_view *out, uint32_t *count) {
    for (*count = 0; *count < VALUES_MAX; ++*count) {
        char path[1024];
        norn_file *file;
        snprintf(path, sizeof path, "%s/%s/test_data_set_%d/%s_%u.pb", run->dir, run->test->name,
                 set, stem, *count);
        if (!norn_path_is_file(path)) return NORN_OK;
        const norn_port *port = port_of(plan, *count);
        if (run->file_count == FILES_MAX) return norn_fail(NORN_INTERNAL, "too many files");
        NORN_TRY(norn_file_read(path, norn_alloc_heap(), &file));
        run->files[run->file_count++] = file; // views alias it
        NORN_TRY(case_value_read(norn_file_bytes(file), port ? port->dtype : NORN_DTYPE_NONE,
                                 &run->arena, &out[*count]));
    }
    return NORN_OK;
}

/// Keeps the first difference: "output 0 `what` got, not want".
static norn_status differ(case_run *run, uint32_t output, const char *what, const char *got,
                          const char *want) {
    if (run->result->status != CASE_FAIL)
        snprintf(run->result->note, sizeof run->result->note, "output %u %s %s, not %s", output,
                 what, got, want);
    run->result->status = CASE_FAIL;
    return NORN_OK;
}

static norn_status compare_tensors(case_run *run, uint32_t index, const norn_view *got,
                                   const norn_view *want) {
    char got_text[NORN_VIEW_TEXT], want_text[NORN_VIEW_TEXT];
    if (got->dtype != want->dtype || !norn_view_same_shape(got, want))
        return differ(run, index, "is", norn_view_text(got, got_text),
                      norn_view_text(want, want_text));
    const case_tolerance tolerance = {run->test->rtol, run->test->atol};
    int64_t elems = norn_view_elems(want), wrong = 0, first = -1;
    for (int64_t i = 0; i < elems; i++) {
        if (case_value_same(got, want, i, tolerance, &run->result->error)) continue;
        if (first < 0) first = i;
        wrong++;
    }
    if (wrong == 0) return NORN_OK;
    bool text = want->dtype == NORN_STRING || norn_dtype_bits(want->dtype) > 64;
    snprintf(got_text, sizeof got_text, "%lld of %lld elements; the first, %lld, is %.9g",
             (long long)wrong, (long long)elems, (long long)first,
             text ? 0 : norn_element_f64(got->dtype, got->data, first));
    snprintf(want_text, sizeof want_text, "%.9g",
             text ? 0 : norn_element_f64(want->dtype, want->data, first));
    return differ(run, index, "differs in", got_text, want_text);
}

static norn_status compare(case_run *run, uint32_t index, const norn_view *got,
                           const norn_view *want) {
    norn_sequence is, wanted;
    if (!norn_dtype_holds_tensors(want->dtype)) return compare_tensors(run, index, got, want);
    NORN_TRY(norn_sequence_open(want, &wanted));
    NORN_TRY(norn_sequence_open(got, &is));
    char got_text[32], want_text[32];
    snprintf(got_text, sizeof got_text, "%u tensors", is.count);
    snprintf(want_text, sizeof want_text, "%u", wanted.count);
    if (got->dtype != want->dtype || is.count != wanted.count || is.present != wanted.present)
        return differ(run, index, "has", got_text, want_text);
    for (uint32_t i = 0; i < is.count; i++) {
        norn_view a = norn_sequence_at(&is, i), b = norn_sequence_at(&wanted, i);
        NORN_TRY(compare_tensors(run, index, &a, &b));
    }
    return NORN_OK;
}

static norn_status run_set(case_run *run, norn_plan *plan, norn_instance *instance, int set) {
    norn_view in[VALUES_MAX], want[VALUES_MAX];
    uint32_t in_count, out_count;
    NORN_TRY(read_values(run, set, "input", plan, norn_plan_input, in, &in_count));
    NORN_TRY(read_values(run, set, "output", plan, norn_plan_output, want, &out_count));
    if (in_count != norn_plan_input_count(plan) || out_count != norn_plan_output_count(plan))
        return norn_fail(
            NORN_INTERNAL, "the plan has %zu inputs and %zu outputs, the case %u and %u",
            norn_plan_input_count(plan), norn_plan_output_count(plan), in_count, out_count);
    for (uint32_t i = 0; i < in_count; i++) {
        size_t bytes;
        void *to;
        if (in[i].dtype != norn_plan_input(plan, i)->dtype)
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "input %u is not of the type that the model declares", i);
        NORN_TRY(norn_view_bytes(&in[i], &bytes));
        NORN_TRY(norn_instance_input(instance, i, in[i].rank, in[i].dims, &to));
        if (bytes) memcpy(to, in[i].data, bytes);
    }
    NORN_TRY(norn_instance_run(instance));
    for (uint32_t i = 0; i < out_count; i++)
        NORN_TRY(compare(run, i, norn_instance_output(instance, i), &want[i]));
    return NORN_OK;
}

static norn_status run_case(case_run *run) {
    char path[1024];
    norn_model *model = NULL;
    norn_plan *plan = NULL;
    norn_session *session = NULL;
    norn_instance *instance = NULL;
    norn_compile_options options = {.device = "cpu"};
    norn_session_options session_options = {.threads = 1};
    norn_status status;
    NORN_TRY_DONE(norn_model_open(run->model, norn_alloc_heap(), &model));
    NORN_TRY_DONE(norn_plan_compile(model, &options, norn_alloc_heap(), &plan));
    NORN_TRY_DONE(norn_session_create(plan, &session_options, norn_alloc_heap(), &session));
    for (int set = 0;; set++) {
        snprintf(path, sizeof path, "%s/%s/test_data_set_%d", run->dir, run->test->name, set);
        if (!norn_path_is_dir(path)) break;
        if (!instance) NORN_TRY_DONE(norn_instance_acquire(session, 0, &instance));
        NORN_TRY_DONE(run_set(run, plan, instance, set));
    }
done:
    if (instance) norn_instance_release(instance);
    norn_session_destroy(session);
    norn_plan_release(plan);
    norn_model_close(model);
    for (int i = 0; i < run->file_count; i++) norn_file_release(run->files[i]);
    return status;
}

void node_case_run(const node_case *test, const char *dir, case_result *result) {
    char path[1024];
    case_run run = {.test = test, .dir = dir, .model = path, .result = result};
    snprintf(path, sizeof path, "%s/%s/model.onnx", dir, test->name);
    *result = (case_result){.status = CASE_PASS};
    norn_arena_init(&run.arena, norn_alloc_heap(), 1 << 16);
    norn_status status = run_case(&run);
    norn_arena_deinit(&run.arena);
    if (status == NORN_OK) return;
    result->status = status == NORN_UNIMPLEMENTED ? CASE_UNSUPPORTED : CASE_FAIL;
    // The path of the case says nothing to a reader of the report.
    const char *message = norn_message(), *file = strstr(message, "model.onnx: ");
    snprintf(result->note, sizeof result->note, "%s",
             file ? file + strlen("model.onnx: ") : message);
}

/// Bits flipped, bytes made extreme, runs moved: a few at a time, so that most of the model stays
/// right.
static void mutate(uint8_t *bytes, size_t *count, norn_random *random) {
    static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x08, 0x10};
    uint64_t changes = 1 + norn_random_u64(random) % 4;
    for (uint64_t i = 0; i<changes && * count> 1; i++) {
        size_t at = norn_random_u64(random) % *count, from = norn_random_u64(random) % *count;
        size_t run = 1 + norn_random_u64(random) % 8, most = *count - (at > from ? at : from);
        switch (norn_random_u64(random) % 5) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << norn_random_u64(random) % 8);
            break;
        case 1:
            bytes[at] = extremes[norn_random_u64(random) % sizeof extremes];
            break;
        case 2:
            bytes[at] = (uint8_t)norn_random_u64(random);
            break;
        case 3:
            memmove(bytes + at, bytes + from, run < most ? run : most);
            break;
        default:
            if (norn_random_u64(random) % 8 == 0) *count = at;
        }
    }
}

void node_case_run_mutant(const node_case *test, const char *dir, uint64_t seed,
                          case_result *result) {
    char from[1024], to[1024];
    norn_file *file;
    norn_random random;
    case_run run = {.test = test, .dir = dir, .model = to, .result = result};
    *result = (case_result){.status = CASE_FAIL};
    snprintf(from, sizeof from, "%s/%s/model.onnx", dir, test->name);
    snprintf(to, sizeof to, "/tmp/norn_mutant_%ld.onnx", (long)getpid());
    if (norn_file_read(from, norn_alloc_heap(), &file) != NORN_OK) return;
    size_t count = norn_file_bytes(file).count;
    uint8_t *bytes = malloc(count + 1);
    FILE *copy = fopen(to, "wb");
    if (!bytes || !copy) return;
    memcpy(bytes, norn_file_bytes(file).bytes, count);
    norn_random_init(&random, seed ^ norn_hash_text(test->name));
    mutate(bytes, &count, &random);
    bool written = fwrite(bytes, 1, count, copy) == count;
    if (fclose(copy) != 0 || !written) return;
    norn_arena_init(&run.arena, norn_alloc_heap(), 1 << 16);
    norn_status status = run_case(&run);
    unlink(to);
    norn_arena_deinit(&run.arena);
    norn_file_release(file);
    free(bytes);
    *result = (case_result){.status = CASE_PASS};
    snprintf(result->note, sizeof result->note, "%s", status == NORN_OK ? "" : norn_message());
}
