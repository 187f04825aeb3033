/// On a GPU the rows that a product reads begin at multiples of 16 bytes, or its matrix units cannot.
/// What writes such rows ends them, or the part of a Concat that is its own, with zeros:
///   GemmRegion(Interaction(..) [B, 479], W [479, n]) of halves
///       -> GemmRegion(Interaction(..) [B, 480], W [480, n])
///   GemmRegion(Concat(dense [B, 13], rows [B, 416]), W [429, n])
///       -> GemmRegion(Concat(dense [B, 16], rows [B, 416]), W [432, n])
/// and so do a product whose result another one reads, and all that a cross layer adds up and
/// multiplies, x0 * (x W + b) + x. Weights have zeros where rows do, in their rows for A and their columns
/// for the result. An input of the model is copied to where it is padded, if it is narrow.
///
/// That what is added are zeros follows from who makes it: an interaction and pointwise work write them;
/// a product's columns of zeros give zeros, which `keeps_zeros` finds the epilogue to keep. (A row with an
/// infinity in it may get NaN there, and its other columns hold infinities or NaN then.) A value whose
/// writer or one of whose readers cannot take its wider rows stays as it is, and with it all that has to
/// have rows like it.
#include "base/memory.h"
#include "graph/numbers.h"
#include "passes/pass_list.h"
#include "passes/rewrite.h"
#include "tensor/dtype.h"

#include <string.h>

enum { ROW_UNIT_BYTES = 16, GAPS_MAX = 16, COPY_MAX = 64 };

/// `count` zeros before column `at` of the rows as they were.
typedef struct gap {
    int64_t at, count;
} gap;

typedef struct layout {
    uint32_t count;
    gap gaps[GAPS_MAX];
} layout;

/// What is known of a value, in its note; NULL: it stays as it is.
typedef struct row {
    bool fixed;  ///< stays as it is
    bool wanted; ///< a product reads it, or what it is part of
    layout layout;
} row;

static row *row_of(const norn_value *value) {
    return value->note;
}
static bool is_fixed(const norn_value *value) {
    return !value->note || row_of(value)->fixed;
}
/// True where that is news.
static bool fix(norn_value *value) {
    if (is_fixed(value)) return false;
    row_of(value)->fixed = true;
    return true;
}

static int64_t width_of(const norn_value *value) {
    return value->shape.dims[value->shape.rank - 1].constant;
}
static bool has_width(const norn_value *value) {
    const norn_shape *shape = &value->shape;
    return shape->rank >= 2 && norn_dim_is_const(shape->dims[shape->rank - 1]) &&
           norn_sum_dtype(value->dtype) == NORN_F32;
}

/// Elements to the next multiple.
static int64_t missing(const norn_value *value) {
    const int64_t unit = ROW_UNIT_BYTES * 8 / norn_dtype_bits(value->dtype);
    return (unit - width_of(value) % unit) % unit;
}

static bool add_gap(layout *to, int64_t at, int64_t count) {
    if (count == 0) return true;
    if (to->count == GAPS_MAX) return false;
    to->gaps[to->count++] = (gap){at, count};
    return true;
}
static int64_t zeros_of(const layout *l) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < l->count; i++) sum += l->gaps[i].count;
    return sum;
}
static bool same(const layout *a, const layout *b) {
    return a->count == b->count && memcmp(a->gaps, b->gaps, a->count * sizeof *a->gaps) == 0;
}

// ---- who can

static bool is_product(const norn_node *node) {
    return norn_node_is(node, NORN_OP_GemmRegion) && norn_node_in(node, 1)->data &&
           node->region->gemm.b_layout != NORN_GEMM_PANELS;
}

static bool is_row_concat(const norn_node *node) {
    if (!norn_node_is(node, NORN_OP_Concat) || !node->out[0] || node->out[0]->shape.rank < 1)
        return false;
    const int64_t axis = norn_attr_i64(node->attrs, "axis", 0);
    return axis == -1 || axis == node->out[0]->shape.rank - 1;
}

/// Whether the epilogue loads `input`, whole.
static bool loads_whole(const norn_node *node, uint32_t input, bool *whole) {
    const norn_scalar_program *epilogue = &node->region->gemm.epilogue;
    bool loads = false;
    *whole = true;
    for (uint32_t i = 0; i < epilogue->load_count; i++) {
        const norn_scalar_load *load = &epilogue->loads[i];
        if (load->input != input) continue;
        loads = true;
        *whole = *whole && !load->broadcast[0] && !load->broadcast[1] && !load->dynamic;
    }
    return loads;
}

/// An operand of the epilogue with a column for each of the result's, so that both are laid out alike.
static bool is_like_result(const norn_node *node, uint32_t input) {
    bool whole;
    return !norn_node_in(node, input)->data && loads_whole(node, input, &whole) && whole;
}

static bool can_read(const norn_use *use) {
    const norn_node *node = use->node;
    bool whole;
    if (!node) return false;
    if (is_row_concat(node)) return true;
    if (!is_product(node)) return false;
    return loads_whole(node, use->index, &whole) ? whole : use->index == 0;
}

/// Zeros from zeros: of the program's result where the sum and all operands that have columns are zero.
static bool keeps_zeros(const norn_scalar_program *program) {
    bool zero[NORN_SCALAR_INSTR_MAX] = {false};
    if (program->instr_count == 0) return true;
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const norn_scalar_instr *instr = &program->instrs[i];
        switch (instr->op) {
        case NORN_SCALAR_LOAD:
            zero[i] =
                !program->loads[instr->load].broadcast[1] && !program->loads[instr->load].dynamic;
            break;
        case NORN_SCALAR_CONST:
            zero[i] = norn_dtype_is_float(instr->dtype) && instr->f64 == 0;
            break;
        case NORN_SCALAR_CAST:
            zero[i] = zero[instr->a] && norn_dtype_is_float(instr->dtype);
            break;
        case NORN_SCALAR_NEG:
        case NORN_SCALAR_ABS:
        case NORN_SCALAR_SQRT:
        case NORN_SCALAR_TANH:
        case NORN_SCALAR_ERF:
            zero[i] = zero[instr->a];
            break;
        case NORN_SCALAR_ADD:
        case NORN_SCALAR_SUB:
        case NORN_SCALAR_MUL:
        case NORN_SCALAR_MIN:
        case NORN_SCALAR_MAX:
            zero[i] = zero[instr->a] && zero[instr->b];
            break;
        default:
            break;
        }
    }
    for (uint32_t i = 0; i < program->store_count; i++)
        if (!zero[program->stores[i]]) return false;
    return true;
}

static bool is_plain(const norn_scalar_program *program) {
    for (uint32_t i = 0; i < program->load_count; i++)
        if (program->loads[i].dynamic) return false;
    return true;
}

static bool can_write(const norn_node *node) {
    if (!node || node->out_count != 1) return false;
    if (is_product(node)) return keeps_zeros(&node->region->gemm.epilogue);
    if (norn_node_is(node, NORN_OP_Pointwise)) return is_plain(&node->region->pointwise.program);
    if (norn_node_is(node, NORN_OP_Interaction))
        return node->region->interaction.kind == NORN_INTERACTION_DOT &&
               node->out[0]->shape.rank == 2;
    return is_row_concat(node);
}

static norn_status note(norn_graph *graph, norn_value *value) {
    row *r;
    value->note = NULL;
    if (!has_width(value) || !can_write(value->producer)) return NORN_OK;
    for (const norn_use *use = value->uses; use; use = use->next)
        if (!can_read(use)) return NORN_OK;
    NORN_TRY(NORN_TAKE(&graph->arena, &r));
    value->note = r;
    return NORN_OK;
}

static bool is_wanted(const norn_value *value) {
    for (const norn_use *use = value->uses; use; use = use->next) {
        const norn_value *out = use->node ? use->node->out[0] : NULL;
        if (use->node && is_product(use->node) && use->index == 0) return true;
        if (out && !is_fixed(out) && row_of(out)->wanted) return true;
    }
    return false;
}

// ---- how

/// A part that nobody pads is copied where it is narrow.
static int64_t copied_zeros(const norn_value *part) {
    const bool can = !part->data && has_width(part) && width_of(part) <= COPY_MAX;
    return can ? missing(part) : 0;
}

/// Of the parts, side by side; false: they are too many.
static bool lay_out_concat(const norn_node *concat, layout *out) {
    int64_t at = 0;
    for (uint32_t i = 0; i < concat->in_count; i++) {
        const norn_value *part = norn_node_in(concat, i);
        if (is_fixed(part)) {
            if (!add_gap(out, at + width_of(part), copied_zeros(part))) return false;
        } else {
            const layout *own = &row_of(part)->layout;
            for (uint32_t g = 0; g < own->count; g++)
                if (!add_gap(out, at + own->gaps[g].at, own->gaps[g].count)) return false;
        }
        at += width_of(part);
    }
    return true;
}

/// Has a column for each of the result's, but not a row for each: no layout is known for it.
static bool is_one_row(const norn_node *node, uint32_t input) {
    const norn_scalar_program *epilogue = &node->region->gemm.epilogue;
    for (uint32_t i = 0; i < epilogue->load_count; i++)
        if (epilogue->loads[i].input == input && epilogue->loads[i].broadcast[0] &&
            !epilogue->loads[i].broadcast[1])
            return !norn_node_in(node, input)->data;
    return false;
}

/// As the operands that the result is laid out like; false: they differ.
static bool lay_out_product(const norn_node *node, layout *out, bool *like_operands) {
    *like_operands = false;
    for (uint32_t i = 0; i < node->in_count; i++) {
        if (!norn_node_in(node, i)) continue;
        if (is_one_row(node, i)) return false;
        if (!is_like_result(node, i)) continue;
        if (is_fixed(norn_node_in(node, i))) return false;
        const layout *own = &row_of(norn_node_in(node, i))->layout;
        if (*like_operands && !same(own, out)) return false;
        *out = *own;
        *like_operands = true;
    }
    return true;
}

static bool lay_out(const norn_node *node, layout *out) {
    const norn_value *value = node->out[0];
    bool like_operands = false;
    *out = (layout){0};
    if (is_row_concat(node)) return row_of(value)->wanted && lay_out_concat(node, out);
    if (is_product(node) && !lay_out_product(node, out, &like_operands)) return false;
    if (like_operands || !row_of(value)->wanted) return true;
    return add_gap(out, width_of(value), missing(value));
}

/// Values that have to be laid out like one that stays, stay; true where that is news.
static bool fix_with(const norn_node *node) {
    bool news = false;
    for (uint32_t i = 0; i < node->in_count; i++) {
        norn_value *in = norn_node_in(node, i);
        if (!in || in->data) continue;
        if (is_row_concat(node) || (is_product(node) && is_like_result(node, i)))
            news = fix(in) || news;
    }
    return news;
}

/// A layout for all that is not fixed; true where something became so on the way.
static bool lay_out_all(norn_graph *graph) {
    bool news = false;
    for (norn_node *node = graph->last; node; node = node->prev)
        for (uint32_t i = 0; i < node->out_count && !node->dead; i++)
            if (node->out[i] && !is_fixed(node->out[i]))
                row_of(node->out[i])->wanted = is_wanted(node->out[i]);
    for (norn_node *node = graph->nodes; node; node = node->next) {
        norn_value *out = node->out_count == 1 ? node->out[0] : NULL;
        if (node->dead || !out) continue;
        if (!is_fixed(out) && !lay_out(node, &row_of(out)->layout)) news = fix(out) || news;
        if (is_fixed(out)) news = fix_with(node) || news;
    }
    return news;
}

// ---- making

/// Zeros before column `at` of a row of `width`, into which `from` goes.
static void spread(const layout *l, int64_t width, size_t size, const char *from, char *to) {
    int64_t done = 0;
    for (uint32_t g = 0; g <= l->count; g++) {
        const int64_t end = g < l->count ? l->gaps[g].at : width;
        memcpy(to, from + (size_t)done * size, (size_t)(end - done) * size);
        to += (size_t)(end - done) * size;
        if (g < l->count) to += (size_t)l->gaps[g].count * size;
        done = end;
    }
}

/// `from`, [rows, width] in memory, as [spread rows, spread width]; NULL: as they are.
static norn_status widen(norn_graph *graph, const norn_value *from, int32_t rank,
                         const int64_t *dims, int64_t rows, int64_t width, const layout *of_rows,
                         const layout *of_columns, norn_value **out) {
    const size_t size = norn_dtype_bits(from->dtype) / 8;
    const size_t pitch = (size_t)(width + zeros_of(of_columns)) * size;
    void *data, *wide;
    NORN_TRY(norn_rewrite_constant(graph, from->name, from->dtype, rank, dims, out, &data));
    NORN_TRY(norn_arena_take(&graph->arena, (size_t)rows * pitch + 1, 1, NORN_HOST_ALIGN, &wide));
    for (int64_t i = 0; i < rows; i++)
        spread(of_columns, width, size, (const char *)from->data->data + (size_t)(i * width) * size,
               (char *)wide + (size_t)i * pitch);
    spread(of_rows, rows, pitch, wide, data);
    return NORN_OK;
}

static norn_status widen_b(norn_graph *graph, norn_node *node, const layout *of_k,
                           const layout *of_n) {
    const norn_gemm_region *gemm = &node->region->gemm;
    const bool turned = gemm->b_layout == NORN_GEMM_COLUMNS;
    const int64_t k = gemm->k + zeros_of(of_k), n = gemm->n + zeros_of(of_n),
                  dims[2] = {turned ? n : k, turned ? k : n};
    norn_value *wide;
    NORN_TRY(widen(graph, norn_node_in(node, 1), 2, dims, turned ? gemm->n : gemm->k,
                   turned ? gemm->k : gemm->n, turned ? of_n : of_k, turned ? of_k : of_n, &wide));
    norn_node_set_input(node, 1, wide);
    return NORN_OK;
}

/// Constants of the epilogue that have a column for each of the result's.
static norn_status widen_operands(norn_graph *graph, norn_node *node, const layout *of_n) {
    const norn_gemm_region *gemm = &node->region->gemm;
    static const layout none = {0};
    for (uint32_t i = 0; i < gemm->epilogue.load_count && of_n->count; i++) {
        const norn_scalar_load *load = &gemm->epilogue.loads[i];
        if (load->input == NORN_SCALAR_ACC || load->broadcast[1]) continue;
        norn_value *operand = norn_node_in(node, load->input), *wide;
        // Loaded twice, it is wide already.
        const int64_t last = operand->data ? operand->data->dims[operand->data->rank - 1] : 0;
        if (!operand->data || last != gemm->n) continue;
        int64_t dims[NORN_MAX_RANK];
        memcpy(dims, operand->data->dims, sizeof dims);
        dims[operand->data->rank - 1] += zeros_of(of_n);
        NORN_TRY(widen(graph, operand, operand->data->rank, dims,
                       norn_view_elems(operand->data) / gemm->n, gemm->n, &none, of_n, &wide));
        norn_node_set_input(node, load->input, wide);
    }
    return NORN_OK;
}

static norn_status own_region(norn_graph *graph, norn_node *node, norn_region **out) {
    NORN_TRY(NORN_TAKE(&graph->arena, out));
    **out = *node->region;
    node->region = *out;
    return NORN_OK;
}

static norn_status align_product(norn_graph *graph, norn_node *node) {
    static const layout none = {0};
    const norn_value *a = norn_node_in(node, 0), *out = node->out[0];
    const layout *of_k = is_fixed(a) ? &none : &row_of(a)->layout,
                 *of_n = is_fixed(out) ? &none : &row_of(out)->layout;
    norn_region *region;
    if (of_k->count == 0 && of_n->count == 0) return NORN_OK;
    NORN_TRY(widen_b(graph, node, of_k, of_n));
    NORN_TRY(widen_operands(graph, node, of_n));
    NORN_TRY(own_region(graph, node, &region));
    region->gemm.k += zeros_of(of_k);
    region->gemm.n += zeros_of(of_n);
    return NORN_OK;
}

/// A copy of `part` whose rows end in zeros, before `reader`.
static norn_status copy_part(norn_graph *graph, norn_node *reader, uint32_t input, int64_t zeros) {
    norn_value *part = norn_node_in(reader, input);
    norn_scalar_builder builder = {.arena = &graph->arena};
    const norn_scalar_load load = {.input = 0, .dtype = part->dtype};
    norn_shape shape = part->shape;
    norn_region *region;
    norn_node *made;
    uint16_t reg;
    shape.dims[shape.rank - 1].constant += zeros;
    NORN_TRY(NORN_TAKE(&graph->arena, &region));
    NORN_TRY(norn_scalar_load_of(&builder, &load, &reg));
    NORN_TRY(norn_scalar_finish(&builder, &reg, 1, &region->pointwise.program));
    region->pointwise.pad = zeros;
    NORN_TRY(norn_rewrite_node(graph, reader, NORN_OP_Pointwise, &part, 1, (norn_attrs){NULL, 0},
                               part->dtype, &shape, reader, &made));
    made->region = region;
    made->out[0]->note = NULL;
    norn_node_set_input(reader, input, made->out[0]);
    return NORN_OK;
}

static norn_status align(norn_graph *graph, norn_node *node) {
    norn_value *out = node->out_count == 1 ? node->out[0] : NULL;
    norn_region *region;
    if (is_product(node)) return align_product(graph, node);
    if (!out || is_fixed(out) || row_of(out)->layout.count == 0) return NORN_OK;
    const int64_t zeros = zeros_of(&row_of(out)->layout);
    if (is_row_concat(node)) {
        for (uint32_t i = 0; i < node->in_count; i++) {
            const norn_value *part = norn_node_in(node, i);
            if (is_fixed(part) && copied_zeros(part))
                NORN_TRY(copy_part(graph, node, i, copied_zeros(part)));
        }
        return NORN_OK;
    }
    NORN_TRY(own_region(graph, node, &region));
    if (norn_node_is(node, NORN_OP_Pointwise))
        region->pointwise.pad += zeros;
    else
        region->interaction.pad += zeros;
    return NORN_OK;
}

norn_status norn_pass_align_rows(norn_pass_context *context, norn_graph *graph) {
    if (!context->target) return NORN_OK;
    for (norn_node *node = graph->nodes; node; node = node->next)
        for (uint32_t i = 0; i < node->in_count; i++)
            if (node->in[i].value) node->in[i].value->note = NULL;
    for (norn_node *node = graph->nodes; node; node = node->next)
        for (uint32_t i = 0; i < node->out_count && !node->dead; i++)
            if (node->out[i]) NORN_TRY(note(graph, node->out[i]));
    while (lay_out_all(graph)) continue;
    for (norn_node *node = graph->nodes; node; node = node->next)
        if (!node->dead) NORN_TRY(align(graph, node));
    for (norn_node *node = graph->nodes; node; node = node->next)
        for (uint32_t i = 0; i < node->out_count && !node->dead; i++) {
            norn_value *out = node->out[i];
            if (!out || is_fixed(out)) continue;
            out->shape.dims[out->shape.rank - 1].constant += zeros_of(&row_of(out)->layout);
        }
    return NORN_OK;
}
