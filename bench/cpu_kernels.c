// norn_bench_cpu: the CPU kernels by themselves. Products in GFLOP/s beside the FMA peak that this
// machine shows in the same run; the others in microseconds and GB/s.
//
//     norn_bench_cpu [THREADS] [FILTER]
#include "base/hash.h"
#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/isa.h"
#include "cpu/kernels/gemm_f32.h"
#include "cpu/micro/gram_f32.h"
#include "cpu/micro/tile_op.h"
#include "fma_peak.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static norn_random rng;
static bool alone = true;

static float *random_floats(int64_t count) {
    void *memory;
    if (norn_alloc_bytes(norn_alloc_heap(), (size_t)count * sizeof(float), &memory) != NORN_OK)
        abort();
    float *x = memory;
    for (int64_t i = 0; i < count; i++) x[i] = (float)(norn_random_unit(&rng) * 2 - 1);
    return x;
}

/// Alone, a thread counts its own time, so that other work on the machine does not show.
static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/// Best of several: the machine may have other work.
typedef void (*bench_fn)(void *context);
static double best_seconds(bench_fn fn, void *context) {
    double best = INFINITY;
    int64_t spent = 0;
    fn(context);
    for (int round = 0; round < 2000 && (round < 5 || spent < 200000000); round++) {
        int64_t begin = now_ns();
        fn(context);
        int64_t taken = now_ns() - begin;
        spent += taken;
        if ((double)taken * 1e-9 < best) best = (double)taken * 1e-9;
    }
    return best;
}

static double peak_flops(void) {
    double best = 0;
    for (int i = 0; i < 20; i++) {
        int64_t begin = now_ns(), work;
        switch (norn_isa_get()) {
#if defined(__x86_64__)
        case NORN_ISA_AVX512:
            work = norn_fma_peak__avx512(1 << 18);
            break;
        case NORN_ISA_AVX2:
            work = norn_fma_peak__avx2(1 << 18);
            break;
#else
        case NORN_ISA_AVX512:
        case NORN_ISA_AVX2:
#endif
        case NORN_ISA_SCALAR:
        case NORN_ISA_COUNT:
        default:
            work = norn_fma_peak__scalar(1 << 16);
            break;
        }
        double rate = (double)work / (double)(now_ns() - begin);
        if (rate > best) best = rate;
    }
    return best;
}

typedef struct gemm_case {
    norn_gemm_f32 gemm;
    norn_pool *pool;
} gemm_case;

static void run_gemm(void *context) {
    gemm_case *c = context;
    norn_gemm_f32_run(&c->gemm, c->pool);
}

static void bench_gemm(int64_t m, int64_t n, int64_t k, norn_pool *pool, double peak) {
    float *a = random_floats(m * k), *b = random_floats(norn_gemm_packed_elems(k, n));
    float *c = random_floats(m * n), *bias = random_floats(n);
    gemm_case it = {.pool = pool,
                    .gemm = {.m = m,
                             .n = n,
                             .k = k,
                             .a = a,
                             .lda = k,
                             .b = b,
                             .ldb = NORN_GEMM_PANEL,
                             .b_panel = k * NORN_GEMM_PANEL,
                             .c = c,
                             .ldc = n,
                             .bias = bias,
                             .floor = 0}};
    double seconds = best_seconds(run_gemm, &it), flops = 2.0 * (double)m * (double)n * (double)k;
    int32_t threads = pool ? norn_pool_threads(pool) : 1;
    double bytes = 4.0 * (double)(m * k + k * n + m * n);
    printf("gemm %5d x %5d x %5d  %10.2f us  %7.1f GFLOP/s  %5.1f %% of peak  %6.1f GB/s\n", (int)m,
           (int)n, (int)k, seconds * 1e6, flops / seconds * 1e-9,
           100 * flops / seconds * 1e-9 / (peak * threads), bytes / seconds * 1e-9);
    norn_free(norn_alloc_heap(), a), norn_free(norn_alloc_heap(), b);
    norn_free(norn_alloc_heap(), c), norn_free(norn_alloc_heap(), bias);
}

typedef struct op_case {
    norn_tile_fn fn;
    float *x, *y;
    int64_t n;
} op_case;

static void run_op(void *context) {
    op_case *c = context;
    const norn_tile_operand in[3] = {{c->x, 1}, {c->x, 1}, {c->x, 1}};
    for (int i = 0; i < 100; i++) c->fn(c->y, in, c->n);
}

static void bench_op(const char *name, norn_scalar_op op) {
    op_case it = {.fn = norn_tile_op(norn_isa_get(), op, NORN_F32, NORN_F32), .n = 1024};
    it.x = random_floats(it.n), it.y = random_floats(it.n);
    double seconds = best_seconds(run_op, &it) / 100;
    printf("op %-8s %7.3f ns an element\n", name, seconds * 1e9 / (double)it.n);
    norn_free(norn_alloc_heap(), it.x), norn_free(norn_alloc_heap(), it.y);
}

typedef struct gram_case {
    norn_gram_fn fn;
    const float *rows[32];
    float gram[32 * 32];
    int64_t count, dim;
} gram_case;

static void run_gram(void *context) {
    gram_case *c = context;
    for (int i = 0; i < 100; i++) c->fn(c->count, c->dim, c->rows, c->gram, c->count);
}

static void bench_gram(int64_t count, int64_t dim, double peak) {
    gram_case it = {.fn = norn_gram_f32_of(norn_isa_get()), .count = count, .dim = dim};
    float *x = random_floats(count * dim);
    for (int64_t i = 0; i < count; i++) it.rows[i] = x + i * dim;
    double seconds = best_seconds(run_gram, &it) / 100;
    double flops = (double)(count * (count - 1) * dim);
    printf("dot-interaction %2d x %3d  %7.2f us a sample, %5.1f %% of peak\n", (int)count, (int)dim,
           seconds * 1e6, 100 * flops / seconds * 1e-9 / peak);
    norn_free(norn_alloc_heap(), x);
}

int main(int argc, char **argv) {
    static const int64_t layers[][2] = {{512, 13},    {256, 512},  {128, 256}, {1024, 479},
                                        {1024, 1024}, {512, 1024}, {256, 512}, {1, 256},
                                        {80, 144},    {40, 80}};
    static const int64_t batches[] = {1, 16, 64, 256, 1024};
    int32_t threads = argc > 1 ? atoi(argv[1]) : 1;
    const char *filter = argc > 2 ? argv[2] : "";
    norn_pool *pool = NULL;
    norn_random_init(&rng, 1);
    alone = threads <= 1;
    if (threads > 1 && norn_pool_create(threads, norn_alloc_heap(), &pool) != NORN_OK)
        return EXIT_FAILURE;
    double peak = peak_flops();
    printf("%s, %d threads, peak %.1f GFLOP/s a core\n", norn_isa_name(norn_isa_get()), threads,
           peak);
    if (!*filter || strcmp(filter, "gemm") == 0)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
            for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
                bench_gemm(batches[b], layers[i][0], layers[i][1], pool, peak);
    if (!*filter || strcmp(filter, "op") == 0) {
        bench_op("ADD", NORN_SCALAR_ADD);
        bench_op("EXP", NORN_SCALAR_EXP);
        bench_op("LOG", NORN_SCALAR_LOG);
        bench_op("TANH", NORN_SCALAR_TANH);
        bench_op("ERF", NORN_SCALAR_ERF);
        bench_op("SIGMOID", NORN_SCALAR_SIGMOID);
    }
    if (!*filter || strcmp(filter, "dot") == 0) {
        bench_gram(27, 128, peak);
        bench_gram(27, 16, peak);
    }
    norn_pool_destroy(pool);
    return EXIT_SUCCESS;
}
