/// Which way is fastest at each number of rows: timed while
/// preparing, on buffers of the real sizes.
///
/// Ways are replayed from a captured graph, because the host takes longer to launch a thin product
/// than the device to compute it.
#include "base/log.h"
#include "cuda/gemm/gemm.h"
#include "tensor/dtype.h"

#include <math.h>
#include <stdlib.h>

enum { LT_MOST = 6, CANDIDATE_MOST = 20, LAUNCHES = 8, REPLAYS = 3 };
#define POINTWISE_US 1.5f         // what one more small kernel in a graph costs
#define POINTWISE_BYTES_US 2.0e6f // and what it moves

static const int64_t row_counts[] = {1,   2,    4,    8,    16,   32,    64,    128,   256,
                                     512, 1024, 2048, 4096, 8192, 16384, 65536, 262144};

typedef struct gemm_bench {
    norn_cuda_gemm_state *state;
    norn_stream *stream;
    float *a, *b, *d, *bias, *padded, *crossed;
    cudaEvent_t from, to;
} gemm_bench;

static void bench_deinit(gemm_bench *bench) {
    if (bench->from) (void)cudaEventDestroy(bench->from);
    if (bench->to) (void)cudaEventDestroy(bench->to);
    (void)cudaFree(bench->a);
    (void)cudaFree(bench->b);
    (void)cudaFree(bench->d);
    (void)cudaFree(bench->bias);
    (void)cudaFree(bench->padded);
    (void)cudaFree(bench->crossed);
    norn_cuda_stream_destroy(&bench->state->device->base, bench->stream);
}

/// Device memory of small numbers: zeros would flatter.
static norn_status floats(int64_t count, float **out) {
    NORN_CUDA_TRY(cudaMalloc((void **)out, (size_t)count * sizeof(float)));
    NORN_CUDA_TRY(cudaMemset(*out, 0x3c, (size_t)count * sizeof(float)));
    return NORN_OK;
}

static norn_status bench_init(gemm_bench *bench, int64_t m, int64_t n, int64_t k) {
    NORN_TRY(norn_cuda_stream_create(&bench->state->device->base, NULL, &bench->stream));
    NORN_TRY(floats(m * k, &bench->a));
    NORN_TRY(floats(n * k, &bench->b));
    NORN_TRY(floats(m * n, &bench->d));
    NORN_TRY(floats(n, &bench->bias));
    if (bench->state->packed_k > k) NORN_TRY(floats(m * bench->state->packed_k, &bench->padded));
    if (bench->state->epilogue.crosses) NORN_TRY(floats(m * n, &bench->crossed));
    NORN_CUDA_TRY(cudaEventCreate(&bench->from));
    NORN_CUDA_TRY(cudaEventCreate(&bench->to));
    return NORN_OK;
}

static norn_status capture(gemm_bench *bench, const norn_cuda_product *product,
                           const norn_cuda_gemm_choice *choice, norn_capture **out) {
    norn_device *device = &bench->state->device->base;
    norn_status status = NORN_OK;
    NORN_TRY(norn_cuda_capture_begin(device, bench->stream));
    for (int i = 0; i < LAUNCHES && status == NORN_OK; i++)
        status = norn_cuda_gemm_run(bench->state, product, choice, bench->padded, bench->stream);
    // Always, or the stream stays captured.
    norn_status ended = norn_cuda_capture_end(device, bench->stream, out);
    return status == NORN_OK ? ended : status;
}

static norn_status replay(gemm_bench *bench, norn_capture *graph, float *us) {
    norn_device *device = &bench->state->device->base;
    float best = INFINITY;
    for (int i = 0; i < REPLAYS; i++) {
        float ms = 0;
        NORN_CUDA_TRY(cudaEventRecord(bench->from, bench->stream->handle));
        NORN_TRY(norn_cuda_capture_launch(device, graph, bench->stream));
        NORN_CUDA_TRY(cudaEventRecord(bench->to, bench->stream->handle));
        NORN_CUDA_TRY(cudaEventSynchronize(bench->to));
        NORN_CUDA_TRY(cudaEventElapsedTime(&ms, bench->from, bench->to));
        if (i > 0 && ms < best) best = ms; // the first warms up
    }
    *us = best * 1000.0f / LAUNCHES;
    return NORN_OK;
}

/// A way that fails is not a candidate; that is no error.
static norn_status time_choice(gemm_bench *bench, const norn_cuda_product *product,
                               norn_cuda_gemm_choice *choice) {
    norn_capture *graph = NULL;
    choice->us = INFINITY;
    norn_status status = capture(bench, product, choice, &graph);
    if (status == NORN_OK) status = replay(bench, graph, &choice->us);
    norn_cuda_capture_destroy(&bench->state->device->base, graph);
    return status;
}

bool norn_cuda_gemm_tiles(const norn_cuda_gemm_state *state, int64_t n, int64_t k) {
    const bool cores = state->numbers.tf32 || norn_dtype_is_half(state->numbers.a);
    return cores && state->device->sm == 90 && n >= 32 && k >= 64;
}

bool norn_cuda_gemm_suits(const norn_cuda_gemm_state *state, const norn_cuda_gemm_key *key,
                          const norn_cuda_gemm_choice *choice) {
    const int32_t split = choice->split, groups = choice->groups;
    const bool f32 = state->numbers.a == NORN_F32, narrows = f32 && state->numbers.out != NORN_F32;
    switch (choice->way) {
    case NORN_CUDA_GEMM_LT:
        return true;
    case NORN_CUDA_GEMM_PADDED:
        return state->packed && choice->algorithm_known;
    case NORN_CUDA_GEMM_DOT:
        return state->packed && (key->n == 1 || choice->m <= 16);
    case NORN_CUDA_GEMM_THIN_K:
        return f32 && state->packed && key->k <= 32 && key->n % 4 == 0 && !key->crosses;
    case NORN_CUDA_GEMM_SKINNY:
        return state->packed && state->numbers.tf32 && !narrows && !key->crosses &&
               choice->m <= 512 && (groups == 1 || groups == 2) &&
               (split == 1 || split == 2 || split == 4 || split == 8) &&
               key->n % (groups * 16) == 0 &&
               state->packed_k >= split * 64; // a chunk for every warp of the cluster
    case NORN_CUDA_GEMM_TILE:
        // A cross layer that cuBLASLt begins is written twice and read once more.
        return state->panels && !narrows && choice->m <= (key->crosses ? 16384 : 512) &&
               (groups == 2 || groups == 4) &&
               (split == 1 || split == 2 || split == 4 || split == 8) &&
               (key->n + 31) / 32 * 32 % (groups * 16) == 0 &&
               key->k * (int64_t)norn_cuda_gemm_elem_bytes(state) >
                   (split - 1) * 256; // a stage for every block
    }
    return false;
}

/// Timing takes a load's time: a tile is not tried for few rows, nor in many more blocks than the
/// chip has multiprocessors when fewer would do.
static bool worth_a_try(const norn_cuda_gemm_key *key, const norn_cuda_gemm_choice *choice) {
    if (choice->way != NORN_CUDA_GEMM_TILE) return true;
    const int64_t blocks =
        (key->n + 31) / 32 * 2 / choice->groups * ((choice->m + 63) / 64) * choice->split;
    return choice->m > 16 && (choice->split == 1 || blocks <= 288);
}

static int list_own(const norn_cuda_gemm_state *state, const norn_cuda_gemm_key *key, int64_t m,
                    norn_cuda_gemm_choice *list) {
    static const norn_cuda_gemm_choice own[] = {
        {.way = NORN_CUDA_GEMM_DOT},
        {.way = NORN_CUDA_GEMM_THIN_K},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 1, .groups = 1},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 2, .groups = 1},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 4, .groups = 1},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 8, .groups = 1},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 1, .groups = 2},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 2, .groups = 2},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 4, .groups = 2},
        {.way = NORN_CUDA_GEMM_SKINNY, .split = 8, .groups = 2},
        {.way = NORN_CUDA_GEMM_TILE, .split = 1, .groups = 2},
        {.way = NORN_CUDA_GEMM_TILE, .split = 2, .groups = 2},
        {.way = NORN_CUDA_GEMM_TILE, .split = 4, .groups = 2},
        {.way = NORN_CUDA_GEMM_TILE, .split = 8, .groups = 2},
        {.way = NORN_CUDA_GEMM_TILE, .split = 1, .groups = 4},
        {.way = NORN_CUDA_GEMM_TILE, .split = 2, .groups = 4},
        {.way = NORN_CUDA_GEMM_TILE, .split = 4, .groups = 4},
        {.way = NORN_CUDA_GEMM_TILE, .split = 8, .groups = 4},
    };
    int count = 0;
    _Static_assert(sizeof own / sizeof *own <= CANDIDATE_MOST, "room for them");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        list[count] = own[i];
        list[count].m = m;
        count += norn_cuda_gemm_suits(state, key, &list[count]) && worth_a_try(key, &list[count]);
    }
    return count;
}

/// What cuBLASLt offers for a product, appended to `list`.
static norn_status list_lt(const norn_cuda_gemm_state *state, const norn_cuda_product *p,
                           norn_cuda_gemm_way way, norn_cuda_gemm_choice *list, int *count) {
    cublasLtMatmulAlgo_t algorithms[LT_MOST];
    int found = 0;
    norn_status status = norn_cuda_lt_algorithms(state->device, p, LT_MOST, algorithms, &found);
    for (int i = 0; i < found; i++)
        list[(*count)++] = (norn_cuda_gemm_choice){
            .m = p->m, .way = way, .algorithm_known = true, .algorithm = algorithms[i]};
    return status;
}

bool norn_cuda_gemm_is_unaligned(const norn_cuda_gemm_state *state, int64_t k) {
    return k * (int64_t)norn_cuda_gemm_elem_bytes(state) % 16 != 0;
}

/// What a pointwise kernel that ends the product reads and writes.
static float ending_bytes(const norn_cuda_gemm_state *state, const norn_cuda_product *p) {
    const uint32_t operands = norn_dtype_bits(p->dtype) / 8 * (state->epilogue.crosses ? 2 : 0);
    return (float)(p->m * p->n) * (float)(4 + operands + norn_dtype_bits(p->out) / 8);
}

static norn_status tune_rows(gemm_bench *bench, const norn_cuda_gemm_key *key,
                             const norn_cuda_product *product, norn_cuda_gemm_choice *best) {
    norn_cuda_gemm_choice list[CANDIDATE_MOST + 2 * LT_MOST] = {0};
    int count = list_own(bench->state, key, product->m, list);
    const bool pays = bench->state->epilogue.ending == NORN_CUDA_ENDING_OWN;
    norn_cuda_product lt = *product;
    if (pays) lt.out = NORN_F32, lt.bias = NULL, lt.activation = NORN_CUDA_LINEAR;
    const float pointwise_us =
        POINTWISE_US + ending_bytes(bench->state, product) / POINTWISE_BYTES_US;
    norn_status status = list_lt(bench->state, &lt, NORN_CUDA_GEMM_LT, list, &count);
    if (bench->padded && norn_cuda_gemm_is_unaligned(bench->state, product->k) &&
        product->m >= 64) {
        norn_cuda_product padded = norn_cuda_gemm_padded(bench->state, &lt, bench->padded);
        // One way more, or none.
        (void)list_lt(bench->state, &padded, NORN_CUDA_GEMM_PADDED, list, &count);
    }
    if (count == 0) return status;
    best->us = INFINITY;
    for (int i = 0; i < count; i++) {
        const bool by_lt = norn_cuda_gemm_is_lt(product, &list[i]);
        if (time_choice(bench, by_lt ? &lt : product, &list[i]) != NORN_OK) continue;
        if (pays && by_lt) list[i].us += pointwise_us;
        if (list[i].us < best->us) *best = list[i];
    }
    return isinf(best->us) ? norn_fail(NORN_INTERNAL, "no way computes this product") : NORN_OK;
}

static const char *way_name(norn_cuda_gemm_way way) {
    switch (way) {
    case NORN_CUDA_GEMM_LT:
        return "cublasLt";
    case NORN_CUDA_GEMM_PADDED:
        return "padded cublasLt";
    case NORN_CUDA_GEMM_DOT:
        return "dot";
    case NORN_CUDA_GEMM_THIN_K:
        return "thin-k";
    case NORN_CUDA_GEMM_SKINNY:
        return "skinny";
    case NORN_CUDA_GEMM_TILE:
        return "tile";
    }
    return "?";
}

static norn_status time_all(norn_cuda_gemm_state *state, const norn_cuda_gemm_key *key) {
    const int64_t max_m = key->max_m, n = key->n, k = key->k;
    const bool b_transposed = key->b_transposed;
    // A half result that a pointwise kernel ends begins with float32 sums (gemm_region.c).
    const bool pointwise = state->epilogue.ending == NORN_CUDA_ENDING_POINTWISE;
    const norn_dtype out = pointwise ? NORN_F32 : state->numbers.out;
    gemm_bench bench = {.state = state};
    norn_status status;
    NORN_TRY_DONE(bench_init(&bench, max_m, n, k));
    for (size_t i = 0;
         i < sizeof row_counts / sizeof *row_counts && state->choice_count < NORN_CUDA_GEMM_CHOICES;
         i++) {
        int64_t m = row_counts[i] < max_m ? row_counts[i] : max_m;
        norn_cuda_product product = {.m = m,
                                     .n = n,
                                     .k = k,
                                     .dtype = state->numbers.a,
                                     .out = out,
                                     .a = bench.a,
                                     .b = bench.b,
                                     .d = bench.d,
                                     .lda = k,
                                     .ldb = b_transposed ? k : n,
                                     .ldd = n,
                                     .b_transposed = b_transposed,
                                     .bias = state->epilogue.has_bias ? bench.bias : NULL,
                                     .activation = state->epilogue.activation,
                                     .times = bench.crossed,
                                     .plus = bench.crossed,
                                     .tf32 = state->numbers.tf32,
                                     .batches = 1};
        norn_cuda_gemm_choice *choice = &state->choices[state->choice_count];
        NORN_TRY_DONE(tune_rows(&bench, key, &product, choice));
        state->choice_count++;
        norn_log(NORN_LOG_DEBUG, "cuda: gemm %lld x %lld x %lld: %s split %d groups %d, %.2f us",
                 (long long)m, (long long)n, (long long)k, way_name(choice->way),
                 (int)choice->split, (int)choice->groups, (double)choice->us);
        if (m == max_m) break;
    }
done:
    bench_deinit(&bench);
    return status;
}

norn_status norn_cuda_gemm_tune(norn_cuda_gemm_state *state, int64_t max_m, int64_t n, int64_t k,
                                bool b_transposed) {
    const norn_cuda_gemm_key key = {.max_m = max_m,
                                    .n = n,
                                    .k = k,
                                    .b_transposed = b_transposed,
                                    .packed = state->packed != NULL,
                                    .tf32 = state->numbers.tf32,
                                    .has_bias = state->epilogue.has_bias,
                                    .activation = (uint8_t)state->epilogue.activation,
                                    .ending = (uint8_t)state->epilogue.ending,
                                    .dtype = (uint8_t)state->numbers.a,
                                    .out = (uint8_t)state->numbers.out,
                                    .crosses = state->epilogue.crosses};
    if (norn_cuda_gemm_recall(state, &key)) return NORN_OK;
    NORN_TRY(time_all(state, &key));
    return norn_cuda_gemm_remember(state, &key);
}
