// Einsum and Det.
#include "cpu/kernels/operand.h"
#include "ops/einsum.h"

#include <math.h>
#include <string.h>

typedef struct contract_job {
    uint32_t inputs;
    int32_t out_rank, sum_rank;
    int64_t sizes[NORN_EINSUM_INDEX_MAX], steps[NORN_EINSUM_INPUT_MAX][NORN_EINSUM_INDEX_MAX];
    uint8_t out[NORN_MAX_RANK], sum[NORN_EINSUM_INDEX_MAX];
    int64_t sums;
    const double *in[NORN_EINSUM_INPUT_MAX];
    double *y;
} contract_job;

static void contract_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const contract_job *job = context;
    (void)worker;
    for (int64_t o = begin; o < end; o++) {
        int64_t base[NORN_EINSUM_INPUT_MAX], at[NORN_EINSUM_INDEX_MAX], rest = o;
        memset(base, 0, job->inputs * sizeof *base);
        memset(at, 0, (size_t)job->sum_rank * sizeof *at);
        for (int32_t d = job->out_rank - 1; d >= 0; d--) {
            int64_t c = rest % job->sizes[job->out[d]];
            rest /= job->sizes[job->out[d]];
            for (uint32_t i = 0; i < job->inputs; i++) base[i] += c * job->steps[i][job->out[d]];
        }
        double sum = 0;
        for (int64_t s = 0; s < job->sums; s++) {
            double product = 1;
            for (uint32_t i = 0; i < job->inputs; i++) product *= job->in[i][base[i]];
            sum += product;
            for (int32_t d = job->sum_rank - 1; d >= 0;
                 d--) { // the next combination of summed indices
                uint8_t index = job->sum[d];
                bool carry = ++at[d] == job->sizes[index];
                for (uint32_t i = 0; i < job->inputs; i++)
                    base[i] += carry ? -job->steps[i][index] * (job->sizes[index] - 1)
                                     : job->steps[i][index];
                if (!carry) break;
                at[d] = 0;
            }
        }
        job->y[o] = sum;
    }
}

norn_status norn_cpu_einsum(norn_call *call) {
    int32_t ranks[NORN_EINSUM_INPUT_MAX];
    norn_einsum einsum;
    contract_job job = {.inputs = call->in_count, .sums = 1};
    if (call->in_count > NORN_EINSUM_INPUT_MAX)
        return norn_call_misfit(call, NORN_EINSUM_INPUT_MAX);
    for (uint32_t i = 0; i < call->in_count; i++) ranks[i] = call->in[i].rank;
    NORN_TRY(norn_einsum_parse(norn_attr_string(call->attrs, "equation", ""), ranks, call->in_count,
                               &einsum));
    for (int32_t k = 0; k < einsum.index_count; k++) job.sizes[k] = 1;
    for (uint32_t i = 0; i < call->in_count; i++) {
        for (int32_t d = 0; d < ranks[i]; d++) {
            int64_t *size = &job.sizes[einsum.in[i][d]], own = call->in[i].dims[d];
            if (*size != 1 && own != 1 && *size != own) return norn_call_misfit(call, i);
            if (own != 1) *size = own;
        }
    }
    for (uint32_t i = 0; i < call->in_count; i++) {
        int64_t step = 1;
        for (int32_t d = ranks[i] - 1; d >= 0; d--) {
            if (call->in[i].dims[d] != 1)
                job.steps[i][einsum.in[i][d]] += step; // a repeated letter walks a diagonal
            step *= call->in[i].dims[d];
        }
        NORN_TRY(norn_input_f64(call, i, &job.in[i]));
    }
    bool kept[NORN_EINSUM_INDEX_MAX] = {false};
    int64_t outputs = 1;
    job.out_rank = einsum.out_rank;
    for (int32_t d = 0; d < einsum.out_rank; d++) {
        job.out[d] = einsum.out[d];
        kept[einsum.out[d]] = true;
        outputs *= job.sizes[einsum.out[d]];
    }
    for (int32_t k = 0; k < einsum.index_count; k++) {
        if (kept[k]) continue;
        job.sum[job.sum_rank++] = (uint8_t)k;
        job.sums *= job.sizes[k];
    }
    if (outputs != norn_view_elems(&call->out[0])) return norn_call_misfit(call, 0);
    NORN_TRY(norn_output_f64(call, 0, &job.y));
    norn_pool_loop(call->pool, outputs, 1 + 4096 / (job.sums + 1), contract_range, &job);
    norn_result_f64(call, 0, job.y);
    return NORN_OK;
}

/// Elimination with the largest pivot.
static double determinant(double *a, int64_t n) {
    double result = 1;
    for (int64_t c = 0; c < n; c++) {
        int64_t pivot = c;
        for (int64_t r = c + 1; r < n; r++)
            if (fabs(a[r * n + c]) > fabs(a[pivot * n + c])) pivot = r;
        if (a[pivot * n + c] == 0) return 0;
        for (int64_t k = 0; k < n && pivot != c; k++) {
            double kept = a[c * n + k];
            a[c * n + k] = a[pivot * n + k];
            a[pivot * n + k] = kept;
        }
        result *= pivot != c ? -a[c * n + c] : a[c * n + c];
        for (int64_t r = c + 1; r < n; r++) {
            double factor = a[r * n + c] / a[c * n + c];
            for (int64_t k = c; k < n; k++) a[r * n + k] -= factor * a[c * n + k];
        }
    }
    return result;
}

norn_status norn_cpu_det(norn_call *call) {
    const norn_view *in = &call->in[0];
    const double *x;
    double *y;
    void *room;
    NORN_TRY(norn_input_f64(call, 0, &x));
    NORN_TRY(norn_output_f64(call, 0, &y));
    int64_t n = in->dims[in->rank - 1], count = norn_view_elems(&call->out[0]);
    if (in->dims[in->rank - 2] != n) return norn_call_misfit(call, 0);
    NORN_TRY(norn_cpu_scratch(call, n * n, sizeof(double), &room));
    double *work = room;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t k = 0; k < n * n; k++) work[k] = x[i * n * n + k];
        y[i] = determinant(work, n);
    }
    norn_result_f64(call, 0, y);
    return NORN_OK;
}
