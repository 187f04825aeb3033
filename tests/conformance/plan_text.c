#include "conformance/plan_text.h"

#include "base/checked.h"
#include "base/memory.h"
#include "insight/explain.h"
#include "insight/inspect.h"
#include "plan/memory_plan.h"
#include "runtime/random_input.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <stdio.h>
#include <stdlib.h>

static void must(norn_status status) {
    if (status == NORN_OK) return;
    fprintf(stderr, "%s\n", norn_message());
    exit(1);
}

// ---- steps, slots, rows

static void put_slot(const norn_program *program, uint32_t index, norn_buffer *out) {
    static const char *const kinds[] = {"const", "input", "planned", "pooled", "alias"};
    const norn_slot *slot = &program->slots[index];
    norn_buffer_format(out, "slot %u %s '%s' root %u column %lld stride %lld steps %d..%d%s%s\n",
                       index, kinds[slot->kind], slot->value->name, slot->root,
                       (long long)slot->column, (long long)slot->row_stride, (int)slot->first,
                       (int)slot->last, slot->is_output ? " output" : "",
                       slot->place ? " device" : "");
}

static void put_program(const norn_program *program, norn_buffer *out) {
    norn_program_print(program, out);
    for (uint32_t i = 0; i < program->slot_count; i++) put_slot(program, i, out);
    for (uint32_t i = 0; i < program->step_count; i++) {
        const norn_step *step = &program->steps[i];
        norn_buffer_format(out, "step %u node %u%s%s%s%s\n", i, step->node_index,
                           step->dynamic ? " dynamic" : "", step->infer ? " infer" : "",
                           step->fit ? " fit" : "", step->check ? " check" : "");
        for (uint32_t b = 0; b < step->body_count; b++) put_program(step->bodies[b], out);
    }
}

static void put_verdict(const char *what, const norn_row_verdict *verdict, norn_buffer *out) {
    norn_buffer_format(out, "%s: %s\n", what, verdict->allowed ? "yes" : verdict->why);
}

static void put_rows(const norn_program *program, norn_buffer *out) {
    const norn_row_safety *rows = &program->rows;
    put_verdict("join", &rows->join, out);
    put_verdict("split", &rows->split, out);
    put_verdict("pad", &rows->pad, out);
    for (uint32_t i = 0; rows->output_rows && i < program->graph->output_count; i++)
        norn_buffer_format(out, "output %u rows %lld\n", i, (long long)rows->output_rows[i]);
    for (uint32_t i = 0; rows->pads && i < program->graph->input_count; i++)
        norn_buffer_format(out, "input %u pad %d\n", i, (int)rows->pads[i]);
}

static void put_port(const norn_port *port, norn_buffer *out) {
    norn_buffer_format(out, "port '%s' %s%s%s", port->name, norn_dtype_name(port->dtype),
                       port->optional ? " optional" : "", port->squeezed ? " squeezed" : "");
    for (int32_t d = 0; d < port->rank; d++)
        norn_buffer_format(out, " %lld/%lld%s%s", (long long)port->dims[d],
                           (long long)port->max_dims[d], port->dim_names[d] ? "=" : "",
                           port->dim_names[d] ? port->dim_names[d] : "");
    norn_buffer_text(out, "\n");
}

// ---- memory

/// The sizes of slots, without what a sanitizer's build puts between them.
static void size_slots(const norn_program *program, const int64_t *symbols, size_t *bytes) {
    for (uint32_t i = 0; i < program->slot_count; i++) {
        norn_view view = {.dtype = program->slots[i].dtype};
        int64_t elems = 1;
        bytes[i] = 0;
        if (program->slots[i].kind != NORN_SLOT_PLANNED) continue;
        norn_shape_at(&program->slots[i].shape, symbols, &view.rank, view.dims);
        for (int32_t d = 0; d < view.rank; d++) elems *= view.dims[d] > 0 ? view.dims[d] : 0;
        must(norn_dtype_bytes(view.dtype, elems, &bytes[i]) ? NORN_OK : NORN_INTERNAL);
        bytes[i] = norn_align_up(bytes[i], 64);
    }
}

static void put_layout(const norn_program *program, const int64_t *symbols, norn_buffer *out) {
    norn_layout layout;
    must(norn_layout_create(program, norn_alloc_heap(), &layout));
    size_slots(program, symbols, layout.bytes);
    must(norn_memory_plan(program, norn_alloc_heap(), &layout));
    for (uint32_t i = 0; i < program->slot_count; i++)
        if (layout.bytes[i])
            norn_buffer_format(out, "%u: [%zu, +%zu)\n", i, layout.offsets[i], layout.bytes[i]);
    norn_buffer_format(out, "host %zu\n", layout.at[NORN_HOST].bytes);
    norn_layout_destroy(&layout, norn_alloc_heap());
}

static void put_memory(const norn_program *program, norn_buffer *out) {
    norn_arena arena;
    int64_t *symbols;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    must(NORN_TAKE_ARRAY(&arena, (size_t)program->graph->symbols.count + 1, &symbols));
    norn_symbols_at_max(program->graph, symbols);
    for (int32_t s = 0; s < program->graph->symbols.count; s++)
        norn_buffer_format(out, "symbol %d at most %lld\n", (int)s, (long long)symbols[s]);
    put_layout(program, symbols, out);
    for (int32_t s = 0; s < program->graph->symbols.count; s++) symbols[s] = 3 + s;
    put_layout(program, symbols, out);
    norn_arena_deinit(&arena);
}

// ---- what is said

static void put_said(const norn_plan *plan, norn_buffer *out) {
    norn_arena arena;
    norn_inspection inspection;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    norn_explain_plan(plan, out);
    must(norn_inspect_graph(plan->graph, NULL, 5, &arena, &inspection));
    must(norn_inspect_plan_tables(plan, NULL, &arena, &inspection));
    inspection.path = ""; // a temporary file
    norn_inspect_text(&inspection, true, out);
    norn_inspect_json(&inspection, out);
    norn_inspect_html(&inspection, out);
    norn_arena_deinit(&arena);
}

// ---- inputs that are made up

static void put_view(const norn_view *view, norn_buffer *out) {
    char text[NORN_VIEW_TEXT];
    const int64_t elems = norn_view_elems(view);
    norn_buffer_text(out, norn_view_text(view, text));
    for (int64_t i = 0; i < elems && view->dtype != NORN_STRING; i++)
        if (i < 40 || i == elems - 1)
            norn_buffer_format(out, " %.6g", norn_element_f64(view->dtype, view->data, i));
    norn_buffer_text(out, "\n");
}

/// What memory has room for on every machine.
static bool is_small(const norn_plan *plan, size_t input, const int64_t *symbols) {
    norn_view view = {0};
    double elems = 1;
    norn_shape_at(&plan->graph->inputs[input]->shape, symbols, &view.rank, view.dims);
    for (int32_t d = 0; d < view.rank; d++) elems *= (double)(view.dims[d] > 0 ? view.dims[d] : 1);
    return elems <= 1 << 20;
}

static void put_inputs(const norn_plan *plan, norn_buffer *out) {
    const norn_random_inputs options = {.batch = 3, .seed = 11};
    norn_arena arena;
    norn_view view;
    int64_t *symbols;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    norn_status status = norn_random_bind(plan, &options, NULL, &arena, &symbols);
    for (size_t i = 0; i < norn_plan_input_count(plan) && status == NORN_OK; i++) {
        if (!is_small(plan, i, symbols)) {
            norn_buffer_text(out, "large\n");
            continue;
        }
        status = norn_random_fill(plan, NULL, symbols, i, options.seed, &arena, &view);
        if (status == NORN_OK) put_view(&view, out);
    }
    if (status != NORN_OK) norn_buffer_text(out, norn_message());
    norn_arena_deinit(&arena);
}

void plan_text(const norn_plan *plan, plan_part part, norn_buffer *out) {
    if (part == PLAN_GRAPH) norn_graph_print(plan->program->graph, out);
    if (part == PLAN_PROGRAM) {
        put_program(plan->program, out);
        put_rows(plan->program, out);
        for (size_t i = 0; i < norn_plan_input_count(plan); i++)
            put_port(norn_plan_input(plan, i), out);
        for (size_t i = 0; i < norn_plan_output_count(plan); i++)
            put_port(norn_plan_output(plan, i), out);
    }
    if (part == PLAN_MEMORY) put_memory(plan->program, out);
    if (part == PLAN_SAID) put_said(plan, out);
    if (part == PLAN_INPUTS) put_inputs(plan, out);
    must(norn_buffer_status(out));
}
