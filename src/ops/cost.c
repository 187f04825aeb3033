// Work of one execution. Costs are for people (inspect, traces) and for the planner's choices; they
// never fail: where an operand is not as expected they count what is there.
#include "ops/op.h"

#include "tensor/dtype.h"

#include <string.h>

static double elems(const norn_view *view) {
    int64_t n = norn_view_present(view) ? norn_view_elems(view) : 0;
    return n < 0 ? 0 : (double)n;
}

static double bytes_of(const norn_view *views, uint32_t count) {
    double sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += elems(&views[i]) * norn_dtype_bits(views[i].dtype) / 8.0;
    return sum;
}

static double dim(const norn_view *view, int32_t from_last) {
    return from_last < view->rank ? (double)view->dims[view->rank - 1 - from_last] : 1;
}

#define COST(name)                                                                          \
    void name(norn_attrs attrs, const void *region, const norn_view *in, uint32_t in_count, \
              const norn_view *out, uint32_t out_count, norn_cost *result)
#define UNUSED() (void)attrs, (void)region, (void)in, (void)in_count, (void)out, (void)out_count
#define MOVED() (bytes_of(in, in_count) + bytes_of(out, out_count))

COST(norn_cost_none) {
    UNUSED();
    *result = (norn_cost){0};
}

/// A change of shape: no work, though a device may copy.
COST(norn_cost_view) {
    UNUSED();
    *result = (norn_cost){0};
}

COST(norn_cost_move) {
    UNUSED();
    double written = bytes_of(out, out_count), read = bytes_of(in, in_count);
    *result = (norn_cost){
        .bytes = written + (read < written ? read : written)}; // Gather reads what it writes
}

COST(norn_cost_elems) {
    UNUSED();
    double inputs = in_count > 1 ? in_count - 1 : 1;
    *result = (norn_cost){.flops = out_count ? elems(&out[0]) * inputs : 0, .bytes = MOVED()};
}

COST(norn_cost_reduce) {
    UNUSED();
    *result = (norn_cost){.flops = in_count ? elems(&in[0]) : 0, .bytes = MOVED()};
}

/// Softmax and norms: about five operations an element.
COST(norn_cost_row) {
    UNUSED();
    *result = (norn_cost){.flops = in_count ? 5 * elems(&in[0]) : 0, .bytes = MOVED()};
}

COST(norn_cost_matmul) {
    UNUSED();
    bool trans_a = norn_attr_i64(attrs, "transA", 0) != 0;
    double k = in_count && in[0].rank > 0 ? dim(&in[0], trans_a ? 1 : 0) : 0;
    *result = (norn_cost){.flops = out_count ? 2 * k * elems(&out[0]) : 0, .bytes = MOVED()};
}

COST(norn_cost_qlinear_matmul) {
    UNUSED();
    double k = in_count ? dim(&in[0], 0) : 0;
    *result = (norn_cost){.flops = out_count ? 2 * k * elems(&out[0]) : 0, .bytes = MOVED()};
}

/// Every output element sums over what the whole weight has for its channel.
static double conv_flops(const norn_view *weight, const norn_view *out) {
    double channels = weight->rank > 0 && weight->dims[0] > 0 ? (double)weight->dims[0] : 1;
    return 2 * elems(out) * elems(weight) / channels;
}

COST(norn_cost_conv) {
    UNUSED();
    *result = (norn_cost){.flops = in_count > 1 && out_count ? conv_flops(&in[1], &out[0]) : 0,
                          .bytes = MOVED()};
}

COST(norn_cost_qlinear_conv) {
    UNUSED();
    *result = (norn_cost){.flops = in_count > 3 && out_count ? conv_flops(&in[3], &out[0]) : 0,
                          .bytes = MOVED()};
}

COST(norn_cost_conv_transpose) {
    UNUSED();
    *result = (norn_cost){.flops = in_count > 1 ? conv_flops(&in[1], &in[0]) : 0, .bytes = MOVED()};
}

COST(norn_cost_pool) {
    UNUSED();
    const int64_t *kernel;
    uint32_t rank = norn_attr_ints(attrs, "kernel_shape", &kernel);
    double window = 1;
    for (uint32_t i = 0; i < rank; i++) window *= (double)kernel[i];
    *result = (norn_cost){.flops = out_count ? window * elems(&out[0]) : 0, .bytes = MOVED()};
}

/// X [.., .., input] through W and R at every step of every sequence.
COST(norn_cost_recurrent) {
    UNUSED();
    double steps = in_count && in[0].rank == 3 ? (double)in[0].dims[0] * (double)in[0].dims[1] : 0;
    double weights = in_count > 2 ? elems(&in[1]) + elems(&in[2]) : 0;
    *result = (norn_cost){.flops = 2 * steps * weights, .bytes = MOVED()};
}

COST(norn_cost_attention) {
    UNUSED();
    double length = in_count > 1 && in[1].rank >= 3 ? dim(&in[1], 1) : 0;
    double q = in_count ? elems(&in[0]) : 0, y = out_count ? elems(&out[0]) : 0;
    *result = (norn_cost){.flops = 2 * length * (q + y), .bytes = MOVED()};
}

/// The product of all index sizes, bounded below by the largest operand: exact for products of two.
COST(norn_cost_einsum) {
    UNUSED();
    double size[128] = {0}, total = 1;
    const char *c = norn_attr_string(attrs, "equation", "");
    for (uint32_t i = 0; i < in_count && *c; i++) {
        int32_t d = 0;
        for (; *c && *c != ',' && *c != '-'; c++) {
            bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z');
            if (letter && d < in[i].rank) size[(int)*c] = (double)in[i].dims[d++];
        }
        if (*c == ',') c++;
    }
    for (int letter = 'A'; letter <= 'z'; letter++)
        if (size[letter] > 0) total *= size[letter];
    *result =
        (norn_cost){.flops = total * (in_count > 1 ? 2 * (in_count - 1) : 1), .bytes = MOVED()};
}

// ---- regions

static double program_flops(const norn_scalar_program *program) {
    double flops = 0;
    for (uint32_t i = 0; i < program->instr_count; i++) {
        uint16_t op = program->instrs[i].op;
        if (op != NORN_SCALAR_LOAD && op != NORN_SCALAR_CONST && op != NORN_SCALAR_CAST) flops++;
    }
    return flops;
}

COST(norn_cost_gemm_region) {
    UNUSED();
    const norn_gemm_region *gemm = region;
    double outputs = out_count ? elems(&out[0]) : 0;
    *result = (norn_cost){.flops = outputs * (2 * (double)gemm->k + program_flops(&gemm->epilogue)),
                          .bytes = MOVED()};
}

COST(norn_cost_pointwise) {
    UNUSED();
    const norn_pointwise_region *pointwise = region;
    *result =
        (norn_cost){.flops = out_count ? elems(&out[0]) * program_flops(&pointwise->program) : 0,
                    .bytes = MOVED()};
}

COST(norn_cost_row_reduce) {
    UNUSED();
    const norn_row_reduce_region *reduce = region;
    double most = 0;
    for (uint32_t i = 0; i < in_count; i++)
        if (elems(&in[i]) > most) most = elems(&in[i]);
    double flops = most * (1 + program_flops(&reduce->prologue)) +
                   (out_count ? elems(&out[0]) : 0) * program_flops(&reduce->epilogue);
    *result = (norn_cost){.flops = flops, .bytes = MOVED()};
}

/// Rows are read once a key; ai.norn nodes have no region yet and count their output.
COST(norn_cost_lookup) {
    UNUSED();
    double written = bytes_of(out, out_count), rows = 0, flops = 0;
    const norn_lookup_region *lookup = region;
    for (uint32_t i = 0; lookup && i < lookup->column_count; i++) {
        const norn_lookup_column *column = &lookup->columns[i];
        if (column->keys_input >= in_count) continue;
        const norn_view *keys = &in[column->keys_input];
        double count = elems(keys);
        if (column->keys_stride > 0)
            count = count / (double)column->keys_stride * (double)column->keys_count;
        rows += count * (double)column->dim * 4;
        if (column->pool != NORN_POOL_NONE) flops += count * (double)column->dim;
    }
    *result = (norn_cost){.flops = flops,
                          .bytes = bytes_of(in, lookup ? 0 : in_count) + written +
                                   (lookup ? rows : written)};
}

COST(norn_cost_interaction) {
    UNUSED();
    const norn_interaction_region *r = region;
    double batch = out_count && out[0].rank > 0 ? (double)out[0].dims[0] : 0;
    double f = (double)r->features, d = (double)r->dim;
    double pairs = r->pair_order ? r->pair_count : f * (f + (r->diagonal ? 1 : -1)) / 2;
    double flops = r->kind == NORN_INTERACTION_FM ? 4 * f * d : 2 * pairs * d;
    *result = (norn_cost){.flops = batch * flops, .bytes = MOVED()};
}
