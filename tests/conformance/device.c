// Every kernel of a device: cases run on it and on the CPU, which must agree, and with what is known to be right.
//
//     conformance_device CASES... --device NAME[,NAME...] [--threads N] [--every N [--from M]] [--filter TEXT]
//                        [--precision fp16|bf16]
//
// CASES are folders of tests/peers/conformance_cases.py --near or --broken. "fake" is the device of the tests
// (testing/fake_device.h). --every N takes every Nth case: a GPU compiles and times kernels for each. Of several devices
// each node is on one by chance, so that values go to and fro. --device cpu --threads 3: as one thread alone.
// --precision: the device's plan in halves, within what they hold.
#include "base/hash.h"
#include "base/thread.h"
#include "conformance/case_file.h"
#include "conformance/case_value.h"
#include "norn/norn.h"
#include "plan/plan.h"
#include "tensor/dtype.h"
#include "tensor/view.h"
#include "testing/fake_device.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct device_check {
    const char *device, *filter, *folder;
    norn_precision precision; ///< of the device's plan
    int32_t threads;          ///< 1; more share even the smallest work
    long every, from, seen;
    int passed, failed, refused; ///< refused: by the compiler, on both
    long steps, own_steps;       ///< kernels of all plans for the device, and those that run there
    long in_bodies;              ///< of these, in bodies of If, Loop and Scan
    long between;                ///< copies from one device to another
} device_check;

/// One model on one device.
typedef struct device_run {
    norn_plan *plan;
    norn_session *session;
    norn_instance *instance;
    norn_status compiled, ran;
    char message[512];
} device_run;

static void say(const device_check *check, const case_entry *entry, const char *what,
                const char *more) {
    printf("FAILED %s on %s: %s%s%s\n", entry->name, check->device, what, *more ? ": " : "", more);
}

/// Every node of a plan for several devices on one of them, and every body on devices.
static norn_status spread(norn_plan *plan) {
    uint64_t number = norn_hash_bytes(plan->name, strlen(plan->name), 0);
    if (plan->place_count < 2) return NORN_OK;
    for (norn_node *node = plan->graph->nodes; node && plan->place_count > 2; node = node->next)
        node->place = (uint8_t)(1 + norn_hash_u64(number++) % (plan->place_count - 1));
    plan->body_flops = 0;
    NORN_TRY(norn_plan_finish(plan));
    return norn_plan_generate_code(plan, NULL);
}

static void start(const case_entry *entry, const norn_model *model, const char *device,
                  norn_precision precision, int32_t threads, device_run *r, norn_arena *arena) {
    const norn_compile_options options = {.device = device, .precision = precision};
    *r = (device_run){0};
    norn_pool_share_all(threads > 1);
    r->compiled = norn_plan_compile(model, &options, norn_alloc_heap(), &r->plan);
    if (r->compiled == NORN_OK) r->compiled = spread(r->plan);
    if (r->compiled == NORN_OK)
        r->ran =
            case_run(entry, r->plan, arena, threads, norn_alloc_heap(), &r->session, &r->instance);
    if (r->compiled != NORN_OK || r->ran != NORN_OK)
        snprintf(r->message, sizeof r->message, "%s", norn_message());
}

static void end(device_run *r) {
    case_end(r->session, r->instance);
    norn_plan_release(r->plan);
}

/// Within what another order of sums gives; lists of tensors are the host's.
static bool same(const device_check *check, const norn_view *got, const norn_view *want) {
    if (!norn_dtype_holds_tensors(want->dtype))
        return got->dtype == want->dtype && norn_view_same_shape(got, want);
    // A GPU rounds a half product once, after its bias and activation; the CPU where ONNX has values.
    case_tolerance tolerance = {1e-3, 1e-4};
    if (check->precision == NORN_PRECISION_FP16) tolerance = (case_tolerance){1e-2, 1e-2};
    if (check->precision == NORN_PRECISION_BF16) tolerance = (case_tolerance){5e-2, 5e-2};
    if (want->dtype == NORN_F16) tolerance = (case_tolerance){4e-3, 1e-3};
    if (want->dtype == NORN_BF16) tolerance = (case_tolerance){3e-2, 8e-3};
    return case_tensor_same(got, want, tolerance);
}

static bool is_random(const norn_plan *plan) {
    for (const norn_node *node = plan->graph->nodes; node; node = node->next)
        if (node->op->flags & NORN_OP_EFFECT) return true;
    return false;
}

static bool compare(const device_check *check, const case_entry *entry, const device_run *own,
                    const device_run *cpu, norn_arena *arena) {
    char output[64];
    if (own->compiled != cpu->compiled || own->ran != cpu->ran) {
        char more[1200];
        snprintf(more, sizeof more, "'%s', on the CPU '%s'", own->message, cpu->message);
        say(check, entry, "another end", more);
        return false;
    }
    if (own->compiled != NORN_OK || own->ran != NORN_OK || is_random(own->plan)) return true;
    for (size_t i = 0; i < norn_plan_output_count(own->plan); i++) {
        const norn_view *got = norn_instance_output(own->instance, i);
        norn_view want;
        snprintf(output, sizeof output, "output %zu", i);
        if (!same(check, got, norn_instance_output(cpu->instance, i))) {
            say(check, entry, output, "not what the CPU gives");
            return false;
        }
        if (i < entry->output_count &&
            case_value_read(entry->outputs[i], got->dtype, arena, &want) == NORN_OK &&
            !same(check, got, &want)) {
            say(check, entry, output, "not what is right");
            return false;
        }
    }
    return true;
}

static const case_entry *under_check;

/// Which case it was that ended the program.
static void on_crash(int number) {
    char text[300];
    const int count = snprintf(text, sizeof text, "FAILED %s: signal %d\n",
                               under_check ? under_check->name : "", number);
    if (write(STDOUT_FILENO, text, (size_t)count) != count) _exit(2);
    _exit(1);
}

static void count_steps(device_check *check, const norn_program *program, bool is_body) {
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        for (uint32_t b = 0; b < step->body_count; b++) count_steps(check, step->bodies[b], true);
        check->steps += step->kind == NORN_STEP_KERNEL;
        check->own_steps += step->kind == NORN_STEP_KERNEL && step->place;
        check->in_bodies += step->kind == NORN_STEP_KERNEL && step->place && is_body;
        if (step->kind != NORN_STEP_COPY) continue;
        const norn_place from = program->slots[step->in[0]].place,
                         to = program->slots[step->out[0]].place;
        check->between += from && to && from != to;
    }
}

static void check_case(void *context, case_entry *entry) {
    device_check *check = context;
    norn_model *model;
    norn_arena arena;
    device_run own, cpu;
    if (check->seen++ % check->every != check->from) return;
    if (norn_model_open(case_write_model(entry, check->folder), norn_alloc_heap(), &model) !=
        NORN_OK)
        return;
    norn_arena_init(&arena, norn_alloc_heap(), 1 << 16);
    start(entry, model, check->device, check->precision, check->threads, &own, &arena);
    start(entry, model, "cpu", NORN_PRECISION_FP32, 1, &cpu, &arena);
    const bool good = compare(check, entry, &own, &cpu, &arena);
    check->passed += good;
    check->failed += !good;
    check->refused += good && own.compiled != NORN_OK;
    if (own.plan) count_steps(check, own.plan->program, false);
    end(&own);
    end(&cpu);
    norn_arena_deinit(&arena);
    norn_model_close(model);
}

static bool check_folder(device_check *check, const char *dir) {
    char path[1024];
    snprintf(path, sizeof path, "%s/cases.bin", dir);
    FILE *cases = fopen(path, "rb");
    if (!cases) return false;
    case_each(cases, check->filter, check_case, check);
    return true;
}

int main(int argc, char **argv) {
    char folder[] = CASE_FOLDER;
    device_check check = {.threads = 1, .every = 1, .folder = folder};
    const char *dirs[8];
    int dir_count = 0;
    for (int i = 1; i < argc; i++) {
        const bool value = i + 1 < argc;
        if (strcmp(argv[i], "--device") == 0 && value)
            check.device = argv[++i];
        else if (strcmp(argv[i], "--filter") == 0 && value)
            check.filter = argv[++i];
        else if (strcmp(argv[i], "--precision") == 0 && value &&
                 norn_precision_parse(argv[i + 1], &check.precision))
            i++;
        else if (strcmp(argv[i], "--threads") == 0 && value)
            check.threads = (int32_t)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--every") == 0 && value)
            check.every = strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0 && value)
            check.from = strtol(argv[++i], NULL, 10);
        else if (argv[i][0] != '-' && dir_count < 8)
            dirs[dir_count++] = argv[i];
        else
            check.device = NULL, i = argc;
    }
    if (!check.device || dir_count == 0 || check.every < 1)
        return fprintf(stderr,
                       "usage: conformance_device CASES... --device NAME [--threads N] [--every N] "
                       "[--filter TEXT] [--precision fp16|bf16]\n"),
               2;
    setenv("NORN_LOG", "error", 0);
    setbuf(stdout, NULL);
    static const int ends[] = {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGILL};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) (void)signal(ends[i], on_crash);
    norn_device_register("fake", fake_open);
    case_folder_make(folder);
    bool there = true;
    for (int i = 0; i < dir_count; i++) there = check_folder(&check, dirs[i]) && there;
    case_folder_remove(folder);
    if (!there)
        return fprintf(stderr, "no cases; tests/peers/conformance_cases.py writes them\n"), 77;
    printf("%ld of %ld steps run on %s, %ld of them in bodies, with %ld copies between devices; %d "
           "models are refused there "
           "as on the CPU\n",
           check.own_steps, check.steps, check.device, check.in_bodies, check.between,
           check.refused);
    printf("%d passed, %d failed\n", check.passed, check.failed);
    return check.failed == 0 && check.passed > 0 ? 0 : 1;
}
