#include "base/memory.h"
#include "compile/compile.h"
#include "graph/model.h"
#include "tensor/view.h"

#include <string.h>

enum { OWN_BYTES = 256 << 10 };

typedef struct adopter {
    norn_plan *plan;
    const norn_model *model;
    norn_graph *top;
    bool *kept; ///< by the model's file index
} adopter;

/// The plan keeps the model's file `index` too.
static norn_status keep_file(adopter *a, uint32_t index) {
    if (a->kept[index]) return NORN_OK;
    a->kept[index] = true;
    return norn_plan_keep_file(a->plan, norn_file_retain(a->model->files[index]));
}

/// Strings are text of the model: copied one by one.
static norn_status copy_strings(adopter *a, norn_view *view, int64_t elems) {
    norn_string *strings;
    const norn_string *from = view->data;
    NORN_TRY(NORN_TAKE_ARRAY(&a->top->arena, (size_t)elems, &strings));
    for (int64_t i = 0; i < elems; i++) {
        strings[i].count = from[i].count;
        NORN_TRY(
            norn_arena_string(&a->top->arena, from[i].bytes, from[i].count, &strings[i].bytes));
    }
    view->data = strings;
    return NORN_OK;
}

/// A large one can be given back alone, when the passes leave something else in its place.
static norn_status copy_alone(adopter *a, norn_view *view, size_t bytes) {
    norn_file *file;
    NORN_TRY(norn_file_copy(norn_span_of(view->data, bytes), a->model->path ? a->model->path : "",
                            a->plan->alloc, &file));
    view->data = (void *)(uintptr_t)norn_file_bytes(file).bytes;
    return norn_plan_keep_file(a->plan, file);
}

static norn_status adopt(adopter *a, const norn_view *old, const norn_view **out) {
    norn_view *view;
    size_t bytes;
    NORN_TRY(NORN_TAKE(&a->top->arena, &view));
    *view = *old;
    *out = view;
    NORN_TRY(norn_view_bytes(old, &bytes));
    if (bytes == 0 || !old->data) return NORN_OK;
    if (old->dtype == NORN_STRING) return copy_strings(a, view, norn_view_elems(old));
    uintptr_t at = (uintptr_t)old->data;
    for (uint32_t i = 0; i < a->model->file_count; i++) {
        norn_span file = norn_file_bytes(a->model->files[i]);
        uintptr_t begin = (uintptr_t)file.bytes;
        if (at < begin || at - begin >= file.count) continue;
        return keep_file(a, i);
    }
    if (bytes >= OWN_BYTES) return copy_alone(a, view, bytes);
    void *copy;
    NORN_TRY(norn_arena_take(&a->top->arena, bytes, 1, NORN_HOST_ALIGN, &copy));
    view->data = memcpy(copy, old->data, bytes);
    return NORN_OK;
}

static norn_status adopt_graph(adopter *a, norn_graph *graph);

static norn_status adopt_attrs(adopter *a, norn_attrs attrs) {
    for (uint32_t i = 0; i < attrs.count; i++) {
        // The clone's attributes are its own; they are const to everybody else.
        norn_attr *attr = (norn_attr *)(uintptr_t)&attrs.at[i];
        if (attr->kind == NORN_ATTR_TENSOR) NORN_TRY(adopt(a, attr->tensor, &attr->tensor));
        if (attr->kind == NORN_ATTR_GRAPH) NORN_TRY(adopt_graph(a, attr->graph));
    }
    return NORN_OK;
}

static norn_status adopt_graph(adopter *a, norn_graph *graph) {
    norn_value **values;
    NORN_TRY(norn_graph_values(graph, &graph->arena, &values));
    for (uint32_t i = 0; i < graph->value_count; i++)
        if (values[i] && values[i]->data) NORN_TRY(adopt(a, values[i]->data, &values[i]->data));
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (graph->inputs[i]->fallback)
            NORN_TRY(adopt(a, graph->inputs[i]->fallback, &graph->inputs[i]->fallback));
    for (const norn_node *node = graph->nodes; node; node = node->next)
        NORN_TRY(adopt_attrs(a, node->attrs));
    return NORN_OK;
}

norn_status norn_compile_adopt_constants(norn_plan *plan, const norn_model *model,
                                         norn_graph *graph) {
    adopter a = {.plan = plan, .model = model, .top = graph};
    NORN_TRY(NORN_TAKE_ARRAY(&graph->arena, (size_t)model->file_count + 1, &a.kept));
    return adopt_graph(&a, graph);
}
