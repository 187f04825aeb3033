#include "package/refit.h"

#include "base/memory.h"
#include "graph/model.h"
#include "tensor/view.h"

#include <string.h>

struct norn_package_weight {
    norn_package_weight *next;
    norn_view *view; ///< what values of the model's graph point to
    void *data;      ///< of `view`
    void *before; ///< while it is tried: what it was; data of a package_weight, or the model file's
};

// ---- where a weight stands

static bool is_weight(norn_dtype dtype) {
    return dtype == NORN_F32 || dtype == NORN_F16 || dtype == NORN_BF16 || dtype == NORN_I8;
}

static const norn_view *data_of(const norn_value *value) {
    return value->data ? value->data : value->fallback;
}

/// The initializer of that name at the top of the graph, or NULL.
static const norn_view *find(norn_value *const *values, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (values[i] && data_of(values[i]) && strcmp(values[i]->name, name) == 0)
            return data_of(values[i]);
    return NULL;
}

/// All that points to the bytes of `old` points to `view` from now on, in bodies too.
static norn_status point(norn_graph *graph, const void *old, const norn_view *view,
                         norn_arena *arena) {
    norn_value **values;
    NORN_TRY(norn_graph_values(graph, arena, &values));
    for (uint32_t i = 0; i < graph->value_count; i++) {
        if (!values[i]) continue;
        if (values[i]->data && values[i]->data->data == old) values[i]->data = view;
        if (values[i]->fallback && values[i]->fallback->data == old) values[i]->fallback = view;
    }
    for (norn_graph *body = graph->bodies; body; body = body->next_body)
        NORN_TRY(point(body, old, view, arena));
    return NORN_OK;
}

static norn_status check(const norn_view *ours, const norn_dense_tensor *tensor) {
    char wanted[NORN_VIEW_TEXT], given[NORN_VIEW_TEXT];
    if (!ours) return norn_fail(NORN_NOT_FOUND, "the model has no initializer '%s'", tensor->name);
    if (is_weight(ours->dtype) && norn_view_same_shape(ours, &tensor->view) &&
        ours->dtype == tensor->view.dtype)
        return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "initializer '%s' is %s; what was published is %s",
                     tensor->name, norn_view_text(ours, wanted),
                     norn_view_text(&tensor->view, given));
}

// ---- putting weights in place

static norn_package_weight *weight_of(const norn_package *package, const norn_view *view) {
    norn_package_weight *at = package->weights;
    while (at && at->view != view) at = at->next;
    return at;
}

/// A weight that is replaced for the first time gets a view of its own.
static norn_status make_weight(norn_package *package, const norn_view *old, norn_arena *arena,
                               norn_package_weight **out) {
    norn_graph *graph = package->model->graph;
    norn_package_weight *weight;
    *out = weight_of(package, old);
    if (*out) return NORN_OK;
    NORN_TRY(NORN_TAKE(&package->arena, &weight));
    NORN_TRY(NORN_TAKE(&graph->arena, &weight->view));
    *weight->view = *old;
    NORN_TRY(point(graph, old->data, weight->view, arena));
    weight->next = package->weights;
    package->weights = weight;
    *out = weight;
    return NORN_OK;
}

static norn_status put(norn_package *package, const norn_view *old, const norn_dense_tensor *tensor,
                       norn_arena *arena) {
    norn_package_weight *weight;
    void *data;
    if (tensor->total == 0) return NORN_OK;
    NORN_TRY(make_weight(package, old, arena, &weight));
    NORN_TRY(norn_alloc_bytes(package->alloc, tensor->total + 1, &data));
    memcpy(data, tensor->view.data, tensor->total);
    if (weight->before) // another name of the same bytes
        norn_free(package->alloc, weight->view->data);
    else
        weight->before = weight->view->data;
    weight->view->data = data;
    return NORN_OK;
}

/// Keep what was put, or take it back.
static void settle(norn_package *package, bool keep) {
    for (norn_package_weight *at = package->weights; at; at = at->next) {
        if (!at->before) continue;
        if (keep) {
            norn_free(package->alloc, at->data);
            at->data = at->view->data;
        } else {
            norn_free(package->alloc, at->view->data);
            at->view->data = at->before;
        }
        at->before = NULL;
    }
}

static norn_status put_all(norn_package *package, const norn_dense_set *weights,
                           norn_arena *arena) {
    norn_graph *graph = package->model->graph;
    norn_value **values;
    NORN_TRY(norn_graph_values(graph, arena, &values));
    for (const norn_dense_tensor *at = weights->first; at; at = at->next)
        NORN_TRY(check(find(values, graph->value_count, at->name), at));
    for (const norn_dense_tensor *at = weights->first; at; at = at->next)
        NORN_TRY(put(package, find(values, graph->value_count, at->name), at, arena));
    return NORN_OK;
}

norn_status norn_package_refit(norn_package *package, const norn_dense_set *weights,
                               norn_plan **out) {
    norn_arena arena;
    *out = NULL;
    if (!package->model)
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "weights were published, and %s: publish a full version",
                         package->compiled ? "the model was not kept"
                                           : "model.norn cannot take others; serve model.onnx");
    norn_arena_init(&arena, package->alloc, 4096);
    norn_status status = put_all(package, weights, &arena);
    if (status == NORN_OK)
        status = norn_plan_compile(package->model, &package->compile, package->alloc, out);
    settle(package, status == NORN_OK);
    norn_arena_deinit(&arena);
    return status;
}

void norn_package_weights_free(norn_package *package) {
    for (norn_package_weight *at = package->weights; at; at = at->next)
        norn_free(package->alloc, at->data);
    package->weights = NULL;
}
