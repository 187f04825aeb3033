#include "cpu/kernels/gemm_f32.h"

#include "cpu/micro/thin_f32.h"

#include <math.h>
#include <string.h>

/// A block of A (ROWS x DEPTH) stays in the second-level cache, a panel of B (DEPTH x 16) in the
/// first. COLUMNS bounds the block of C that goes with it.
enum { BLOCK_ROWS = 120, BLOCK_DEPTH = 256, BLOCK_COLUMNS = 256, BLOCK_COLUMNS_MIN = 64 };
/// Rows of a copy of A lie this far apart: no power of two, so that they share no cache sets.
enum { COMPACT_ROW = BLOCK_DEPTH + 16 };
/// Pieces of work for each thread, so that one that is held up does
/// not hold up the others for long.
enum { PIECES_PER_THREAD = 4 };
/// Multiply-adds below which a second thread costs more than it brings.
enum { GRAIN_WORK = 64 * 1024 };

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/// The kernels of the instruction set in use, by rows and panels.
typedef struct gemm_kernels {
    int32_t rows_max, panels_max;
    norn_gemm_fn fn[NORN_GEMM_ROWS_MAX + 1][NORN_GEMM_PANELS_MAX + 1];
} gemm_kernels;

static gemm_kernels gemm_kernels_of(norn_isa isa) {
    gemm_kernels kernels = {0};
    for (int32_t i = 0; i < norn_gemm_f32_row_count; i++) {
        const norn_gemm_row *row = &norn_gemm_f32_rows[i];
        if (row->isa != isa) continue;
        kernels.fn[row->rows][row->panels] = row->fn;
        if (row->rows > kernels.rows_max) kernels.rows_max = row->rows;
        if (row->panels > kernels.panels_max) kernels.panels_max = row->panels;
    }
    return kernels;
}

static const gemm_kernels *gemm_kernels_get(void) {
    static _Thread_local gemm_kernels kernels;
    if (!kernels.rows_max) kernels = gemm_kernels_of(norn_isa_get());
    return &kernels;
}

/// A block of A as the micro-kernels read it: in place, or copied together.
typedef struct a_block {
    const float *rows;
    int64_t stride;
} a_block;

/// Rows for the next tile, so that a short last tile is not followed by a shorter one.
static int64_t tile_rows(const gemm_kernels *kernels, int64_t left, int32_t panels) {
    int64_t rows = kernels->rows_max;
    if (left < 2 * rows) rows = left > rows ? (left + 1) / 2 : left;
    while (!kernels->fn[rows][panels]) rows--;
    return rows;
}

/// Bring `bytes` at `from` towards the core: the panel that comes
/// next, while this one is worked on.
static void prefetch_run(const char *from, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

/// Rows of `a` (m1 - m0 of them) by `panels` panels at column n0, over k in [k0, k1). `next` is
/// where B goes on, NULL at its end.
static void gemm_rows(const gemm_kernels *kernels, const norn_gemm_f32 *gemm, a_block a, int64_t m0,
                      int64_t m1, int64_t n0, int32_t panels, int64_t k0, int64_t k1,
                      const float *next) {
    bool last = k1 == gemm->k;
    norn_gemm_tile tile = {
        .k = k1 - k0,
        .lda = a.stride,
        .b = gemm->b + n0 / NORN_GEMM_PANEL * gemm->b_panel + k0 * gemm->ldb,
        .ldb = gemm->ldb,
        .b_panel = gemm->b_panel,
        .ldc = gemm->ldc,
        .columns = min_i64(gemm->n - n0, panels * NORN_GEMM_PANEL),
        .bias = last && gemm->bias ? gemm->bias + n0 : NULL,
        .floor = last ? gemm->floor : -INFINITY,
        .accumulate = k0 > 0,
    };
    // The first tile waits for its panel, the others find it in the
    // cache; so they fetch the next one.
    int64_t bytes = next ? (k1 - k0) * NORN_GEMM_PANEL * (int64_t)sizeof(float) : 0;
    int64_t slice = (bytes * kernels->rows_max / (m1 - m0) + 63) / 64 * 64;
    for (int64_t m = m0; m < m1;) {
        int64_t rows = tile_rows(kernels, m1 - m, panels);
        tile.a = a.rows + (m - m0) * a.stride;
        tile.c = gemm->c + m * gemm->ldc + n0;
        if (bytes > 0) prefetch_run((const char *)next, min_i64(slice, bytes));
        kernels->fn[rows][panels](&tile);
        m += rows;
        bytes -= slice;
        if (bytes > 0) next += slice / (int64_t)sizeof(float);
    }
}

/// As many panels at once as the kernels for this many rows take.
static int32_t panels_for(const gemm_kernels *kernels, int64_t rows, int64_t left) {
    if (rows > kernels->rows_max) rows = kernels->rows_max;
    for (int32_t panels = kernels->panels_max; panels > 1; panels--)
        if (panels <= left && kernels->fn[rows][panels]) return panels;
    return 1;
}

/// Whether copying a block of A together pays: it is read again for every panel, and rows that lie
/// a page or more apart cost a TLB entry each and fall into the same cache sets.
static bool wants_compact(const norn_gemm_f32 *gemm, int64_t rows, int64_t columns) {
    return rows >= 24 && columns >= 128 && gemm->lda >= 512;
}

static const float *panel_at(const norn_gemm_f32 *gemm, int64_t n, int64_t k) {
    return gemm->b + n / NORN_GEMM_PANEL * gemm->b_panel + k * gemm->ldb;
}

static void gemm_block(const norn_gemm_f32 *gemm, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
    _Alignas(64) float copy[BLOCK_ROWS * COMPACT_ROW];
    const gemm_kernels *kernels = gemm_kernels_get();
    bool compact = wants_compact(gemm, m1 - m0, n1 - n0);
    // One row at a time reads every weight once: no use for blocks,
    // and long runs suit the prefetchers.
    int64_t depth = m1 - m0 == 1 ? gemm->k : BLOCK_DEPTH;
    for (int64_t k0 = 0; k0 == 0 || k0 < gemm->k; k0 += depth) {
        int64_t k1 = min_i64(gemm->k, k0 + depth);
        a_block a = {gemm->a + m0 * gemm->lda + k0, gemm->lda};
        if (compact) {
            for (int64_t m = 0; m < m1 - m0; m++)
                memcpy(copy + m * COMPACT_ROW, a.rows + m * a.stride,
                       (size_t)(k1 - k0) * sizeof *copy);
            a = (a_block){copy, COMPACT_ROW};
        }
        for (int64_t n = n0; n < n1;) {
            int64_t left = (n1 - n + NORN_GEMM_PANEL - 1) / NORN_GEMM_PANEL;
            int32_t panels = panels_for(kernels, m1 - m0, left);
            int64_t after = n + panels * NORN_GEMM_PANEL;
            const float *next = NULL;
            if (m1 - m0 >= 4 * kernels->rows_max && gemm->ldb == NORN_GEMM_PANEL)
                next = after < n1     ? panel_at(gemm, after, k0)
                       : k1 < gemm->k ? panel_at(gemm, n0, k1)
                                      : NULL;
            gemm_rows(kernels, gemm, a, m0, m1, n, panels, k0, k1, next);
            n = after;
        }
        if (gemm->k == 0) break;
    }
    if (gemm->finish) gemm->finish(gemm, m0, m1, n0, n1);
}

typedef struct gemm_job {
    const norn_gemm_f32 *gemm;
    int64_t rows, columns; ///< of a block
    int64_t row_blocks, column_blocks;
} gemm_job;

static void gemm_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const gemm_job *job = context;
    const norn_gemm_f32 *gemm = job->gemm;
    (void)worker;
    for (int64_t block = begin; block < end; block++) {
        int64_t m0 = block / job->column_blocks * job->rows;
        int64_t n0 = block % job->column_blocks * job->columns;
        gemm_block(gemm, m0, min_i64(gemm->m, m0 + job->rows), n0,
                   min_i64(gemm->n, n0 + job->columns));
    }
}

static int64_t blocks_of(int64_t count, int64_t size) {
    return (count + size - 1) / size;
}
static int64_t round_up(int64_t count, int64_t unit) {
    return blocks_of(count, unit) * unit;
}

/// Blocks as even as they can be, and enough of them for the threads.
static gemm_job gemm_cut(const norn_gemm_f32 *gemm, int32_t threads) {
    gemm_job job = {.gemm = gemm};
    int64_t rows_max = gemm_kernels_get()->rows_max;
    job.row_blocks = blocks_of(gemm->m, BLOCK_ROWS);
    job.rows = min_i64(BLOCK_ROWS, round_up(blocks_of(gemm->m, job.row_blocks), rows_max));
    job.row_blocks = blocks_of(gemm->m, job.rows);
    job.column_blocks = blocks_of(gemm->n, BLOCK_COLUMNS);
    if (threads > 1) {
        int64_t wanted = blocks_of(threads * PIECES_PER_THREAD, job.row_blocks);
        int64_t most = blocks_of(gemm->n, BLOCK_COLUMNS_MIN);
        if (job.column_blocks < wanted) job.column_blocks = min_i64(wanted, most);
    }
    job.columns = round_up(blocks_of(gemm->n, job.column_blocks), BLOCK_COLUMNS_MIN);
    job.column_blocks = blocks_of(gemm->n, job.columns);
    return job;
}

// ---- few columns

/// Up to THIN_COLUMNS columns of at most THIN_DEPTH elements; THIN_ROWS rows of A stay in the cache
/// from one column to the next.
enum { THIN_COLUMNS = 3, THIN_DEPTH = 4096, THIN_DEPTH_MIN = 8, THIN_ROWS = 64 };

static bool is_thin(const norn_gemm_f32 *gemm) {
    return gemm->n <= THIN_COLUMNS && gemm->k >= THIN_DEPTH_MIN && gemm->k <= THIN_DEPTH &&
           norn_isa_get() != NORN_ISA_SCALAR;
}

static void thin_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const norn_gemm_f32 *gemm = context;
    norn_thin_fn thin = norn_thin_f32_of(norn_isa_get());
    _Alignas(64) float column[THIN_DEPTH];
    float sums[THIN_ROWS];
    (void)worker;
    for (int64_t n = 0; n < gemm->n; n++) {
        const float bias = gemm->bias ? gemm->bias[n] : 0;
        for (int64_t p = 0; p < gemm->k; p++) column[p] = gemm->b[p * gemm->ldb + n];
        for (int64_t m = begin; m < end; m += THIN_ROWS) {
            int64_t rows = min_i64(end - m, THIN_ROWS);
            thin(rows, gemm->k, gemm->a + m * gemm->lda, gemm->lda, column, sums);
            for (int64_t i = 0; i < rows; i++) {
                float x = sums[i] + bias;
                gemm->c[(m + i) * gemm->ldc + n] = x < gemm->floor ? gemm->floor : x;
            }
        }
    }
    if (gemm->finish) gemm->finish(gemm, begin, end, 0, gemm->n);
}

void norn_gemm_f32_run(const norn_gemm_f32 *gemm, norn_pool *pool) {
    if (gemm->m <= 0 || gemm->n <= 0) return;
    if (is_thin(gemm)) {
        norn_gemm_f32 copy = *gemm;
        norn_pool_loop(pool, gemm->m, GRAIN_WORK / (gemm->k * gemm->n * 4) + 1, thin_range, &copy);
        return;
    }
    gemm_job job = gemm_cut(gemm, pool ? norn_pool_threads(pool) : 1);
    int64_t work = min_i64(gemm->m, job.rows) * min_i64(gemm->n, job.columns) * (gemm->k + 1);
    norn_pool_loop(pool, job.row_blocks * job.column_blocks, GRAIN_WORK / work + 1, gemm_range,
                   &job);
}

void norn_gemm_f32_solo(const norn_gemm_f32 *gemm) {
    norn_gemm_f32_run(gemm, NULL);
}

void norn_gemm_f32_pack(int64_t k, int64_t n, const float *b, int64_t row_stride,
                        int64_t column_stride, float *panels) {
    for (int64_t n0 = 0; n0 < n; n0 += NORN_GEMM_PANEL) {
        int64_t columns = min_i64(n - n0, NORN_GEMM_PANEL);
        for (int64_t p = 0; p < k; p++, panels += NORN_GEMM_PANEL) {
            const float *from = b + p * row_stride + n0 * column_stride;
            if (column_stride == 1) {
                memcpy(panels, from, (size_t)columns * sizeof *panels);
            } else {
                for (int64_t j = 0; j < columns; j++) panels[j] = from[j * column_stride];
            }
            for (int64_t j = columns; j < NORN_GEMM_PANEL; j++) panels[j] = 0;
        }
    }
}
