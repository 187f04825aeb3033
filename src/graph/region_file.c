#include "graph/graph_fields.h"

#include <string.h>

// ---- encoding

static void encode_program(norn_buffer *out, uint32_t field, const norn_scalar_program *program) {
    size_t mark = norn_wire_begin(out, field);
    for (uint32_t i = 0; i < program->load_count; i++) {
        const norn_scalar_load *load = &program->loads[i];
        uint64_t bits = 0;
        for (uint32_t d = 0; d < NORN_MAX_RANK; d++) bits |= (uint64_t)load->broadcast[d] << d;
        size_t at = norn_wire_begin(out, PROGRAM_LOAD);
        norn_wire_put_varint(out, LOAD_INPUT, load->input);
        norn_wire_put_varint(out, LOAD_DTYPE, (uint64_t)load->dtype);
        norn_wire_put_varint(out, LOAD_BROADCAST, bits);
        norn_wire_put_varint(out, LOAD_DYNAMIC, load->dynamic);
        norn_wire_end(out, at);
    }
    for (uint32_t i = 0; i < program->instr_count; i++) {
        const norn_scalar_instr *instr = &program->instrs[i];
        uint64_t f64;
        memcpy(&f64, &instr->f64, sizeof f64);
        size_t at = norn_wire_begin(out, PROGRAM_INSTR);
        norn_wire_put_varint(out, INSTR_OP, instr->op);
        norn_wire_put_varint(out, INSTR_DTYPE, (uint64_t)instr->dtype);
        norn_wire_put_varint(out, INSTR_A, instr->a);
        norn_wire_put_varint(out, INSTR_B, instr->b);
        norn_wire_put_varint(out, INSTR_C, instr->c);
        norn_wire_put_varint(out, INSTR_LOAD, instr->load);
        if (instr->op == NORN_SCALAR_CONST) {
            norn_wire_put_fixed64(out, INSTR_F64, f64);
            norn_wire_put_signed(out, INSTR_I64, instr->i64);
        }
        norn_wire_end(out, at);
    }
    for (uint32_t i = 0; i < program->store_count; i++) {
        norn_wire_put_varint(out, PROGRAM_STORES, program->stores[i]);
    }
    norn_wire_end(out, mark);
}

static void encode_column(norn_buffer *out, const norn_lookup_column *column) {
    size_t mark = norn_wire_begin(out, LOOKUP_COLUMN);
    norn_wire_put_varint(out, COLUMN_TABLE, column->table);
    norn_wire_put_signed(out, COLUMN_DIM, column->dim);
    norn_wire_put_varint(out, COLUMN_FORM, (uint64_t)column->form);
    norn_wire_put_varint(out, COLUMN_POOL, (uint64_t)column->pool);
    norn_wire_put_varint(out, COLUMN_ROWS, column->rows_input);
    norn_wire_put_varint(out, COLUMN_KEYS, column->keys_input);
    norn_wire_put_varint(out, COLUMN_OFFSETS, column->offsets_input);
    norn_wire_put_varint(out, COLUMN_WEIGHTS, column->weights_input);
    norn_wire_put_signed(out, COLUMN_FIRST, column->keys_first);
    norn_wire_put_signed(out, COLUMN_STRIDE, column->keys_stride);
    norn_wire_put_signed(out, COLUMN_COUNT, column->keys_count);
    norn_wire_put_varint(out, COLUMN_WRAPS, column->negative_wraps);
    norn_wire_put_signed(out, COLUMN_KEY_OFFSET, column->key_offset);
    norn_wire_put_varint(out, COLUMN_OUTPUT, column->output);
    norn_wire_put_signed(out, COLUMN_COLUMN, column->column);
    norn_wire_put_varint(out, COLUMN_HAS_PADDING, column->has_padding);
    norn_wire_put_signed(out, COLUMN_PADDING_KEY, column->padding_key);
    if (column->out) norn_wire_put_varint(out, COLUMN_OUT, (uint64_t)column->out);
    norn_wire_end(out, mark);
}

static void encode_interaction(norn_buffer *out, const norn_interaction_region *region) {
    norn_wire_put_varint(out, INTERACTION_KIND, (uint64_t)region->kind);
    norn_wire_put_signed(out, INTERACTION_FEATURES, region->features);
    norn_wire_put_signed(out, INTERACTION_DIM, region->dim);
    norn_wire_put_varint(out, INTERACTION_PARTS, region->part_count);
    norn_wire_put_varint(out, INTERACTION_DIAGONAL, region->diagonal);
    norn_wire_put_varint(out, INTERACTION_UPPER, region->upper);
    norn_wire_put_varint(out, INTERACTION_PASS_INPUT, region->pass_input);
    norn_wire_put_signed(out, INTERACTION_PASS_THROUGH, region->pass_through);
    norn_wire_put_varint(out, INTERACTION_PAIR_COUNT, region->pair_count);
    for (uint32_t i = 0; region->pair_order && i < region->pair_count * 2; i++) {
        norn_wire_put_varint(out, INTERACTION_PAIRS, (uint64_t)region->pair_order[i]);
    }
    if (region->out) norn_wire_put_varint(out, INTERACTION_OUT, (uint64_t)region->out);
    if (region->pad) norn_wire_put_signed(out, INTERACTION_PAD, region->pad);
}

void norn_region_encode(norn_region_kind kind, const norn_region *region, norn_buffer *out) {
    switch (kind) {
    case NORN_REGION_NONE:
        break;
    case NORN_REGION_GEMM:
        norn_wire_put_signed(out, GEMM_K, region->gemm.k);
        norn_wire_put_signed(out, GEMM_N, region->gemm.n);
        norn_wire_put_varint(out, GEMM_B_LAYOUT, (uint64_t)region->gemm.b_layout);
        if (region->gemm.out) norn_wire_put_varint(out, GEMM_OUT, (uint64_t)region->gemm.out);
        encode_program(out, GEMM_EPILOGUE, &region->gemm.epilogue);
        break;
    case NORN_REGION_POINTWISE:
        encode_program(out, POINTWISE_PROGRAM, &region->pointwise.program);
        if (region->pointwise.pad) norn_wire_put_signed(out, POINTWISE_PAD, region->pointwise.pad);
        break;
    case NORN_REGION_ROW_REDUCE:
        norn_wire_put_varint(out, REDUCE_KIND, (uint64_t)region->row_reduce.kind);
        norn_wire_put_varint(out, REDUCE_DIMS, region->row_reduce.reduced_dims);
        norn_wire_put_varint(out, REDUCE_INNER_DIMS, region->row_reduce.inner_dims);
        norn_wire_put_varint(out, REDUCE_KEEP_DIMS, region->row_reduce.keep_dims);
        encode_program(out, REDUCE_PROLOGUE, &region->row_reduce.prologue);
        encode_program(out, REDUCE_EPILOGUE, &region->row_reduce.epilogue);
        break;
    case NORN_REGION_LOOKUP:
        for (uint32_t i = 0; i < region->lookup.column_count; i++) {
            encode_column(out, &region->lookup.columns[i]);
        }
        break;
    case NORN_REGION_INTERACTION:
        encode_interaction(out, &region->interaction);
        break;
    }
}
