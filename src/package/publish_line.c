#include "package/publish_line.h"

#include "base/file.h"
#include "store/log/file_log.h"
#include "store/table_dir.h"

static norn_status read_form(const char *tables, const char *name, norn_arena *arena,
                             norn_table_form *out) {
    const char *path, *copy;
    uint64_t bytes;
    NORN_TRY(norn_arena_format(arena, &path, "%s/%s.safetensors", tables, name));
    NORN_TRY(norn_arena_format(arena, &copy, "%s", name));
    return norn_table_head_read(path, copy, arena->alloc, out, &bytes);
}

norn_status norn_line_tables_read(const char *dir, norn_arena *arena, norn_line_tables *out) {
    char tables[NORN_FOLDER_PATH];
    norn_table_names names;
    *out = (norn_line_tables){0};
    NORN_TRY(norn_folder_path(dir, "tables", tables));
    if (!norn_path_is_dir(tables)) return NORN_OK;
    NORN_TRY(norn_table_names_read(tables, arena->alloc, &names));
    norn_status status = NORN_TAKE_ARRAY(arena, names.count + 1, &out->forms);
    for (size_t i = 0; i < names.count && status == NORN_OK; i++)
        status = read_form(tables, names.at[i], arena, &out->forms[i]);
    out->count = (uint32_t)names.count;
    norn_table_names_deinit(&names);
    return status;
}

norn_status norn_line_log_open(const norn_publish_options *options, norn_delta_log **out) {
    char dir[NORN_FOLDER_PATH], facts[NORN_FOLDER_PATH];
    *out = NULL;
    NORN_TRY(norn_folder_path(options->to, "log", dir));
    NORN_TRY(norn_folder_path(dir, "LOG.json", facts));
    if (options->partitions)
        NORN_TRY(norn_file_log_create(dir, options->partitions, options->alloc));
    return norn_path_is_file(facts) ? norn_file_log_open(dir, options->alloc, out) : NORN_OK;
}

norn_status norn_line_writer(norn_delta_log *log, const char *model, uint64_t base,
                             const norn_line_tables *tables, norn_alloc alloc,
                             norn_log_writer **out) {
    const norn_log_writer_options options = {
        .model = model, .base = base, .tables = tables->forms, .table_count = tables->count};
    return norn_log_writer_create(log, &options, alloc, out);
}
