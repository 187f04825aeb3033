// LinearAttention, CausalConvWithState, RotaryEmbedding.
#include "cpu/kernels/index_of.h"
#include "cpu/kernels/operand.h"

#include <math.h>
#include <string.h>

typedef struct linear_job {
    const float *q, *k, *v, *decay, *beta;
    float *state, *y; ///< state: [kv_heads, d_k, d_v] of one batch
    int64_t steps, q_heads, kv_heads, d_k, d_v, decay_width, beta_width;
    float scale;
    bool gated, delta;
} linear_job;

/// One step of one key-value head; `row` = batch * steps + step.
static void linear_step(const linear_job *job, int64_t row, int64_t head) {
    float *state = job->state + head * job->d_k * job->d_v;
    const float *k = job->k + (row * job->kv_heads + head) * job->d_k,
                *v = job->v + (row * job->kv_heads + head) * job->d_v;
    for (int64_t d = 0; d < job->d_k && job->gated; d++) {
        bool per_key = job->decay_width != job->kv_heads;
        float g = expf(job->decay[row * job->decay_width + (per_key ? head * job->d_k + d : head)]);
        for (int64_t m = 0; m < job->d_v; m++) state[d * job->d_v + m] *= g;
    }
    for (int64_t m = 0; m < job->d_v; m++) {
        float value = v[m];
        if (job->delta) {
            float seen = 0;
            for (int64_t d = 0; d < job->d_k; d++) seen += state[d * job->d_v + m] * k[d];
            value = job->beta[row * job->beta_width + (job->beta_width == 1 ? 0 : head)] *
                    (value - seen);
        }
        for (int64_t d = 0; d < job->d_k; d++) state[d * job->d_v + m] += k[d] * value;
    }
    int64_t group = job->q_heads / job->kv_heads;
    for (int64_t h = head * group; job->y && h < (head + 1) * group; h++) {
        const float *q = job->q + (row * job->q_heads + h) * job->d_k;
        float *y = job->y + (row * job->q_heads + h) * job->d_v;
        for (int64_t m = 0; m < job->d_v; m++) {
            float sum = 0;
            for (int64_t d = 0; d < job->d_k; d++) sum += q[d] * state[d * job->d_v + m];
            y[m] = job->scale * sum;
        }
    }
}

static norn_status describe_linear(norn_call *call, linear_job *job) {
    const norn_view *q = &call->in[0], *k = &call->in[1], *v = &call->in[2];
    const char *rule = norn_attr_string(call->attrs, "update_rule", "gated_delta");
    job->gated = strncmp(rule, "gated", 5) == 0;
    job->delta = strstr(rule, "delta") != NULL;
    job->q_heads = norn_attr_i64(call->attrs, "q_num_heads", 1);
    job->kv_heads = norn_attr_i64(call->attrs, "kv_num_heads", 1);
    job->steps = q->dims[1];
    job->d_k = q->dims[2] / job->q_heads;
    job->d_v = v->dims[2] / job->kv_heads;
    job->decay_width = norn_call_has(call, 4) ? call->in[4].dims[2] : 0;
    job->beta_width = norn_call_has(call, 5) ? call->in[5].dims[2] : 0;
    bool rows = k->dims[0] == q->dims[0] && v->dims[0] == q->dims[0] && k->dims[1] == job->steps &&
                v->dims[1] == job->steps;
    if (!rows || k->dims[2] != job->kv_heads * job->d_k) return norn_call_misfit(call, 1);
    if (job->gated &&
        ((job->decay_width != job->kv_heads && job->decay_width != job->kv_heads * job->d_k) ||
         norn_view_elems(&call->in[4]) != q->dims[0] * job->steps * job->decay_width))
        return norn_call_misfit(call, 4);
    if (job->delta && ((job->beta_width != 1 && job->beta_width != job->kv_heads) ||
                       norn_view_elems(&call->in[5]) != q->dims[0] * job->steps * job->beta_width))
        return norn_call_misfit(call, 5);
    float scale = norn_attr_f32(call->attrs, "scale", 0);
    job->scale = scale != 0 ? scale : 1 / sqrtf((float)job->d_k);
    return NORN_OK;
}

norn_status norn_cpu_linear_attention(norn_call *call) {
    linear_job job = {0};
    const float *past;
    void *room;
    NORN_TRY(describe_linear(call, &job));
    NORN_TRY(norn_input_f32(call, 0, &job.q));
    NORN_TRY(norn_input_f32(call, 1, &job.k));
    NORN_TRY(norn_input_f32(call, 2, &job.v));
    NORN_TRY(norn_input_f32(call, 3, &past));
    NORN_TRY(norn_input_f32(call, 4, &job.decay));
    NORN_TRY(norn_input_f32(call, 5, &job.beta));
    NORN_TRY(norn_output_f32(call, 0, &job.y));
    int64_t batch = call->in[0].dims[0], each = job.kv_heads * job.d_k * job.d_v;
    if (past && norn_view_elems(&call->in[3]) != batch * each) return norn_call_misfit(call, 3);
    NORN_TRY(norn_cpu_scratch(call, each, sizeof(float), &room));
    job.state = room;
    for (int64_t b = 0; b < batch; b++) {
        for (int64_t i = 0; i < each; i++) job.state[i] = past ? past[b * each + i] : 0;
        for (int64_t t = 0; t < job.steps; t++)
            for (int64_t h = 0; h < job.kv_heads; h++) linear_step(&job, b * job.steps + t, h);
        for (int64_t i = 0; i < each && norn_call_wants(call, 1); i++)
            norn_element_set_f64(call->out[1].dtype, call->out[1].data, b * each + i,
                                 (double)job.state[i]);
    }
    norn_result_f32(call, 0, job.y);
    return NORN_OK;
}

norn_status norn_cpu_causal_conv(norn_call *call) {
    const norn_view *in = &call->in[0];
    const float *x, *w, *bias, *past;
    float *y;
    int64_t channels = in->dims[1], length = in->dims[2], k = call->in[1].dims[2], kept = k - 1;
    bool swish = strcmp(norn_attr_string(call->attrs, "activation", "none"), "none") != 0;
    NORN_TRY(norn_input_f32(call, 0, &x));
    NORN_TRY(norn_input_f32(call, 1, &w));
    NORN_TRY(norn_input_f32(call, 2, &bias));
    NORN_TRY(norn_input_f32(call, 3, &past));
    NORN_TRY(norn_output_f32(call, 0, &y));
    if (norn_view_elems(&call->in[1]) != channels * k ||
        (bias && norn_view_elems(&call->in[2]) != channels))
        return norn_call_misfit(call, 1);
    if (past && norn_view_elems(&call->in[3]) != in->dims[0] * channels * kept)
        return norn_call_misfit(call, 3);
    for (int64_t r = 0; r < in->dims[0] * channels; r++) {
        const float *row = x + r * length, *before = past ? past + r * kept : NULL,
                    *weight = w + r % channels * k;
        for (int64_t t = 0; t < length && y; t++) {
            float sum = bias ? bias[r % channels] : 0;
            for (int64_t i = 0; i < k; i++) {
                int64_t at = t + i - kept;
                sum += weight[i] * (at >= 0 ? row[at] : before ? before[at + kept] : 0);
            }
            y[r * length + t] = swish ? sum / (1 + expf(-sum)) : sum;
        }
        for (int64_t i = 0; i < kept && norn_call_wants(call, 1); i++) {
            int64_t at = length - kept + i;
            float value = at >= 0 ? row[at] : before ? before[at + kept] : 0;
            norn_element_set_f64(call->out[1].dtype, call->out[1].data, r * kept + i,
                                 (double)value);
        }
    }
    if (y) norn_result_f32(call, 0, y);
    return NORN_OK;
}

norn_status norn_cpu_rotary_embedding(norn_call *call) {
    const norn_view *in = &call->in[0];
    const float *x, *cosine, *sine;
    const int64_t *positions;
    float *y;
    bool interleaved = norn_attr_i64(call->attrs, "interleaved", 0) != 0, by_rows = in->rank == 3;
    NORN_TRY(norn_input_f32(call, 0, &x));
    NORN_TRY(norn_input_f32(call, 1, &cosine));
    NORN_TRY(norn_input_f32(call, 2, &sine));
    NORN_TRY(norn_input_i64(call, 3, &positions));
    NORN_TRY(norn_output_f32(call, 0, &y));
    int64_t count = by_rows         ? norn_attr_i64(call->attrs, "num_heads", 0)
                    : in->rank == 4 ? in->dims[1]
                                    : 0;
    if (count < 1) return norn_call_misfit(call, 0);
    int64_t length = by_rows ? in->dims[1] : in->dims[2],
            size = by_rows ? in->dims[2] / count : in->dims[3];
    int64_t dim = norn_attr_i64(call->attrs, "rotary_embedding_dim", 0);
    if (dim <= 0) dim = size;
    int64_t half = dim / 2, rows = norn_view_elems(&call->in[1]) / (half ? half : 1);
    if (dim > size || call->in[1].dims[call->in[1].rank - 1] != half ||
        !norn_view_same_shape(&call->in[1], &call->in[2]))
        return norn_call_misfit(call, 1);
    if (positions ? norn_view_elems(&call->in[3]) != in->dims[0] * length
                  : rows != in->dims[0] * length)
        return norn_call_misfit(call, 1);
    for (int64_t r = 0; r < in->dims[0] * count * length;
         r++) { // r counts rows of `size` as they lie
        int64_t b = r / (count * length), t = by_rows ? r / count % length : r % length;
        int64_t at = positions ? positions[b * length + t] : b * length + t;
        const float *from = x + r * size;
        float *to = y + r * size;
        NORN_TRY(norn_index_in(&at, rows));
        for (int64_t i = 0; i < half; i++) {
            int64_t first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + half;
            float c = cosine[at * half + i], s = sine[at * half + i];
            to[first] = c * from[first] - s * from[second];
            to[second] = s * from[first] + c * from[second];
        }
        for (int64_t i = 2 * half; i < size; i++) to[i] = from[i];
    }
    norn_result_f32(call, 0, y);
    return NORN_OK;
}
