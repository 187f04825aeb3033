// Plan files with one byte changed and their hashes put right: what is said of each, or the plan that is read, by digests.
//
//     conformance_edited CASES [--expected FILE] [--filter TEXT] [--write-expected FILE] [--show]
//
// CASES is near's; models that are whole make the plans. A reader that takes what it refused, refuses
// what it took or says something else shows; plan_fuzz looks for what it must not do, and runs what it took.
#include "base/arena.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "conformance/case_file.h"
#include "conformance/verdict_list.h"
#include "norn/norn.h"
#include "plan/plan_file.h"
#include "plan/plan_load.h"
#include "testing/limited_alloc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EDITS_MAX = 1200 };
static size_t block_most = 64 << 20; ///< a plan may ask for anything

static bool show; ///< of the command line

/// A plan file in memory.
typedef struct plan_bytes {
    uint8_t *bytes;
    size_t count;
} plan_bytes;

/// What came of the edits of a section.
typedef struct tally {
    uint64_t digest;
    int taken, refused;
} tally;

static void must(norn_status status, const char *name) {
    if (status == NORN_OK) return;
    fprintf(stderr, "%s: %s\n", name, norn_message());
    exit(1);
}

static plan_bytes plan_of(const case_entry *test, const char *folder) {
    char path[96];
    norn_model *model;
    norn_plan *plan;
    norn_file *file;
    const norn_compile_options options = {.device = "cpu"};
    (void)case_write_model(test, folder);
    // By the name that it has in every run: a graph says where it came from.
    must(norn_model_open("model.onnx", norn_alloc_heap(), &model), test->name);
    must(norn_plan_compile(model, &options, norn_alloc_heap(), &plan), test->name);
    snprintf(path, sizeof path, "%s/plan.norn", folder);
    must(norn_plan_save(plan, path), test->name);
    norn_plan_release(plan);
    norn_model_close(model);
    must(norn_file_read(path, norn_alloc_heap(), &file), test->name);
    const norn_span found = norn_file_bytes(file);
    plan_bytes out = {.count = found.count};
    out.bytes = aligned_alloc(NORN_PLAN_PAGE,
                              (found.count + NORN_PLAN_PAGE - 1) / NORN_PLAN_PAGE * NORN_PLAN_PAGE);
    memcpy(out.bytes, found.bytes, found.count);
    norn_file_release(file);
    return out;
}

static void put_right(plan_bytes *plan, uint32_t section) {
    norn_plan_header *header = (norn_plan_header *)plan->bytes;
    norn_plan_entry *entry = &header->section[section];
    must(norn_tree_hash_of(norn_span_of(plan->bytes + entry->offset, entry->bytes), NULL,
                           norn_alloc_heap(), &entry->hash),
         "hash");
    header->hash = norn_plan_header_hash(header);
}

static void take(tally *so_far, const void *bytes, size_t count) {
    if (show) printf("%.*s\n", (int)count, (const char *)bytes);
    so_far->digest = norn_hash_bytes(bytes, count, so_far->digest);
}

static void decode(const plan_bytes *bytes, tally *so_far) {
    norn_plan *plan;
    must(norn_plan_create(norn_alloc_limited(&block_most), &plan), "a plan");
    const norn_span file = norn_span_of(bytes->bytes, bytes->count);
    if (norn_plan_decode(file, "plan", false, plan) == NORN_OK) {
        norn_buffer text;
        norn_buffer_init(&text, norn_alloc_heap());
        norn_graph_print(plan->graph, &text);
        norn_program_print(plan->program, &text);
        take(so_far, text.bytes, text.count);
        norn_buffer_deinit(&text);
        so_far->taken++;
    } else {
        take(so_far, norn_message(), strlen(norn_message()));
        so_far->refused++;
    }
    norn_plan_release(plan);
}

/// Every byte of a section, or as many as are enough, is another.
static tally edit_section(plan_bytes *plan, uint32_t section) {
    const norn_plan_entry *entry = &((norn_plan_header *)plan->bytes)->section[section];
    const size_t bytes = entry->bytes, step = bytes / EDITS_MAX + 1;
    uint8_t *at = plan->bytes + entry->offset;
    tally so_far = {0};
    for (size_t i = 0; i < bytes; i += step) {
        const uint8_t values[] = {(uint8_t)(at[i] + 1), (uint8_t)(at[i] - 1), 0, 255}, was = at[i];
        const uint8_t value = values[norn_hash_u64(i) % 4];
        if (value == was) continue;
        at[i] = value;
        put_right(plan, section);
        if (show) printf("byte %zu is %u, was %u: ", i, value, was);
        decode(plan, &so_far);
        at[i] = was;
    }
    put_right(plan, section);
    return so_far;
}

static void judge(const case_entry *test, const char *folder, char text[VERDICT_TEXT]) {
    static const norn_plan_section edited[] = {NORN_SECTION_MANIFEST, NORN_SECTION_GRAPH};
    plan_bytes plan = plan_of(test, folder);
    size_t used = 0;
    for (size_t i = 0; i < sizeof edited / sizeof edited[0]; i++) {
        const tally found = edit_section(&plan, edited[i]);
        used +=
            (size_t)snprintf(text + used, VERDICT_TEXT - used, "%s%s: %d taken, %d refused, %08x",
                             i ? "; " : "", norn_plan_section_kinds[edited[i]].name, found.taken,
                             found.refused, (unsigned)(found.digest >> 32));
    }
    free(plan.bytes);
}

static verdict_list list;

static void take_case(void *context, case_entry *test) {
    char text[VERDICT_TEXT];
    if (!case_is_sample(test->name)) return;
    judge(test, context, text);
    verdict_list_take(&list, test->name, text, NULL);
}

int main(int argc, char **argv) {
    char folder[] = CASE_FOLDER;
    setenv("NORN_LOG", "error", 1);
    if (argc > 2 && strcmp(argv[argc - 1], "--show") == 0) show = true, argc--;
    verdict_list_open(&list, argc, argv);
    FILE *cases = verdict_list_cases(&list, "cases.bin");
    case_folder_make(folder);
    if (chdir(folder) != 0) return perror(folder), 1;
    case_each(cases, list.filter, take_case, folder);
    case_folder_remove(folder);
    return verdict_list_close(&list);
}
