#include "plan/program.h"

void norn_shape_at(const norn_shape *shape, const int64_t *symbols, int32_t *rank, int64_t *dims) {
    *rank = shape->rank;
    for (int32_t d = 0; d < shape->rank; d++) {
        norn_dim dim = shape->dims[d];
        bool known = dim.symbol < 0 || symbols[dim.symbol] >= 0;
        dims[d] = known ? norn_dim_eval(dim, symbols) : -1;
    }
}

void norn_symbols_at_max(const norn_graph *graph, int64_t *values) {
    const norn_symbols *symbols = &graph->symbols;
    for (int32_t i = 0; i < symbols->count; i++)
        values[i] = symbols->at[i].kind == NORN_SYMBOL_RUNTIME ? -1 : symbols->at[i].max;
}

static norn_view view_at(const norn_value *value, const int64_t *symbols) {
    norn_view view = {.dtype = NORN_DTYPE_NONE};
    if (!value) return view;
    if (value->data) return *value->data;
    view.dtype = value->dtype;
    norn_shape_at(&value->shape, symbols, &view.rank, view.dims);
    return view;
}

norn_step_spec norn_node_spec(const norn_node *node, const int64_t *symbols, norn_view *views) {
    for (uint32_t i = 0; i < node->in_count; i++) views[i] = view_at(node->in[i].value, symbols);
    for (uint32_t i = 0; i < node->out_count; i++)
        views[node->in_count + i] = view_at(node->out[i], symbols);
    return (norn_step_spec){.name = node->name,
                            .op = node->op->id,
                            .attrs = node->attrs,
                            .region = node->region,
                            .in = views,
                            .out = views + node->in_count,
                            .in_count = node->in_count,
                            .out_count = node->out_count,
                            .numbers = node->numbers};
}

static void print_slots(const norn_program *program, const uint32_t *slots, uint32_t count,
                        norn_buffer *out) {
    for (uint32_t i = 0; i < count; i++) {
        norn_buffer_text(out, i ? ", " : "");
        if (slots[i] == NORN_NO_SLOT) {
            norn_buffer_text(out, "_");
            continue;
        }
        const norn_slot *slot = &program->slots[slots[i]];
        norn_buffer_format(out, "%s%s", slot->value->name, slot->place ? "@device" : "");
        if (program->place_count > 2 && slot->place)
            norn_buffer_format(out, "%u", (unsigned)slot->place);
        if (slot->row_stride)
            norn_buffer_format(out, "[%lld:%lld]", (long long)slot->column,
                               (long long)slot->row_stride);
    }
}

bool norn_program_looks_up(const norn_program *program, norn_place place) {
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        if (step->kind == NORN_STEP_KERNEL && step->place == place &&
            norn_node_is(step->node, NORN_OP_Lookup))
            return true;
    }
    return false;
}

void norn_program_print(const norn_program *program, norn_buffer *out) {
    static const char *const kinds[] = {"", "copy ", "place "};
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        const bool away = step->kind == NORN_STEP_KERNEL && step->place;
        norn_buffer_format(out, "%4u %-6s ", i,
                           (away ? program->target : program->host)->ops->kind);
        if (program->place_count > 2)
            norn_buffer_format(out, "%u ", (unsigned)(away ? step->place : 0));
        print_slots(program, step->out, step->out_count, out);
        norn_buffer_format(out, " = %s%s(", kinds[step->kind],
                           step->node ? step->node->op->name : "Output");
        print_slots(program, step->in, step->in_count, out);
        norn_buffer_text(out, ")");
        for (uint32_t k = 0; step->node && k < step->node->origin.count; k++)
            norn_buffer_format(out, "%s%s", k ? "," : "  # ", step->node->origin.names[k]);
        norn_buffer_text(out, "\n");
        for (uint32_t b = 0; b < step->body_count; b++) {
            norn_buffer_format(out, "     body %u:\n", b);
            norn_program_print(step->bodies[b], out);
        }
    }
}
