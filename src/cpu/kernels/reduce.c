// Reduce*, ArgMax, ArgMin, CumSum, CumProd over any axes. Reductions of float32 over neighbouring
// axes go the way of RowReduce regions, which they are where they fuse, so that folding and running
// give the same bits; these take the rest, in double or in int64.
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <math.h>
#include <string.h>

typedef struct reduce_job {
    norn_call *call;
    norn_op_id op;
    int32_t kept, dropped;
    int64_t kept_dims[NORN_MAX_RANK], kept_strides[NORN_MAX_RANK], dims[NORN_MAX_RANK],
        strides[NORN_MAX_RANK];
    int64_t count; ///< elements that make one
} reduce_job;

static int64_t offset_of(int64_t index, int32_t rank, const int64_t *dims, const int64_t *strides) {
    int64_t offset = 0;
    for (int32_t d = rank - 1; d >= 0; d--) {
        offset += index % dims[d] * strides[d];
        index /= dims[d];
    }
    return offset;
}

static inline double read_f64(const norn_view *in, int64_t at) {
    return in->dtype == NORN_F32 ? (double)((const float *)in->data)[at]
                                 : norn_element_f64(in->dtype, in->data, at);
}

/// Calls body with `at` at every element that is reduced into one; the last dim is the inner loop.
#define EACH(job, base, at, body)                                                             \
    do {                                                                                      \
        int32_t inner_ = (job)->dropped - 1;                                                  \
        int64_t n_ = inner_ < 0 ? 1 : (job)->dims[inner_],                                    \
                step_ = inner_ < 0 ? 0 : (job)->strides[inner_];                              \
        for (int64_t o_ = 0; n_ && o_ < (job)->count / n_; o_++) {                            \
            int64_t at =                                                                      \
                (base) + offset_of(o_, inner_ < 0 ? 0 : inner_, (job)->dims, (job)->strides); \
            for (int64_t i_ = 0; i_ < n_; i_++, at += step_) body;                            \
        }                                                                                     \
    } while (0)

static double reduce_f64(const reduce_job *job, int64_t base) {
    const norn_view *in = &job->call->in[0];
    double sum = 0, most = -(double)INFINITY;
    switch ((int)job->op) {
    case NORN_OP_ReduceMax:
        EACH(job, base, at, {
            double x = read_f64(in, at);
            if (x > most || x != x) most = x;
        });
        return most;
    case NORN_OP_ReduceMin:
        most = (double)INFINITY;
        EACH(job, base, at, {
            double x = read_f64(in, at);
            if (x < most || x != x) most = x;
        });
        return most;
    case NORN_OP_ReduceProd:
        sum = 1;
        EACH(job, base, at, sum *= read_f64(in, at));
        return sum;
    case NORN_OP_ReduceL1:
        EACH(job, base, at, sum += fabs(read_f64(in, at)));
        return sum;
    case NORN_OP_ReduceL2:
    case NORN_OP_ReduceSumSquare:
        EACH(job, base, at, {
            double x = read_f64(in, at);
            sum += in->dtype == NORN_F32 ? (double)((float)x * (float)x) : x * x;
        });
        return job->op == NORN_OP_ReduceL2 ? sqrt(sum) : sum;
    case NORN_OP_ReduceLogSumExp:
        EACH(job, base, at, {
            double x = read_f64(in, at);
            if (x > most || x != x) most = x;
        });
        if (isinf(most)) return most;
        EACH(job, base, at, sum += exp(read_f64(in, at) - most));
        return log(sum) + most;
    default:
        EACH(job, base, at, sum += read_f64(in, at));
        if (job->op == NORN_OP_ReduceLogSum) return log(sum);
        // The mean of nothing is 0, as EmbeddingBag and ONNX Runtime have it; ONNX leaves it open.
        return job->op == NORN_OP_ReduceMean && job->count > 0 ? sum / (double)job->count : sum;
    }
}

static int64_t reduce_i64(const reduce_job *job, int64_t base) {
    const norn_view *in = &job->call->in[0];
    uint64_t sum = 0;
    int64_t most;
    bool is_unsigned64 = in->dtype == NORN_U64;
    switch ((int)job->op) {
    case NORN_OP_ReduceMax:
    case NORN_OP_ReduceMin: {
        bool max = job->op == NORN_OP_ReduceMax, first = true;
        uint32_t bits = norn_dtype_bits(in->dtype);
        bool is_signed = norn_dtype_is_signed(in->dtype);
        // Of nothing: the least, or the greatest, of the type.
        if (in->dtype == NORN_BOOL)
            most = max ? 0 : 1;
        else if (is_signed)
            most = max ? -(int64_t)(UINT64_MAX >> (65 - bits)) - 1
                       : (int64_t)(UINT64_MAX >> (65 - bits));
        else
            most = max ? 0 : (int64_t)(UINT64_MAX >> (64 - bits));
        EACH(job, base, at, {
            int64_t x = norn_element_bits(in->dtype, in->data, at);
            bool less = is_unsigned64 ? (uint64_t)x < (uint64_t)most : x < most;
            if (first || (max ? !less : less)) most = x;
            first = false;
        });
        return most;
    }
    case NORN_OP_ReduceProd:
        sum = 1;
        EACH(job, base, at, sum *= (uint64_t)norn_element_bits(in->dtype, in->data, at));
        return (int64_t)sum;
    case NORN_OP_ReduceL1:
        EACH(job, base, at, {
            int64_t x = norn_element_bits(in->dtype, in->data, at);
            sum += x < 0 && !is_unsigned64 ? 0 - (uint64_t)x : (uint64_t)x;
        });
        return (int64_t)sum;
    case NORN_OP_ReduceSumSquare:
        EACH(job, base, at, {
            uint64_t x = (uint64_t)norn_element_bits(in->dtype, in->data, at);
            sum += x * x;
        });
        return (int64_t)sum;
    case NORN_OP_ReduceSum:
        EACH(job, base, at, sum += (uint64_t)norn_element_bits(in->dtype, in->data, at));
        return (int64_t)sum;
    case NORN_OP_ReduceMean:
        EACH(job, base, at, sum += (uint64_t)norn_element_bits(in->dtype, in->data, at));
        if (job->count == 0) return 0;
        return is_unsigned64 ? (int64_t)(sum / (uint64_t)job->count) : (int64_t)sum / job->count;
    default:
        return (int64_t)reduce_f64(job, base);
    }
}

static void reduce_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const reduce_job *job = context;
    const norn_view *out = &job->call->out[0];
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t base = offset_of(i, job->kept, job->kept_dims, job->kept_strides);
        if (out->dtype == NORN_F32)
            ((float *)out->data)[i] = (float)reduce_f64(job, base);
        else if (norn_dtype_is_float(out->dtype))
            norn_element_set_f64(out->dtype, out->data, i, reduce_f64(job, base));
        else
            norn_element_set_i64(out->dtype, out->data, i, reduce_i64(job, base));
    }
}

/// Float32 over neighbouring axes: *done, by the kernel of RowReduce.
static norn_status as_row_reduce(norn_call *call, const bool reduced[NORN_MAX_RANK], bool *done) {
    static const uint16_t last = 0, second = 1;
    const norn_view *in = &call->in[0];
    int32_t first = 0, end = in->rank;
    norn_reduce_form form;
    *done = false;
    if (in->dtype != NORN_F32 || call->out[0].dtype != NORN_F32 || call->region ||
        !norn_reduce_form_of(call->op, &form))
        return NORN_OK;
    while (first < end && !reduced[first]) first++;
    while (end > first && !reduced[end - 1]) end--;
    for (int32_t d = first; d < end; d++)
        if (!reduced[d]) return NORN_OK;
    if (first == end) return NORN_OK;
    const norn_scalar_load load = {.input = 0, .dtype = NORN_F32},
                           acc = {.input = NORN_SCALAR_ACC, .dtype = NORN_F32};
    const norn_scalar_instr before[2] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                         {.op = (uint16_t)form.before, .dtype = NORN_F32}},
                            after[2] = {{.op = NORN_SCALAR_LOAD, .dtype = NORN_F32},
                                        {.op = (uint16_t)form.after, .dtype = NORN_F32}};
    norn_region region = {.row_reduce = {.kind = form.kind,
                                         .reduced_dims = (uint32_t)(end - first),
                                         .inner_dims = (uint32_t)(in->rank - end),
                                         .keep_dims = call->out[0].rank == in->rank}};
    bool plain = form.before == NORN_SCALAR_LOAD;
    region.row_reduce.prologue =
        (norn_scalar_program){1, plain ? 1 : 2, 1, &load, before, plain ? &last : &second};
    if (form.after != NORN_SCALAR_LOAD)
        region.row_reduce.epilogue = (norn_scalar_program){1, 2, 1, &acc, after, &second};
    *done = true;
    call->region = &region;
    norn_status status = norn_cpu_row_reduce(call);
    call->region = NULL;
    return status;
}

norn_status norn_cpu_reduce(norn_call *call) {
    const norn_view *in = &call->in[0];
    const int64_t *axes, *attr_axes;
    int64_t strides[NORN_MAX_RANK];
    bool reduced[NORN_MAX_RANK] = {false},
         noop = norn_attr_i64(call->attrs, "noop_with_empty_axes", 0) != 0;
    NORN_TRY(norn_input_i64(call, 1, &axes));
    int64_t count = axes ? norn_view_elems(&call->in[1]) : 0;
    uint32_t attr_count = norn_attr_ints(call->attrs, "axes", &attr_axes);
    if (attr_count) axes = attr_axes, count = attr_count;
    if (in->dtype == NORN_STRING) return norn_call_refuse(in->dtype);
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes[i] < 0 ? axes[i] + in->rank : axes[i];
        if (axis < 0 || axis >= in->rank) return norn_call_misfit(call, 1);
        reduced[axis] = true;
    }
    reduce_job job = {.call = call, .op = call->op, .count = 1};
    norn_strided_dense(in->rank, in->dims, strides);
    int64_t rows = 1;
    bool done;
    for (int32_t d = 0; d < in->rank && count == 0; d++) reduced[d] = !noop;
    for (int32_t d = 0; d < in->rank; d++) {
        if (reduced[d]) {
            job.dims[job.dropped] = in->dims[d];
            job.strides[job.dropped++] = strides[d];
            job.count *= in->dims[d];
        } else {
            job.kept_dims[job.kept] = in->dims[d];
            job.kept_strides[job.kept++] = strides[d];
            rows *= in->dims[d];
        }
    }
    if (rows != norn_view_elems(&call->out[0])) return norn_call_misfit(call, 0);
    NORN_TRY(as_row_reduce(call, reduced, &done));
    if (done) return NORN_OK;
    norn_pool_loop(call->pool, rows, 1 + 8192 / (job.count + 1), reduce_range, &job);
    return NORN_OK;
}

norn_status norn_cpu_arg_reduce(norn_call *call) {
    const norn_view *in = &call->in[0];
    int32_t axis = in->rank ? norn_call_axis(call, 0, in->rank) : 0;
    bool max = call->op == NORN_OP_ArgMax,
         last = norn_attr_i64(call->attrs, "select_last_index", 0) != 0;
    int64_t length = in->rank ? in->dims[axis] : 1,
            inner = in->rank ? norn_dims_product(in->dims, axis + 1, in->rank) : 1;
    int64_t *out = call->out[0].data, rows = norn_view_elems(&call->out[0]);
    if (in->dtype == NORN_STRING) return norn_call_refuse(in->dtype);
    if (rows * length != norn_view_elems(in)) return norn_call_misfit(call, 0);
    bool floating = norn_dtype_is_float(in->dtype);
    for (int64_t r = 0; r < rows; r++) {
        int64_t base = r / inner * length * inner + r % inner, best = 0, best_i = 0;
        double best_f = 0;
        for (int64_t i = 0; i < length; i++) {
            int64_t at = base + i * inner,
                    xi = floating ? 0
                                  : norn_bits_order(in->dtype,
                                                    norn_element_bits(in->dtype, in->data, at));
            double xf = floating ? read_f64(in, at) : 0;
            bool nan = xf != xf, best_nan = best_f != best_f;
            bool better = max ? xf > best_f || xi > best_i : xf < best_f || xi < best_i;
            if (nan && !best_nan) better = true;
            bool same = floating ? xf == best_f || (nan && best_nan) : xi == best_i;
            if (i == 0 || better || (last && same)) best = i, best_f = xf, best_i = xi;
        }
        out[r] = best;
    }
    return NORN_OK;
}

norn_status norn_cpu_cumulate(norn_call *call) {
    const norn_view *in = &call->in[0], *out = &call->out[0];
    NORN_TRY(norn_call_numbers(call, 1, 2));
    int64_t axis = norn_element_i64(call->in[1].dtype, call->in[1].data, 0);
    bool exclusive = norn_attr_i64(call->attrs, "exclusive", 0) != 0,
         reverse = norn_attr_i64(call->attrs, "reverse", 0) != 0;
    bool product = call->op == NORN_OP_CumProd, floating = norn_dtype_is_float(in->dtype);
    if (axis < 0) axis += in->rank;
    if (axis < 0 || axis >= in->rank)
        return norn_fail(NORN_INVALID_ARGUMENT, "axis %lld is outside rank %d", (long long)axis,
                         in->rank);
    int64_t length = in->dims[axis],
            inner = norn_dims_product(in->dims, (int32_t)axis + 1, in->rank);
    int64_t rows = length ? norn_view_elems(in) / length : 0;
    for (int64_t r = 0; r < rows; r++) {
        double f = product;
        uint64_t n = product;
        for (int64_t i = 0; i < length; i++) {
            int64_t at =
                r / inner * length * inner + r % inner + (reverse ? length - 1 - i : i) * inner;
            double kept_f = f;
            uint64_t kept_n = n;
            if (floating) {
                double x = read_f64(in, at);
                f = product ? f * x : f + x;
                norn_element_set_f64(out->dtype, out->data, at, exclusive ? kept_f : f);
            } else {
                uint64_t x = (uint64_t)norn_element_bits(in->dtype, in->data, at);
                n = product ? n * x : n + x;
                norn_element_set_i64(out->dtype, out->data, at, (int64_t)(exclusive ? kept_n : n));
            }
        }
    }
    return NORN_OK;
}
