#include "onnx/importer.h"
#include "onnx/onnx.h"

#include "base/file.h"
#include "base/memory.h"
#include "graph/model.h"
#include "norn/model.h"

#include <string.h>

enum { EXTERNAL_FILES_MAX = 4096 };

// ---- files

static norn_status keep_file(norn_model *model, norn_file *file) {
    norn_file **grown;
    NORN_TRY(NORN_NEW_ARRAY(model->alloc, (size_t)model->file_count + 1, &grown));
    if (model->file_count) memcpy(grown, model->files, model->file_count * sizeof *grown);
    norn_free(model->alloc, (void *)model->files);
    model->files = grown;
    model->files[model->file_count++] = file;
    return NORN_OK;
}

static norn_status read_file(norn_model *model, const char *path, norn_file **out) {
    NORN_TRY(norn_file_read(path, model->alloc, out));
    norn_status status = keep_file(model, *out);
    if (status != NORN_OK) {
        norn_file_release(*out);
        *out = NULL;
    }
    return status;
}

/// "DIR/NAME", where DIR is that of `path`.
static norn_status beside(norn_arena *arena, const char *path, const char *name, const char **out) {
    const char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash - path + 1) : 0;
    return norn_arena_format(arena, out, "%.*s%s", dir, path, name);
}

/// External data stays in the model's own folder, or below it.
static bool is_inside(const char *location) {
    if (!*location || *location == '/' || strchr(location, '\\')) return false;
    for (const char *part = location; part;) {
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0)) return false;
        part = strchr(part, '/');
        if (part) part++;
    }
    return true;
}

static norn_status find_external(void *context, const char *location, uint64_t offset,
                                 bool has_length, uint64_t length, norn_span *out) {
    norn_importer *importer = context;
    norn_model *model = importer->model;
    const char *path;
    norn_file *file = NULL;
    (void)has_length;
    if (!is_inside(location)) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "its data is in '%s', which is not inside the model's folder", location);
    }
    NORN_TRY(beside(&importer->scratch, model->path, location, &path));
    for (uint32_t i = 1; i < model->file_count && !file; i++) {
        if (strcmp(norn_file_path(model->files[i]), path) == 0) file = model->files[i];
    }
    if (!file && model->file_count == EXTERNAL_FILES_MAX) {
        return norn_fail(NORN_RESOURCE_EXHAUSTED, "the model's data is in more than %d files",
                         (int)EXTERNAL_FILES_MAX);
    }
    if (!file) NORN_TRY(read_file(model, path, &file));
    norn_span bytes = norn_file_bytes(file);
    if (offset > bytes.count || length > bytes.count - offset) {
        return norn_fail(
            NORN_DATA_LOSS, "its %llu byte%s at %llu %s outside of '%s', which has %zu",
            (unsigned long long)length, norn_plural(length), (unsigned long long)offset,
            norn_number(length, "is", "are"), path, bytes.count);
    }
    *out = norn_span_of(bytes.bytes + offset, (size_t)length);
    return NORN_OK;
}

// ---- the graph

static norn_status check_opsets(const norn_onnx_opsets *opsets) {
    for (uint32_t i = 0; i < opsets->count; i++) {
        int64_t version = opsets->at[i].version;
        if (*opsets->at[i].domain) continue;
        if (version < NORN_ONNX_OPSET_MIN || version > NORN_ONNX_OPSET_MAX) {
            return norn_fail(
                NORN_UNIMPLEMENTED, "opset %lld; Norn reads %d to %d: export with one of these",
                (long long)version, (int)NORN_ONNX_OPSET_MIN, (int)NORN_ONNX_OPSET_MAX);
        }
    }
    return NORN_OK;
}

static norn_status import_once(norn_importer *importer, const norn_onnx_graph *proto,
                               norn_graph **out) {
    norn_model *model = importer->model;
    norn_graph *graph;
    NORN_TRY(norn_graph_create(proto->name, model->alloc, &graph));
    norn_scope scope = {.importer = importer,
                        .graph = graph,
                        .names = norn_name_map_in(&importer->scratch),
                        .opsets = &importer->proto.opsets};
    importer->nodes_left = NORN_ONNX_NODES_MAX;
    norn_status status =
        norn_arena_string(&graph->arena, model->path, strlen(model->path), &graph->path);
    if (status == NORN_OK) status = norn_import_graph(&scope, proto);
    if (status == NORN_OK) status = norn_import_squeezes(importer, graph);
    if (status != NORN_OK) {
        norn_graph_destroy(graph);
        return status;
    }
    *out = graph;
    return NORN_OK;
}

/// Imports again while operators show more dimension names to be equal.
static norn_status import_unified(norn_importer *importer, const norn_onnx_graph *proto) {
    enum { ROUNDS_MAX = 4 };
    norn_model *model = importer->model;
    for (int round = 0;; round++) {
        bool found = false;
        NORN_TRY(import_once(importer, proto, &model->graph));
        if (round < ROUNDS_MAX) NORN_TRY(norn_unify_symbols(importer, model->graph, &found));
        if (!found) return NORN_OK;
        norn_graph_destroy(model->graph);
        model->graph = NULL;
    }
}

static void find_batch(const norn_importer *importer, norn_graph *graph) {
    if (!importer->batch_name) return;
    const char *name = norn_unify_alias(importer, importer->batch_name);
    for (int32_t i = 0; i < graph->symbols.count; i++) {
        const norn_symbol *symbol = &graph->symbols.at[i];
        if (symbol->kind == NORN_SYMBOL_INPUT && strcmp(symbol->name, name) == 0) graph->batch = i;
    }
}

norn_status norn_onnx_decode(norn_model *model, norn_span bytes) {
    norn_importer importer = {.model = model};
    norn_onnx_graph proto;
    norn_status status;
    norn_arena_init(&importer.scratch, model->alloc, 64 * 1024);
    importer.functions = norn_name_map_in(&importer.scratch);
    importer.aliases = norn_name_map_in(&importer.scratch);
    importer.external = (norn_external_source){find_external, &importer};
    status = norn_onnx_read_model(bytes, &importer.scratch, &importer.proto);
    if (status == NORN_INVALID_ARGUMENT) norn_note("not an ONNX model, or a damaged one");
    if (status != NORN_OK) goto done;
    if (!importer.proto.has_graph) {
        NORN_TRY_DONE(norn_fail(NORN_INVALID_ARGUMENT, "not an ONNX model: it has no graph"));
    }
    NORN_TRY_DONE(check_opsets(&importer.proto.opsets));
    NORN_TRY_DONE(norn_import_functions(&importer));
    NORN_TRY_DONE(norn_import_check_operators(&importer));
    NORN_TRY_DONE(norn_onnx_read_graph(importer.proto.graph, &importer.scratch, &proto));
    NORN_TRY_DONE(norn_unify_choose_batch(&importer, &proto));
    NORN_TRY_DONE(norn_declared_collect(&importer, &proto));
    NORN_TRY_DONE(import_unified(&importer, &proto));
    find_batch(&importer, model->graph);
    NORN_TRY_DONE(norn_arena_format(
        &model->graph->arena, &model->producer, "%s%s%s", importer.proto.producer_name,
        *importer.proto.producer_version ? " " : "", importer.proto.producer_version));
    for (uint32_t i = 0; i < importer.proto.opsets.count; i++) {
        if (!*importer.proto.opsets.at[i].domain)
            model->opset = importer.proto.opsets.at[i].version;
    }
    NORN_TRY_DONE(norn_graph_verify(model->graph));
done:
    norn_arena_deinit(&importer.scratch);
    return status;
}

// ---- models

static norn_status read_config(norn_model *model, const char *path) {
    norn_file *file;
    norn_status status;
    NORN_TRY(norn_file_read(path, model->alloc, &file));
    norn_span bytes = norn_file_bytes(file);
    status = norn_alloc_bytes(model->alloc, bytes.count + 1, (void **)&model->config);
    if (status == NORN_OK) {
        if (bytes.count) memcpy(model->config, bytes.bytes, bytes.count);
        model->config[bytes.count] = 0;
    }
    norn_file_release(file);
    return status;
}

/// A package: DIR/model.onnx, DIR/tables, DIR/norn.json.
static norn_status open_package(norn_model *model, const char *dir) {
    norn_arena names;
    const char *path;
    norn_status status;
    norn_arena_init(&names, model->alloc, 1024);
    NORN_TRY_DONE(norn_arena_format(&names, &path, "%s/tables", dir));
    if (norn_path_is_dir(path))
        NORN_TRY_DONE(norn_alloc_string(model->alloc, path, &model->tables_dir));
    NORN_TRY_DONE(norn_arena_format(&names, &path, "%s/norn.json", dir));
    if (norn_path_is_file(path)) NORN_TRY_DONE(read_config(model, path));
    NORN_TRY_DONE(norn_arena_format(&names, &path, "%s/model.onnx", dir));
    if (!norn_path_is_file(path)) {
        NORN_TRY_DONE(norn_fail(NORN_NOT_FOUND, "'%s' has no model.onnx", dir));
    }
    NORN_TRY_DONE(norn_alloc_string(model->alloc, path, &model->path));
done:
    norn_arena_deinit(&names);
    return status;
}

norn_status norn_model_open(const char *path, norn_alloc alloc, norn_model **out) {
    norn_model *model = NULL;
    norn_file *file;
    norn_status status;
    *out = NULL;
    NORN_TRY_DONE(NORN_NEW(alloc, &model));
    model->alloc = alloc;
    if (norn_path_is_dir(path)) {
        NORN_TRY_DONE(open_package(model, path));
    } else {
        NORN_TRY_DONE(norn_alloc_string(alloc, path, &model->path));
    }
    NORN_TRY_DONE(read_file(model, model->path, &file));
    status = norn_onnx_decode(model, norn_file_bytes(file));
    if (status != NORN_OK) {
        norn_note("%s", model->path);
        goto done;
    }
    *out = model;
    model = NULL;
done:
    norn_model_close(model);
    return status;
}

void norn_model_close(norn_model *model) {
    if (!model) return;
    norn_alloc alloc = model->alloc;
    norn_graph_destroy(model->graph);
    for (uint32_t i = 0; i < model->file_count; i++) norn_file_release(model->files[i]);
    norn_free(alloc, (void *)model->files);
    norn_free(alloc, model->path);
    norn_free(alloc, model->tables_dir);
    norn_free(alloc, model->config);
    norn_free(alloc, model);
}
