/// Model-local functions: nodes of a call are made where the call stands, with the function's own
/// names, opsets and attributes.
#include "onnx/importer.h"

#include <stdio.h>
#include <string.h>

const char *norn_onnx_function_key(char *text, size_t room, const char *domain, const char *name,
                                   const char *overload) {
    snprintf(text, room, "%s\x1f%s\x1f%s", domain, name, overload);
    return text;
}

enum { KEY_BYTES = 512 };

const norn_onnx_function *norn_import_find_function(const norn_importer *importer,
                                                    const char *domain, const char *name,
                                                    const char *overload) {
    char key[KEY_BYTES];
    if (importer->functions.count == 0) return NULL;
    return norn_name_map_find(&importer->functions,
                              norn_onnx_function_key(key, sizeof key, domain, name, overload));
}

norn_status norn_import_functions(norn_importer *importer) {
    const norn_onnx_spans *spans = &importer->proto.functions;
    for (uint32_t i = 0; i < spans->count; i++) {
        norn_onnx_function *function;
        char key[KEY_BYTES];
        const char *kept;
        NORN_TRY(NORN_TAKE(&importer->scratch, &function));
        NORN_TRY(norn_onnx_read_function(spans->at[i], &importer->scratch, function));
        norn_onnx_function_key(key, sizeof key, function->domain, function->name,
                               function->overload);
        NORN_TRY(norn_arena_string(&importer->scratch, key, strlen(key), &kept));
        NORN_TRY(norn_name_map_put(&importer->functions, kept, function));
    }
    return NORN_OK;
}

/// What the caller gave, then the function's defaults for the rest.
static norn_status bind_attributes(norn_onnx_call *call, const norn_onnx_function *function,
                                   norn_attrs *out) {
    norn_arena *scratch = &call->scope->importer->scratch;
    norn_attr *attrs;
    uint32_t count = call->attr_count;
    NORN_TRY(NORN_TAKE_ARRAY(scratch, (size_t)count + function->default_attributes.count, &attrs));
    if (count) memcpy(attrs, call->attrs, count * sizeof *attrs);
    for (uint32_t i = 0; i < function->default_attributes.count; i++) {
        norn_onnx_attr proto;
        bool present;
        NORN_TRY(norn_onnx_read_attr(function->default_attributes.at[i], scratch, &proto));
        if (norn_attr_find((norn_attrs){attrs, count}, proto.name)) continue;
        NORN_TRY(norn_import_attr(call->scope, &proto, &attrs[count], &present));
        if (present) count++;
    }
    *out = (norn_attrs){attrs, count};
    return NORN_OK;
}

static norn_status inline_nodes(norn_onnx_call *call, const norn_onnx_function *function,
                                norn_scope *inner, norn_value **out) {
    if (call->in_count > function->inputs.count || call->out_count > function->outputs.count) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s': function '%s' takes %u input%s and makes %u output%s; the "
                         "call has %u and %u",
                         call->name, function->name, function->inputs.count,
                         norn_plural(function->inputs.count), function->outputs.count,
                         norn_plural(function->outputs.count), call->in_count, call->out_count);
    }
    for (uint32_t i = 0; i < function->inputs.count; i++) {
        norn_value *given = i < call->in_count ? call->in[i] : NULL;
        NORN_TRY(norn_name_map_put(&inner->names, function->inputs.at[i],
                                   given ? given : norn_scope_omitted()));
    }
    norn_onnx_node *nodes;
    NORN_TRY(norn_import_node_order(call->scope->importer, &function->nodes, &nodes));
    for (uint32_t i = 0; i < function->nodes.count; i++)
        NORN_TRY(norn_import_node(inner, &nodes[i]));
    for (uint32_t i = 0; i < call->out_count; i++) {
        NORN_TRY(norn_scope_find(inner, function->outputs.at[i], &out[i]));
        if (out[i] == norn_scope_omitted()) out[i] = NULL;
        if (!out[i] && call->wanted[i]) {
            return norn_fail(NORN_INVALID_ARGUMENT,
                             "node '%s': function '%s' does not make its output '%s'", call->name,
                             function->name, function->outputs.at[i]);
        }
    }
    return NORN_OK;
}

norn_status norn_import_call(norn_onnx_call *call, const norn_onnx_function *function,
                             norn_value **out) {
    norn_importer *importer = call->scope->importer;
    norn_scope inner = {.importer = importer,
                        .graph = call->scope->graph,
                        .names = norn_name_map_in(&importer->scratch),
                        .opsets = function->opsets.count ? &function->opsets : call->scope->opsets};
    if (importer->depth == NORN_ONNX_DEPTH_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "node '%s': functions and bodies are nested more than %d deep", call->name,
                         (int)NORN_ONNX_DEPTH_MAX);
    }
    NORN_TRY(bind_attributes(call, function, &inner.frame));
    NORN_TRY(norn_arena_format(&importer->scratch, &inner.prefix, "%s/", call->name));
    importer->depth++;
    norn_status status = inline_nodes(call, function, &inner, out);
    importer->depth--;
    return status;
}
