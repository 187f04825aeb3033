// norn_cpu_check: every instruction-set variant that this CPU has against the scalar reference,
// with canaries past the ends. Depends on nothing but libnorn: it runs on a bare machine too.
//
//     norn_cpu_check            exits 0 when all agree
#include "base/hash.h"
#include "base/memory.h"
#include "cpu/isa.h"
#include "cpu/micro/gemm_f32.h"
#include "cpu/micro/gram_f32.h"
#include "cpu/micro/pool_f32.h"
#include "cpu/micro/reduce_f32.h"
#include "cpu/micro/thin_f32.h"
#include "cpu/micro/tile_op.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM = 1 << 16, GUARD = 32 };
static const float CANARY = 123456.75f;

static norn_random rng;
static int checks, failures;

static float random_float(double scale) {
    return (float)((norn_random_unit(&rng) * 2 - 1) * scale);
}
static int64_t random_below(int64_t n) {
    return (int64_t)(norn_random_u64(&rng) % (uint64_t)n);
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list arguments;
    if (failures++ >= 20) return;
    va_start(arguments, format);
    fputs("FAIL ", stdout);
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

// ---- scalar operations

static const struct {
    norn_scalar_op op;
    const char *name;
    int arity;
    double ulp; ///< allowed, against the reference in float64
    bool to_bool;
} f32_cases[] = {
    {NORN_SCALAR_ADD, "ADD", 2, 0.5, false},
    {NORN_SCALAR_SUB, "SUB", 2, 0.5, false},
    {NORN_SCALAR_MUL, "MUL", 2, 0.5, false},
    {NORN_SCALAR_DIV, "DIV", 2, 0.5, false},
    {NORN_SCALAR_MIN, "MIN", 2, 0, false},
    {NORN_SCALAR_MAX, "MAX", 2, 0, false},
    {NORN_SCALAR_POW, "POW", 2, 1, false},
    {NORN_SCALAR_NEG, "NEG", 1, 0, false},
    {NORN_SCALAR_ABS, "ABS", 1, 0, false},
    {NORN_SCALAR_SIGN, "SIGN", 1, 0, false},
    {NORN_SCALAR_SQRT, "SQRT", 1, 0.5, false},
    {NORN_SCALAR_RSQRT, "RSQRT", 1, 1.5, false},
    {NORN_SCALAR_RECIP, "RECIP", 1, 0.5, false},
    {NORN_SCALAR_EXP, "EXP", 1, 2, false},
    {NORN_SCALAR_LOG, "LOG", 1, 2, false},
    {NORN_SCALAR_LOG1P, "LOG1P", 1, 4, false},
    {NORN_SCALAR_TANH, "TANH", 1, 3, false},
    {NORN_SCALAR_ERF, "ERF", 1, 3, false},
    {NORN_SCALAR_SIGMOID, "SIGMOID", 1, 4, false},
    {NORN_SCALAR_CEIL, "CEIL", 1, 0, false},
    {NORN_SCALAR_FLOOR, "FLOOR", 1, 0, false},
    {NORN_SCALAR_ROUND, "ROUND", 1, 0, false},
    {NORN_SCALAR_EQ, "EQ", 2, 0, true},
    {NORN_SCALAR_NE, "NE", 2, 0, true},
    {NORN_SCALAR_LT, "LT", 2, 0, true},
    {NORN_SCALAR_LE, "LE", 2, 0, true},
    {NORN_SCALAR_GT, "GT", 2, 0, true},
    {NORN_SCALAR_GE, "GE", 2, 0, true},
    {NORN_SCALAR_IS_NAN, "IS_NAN", 1, 0, true},
};

/// Distance from `got` to the exact `want` in units of the last place of want's float.
static double ulps(float got, double want) {
    if (isnan(want) || isnan((double)got)) return isnan(want) && isnan((double)got) ? 0 : 1e9;
    if ((double)got == want || (float)want == got) return 0;
    if (isinf(want) || isinf((double)got))
        return fabs(want) > 3.4028235e38 && isinf((double)got) ? 0 : 1e9;
    double magnitude = fabs(want) < 0x1p-126 ? 0x1p-126 : fabs(want);
    return fabs((double)got - want) / ldexp(1, ilogb(magnitude) - 23);
}

static float interesting(int64_t i) {
    static const float special[] = {0.0f,     -0.0f,  1.0f,    -1.0f,   0.5f,      88.7f,
                                    89.5f,    -87.4f, -103.9f, -105.0f, 1e-40f,    -1e-40f,
                                    3e38f,    -3e38f, 2.5f,    -0.5f,   0x1p-126f, 0.625f,
                                    0.92761f, 4.0f,   9.9f,    1e-8f,   1.5f,      0x1p24f};
    uint64_t pick = norn_random_u64(&rng) % 8;
    if (i % 97 == 96) return pick < 2 ? NAN : pick < 4 ? INFINITY : pick < 6 ? -INFINITY : 0;
    if (pick == 0) return special[norn_random_u64(&rng) % (sizeof special / sizeof *special)];
    if (pick < 4) return random_float(3);
    if (pick < 6) return random_float(90);
    return ldexpf(random_float(1), (int)random_below(250) - 125);
}

static double reference_f64(size_t row, double a, double b) {
    double out;
    const norn_tile_operand in[3] = {{&a, 1}, {&b, 1}, {&b, 1}};
    norn_tile_op_scalar(f32_cases[row].op, NORN_F64, NORN_F64)(&out, in, 1);
    return out;
}

static void check_scalar_op(norn_isa isa, size_t row, double *worst) {
    static float a[ROOM], b[ROOM], y[ROOM + GUARD];
    static uint8_t bools[ROOM + GUARD];
    norn_dtype to = f32_cases[row].to_bool ? NORN_BOOL : NORN_F32;
    norn_tile_fn fn = norn_tile_op(isa, f32_cases[row].op, NORN_F32, to);
    for (int round = 0; round < 60; round++) {
        int64_t n = round < 40 ? round : 1 + random_below(ROOM - 1);
        for (int64_t i = 0; i < n + 1; i++) a[i] = interesting(i), b[i] = interesting(i + 1);
        norn_tile_operand in[3] = {{a, round % 3 != 1}, {b, round % 3 != 2}, {b, 1}};
        for (int64_t i = 0; i < n + GUARD; i++) y[i] = CANARY, bools[i] = 77;
        fn(to == NORN_BOOL ? (void *)bools : y, in, n);
        for (int64_t i = 0; i < n; i++) {
            float x0 = a[i * in[0].step], x1 = b[i * in[1].step];
            checks++;
            if (to == NORN_BOOL) {
                uint8_t want;
                const norn_tile_operand one[3] = {{&x0, 1}, {&x1, 1}};
                norn_tile_op_scalar(f32_cases[row].op, NORN_F32, to)(&want, one, 1);
                if (bools[i] != want)
                    fail("%s %s(%g, %g) = %d", norn_isa_name(isa), f32_cases[row].name, (double)x0,
                         (double)x1, bools[i]);
                continue;
            }
            double want = reference_f64(row, (double)x0, (double)x1), error = ulps(y[i], want);
            bool tiny = fabs(want) < 0x1p-126 && fabs((double)y[i]) < 0x1p-126;
            if (f32_cases[row].op == NORN_SCALAR_SIGMOID && tiny)
                continue; // subnormals are flushed
            if (error < 1e8 && error > *worst) *worst = error;
            if (error > f32_cases[row].ulp + 1e-6)
                fail("%s %s(%.9g, %.9g) = %.9g, not %.9g (%.3g ulp)", norn_isa_name(isa),
                     f32_cases[row].name, (double)x0, (double)x1, (double)y[i], want, error);
        }
        for (int64_t i = n; i < n + GUARD; i++)
            if (y[i] != CANARY || bools[i] != 77)
                fail("%s %s writes past its end", norn_isa_name(isa), f32_cases[row].name);
    }
}

static void check_choices(norn_isa isa) {
    static float a[300], b[300], c[300], y[300 + GUARD];
    static uint8_t m[300];
    norn_tile_fn select = norn_tile_op(isa, NORN_SCALAR_SELECT, NORN_F32, NORN_F32);
    norn_tile_fn fma_fn = norn_tile_op(isa, NORN_SCALAR_FMA, NORN_F32, NORN_F32);
    for (int64_t n = 0; n < 300; n += n < 40 ? 1 : 37) {
        for (int64_t i = 0; i < n; i++) {
            a[i] = random_float(4), b[i] = random_float(4), c[i] = random_float(4);
            m[i] = (uint8_t)random_below(2);
        }
        for (int kind = 0; kind < 2; kind++) {
            int64_t sb = n % 3 != 1, sc = n % 5 != 2;
            for (int64_t i = 0; i < n + GUARD; i++) y[i] = CANARY;
            if (kind == 0)
                select(y, (norn_tile_operand[3]){{m, 1}, {b, sb}, {c, sc}}, n);
            else
                fma_fn(y, (norn_tile_operand[3]){{a, 1}, {b, sb}, {c, sc}}, n);
            for (int64_t i = 0; i < n; i++) {
                double want = kind ? (double)a[i] * (double)b[i * sb] + (double)c[i * sc]
                                   : (double)(m[i] ? b[i * sb] : c[i * sc]);
                checks++;
                if (fabs((double)y[i] - want) > 1e-6 * (1 + fabs(want) * 16))
                    fail("%s %s at %d", norn_isa_name(isa), kind ? "FMA" : "SELECT", (int)i);
            }
            for (int64_t i = n; i < n + GUARD; i++)
                if (y[i] != CANARY)
                    fail("%s %s writes past its end", norn_isa_name(isa), kind ? "FMA" : "SELECT");
        }
    }
}

// ---- products

static void check_gemm(const norn_gemm_row *row) {
    int64_t most_k = 70, wide = row->panels * NORN_GEMM_PANEL;
    int64_t lda = most_k + 5, ldc = wide + 9;
    float *a = malloc((size_t)(row->rows * lda) * sizeof *a);
    float *b = malloc((size_t)(wide * most_k * 2) * sizeof *b),
          *bias = malloc((size_t)wide * sizeof *bias);
    float *c = malloc((size_t)(row->rows * ldc + GUARD) * sizeof *c);
    float *before = malloc((size_t)(row->rows * ldc + GUARD) * sizeof *before);
    for (int round = 0; round < 400; round++) {
        int64_t k = round % 7 == 0 ? round % 5 : random_below(most_k),
                columns = 1 + random_below(wide);
        if (round % 3 == 0) columns = wide;
        bool packed = round & 1;
        norn_gemm_tile tile = {.k = k,
                               .a = a,
                               .lda = lda,
                               .b = b,
                               .c = c,
                               .ldc = ldc,
                               .columns = columns,
                               .bias = round & 2 ? bias : NULL,
                               .floor = round & 4 ? 0 : -INFINITY,
                               .accumulate = (round & 8) != 0,
                               .ldb = packed ? NORN_GEMM_PANEL : wide + 3,
                               .b_panel = packed ? k * NORN_GEMM_PANEL : NORN_GEMM_PANEL};
        for (int64_t i = 0; i < row->rows * lda; i++) a[i] = random_float(1);
        for (int64_t i = 0; i < wide * most_k * 2; i++) b[i] = random_float(1);
        for (int64_t i = 0; i < wide; i++) bias[i] = random_float(1);
        for (int64_t i = 0; i < row->rows * ldc + GUARD; i++) before[i] = c[i] = random_float(1);
        row->fn(&tile);
        for (int64_t i = 0; i < row->rows * ldc + GUARD; i++) {
            int64_t r = i / ldc, j = i % ldc;
            double want = (double)before[i], slack = 0;
            if (r < row->rows && j < columns) {
                want = tile.accumulate ? want : 0;
                for (int64_t p = 0; p < k; p++)
                    want += (double)a[r * lda + p] *
                            (double)b[j / 16 * tile.b_panel + p * tile.ldb + j % 16];
                if (tile.bias) want += (double)bias[j];
                if (want < (double)tile.floor) want = (double)tile.floor;
                slack = 1e-5;
            }
            checks++;
            if (!(fabs((double)c[i] - want) <= slack))
                fail("%s k %d columns %d round %d: C[%d, %d] is %g, not %g", row->name, (int)k,
                     (int)columns, round, (int)r, (int)j, (double)c[i], want);
        }
    }
    free(a), free(b), free(bias), free(c), free(before);
}

static void check_gram(norn_isa isa) {
    static float x[40 * 300], gram[40 * 40 + GUARD];
    norn_gram_fn fn = norn_gram_f32_of(isa);
    for (int round = 0; round < 120; round++) {
        int64_t count = 1 + random_below(39),
                dim = round % 3 ? 1 + random_below(40) : 8 * (1 + random_below(20));
        const float *rows[40];
        for (int64_t i = 0; i < count * dim; i++) x[i] = random_float(1);
        for (int64_t i = 0; i < count; i++) rows[i] = x + i * dim;
        for (int64_t i = 0; i < count * count + GUARD; i++) gram[i] = CANARY;
        fn(count, dim, rows, gram, count);
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j <= i; j++) {
                double want = 0;
                for (int64_t p = 0; p < dim; p++) want += (double)rows[i][p] * (double)rows[j][p];
                checks++;
                if (!(fabs((double)gram[i * count + j] - want) <= 1e-6 * (double)(dim + 8)))
                    fail("%s gram of %d x %d at %d, %d: %g, not %g", norn_isa_name(isa), (int)count,
                         (int)dim, (int)i, (int)j, (double)gram[i * count + j], want);
            }
        for (int64_t i = count * count; i < count * count + GUARD; i++)
            if (gram[i] != CANARY) fail("%s gram writes past its end", norn_isa_name(isa));
    }
}

static void check_thin(norn_isa isa) {
    static float a[40 * 310], w[310], out[40 + GUARD];
    norn_thin_fn fn = norn_thin_f32_of(isa);
    for (int round = 0; round < 300; round++) {
        int64_t rows = random_below(40), k = random_below(300), lda = k + random_below(10);
        for (int64_t i = 0; i < rows * lda; i++) a[i] = random_float(1);
        for (int64_t i = 0; i < k; i++) w[i] = random_float(1);
        for (int64_t i = 0; i < rows + GUARD; i++) out[i] = CANARY;
        fn(rows, k, a, lda, w, out);
        for (int64_t i = 0; i < rows; i++) {
            double want = 0;
            for (int64_t p = 0; p < k; p++) want += (double)a[i * lda + p] * (double)w[p];
            checks++;
            if (!(fabs((double)out[i] - want) <= 1e-6 * (double)(k + 8)))
                fail("%s thin %d x %d at %d: %g, not %g", norn_isa_name(isa), (int)rows, (int)k,
                     (int)i, (double)out[i], want);
        }
        for (int64_t i = rows; i < rows + GUARD; i++)
            if (out[i] != CANARY) fail("%s thin writes past its end", norn_isa_name(isa));
    }
}

static void check_reduce(norn_isa isa) {
    static float x[5000], y[5000];
    const norn_reduce_f32 *reduce = norn_reduce_f32_of(isa);
    for (int round = 0; round < 200; round++) {
        int64_t n = round < 80 ? round + 1 : 1 + random_below(4999);
        double sum = 0, squares = 0, dot = 0;
        float max = -INFINITY, min = INFINITY;
        for (int64_t i = 0; i < n; i++) {
            x[i] = random_float(1), y[i] = random_float(1);
            sum += (double)x[i], dot += (double)x[i] * (double)y[i];
            squares += ((double)x[i] - 0.25) * ((double)x[i] - 0.25);
            max = fmaxf(max, x[i]), min = fminf(min, x[i]);
        }
        double slack = 1e-6 * (1 + sqrt((double)n));
        checks += 5;
        if (fabs(reduce->sum(x, n) - sum) > slack || fabs(reduce->dot(x, y, n) - dot) > slack ||
            fabs(reduce->sum_squares(x, 0.25f, n) - squares) > slack * 8)
            fail("%s sum of %d", norn_isa_name(isa), (int)n);
        if (reduce->max(x, n) != max || reduce->min(x, n) != min)
            fail("%s extremes of %d", norn_isa_name(isa), (int)n);
        x[random_below(n)] = NAN;
        if (!isnan((double)reduce->max(x, n)) || !isnan((double)reduce->min(x, n)))
            fail("%s extremes of %d lose a NaN", norn_isa_name(isa), (int)n);
    }
}

/// Bags of rows that lie anywhere, some of them missing; every variant adds in the same order.
static void check_pool(norn_isa isa) {
    enum { ROWS = 9, WIDEST = 200 };
    static float data[ROWS][WIDEST], weights[ROWS], out[WIDEST + GUARD], wanted[WIDEST];
    const norn_pool_f32_fn pool = norn_pool_f32_of(isa);
    for (int round = 0; round < 2000; round++) {
        const int64_t dim = 1 + random_below(WIDEST), count = random_below(ROWS + 1);
        const bool adds = random_below(2), weighs = random_below(2);
        const void *rows[ROWS];
        for (int64_t r = 0; r < ROWS; r++) {
            rows[r] = random_below(5) ? data[r] : NULL;
            weights[r] = random_float(2);
            for (int64_t i = 0; i < dim; i++) data[r][i] = random_float(3);
        }
        for (int64_t i = 0; i < dim + GUARD; i++) out[i] = CANARY;
        for (int64_t i = 0; adds && i < dim; i++) out[i] = random_float(3);
        for (int64_t i = 0; i < dim; i++) {
            wanted[i] = adds || count == 0 ? out[i] : 0;
            for (int64_t r = 0; r < count; r++)
                if (rows[r]) wanted[i] += data[r][i] * (weighs ? weights[r] : 1);
        }
        pool(out, rows, weighs ? weights : NULL, count, dim, adds);
        checks++;
        for (int64_t i = 0; i < dim + GUARD; i++)
            if (out[i] != (i < dim ? wanted[i] : CANARY)) {
                fail("%s pool of %d rows of %d%s%s: element %d", norn_isa_name(isa), (int)count,
                     (int)dim, adds ? ", added" : "", weighs ? ", weighed" : "", (int)i);
                break;
            }
    }
}

int main(void) {
    norn_random_init(&rng, 20261122);
    for (int i = 0; i < NORN_ISA_COUNT; i++) {
        norn_isa isa = (norn_isa)i;
        if (isa > norn_isa_best()) {
            printf("%-7s not on this CPU: not checked\n", norn_isa_name(isa));
            continue;
        }
        int checks_before = checks, failures_before = failures;
        for (size_t row = 0; row < sizeof f32_cases / sizeof *f32_cases; row++) {
            double worst = 0;
            check_scalar_op(isa, row, &worst);
            if (worst > 0.5)
                printf("%-7s %-8s at most %.2f ulp\n", norn_isa_name(isa), f32_cases[row].name,
                       worst);
        }
        check_choices(isa);
        for (int32_t row = 0; row < norn_gemm_f32_row_count; row++)
            if (norn_gemm_f32_rows[row].isa == isa) check_gemm(&norn_gemm_f32_rows[row]);
        check_gram(isa);
        check_thin(isa);
        check_reduce(isa);
        check_pool(isa);
        printf("%-7s %d checks, %d failures\n", norn_isa_name(isa), checks - checks_before,
               failures - failures_before);
    }
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
