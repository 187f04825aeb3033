// RowReduce regions: a scalar program over the input's dims, a reduction,
// a scalar program over what is left. The sums land in scratch, dense [outer, inner];
// the epilogue runs over them at the end.
#include "cpu/cpu_kernel.h"
#include "cpu/kernels/tile_nest.h"
#include "cpu/micro/reduce_f32.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <string.h>

enum { BUFFER_ELEMS = 1024 };

/// The three groups of loop dims, each collapsed by itself: outer, reduced, inner.
typedef enum reduce_group { OUTER, REDUCED, INNER, GROUPS } reduce_group;

typedef struct reduce_job {
    norn_reduce_kind kind;
    norn_tile_program program;
    norn_tile_nest group[GROUPS]; ///< dims and load strides; no stores
    int64_t elems[GROUPS];
    norn_dtype dtype; ///< of what is reduced: F32, F64, I64 or U64
    const norn_reduce_f32 *f32;
    char *sums; ///< [outer, inner] of F32, F64, I64 or U64
} reduce_job;

// ---- accumulators: a value is folded in as double or as (u)int64

typedef union reduce_cell {
    double f;
    int64_t i;
    uint64_t u;
} reduce_cell;

static reduce_cell cell_initial(const reduce_job *job) {
    reduce_cell cell = {.u = 0};
    bool floating = norn_dtype_is_float(job->dtype), is_signed = norn_dtype_is_signed(job->dtype);
    switch (job->kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        break;
    case NORN_REDUCE_PROD:
        if (floating)
            cell.f = 1;
        else
            cell.i = 1;
        break;
    case NORN_REDUCE_MAX:
        if (floating)
            cell.f = -(double)INFINITY;
        else
            cell.i = is_signed ? INT64_MIN : 0;
        break;
    case NORN_REDUCE_MIN:
        if (floating)
            cell.f = (double)INFINITY;
        else
            cell.u = is_signed ? (uint64_t)INT64_MAX : UINT64_MAX;
        break;
    }
    return cell;
}

static void fold_f64(norn_reduce_kind kind, double *cell, double x) {
    switch (kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        *cell += x;
        break;
    case NORN_REDUCE_PROD:
        *cell *= x;
        break;
    case NORN_REDUCE_MAX:
        *cell = x > *cell || x != x ? x : *cell;
        break;
    case NORN_REDUCE_MIN:
        *cell = x < *cell || x != x ? x : *cell;
        break;
    }
}
static void fold_i64(norn_reduce_kind kind, reduce_cell *cell, int64_t x, bool is_signed) {
    switch (kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        cell->u += (uint64_t)x;
        break;
    case NORN_REDUCE_PROD:
        cell->u *= (uint64_t)x;
        break;
    case NORN_REDUCE_MAX:
        if (is_signed ? x > cell->i : (uint64_t)x > cell->u) cell->i = x;
        break;
    case NORN_REDUCE_MIN:
        if (is_signed ? x < cell->i : (uint64_t)x < cell->u) cell->i = x;
        break;
    }
}

static void fold_row_f32(const reduce_job *job, double *cell, const float *x, int64_t n) {
    if (n == 0) return;
    switch (job->kind) {
    case NORN_REDUCE_SUM:
    case NORN_REDUCE_MEAN:
        *cell += job->f32->sum(x, n);
        break;
    case NORN_REDUCE_MAX:
        fold_f64(job->kind, cell, (double)job->f32->max(x, n));
        break;
    case NORN_REDUCE_MIN:
        fold_f64(job->kind, cell, (double)job->f32->min(x, n));
        break;
    case NORN_REDUCE_PROD:
        for (int64_t i = 0; i < n; i++) *cell *= (double)x[i];
        break;
    }
}

/// Fold a contiguous run into one cell.
static void fold_row(const reduce_job *job, reduce_cell *cell, const void *x, int64_t n) {
    bool is_signed = job->dtype == NORN_I64;
    if (job->dtype == NORN_F32)
        fold_row_f32(job, &cell->f, x, n);
    else if (job->dtype == NORN_F64)
        for (int64_t i = 0; i < n; i++) fold_f64(job->kind, &cell->f, ((const double *)x)[i]);
    else
        for (int64_t i = 0; i < n; i++)
            fold_i64(job->kind, cell, ((const int64_t *)x)[i], is_signed);
}

/// Fold `rows` runs of `n` into n cells. Float32 is added up over the rows first: they are few.
static void fold_columns(const reduce_job *job, reduce_cell *cells, void *x, int64_t rows,
                         int64_t n) {
    bool is_signed = job->dtype == NORN_I64;
    bool sum = job->kind == NORN_REDUCE_SUM || job->kind == NORN_REDUCE_MEAN;
    if (job->dtype == NORN_F32 && sum) {
        float *top = x;
        job->f32->add_rows(top, top + n, rows - 1, n);
        for (int64_t i = 0; i < n; i++) cells[i].f += (double)top[i];
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) {
            int64_t at = r * n + i;
            if (job->dtype == NORN_F32)
                fold_f64(job->kind, &cells[i].f, (double)((const float *)x)[at]);
            else if (job->dtype == NORN_F64)
                fold_f64(job->kind, &cells[i].f, ((const double *)x)[at]);
            else
                fold_i64(job->kind, &cells[i], ((const int64_t *)x)[at], is_signed);
        }
}

/// Store the results of `count` outputs from `index` on.
static void put_sums(const reduce_job *job, int64_t index, const reduce_cell *cells,
                     int64_t count) {
    int64_t reduced = job->elems[REDUCED];
    bool mean = job->kind == NORN_REDUCE_MEAN && reduced > 0; // of nothing: 0, as an empty bag
    if (job->dtype == NORN_F32) {
        float *to = (float *)(void *)job->sums + index;
        const double divisor = mean ? (double)reduced : 1;
        for (int64_t i = 0; i < count; i++) to[i] = (float)(cells[i].f / divisor);
    } else if (job->dtype == NORN_F64) {
        double *to = (double *)(void *)job->sums + index;
        for (int64_t i = 0; i < count; i++)
            to[i] = mean ? cells[i].f / (double)reduced : cells[i].f;
    } else {
        bool is_signed = job->dtype == NORN_I64;
        int64_t *to = (int64_t *)(void *)job->sums + index;
        for (int64_t i = 0; i < count; i++) {
            to[i] = cells[i].i;
            if (!mean) continue;
            to[i] = is_signed ? cells[i].i / reduced : (int64_t)(cells[i].u / (uint64_t)reduced);
        }
    }
}

static void set_cells(const reduce_job *job, reduce_cell *cells, int64_t count) {
    const reduce_cell initial = cell_initial(job);
    for (int64_t i = 0; i < count; i++) cells[i] = initial;
}

// ---- walking

/// Byte offset of each load at flat index `flat` of the dims [0, rank) of a group.
static void add_offsets(const norn_tile_nest *nest, int32_t rank, int64_t flat,
                        int64_t offsets[NORN_SCALAR_LOAD_MAX]) {
    for (int32_t d = rank - 1; d >= 0; d--) {
        int64_t index = flat % nest->dims[d];
        flat /= nest->dims[d];
        for (uint32_t i = 0; i < nest->load_count; i++) offsets[i] += index * nest->strides[i][d];
    }
}
static int64_t last_dim(const norn_tile_nest *nest) {
    return nest->rank ? nest->dims[nest->rank - 1] : 1;
}
static int64_t last_stride(const norn_tile_nest *nest, uint32_t load) {
    return nest->rank ? nest->strides[load][nest->rank - 1] : 0;
}

/// Run the prologue over a plane into `buffer`, dense.
static void run_plane(const reduce_job *job, const norn_tile_nest *rows_of,
                      const norn_tile_nest *columns_of, const int64_t *offsets, int64_t rows,
                      int64_t columns, void *buffer) {
    norn_tile_plane plane;
    int64_t size = norn_dtype_bits(job->dtype) / 8;
    plane.rows = rows;
    plane.columns = columns;
    for (uint32_t i = 0; i < job->program.load_count; i++)
        plane.loads[i] = (norn_tile_access){job->group[OUTER].data[i] + offsets[i],
                                            last_stride(rows_of, i), last_stride(columns_of, i)};
    plane.stores[0] = (norn_tile_access){buffer, columns * size, size};
    norn_tile_run(&job->program, &plane);
}

/// No inner dims: outputs [begin, end), several rows a plane when rows are short.
static void reduce_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const reduce_job *job = context;
    const norn_tile_nest *outer = &job->group[OUTER], *reduced = &job->group[REDUCED];
    _Alignas(64) char buffer[BUFFER_ELEMS * 8];
    int64_t wide = last_dim(reduced), size = norn_dtype_bits(job->dtype) / 8;
    int64_t runs = wide ? job->elems[REDUCED] / wide : 0; // of the reduced dims but the last
    int64_t tall = wide && wide < BUFFER_ELEMS ? BUFFER_ELEMS / wide : 1;
    (void)worker;
    for (int64_t row = begin; row < end;) {
        // A plane's rows are neighbours along the last outer dim.
        int64_t left = last_dim(outer) - row % last_dim(outer);
        int64_t rows = left < tall ? left : tall;
        if (rows > end - row) rows = end - row;
        reduce_cell cells[BUFFER_ELEMS];
        set_cells(job, cells, rows);
        for (int64_t run = 0; run < runs; run++) {
            int64_t offsets[NORN_SCALAR_LOAD_MAX] = {0};
            add_offsets(outer, outer->rank, row, offsets);
            add_offsets(reduced, reduced->rank - 1, run, offsets);
            for (int64_t at = 0; at < wide; at += BUFFER_ELEMS) {
                int64_t columns = wide - at < BUFFER_ELEMS ? wide - at : BUFFER_ELEMS;
                run_plane(job, outer, reduced, offsets, rows, columns, buffer);
                for (int64_t r = 0; r < rows; r++)
                    fold_row(job, &cells[r], buffer + r * columns * size, columns);
                for (uint32_t i = 0; i < job->program.load_count; i++)
                    offsets[i] += columns * last_stride(reduced, i);
            }
        }
        put_sums(job, row, cells, rows);
        row += rows;
    }
}

/// Inner dims: a unit is one run of the last inner dim, in pieces;
/// rows of a plane are reduced away.
static void reduce_columns(void *context, int64_t begin, int64_t end, int32_t worker) {
    enum { WIDE = 256, PLANE_ELEMS = 4096 };
    const reduce_job *job = context;
    const norn_tile_nest *outer = &job->group[OUTER], *reduced = &job->group[REDUCED],
                         *inner = &job->group[INNER];
    _Alignas(64) char buffer[PLANE_ELEMS * 8];
    reduce_cell cells[WIDE];
    int64_t width = last_dim(inner), tall = last_dim(reduced);
    int64_t runs = tall ? job->elems[REDUCED] / tall : 0, inner_runs = job->elems[INNER] / width;
    (void)worker;
    for (int64_t unit = begin; unit < end; unit++) {
        for (int64_t at = 0; at < width; at += WIDE) {
            int64_t columns = width - at < WIDE ? width - at : WIDE;
            set_cells(job, cells, columns);
            for (int64_t run = 0; run < runs; run++) {
                int64_t offsets[NORN_SCALAR_LOAD_MAX] = {0};
                add_offsets(outer, outer->rank, unit / inner_runs, offsets);
                add_offsets(inner, inner->rank - 1, unit % inner_runs, offsets);
                add_offsets(reduced, reduced->rank - 1, run, offsets);
                for (uint32_t i = 0; i < job->program.load_count; i++)
                    offsets[i] += at * last_stride(inner, i);
                int64_t most = PLANE_ELEMS / columns;
                for (int64_t row = 0; row < tall; row += most) {
                    int64_t rows = tall - row < most ? tall - row : most;
                    run_plane(job, reduced, inner, offsets, rows, columns, buffer);
                    fold_columns(job, cells, buffer, rows, columns);
                    for (uint32_t i = 0; i < job->program.load_count; i++)
                        offsets[i] += rows * last_stride(reduced, i);
                }
            }
            put_sums(job, unit * width + at, cells, columns);
        }
    }
}

// ---- binding

typedef struct reduce_shape {
    int32_t rank, outer, reduced, inner; ///< counts of loop dims
    int64_t dims[NORN_MAX_RANK];
} reduce_shape;

/// The loop dims: what the prologue's operands broadcast to, aligned at the right.
static norn_status reduce_shape_of(const norn_call *call, const norn_row_reduce_region *region,
                                   const norn_scalar_program *prologue, reduce_shape *shape) {
    *shape = (reduce_shape){.rank = 0};
    for (uint32_t i = 0; i < prologue->load_count; i++) {
        const norn_view *view = &call->in[prologue->loads[i].input];
        if (view->rank > shape->rank) shape->rank = view->rank;
    }
    for (int32_t d = 0; d < shape->rank; d++) shape->dims[d] = 1;
    for (uint32_t i = 0; i < prologue->load_count; i++) {
        const norn_view *view = &call->in[prologue->loads[i].input];
        for (int32_t d = 0; d < view->rank; d++) {
            int32_t at = d + shape->rank - view->rank;
            if (!prologue->loads[i].broadcast[at]) shape->dims[at] = view->dims[d];
        }
    }
    shape->reduced = (int32_t)region->reduced_dims;
    shape->inner = (int32_t)region->inner_dims;
    shape->outer = shape->rank - shape->reduced - shape->inner;
    if (shape->outer < 0) return norn_fail(NORN_INTERNAL, "reduces more dims than its input has");
    return NORN_OK;
}

static void bind_group(reduce_job *job, reduce_group group, const reduce_shape *shape,
                       int64_t strides[][NORN_MAX_RANK], int32_t first, int32_t count) {
    norn_tile_nest *nest = &job->group[group];
    nest->rank = count;
    nest->load_count = job->program.load_count;
    nest->store_count = 0;
    job->elems[group] = norn_dims_product(shape->dims, first, first + count);
    for (int32_t d = 0; d < count; d++) {
        nest->dims[d] = shape->dims[first + d];
        for (uint32_t i = 0; i < nest->load_count; i++) nest->strides[i][d] = strides[i][first + d];
    }
    norn_tile_nest_collapse(nest);
}

/// What the sums are held in: float32 as it is, other floats as float64, integers as 64 bits.
static norn_dtype sum_dtype(norn_dtype dtype) {
    if (dtype == NORN_F32 || norn_dtype_bits(dtype) < 32) {
        if (norn_dtype_is_float(dtype)) return NORN_F32;
    }
    if (norn_dtype_is_float(dtype)) return NORN_F64;
    return norn_dtype_is_signed(dtype) ? NORN_I64 : NORN_U64;
}

static norn_status run_epilogue(norn_call *call, const reduce_job *job, const reduce_shape *shape,
                                const norn_scalar_program *source) {
    norn_view *out = &call->out[0];
    norn_tile_program program;
    norn_tile_nest nest = {
        .rank = shape->outer + shape->inner, .load_count = source->load_count, .store_count = 1};
    int64_t out_strides[NORN_MAX_RANK];
    norn_tile_view_strides(out, norn_dtype_bits(out->dtype) / 8, out_strides);
    for (int32_t d = 0; d < nest.rank; d++) {
        bool inner = d >= shape->outer;
        nest.dims[d] = shape->dims[inner ? d + shape->reduced : d];
        // The output may keep the reduced dims as ones.
        int32_t at = inner && out->rank == shape->rank ? d + shape->reduced : d;
        nest.strides[source->load_count][d] = out_strides[at];
    }
    nest.data[source->load_count] = out->data;
    NORN_TRY(norn_tile_compile(&program, source, norn_isa_get(), &out->dtype, call->name));
    for (uint32_t i = 0; i < source->load_count; i++) {
        const norn_scalar_load *load = &source->loads[i];
        bool acc = load->input == NORN_SCALAR_ACC;
        nest.data[i] = acc ? job->sums : call->in[load->input].data;
        norn_tile_strides(load, nest.rank, nest.dims, norn_dtype_bits(load->dtype) / 8,
                          nest.strides[i]);
    }
    norn_tile_nest_collapse(&nest);
    norn_tile_nest_run(&nest, &program, call->pool);
    return NORN_OK;
}

static norn_scalar_program load_only(norn_scalar_load *load, norn_scalar_instr *instr,
                                     uint32_t input, norn_dtype dtype) {
    static const uint16_t store = 0;
    *load = (norn_scalar_load){.input = input, .dtype = dtype};
    *instr = (norn_scalar_instr){.op = NORN_SCALAR_LOAD, .dtype = dtype};
    return (norn_scalar_program){1, 1, 1, load, instr, &store};
}

norn_status norn_cpu_row_reduce(norn_call *call) {
    const norn_row_reduce_region *region = &call->region->row_reduce;
    norn_scalar_program prologue = region->prologue, epilogue = region->epilogue;
    norn_scalar_load load, acc;
    norn_scalar_instr load_instr, acc_instr;
    reduce_shape shape;
    reduce_job job = {.kind = region->kind, .f32 = norn_reduce_f32_of(norn_isa_get())};
    int64_t strides[NORN_SCALAR_LOAD_MAX][NORN_MAX_RANK];
    if (!norn_view_present(&call->out[0])) return NORN_OK;
    if (!prologue.instr_count) prologue = load_only(&load, &load_instr, 0, call->in[0].dtype);
    NORN_TRY(reduce_shape_of(call, region, &prologue, &shape));

    norn_dtype value = prologue.instrs[prologue.stores[0]].dtype;
    job.dtype = sum_dtype(value);
    NORN_TRY(norn_tile_compile(&job.program, &prologue, norn_isa_get(), &job.dtype, call->name));
    for (uint32_t i = 0; i < prologue.load_count; i++) {
        const norn_view *view = &call->in[prologue.loads[i].input];
        norn_tile_strides(&prologue.loads[i], shape.rank, shape.dims,
                          norn_dtype_bits(view->dtype) / 8, strides[i]);
        job.group[OUTER].data[i] = view->data;
    }
    bind_group(&job, OUTER, &shape, strides, 0, shape.outer);
    bind_group(&job, REDUCED, &shape, strides, shape.outer, shape.reduced);
    bind_group(&job, INNER, &shape, strides, shape.outer + shape.reduced, shape.inner);
    int64_t outputs = job.elems[OUTER] * job.elems[INNER];
    if (outputs == 0) return NORN_OK;
    void *sums;
    NORN_TRY(norn_cpu_scratch(call, outputs, norn_dtype_bits(job.dtype) / 8, &sums));
    job.sums = sums;
    int64_t grain = 32768 / (job.elems[REDUCED] * (job.program.register_count + 1) + 1) + 1;
    if (job.elems[INNER] == 1)
        norn_pool_loop(call->pool, outputs, grain, reduce_rows, &job);
    else
        norn_pool_loop(call->pool, outputs / last_dim(&job.group[INNER]),
                       grain / last_dim(&job.group[INNER]) + 1, reduce_columns, &job);

    // The accumulator that the epilogue names may be narrower than what was summed in.
    if (!epilogue.instr_count) {
        epilogue = load_only(&acc, &acc_instr, NORN_SCALAR_ACC, job.dtype);
        return run_epilogue(call, &job, &shape, &epilogue);
    }
    norn_scalar_load loads[NORN_SCALAR_LOAD_MAX];
    memcpy(loads, epilogue.loads, epilogue.load_count * sizeof *loads);
    for (uint32_t i = 0; i < epilogue.load_count; i++)
        if (loads[i].input == NORN_SCALAR_ACC) loads[i].dtype = job.dtype;
    epilogue.loads = loads;
    return run_epilogue(call, &job, &shape, &epilogue);
}
