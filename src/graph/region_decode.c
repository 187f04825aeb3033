#include "graph/graph_fields.h"
#include "tensor/dtype.h"

#include <string.h>

typedef struct decoder {
    norn_arena *arena;
    uint32_t in_count, out_count;
    norn_region *region;
    norn_lookup_column *columns;
    norn_lookup_column *column;
    int32_t *pairs;
    uint32_t pair_values;
} decoder;

typedef struct program_decoder {
    norn_scalar_program *program;
    norn_scalar_load *loads;
    norn_scalar_instr *instrs;
    uint16_t *stores;
    uint32_t in_count;
} program_decoder;

static norn_status malformed(const char *what) {
    return norn_fail(NORN_DATA_LOSS, "malformed region: %s", what);
}

static bool is_dtype(uint64_t value) {
    return value > NORN_DTYPE_NONE && value < NORN_DTYPE_COUNT;
}

// ---- scalar programs

static norn_status count_program(void *context, const norn_wire_field *field) {
    norn_scalar_program *program = context;
    program->load_count += field->number == PROGRAM_LOAD;
    program->instr_count += field->number == PROGRAM_INSTR;
    program->store_count += field->number == PROGRAM_STORES;
    return NORN_OK;
}

static norn_status load_field(void *context, const norn_wire_field *field) {
    norn_scalar_load *load = context;
    switch (field->number) {
    case LOAD_INPUT:
        load->input = field->value > UINT32_MAX ? UINT32_MAX : (uint32_t)field->value;
        break;
    case LOAD_DTYPE:
        if (!is_dtype(field->value)) return malformed("element type of a load");
        load->dtype = (norn_dtype)field->value;
        break;
    case LOAD_BROADCAST:
        for (uint32_t d = 0; d < NORN_MAX_RANK; d++) load->broadcast[d] = field->value >> d & 1;
        break;
    case LOAD_DYNAMIC:
        load->dynamic = field->value != 0;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status instr_field(void *context, const norn_wire_field *field) {
    norn_scalar_instr *instr = context;
    uint16_t *const small[] = {[INSTR_OP] = &instr->op,
                               [INSTR_A] = &instr->a,
                               [INSTR_B] = &instr->b,
                               [INSTR_C] = &instr->c,
                               [INSTR_LOAD] = &instr->load};
    switch (field->number) {
    case INSTR_OP:
    case INSTR_A:
    case INSTR_B:
    case INSTR_C:
    case INSTR_LOAD:
        if (field->value > UINT16_MAX) return malformed("a register out of range");
        *small[field->number] = (uint16_t)field->value;
        break;
    case INSTR_DTYPE:
        if (!is_dtype(field->value)) return malformed("element type of an instruction");
        instr->dtype = (norn_dtype)field->value;
        break;
    case INSTR_F64:
        instr->f64 = norn_wire_double(field);
        break;
    case INSTR_I64:
        instr->i64 = (int64_t)field->value;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status check_instr(const program_decoder *d, const norn_scalar_instr *instr,
                               uint32_t index) {
    if (instr->op >= NORN_SCALAR_COUNT || instr->dtype == NORN_DTYPE_NONE) {
        return malformed("unknown instruction");
    }
    const uint16_t regs[3] = {instr->a, instr->b, instr->c};
    for (uint32_t i = 0; i < norn_scalar_arity(instr->op); i++) {
        if (regs[i] >= index) return malformed("an instruction reads a later register");
    }
    if (instr->op == NORN_SCALAR_LOAD && instr->load >= d->program->load_count) {
        return malformed("a load out of range");
    }
    return NORN_OK;
}

static norn_status program_field(void *context, const norn_wire_field *field) {
    program_decoder *d = context;
    norn_scalar_program *program = d->program;
    if (field->number == PROGRAM_LOAD) {
        norn_scalar_load *load = &d->loads[program->load_count++];
        NORN_TRY(norn_wire_visit(field->bytes, load_field, load));
        bool operand = load->input == NORN_SCALAR_ACC || load->input < d->in_count;
        if (!operand || load->dtype == NORN_DTYPE_NONE) return malformed("operand of a load");
    } else if (field->number == PROGRAM_INSTR) {
        norn_scalar_instr *instr = &d->instrs[program->instr_count];
        NORN_TRY(norn_wire_visit(field->bytes, instr_field, instr));
        NORN_TRY(check_instr(d, instr, program->instr_count++));
    } else if (field->number == PROGRAM_STORES) {
        if (field->value >= program->instr_count) return malformed("a store of no register");
        d->stores[program->store_count++] = (uint16_t)field->value;
    }
    return NORN_OK;
}

static norn_status decode_program(const decoder *d, norn_span message, norn_scalar_program *out) {
    norn_scalar_program count = {0};
    program_decoder p = {.program = out, .in_count = d->in_count};
    NORN_TRY(norn_wire_visit(message, count_program, &count));
    if (count.load_count > NORN_SCALAR_LOAD_MAX || count.instr_count > NORN_SCALAR_INSTR_MAX ||
        count.store_count > NORN_SCALAR_STORE_MAX || count.store_count > d->out_count) {
        return malformed("a scalar program is too long");
    }
    NORN_TRY(NORN_TAKE_ARRAY(d->arena, count.load_count, &p.loads));
    NORN_TRY(NORN_TAKE_ARRAY(d->arena, count.instr_count, &p.instrs));
    NORN_TRY(NORN_TAKE_ARRAY(d->arena, count.store_count, &p.stores));
    *out = (norn_scalar_program){.loads = p.loads, .instrs = p.instrs, .stores = p.stores};
    return norn_wire_visit(message, program_field, &p);
}

// ---- regions

static norn_status gemm_field(void *context, const norn_wire_field *field) {
    decoder *d = context;
    norn_gemm_region *gemm = &d->region->gemm;
    switch (field->number) {
    case GEMM_K:
        gemm->k = (int64_t)field->value;
        break;
    case GEMM_N:
        gemm->n = (int64_t)field->value;
        break;
    case GEMM_B_LAYOUT:
        if (field->value >= NORN_GEMM_LAYOUTS) return malformed("layout of a product's B");
        gemm->b_layout = (norn_gemm_layout)field->value;
        break;
    case GEMM_OUT:
        if (!norn_dtype_is_known(field->value)) return malformed("type of a product");
        gemm->out = (norn_dtype)field->value;
        break;
    case GEMM_EPILOGUE:
        return decode_program(d, field->bytes, &gemm->epilogue);
    default:
        break;
    }
    return gemm->k < 0 || gemm->n < 0 ? malformed("size of a product") : NORN_OK;
}

static norn_status pointwise_field(void *context, const norn_wire_field *field) {
    decoder *d = context;
    norn_pointwise_region *pointwise = &d->region->pointwise;
    switch (field->number) {
    case POINTWISE_PROGRAM:
        return decode_program(d, field->bytes, &pointwise->program);
    case POINTWISE_PAD:
        pointwise->pad = (int64_t)field->value;
        break;
    default:
        break;
    }
    return pointwise->pad < 0 || pointwise->pad >= 64 ? malformed("pad of pointwise work")
                                                      : NORN_OK;
}

static norn_status row_reduce_field(void *context, const norn_wire_field *field) {
    decoder *d = context;
    norn_row_reduce_region *reduce = &d->region->row_reduce;
    switch (field->number) {
    case REDUCE_KIND:
        if (field->value > NORN_REDUCE_PROD) return malformed("kind of reduction");
        reduce->kind = (norn_reduce_kind)field->value;
        break;
    case REDUCE_DIMS:
    case REDUCE_INNER_DIMS:
        if (field->value > NORN_MAX_RANK) return malformed("dimensions of a reduction");
        *(field->number == REDUCE_DIMS ? &reduce->reduced_dims : &reduce->inner_dims) =
            (uint32_t)field->value;
        break;
    case REDUCE_KEEP_DIMS:
        reduce->keep_dims = field->value != 0;
        break;
    case REDUCE_PROLOGUE:
        return decode_program(d, field->bytes, &reduce->prologue);
    case REDUCE_EPILOGUE:
        return decode_program(d, field->bytes, &reduce->epilogue);
    default:
        break;
    }
    return NORN_OK;
}

static norn_status column_field(void *context, const norn_wire_field *field) {
    norn_lookup_column *column = context;
    uint32_t *const indices[] = {
        [COLUMN_TABLE] = &column->table,           [COLUMN_ROWS] = &column->rows_input,
        [COLUMN_KEYS] = &column->keys_input,       [COLUMN_OFFSETS] = &column->offsets_input,
        [COLUMN_WEIGHTS] = &column->weights_input, [COLUMN_OUTPUT] = &column->output};
    int64_t *const numbers[] = {[COLUMN_DIM] = &column->dim,
                                [COLUMN_FIRST] = &column->keys_first,
                                [COLUMN_STRIDE] = &column->keys_stride,
                                [COLUMN_COUNT] = &column->keys_count,
                                [COLUMN_KEY_OFFSET] = &column->key_offset,
                                [COLUMN_COLUMN] = &column->column,
                                [COLUMN_PADDING_KEY] = &column->padding_key};
    uint32_t number = field->number;
    if (number < sizeof indices / sizeof *indices && indices[number]) {
        if (field->value > UINT32_MAX) return malformed("an index of a lookup column");
        *indices[number] = (uint32_t)field->value;
    } else if (number < sizeof numbers / sizeof *numbers && numbers[number]) {
        *numbers[number] = (int64_t)field->value;
    } else if (number == COLUMN_FORM) {
        if (field->value > NORN_KEYS_CSR) return malformed("form of a lookup column");
        column->form = (norn_keys_form)field->value;
    } else if (number == COLUMN_POOL) {
        if (field->value > NORN_POOL_MAX) return malformed("pooling of a lookup column");
        column->pool = (norn_pool_mode)field->value;
    } else if (number == COLUMN_WRAPS) {
        column->negative_wraps = field->value != 0;
    } else if (number == COLUMN_HAS_PADDING) {
        column->has_padding = field->value != 0;
    } else if (number == COLUMN_OUT) {
        if (!norn_dtype_is_known(field->value)) return malformed("type of a lookup");
        column->out = (norn_dtype)field->value;
    }
    return NORN_OK;
}

static norn_status check_column(const decoder *d, const norn_lookup_column *column) {
    const uint32_t optional[] = {column->rows_input, column->offsets_input, column->weights_input};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        if (optional[i] != NORN_NO_INPUT && optional[i] >= d->in_count) {
            return malformed("an operand of a lookup column");
        }
    }
    if (column->keys_input >= d->in_count || column->output >= d->out_count) {
        return malformed("an operand of a lookup column");
    }
    if (column->form == NORN_KEYS_CSR && column->offsets_input == NORN_NO_INPUT) {
        return malformed("a lookup column without its offsets");
    }
    if (column->dim <= 0 || column->column < 0 || column->keys_first < 0 ||
        column->keys_stride < 0 || column->keys_count < 0) {
        return malformed("sizes of a lookup column");
    }
    return NORN_OK;
}

static norn_status lookup_field(void *context, const norn_wire_field *field) {
    decoder *d = context;
    if (field->number != LOOKUP_COLUMN) return NORN_OK;
    norn_lookup_region *lookup = &d->region->lookup;
    if (d->columns) {
        norn_lookup_column *column = &d->columns[lookup->column_count];
        NORN_TRY(norn_wire_visit(field->bytes, column_field, column));
        NORN_TRY(check_column(d, column));
    }
    lookup->column_count++;
    return NORN_OK;
}

static norn_status decode_lookup(decoder *d, norn_span message) {
    norn_lookup_region *lookup = &d->region->lookup;
    NORN_TRY(norn_wire_visit(message, lookup_field, d)); // counts
    norn_lookup_column *columns;
    NORN_TRY(NORN_TAKE_ARRAY(d->arena, lookup->column_count, &columns));
    d->columns = columns;
    *lookup = (norn_lookup_region){.columns = columns};
    return norn_wire_visit(message, lookup_field, d);
}

static norn_status interaction_field(void *context, const norn_wire_field *field) {
    decoder *d = context;
    norn_interaction_region *region = &d->region->interaction;
    uint64_t value = field->value;
    switch (field->number) {
    case INTERACTION_KIND:
        if (value > NORN_INTERACTION_FM) return malformed("kind of interaction");
        region->kind = (norn_interaction_kind)value;
        break;
    case INTERACTION_FEATURES:
        region->features = (int64_t)value;
        break;
    case INTERACTION_DIM:
        region->dim = (int64_t)value;
        break;
    case INTERACTION_PARTS:
        if (value > d->in_count) return malformed("parts of an interaction");
        region->part_count = (uint32_t)value;
        break;
    case INTERACTION_DIAGONAL:
        region->diagonal = value != 0;
        break;
    case INTERACTION_UPPER:
        region->upper = value != 0;
        break;
    case INTERACTION_PASS_INPUT:
        if (value != NORN_NO_INPUT && value >= d->in_count) {
            return malformed("pass-through of an interaction");
        }
        region->pass_input = (uint32_t)value;
        break;
    case INTERACTION_PASS_THROUGH:
        region->pass_through = (int64_t)value;
        break;
    case INTERACTION_PAIR_COUNT:
        if (value > UINT32_MAX / 2) return malformed("pairs of an interaction");
        region->pair_count = (uint32_t)value;
        break;
    case INTERACTION_PAIRS:
        if (d->pairs) d->pairs[d->pair_values] = value > INT32_MAX ? INT32_MAX : (int32_t)value;
        d->pair_values++;
        break;
    case INTERACTION_OUT:
        if (!norn_dtype_is_known(value)) return malformed("type of an interaction");
        region->out = (norn_dtype)value;
        break;
    case INTERACTION_PAD:
        region->pad = (int64_t)value;
        break;
    default:
        break;
    }
    return NORN_OK;
}

static norn_status decode_interaction(decoder *d, norn_span message) {
    norn_interaction_region *region = &d->region->interaction;
    NORN_TRY(norn_wire_visit(message, interaction_field, d));
    uint32_t count = d->pair_values;
    if (count > 0 && count != region->pair_count * 2) return malformed("pairs of an interaction");
    if (count > 0) {
        NORN_TRY(NORN_TAKE_ARRAY(d->arena, count, &d->pairs));
        d->pair_values = 0;
        NORN_TRY(norn_wire_visit(message, interaction_field, d));
        region->pair_order = d->pairs;
    }
    bool sized = region->features > 0 && region->features <= INT32_MAX && region->dim > 0 &&
                 region->pass_through >= 0 && region->pad >= 0 && region->pad < 64;
    if (!sized) return malformed("sizes of an interaction");
    for (uint32_t i = 0; i < count; i++) {
        if (d->pairs[i] >= region->features) return malformed("a pair of no feature");
    }
    return NORN_OK;
}

norn_status norn_region_decode(norn_region_kind kind, norn_span message, norn_arena *arena,
                               uint32_t in_count, uint32_t out_count, const norn_region **out) {
    decoder d = {.arena = arena, .in_count = in_count, .out_count = out_count};
    *out = NULL;
    NORN_TRY(NORN_TAKE(arena, &d.region));
    switch (kind) {
    case NORN_REGION_NONE:
        return malformed("unknown kind");
    case NORN_REGION_GEMM:
        NORN_TRY(norn_wire_visit(message, gemm_field, &d));
        break;
    case NORN_REGION_POINTWISE:
        NORN_TRY(norn_wire_visit(message, pointwise_field, &d));
        break;
    case NORN_REGION_ROW_REDUCE:
        NORN_TRY(norn_wire_visit(message, row_reduce_field, &d));
        break;
    case NORN_REGION_LOOKUP:
        NORN_TRY(decode_lookup(&d, message));
        break;
    case NORN_REGION_INTERACTION:
        NORN_TRY(decode_interaction(&d, message));
        break;
    }
    *out = d.region;
    return NORN_OK;
}
