#include "cpu/kernels/tile_nest.h"

/// Elements times instructions below which a second thread costs more than it brings.
enum { GRAIN_WORK = 32 * 1024 };

void norn_tile_view_strides(const norn_view *view, int64_t element_bytes, int64_t *strides) {
    int64_t step = element_bytes;
    for (int32_t d = view->rank - 1; d >= 0; d--) {
        strides[d] = step;
        if (d == view->rank - 1 && view->row_stride)
            step *= view->row_stride;
        else
            step *= view->dims[d];
    }
}

static bool walks_as_one(const norn_tile_nest *nest, int32_t outer, int32_t inner) {
    for (uint32_t i = 0; i < nest->load_count + nest->store_count; i++)
        if (nest->strides[i][outer] != nest->strides[i][inner] * nest->dims[inner]) return false;
    return true;
}

void norn_tile_nest_collapse(norn_tile_nest *nest) {
    uint32_t count = nest->load_count + nest->store_count;
    int32_t rank = 0;
    for (int32_t d = 0; d < nest->rank; d++) {
        if (nest->dims[d] == 1) continue;
        nest->dims[rank] = nest->dims[d];
        for (uint32_t i = 0; i < count; i++) nest->strides[i][rank] = nest->strides[i][d];
        // A merged pair keeps the inner strides; its place is the outer one's.
        if (rank > 0 && walks_as_one(nest, rank - 1, rank)) {
            nest->dims[rank - 1] *= nest->dims[rank];
            for (uint32_t i = 0; i < count; i++)
                nest->strides[i][rank - 1] = nest->strides[i][rank];
        } else {
            rank++;
        }
    }
    nest->rank = rank;
}

typedef struct nest_job {
    const norn_tile_nest *nest;
    const norn_tile_program *program;
    int64_t rows, columns; ///< of a plane
    int64_t row_block, column_block, row_blocks, column_blocks;
} nest_job;

/// Units are numbered plane by plane, row block by row block, column block by column block.
static void nest_unit(const nest_job *job, int64_t unit) {
    const norn_tile_nest *nest = job->nest;
    norn_tile_plane plane;
    int64_t column = unit % job->column_blocks * job->column_block;
    unit /= job->column_blocks;
    int64_t row = unit % job->row_blocks * job->row_block;
    int64_t outer = unit / job->row_blocks;
    int64_t index[NORN_MAX_RANK];
    for (int32_t d = nest->rank - 3; d >= 0; d--) {
        index[d] = outer % nest->dims[d];
        outer /= nest->dims[d];
    }
    plane.rows = job->rows - row < job->row_block ? job->rows - row : job->row_block;
    plane.columns =
        job->columns - column < job->column_block ? job->columns - column : job->column_block;
    for (uint32_t i = 0; i < nest->load_count + nest->store_count; i++) {
        const int64_t *strides = nest->strides[i];
        int64_t row_bytes = nest->rank >= 2 ? strides[nest->rank - 2] : 0;
        int64_t column_bytes = nest->rank >= 1 ? strides[nest->rank - 1] : 0;
        int64_t offset = row * row_bytes + column * column_bytes;
        for (int32_t d = 0; d + 2 < nest->rank; d++) offset += index[d] * strides[d];
        norn_tile_access *access =
            i < nest->load_count ? &plane.loads[i] : &plane.stores[i - nest->load_count];
        *access = (norn_tile_access){nest->data[i] ? nest->data[i] + offset : NULL, row_bytes,
                                     column_bytes};
    }
    norn_tile_run(job->program, &plane);
}

static void nest_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    (void)worker;
    for (int64_t unit = begin; unit < end; unit++) nest_unit(context, unit);
}

void norn_tile_nest_run(const norn_tile_nest *nest, const norn_tile_program *program,
                        norn_pool *pool) {
    nest_job job = {.nest = nest, .program = program, .rows = 1, .columns = 1};
    if (nest->rank >= 1) job.columns = nest->dims[nest->rank - 1];
    if (nest->rank >= 2) job.rows = nest->dims[nest->rank - 2];
    int64_t planes = 1;
    for (int32_t d = 0; d + 2 < nest->rank; d++) planes *= nest->dims[d];
    if (planes <= 0 || job.rows <= 0 || job.columns <= 0) return;

    int64_t grain = GRAIN_WORK / ((int64_t)program->register_count + 1) + 1;
    job.column_block = job.columns;
    job.row_block = job.rows;
    if (job.columns > 2 * grain) {
        job.row_block = 1;
        job.column_block = (grain + 15) / 16 * 16;
    } else if (job.rows * job.columns > 2 * grain) {
        job.row_block = grain / job.columns + 1;
    }
    job.row_blocks = (job.rows + job.row_block - 1) / job.row_block;
    job.column_blocks = (job.columns + job.column_block - 1) / job.column_block;
    int64_t unit_elems = job.row_block * job.column_block;
    norn_pool_loop(pool, planes * job.row_blocks * job.column_blocks, grain / unit_elems + 1,
                   nest_range, &job);
}
