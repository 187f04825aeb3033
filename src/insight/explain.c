#include "insight/explain.h"

#include "plan/plan.h"
#include "tensor/dtype.h"

#include <string.h>

/// What a step computes in: a product by its numbers, others by what they write.
static const char *precision_text(const norn_step *step) {
    const norn_node *node = step->node;
    if (!node || node->out_count == 0 || !node->out[0]) return "";
    if (node->numbers.tf32) return "tf32";
    switch ((int)(node->numbers.acc ? node->numbers.a : node->out[0]->dtype)) {
    case NORN_F32:
        return "fp32";
    case NORN_F16:
        return "fp16";
    case NORN_BF16:
        return "bf16";
    case NORN_F64:
        return "fp64";
    default:
        return "";
    }
}

static void value_type(const norn_graph *graph, const norn_value *value, norn_buffer *out) {
    char text[NORN_DIM_TEXT];
    norn_buffer_format(out, "%s[", norn_dtype_name(value->dtype));
    if (value->shape.rank < 0) norn_buffer_text(out, "...");
    for (int32_t d = 0; d < value->shape.rank; d++) {
        norn_buffer_format(out, "%s%s", d ? "," : "",
                           norn_dim_text(&graph->symbols, value->shape.dims[d], text));
    }
    norn_buffer_text(out, "]");
}

static void region_facts(const norn_plan *plan, const norn_node *node, norn_buffer *out) {
    const norn_region *region = node->region;
    if (!region) return;
    switch (norn_region_kind_of(node->op->name)) {
    case NORN_REGION_GEMM:
        norn_buffer_format(out, " k=%lld n=%lld%s", (long long)region->gemm.k,
                           (long long)region->gemm.n,
                           region->gemm.b_layout == NORN_GEMM_PANELS ? " packed weights" : "");
        if (region->gemm.epilogue.instr_count) {
            norn_buffer_format(out, ", epilogue of %u operation%s",
                               region->gemm.epilogue.instr_count,
                               norn_plural(region->gemm.epilogue.instr_count));
        }
        break;
    case NORN_REGION_POINTWISE:
        norn_buffer_format(out, " %u operation%s", region->pointwise.program.instr_count,
                           norn_plural(region->pointwise.program.instr_count));
        break;
    case NORN_REGION_LOOKUP:
        norn_buffer_format(out, " %u column%s", region->lookup.column_count,
                           norn_plural(region->lookup.column_count));
        for (uint32_t i = 0; i < region->lookup.column_count && i < 4; i++) {
            const norn_lookup_column *column = &region->lookup.columns[i];
            bool table = column->rows_input == NORN_NO_INPUT && column->table < plan->table_count;
            norn_buffer_format(out, "%s%s", i ? ", " : ": ",
                               table ? plan->tables[column->table].name : "(weights)");
        }
        if (region->lookup.column_count > 4) norn_buffer_text(out, ", …");
        break;
    case NORN_REGION_ROW_REDUCE:
        norn_buffer_format(
            out, " over %u dim%s, prologue %u, epilogue %u", region->row_reduce.reduced_dims,
            norn_plural(region->row_reduce.reduced_dims), region->row_reduce.prologue.instr_count,
            region->row_reduce.epilogue.instr_count);
        break;
    case NORN_REGION_INTERACTION:
        norn_buffer_format(
            out, " of %lld feature%s x %lld", (long long)region->interaction.features,
            norn_plural(region->interaction.features), (long long)region->interaction.dim);
        break;
    case NORN_REGION_NONE:
        break;
    }
}

/// Why a pointwise step was not fused into what makes its first
/// input, as far as the graph shows it.
static const char *why_apart(const norn_step *step) {
    const norn_node *node = step->node;
    if (!node || norn_region_kind_of(node->op->name) != NORN_REGION_POINTWISE ||
        node->in_count == 0)
        return NULL;
    const norn_value *value = norn_node_in(node, 0);
    if (!value) return NULL;
    if (!value->producer) return value->data ? NULL : "reads an input of the model";
    if (value->readers > 1) return "its input has other readers";
    if (step->dynamic) return "its shape is known only while running";
    if (!value->producer->region) return "its input comes from an operator that takes no epilogue";
    return NULL;
}

static void print_step(const norn_plan *plan, const norn_step *step, uint32_t index,
                       norn_buffer *out) {
    static const char *const kinds[] = {"kernel", "copy", "place"};
    const norn_node *node = step->node;
    norn_buffer_format(out, "%4u  %-5s %-4s %s", index,
                       plan->place_names[step->kind == NORN_STEP_KERNEL ? step->place : NORN_HOST],
                       step->kind == NORN_STEP_KERNEL ? precision_text(step) : "",
                       node ? node->op->name : kinds[step->kind]);
    if (step->kind != NORN_STEP_KERNEL && node) norn_buffer_format(out, " (%s)", kinds[step->kind]);
    if (node) {
        if (step->kind == NORN_STEP_KERNEL) region_facts(plan, node, out);
        norn_buffer_text(out, " ->");
        for (uint32_t i = 0; i < node->out_count; i++) {
            if (!node->out[i]) continue;
            norn_buffer_text(out, " ");
            value_type(plan->graph, node->out[i], out);
        }
    }
    const char *why = why_apart(step);
    if (why) norn_buffer_format(out, "  [not fused: %s]", why);
    if (plan->place_count > 1 && step->kind == NORN_STEP_KERNEL && step->place == NORN_HOST) {
        norn_buffer_text(out, "  [no kernel for the device]");
    }
    norn_buffer_text(out, "\n");
    if (!node) return;
    norn_buffer_text(out, "        from ");
    for (uint32_t i = 0; i < node->origin.count; i++) {
        norn_buffer_format(out, "%s%s", i ? ", " : "", node->origin.names[i]);
    }
    norn_buffer_format(out, "%s\n", node->origin.count ? "" : node->name);
}

static void explain_rows(const norn_plan *plan, norn_buffer *out) {
    const norn_row_safety *rows = &plan->program->rows;
    const struct {
        const char *what;
        const norn_row_verdict *verdict;
    } all[] = {{"requests joined", &rows->join},
               {"large requests split", &rows->split},
               {"batch rounded up on a device", &rows->pad}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        norn_buffer_format(out, "%s: %s%s\n", all[i].what,
                           all[i].verdict->allowed ? "yes, every row is computed by itself"
                                                   : "no: ",
                           all[i].verdict->allowed ? "" : all[i].verdict->why);
}

void norn_explain_plan(const norn_plan *plan, norn_buffer *out) {
    const norn_program *program = plan->program;
    norn_buffer_format(out, "%s: %u step%s on %s", plan->name, program->step_count,
                       norn_plural(program->step_count), plan->device_name);
    if (plan->place_count > 1)
        norn_buffer_format(out, ", %u of them on the CPU", program->host_steps);
    norn_buffer_text(out, "\n");
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const norn_plan_table *table = &plan->tables[i];
        norn_buffer_format(out, "table %s: dim %lld, %s\n", table->name, (long long)table->dim,
                           table->data ? "rows from the model" : "rows from the package");
    }
    explain_rows(plan, out);
    for (uint32_t i = 0; i < program->step_count; i++) print_step(plan, &program->steps[i], i, out);
}
