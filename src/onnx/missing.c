/// Before anything is built: does Norn have every operator of the model? All that are missing are
/// named at once, so that one run tells what an export must avoid.
#include "graph/model.h"
#include "onnx/importer.h"

#include <string.h>

enum { NAMED_MAX = 24 };

typedef struct finder {
    norn_importer *importer;
    norn_name_map visited; // functions, by their key's pointer text
    norn_name_map seen;    // operators that are missing, "domain.op"
    norn_buffer list;      // those after the first, for the message
    const char *first_node, *first_op, *first_domain;
    int64_t first_opset;
    uint32_t count, depth;
    uint32_t ways; // bit i: some missing operator is of ways_out[i]
} finder;

/// What to do about operators that come in families, found by their domain or a part of their name.
static const struct {
    const char *domain, *part, *advice;
} ways_out[] = {
    {NULL, "embeddingbag", "nn.EmbeddingBag is exported by norn.export.from_torch"},
    {"fbgemm", "", "embedding bags are exported by norn.export.from_torch, as nn.EmbeddingBag"},
    {"org.pytorch.aten", "",
     "PyTorch's own, left by its exporter: export with dynamo=True; nn.EmbeddingBag is exported by "
     "norn.export.from_torch"},
    {"ai.onnx.ml", "",
     "Norn has no classical models: export trees and encoders as tensor operators (Hummingbird "
     "does), or apply them before the request"},
    {"com.microsoft", "",
     "these are ONNX Runtime's own: save the model with its graph optimisations off, and quantise "
     "to QDQ form"},
    {"ai.onnx.preview.training", "", "training operators have no place in a model that is served"},
};
enum { WAYS = sizeof ways_out / sizeof *ways_out };

/// Whether `text` has `part`, which is in lower case; case and underscores do not count.
static bool has_part(const char *text, const char *part) {
    for (; *text; text++) {
        const char *a = text, *b = part;
        for (; *b && *a; a++) {
            char c = *a >= 'A' && *a <= 'Z' ? (char)(*a - 'A' + 'a') : *a;
            if (c == '_' && a != text) continue;
            if (c != *b) break;
            b++;
        }
        if (!*b) return true;
    }
    return !*part;
}

static uint32_t ways_of(const norn_onnx_node *node) {
    for (uint32_t i = 0; i < WAYS; i++) {
        if (ways_out[i].domain && strcmp(ways_out[i].domain, node->domain) != 0) continue;
        if (has_part(node->op_type, ways_out[i].part)) return 1u << i;
    }
    return 0;
}

bool norn_import_is_special(const char *domain, const char *op_type) {
    static const char *const names[] = {"Constant", "Scatter", "Upsample"};
    if (*domain) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], op_type) == 0) return true;
    }
    return false;
}

static norn_status scan_nodes(finder *f, const norn_onnx_spans *nodes,
                              const norn_onnx_opsets *opsets);

static int64_t opset_of(const norn_onnx_opsets *opsets, const char *domain) {
    for (uint32_t i = 0; i < opsets->count; i++) {
        if (strcmp(opsets->at[i].domain, domain) == 0) return opsets->at[i].version;
    }
    return 1;
}

static norn_status add_missing(finder *f, const norn_onnx_node *node,
                               const norn_onnx_opsets *opsets) {
    const char *key;
    NORN_TRY(norn_arena_format(&f->importer->scratch, &key, "%s%s%s", node->domain,
                               *node->domain ? "." : "", node->op_type));
    if (norn_name_map_find(&f->seen, key)) return NORN_OK;
    NORN_TRY(norn_name_map_put(&f->seen, key, f));
    f->ways |= ways_of(node);
    if (f->count++ == 0) {
        f->first_op = key;
        f->first_node = *node->name ? node->name : node->outputs.count ? node->outputs.at[0] : "";
        f->first_domain = *node->domain ? node->domain : "ai.onnx";
        f->first_opset = opset_of(opsets, node->domain);
    } else if (f->count <= NAMED_MAX) {
        norn_buffer_format(&f->list, "%s%s", f->count > 2 ? ", " : "", key);
    }
    return NORN_OK;
}

static norn_status scan_bodies(finder *f, const norn_onnx_node *node,
                               const norn_onnx_opsets *opsets) {
    for (uint32_t i = 0; i < node->attributes.count; i++) {
        norn_onnx_attr attr;
        norn_onnx_graph body;
        NORN_TRY(norn_onnx_read_attr(node->attributes.at[i], &f->importer->scratch, &attr));
        if (attr.type != NORN_ONNX_ATTR_GRAPH) continue;
        NORN_TRY(norn_onnx_read_graph(attr.bytes, &f->importer->scratch, &body));
        NORN_TRY(scan_nodes(f, &body.nodes, opsets));
    }
    return NORN_OK;
}

static norn_status scan_function(finder *f, const norn_onnx_function *function,
                                 const norn_onnx_opsets *opsets) {
    char key[512];
    const char *kept;
    norn_onnx_function_key(key, sizeof key, function->domain, function->name, function->overload);
    if (norn_name_map_find(&f->visited, key)) return NORN_OK;
    NORN_TRY(norn_arena_string(&f->importer->scratch, key, strlen(key), &kept));
    NORN_TRY(norn_name_map_put(&f->visited, kept, f));
    return scan_nodes(f, &function->nodes, function->opsets.count ? &function->opsets : opsets);
}

static norn_status scan_nodes(finder *f, const norn_onnx_spans *nodes,
                              const norn_onnx_opsets *opsets) {
    if (f->depth == NORN_ONNX_DEPTH_MAX) {
        return norn_fail(NORN_INVALID_ARGUMENT, "functions and bodies are nested more than %d deep",
                         (int)NORN_ONNX_DEPTH_MAX);
    }
    f->depth++;
    for (uint32_t i = 0; i < nodes->count; i++) {
        norn_onnx_node node;
        NORN_TRY(norn_onnx_read_node(nodes->at[i], &f->importer->scratch, &node));
        const norn_onnx_function *function =
            norn_import_find_function(f->importer, node.domain, node.op_type, node.overload);
        if (function) {
            NORN_TRY(scan_function(f, function, opsets));
        } else if (!norn_op_find(node.domain, node.op_type) &&
                   !norn_import_is_special(node.domain, node.op_type)) {
            NORN_TRY(add_missing(f, &node, opsets));
        }
        NORN_TRY(scan_bodies(f, &node, opsets));
    }
    f->depth--;
    return NORN_OK;
}

norn_status norn_import_check_operators(norn_importer *importer) {
    finder f = {.importer = importer,
                .visited = norn_name_map_in(&importer->scratch),
                .seen = norn_name_map_in(&importer->scratch)};
    norn_onnx_graph graph;
    NORN_TRY(norn_onnx_read_graph(importer->proto.graph, &importer->scratch, &graph));
    norn_buffer_init(&f.list, importer->model->alloc);
    norn_status status = scan_nodes(&f, &graph.nodes, &importer->proto.opsets);
    if (f.count > NAMED_MAX) norn_buffer_text(&f.list, ", …");
    for (uint32_t i = 0; i < WAYS; i++)
        if (f.ways >> i & 1) norn_buffer_format(&f.list, "; %s", ways_out[i].advice);
    norn_buffer_append(&f.list, "", 1);
    if (status == NORN_OK) status = norn_buffer_status(&f.list);
    if (status == NORN_OK && f.count > 0) {
        const char *others = (const char *)f.list.bytes;
        status =
            norn_fail(NORN_UNIMPLEMENTED,
                      "node '%s': operator '%s' (domain %s, opset %lld) is not implemented%s%s",
                      f.first_node, f.first_op, f.first_domain, (long long)f.first_opset,
                      f.count > 1 ? "; also missing: " : "", others);
    }
    norn_buffer_deinit(&f.list);
    return status;
}
