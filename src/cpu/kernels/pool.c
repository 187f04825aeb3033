// AveragePool, MaxPool, LpPool, MaxUnpool and the global pools.
#include "cpu/kernels/operand.h"
#include "ops/window.h"

#include <math.h>
#include <string.h>

typedef struct pool_job {
    norn_call *call;
    norn_window window;
    const double *x;
    double *y;
    int64_t *indices; ///< MaxPool's second output, or NULL
    int64_t in[NORN_WINDOW_RANK_MAX], out[NORN_WINDOW_RANK_MAX];
    int64_t in_plane, out_plane, taps;
    bool count_pads, column_major;
    double p;
} pool_job;

/// One output of one plane: the first tap's coordinates are in `first`.
static void pool_one(const pool_job *job, const double *plane, const int64_t *first,
                     int64_t plane_index, int64_t to) {
    norn_op_id op = job->call->op;
    double sum = 0, most = -(double)INFINITY;
    int64_t counted = 0, best = -1, rank = job->window.rank;
    for (int64_t tap = 0; tap < job->taps; tap++) {
        int64_t rest = tap, at = 0, scale = 1, transposed = 0, transposed_scale = 1;
        bool inside = true, padded = true;
        int64_t coordinate[NORN_WINDOW_RANK_MAX];
        for (int64_t d = rank - 1; d >= 0; d--) {
            int64_t c = first[d] + rest % job->window.kernel[d] * job->window.dilation[d];
            rest /= job->window.kernel[d];
            inside = inside && c >= 0 && c < job->in[d];
            padded = padded && c < job->in[d] + job->window.end[d];
            at += c * scale;
            scale *= job->in[d];
            coordinate[d] = c;
        }
        counted += inside || (job->count_pads && padded);
        if (!inside) continue;
        double x = plane[at];
        if (op == NORN_OP_LpPool)
            sum += pow(fabs(x), job->p);
        else
            sum += x;
        if (x > most || best < 0 || x != x) {
            most = x;
            for (int64_t d = 0; d < rank; d++) {
                transposed += coordinate[d] * transposed_scale;
                transposed_scale *= job->in[d];
            }
            best = job->column_major ? transposed : at;
        }
    }
    if (op == NORN_OP_MaxPool)
        job->y[to] = most;
    else if (op == NORN_OP_LpPool)
        job->y[to] = pow(sum, 1 / job->p);
    else
        job->y[to] = sum / (double)counted;
    if (job->indices) job->indices[to] = plane_index * job->in_plane + best;
}

static void pool_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const pool_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t rest = i % job->out_plane, plane = i / job->out_plane, first[NORN_WINDOW_RANK_MAX];
        for (int32_t d = job->window.rank - 1; d >= 0; d--) {
            first[d] = rest % job->out[d] * job->window.stride[d] - job->window.begin[d];
            rest /= job->out[d];
        }
        pool_one(job, job->x + plane * job->in_plane, first, plane, i);
    }
}

norn_status norn_cpu_pool(norn_call *call) {
    const norn_view *in = &call->in[0];
    pool_job job = {.call = call, .taps = 1, .in_plane = 1, .out_plane = 1};
    double *spare = NULL;
    NORN_TRY(norn_window_read(call->attrs, in->rank - 2, NULL, &job.window));
    norn_window_resolve(&job.window, in->dims + 2);
    NORN_TRY(norn_input_f64(call, 0, &job.x));
    NORN_TRY(norn_output_f64(call, 0, &spare));
    if (!spare) { // only the indices are wanted
        void *room;
        NORN_TRY(norn_cpu_scratch(call, norn_view_elems(&call->out[1]), sizeof *spare, &room));
        spare = room;
    }
    job.y = spare;
    const norn_view *out = norn_call_wants(call, 0) ? &call->out[0] : &call->out[1];
    if (norn_call_wants(call, 1)) job.indices = call->out[1].data;
    for (int32_t d = 0; d < job.window.rank; d++) {
        job.in[d] = in->dims[d + 2];
        job.out[d] = out->dims[d + 2];
        job.in_plane *= job.in[d];
        job.out_plane *= job.out[d];
        job.taps *= job.window.kernel[d];
    }
    job.count_pads = norn_attr_i64(call->attrs, "count_include_pad", 0) != 0;
    job.column_major = norn_attr_i64(call->attrs, "storage_order", 0) != 0;
    job.p = (double)norn_attr_i64(call->attrs, "p", 2);
    norn_pool_loop(call->pool, norn_view_elems(out), 1 + 4096 / job.taps, pool_range, &job);
    norn_result_f64(call, 0, job.y);
    return NORN_OK;
}

norn_status norn_cpu_global_pool(norn_call *call) {
    const norn_view *in = &call->in[0];
    const double *x;
    double *y, p = (double)norn_attr_i64(call->attrs, "p", 2);
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_output_f64(call, 0, &y));
    int64_t plane = norn_dims_product(in->dims, 2, in->rank), rows = in->dims[0] * in->dims[1];
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0, most = -(double)INFINITY;
        for (int64_t i = 0; i < plane; i++) {
            double v = x[r * plane + i];
            sum += call->op == NORN_OP_GlobalLpPool ? pow(fabs(v), p) : v;
            if (v > most || v != v) most = v;
        }
        y[r] = call->op == NORN_OP_GlobalMaxPool  ? most
               : call->op == NORN_OP_GlobalLpPool ? pow(sum, 1 / p)
                                                  : sum / (double)plane;
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}

/// Values back to where MaxPool found them; with an explicit output shape the indices are those of
/// the shape that the attributes give, whose planes lie at the beginning of the larger ones.
norn_status norn_cpu_max_unpool(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    const int64_t *at;
    size_t size = norn_dtype_bits(in->dtype) / 8, bytes;
    norn_window window;
    int64_t inferred[NORN_MAX_RANK], elems = norn_view_elems(in), total = 1;
    NORN_TRY(norn_operand_i64(call, &call->in[1], &at));
    if (norn_view_elems(&call->in[1]) != elems || size == 0) return norn_call_misfit(call, 1);
    NORN_TRY(norn_window_read(call->attrs, in->rank - 2, NULL, &window));
    for (int32_t d = 0; d < in->rank; d++) {
        inferred[d] = in->dims[d];
        if (d >= 2)
            inferred[d] = (in->dims[d] - 1) * window.stride[d - 2] + window.kernel[d - 2] -
                          window.begin[d - 2] - window.end[d - 2];
        total *= inferred[d];
        if (inferred[d] > out->dims[d]) return norn_call_misfit(call, 2);
    }
    NORN_TRY(norn_view_bytes(out, &bytes));
    memset(out->data, 0, bytes);
    for (int64_t i = 0; i < elems; i++) {
        int64_t rest = at[i], to = 0, scale = 1;
        if (rest < 0 || rest >= total)
            return norn_fail(NORN_INVALID_ARGUMENT, "index %lld is outside %lld element%s",
                             (long long)rest, (long long)total, norn_plural(total));
        for (int32_t d = in->rank - 1; d >= 0; d--) {
            to += rest % inferred[d] * scale;
            rest /= inferred[d];
            scale *= out->dims[d];
        }
        memcpy((char *)out->data + (size_t)to * size, (const char *)in->data + (size_t)i * size,
               size);
    }
    return NORN_OK;
}
