#include "cpu/kernels/tile_program.h"

#include "tensor/dtype.h"

#include <string.h>

/// All slots of a thread together: with the operands' lines they stay
/// in a 32 KiB first-level cache.
enum { SLOT_BYTES_TOTAL = 20 * 1024, TILE_ELEMS_MAX = 2048, TILE_ELEMS_MIN = 16 };
/// With every register live at once and eight bytes an element.
enum { SLOT_BYTES_MAX = NORN_TILE_REGISTER_MAX * TILE_ELEMS_MIN * 8 };
_Static_assert((int)SLOT_BYTES_MAX >= (int)SLOT_BYTES_TOTAL, "the larger bounds the buffer");

// ---- compiling

typedef struct tile_compiler {
    norn_tile_program *out;
    norn_isa isa;
    const char *name;
    uint16_t map[NORN_SCALAR_INSTR_MAX]; ///< instruction of the source -> register
    bool joined[NORN_SCALAR_INSTR_MAX];  ///< a product that the one sum that reads it will make
} tile_compiler;

static norn_status tile_register(tile_compiler *compiler, norn_tile_kind kind, norn_dtype dtype,
                                 norn_tile_register **reg) {
    norn_tile_program *out = compiler->out;
    uint32_t bits = norn_dtype_bits(dtype);
    if (out->register_count == NORN_TILE_REGISTER_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "its scalar program is too long");
    if (bits < 8 || bits > 64)
        return norn_fail(NORN_UNIMPLEMENTED, "no pointwise work on %s on the CPU",
                         norn_dtype_name(dtype));
    *reg = &out->registers[out->register_count++];
    **reg = (norn_tile_register){
        .kind = (uint8_t)kind, .dtype = (uint8_t)dtype, .size = (uint8_t)(bits / 8), .store = -1};
    return NORN_OK;
}

static norn_status tile_compute(tile_compiler *compiler, norn_scalar_op op, norn_dtype dtype,
                                const uint16_t *in, uint8_t in_count, norn_dtype from) {
    norn_tile_register *reg;
    NORN_TRY(tile_register(compiler, NORN_TILE_COMPUTE, dtype, &reg));
    reg->fn = norn_tile_op(compiler->isa, op, from, dtype);
    if (!reg->fn)
        return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no %s from %s to %s",
                         norn_scalar_name(op), norn_dtype_name(from), norn_dtype_name(dtype));
    reg->in_count = in_count;
    for (uint8_t i = 0; i < 3; i++) reg->in[i] = in[i < in_count ? i : 0];
    return NORN_OK;
}

/// Convert register `reg` to `dtype`; two steps where no loop does it in one (float16 to int64).
static norn_status tile_convert(tile_compiler *compiler, uint16_t reg, norn_dtype dtype) {
    norn_dtype from = (norn_dtype)compiler->out->registers[reg].dtype;
    if (!norn_tile_cast(from, dtype)) {
        norn_dtype middle = norn_tile_cast(from, NORN_F64) ? NORN_F64 : NORN_F32;
        NORN_TRY(tile_compute(compiler, NORN_SCALAR_CAST, middle, &reg, 1, from));
        reg = (uint16_t)(compiler->out->register_count - 1);
        from = middle;
    }
    return tile_compute(compiler, NORN_SCALAR_CAST, dtype, &reg, 1, from);
}

static norn_status tile_const(tile_compiler *compiler, const norn_scalar_instr *instr) {
    norn_tile_register *reg;
    NORN_TRY(tile_register(compiler, NORN_TILE_CONST, instr->dtype, &reg));
    if (norn_dtype_is_float(instr->dtype))
        norn_element_set_f64(instr->dtype, &reg->value, 0, instr->f64);
    else
        norn_element_set_i64(instr->dtype, &reg->value, 0, instr->i64);
    return NORN_OK;
}

/// Float32 products that only one later sum reads: a * b + c is one loop, and rounds once.
static void tile_join_products(tile_compiler *compiler, const norn_scalar_program *source) {
    uint8_t readers[NORN_SCALAR_INSTR_MAX] = {0};
    for (uint32_t i = 0; i < source->instr_count; i++) {
        const norn_scalar_instr *instr = &source->instrs[i];
        const uint16_t raw[3] = {instr->a, instr->b, instr->c};
        for (uint8_t k = 0; k < norn_scalar_arity(instr->op); k++)
            if (readers[raw[k]] < 2) readers[raw[k]]++;
    }
    for (uint32_t i = 0; i < source->store_count; i++) readers[source->stores[i]] = 2;
    for (uint32_t i = 0; i < source->instr_count; i++) {
        const norn_scalar_instr *sum = &source->instrs[i];
        compiler->joined[i] = false;
        if (sum->op != NORN_SCALAR_ADD || sum->dtype != NORN_F32) continue;
        uint16_t product = source->instrs[sum->b].op == NORN_SCALAR_MUL ? sum->b : sum->a;
        if (source->instrs[product].op == NORN_SCALAR_MUL && readers[product] == 1)
            compiler->joined[product] = true;
    }
}

static norn_status tile_fma(tile_compiler *compiler, const norn_scalar_program *source,
                            const norn_scalar_instr *sum) {
    bool second = compiler->joined[sum->b];
    const norn_scalar_instr *product = &source->instrs[second ? sum->b : sum->a];
    const uint16_t in[3] = {compiler->map[product->a], compiler->map[product->b],
                            compiler->map[second ? sum->a : sum->b]};
    return tile_compute(compiler, NORN_SCALAR_FMA, NORN_F32, in, 3, NORN_F32);
}

static norn_status tile_instr(tile_compiler *compiler, const norn_scalar_program *source,
                              const norn_scalar_instr *instr) {
    norn_tile_program *out = compiler->out;
    norn_tile_register *reg;
    norn_scalar_op op = (norn_scalar_op)instr->op;
    if (op == NORN_SCALAR_CONST) return tile_const(compiler, instr);
    if (op == NORN_SCALAR_ADD && (compiler->joined[instr->a] || compiler->joined[instr->b]))
        return tile_fma(compiler, source, instr);
    if (op == NORN_SCALAR_LOAD) {
        norn_dtype stored = source->loads[instr->load].dtype;
        NORN_TRY(tile_register(compiler, NORN_TILE_LOAD, stored, &reg));
        reg->load = instr->load;
        if (stored == instr->dtype) return NORN_OK;
        return tile_convert(compiler, (uint16_t)(out->register_count - 1), instr->dtype);
    }
    const uint16_t raw[3] = {instr->a, instr->b, instr->c};
    uint16_t in[3] = {0};
    const uint8_t arity = (uint8_t)norn_scalar_arity(op);
    for (uint8_t i = 0; i < arity; i++) in[i] = compiler->map[raw[i]];
    if (op == NORN_SCALAR_CAST) return tile_convert(compiler, in[0], instr->dtype);
    // The bool condition of a SELECT says nothing of the values that it chooses from.
    norn_dtype from = (norn_dtype)out->registers[in[op == NORN_SCALAR_SELECT ? 1 : 0]].dtype;
    return tile_compute(compiler, op, instr->dtype, in, arity, from);
}

/// Linear scan: a slot is free again after the last reader of its register. Loads need one too, for
/// when they must be gathered.
static void tile_assign_slots(norn_tile_program *out) {
    uint16_t last[NORN_TILE_REGISTER_MAX] = {0}, free_slots[NORN_TILE_REGISTER_MAX];
    uint32_t free_count = 0, widest = 1;
    for (uint32_t i = 0; i < out->register_count; i++) {
        last[i] = (uint16_t)i;
        for (uint8_t k = 0; k < out->registers[i].in_count; k++)
            last[out->registers[i].in[k]] = (uint16_t)i;
    }
    for (uint32_t i = 0; i < out->store_count; i++) last[out->stores[i]] = UINT16_MAX;
    for (uint32_t i = 0; i < out->register_count; i++) {
        norn_tile_register *reg = &out->registers[i];
        if (reg->kind == NORN_TILE_CONST) continue;
        if (reg->size > widest) widest = reg->size;
        // Taken before the operands are given back, so that no loop writes over what it gathers.
        reg->slot = free_count ? free_slots[--free_count] : (uint16_t)out->slot_count++;
        if (last[i] == i) free_slots[free_count++] = reg->slot; // nobody reads it
        for (uint8_t k = 0; k < reg->in_count; k++) {
            uint16_t in = reg->in[k];
            bool again = (k > 0 && in == reg->in[0]) || (k > 1 && in == reg->in[1]);
            if (last[in] == i && !again && out->registers[in].kind != NORN_TILE_CONST)
                free_slots[free_count++] = out->registers[in].slot;
        }
    }
    int64_t slots = out->slot_count ? (int64_t)out->slot_count : 1;
    int64_t elems = SLOT_BYTES_TOTAL / (slots * (int64_t)widest) / TILE_ELEMS_MIN * TILE_ELEMS_MIN;
    out->tile_elems = elems < TILE_ELEMS_MIN   ? TILE_ELEMS_MIN
                      : elems > TILE_ELEMS_MAX ? TILE_ELEMS_MAX
                                               : elems;
    out->slot_bytes = out->tile_elems * (int64_t)widest;
}

norn_status norn_tile_compile(norn_tile_program *out, const norn_scalar_program *source,
                              norn_isa isa, const norn_dtype *store_dtypes, const char *name) {
    tile_compiler compiler = {.out = out, .isa = isa, .name = name};
    out->register_count = out->slot_count = 0;
    out->load_count = source->load_count;
    out->store_count = source->store_count;
    if (source->instr_count > NORN_SCALAR_INSTR_MAX || source->load_count > NORN_SCALAR_LOAD_MAX ||
        source->store_count > NORN_SCALAR_STORE_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "its scalar program is too long");
    tile_join_products(&compiler, source);
    for (uint32_t i = 0; i < source->instr_count; i++) {
        if (compiler.joined[i]) continue;
        NORN_TRY(tile_instr(&compiler, source, &source->instrs[i]));
        compiler.map[i] = (uint16_t)(out->register_count - 1);
    }
    for (uint32_t i = 0; i < source->store_count; i++) {
        uint16_t reg = compiler.map[source->stores[i]];
        norn_dtype have = (norn_dtype)out->registers[reg].dtype, want = store_dtypes[i];
        if (want == NORN_DTYPE_NONE) want = have; // an output that nobody reads
        if (!norn_tile_cast(have, want)) {
            norn_dtype middle = norn_tile_cast(have, NORN_F64) ? NORN_F64 : NORN_F32;
            NORN_TRY(tile_convert(&compiler, reg, middle));
            reg = (uint16_t)(out->register_count - 1);
            have = middle;
        }
        out->stores[i] = reg;
        out->store_fn[i] = norn_tile_cast(have, want);
        out->store_size[i] = (uint8_t)(norn_dtype_bits(want) / 8);
        if (!out->store_fn[i])
            return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no cast from %s to %s",
                             norn_dtype_name(have), norn_dtype_name(want));
        if (have == want && out->registers[reg].kind == NORN_TILE_COMPUTE &&
            out->registers[reg].store < 0 && store_dtypes[i] != NORN_DTYPE_NONE)
            out->registers[reg].store = (int16_t)i;
    }
    tile_assign_slots(out);
    return NORN_OK;
}

void norn_tile_strides(const norn_scalar_load *load, int32_t rank, const int64_t *dims,
                       int64_t element_bytes, int64_t *strides) {
    int64_t step = element_bytes;
    for (int32_t d = rank - 1; d >= 0; d--) {
        strides[d] = load->broadcast[d] ? 0 : step;
        if (!load->broadcast[d]) step *= dims[d];
    }
}

// ---- running

/// Registers of a plane: where each is for the tile at hand.
typedef struct tile_state {
    norn_tile_operand at[NORN_TILE_REGISTER_MAX];
    uint64_t cells[NORN_TILE_REGISTER_MAX]; ///< what is the same all over a tile
    bool fixed[NORN_TILE_REGISTER_MAX]; ///< the same all over the plane: done before the first tile
    char *slots;
} tile_state;

static void gather_row(char *to, const char *from, int64_t column_bytes, int64_t count,
                       int64_t size) {
    if (column_bytes == size) {
        memcpy(to, from, (size_t)(count * size));
    } else if (column_bytes == 0 && size == 4) {
        float value, *fill = (float *)(void *)to;
        memcpy(&value, from, 4);
        for (int64_t i = 0; i < count; i++) fill[i] = value;
    } else if (size == 4) {
        uint32_t value;
        for (int64_t i = 0; i < count; i++) {
            memcpy(&value, from + i * column_bytes, 4);
            memcpy(to + i * 4, &value, 4);
        }
    } else {
        for (int64_t i = 0; i < count; i++)
            memcpy(to + i * size, from + i * column_bytes, (size_t)size);
    }
}

static void tile_load(const norn_tile_program *program, const norn_tile_plane *plane,
                      tile_state *state, uint32_t index, int64_t row, int64_t rows, int64_t column,
                      int64_t columns) {
    const norn_tile_register *reg = &program->registers[index];
    const norn_tile_access *access = &plane->loads[reg->load];
    const char *from = access->data + row * access->row_bytes + column * access->column_bytes;
    norn_tile_operand *at = &state->at[index];
    bool packed = access->column_bytes == reg->size || columns == 1;
    if (at->step == 0 || (packed && (rows == 1 || access->row_bytes == columns * reg->size))) {
        at->data = from;
        return;
    }
    char *to = state->slots + reg->slot * program->slot_bytes;
    at->data = to;
    for (int64_t r = 0; r < rows; r++)
        gather_row(to + r * columns * reg->size, from + r * access->row_bytes, access->column_bytes,
                   columns, reg->size);
}

static bool store_in_place(const norn_tile_program *program, const norn_tile_plane *plane,
                           int16_t store, int64_t rows, int64_t columns) {
    const norn_tile_access *access = &plane->stores[store];
    int64_t size = program->store_size[store];
    return (columns == 1 || access->column_bytes == size) &&
           (rows == 1 || access->row_bytes == columns * size);
}

static void tile_step(const norn_tile_program *program, const norn_tile_plane *plane,
                      tile_state *state, uint32_t index, int64_t row, int64_t rows, int64_t column,
                      int64_t columns) {
    const norn_tile_register *reg = &program->registers[index];
    if (reg->kind == NORN_TILE_LOAD) {
        tile_load(program, plane, state, index, row, rows, column, columns);
        return;
    }
    const norn_tile_operand in[3] = {state->at[reg->in[0]], state->at[reg->in[1]],
                                     state->at[reg->in[2]]};
    norn_tile_operand *at = &state->at[index];
    void *to;
    if (at->step == 0) {
        to = &state->cells[index];
    } else if (reg->store >= 0 && store_in_place(program, plane, reg->store, rows, columns)) {
        const norn_tile_access *access = &plane->stores[reg->store];
        to = access->data + row * access->row_bytes + column * access->column_bytes;
    } else {
        to = state->slots + reg->slot * program->slot_bytes;
    }
    at->data = to;
    reg->fn(to, in, at->step ? rows * columns : 1);
}

static void tile_store(const norn_tile_program *program, const norn_tile_plane *plane,
                       const tile_state *state, uint32_t index, int64_t row, int64_t rows,
                       int64_t column, int64_t columns) {
    uint16_t from = program->stores[index];
    const norn_tile_register *reg = &program->registers[from];
    const norn_tile_access *access = &plane->stores[index];
    if (!access->data) return;
    int64_t size = program->store_size[index];
    char *to = access->data + row * access->row_bytes + column * access->column_bytes;
    norn_tile_operand at = state->at[from];
    if (at.data == to && at.step) return; // written in place
    if (store_in_place(program, plane, (int16_t)index, rows, columns)) {
        program->store_fn[index](to, &at, rows * columns);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        if (columns == 1 || access->column_bytes == size) {
            program->store_fn[index](to, &at, columns);
        } else {
            norn_tile_operand element = at;
            for (int64_t c = 0; c < columns; c++) {
                element.data = (const char *)at.data + at.step * c * reg->size;
                program->store_fn[index](to + c * access->column_bytes, &element, 1);
            }
        }
        to += access->row_bytes;
        at.data = (const char *)at.data + at.step * columns * reg->size;
    }
}

/// Decide for each register whether it is one element over a tile, or over the whole plane.
static void tile_plan(const norn_tile_program *program, const norn_tile_plane *plane,
                      tile_state *state, bool one_row) {
    for (uint32_t i = 0; i < program->register_count; i++) {
        const norn_tile_register *reg = &program->registers[i];
        if (reg->kind == NORN_TILE_CONST) {
            state->fixed[i] = true;
            state->at[i] = (norn_tile_operand){&reg->value, 0};
        } else if (reg->kind == NORN_TILE_LOAD) {
            const norn_tile_access *access = &plane->loads[reg->load];
            bool same_row = access->column_bytes == 0, same_rows = access->row_bytes == 0;
            state->fixed[i] = same_row && same_rows;
            state->at[i].step = same_row && (same_rows || one_row) ? 0 : 1;
        } else {
            state->fixed[i] = true;
            state->at[i].step = 0;
            for (uint8_t k = 0; k < reg->in_count; k++) {
                state->fixed[i] = state->fixed[i] && state->fixed[reg->in[k]];
                state->at[i].step |= state->at[reg->in[k]].step;
            }
        }
        if (state->fixed[i] && reg->kind != NORN_TILE_CONST)
            tile_step(program, plane, state, i, 0, 1, 0, 1);
    }
}

static bool is_packed(const norn_tile_access *access, int64_t size, int64_t columns) {
    return access->column_bytes == size && access->row_bytes == columns * size;
}

/// Rows a tile: as many as fit; but one, where rows are long and an operand
/// or a result is not simply the next row in memory: then no row need be gathered,
/// and what is the same along a row is one element.
static int64_t tile_rows(const norn_tile_program *program, const norn_tile_plane *plane,
                         int64_t wide) {
    enum { LONG_ROW = 128, LONG_SPLAT = 48 };
    int64_t tall = program->tile_elems / wide;
    if (tall > plane->rows) tall = plane->rows;
    if (wide < LONG_SPLAT) return tall;
    for (uint32_t i = 0; i < program->register_count; i++) {
        const norn_tile_register *reg = &program->registers[i];
        if (reg->kind != NORN_TILE_LOAD) continue;
        const norn_tile_access *access = &plane->loads[reg->load];
        bool repeats = access->row_bytes == 0 && access->column_bytes == 0;
        bool splat = access->column_bytes == 0 && !repeats;
        if (!repeats && !is_packed(access, reg->size, plane->columns) &&
            (splat || wide >= LONG_ROW))
            return 1;
    }
    for (uint32_t i = 0; i < program->store_count; i++)
        if (plane->stores[i].data && wide >= LONG_ROW &&
            !is_packed(&plane->stores[i], program->store_size[i], plane->columns))
            return 1;
    return tall;
}

void norn_tile_run(const norn_tile_program *program, const norn_tile_plane *plane) {
    _Alignas(64) char slots[SLOT_BYTES_MAX];
    tile_state state;
    if (plane->rows <= 0 || plane->columns <= 0) return;
    state.slots = slots;
    int64_t wide = plane->columns < program->tile_elems ? plane->columns : program->tile_elems;
    int64_t tall = tile_rows(program, plane, wide);
    tile_plan(program, plane, &state, tall == 1);
    for (int64_t row = 0; row < plane->rows; row += tall) {
        int64_t rows = plane->rows - row < tall ? plane->rows - row : tall;
        for (int64_t column = 0; column < plane->columns; column += wide) {
            int64_t columns = plane->columns - column < wide ? plane->columns - column : wide;
            for (uint32_t i = 0; i < program->register_count; i++)
                if (!state.fixed[i])
                    tile_step(program, plane, &state, i, row, rows, column, columns);
            for (uint32_t i = 0; i < program->store_count; i++)
                tile_store(program, plane, &state, i, row, rows, column, columns);
        }
    }
}
