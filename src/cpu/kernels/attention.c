// Attention: softmax(Q K^T * scale + bias) V by heads, with caches, masks, windows and soft caps.
//
// Source   https://onnx.ai/onnx/operators/onnx__Attention.html
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

/// [batch, heads, length, size] of a 4D operand or of a 3D one, whose heads lie in its rows.
typedef struct heads {
    const float *data;
    int64_t count, length, size, batch_step, head_step, row_step;
} heads;

typedef struct attention_job {
    norn_call *call;
    norn_dtype dtype;
    heads q, k, v, past_k, past_v;
    float *y, *scores; ///< scores: the fourth output, or NULL
    heads y_at;
    const norn_view *mask; ///< NULL: none
    int64_t mask_steps[4], mask_keys;
    const int64_t *valid_keys; ///< nonpad_kv_seqlen, or NULL
    int64_t batch, total;      ///< total: past and new keys
    float scale_root, softcap;
    bool causal;
    int64_t left, right, mode;
    float *rows; ///< total for each worker
} attention_job;

static heads heads_of(const norn_view *view, const float *data, int64_t count) {
    if (view->rank == 4) {
        const int64_t *d = view->dims;
        return (heads){data, d[1], d[2], d[3], d[1] * d[2] * d[3], d[2] * d[3], d[3]};
    }
    int64_t size = view->dims[2] / count;
    return (heads){data, count,        view->dims[1], size, view->dims[1] * view->dims[2],
                   size, view->dims[2]};
}

static const float *row_of(const heads *h, int64_t batch, int64_t head, int64_t row) {
    return h->data + batch * h->batch_step + head * h->head_step + row * h->row_step;
}

/// Key or value `row`: the cache comes first.
static const float *cached_row(const heads *past, const heads *now, int64_t batch, int64_t head,
                               int64_t row) {
    if (past->data && row < past->length) return row_of(past, batch, head, row);
    return row_of(now, batch, head, row - (past->data ? past->length : 0));
}

/// What is left of a step's result in a half type.
static float rounded(norn_dtype dtype, float x) {
    if (dtype == NORN_F16) return norn_f16_to_f32(norn_f32_to_f16(x));
    return dtype == NORN_BF16 ? norn_bf16_to_f32(norn_f32_to_bf16(x)) : x;
}

static float mask_at(const attention_job *job, int64_t b, int64_t h, int64_t i, int64_t j) {
    if (!job->mask) return 0;
    if (j >= job->mask_keys) return -INFINITY;
    int64_t at = b * job->mask_steps[0] + h * job->mask_steps[1] + i * job->mask_steps[2] +
                 j * job->mask_steps[3];
    if (job->mask->dtype == NORN_BOOL)
        return ((const uint8_t *)job->mask->data)[at] ? 0 : -INFINITY;
    return (float)norn_element_f64(job->mask->dtype, job->mask->data, at);
}

static float bias_at(const attention_job *job, int64_t b, int64_t h, int64_t i, int64_t j) {
    int64_t offset = job->past_k.data  ? job->past_k.length
                     : job->valid_keys ? job->valid_keys[b] - job->q.length
                                       : 0;
    int64_t ahead = j - (i + offset);
    bool hidden = (job->causal && ahead > 0) || (job->left >= 0 && -ahead > job->left) ||
                  (job->right >= 0 && ahead > job->right) ||
                  (job->valid_keys && j >= job->valid_keys[b]);
    return hidden ? -INFINITY : mask_at(job, b, h, i, j);
}

/// Softmax of the row in place, in steps as wide as the type that it is done in.
static void softmax_row(float *row, int64_t n, norn_dtype dtype, bool hidden) {
    float most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) most = row[j] > most ? row[j] : most;
    if (hidden || most == -INFINITY) {
        memset(row, 0, (size_t)n * sizeof *row);
        return;
    }
    for (int64_t j = 0; j < n; j++) {
        row[j] = rounded(dtype, expf(rounded(dtype, row[j] - most)));
        sum += row[j];
    }
    sum = rounded(dtype, sum);
    for (int64_t j = 0; j < n; j++) row[j] = rounded(dtype, row[j] / sum);
}

static void attend_row(const attention_job *job, int64_t b, int64_t h, int64_t i, float *row) {
    int64_t kv_head = h / (job->q.count / job->k.count);
    const float *q = row_of(&job->q, b, h, i);
    norn_dtype t = job->dtype,
               softmax_dtype = (norn_dtype)norn_attr_i64(job->call->attrs, "softmax_precision", t);
    float *keep = job->scores
                      ? job->scores + ((b * job->q.count + h) * job->q.length + i) * job->total
                      : NULL;
    bool hidden = true;
    for (int64_t j = 0; j < job->total; j++) {
        const float *k = cached_row(&job->past_k, &job->k, b, kv_head, j);
        float sum = 0;
        for (int64_t d = 0; d < job->q.size; d++)
            sum += rounded(t, q[d] * job->scale_root) * rounded(t, k[d] * job->scale_root);
        sum = rounded(t, sum);
        if (keep && job->mode == 0) keep[j] = sum;
        if (job->softcap > 0)
            sum = rounded(t, rounded(t, tanhf(rounded(t, sum / job->softcap))) * job->softcap);
        if (keep && job->mode == 1) keep[j] = sum;
        float bias = bias_at(job, b, h, i, j);
        hidden = hidden && bias == -INFINITY;
        row[j] = rounded(t, sum + bias);
        if (keep && job->mode == 2) keep[j] = row[j];
    }
    softmax_row(row, job->total, softmax_dtype, hidden);
    for (int64_t j = 0; j < job->total; j++) {
        row[j] = rounded(t, row[j]);
        if (keep && job->mode == 3) keep[j] = row[j];
    }
    if (!job->y) return;
    float *y = job->y + (row_of(&job->y_at, b, h, i) - job->y_at.data);
    for (int64_t d = 0; d < job->v.size; d++) y[d] = 0;
    for (int64_t j = 0; j < job->total; j++) {
        const float *v = cached_row(&job->past_v, &job->v, b, kv_head, j);
        for (int64_t d = 0; d < job->v.size && row[j] != 0; d++) y[d] += row[j] * v[d];
    }
}

static void attend_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const attention_job *job = context;
    for (int64_t r = begin; r < end; r++) {
        int64_t i = r % job->q.length, h = r / job->q.length % job->q.count,
                b = r / (job->q.length * job->q.count);
        attend_row(job, b, h, i, job->rows + worker * job->total);
    }
}

static norn_status describe_mask(attention_job *job) {
    norn_call *call = job->call;
    if (!norn_call_has(call, 3)) return NORN_OK;
    const norn_view *mask = &call->in[3];
    const int64_t whole[4] = {job->batch, job->q.count, job->q.length, job->total};
    int64_t step = 1;
    if (mask->rank < 1 || mask->rank > 4) return norn_call_misfit(call, 3);
    job->mask = mask;
    for (int32_t d = 3; d >= 0; d--) {
        int32_t own = d - (4 - mask->rank);
        int64_t n = own < 0 ? 1 : mask->dims[own];
        bool shorter = d == 3 && n <= whole[3];
        if (n != 1 && n != whole[d] && !shorter) return norn_call_misfit(call, 3);
        job->mask_steps[d] = n == 1 && whole[d] != 1 && !(d == 3) ? 0 : step;
        step *= n;
    }
    job->mask_keys = mask->dims[mask->rank - 1];
    return NORN_OK;
}

static norn_status present(norn_call *call, uint32_t index, const heads *past, const heads *now,
                           int64_t batch) {
    if (!norn_call_wants(call, index)) return NORN_OK;
    const norn_view *out = &call->out[index];
    int64_t total = out->dims[2];
    for (int64_t r = 0; r < batch * now->count * total; r++) {
        const float *row =
            cached_row(past, now, r / (now->count * total), r / total % now->count, r % total);
        for (int64_t d = 0; d < now->size; d++)
            norn_element_set_f64(out->dtype, out->data, r * now->size + d, (double)row[d]);
    }
    return NORN_OK;
}

/// Shapes that symbols left open while compiling.
static norn_status check(const attention_job *job) {
    norn_call *call = job->call;
    if (job->k.count < 1 || job->q.count % job->k.count || job->v.count != job->k.count ||
        job->q.size != job->k.size || job->k.length != job->v.length ||
        call->in[1].dims[0] != job->batch || call->in[2].dims[0] != job->batch)
        return norn_call_misfit(call, 1);
    for (uint32_t i = 4; i < 6; i++) {
        const norn_view *past = &call->in[i];
        const heads *now = i == 4 ? &job->k : &job->v;
        if (!norn_call_has(call, i)) continue;
        if (past->rank != 4 || past->dims[0] != job->batch || past->dims[1] != now->count ||
            past->dims[3] != now->size || past->dims[2] != job->past_k.length)
            return norn_call_misfit(call, i);
    }
    if (norn_call_has(call, 4) != norn_call_has(call, 5)) return norn_call_misfit(call, 4);
    if (job->valid_keys && norn_view_elems(&call->in[6]) != job->batch)
        return norn_call_misfit(call, 6);
    return NORN_OK;
}

norn_status norn_cpu_attention(norn_call *call) {
    attention_job job = {.call = call, .dtype = call->in[0].dtype, .batch = call->in[0].dims[0]};
    const float *q, *k, *v, *past_k, *past_v;
    void *room;
    NORN_TRY(norn_input_f32(call, 0, &q));
    NORN_TRY(norn_input_f32(call, 1, &k));
    NORN_TRY(norn_input_f32(call, 2, &v));
    NORN_TRY(norn_input_f32(call, 4, &past_k));
    NORN_TRY(norn_input_f32(call, 5, &past_v));
    NORN_TRY(norn_input_i64(call, 6, &job.valid_keys));
    NORN_TRY(norn_output_f32(call, 0, &job.y));
    NORN_TRY(norn_output_f32(call, 3, &job.scores));
    int64_t q_heads = norn_attr_i64(call->attrs, "q_num_heads", 1),
            kv_heads = norn_attr_i64(call->attrs, "kv_num_heads", 1);
    job.q = heads_of(&call->in[0], q, q_heads);
    job.k = heads_of(&call->in[1], k, kv_heads);
    job.v = heads_of(&call->in[2], v, kv_heads);
    if (past_k) job.past_k = heads_of(&call->in[4], past_k, 1);
    if (past_v) job.past_v = heads_of(&call->in[5], past_v, 1);
    NORN_TRY(check(&job));
    job.total = job.k.length + (past_k ? job.past_k.length : 0);
    if (job.y) job.y_at = heads_of(&call->out[0], job.y, job.q.count);
    double scale = (double)norn_attr_f32(call->attrs, "scale", 0);
    if (!norn_attr_find(call->attrs, "scale")) scale = 1 / sqrt((double)job.q.size);
    job.scale_root = rounded(job.dtype, (float)sqrt(scale));
    job.softcap = norn_attr_f32(call->attrs, "softcap", 0);
    job.causal = norn_attr_i64(call->attrs, "is_causal", 0) != 0;
    job.left = norn_attr_i64(call->attrs, "left_window_size", -1);
    job.right = norn_attr_i64(call->attrs, "right_window_size", -1);
    job.mode = norn_attr_i64(call->attrs, "qk_matmul_output_mode", 0);
    NORN_TRY(describe_mask(&job));
    int32_t threads = call->pool ? norn_pool_threads(call->pool) : 1;
    NORN_TRY(norn_cpu_scratch(call, (job.total + 1) * threads, sizeof(float), &room));
    job.rows = room;
    norn_pool_loop(call->pool, job.batch * job.q.count * job.q.length,
                   1 + 4096 / (job.total * job.q.size + 1), attend_range, &job);
    if (job.y) norn_result_f32(call, 0, job.y);
    if (job.scores) norn_result_f32(call, 3, job.scores);
    NORN_TRY(present(call, 1, &job.past_k, &job.k, job.batch));
    return present(call, 2, &job.past_v, &job.v, job.batch);
}
