#include "compile/evaluate.h"
#include "base/memory.h"
#include "ops/op.h"
#include "plan/program.h"
#include "plan/step_shape.h"

#include <string.h>

/// One node in flight. Outputs go to the graph's arena, scratch to one that ends with the call.
typedef struct evaluation {
    norn_call call; ///< first: the host functions find the evaluation by it
    norn_graph *graph;
    norn_arena scratch;
} evaluation;

static norn_status take_output(evaluation *e, norn_view *view) {
    size_t bytes;
    NORN_TRY(norn_view_bytes(view, &bytes));
    return norn_arena_take(&e->graph->arena, bytes ? bytes : 1, 1, NORN_HOST_ALIGN, &view->data);
}

static norn_status on_output(norn_call *call, uint32_t index, norn_dtype dtype, int32_t rank,
                             const int64_t *dims) {
    evaluation *e = (evaluation *)(void *)call;
    norn_view view = norn_view_of(dtype, rank, dims, NULL);
    NORN_TRY(take_output(e, &view));
    call->out[index] = view;
    return NORN_OK;
}

static norn_status on_scratch(norn_call *call, size_t bytes, void **out) {
    evaluation *e = (evaluation *)(void *)call;
    return norn_arena_take(&e->scratch, bytes ? bytes : 1, 1, NORN_HOST_ALIGN, out);
}

static norn_status on_body(norn_call *call, uint32_t body, const norn_view *in, uint32_t in_count,
                           norn_view *out, uint32_t out_count) {
    (void)body, (void)in, (void)in_count, (void)out, (void)out_count;
    return norn_fail(NORN_UNIMPLEMENTED, "node '%s' is not folded: it has bodies", call->name);
}

static const norn_call_host on_host = {on_output, on_scratch, on_body};

static norn_status run(evaluation *e, norn_device *host, const norn_node *node,
                       const norn_op_info *op) {
    norn_call *call = &e->call;
    norn_step_spec spec = {.name = node->name,
                           .op = op->id,
                           .attrs = node->attrs,
                           .region = call->region,
                           .in = call->in,
                           .out = call->out,
                           .in_count = call->in_count,
                           .out_count = call->out_count};
    norn_kernel_fn kernel = norn_target_kernel(&host->target, &spec);
    if (!kernel)
        return norn_fail(NORN_UNIMPLEMENTED, "node '%s' is not folded: no kernel", node->name);
    call->op = op->id;
    if (host->ops->prepare) NORN_TRY(host->ops->prepare(host, &spec, &call->state));
    norn_status status = kernel(call);
    if (host->ops->unprepare) host->ops->unprepare(host, &spec, call->state);
    return status;
}

static norn_status evaluate(void *context, norn_graph *graph, const norn_node *node,
                            norn_view *out) {
    norn_evaluate *state = context;
    evaluation e = {.graph = graph};
    norn_view *in = NULL;
    norn_region region;
    norn_shape_room room = {.count = node->in_count + node->out_count};
    const norn_op_info *op = node->op;
    norn_status status;
    norn_arena_init(&e.scratch, state->alloc, 1 << 16);
    if (op->flags & (NORN_OP_SUBGRAPH | NORN_OP_EFFECT)) {
        status = norn_fail(NORN_UNIMPLEMENTED, "node '%s' is not folded", node->name);
        goto done;
    }
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&e.scratch, (size_t)node->in_count + 1, &in));
    NORN_TRY_DONE(NORN_TAKE_ARRAY(&e.scratch, (size_t)room.count + 1, &room.io));
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (!node->in[i].value) continue;
        if (!node->in[i].value->data) {
            status = norn_fail(NORN_INTERNAL, "node '%s': input %u is not constant", node->name, i);
            goto done;
        }
        in[i] = *node->in[i].value->data;
    }
    for (uint32_t i = 0; i < node->out_count; i++)
        out[i] = (norn_view){.dtype = node->out[i] ? node->out[i]->dtype : NORN_DTYPE_NONE};
    NORN_TRY_DONE(norn_step_shapes(node, in, node->in_count, out, node->out_count, room));
    for (uint32_t i = 0; i < node->out_count; i++)
        if (norn_view_present(&out[i]) && out[i].rank >= 0) NORN_TRY_DONE(take_output(&e, &out[i]));
    e.call = (norn_call){.name = node->name,
                         .attrs = node->attrs,
                         .region = node->region,
                         .in = in,
                         .in_count = node->in_count,
                         .out = out,
                         .out_count = node->out_count,
                         .host = &on_host};
    if ((op->flags & NORN_OP_POINTWISE) && out[0].rank >= 0) {
        // They have no kernel of their own: a region of this one operator.
        NORN_TRY_DONE(norn_scalar_single(&e.scratch, op, node->attrs, in, node->in_count, &out[0],
                                         &region.pointwise));
        e.call.region = &region;
        op = norn_op_info_of(NORN_OP_Pointwise);
    }
    NORN_TRY_DONE(run(&e, state->host, node, op));
done:
    norn_arena_deinit(&e.scratch);
    return status;
}

norn_evaluator norn_evaluator_on(norn_evaluate *state) {
    return (norn_evaluator){evaluate, state};
}
