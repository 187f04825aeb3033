/// The tables of a plan: large initializers that are only gathered from, and those of the package.
#include "passes/lookup_site.h"

#include "base/file.h"

#include <string.h>

norn_status norn_lookup_in_package(const norn_pass_context *context, norn_graph *graph,
                                   const char *name, bool *found) {
    const char *path;
    *found = false;
    if (!context->tables_dir || !name[0] || strchr(name, '/')) return NORN_OK;
    NORN_TRY(
        norn_arena_format(&graph->arena, &path, "%s/%s.safetensors", context->tables_dir, name));
    *found = norn_path_is_file(path);
    return NORN_OK;
}

norn_status norn_lookup_table(norn_pass_context *context, norn_graph *graph, const char *name,
                              int64_t dim, const norn_view *rows, uint32_t *table) {
    for (*table = 0; *table < context->table_count; (*table)++) {
        const norn_table_def *def = &context->tables[*table];
        if (strcmp(def->name, name) != 0) continue;
        bool same = def->rows == rows || (def->rows && rows && def->rows->data == rows->data);
        if (def->dim == dim && same) return NORN_OK;
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "table '%s' is read as rows of %lld element%s and of %lld; give one of "
                         "them another name",
                         name, (long long)def->dim, norn_plural(def->dim), (long long)dim);
    }
    NORN_TRY(NORN_TAKE_MORE(&graph->arena, &context->tables, context->table_count,
                            &context->table_capacity));
    context->tables[context->table_count++] = (norn_table_def){
        .name = name, .dim = dim, .dtype = rows ? rows->dtype : NORN_F32, .rows = rows};
    return NORN_OK;
}
