/// DLRM (26 tables of 128, 13-512-256-128, dot, 479-1024-1024-512-256-1) as the steps of a plan,
/// driven through the device vtable without the compiler: what the kernels alone take.
#include "check.h"
#include "tensor/view.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    TABLES = 26,
    DIM = 128,
    ROWS = 40000,
    STEPS = 10,
    MAX_BATCH = 16384,
    REPLAYS = 50,
    ROUNDS = 7
};

typedef struct step {
    const char *name;
    uint16_t op;
    norn_region region;
    norn_view in[4], out;
    bool constant[4];
    uint32_t in_count;
    const void *host[4];
    norn_kernel_fn kernel;
    void *state;
    norn_span code;
} step;

/// One block of scratch for every step: a capture must not allocate.
static void *shared_scratch;

static norn_status take_scratch(norn_call *call, size_t bytes, void **out) {
    (void)call, (void)bytes;
    *out = shared_scratch;
    return NORN_OK;
}
static const norn_call_host scratch_host = {.scratch = take_scratch};

typedef struct dlrm {
    step steps[STEPS];
    uint32_t count;
    norn_lookup_column columns[TABLES];
    norn_table_binding tables[TABLES];
    norn_table_view *views;
    norn_precision precision;
} dlrm;

static void die(const char *what) {
    printf("FAIL dlrm: %s: %s\n", what, norn_message());
    exit(1);
}

static void *on_device(checker *k, const void *host, size_t bytes) {
    void *memory;
    if (k->device->ops->memory_create(k->device, NORN_MEMORY_DEVICE, bytes, &memory) != NORN_OK)
        die("memory");
    if (host && k->device->ops->copy(k->device, NULL, memory, host, bytes) != NORN_OK) die("copy");
    return memory;
}

static float *random_floats(checker *k, int64_t count, double scale) {
    float *at = malloc((size_t)count * sizeof *at);
    for (int64_t i = 0; i < count; i++) at[i] = (float)(check_uniform(k) * scale);
    return at;
}

static norn_view activation(checker *k, int64_t width) {
    const int64_t dims[] = {MAX_BATCH, width};
    return norn_view_of(NORN_F32, 2, dims, on_device(k, NULL, (size_t)(MAX_BATCH * width) * 4));
}

static void add_constant(checker *k, step *s, int32_t rank, const int64_t *dims, double scale) {
    norn_view view = norn_view_of(NORN_F32, rank, dims, NULL);
    int64_t count = norn_view_elems(&view);
    float *host = random_floats(k, count, scale);
    view.data = on_device(k, host, (size_t)count * 4);
    s->host[s->in_count] = host;
    s->constant[s->in_count] = true;
    s->in[s->in_count++] = view;
}

static norn_view add_linear(checker *k, dlrm *d, const char *name, norn_view in, int64_t n,
                            bool relu) {
    step *s = &d->steps[d->count++];
    int64_t width = in.dims[1];
    const int64_t dims[] = {n, width};
    *s = (step){
        .name = name, .op = NORN_OP_GemmRegion, .in = {in}, .in_count = 1, .out = activation(k, n)};
    s->region.gemm = (norn_gemm_region){.k = width,
                                        .n = n,
                                        .b_layout = NORN_GEMM_COLUMNS,
                                        .epilogue = check_linear_epilogue(true, relu)};
    add_constant(k, s, 2, dims, sqrt(3.0 / (double)width));
    add_constant(k, s, 1, &n, 0.1);
    return s->out;
}

static norn_view add_lookup(checker *k, dlrm *d) {
    step *s = &d->steps[d->count++];
    int64_t *keys = malloc(MAX_BATCH * TABLES * sizeof *keys);
    for (int64_t i = 0; i < MAX_BATCH * TABLES; i++) keys[i] = check_below(k, ROWS);
    const int64_t dims[] = {MAX_BATCH, TABLES};
    *s = (step){
        .name = "lookup", .op = NORN_OP_Lookup, .in_count = 1, .out = activation(k, TABLES * DIM)};
    s->in[0] =
        norn_view_of(NORN_I64, 2, dims, on_device(k, keys, MAX_BATCH * TABLES * sizeof *keys));
    float *rows = random_floats(k, (int64_t)ROWS * DIM, 0.3);
    for (uint32_t t = 0; t < TABLES; t++) {
        norn_table_binding host = {.name = "t",
                                   .dtype = NORN_F32,
                                   .dim = DIM,
                                   .view = {.kind = NORN_TABLE_DENSE,
                                            .missing = NORN_MISSING_ERROR,
                                            .row_count = ROWS,
                                            .row_bytes = DIM * 4,
                                            .dense = {rows}}};
        if (k->device->ops->table_bind(k->device, &host, &d->tables[t]) != NORN_OK) die("table");
        d->columns[t] = (norn_lookup_column){.table = t,
                                             .dim = DIM,
                                             .form = NORN_KEYS_ONE,
                                             .rows_input = NORN_NO_INPUT,
                                             .offsets_input = NORN_NO_INPUT,
                                             .weights_input = NORN_NO_INPUT,
                                             .keys_first = t,
                                             .keys_stride = TABLES,
                                             .keys_count = 1,
                                             .column = t * DIM};
    }
    if (check_views(k, d->tables, TABLES, &d->views) != NORN_OK) die("tables");
    s->region.lookup = (norn_lookup_region){TABLES, d->columns};
    free(rows);
    free(keys);
    return s->out;
}

static norn_view add_interaction(checker *k, dlrm *d, norn_view dense, norn_view rows) {
    step *s = &d->steps[d->count++];
    *s = (step){.name = "interaction",
                .op = NORN_OP_Interaction,
                .in = {dense, rows},
                .in_count = 2,
                .out = activation(k, DIM + 27 * 26 / 2)};
    s->region.interaction = (norn_interaction_region){.kind = NORN_INTERACTION_DOT,
                                                      .features = 27,
                                                      .dim = DIM,
                                                      .part_count = 2,
                                                      .pass_input = 0,
                                                      .pass_through = DIM};
    return s->out;
}

static void build(checker *k, dlrm *d) {
    const int64_t dims[] = {MAX_BATCH, 13};
    float *dense = random_floats(k, MAX_BATCH * 13, 1);
    norn_view x = norn_view_of(NORN_F32, 2, dims, on_device(k, dense, MAX_BATCH * 13 * 4));
    free(dense);
    x = add_linear(k, d, "bottom 13-512", x, 512, true);
    x = add_linear(k, d, "bottom 512-256", x, 256, true);
    x = add_linear(k, d, "bottom 256-128", x, 128, true);
    x = add_interaction(k, d, x, add_lookup(k, d));
    x = add_linear(k, d, "top 479-1024", x, 1024, true);
    x = add_linear(k, d, "top 1024-1024", x, 1024, true);
    x = add_linear(k, d, "top 1024-512", x, 512, true);
    x = add_linear(k, d, "top 512-256", x, 256, true);
    add_linear(k, d, "top 256-1", x, 1, false);
}

static norn_step_spec spec_of(const dlrm *d, const step *s, norn_view *in) {
    for (uint32_t i = 0; i < s->in_count; i++) {
        in[i] = s->in[i];
        in[i].data = (void *)(uintptr_t)s->host[i];
    }
    return (norn_step_spec){.name = s->name,
                            .op = s->op,
                            .region = &s->region,
                            .in = in,
                            .out = &s->out,
                            .in_count = s->in_count,
                            .out_count = 1,
                            .code = s->code,
                            .numbers = {NORN_F32, NORN_F32, NORN_F32, NORN_F32,
                                        .tf32 = d->precision == NORN_PRECISION_TF32}};
}

static void prepare(checker *k, dlrm *d) {
    for (uint32_t i = 0; i < d->count; i++) {
        norn_view in[4];
        norn_step_spec spec = spec_of(d, &d->steps[i], in);
        d->steps[i].kernel = norn_target_kernel(&k->device->target, &spec);
        if (!d->steps[i].kernel) die(d->steps[i].name);
        if (k->device->ops->prepare(k->device, &spec, &d->steps[i].state) != NORN_OK)
            die(d->steps[i].name);
    }
}

static void launch(checker *k, dlrm *d, uint32_t index, int64_t batch) {
    step *s = &d->steps[index];
    norn_view in[4], out = s->out;
    memcpy(in, s->in, sizeof in);
    out.dims[0] = batch;
    for (uint32_t i = 0; i < s->in_count; i++)
        if (!s->constant[i]) in[i].dims[0] = batch;
    norn_call call = {.name = s->name,
                      .op = s->op,
                      .region = &s->region,
                      .in = in,
                      .in_count = s->in_count,
                      .out = &out,
                      .out_count = 1,
                      .stream = k->stream,
                      .state = s->state,
                      .tables = d->tables,
                      .views = d->views,
                      .table_count = TABLES,
                      .host = &scratch_host};
    if (s->kernel(&call) != NORN_OK) die(s->name);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/// Median over rounds of the mean time of back-to-back replays, in microseconds. Steps [from, to),
/// `times` over.
static double time_steps(checker *k, dlrm *d, uint32_t from, uint32_t to, int times,
                         int64_t batch) {
    const norn_device_ops *ops = k->device->ops;
    double us[ROUNDS];
    norn_capture *graph;
    norn_event *begin, *end;
    for (uint32_t i = from; i < to; i++)
        launch(k, d, i, batch); // loads every kernel before the capture
    if (ops->stream_wait(k->device, k->stream) != NORN_OK) die("first run");
    if (ops->capture_begin(k->device, k->stream) != NORN_OK) die("capture");
    for (int t = 0; t < times; t++)
        for (uint32_t i = from; i < to; i++) launch(k, d, i, batch);
    if (ops->capture_end(k->device, k->stream, &graph) != NORN_OK) die("capture");
    if (ops->event_create(k->device, &begin) != NORN_OK ||
        ops->event_create(k->device, &end) != NORN_OK)
        die("events");
    for (int r = -1; r < ROUNDS; r++) {
        int64_t ns;
        if (ops->event_record(k->device, begin, k->stream) != NORN_OK) die("event");
        for (int i = 0; i < REPLAYS; i++)
            if (ops->capture_launch(k->device, graph, k->stream) != NORN_OK) die("replay");
        if (ops->event_record(k->device, end, k->stream) != NORN_OK) die("event");
        if (ops->stream_wait(k->device, k->stream) != NORN_OK) die("replay");
        if (ops->event_elapsed_ns(k->device, begin, end, &ns) != NORN_OK) die("event");
        if (r >= 0) us[r] = (double)ns / 1e3 / REPLAYS / times;
    }
    ops->event_destroy(k->device, begin);
    ops->event_destroy(k->device, end);
    ops->capture_destroy(k->device, graph);
    qsort(us, ROUNDS, sizeof *us, by_value);
    return us[ROUNDS / 2];
}

int check_dlrm(checker *k, norn_precision precision) {
    static const int64_t batches[] = {1, 64, 256, 1024, 4096, 16384};
    dlrm *d = calloc(1, sizeof *d);
    d->precision = precision;
    shared_scratch = on_device(k, NULL, (size_t)MAX_BATCH * 512 * 4);
    build(k, d);
    prepare(k, d);
    printf("DLRM %s, us     ", precision == NORN_PRECISION_TF32 ? "tf32" : "fp32");
    for (size_t b = 0; b < 6; b++) printf("%9lld", (long long)batches[b]);
    printf("\nwhole graph      ");
    for (size_t b = 0; b < 6; b++) printf("%9.1f", time_steps(k, d, 0, d->count, 1, batches[b]));
    for (uint32_t i = 0; i < d->count; i++) {
        printf("\n  %-15s", d->steps[i].name);
        for (size_t b = 0; b < 6; b++) printf("%9.1f", time_steps(k, d, i, i + 1, 8, batches[b]));
    }
    printf("\n");
    return 0;
}
