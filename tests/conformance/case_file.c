#include "conformance/case_file.h"

#include "conformance/case_value.h"
#include "tensor/view.h"

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

enum { PART_MAX = 1 << 24 };

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

static uint32_t read_parts(FILE *file, norn_arena *arena, norn_span parts[CASE_PORTS_MAX]) {
    uint32_t count;
    if (!read_count(file, &count) || count > CASE_PORTS_MAX) damaged();
    for (uint32_t i = 0; i < count; i++) parts[i] = read_part(file, arena);
    return count;
}

/// False at the end of the file.
static bool read_case(FILE *file, case_entry *out) {
    uint32_t count;
    if (!read_count(file, &count)) return false;
    if (count >= sizeof out->name || fread(out->name, 1, count, file) != count) damaged();
    out->name[count] = '\0';
    out->model = read_part(file, &out->arena);
    out->input_count = read_parts(file, &out->arena, out->inputs);
    out->output_count = read_parts(file, &out->arena, out->outputs);
    return true;
}

void case_each(FILE *file, const char *filter, case_fn fn, void *context) {
    for (bool more = true; more;) {
        case_entry entry;
        norn_arena_init(&entry.arena, norn_alloc_heap(), 1 << 16);
        more = read_case(file, &entry);
        if (more && (!filter || strstr(entry.name, filter))) fn(context, &entry);
        norn_arena_deinit(&entry.arena);
    }
    fclose(file);
}

bool case_is_sample(const char *name) {
    const char *end = strstr(name, ".whole");
    const bool graph = strncmp(name, "graph_", 6) == 0 || strncmp(name, "rows_", 5) == 0;
    return end && end[strlen(".whole")] == '\0' && (!graph || end[-1] == '3'); // a number's end
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *at) {
    (void)facts, (void)kind, (void)at;
    return remove(path);
}

void case_folder_make(char *folder) {
    if (mkdtemp(folder)) return;
    perror(folder);
    exit(1);
}

void case_folder_remove(const char *folder) {
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *case_write_model(const case_entry *entry, const char *folder) {
    static char path[96];
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    FILE *file = fopen(path, "wb");
    if (file && fwrite(entry->model.bytes, 1, entry->model.count, file) == entry->model.count &&
        fclose(file) == 0)
        return path;
    perror(path);
    exit(1);
}

static norn_status give_inputs(const case_entry *entry, const norn_plan *plan,
                               norn_instance *instance, norn_arena *arena) {
    for (uint32_t i = 0; i < entry->input_count; i++) {
        norn_view in;
        size_t bytes;
        void *to;
        NORN_TRY(case_value_read(entry->inputs[i], norn_plan_input(plan, i)->dtype, arena, &in));
        if (in.dtype != norn_plan_input(plan, i)->dtype)
            return norn_fail(NORN_INVALID_ARGUMENT, "input %u is of another type", i);
        NORN_TRY(norn_view_bytes(&in, &bytes));
        NORN_TRY(norn_instance_input(instance, i, in.rank, in.dims, &to));
        if (bytes) memcpy(to, in.data, bytes);
    }
    return NORN_OK;
}

norn_status case_run(const case_entry *entry, norn_plan *plan, norn_arena *arena, int32_t threads,
                     norn_alloc alloc, norn_session **session, norn_instance **instance) {
    const norn_session_options options = {.threads = threads};
    *session = NULL, *instance = NULL;
    NORN_TRY(norn_session_create(plan, &options, alloc, session));
    NORN_TRY(norn_instance_acquire(*session, 0, instance));
    NORN_TRY(give_inputs(entry, plan, *instance, arena));
    return norn_instance_run(*instance);
}

void case_end(norn_session *session, norn_instance *instance) {
    if (instance) norn_instance_release(instance);
    norn_session_destroy(session);
}
