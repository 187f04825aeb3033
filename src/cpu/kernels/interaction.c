// Interaction: products of all pairs of features (DLRM), or the factorisation machine's sum.
#include "cpu/cpu_kernel.h"
#include "cpu/kernels/gemm_any.h"
#include "cpu/micro/gram_f32.h"
#include "cpu/micro/tile_op.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <string.h>

enum { GRAIN_WORK = 64 * 1024 };

/// A run of features that lie side by side in one input.
typedef struct interaction_part {
    const float *data;
    int64_t features, row; ///< row: elements between samples
} interaction_part;

typedef struct interaction_job {
    const norn_interaction_region *region;
    const interaction_part *parts;
    uint32_t part_count;
    const float *pass;
    int64_t pass_row;
    float *out;
    int64_t out_row;
    char *work; ///< for each worker: pointers to the features, then their products
    int64_t work_bytes;
    norn_gram_fn gram;
} interaction_job;

static int64_t pointer_bytes(int64_t features) {
    return (features * (int64_t)sizeof(float *) + 63) / 64 * 64;
}

static void collect_rows(const interaction_job *job, int64_t sample, const float **rows) {
    const int64_t dim = job->region->dim;
    for (uint32_t i = 0; i < job->part_count; i++) {
        const interaction_part *part = &job->parts[i];
        const float *row = part->data + sample * part->row;
        for (int64_t f = 0; f < part->features; f++) *rows++ = row + f * dim;
    }
}

/// Gives the end of what it wrote.
static float *write_pairs(const norn_interaction_region *region, const float *gram, float *out) {
    const int64_t count = region->features, more = region->diagonal ? 1 : 0;
    if (region->pair_order) {
        for (uint32_t p = 0; p < region->pair_count; p++) {
            int32_t i = region->pair_order[2 * p], j = region->pair_order[2 * p + 1];
            out[p] = i >= j ? gram[i * count + j] : gram[j * count + i];
        }
        out += region->pair_count;
    } else if (region->upper) {
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = i + 1 - more; j < count; j++) *out++ = gram[j * count + i];
    } else {
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < i + more; j++) *out++ = gram[i * count + j];
    }
    return out;
}

static void dot_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const interaction_job *job = context;
    const norn_interaction_region *region = job->region;
    char *work = job->work + worker * job->work_bytes;
    const float **rows = (const float **)(void *)work;
    float *gram = (float *)(void *)(work + pointer_bytes(region->features));
    for (int64_t sample = begin; sample < end; sample++) {
        float *out = job->out + sample * job->out_row;
        collect_rows(job, sample, rows);
        job->gram(region->features, region->dim, rows, gram, region->features);
        if (job->pass)
            memcpy(out, job->pass + sample * job->pass_row,
                   (size_t)region->pass_through * sizeof *out);
        float *rest = write_pairs(region, gram, out + region->pass_through);
        for (int64_t i = 0; i < region->pad; i++) rest[i] = 0;
    }
}

static void fm_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    enum { WIDE = 128 };
    const interaction_job *job = context;
    const norn_interaction_region *region = job->region;
    const float **rows = (const float **)(void *)(job->work + worker * job->work_bytes);
    for (int64_t sample = begin; sample < end; sample++) {
        float *out = job->out + sample * job->out_row;
        collect_rows(job, sample, rows);
        if (job->pass)
            memcpy(out, job->pass + sample * job->pass_row,
                   (size_t)region->pass_through * sizeof *out);
        out += region->pass_through;
        for (int64_t at = 0; at < region->dim; at += WIDE) {
            int64_t n = region->dim - at < WIDE ? region->dim - at : WIDE;
            float sum[WIDE] = {0}, squares[WIDE] = {0};
            for (int64_t f = 0; f < region->features; f++) {
                const float *x = rows[f] + at;
                for (int64_t i = 0; i < n; i++) sum[i] += x[i], squares[i] += x[i] * x[i];
            }
            for (int64_t i = 0; i < n; i++) out[at + i] = 0.5f * (sum[i] * sum[i] - squares[i]);
        }
    }
}

/// Input `index` as float32 rows; half types are converted.
static norn_status f32_input(norn_call *call, uint32_t index, int64_t batch, const float **data,
                             int64_t *row) {
    norn_view view;
    if (index >= call->in_count)
        return norn_fail(NORN_INTERNAL, "its region reads input %u of %u", index, call->in_count);
    NORN_TRY(norn_gemm_as_f32(call, &call->in[index], &view));
    if (view.dtype != NORN_F32) {
        int64_t count = norn_view_elems(&view);
        const norn_tile_operand in[3] = {{view.data, 1}};
        norn_tile_fn cast = norn_tile_cast(view.dtype, NORN_F32);
        if (!cast)
            return norn_fail(NORN_UNIMPLEMENTED, "the CPU has no interaction of %s",
                             norn_dtype_name(view.dtype));
        NORN_TRY(norn_cpu_scratch(call, count, sizeof(float), &view.data));
        cast(view.data, in, count);
    }
    *data = view.data;
    *row = norn_view_elems(&view) / batch;
    return NORN_OK;
}

/// Computed in float32.
bool norn_cpu_interaction_takes(const norn_step_spec *spec) {
    for (uint32_t i = 0; i < spec->in_count; i++)
        if (norn_sum_dtype(spec->in[i].dtype) != NORN_F32) return false;
    return norn_sum_dtype(spec->out[0].dtype) == NORN_F32;
}

norn_status norn_cpu_interaction(norn_call *call) {
    const norn_interaction_region *region = &call->region->interaction;
    norn_view *out = &call->out[0];
    bool dot = region->kind == NORN_INTERACTION_DOT;
    if (!norn_view_present(out)) return NORN_OK;
    int64_t batch = norn_dims_product(out->dims, 0, out->rank - 1),
            width = out->dims[out->rank - 1];
    int32_t threads = call->pool ? norn_pool_threads(call->pool) : 1;
    interaction_job job = {.region = region,
                           .out = out->data,
                           .out_row = out->row_stride ? out->row_stride : width,
                           .gram = norn_gram_f32_of(norn_isa_get())};
    void *parts, *work, *result = NULL;
    if (batch == 0) return NORN_OK;
    NORN_TRY(norn_cpu_scratch(call, call->in_count, sizeof(interaction_part), &parts));
    int64_t features = 0;
    for (uint32_t i = 0; i < call->in_count && features < region->features; i++) {
        interaction_part *part = &((interaction_part *)parts)[job.part_count++];
        NORN_TRY(f32_input(call, i, batch, &part->data, &part->row));
        part->features = part->row / region->dim;
        features += part->features;
    }
    if (features != region->features)
        return norn_fail(NORN_INVALID_ARGUMENT, "%lld feature%s of %lld element%s, not %lld",
                         (long long)features, norn_plural(features), (long long)region->dim,
                         norn_plural(region->dim), (long long)region->features);
    job.parts = parts;
    if (region->pass_input != NORN_NO_INPUT)
        NORN_TRY(f32_input(call, region->pass_input, batch, &job.pass, &job.pass_row));
    job.work_bytes = pointer_bytes(region->features);
    if (dot) job.work_bytes += (region->features * region->features * 4 + 63) / 64 * 64;
    NORN_TRY(norn_cpu_scratch(call, job.work_bytes, (size_t)threads, &work));
    job.work = work;
    if (out->dtype != NORN_F32) {
        NORN_TRY(norn_cpu_scratch(call, batch * width, sizeof(float), &result));
        job.out = result;
        job.out_row = width;
    }
    int64_t cost = region->features * region->dim * (dot ? region->features : 2) + 1;
    norn_pool_loop(call->pool, batch, GRAIN_WORK / cost + 1, dot ? dot_range : fm_range, &job);
    if (!result) return NORN_OK;
    int64_t size = norn_dtype_bits(out->dtype) / 8, row = out->row_stride ? out->row_stride : width;
    for (int64_t i = 0; i < batch; i++) {
        const norn_tile_operand in[3] = {{job.out + i * width, 1}};
        norn_tile_cast(NORN_F32, out->dtype)((char *)out->data + i * row * size, in, width);
    }
    return NORN_OK;
}
