/// RNN, GRU and LSTM with any of their options, against the equations of ONNX's specification.
#include "base/hash.h"
#include "cpu/cpu_kernel.h"
#include "cpu/guarded.h"
#include "cpu/solo_call.h"

#include <math.h>

enum { STEPS_MAX = 5, BATCH_MAX = 3, INPUT_MAX = 8, HIDDEN_MAX = 17, ATTRS_MAX = 9 };

static const float CLIP = 0.4F;
static norn_random rng;

static int64_t below(int64_t n) {
    return (int64_t)(norn_random_u64(&rng) % (uint64_t)n);
}
static bool often(void) {
    return below(2) == 0;
}

// ---- what is right

typedef struct curve {
    const char *name;
    double alpha, beta;
} curve;

static double on_curve(const curve *c, double x) {
    const double a = c->alpha, b = c->beta;
    if (strcmp(c->name, "Relu") == 0) return x > 0 ? x : 0;
    if (strcmp(c->name, "Tanh") == 0) return tanh(x);
    if (strcmp(c->name, "Sigmoid") == 0) return 1 / (1 + exp(-x));
    if (strcmp(c->name, "Affine") == 0) return a * x + b;
    if (strcmp(c->name, "LeakyRelu") == 0) return x >= 0 ? x : a * x;
    if (strcmp(c->name, "ThresholdedRelu") == 0) return x >= a ? x : 0;
    if (strcmp(c->name, "ScaledTanh") == 0) return a * tanh(b * x);
    if (strcmp(c->name, "HardSigmoid") == 0) return fmin(1, fmax(0, a * x + b));
    if (strcmp(c->name, "Elu") == 0) return x >= 0 ? x : a * (exp(x) - 1);
    if (strcmp(c->name, "Softsign") == 0) return x / (1 + fabs(x));
    assert_string_equal(c->name, "Softplus");
    return log(1 + exp(x));
}

typedef struct layer {
    int64_t gates, steps, batch, input, hidden, directions;
    bool reverse, batch_first, linear_before_reset, input_forget;
    float clip;
    const float *x, *w, *r, *b, *h0, *c0, *p;
    const int32_t *lengths;
    curve curves[2][3];
    double h[HIDDEN_MAX], c[HIDDEN_MAX], from_x[4 * HIDDEN_MAX], from_h[4 * HIDDEN_MAX];
} layer;

static double gate(const layer *l, int64_t d, int which, double x) {
    if (l->clip > 0) x = fmin((double)l->clip, fmax(-(double)l->clip, x));
    return on_curve(&l->curves[d][which], x);
}

/// R of gate `g`, unit k, times `state`, and its bias.
static double recur(const layer *l, int64_t d, int64_t g, int64_t k, const double *state) {
    const int64_t n = l->hidden, rows = l->gates * n, row = g * n + k;
    double sum = l->b ? (double)l->b[d * 2 * rows + rows + row] : 0;
    for (int64_t i = 0; i < n; i++) sum += (double)l->r[(d * rows + row) * n + i] * state[i];
    return sum;
}

static void step(layer *l, int64_t d, const float *x) {
    const int64_t n = l->hidden, rows = l->gates * n;
    double h[HIDDEN_MAX], reset_h[HIDDEN_MAX];
    for (int64_t row = 0; row < rows; row++) {
        l->from_x[row] = l->b ? (double)l->b[d * 2 * rows + row] : 0;
        for (int64_t i = 0; i < l->input; i++)
            l->from_x[row] += (double)l->w[(d * rows + row) * l->input + i] * (double)x[i];
        l->from_h[row] = recur(l, d, row / n, row % n, l->h);
    }
    const double *gx = l->from_x, *gh = l->from_h;
    const float *p = l->p ? l->p + d * 3 * n : NULL;
    for (int64_t k = 0; k < n && l->gates == 3; k++)
        reset_h[k] = gate(l, d, 0, gx[n + k] + gh[n + k]) * l->h[k];
    for (int64_t k = 0; k < n; k++) {
        if (l->gates == 1) {
            h[k] = gate(l, d, 0, gx[k] + gh[k]);
        } else if (l->gates == 3) {
            const double z = gate(l, d, 0, gx[k] + gh[k]), r = gate(l, d, 0, gx[n + k] + gh[n + k]),
                         state = l->linear_before_reset ? r * gh[2 * n + k]
                                                        : recur(l, d, 2, k, reset_h);
            h[k] = (1 - z) * gate(l, d, 1, gx[2 * n + k] + state) + z * l->h[k];
        } else {
            const double i = gate(l, d, 0, gx[k] + gh[k] + (p ? (double)p[k] * l->c[k] : 0));
            const double f = gate(
                l, d, 0, gx[2 * n + k] + gh[2 * n + k] + (p ? (double)p[2 * n + k] * l->c[k] : 0));
            l->c[k] = (l->input_forget ? 1 - i : f) * l->c[k] +
                      i * gate(l, d, 1, gx[3 * n + k] + gh[3 * n + k]);
            h[k] = gate(l, d, 0, gx[n + k] + gh[n + k] + (p ? (double)p[n + k] * l->c[k] : 0)) *
                   on_curve(&l->curves[d][2], l->c[k]);
        }
    }
    memcpy(l->h, h, sizeof h);
}

static void assert_near(const char *what, double got, double want) {
    if (!(fabs(got - want) <= 2e-5 * (1 + fabs(want)))) fail_msg("%s: %g, not %g", what, got, want);
}

/// Every element of y, y_h and (LSTM) y_c.
static void check(layer *l, const norn_view *out) {
    const int64_t n = l->hidden;
    const float *y = out[0].data, *y_h = out[1].data, *y_c = l->gates == 4 ? out[2].data : NULL;
    for (int64_t d = 0; d < l->directions; d++)
        for (int64_t b = 0; b < l->batch; b++) {
            const int64_t length = l->lengths ? l->lengths[b] : l->steps,
                          at = l->batch_first ? b * l->directions + d : d * l->batch + b;
            for (int64_t k = 0; k < n; k++) {
                l->h[k] = l->h0 ? (double)l->h0[at * n + k] : 0;
                l->c[k] = l->c0 ? (double)l->c0[at * n + k] : 0;
            }
            for (int64_t i = 0; i < l->steps; i++) {
                const int64_t t = i < length && (d == 1 || l->reverse) ? length - 1 - i : i;
                const int64_t from = l->batch_first ? b * l->steps + t : t * l->batch + b,
                              to = l->batch_first ? from * l->directions + d
                                                  : (t * l->directions + d) * l->batch + b;
                if (i < length) step(l, d, l->x + from * l->input);
                for (int64_t k = 0; k < n; k++)
                    assert_near("y", (double)y[to * n + k], i < length ? l->h[k] : 0);
            }
            for (int64_t k = 0; k < n; k++) {
                assert_near("y_h", (double)y_h[at * n + k], l->h[k]);
                if (y_c) assert_near("y_c", (double)y_c[at * n + k], l->c[k]);
            }
        }
}

// ---- draws

static norn_view floats(const int64_t *dims, int32_t rank) {
    norn_view view = guarded(NORN_F32, rank, dims);
    float *x = view.data;
    for (int64_t i = 0; i < norn_view_elems(&view); i++)
        x[i] = (float)(norn_random_unit(&rng) * 2 - 1);
    return view;
}
#define FLOATS(...) \
    floats((int64_t[]){__VA_ARGS__}, (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / 8))

typedef struct attrs {
    norn_attr at[ATTRS_MAX];
    uint32_t count;
    norn_string names[6];
    float alpha[6], beta[6];
} attrs;

static norn_attr *add(attrs *a, const char *name, norn_attr_kind kind) {
    assert_in_range(a->count, 0, ATTRS_MAX - 1);
    a->at[a->count] = (norn_attr){.name = name, .kind = kind};
    return &a->at[a->count++];
}

/// Others than the usual ones?
static bool draw_curves(layer *l, attrs *a) {
    static const char *const names[] = {
        "Relu",       "Tanh",        "Sigmoid", "Affine",   "LeakyRelu", "ThresholdedRelu",
        "ScaledTanh", "HardSigmoid", "Elu",     "Softsign", "Softplus"};
    static const curve usual[3][3] = {{{.name = "Tanh"}},
                                      {{.name = "Sigmoid"}, {.name = "Tanh"}},
                                      {{.name = "Sigmoid"}, {.name = "Tanh"}, {.name = "Tanh"}}};
    const uint32_t each = l->gates == 1 ? 1 : l->gates == 3 ? 2 : 3;
    memcpy(l->curves[0], usual[each - 1], sizeof usual[0]);
    memcpy(l->curves[1], usual[each - 1], sizeof usual[0]);
    if (often()) return false;
    // Where alpha and beta are left out: those of ONNX's operators of that name, else 1 and 0 (ScaledTanh: 1 and 1).
    static const curve unsaid[] = {{"Affine", 1, 0},          {"LeakyRelu", 0.01, 0},
                                   {"ThresholdedRelu", 1, 0}, {"ScaledTanh", 1, 1},
                                   {"HardSigmoid", 0.2, 0.5}, {"Elu", 1, 0}};
    const uint32_t count = each * (uint32_t)l->directions;
    const bool said = below(4) > 0;
    for (uint32_t k = 0; k < count; k++) {
        curve *c = &l->curves[k / each][k % each];
        c->name = names[below(sizeof names / sizeof *names)];
        a->names[k].bytes = (char *)(uintptr_t)c->name;
        a->names[k].count = strlen(c->name);
        a->alpha[k] = often() ? CLIP : (float)(norn_random_unit(&rng) * 0.8 + 0.1); // just reached
        c->alpha = (double)a->alpha[k];
        c->beta = (double)(a->beta[k] = (float)(norn_random_unit(&rng) * 0.8 + 0.1));
        for (size_t u = 0; u < sizeof unsaid / sizeof *unsaid && !said; u++)
            if (strcmp(unsaid[u].name, c->name) == 0) *c = unsaid[u];
    }
    norn_attr *given = add(a, "activations", NORN_ATTR_STRINGS);
    given->strings = a->names, given->count = count;
    if (!said) return true;
    given = add(a, "activation_alpha", NORN_ATTR_FLOATS);
    given->floats = a->alpha, given->count = count;
    given = add(a, "activation_beta", NORN_ATTR_FLOATS);
    given->floats = a->beta, given->count = count;
    return true;
}

static void draw(layer *l, attrs *a, int64_t gates) {
    static const int64_t inputs[] = {1, 3, INPUT_MAX}, hidden[] = {1, 2, 5, HIDDEN_MAX};
    static const char *const directions[] = {"forward", "reverse", "bidirectional"};
    const int64_t direction = below(3);
    *l = (layer){.gates = gates, .steps = 1 + below(STEPS_MAX), .batch = 1 + below(BATCH_MAX)};
    *a = (attrs){.count = 0};
    l->input = inputs[below(3)], l->hidden = hidden[below(4)];
    l->directions = direction == 2 ? 2 : 1, l->reverse = direction == 1;
    norn_attr *given = add(a, "direction", NORN_ATTR_STRING);
    given->string.bytes = (char *)(uintptr_t)directions[direction];
    given->string.count = strlen(directions[direction]);
    if ((l->batch_first = often())) add(a, "layout", NORN_ATTR_INT)->i64 = 1;
    if (gates == 3 && (l->linear_before_reset = often()))
        add(a, "linear_before_reset", NORN_ATTR_INT)->i64 = 1;
    if (gates == 4 && (l->input_forget = below(4) == 0))
        add(a, "input_forget", NORN_ATTR_INT)->i64 = 1;
    const bool unusual = draw_curves(l, a);
    if (unusual || often()) // or some of them grow past every bound
        add(a, "clip", NORN_ATTR_FLOAT)->f32 = l->clip = CLIP;
}

static norn_view lengths(const layer *l) {
    norn_view view = guarded(NORN_I32, 1, (int64_t[]){l->batch});
    for (int64_t b = 0; b < l->batch; b++)
        ((int32_t *)view.data)[b] = (int32_t)below(l->steps + 1); // none at all too
    return view;
}

static void run(int64_t gates) {
    layer l;
    attrs a;
    draw(&l, &a, gates);
    const int64_t d = l.directions, n = l.hidden, t = l.steps, b = l.batch;
    const int64_t state[] = {l.batch_first ? b : d, l.batch_first ? d : b, n};
    norn_view in[8] = {l.batch_first ? FLOATS(b, t, l.input) : FLOATS(t, b, l.input),
                       FLOATS(d, gates * n, l.input), FLOATS(d, gates * n, n)};
    if (often()) in[3] = FLOATS(d, 2 * gates * n);
    if (often()) in[4] = lengths(&l);
    if (often()) in[5] = floats(state, 3);
    if (gates == 4 && often()) in[6] = floats(state, 3);
    if (gates == 4 && often()) in[7] = FLOATS(d, 3 * n);
    l.x = in[0].data, l.w = in[1].data, l.r = in[2].data, l.b = in[3].data;
    l.lengths = in[4].data, l.h0 = in[5].data, l.c0 = in[6].data, l.p = in[7].data;
    norn_view out[3] = {l.batch_first ? guarded(NORN_F32, 4, (int64_t[]){b, t, d, n})
                                      : guarded(NORN_F32, 4, (int64_t[]){t, d, b, n}),
                        guarded(NORN_F32, 3, state), guarded(NORN_F32, 3, state)};
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.attrs = (norn_attrs){a.at, a.count};
    solo.call.in = in, solo.call.in_count = gates == 4 ? 8 : 6;
    solo.call.out = out, solo.call.out_count = gates == 4 ? 3 : 2;
    assert_int_equal(norn_solo_run(&solo, gates == 1   ? norn_cpu_rnn
                                          : gates == 3 ? norn_cpu_gru
                                                       : norn_cpu_lstm),
                     NORN_OK);
    check(&l, out);
    norn_solo_deinit(&solo);
    for (int i = 0; i < 8; i++)
        if (in[i].data) guarded_free(&in[i]);
    for (int i = 0; i < 3; i++) guarded_free(&out[i]);
}

static void layers_with_any_options_equal_the_equations(void **state) {
    (void)state;
    norn_random_init(&rng, 21);
    for (int round = 0; round < 150; round++) run(1), run(3), run(4);
}

static void a_length_outside_the_sequence_is_refused(void **state) {
    (void)state;
    float x[2 * 1 * 1] = {0}, w[1] = {0}, r[1] = {0};
    for (int64_t length = -1; length <= 3; length++) {
        norn_view in[5] = {norn_view_of(NORN_F32, 3, (int64_t[]){2, 1, 1}, x),
                           norn_view_of(NORN_F32, 3, (int64_t[]){1, 1, 1}, w),
                           norn_view_of(NORN_F32, 3, (int64_t[]){1, 1, 1}, r)};
        norn_view out = norn_view_of(NORN_F32, 4, (int64_t[]){2, 1, 1, 1}, NULL);
        norn_solo solo;
        in[4] = norn_view_of(NORN_I64, 1, (int64_t[]){1}, &length);
        norn_solo_init(&solo, norn_alloc_heap(), NULL);
        solo.call.in = in, solo.call.in_count = 5;
        solo.call.out = &out, solo.call.out_count = 1;
        assert_int_equal(norn_solo_run(&solo, norn_cpu_rnn),
                         length < 0 || length > 2 ? NORN_INVALID_ARGUMENT : NORN_OK);
        norn_solo_deinit(&solo);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_with_any_options_equal_the_equations),
        cmocka_unit_test(a_length_outside_the_sequence_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
