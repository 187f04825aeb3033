/// For tests: small graphs made by hand, as the passes leave them.
#ifndef NORN_TESTING_HAND_GRAPH_H
#define NORN_TESTING_HAND_GRAPH_H

#include "cpu/cpu_device.h"
#include "norn/session.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "plan/plan_load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAND_WITHOUT_CMOCKA // fuzz targets
#define HAND_OK(expr)                                                                       \
    do {                                                                                    \
        if ((expr) != NORN_OK) fprintf(stderr, "%s: %s\n", #expr, norn_message()), abort(); \
    } while (0)
#else
#include <cmocka.h>

#define HAND_OK(expr)                                                                \
    do {                                                                             \
        norn_status hand_status_ = (expr);                                           \
        if (hand_status_ != NORN_OK) print_error("%s: %s\n", #expr, norn_message()); \
        assert_int_equal(hand_status_, NORN_OK);                                     \
    } while (0)
#endif

typedef struct hand {
    norn_graph *graph;
    int32_t batch;
} hand;

static inline hand hand_begin(norn_alloc alloc, int64_t max_batch) {
    hand h;
    HAND_OK(norn_graph_create("hand", alloc, &h.graph));
    HAND_OK(norn_symbol_input(&h.graph->symbols, "B", &h.batch));
    norn_symbol *symbol = &h.graph->symbols.at[h.batch];
    symbol->min = 1, symbol->opt = max_batch < 64 ? max_batch : 64, symbol->max = max_batch;
    h.graph->batch = h.batch;
    return h;
}

/// [B, width], or [B] when width is 0.
static inline norn_shape hand_rows(const hand *h, int64_t width) {
    norn_shape shape = {.rank = width ? 2 : 1};
    shape.dims[0] = norn_dim_symbol(h->batch);
    shape.dims[1] = norn_dim_const(width);
    return shape;
}

static inline norn_value *hand_value(hand *h, const char *name, norn_dtype dtype,
                                     norn_shape shape) {
    norn_value *value;
    HAND_OK(norn_graph_value(h->graph, name, dtype, &shape, &value));
    return value;
}

static inline norn_value *hand_input(hand *h, const char *name, norn_dtype dtype,
                                     norn_shape shape) {
    norn_value *value = hand_value(h, name, dtype, shape);
    HAND_OK(norn_graph_add_input(h->graph, value));
    return value;
}

/// A constant with bytes of its own in the graph's arena.
static inline norn_value *hand_const(hand *h, const char *name, norn_dtype dtype, int32_t rank,
                                     const int64_t *dims, const void *bytes) {
    norn_view view = norn_view_of(dtype, rank, dims, NULL);
    norn_value *value;
    size_t count;
    HAND_OK(norn_view_bytes(&view, &count));
    HAND_OK(norn_arena_take(&h->graph->arena, count ? count : 1, 1, 64, &view.data));
    memcpy(view.data, bytes, count);
    HAND_OK(norn_graph_constant(h->graph, name, &view, &value));
    return value;
}

static inline norn_node *hand_node(hand *h, norn_op_id op, const char *name, norn_value **in,
                                   uint32_t in_count, norn_value **out, uint32_t out_count,
                                   norn_attrs attrs, const norn_region *region) {
    norn_node *node;
    HAND_OK(norn_graph_node(h->graph, NULL, norn_op_info_of(op), name, in, in_count, out, out_count,
                            attrs, NULL, &node));
    node->region = region;
    node->numbers = norn_numbers_of(node);
    return node;
}

/// y[B, n] = relu?(x[B, k] * w[k, n] + bias): weights are small
/// integers that depend on their place.
static inline norn_value *hand_gemm(hand *h, const char *name, norn_value *x, int64_t k, int64_t n,
                                    bool relu) {
    char text[64];
    float *weights = calloc((size_t)(k * n), sizeof *weights),
          *bias = calloc((size_t)n, sizeof *bias);
    for (int64_t i = 0; i < k * n; i++) weights[i] = (float)((i * 7 + 3) % 11 - 5);
    for (int64_t i = 0; i < n; i++) bias[i] = (float)(i % 5 - 2);
    snprintf(text, sizeof text, "%s.weight", name);
    norn_value *w = hand_const(h, text, NORN_F32, 2, (int64_t[]){k, n}, weights);
    snprintf(text, sizeof text, "%s.bias", name);
    norn_value *b = hand_const(h, text, NORN_F32, 1, (int64_t[]){n}, bias);
    free(weights);
    free(bias);
    norn_scalar_builder *builder = calloc(1, sizeof *builder);
    norn_region *region;
    uint16_t acc, add, zero;
    builder->arena = &h->graph->arena;
    HAND_OK(NORN_TAKE(&h->graph->arena, &region));
    HAND_OK(norn_scalar_load_of(
        builder, &(norn_scalar_load){.input = NORN_SCALAR_ACC, .dtype = NORN_F32}, &acc));
    HAND_OK(norn_scalar_load_of(
        builder, &(norn_scalar_load){.input = 2, .dtype = NORN_F32, .broadcast = {true}}, &add));
    HAND_OK(norn_scalar_emit(builder, NORN_SCALAR_ADD, NORN_F32, acc, add, 0, &acc));
    if (relu) {
        HAND_OK(norn_scalar_const(builder, NORN_F32, 0.0, 0, &zero));
        HAND_OK(norn_scalar_emit(builder, NORN_SCALAR_MAX, NORN_F32, acc, zero, 0, &acc));
    }
    region->gemm.k = k;
    region->gemm.n = n;
    HAND_OK(norn_scalar_finish(builder, &acc, 1, &region->gemm.epilogue));
    free(builder);
    norn_value *y = hand_value(h, name, NORN_F32, hand_rows(h, n));
    hand_node(h, NORN_OP_GemmRegion, name, (norn_value *[]){x, w, b}, 3, &y, 1, (norn_attrs){0},
              region);
    return y;
}

/// What hand_gemm computes, for one row.
static inline void hand_gemm_row(const float *x, int64_t k, int64_t n, bool relu, float *y) {
    for (int64_t j = 0; j < n; j++) {
        float sum = (float)(j % 5 - 2);
        for (int64_t i = 0; i < k; i++) sum += x[i] * (float)(((i * n + j) * 7 + 3) % 11 - 5);
        y[j] = relu && sum < 0 ? 0 : sum;
    }
}

static inline void hand_output(hand *h, norn_value *value) {
    HAND_OK(norn_graph_add_output(h->graph, value));
}

/// A plan of the graph, which it takes over.
static inline norn_plan *hand_plan(hand *h, const char *device) {
    norn_plan *plan;
    HAND_OK(norn_plan_create(h->graph->alloc, &plan));
    plan->graph = h->graph;
    h->graph = NULL;
    plan->name = "hand";
    norn_device_offer(&norn_cpu_kind);
    HAND_OK(norn_plan_open_devices(plan, device));
    HAND_OK(norn_plan_finish(plan));
    return plan;
}

/// A session of one thread, to which the plan is left.
static inline norn_session *hand_session(norn_plan *plan) {
    norn_session *session;
    HAND_OK(norn_session_create(plan, &(norn_session_options){.threads = 1}, norn_alloc_heap(),
                                &session));
    norn_plan_release(plan);
    return session;
}

/// x[B, 4] -> 8, relu -> 3.
static inline norn_plan *hand_mlp(norn_alloc alloc, const char *device, int64_t max_batch) {
    hand h = hand_begin(alloc, max_batch);
    norn_value *x = hand_input(&h, "x", NORN_F32, hand_rows(&h, 4));
    norn_value *y = hand_gemm(&h, "top", hand_gemm(&h, "bottom", x, 4, 8, true), 8, 3, false);
    hand_output(&h, y);
    return hand_plan(&h, device);
}

static inline void hand_mlp_row(const float x[4], float y[3]) {
    float middle[8];
    hand_gemm_row(x, 4, 8, true, middle);
    hand_gemm_row(middle, 8, 3, false, y);
}

#endif
