#include "graph/region.h"

#include "tensor/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    uint32_t arity;
} scalars[NORN_SCALAR_COUNT] = {
#define NORN_SCALAR(scalar, count, c_expression) [NORN_SCALAR_##scalar] = {#scalar, count},
#include "graph/scalar_table.inc"
#undef NORN_SCALAR
};

const char *norn_scalar_name(uint32_t op) {
    return op < NORN_SCALAR_COUNT ? scalars[op].name : "?";
}

uint32_t norn_scalar_arity(uint32_t op) {
    return op < NORN_SCALAR_COUNT ? scalars[op].arity : 0;
}

norn_region_kind norn_region_kind_of(const char *op_name) {
    static const char *const names[] = {
        [NORN_REGION_NONE] = "",
        [NORN_REGION_GEMM] = "GemmRegion",
        [NORN_REGION_POINTWISE] = "Pointwise",
        [NORN_REGION_ROW_REDUCE] = "RowReduce",
        [NORN_REGION_LOOKUP] = "Lookup",
        [NORN_REGION_INTERACTION] = "Interaction",
    };
    for (size_t i = 1; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], op_name) == 0) return (norn_region_kind)i;
    }
    return NORN_REGION_NONE;
}

// ---- copies

static norn_status copy_array(norn_arena *arena, const void *from, size_t count, size_t size,
                              const void **to) {
    void *copy;
    *to = NULL;
    if (!from) return NORN_OK;
    NORN_TRY(norn_arena_take(arena, count, size, 16, &copy));
    if (count) memcpy(copy, from, count * size);
    *to = copy;
    return NORN_OK;
}
#define COPY_ARRAY(arena, field, count) \
    copy_array((arena), (field), (count), sizeof *(field), (const void **)&(field))

static norn_status clone_program(norn_scalar_program *program, norn_arena *arena) {
    NORN_TRY(COPY_ARRAY(arena, program->loads, program->load_count));
    NORN_TRY(COPY_ARRAY(arena, program->instrs, program->instr_count));
    return COPY_ARRAY(arena, program->stores, program->store_count);
}

norn_status norn_region_clone(norn_region_kind kind, const norn_region *region, norn_arena *arena,
                              const norn_region **out) {
    norn_region *copy;
    *out = NULL;
    NORN_TRY(NORN_TAKE(arena, &copy));
    *copy = *region;
    switch (kind) {
    case NORN_REGION_NONE:
        break;
    case NORN_REGION_GEMM:
        NORN_TRY(clone_program(&copy->gemm.epilogue, arena));
        break;
    case NORN_REGION_POINTWISE:
        NORN_TRY(clone_program(&copy->pointwise.program, arena));
        break;
    case NORN_REGION_ROW_REDUCE:
        NORN_TRY(clone_program(&copy->row_reduce.prologue, arena));
        NORN_TRY(clone_program(&copy->row_reduce.epilogue, arena));
        break;
    case NORN_REGION_LOOKUP:
        NORN_TRY(COPY_ARRAY(arena, copy->lookup.columns, copy->lookup.column_count));
        break;
    case NORN_REGION_INTERACTION:
        NORN_TRY(COPY_ARRAY(arena, copy->interaction.pair_order,
                            (size_t)copy->interaction.pair_count * 2));
        break;
    }
    *out = copy;
    return NORN_OK;
}

// ---- text

static void print_instr(const norn_scalar_program *program, uint32_t index, norn_buffer *out) {
    const norn_scalar_instr *instr = &program->instrs[index];
    const uint16_t regs[3] = {instr->a, instr->b, instr->c};
    norn_buffer_format(out, "  r%u %s = %s", index, norn_dtype_name(instr->dtype),
                       norn_scalar_name(instr->op));
    if (instr->op == NORN_SCALAR_CONST) {
        if (norn_dtype_is_float(instr->dtype)) {
            norn_buffer_format(out, " %.9g", instr->f64);
        } else {
            norn_buffer_format(out, " %lld", (long long)instr->i64);
        }
    } else if (instr->op == NORN_SCALAR_LOAD && instr->load < program->load_count) {
        const norn_scalar_load *load = &program->loads[instr->load];
        if (load->input == NORN_SCALAR_ACC) {
            norn_buffer_text(out, " acc");
        } else {
            norn_buffer_format(out, " in%u", load->input);
        }
        uint32_t last = 0;
        for (uint32_t i = 0; i < NORN_MAX_RANK; i++) last = load->broadcast[i] ? i + 1 : last;
        if (load->dynamic) norn_buffer_text(out, " dynamic");
        if (last) norn_buffer_text(out, " repeat=");
        for (uint32_t i = 0; i < last; i++) {
            norn_buffer_text(out, load->broadcast[i] ? "1" : "0");
        }
    }
    for (uint32_t i = 0; i < norn_scalar_arity(instr->op); i++) {
        norn_buffer_format(out, " r%u", regs[i]);
    }
    norn_buffer_text(out, "\n");
}

static void print_program(const char *title, const norn_scalar_program *program, norn_buffer *out) {
    if (program->instr_count == 0) return;
    norn_buffer_format(out, "  %s:\n", title);
    for (uint32_t i = 0; i < program->instr_count; i++) print_instr(program, i, out);
    for (uint32_t i = 0; i < program->store_count; i++) {
        norn_buffer_format(out, "  out%u = r%u\n", i, program->stores[i]);
    }
}

static void print_lookup(const norn_lookup_region *lookup, norn_buffer *out) {
    static const char *const forms[] = {"one", "fixed", "csr"};
    static const char *const pools[] = {"none", "sum", "mean", "max"};
    for (uint32_t i = 0; i < lookup->column_count; i++) {
        const norn_lookup_column *c = &lookup->columns[i];
        if (c->rows_input == NORN_NO_INPUT) {
            norn_buffer_format(out, "  table %u", c->table);
        } else {
            norn_buffer_format(out, "  rows in%u", c->rows_input);
        }
        norn_buffer_format(out, " dim=%lld keys=in%u %s pool=%s", (long long)c->dim, c->keys_input,
                           (uint32_t)c->form < 3 ? forms[c->form] : "?",
                           (uint32_t)c->pool < 4 ? pools[c->pool] : "?");
        if (c->keys_stride) {
            norn_buffer_format(out, " first=%lld stride=%lld count=%lld", (long long)c->keys_first,
                               (long long)c->keys_stride, (long long)c->keys_count);
        }
        if (c->offsets_input != NORN_NO_INPUT) {
            norn_buffer_format(out, " offsets=in%u", c->offsets_input);
        }
        if (c->weights_input != NORN_NO_INPUT) {
            norn_buffer_format(out, " weights=in%u", c->weights_input);
        }
        if (c->key_offset) norn_buffer_format(out, " key%+lld", (long long)c->key_offset);
        if (c->has_padding) norn_buffer_format(out, " padding=%lld", (long long)c->padding_key);
        norn_buffer_format(out, " -> out%u[%lld]%s%s\n", c->output, (long long)c->column,
                           c->out ? " " : "", c->out ? norn_dtype_name(c->out) : "");
    }
}

void norn_region_print(norn_region_kind kind, const norn_region *region, norn_buffer *out) {
    static const char *const reduces[] = {"sum", "mean", "max", "min", "prod"};
    static const char *const layouts[] = {"", " transB", " packed"};
    switch (kind) {
    case NORN_REGION_NONE:
        break;
    case NORN_REGION_GEMM:
        norn_buffer_format(
            out, "  k=%lld n=%lld%s\n", (long long)region->gemm.k, (long long)region->gemm.n,
            region->gemm.b_layout < NORN_GEMM_LAYOUTS ? layouts[region->gemm.b_layout] : " ?");
        print_program("epilogue", &region->gemm.epilogue, out);
        break;
    case NORN_REGION_POINTWISE:
        if (region->pointwise.pad)
            norn_buffer_format(out, "  pad=%lld\n", (long long)region->pointwise.pad);
        print_program("program", &region->pointwise.program, out);
        break;
    case NORN_REGION_ROW_REDUCE:
        norn_buffer_format(out, "  %s over %u dims, inner=%u\n",
                           (uint32_t)region->row_reduce.kind < 5 ? reduces[region->row_reduce.kind]
                                                                 : "?",
                           region->row_reduce.reduced_dims, region->row_reduce.inner_dims);
        print_program("prologue", &region->row_reduce.prologue, out);
        print_program("epilogue", &region->row_reduce.epilogue, out);
        break;
    case NORN_REGION_LOOKUP:
        print_lookup(&region->lookup, out);
        break;
    case NORN_REGION_INTERACTION:
        norn_buffer_format(
            out, "  %s features=%lld dim=%lld parts=%u%s%s pass=%lld%s%s%s\n",
            region->interaction.kind == NORN_INTERACTION_FM ? "fm" : "dot",
            (long long)region->interaction.features, (long long)region->interaction.dim,
            region->interaction.part_count, region->interaction.diagonal ? " diagonal" : "",
            region->interaction.upper ? " upper" : "", (long long)region->interaction.pass_through,
            region->interaction.out ? " " : "",
            region->interaction.out ? norn_dtype_name(region->interaction.out) : "",
            region->interaction.pad ? " padded" : "");
        break;
    }
}
