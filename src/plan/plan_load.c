#include "plan/plan_load.h"
#include "base/log.h"
#include "base/memory.h"
#include "graph/graph_file.h"
#include "ops/op.h"
#include "plan/manifest.h"
#include "plan/plan_file.h"
#include "tensor/dtype.h"
#include "tensor/safetensors.h"

#include <string.h>

static norn_status get_constant(void *context, uint64_t offset, size_t count, void **data) {
    const norn_span *weights = context;
    norn_span found;
    if (offset % 64 != 0 || offset > weights->count ||
        !norn_span_slice(*weights, (size_t)offset, count, &found))
        return norn_fail(NORN_DATA_LOSS, "a constant lies outside section 'weights'");
    *data = (void *)(uintptr_t)found.bytes;
    return NORN_OK;
}

static norn_status decode_code(norn_plan *plan, norn_span bytes) {
    uint64_t count, entry[3];
    if (bytes.count < sizeof count) return norn_fail(NORN_DATA_LOSS, "truncated");
    memcpy(&count, bytes.bytes, sizeof count);
    if (count > (bytes.count - sizeof count) / sizeof entry)
        return norn_fail(NORN_DATA_LOSS, "truncated");
    NORN_TRY(NORN_TAKE_ARRAY(&plan->arena, (size_t)count + 1, &plan->codes));
    for (uint64_t i = 0; i < count; i++) {
        norn_plan_code *code = &plan->codes[i];
        memcpy(entry, bytes.bytes + sizeof count + i * sizeof entry, sizeof entry);
        if (entry[0] > UINT32_MAX || entry[2] > bytes.count ||
            !norn_span_slice(bytes, (size_t)entry[2], (size_t)entry[1], &code->bytes))
            return norn_fail(NORN_DATA_LOSS, "object %llu lies outside", (unsigned long long)i);
        code->state = (uint32_t)entry[0];
    }
    plan->code_count = (uint32_t)count;
    return NORN_OK;
}

/// The kernel of a device that has this state, in a body too; or NULL.
static norn_step *step_of(const norn_program *program, uint32_t state) {
    norn_step *found = NULL;
    for (uint32_t s = 0; s < program->step_count && !found; s++) {
        norn_step *step = &program->steps[s];
        if (step->kind == NORN_STEP_KERNEL && step->place && step->state == state) found = step;
        for (uint32_t b = 0; b < step->body_count && !found; b++)
            found = step_of(step->bodies[b], state);
    }
    return found;
}

/// Gives every object to its step. False: one is of no step, so they are of a Norn that lowers the
/// graph otherwise.
static bool attach_code(norn_plan *plan) {
    for (uint32_t i = 0; i < plan->code_count; i++) {
        norn_step *found = step_of(plan->program, plan->codes[i].state);
        if (!found) return false;
        found->code = plan->codes[i].bytes;
    }
    return true;
}

static norn_status check_lookup(const norn_plan *plan, const norn_node *node) {
    const norn_lookup_region *lookup = &node->region->lookup;
    for (uint32_t c = 0; c < lookup->column_count; c++) {
        const norn_lookup_column *column = &lookup->columns[c];
        if (column->rows_input != NORN_NO_INPUT) continue;
        if (column->table >= plan->table_count || plan->tables[column->table].dim != column->dim)
            return norn_fail(NORN_DATA_LOSS,
                             "node '%s': column %u reads a table that the plan does not have",
                             node->name, c);
    }
    return NORN_OK;
}

static norn_status check_graph_tables(const norn_plan *plan, const norn_graph *graph) {
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        if (norn_node_is(node, NORN_OP_Lookup) && node->region) NORN_TRY(check_lookup(plan, node));
        for (uint32_t i = 0; i < node->attrs.count; i++)
            if (node->attrs.at[i].kind == NORN_ATTR_GRAPH)
                NORN_TRY(check_graph_tables(plan, node->attrs.at[i].graph));
    }
    return NORN_OK;
}

norn_status norn_plan_check_tables(const norn_plan *plan) {
    return check_graph_tables(plan, plan->graph);
}

// ---- tables in PLAN.tables/

/// What a load of `node` finds: an operand's type, or `acc` of what
/// was accumulated (NONE: nothing).
static norn_status check_load(const norn_node *node, const norn_scalar_load *load, norn_dtype acc) {
    const norn_value *value =
        load->input == NORN_SCALAR_ACC ? NULL : norn_node_in(node, load->input);
    norn_dtype found = value                            ? value->dtype
                       : load->input == NORN_SCALAR_ACC ? acc
                                                        : NORN_DTYPE_NONE;
    if (found != NORN_DTYPE_NONE && found == load->dtype) return NORN_OK;
    return norn_fail(NORN_DATA_LOSS, "a scalar program loads %s where there is %s",
                     norn_dtype_name(load->dtype), norn_dtype_name(found));
}

static norn_status check_program(const norn_node *node, const norn_scalar_program *program,
                                 norn_dtype acc) {
    if (program->instr_count == 0) return NORN_OK; // none
    norn_status status = norn_scalar_verify(program, node->in_count, node->out_count);
    for (uint32_t i = 0; i < program->load_count && status == NORN_OK; i++)
        status = check_load(node, &program->loads[i], acc);
    if (status == NORN_OK) return NORN_OK;
    norn_note("node '%s'", node->name);
    return NORN_DATA_LOSS;
}

/// Kernels go by what a product says of its operands.
static norn_status check_numbers(const norn_node *node) {
    const norn_numbers stated = node->numbers, found = norn_numbers_of(node);
    const bool tf32_fits = !stated.tf32 || (found.a == NORN_F32 && found.b == NORN_F32);
    if (stated.a == found.a && stated.b == found.b && stated.acc == found.acc &&
        stated.out == found.out && tf32_fits)
        return NORN_OK;
    return norn_fail(NORN_DATA_LOSS, "node '%s': its numbers are not those of its values",
                     node->name);
}

static norn_dtype out_dtype(const norn_node *node) {
    return node->out_count && node->out[0] ? node->out[0]->dtype : NORN_DTYPE_NONE;
}

/// Programs come from outside with a plan: kernels rely on their indices and types.
static norn_status check_programs(const norn_graph *graph) {
    for (const norn_node *node = graph->nodes; node; node = node->next) {
        const norn_region *region = node->region;
        NORN_TRY(check_numbers(node));
        if (region && norn_node_is(node, NORN_OP_GemmRegion))
            NORN_TRY(check_program(node, &region->gemm.epilogue, node->numbers.acc));
        if (region && norn_node_is(node, NORN_OP_Pointwise))
            NORN_TRY(check_program(node, &region->pointwise.program, NORN_DTYPE_NONE));
        if (region && norn_node_is(node, NORN_OP_RowReduce)) {
            NORN_TRY(check_program(node, &region->row_reduce.prologue, NORN_DTYPE_NONE));
            NORN_TRY(
                check_program(node, &region->row_reduce.epilogue, norn_sum_dtype(out_dtype(node))));
        }
        for (uint32_t i = 0; i < node->attrs.count; i++)
            if (node->attrs.at[i].kind == NORN_ATTR_GRAPH)
                NORN_TRY(check_programs(node->attrs.at[i].graph));
    }
    return NORN_OK;
}

static norn_status check_rows(const norn_plan *plan, const char *path, const norn_plan_table *table,
                              const norn_view *rows) {
    uint64_t hash;
    size_t bytes;
    if (table->rows_hash == 0) return NORN_OK;
    NORN_TRY(norn_view_bytes(rows, &bytes));
    NORN_TRY(norn_tree_hash_whole(norn_span_of(rows->data, bytes), plan->alloc, &hash));
    if (hash == table->rows_hash) return NORN_OK;
    return norn_fail(NORN_DATA_LOSS,
                     "%s: its rows are not those that the plan was compiled with: the file is "
                     "corrupt, or of another compilation",
                     path);
}

static norn_status open_table(norn_plan *plan, const char *path, norn_plan_table *table) {
    norn_file *file;
    norn_safetensors all;
    norn_view *data;
    NORN_TRY(norn_file_read(path, plan->alloc, &file));
    NORN_TRY(norn_plan_keep_file(plan, file));
    NORN_TRY(norn_safetensors_decode(norn_file_bytes(file), path, &plan->arena, &all));
    const norn_view *rows = norn_safetensors_find(&all, "rows");
    if (!rows) return norn_fail(NORN_INVALID_ARGUMENT, "%s: it has no tensor 'rows'", path);
    if (rows->rank != 2 || rows->dims[1] != table->dim || rows->dims[0] != table->rows ||
        rows->dtype != table->dtype) {
        char text[NORN_VIEW_TEXT];
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: 'rows' is %s, the plan expects %s[%lld,%lld]",
                         path, norn_view_text(rows, text), norn_dtype_name(table->dtype),
                         (long long)table->rows, (long long)table->dim);
    }
    NORN_TRY(check_rows(plan, path, table, rows));
    NORN_TRY(NORN_TAKE(&plan->arena, &data));
    *data = *rows;
    table->data = data;
    return NORN_OK;
}

static norn_status open_tables(norn_plan *plan, const char *path, const char **files) {
    for (uint32_t i = 0; i < plan->table_count; i++) {
        norn_plan_table *table = &plan->tables[i];
        table->source = table->name;
        if (!files[i]) continue;
        NORN_TRY(norn_arena_format(&plan->arena, &table->source, "%s.tables/%s", path, files[i]));
        norn_status status = open_table(plan, table->source, table);
        if (status != NORN_OK) norn_note("table '%s'", table->name);
        NORN_TRY(status);
    }
    return NORN_OK;
}

// ---- loading

static norn_status in_section(norn_status status, const char *name, norn_plan_section section) {
    if (status == NORN_OK) return status;
    norn_note("%s: section '%s'", name, norn_plan_section_kinds[section].name);
    // Whatever a reader thinks is wrong with it, here it means that the file is.
    return status == NORN_INVALID_ARGUMENT || status == NORN_INTERNAL ? NORN_DATA_LOSS : status;
}

/// Code objects are of one architecture, and of the steps that the graph was lowered to; the graph is
/// of all. Elsewhere the kernels are generated again from it.
static norn_status take_code(norn_plan *plan, const norn_plan_parts *parts, const char *name) {
    const norn_target *target = norn_plan_target(plan);
    const char *here = target ? target->ops->stamp(target) : parts->stamp;
    const bool current =
        parts->version[NORN_SECTION_CODE] == norn_plan_section_kinds[NORN_SECTION_CODE].version;
    if (strcmp(here, parts->stamp) != 0) {
        norn_log(NORN_LOG_INFO, "%s: compiled for '%s'; generating its kernels for '%s'", name,
                 parts->stamp, here);
        return norn_plan_generate_code(plan, NULL);
    }
    if (current)
        NORN_TRY(in_section(decode_code(plan, parts->section[NORN_SECTION_CODE]), name,
                            NORN_SECTION_CODE));
    if (current && attach_code(plan)) return NORN_OK;
    norn_log(NORN_LOG_INFO, "%s: compiled by another Norn; generating its kernels", name);
    return norn_plan_generate_code(plan, NULL);
}

/// Choices that were timed on this kind of GPU with these libraries; another's are left.
static norn_status take_tuning(norn_plan *plan, norn_span record) {
    norn_device *device = norn_plan_device(plan);
    bool taken;
    if (!record.count || !device || !device->ops->tuning_load) return NORN_OK;
    return device->ops->tuning_load(device, record, &taken);
}

norn_status norn_plan_decode(norn_span bytes, const char *name, bool with_tables, norn_plan *plan) {
    norn_plan_parts parts;
    const char *device, **files;
    NORN_TRY(norn_plan_file_check(bytes, name, plan->alloc, &parts));
    NORN_TRY(in_section(
        norn_manifest_decode(parts.section[NORN_SECTION_MANIFEST], plan, &device, &files), name,
        NORN_SECTION_MANIFEST));
    NORN_TRY(norn_plan_open_devices(plan, device));
    norn_graph_source source = {get_constant, norn_op_find, &parts.section[NORN_SECTION_WEIGHTS]};
    NORN_TRY(in_section(
        norn_graph_decode(parts.section[NORN_SECTION_GRAPH], &source, plan->alloc, &plan->graph),
        name, NORN_SECTION_GRAPH));
    NORN_TRY(in_section(norn_plan_check_tables(plan), name, NORN_SECTION_GRAPH));
    NORN_TRY(in_section(check_programs(plan->graph), name, NORN_SECTION_GRAPH));
    NORN_TRY(in_section(norn_plan_finish(plan), name, NORN_SECTION_GRAPH));
    NORN_TRY(take_code(plan, &parts, name));
    NORN_TRY(in_section(take_tuning(plan, parts.section[NORN_SECTION_TUNING]), name,
                        NORN_SECTION_TUNING));
    return with_tables ? open_tables(plan, name, files) : NORN_OK;
}

norn_status norn_plan_read(const char *path, norn_alloc alloc, norn_plan **out) {
    norn_plan *plan = NULL;
    norn_file *file;
    norn_status status;
    *out = NULL;
    NORN_TRY_DONE(norn_plan_create(alloc, &plan));
    NORN_TRY_DONE(norn_arena_string(&plan->arena, path, strlen(path), &plan->path));
    NORN_TRY_DONE(norn_file_read(path, alloc, &file));
    NORN_TRY_DONE(norn_plan_keep_file(plan, file));
    NORN_TRY_DONE(norn_plan_decode(norn_file_bytes(file), path, true, plan));
    *out = plan;
    plan = NULL;
done:
    norn_plan_release(plan);
    return status;
}
