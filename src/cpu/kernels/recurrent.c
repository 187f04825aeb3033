// RNN, GRU and LSTM, both directions, with sequence lengths, clipping and peepholes.
//
// Source   https://onnx.ai/onnx/operators/onnx__LSTM.html (and GRU, RNN)
#include "cpu/kernels/operand.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct activation {
    float (*fn)(float x, float alpha, float beta);
    float alpha, beta;
} activation;

static float act_relu(float x, float a, float b) {
    (void)a, (void)b;
    return x > 0 ? x : 0;
}
static float act_tanh(float x, float a, float b) {
    (void)a, (void)b;
    return tanhf(x);
}
static float act_sigmoid(float x, float a, float b) {
    (void)a, (void)b;
    return 1 / (1 + expf(-x));
}
static float act_affine(float x, float a, float b) {
    return a * x + b;
}
static float act_leaky(float x, float a, float b) {
    (void)b;
    return x < 0 ? a * x : x;
}
static float act_threshold(float x, float a, float b) {
    (void)b;
    return x >= a ? x : 0;
}
static float act_scaled_tanh(float x, float a, float b) {
    return a * tanhf(b * x);
}
static float act_hard_sigmoid(float x, float a, float b) {
    return fminf(fmaxf(a * x + b, 0), 1);
}
static float act_elu(float x, float a, float b) {
    (void)b;
    return x >= 0 ? x : a * expm1f(x);
}
static float act_softsign(float x, float a, float b) {
    (void)a, (void)b;
    return x / (1 + fabsf(x));
}
static float act_softplus(float x, float a, float b) {
    (void)a, (void)b;
    return fmaxf(x, 0) + log1pf(expf(-fabsf(x)));
}

static const struct {
    const char *name;
    activation defaults;
} activations[] = {
    {"relu", {act_relu, 0, 0}},
    {"tanh", {act_tanh, 0, 0}},
    {"sigmoid", {act_sigmoid, 0, 0}},
    {"affine", {act_affine, 1, 0}},
    {"leakyrelu", {act_leaky, 0.01f, 0}},
    {"thresholdedrelu", {act_threshold, 1, 0}},
    {"scaledtanh", {act_scaled_tanh, 1, 1}},
    {"hardsigmoid", {act_hard_sigmoid, 0.2f, 0.5f}},
    {"elu", {act_elu, 1, 0}},
    {"softsign", {act_softsign, 0, 0}},
    {"softplus", {act_softplus, 0, 0}},
};

static norn_status find_activation(const char *name, activation *out) {
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcasecmp(activations[i].name, name) != 0) continue;
        *out = activations[i].defaults;
        return NORN_OK;
    }
    return norn_fail(NORN_UNIMPLEMENTED, "activation '%s'", name);
}

typedef struct recurrent_job {
    norn_call *call;
    int64_t gates, steps, batch, input, hidden, directions;
    bool batch_first, linear_before_reset, input_forget;
    float clip; ///< 0: none
    const float *x, *w, *r, *b, *p, *h0, *c0;
    const int64_t *lengths;
    float *y, *h, *c, *gate; ///< h, c: [directions, batch, hidden]; gate: room for one step
    activation act[2][3];
} recurrent_job;

/// The k-th value of a floats attribute.
static bool listed_float(const norn_call *call, const char *name, uint32_t k, float *out) {
    const norn_attr *attr = norn_attr_find(call->attrs, name);
    if (!attr || attr->kind != NORN_ATTR_FLOATS || k >= attr->count) return false;
    *out = attr->floats[k];
    return true;
}

static norn_status read_activations(recurrent_job *job) {
    norn_call *call = job->call;
    const norn_attr *names = norn_attr_find(call->attrs, "activations");
    static const char *const defaults[3][3] = {
        {"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    uint32_t each = job->gates == 1 ? 1 : job->gates == 3 ? 2 : 3;
    for (uint32_t d = 0; d < job->directions; d++) {
        for (uint32_t i = 0; i < each; i++) {
            uint32_t k = d * each + i;
            bool given = names && names->kind == NORN_ATTR_STRINGS && k < names->count;
            char name[32];
            snprintf(name, sizeof name, "%.*s", given ? (int)names->strings[k].count : 31,
                     given ? names->strings[k].bytes : defaults[each - 1][i]);
            NORN_TRY(find_activation(name, &job->act[d][i]));
            (void)listed_float(call, "activation_alpha", k, &job->act[d][i].alpha);
            (void)listed_float(call, "activation_beta", k, &job->act[d][i].beta);
        }
    }
    return NORN_OK;
}

static float activate(const recurrent_job *job, int64_t d, int which, float x) {
    if (job->clip > 0) x = fmaxf(-job->clip, fminf(job->clip, x));
    const activation *a = &job->act[d][which];
    return a->fn(x, a->alpha, a->beta);
}

static float dot(const float *a, const float *b, int64_t n) {
    float sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/// Gate values before activation: W x + Wb in gate[0 ..], R h + Rb in gate[gates * hidden ..].
static void project(const recurrent_job *job, int64_t d, const float *x, const float *h) {
    int64_t rows = job->gates * job->hidden;
    const float *w = job->w + d * rows * job->input, *r = job->r + d * rows * job->hidden,
                *b = job->b ? job->b + d * 2 * rows : NULL;
    for (int64_t g = 0; g < rows; g++) {
        job->gate[g] = dot(w + g * job->input, x, job->input) + (b ? b[g] : 0);
        job->gate[rows + g] = dot(r + g * job->hidden, h, job->hidden) + (b ? b[rows + g] : 0);
    }
}

static void step_rnn(const recurrent_job *job, int64_t d, float *h) {
    for (int64_t i = 0; i < job->hidden; i++)
        h[i] = activate(job, d, 0, job->gate[i] + job->gate[job->hidden + i]);
}

/// Gates z, r, h.
static void step_gru(const recurrent_job *job, int64_t d, float *h) {
    int64_t n = job->hidden;
    float *x = job->gate, *s = job->gate + 3 * n;
    const float *rh = job->r + d * 3 * n * n + 2 * n * n,
                *rb = job->b ? job->b + d * 6 * n + 5 * n : NULL;
    for (int64_t i = 0; i < 2 * n; i++) x[i] = activate(job, d, 0, x[i] + s[i]);
    float *z = x, *reset = x + n, *reset_h = s; // z's and r's state parts are free now
    for (int64_t i = 0; i < n; i++) reset_h[i] = reset[i] * h[i];
    for (int64_t i = 0; i < n; i++) {
        float state = job->linear_before_reset ? reset[i] * s[2 * n + i]
                                               : dot(rh + i * n, reset_h, n) + (rb ? rb[i] : 0);
        x[2 * n + i] = activate(job, d, 1, x[2 * n + i] + state);
    }
    for (int64_t i = 0; i < n; i++) h[i] = (1 - z[i]) * x[2 * n + i] + z[i] * h[i];
}

/// Gates i, o, f, c; peepholes i, o, f.
static void step_lstm(const recurrent_job *job, int64_t d, float *h, float *c) {
    int64_t n = job->hidden;
    const float *x = job->gate, *s = job->gate + 4 * n, *p = job->p ? job->p + d * 3 * n : NULL;
    for (int64_t k = 0; k < n; k++) {
        float i = activate(job, d, 0, x[k] + s[k] + (p ? p[k] * c[k] : 0));
        float f =
            job->input_forget
                ? 1 - i
                : activate(job, d, 0, x[2 * n + k] + s[2 * n + k] + (p ? p[2 * n + k] * c[k] : 0));
        float cell = f * c[k] + i * activate(job, d, 1, x[3 * n + k] + s[3 * n + k]);
        float o = activate(job, d, 0, x[n + k] + s[n + k] + (p ? p[n + k] * cell : 0));
        c[k] = cell;
        h[k] = o * job->act[d][2].fn(cell, job->act[d][2].alpha, job->act[d][2].beta);
    }
}

static void run_sequence(const recurrent_job *job, int64_t d, int64_t b, bool reverse) {
    int64_t n = job->hidden, length = job->lengths ? job->lengths[b] : job->steps;
    float *h = job->h + (d * job->batch + b) * n, *c = job->c + (d * job->batch + b) * n;
    for (int64_t i = 0; i < job->steps; i++) {
        int64_t t = i >= length ? i : reverse ? length - 1 - i : i;
        int64_t row = job->batch_first ? b * job->steps + t : t * job->batch + b;
        int64_t to = job->batch_first ? (row * job->directions + d)
                                      : (t * job->directions + d) * job->batch + b;
        if (i < length) {
            project(job, d, job->x + row * job->input, h);
            if (job->gates == 1)
                step_rnn(job, d, h);
            else if (job->gates == 3)
                step_gru(job, d, h);
            else
                step_lstm(job, d, h, c);
        }
        for (int64_t k = 0; k < n && job->y; k++) job->y[to * n + k] = i < length ? h[k] : 0;
    }
}

/// A state input is [directions, batch, hidden], or [batch, directions, hidden] with layout 1.
static void read_state(const recurrent_job *job, const float *from, float *to) {
    for (int64_t d = 0; d < job->directions; d++)
        for (int64_t b = 0; b < job->batch; b++)
            for (int64_t k = 0; k < job->hidden; k++) {
                int64_t at = job->batch_first ? b * job->directions + d : d * job->batch + b;
                to[(d * job->batch + b) * job->hidden + k] = from ? from[at * job->hidden + k] : 0;
            }
}

static void write_state(const recurrent_job *job, uint32_t index, const float *from) {
    if (!norn_call_wants(job->call, index)) return;
    const norn_view *out = &job->call->out[index];
    for (int64_t d = 0; d < job->directions; d++)
        for (int64_t b = 0; b < job->batch; b++)
            for (int64_t k = 0; k < job->hidden; k++) {
                int64_t at = job->batch_first ? b * job->directions + d : d * job->batch + b;
                norn_element_set_f64(out->dtype, out->data, at * job->hidden + k,
                                     (double)from[(d * job->batch + b) * job->hidden + k]);
            }
}

static norn_status check(const recurrent_job *job) {
    norn_call *call = job->call;
    int64_t rows = job->gates * job->hidden, d = job->directions;
    const int64_t wanted[8] = {-1,
                               d * rows * job->input,
                               d * rows * job->hidden,
                               2 * d * rows,
                               job->batch,
                               d * job->batch * job->hidden,
                               d * job->batch * job->hidden,
                               3 * d * job->hidden};
    for (uint32_t i = 1; i < 8; i++)
        if (norn_call_has(call, i) && norn_view_elems(&call->in[i]) != wanted[i])
            return norn_call_misfit(call, i);
    for (int64_t b = 0; b < job->batch && job->lengths; b++)
        if (job->lengths[b] < 0 || job->lengths[b] > job->steps)
            return norn_fail(NORN_INVALID_ARGUMENT, "sequence %lld has length %lld of %lld",
                             (long long)b, (long long)job->lengths[b], (long long)job->steps);
    return NORN_OK;
}

static norn_status recurrent(norn_call *call, int64_t gates) {
    const norn_view *x = &call->in[0], *r = &call->in[2];
    recurrent_job job = {.call = call, .gates = gates};
    void *room;
    job.batch_first = norn_attr_i64(call->attrs, "layout", 0) != 0;
    job.steps = x->dims[job.batch_first];
    job.batch = x->dims[!job.batch_first];
    job.input = x->dims[2];
    job.directions = r->dims[0];
    job.hidden = r->dims[2];
    job.clip = norn_attr_f32(call->attrs, "clip", 0);
    job.linear_before_reset = norn_attr_i64(call->attrs, "linear_before_reset", 0) != 0;
    job.input_forget = norn_attr_i64(call->attrs, "input_forget", 0) != 0;
    const char *direction = norn_attr_string(call->attrs, "direction", "forward");
    if (job.directions < 1 || job.directions > 2) return norn_call_misfit(call, 2);
    NORN_TRY(norn_input_f32(call, 0, &job.x));
    NORN_TRY(norn_input_f32(call, 1, &job.w));
    NORN_TRY(norn_input_f32(call, 2, &job.r));
    NORN_TRY(norn_input_f32(call, 3, &job.b));
    NORN_TRY(norn_input_i64(call, 4, &job.lengths));
    NORN_TRY(norn_input_f32(call, 5, &job.h0));
    if (gates == 4) NORN_TRY(norn_input_f32(call, 6, &job.c0));
    if (gates == 4) NORN_TRY(norn_input_f32(call, 7, &job.p));
    NORN_TRY(norn_output_f32(call, 0, &job.y));
    NORN_TRY(check(&job));
    NORN_TRY(read_activations(&job));
    int64_t states = job.directions * job.batch * job.hidden;
    NORN_TRY(norn_cpu_scratch(call, 2 * states + 2 * gates * job.hidden, sizeof(float), &room));
    job.h = room;
    job.c = job.h + states;
    job.gate = job.c + states;
    read_state(&job, job.h0, job.h);
    read_state(&job, job.c0, job.c);
    for (int64_t d = 0; d < job.directions; d++)
        for (int64_t b = 0; b < job.batch; b++)
            run_sequence(&job, d, b, d == 1 || strcmp(direction, "reverse") == 0);
    if (job.y) norn_result_f32(call, 0, job.y);
    write_state(&job, 1, job.h);
    write_state(&job, 2, job.c);
    return NORN_OK;
}

norn_status norn_cpu_rnn(norn_call *call) {
    return recurrent(call, 1);
}
norn_status norn_cpu_gru(norn_call *call) {
    return recurrent(call, 3);
}
norn_status norn_cpu_lstm(norn_call *call) {
    return recurrent(call, 4);
}
