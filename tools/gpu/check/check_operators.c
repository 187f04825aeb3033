#include "check.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <stdlib.h>

enum { DIMS = 4 };

/// For each element of `out`, the index of the input element that it is.
typedef int64_t (*source_fn)(const int64_t *at, const void *context);

static void moved(checker *k, check_case *c, const norn_view *in, source_fn source,
                  const void *context) {
    const norn_view *out = &c->out[0];
    int64_t elems = norn_view_elems(out);
    double *want = check_doubles(elems);
    for (int64_t e = 0; e < elems; e++) {
        int64_t at[DIMS] = {0}, rest = e;
        for (int32_t d = out->rank - 1; d >= 0; d--)
            at[d] = rest % out->dims[d], rest /= out->dims[d];
        want[e] = norn_element_f64(in->dtype, in->data, source(at, context));
    }
    check_against(k, c, want, 1e-12);
    free(want);
}

static int64_t from_transpose(const int64_t *at, const void *dims) {
    const int64_t *n = dims; // out [c, a, b] of in [a, b, c]
    return (at[1] * n[1] + at[2]) * n[2] + at[0];
}
static int64_t from_expand(const int64_t *at, const void *dims) {
    const int64_t *n = dims; // in [a, 1, c]
    return at[0] * n[2] + at[2];
}
static int64_t from_tile(const int64_t *at, const void *dims) {
    const int64_t *n = dims;
    return (at[0] % n[0] * n[1] + at[1] % n[1]) * n[2] + at[2] % n[2];
}
static int64_t from_slice(const int64_t *at, const void *dims) {
    const int64_t *n = dims; // [1:, ::-2, 2:-1]
    return ((at[0] + 1) * n[1] + n[1] - 1 - 2 * at[1]) * n[2] + at[2] + 2;
}

static void movement(checker *k, norn_dtype dtype, int64_t a, int64_t b, int64_t n) {
    const int64_t dims[] = {a, b, n}, transposed[] = {n, a, b}, perm[] = {2, 0, 1},
                  thin[] = {a, 1, n}, tiled[] = {2 * a, b, 3 * n};
    const int64_t starts[] = {1, -1, 2}, ends[] = {100000, INT64_MIN, -1}, axes[] = {0, 1, -1},
                  steps[] = {1, -2, 1}, repeats[] = {2, 1, 3};
    const int64_t sliced[] = {a - 1, (b + 1) / 2, n - 3};
    check_case c;
    check_init(&c, NORN_OP_Transpose, "transpose %s [%lld,%lld,%lld]", norn_dtype_name(dtype),
               (long long)a, (long long)b, (long long)n);
    check_attr_ints(&c, "perm", perm, 3);
    const norn_view *in = check_input(k, &c, dtype, 3, dims, 100);
    check_output(&c, dtype, 3, transposed, 0);
    moved(k, &c, in, from_transpose, dims);

    check_init(&c, NORN_OP_Expand, "expand %s [%lld,1,%lld]", norn_dtype_name(dtype), (long long)a,
               (long long)n);
    in = check_input(k, &c, dtype, 3, thin, 100);
    check_ints(&c, dims, 3);
    check_output(&c, dtype, 3, dims, 0);
    moved(k, &c, in, from_expand, dims);

    check_init(&c, NORN_OP_Tile, "tile %s [%lld,%lld,%lld]", norn_dtype_name(dtype), (long long)a,
               (long long)b, (long long)n);
    in = check_input(k, &c, dtype, 3, dims, 100);
    check_ints(&c, repeats, 3);
    check_output(&c, dtype, 3, tiled, 0);
    moved(k, &c, in, from_tile, dims);

    check_init(&c, NORN_OP_Slice, "slice %s [%lld,%lld,%lld]", norn_dtype_name(dtype), (long long)a,
               (long long)b, (long long)n);
    in = check_input(k, &c, dtype, 3, dims, 100);
    check_ints(&c, starts, 3), check_ints(&c, ends, 3), check_ints(&c, axes, 3),
        check_ints(&c, steps, 3);
    check_output(&c, dtype, 3, sliced, 0);
    moved(k, &c, in, from_slice, dims);
}

static void concat_split(checker *k, int64_t rows, int64_t step) {
    check_case c;
    int64_t width = 0;
    check_init(&c, NORN_OP_Concat, "concat of 6 on axis 1, %lld rows, step %lld", (long long)rows,
               (long long)step);
    check_attr_int(&c, "axis", 1);
    for (int64_t i = 0; i < 6; i++) {
        const int64_t dims[] = {rows, 3 + i * step};
        check_input(k, &c, NORN_F32, 2, dims, 0);
        width += dims[1];
    }
    const int64_t whole[] = {rows, width};
    check_output(&c, NORN_F32, 2, whole, 0);
    double *want = check_doubles(rows * width);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0, at = 0; i < 6; at += c.in[i].dims[1], i++)
            for (int64_t j = 0; j < c.in[i].dims[1]; j++)
                want[r * width + at + j] = check_f32(&c.in[i], r * c.in[i].dims[1] + j);
    check_against(k, &c, want, 1e-12);
    free(want);

    check_init(&c, NORN_OP_Split, "split in 3 on axis 0, %lld rows", (long long)rows);
    check_attr_int(&c, "axis", 0);
    const int64_t all[] = {3 * rows, 5}, part[] = {rows, 5};
    const norn_view *in = check_input(k, &c, NORN_F32, 2, all, 0);
    for (int i = 0; i < 3; i++) check_output(&c, NORN_F32, 2, part, 0);
    if (check_run(k, &c))
        for (uint32_t i = 0; i < 3; i++) {
            double *expected = check_doubles(rows * 5);
            for (int64_t e = 0; e < rows * 5; e++)
                expected[e] = check_f32(in, (int64_t)i * rows * 5 + e);
            check_close(k, &c, i, expected, 1e-12);
            free(expected);
        }
    check_free(&c);
}

static void gathers(checker *k, norn_dtype indices_dtype) {
    check_case c;
    const int64_t dims[] = {4, 9, 6}, which[] = {2, 5}, out_dims[] = {4, 2, 5, 6};
    check_init(&c, NORN_OP_Gather, "gather axis 1, %s indices", norn_dtype_name(indices_dtype));
    check_attr_int(&c, "axis", 1);
    const norn_view *in = check_input(k, &c, NORN_F32, 3, dims, 0);
    norn_view *indices = check_input(k, &c, indices_dtype, 2, which, 9);
    norn_element_set_i64(indices_dtype, indices->data, 3, -2);
    check_output(&c, NORN_F32, 4, out_dims, 0);
    double *want = check_doubles(4 * 10 * 6);
    for (int64_t e = 0; e < 240; e++) {
        int64_t i = norn_element_i64(indices_dtype, indices->data, e / 6 % 10);
        want[e] = check_f32(in, (e / 60 * 9 + (i < 0 ? i + 9 : i)) * 6 + e % 6);
    }
    check_against(k, &c, want, 1e-12);

    const int64_t picked[] = {4, 3, 6};
    check_init(&c, NORN_OP_GatherElements, "gather elements axis 1, %s indices",
               norn_dtype_name(indices_dtype));
    check_attr_int(&c, "axis", 1);
    in = check_input(k, &c, NORN_F32, 3, dims, 0);
    indices = check_input(k, &c, indices_dtype, 3, picked, 9);
    check_output(&c, NORN_F32, 3, picked, 0);
    for (int64_t e = 0; e < 72; e++)
        want[e] = check_f32(
            in, (e / 18 * 9 + norn_element_i64(indices_dtype, indices->data, e)) * 6 + e % 6);
    check_against(k, &c, want, 1e-12);
    free(want);
    if (indices_dtype != NORN_I64) return;

    const int64_t pairs[] = {7, 2}, pair_out[] = {7, 6};
    check_init(&c, NORN_OP_GatherND, "gather nd");
    in = check_input(k, &c, NORN_F32, 3, dims, 0);
    indices = check_input(k, &c, NORN_I64, 2, pairs, 4);
    check_output(&c, NORN_F32, 2, pair_out, 0);
    want = check_doubles(42);
    const int64_t *i64 = indices->data;
    for (int64_t e = 0; e < 42; e++)
        want[e] = check_f32(in, (i64[e / 6 * 2] * 9 + i64[e / 6 * 2 + 1]) * 6 + e % 6);
    check_against(k, &c, want, 1e-12);
    free(want);

    check_init(&c, NORN_OP_Gather, "gather: index 9 of 9 is refused");
    check_attr_int(&c, "axis", 1);
    check_input(k, &c, NORN_F32, 3, dims, 0);
    indices = check_input(k, &c, NORN_I64, 2, which, 9);
    ((int64_t *)indices->data)[4] = 9;
    check_output(&c, NORN_F32, 4, out_dims, 0);
    c.wanted = NORN_INVALID_ARGUMENT;
    check_run(k, &c);
    check_free(&c);
}

static void softmax(checker *k, bool log, int64_t outer, int64_t n, int64_t inner) {
    check_case c;
    const int64_t dims[] = {outer, n, inner};
    check_init(&c, log ? NORN_OP_LogSoftmax : NORN_OP_Softmax, "%ssoftmax [%lld,%lld,%lld]",
               log ? "log " : "", (long long)outer, (long long)n, (long long)inner);
    check_attr_int(&c, "axis", 1);
    const norn_view *in = check_input(k, &c, NORN_F32, 3, dims, 0);
    check_output(&c, NORN_F32, 3, dims, 0);
    double *want = check_doubles(outer * n * inner);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++) sum += exp(check_f32(in, (o * n + j) * inner + i));
            for (int64_t j = 0; j < n; j++) {
                int64_t e = (o * n + j) * inner + i;
                want[e] = log ? check_f32(in, e) - log1p(sum - 1) : exp(check_f32(in, e)) / sum;
            }
        }
    check_against(k, &c, want, 2e-6);
    free(want);
}

static void norm(checker *k, uint16_t op, int64_t rows, int64_t n) {
    check_case c;
    const int64_t dims[] = {rows, n};
    bool rms = op == NORN_OP_RMSNormalization;
    check_init(&c, op, "%s norm [%lld,%lld]", rms ? "rms" : "layer", (long long)rows, (long long)n);
    const norn_view *in = check_input(k, &c, NORN_F32, 2, dims, 0),
                    *scale = check_input(k, &c, NORN_F32, 1, &n, 0);
    const norn_view *bias = rms ? NULL : check_input(k, &c, NORN_F32, 1, &n, 0);
    check_output(&c, NORN_F32, 2, dims, 0);
    double *want = check_doubles(rows * n);
    for (int64_t r = 0; r < rows; r++) {
        double mean = 0, squares = 0;
        for (int64_t i = 0; i < n && !rms; i++) mean += check_f32(in, r * n + i) / (double)n;
        for (int64_t i = 0; i < n; i++)
            squares += pow(check_f32(in, r * n + i) - mean, 2) / (double)n;
        for (int64_t i = 0; i < n; i++)
            want[r * n + i] =
                (check_f32(in, r * n + i) - mean) / sqrt(squares + 1e-5) * check_f32(scale, i) +
                (bias ? check_f32(bias, i) : 0);
    }
    check_against(k, &c, want, 2e-6);
    free(want);
}

static void reduces(checker *k, uint16_t op, const char *name, int64_t a, int64_t b, int64_t n,
                    bool outer_axes) {
    check_case c;
    const int64_t dims[] = {a, b, n}, outer[] = {0, 2}, middle[] = {1}, kept_outer[] = {1, b, 1},
                  kept_middle[] = {a, 1, n};
    check_init(&c, op, "reduce %s [%lld,%lld,%lld] over %s", name, (long long)a, (long long)b,
               (long long)n, outer_axes ? "0, 2" : "1");
    const norn_view *in = check_input(k, &c, NORN_F32, 3, dims, 0);
    check_ints(&c, outer_axes ? outer : middle, outer_axes ? 2 : 1);
    check_output(&c, NORN_F32, 3, outer_axes ? kept_outer : kept_middle, 0);
    int64_t results = outer_axes ? b : a * n, count = outer_axes ? a * n : b;
    double *want = check_doubles(results);
    for (int64_t r = 0; r < results; r++) {
        double sum = 0, squares = 0, abs = 0, top = -INFINITY, low = INFINITY, product = 1,
               exps = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t e = outer_axes ? (i / n * b + r) * n + i % n : (r / n * b + i) * n + r % n;
            double x = check_f32(in, e);
            sum += x, squares += x * x, abs += fabs(x), product *= x, exps += exp(x);
            top = fmax(top, x), low = fmin(low, x);
        }
        want[r] = op == NORN_OP_ReduceSum         ? sum
                  : op == NORN_OP_ReduceMean      ? sum / (double)count
                  : op == NORN_OP_ReduceMax       ? top
                  : op == NORN_OP_ReduceMin       ? low
                  : op == NORN_OP_ReduceProd      ? product
                  : op == NORN_OP_ReduceL1        ? abs
                  : op == NORN_OP_ReduceL2        ? sqrt(squares)
                  : op == NORN_OP_ReduceSumSquare ? squares
                                                  : log(exps);
    }
    check_against(k, &c, want, 3e-6);
    free(want);
}

static void matmul(checker *k, int64_t batch_a, int64_t heads_a, int64_t batch_b, int64_t heads_b,
                   int64_t m, int64_t n, int64_t kk) {
    check_case c;
    const int64_t a_dims[] = {batch_a, heads_a, m, kk}, b_dims[] = {batch_b, heads_b, kk, n};
    int64_t batch = batch_a > batch_b ? batch_a : batch_b,
            heads = heads_a > heads_b ? heads_a : heads_b;
    const int64_t out_dims[] = {batch, heads, m, n};
    check_init(&c, NORN_OP_MatMul, "matmul [%lld,%lld]x[%lld,%lld] %lldx%lldx%lld",
               (long long)batch_a, (long long)heads_a, (long long)batch_b, (long long)heads_b,
               (long long)m, (long long)n, (long long)kk);
    const norn_view *a = check_input(k, &c, NORN_F32, 4, a_dims, 0),
                    *b = check_input(k, &c, NORN_F32, 4, b_dims, 0);
    check_output(&c, NORN_F32, 4, out_dims, 0);
    double *want = check_doubles(batch * heads * m * n);
    for (int64_t e = 0; e < batch * heads * m * n; e++) {
        int64_t j = e % n, i = e / n % m, h = e / n / m % heads, s = e / n / m / heads;
        int64_t ia = (s % batch_a * heads_a + h % heads_a) * m * kk + i * kk,
                ib = (s % batch_b * heads_b + h % heads_b) * kk * n + j;
        for (int64_t p = 0; p < kk; p++) want[e] += check_f32(a, ia + p) * check_f32(b, ib + p * n);
    }
    check_against(k, &c, want, 2e-6);
    free(want);
}

static void batch_norm(checker *k) {
    check_case c;
    const int64_t dims[] = {6, 10, 3}, channels[] = {10};
    check_init(&c, NORN_OP_BatchNormalization, "batch norm");
    const norn_view *in = check_input(k, &c, NORN_F32, 3, dims, 0), *p[4];
    for (int i = 0; i < 4; i++) p[i] = check_input(k, &c, NORN_F32, 1, channels, 0);
    for (int64_t i = 0; i < 10; i++) ((float *)p[3]->data)[i] = (float)(0.2 + 0.1 * (double)i);
    check_output(&c, NORN_F32, 3, dims, 0);
    double *want = check_doubles(180);
    for (int64_t e = 0; e < 180; e++) {
        int64_t ch = e / 3 % 10;
        want[e] = (check_f32(in, e) - check_f32(p[2], ch)) / sqrt(check_f32(p[3], ch) + 1e-5) *
                      check_f32(p[0], ch) +
                  check_f32(p[1], ch);
    }
    check_against(k, &c, want, 2e-6);
    free(want);
}

void check_operators(checker *k) {
    static const norn_dtype dtypes[] = {NORN_F32, NORN_U8, NORN_F16, NORN_I64};
    for (size_t i = 0; i < 4; i++)
        movement(k, dtypes[i], 5, 7, 12 + (int64_t)i * 2), movement(k, dtypes[i], 33, 4, 64);
    concat_split(k, 10, 4), concat_split(k, 257, 1);
    gathers(k, NORN_I64), gathers(k, NORN_I32);
    for (int log = 0; log < 2; log++)
        softmax(k, log, 20, 30, 1), softmax(k, log, 3, 2000, 1), softmax(k, log, 9, 7, 11);
    norm(k, NORN_OP_LayerNormalization, 50, 64), norm(k, NORN_OP_LayerNormalization, 3, 777),
        norm(k, NORN_OP_RMSNormalization, 8, 100);
    batch_norm(k);
    static const struct {
        uint16_t op;
        const char *name;
    } ops[] = {{NORN_OP_ReduceSum, "sum"},
               {NORN_OP_ReduceMean, "mean"},
               {NORN_OP_ReduceMax, "max"},
               {NORN_OP_ReduceMin, "min"},
               {NORN_OP_ReduceProd, "prod"},
               {NORN_OP_ReduceL1, "l1"},
               {NORN_OP_ReduceL2, "l2"},
               {NORN_OP_ReduceSumSquare, "sum square"},
               {NORN_OP_ReduceLogSumExp, "log sum exp"}};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int outer = 0; outer < 2; outer++) {
            reduces(k, ops[i].op, ops[i].name, 6, 5, 9, outer);
            // A product of many numbers below one is denormal.
            if (ops[i].op != NORN_OP_ReduceProd)
                reduces(k, ops[i].op, ops[i].name, 40, 130, 3, outer);
        }
    matmul(k, 1, 1, 1, 1, 33, 20, 47), matmul(k, 5, 1, 5, 1, 1, 16, 12),
        matmul(k, 4, 3, 4, 3, 8, 8, 16), matmul(k, 4, 3, 1, 1, 8, 24, 16);
    matmul(k, 1, 1, 4, 3, 8, 8, 16), matmul(k, 4, 1, 4, 3, 5, 6, 7), matmul(k, 4, 3, 1, 3, 5, 6, 7);
}
