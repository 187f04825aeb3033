#include "passes/fuse.h"

#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

norn_fuse_loops norn_fuse_loops_of(const norn_shape *shape) {
    norn_fuse_loops loops = {.shape = *shape, .count = shape->rank < 0 ? 0 : shape->rank};
    for (int32_t i = 0; i < NORN_MAX_RANK; i++) loops.loop_of[i] = (int8_t)i;
    return loops;
}

norn_fuse_loops norn_fuse_loops_rows(const norn_shape *shape) {
    norn_fuse_loops loops = {.shape = *shape, .count = 2};
    if (shape->rank > 0) loops.loop_of[shape->rank - 1] = 1;
    return loops;
}

void norn_fuse_init(norn_fuse *fuse, norn_graph *graph, const norn_fuse_loops *loops,
                    norn_value *const *first, uint32_t first_count) {
    fuse->graph = graph;
    fuse->loops = *loops;
    fuse->operands = NORN_DTYPE_NONE;
    fuse->dynamic = fuse->has_dynamic = false;
    fuse->input_count = first_count;
    for (uint32_t i = 0; i < first_count; i++) fuse->inputs[i] = first[i];
    fuse->value_count = 0;
    fuse->builder.arena = &graph->arena;
    fuse->builder.load_count = fuse->builder.instr_count = 0;
}

void norn_fuse_bind(norn_fuse *fuse, const norn_value *value, uint16_t reg) {
    if (fuse->value_count == NORN_FUSE_VALUE_MAX) return; // it is computed or loaded again
    fuse->value[fuse->value_count] = value;
    fuse->reg[fuse->value_count++] = reg;
}

bool norn_fuse_find(const norn_fuse *fuse, const norn_value *value, uint16_t *reg) {
    for (uint32_t i = fuse->value_count; i-- > 0;) {
        if (fuse->value[i] != value) continue;
        *reg = fuse->reg[i];
        return true;
    }
    return false;
}

typedef enum repeat { REPEATS, DIFFERS, EITHER, UNKNOWN } repeat;

/// Whether the operand repeats along a dim of the result.
static repeat repeats(norn_dim in, norn_dim out) {
    bool in_one = norn_dim_is_const(in) && in.constant == 1,
         out_one = norn_dim_is_const(out) && out.constant == 1;
    if (in_one && out_one) return EITHER;
    if (in_one) return REPEATS;
    return norn_dim_equal(in, out) ? DIFFERS : UNKNOWN;
}

/// Fills load->broadcast; false when the operand cannot be read over these loop dims.
static bool describe(const norn_fuse *fuse, const norn_shape *shape, norn_scalar_load *load) {
    const norn_fuse_loops *loops = &fuse->loops;
    repeat of[NORN_MAX_RANK];
    int32_t rank = loops->shape.rank;
    for (int32_t i = 0; i < NORN_MAX_RANK; i++) of[i] = EITHER;
    load->dynamic = rank < 0 || shape->rank < 0 || shape->rank > rank;
    for (int32_t i = 0; i < rank && !load->dynamic; i++) {
        int32_t at = i - rank + shape->rank;
        norn_dim in = at < 0 ? norn_dim_const(1) : shape->dims[at];
        repeat now = repeats(in, loops->shape.dims[i]);
        int8_t loop = loops->loop_of[i];
        if (now == UNKNOWN) load->dynamic = true;
        if (now == EITHER) continue;
        if (loop < 0 || (of[loop] != EITHER && of[loop] != now)) return false;
        of[loop] = now;
    }
    for (int32_t i = 0; i < loops->count; i++)
        load->broadcast[i] = of[i] == REPEATS || of[i] == EITHER;
    return !load->dynamic || fuse->dynamic;
}

static bool has_scalar_form(norn_dtype dtype) {
    return norn_scalar_register_dtype(dtype) != NORN_DTYPE_NONE;
}

/// Constants that a CONST can hold as they are.
/// The program is full, or an operator has no such form: no error for who fuses.
static norn_status settle(norn_status status, bool *fits) {
    *fits = status == NORN_OK;
    return status == NORN_INVALID_ARGUMENT || status == NORN_UNIMPLEMENTED ? NORN_OK : status;
}

static uint32_t input_index(norn_fuse *fuse, norn_value *value) {
    for (uint32_t i = 0; i < fuse->input_count; i++) {
        if (fuse->inputs[i] == value) return i;
    }
    if (fuse->input_count < NORN_FUSE_INPUT_MAX) fuse->inputs[fuse->input_count] = value;
    return fuse->input_count++; // one too many is refused by the caller
}

norn_status norn_fuse_acc(norn_fuse *fuse, norn_dtype dtype, uint16_t *reg) {
    norn_scalar_load load = {.input = NORN_SCALAR_ACC, .dtype = norn_sum_dtype(dtype)};
    return norn_scalar_load_of(&fuse->builder, &load, reg);
}

norn_status norn_fuse_round(norn_fuse *fuse, norn_dtype dtype, uint16_t *reg) {
    const norn_dtype native = norn_scalar_register_dtype(dtype);
    if (native == dtype) return NORN_OK;
    NORN_TRY(norn_scalar_emit(&fuse->builder, NORN_SCALAR_CAST, dtype, *reg, 0, 0, reg));
    return norn_scalar_emit(&fuse->builder, NORN_SCALAR_CAST, native, *reg, 0, 0, reg);
}

norn_status norn_fuse_load(norn_fuse *fuse, norn_value *value, uint16_t *reg, bool *fits) {
    *fits = true;
    if (norn_fuse_find(fuse, value, reg)) return NORN_OK;
    if (value->data && norn_scalar_is_const(value->data) &&
        value->shape.rank <= fuse->loops.shape.rank) {
        NORN_TRY(settle(norn_scalar_const_of(&fuse->builder, value->data, reg), fits));
    } else {
        norn_scalar_load load = {.dtype = value->dtype};
        *fits = has_scalar_form(value->dtype) &&
                (fuse->operands == NORN_DTYPE_NONE || value->dtype == fuse->operands) &&
                describe(fuse, &value->shape, &load);
        if (!*fits) return NORN_OK;
        uint32_t inputs = fuse->input_count;
        load.input = input_index(fuse, value);
        *fits = load.input < NORN_FUSE_INPUT_MAX;
        if (*fits) NORN_TRY(settle(norn_scalar_load_of(&fuse->builder, &load, reg), fits));
        if (!*fits) fuse->input_count = inputs;
        fuse->has_dynamic = fuse->has_dynamic || (*fits && load.dynamic);
    }
    if (*fits) norn_fuse_bind(fuse, value, *reg);
    return NORN_OK;
}

/// Expand is a load that repeats.
static bool is_static_expand(const norn_graph *graph, const norn_node *node) {
    return norn_node_is(node, NORN_OP_Expand) && node->in[0].value &&
           norn_shape_is_static(graph, &node->out[0]->shape) &&
           norn_shape_is_static(graph, &node->in[0].value->shape);
}

bool norn_fuse_is_pointwise(const norn_graph *graph, const norn_node *node) {
    if (node->dead || node->region || node->out_count != 1 || !node->out[0]) return false;
    if (!has_scalar_form(node->out[0]->dtype)) return false;
    return (node->op->flags & NORN_OP_POINTWISE) || is_static_expand(graph, node);
}

static norn_status emit(norn_fuse *fuse, const norn_node *node, bool *fits) {
    enum { OPERANDS_MAX = 32 };
    uint16_t regs[OPERANDS_MAX], result;
    norn_dtype dtypes[OPERANDS_MAX] = {NORN_DTYPE_NONE};
    memset(regs, 0xff, sizeof regs); // omitted
    uint32_t count = norn_node_is(node, NORN_OP_Expand) ? 1 : node->in_count;
    *fits = count <= OPERANDS_MAX && norn_fuse_is_pointwise(fuse->graph, node);
    for (uint32_t i = 0; i < count && *fits; i++) {
        norn_value *in = node->in[i].value;
        dtypes[i] = in ? in->dtype : NORN_DTYPE_NONE;
        // The second input of CastLike gives its type only.
        if (in && !(i == 1 && norn_node_is(node, NORN_OP_CastLike))) {
            NORN_TRY(norn_fuse_load(fuse, in, &regs[i], fits));
        }
    }
    if (!*fits) return NORN_OK;
    if (norn_node_is(node, NORN_OP_Expand)) {
        result = regs[0];
    } else {
        NORN_TRY(settle(norn_scalar_emit_node(&fuse->builder, node->op, node->attrs, dtypes, regs,
                                              count, node->out[0]->dtype, &result),
                        fits));
    }
    if (*fits) norn_fuse_bind(fuse, node->out[0], result);
    return NORN_OK;
}

norn_status norn_fuse_node(norn_fuse *fuse, const norn_node *node, bool *fits) {
    uint32_t inputs = fuse->input_count, values = fuse->value_count;
    uint32_t loads = fuse->builder.load_count, instrs = fuse->builder.instr_count;
    bool has_dynamic = fuse->has_dynamic;
    NORN_TRY(emit(fuse, node, fits));
    if (*fits) return NORN_OK;
    fuse->input_count = inputs, fuse->value_count = values;
    fuse->builder.load_count = loads, fuse->builder.instr_count = instrs;
    fuse->has_dynamic = has_dynamic;
    return NORN_OK;
}

norn_status norn_fuse_finish(norn_fuse *fuse, norn_value *const *stores, uint32_t store_count,
                             norn_scalar_program *out) {
    uint16_t regs[NORN_SCALAR_STORE_MAX];
    if (store_count > NORN_SCALAR_STORE_MAX) return norn_fail(NORN_INTERNAL, "too many stores");
    for (uint32_t i = 0; i < store_count; i++) {
        if (!norn_fuse_find(fuse, stores[i], &regs[i]))
            return norn_fail(NORN_INTERNAL, "a store has no register");
    }
    NORN_TRY(norn_scalar_finish(&fuse->builder, regs, store_count, out));
    return norn_scalar_verify(out, fuse->input_count, store_count);
}
