/// usage: norn_cuda_session create PLAN...           time loading plans and creating their sessions
///        norn_cuda_session swap PLAN SECONDS        swap all tables while runs go on
///        norn_cuda_session devices MODEL COUNT      run on cuda:0 … cuda:COUNT-1 from threads that allocate nothing
///
/// What a kernel check cannot show of sessions on real GPUs. Ends in `ok` or a line that says what is wrong.
#include "base/clock.h"
#include "base/memory.h"
#include "cuda/backend.h"
#include "plan/plan.h"
#include "runtime/random_input.h"
#include "store/snapshot.h"
#include "tensor/view.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 256, TABLES_MAX = 256 };

// ---- one run on fixed inputs

typedef struct feed {
    norn_arena arena;
    norn_view *inputs;
    norn_view *outputs;
    size_t *room;
    size_t input_count, output_count;
} feed;

static norn_status feed_init(feed *f, const norn_plan *plan, norn_snapshot *tables, uint64_t seed) {
    const norn_random_inputs options = {.batch = BATCH, .seed = seed};
    int64_t *symbols;
    norn_arena_init(&f->arena, norn_alloc_heap(), 1 << 20);
    f->input_count = norn_plan_input_count(plan);
    f->output_count = norn_plan_output_count(plan);
    NORN_TRY(NORN_TAKE_ARRAY(&f->arena, f->input_count + 1, &f->inputs));
    NORN_TRY(NORN_TAKE_ARRAY(&f->arena, f->output_count + 1, &f->outputs));
    NORN_TRY(NORN_TAKE_ARRAY(&f->arena, f->output_count + 1, &f->room));
    NORN_TRY(norn_random_bind(plan, &options, NULL, &f->arena, &symbols));
    for (size_t i = 0; i < f->input_count; i++)
        NORN_TRY(norn_random_fill(plan, tables, symbols, i, seed, &f->arena, &f->inputs[i]));
    for (size_t i = 0; i < f->output_count; i++) {
        f->room[i] = 1 << 20;
        NORN_TRY(norn_arena_take(&f->arena, f->room[i], 1, 64, &f->outputs[i].data));
    }
    return NORN_OK;
}

static norn_status feed_run(feed *f, norn_session *session) {
    return norn_session_run(
        session,
        &(norn_run_args){.inputs = f->inputs, .outputs = f->outputs, .output_bytes = f->room});
}

/// Bit for bit.
static bool same_outputs(const feed *a, const feed *b) {
    for (size_t i = 0; i < a->output_count; i++) {
        size_t bytes = 0;
        if (norn_view_bytes(&a->outputs[i], &bytes) != NORN_OK ||
            !norn_view_same_shape(&a->outputs[i], &b->outputs[i]) ||
            memcmp(a->outputs[i].data, b->outputs[i].data, bytes) != 0)
            return false;
    }
    return true;
}

// ---- create

static double ms_since(int64_t from_ns) {
    return (double)(norn_clock_now_ns() - from_ns) / 1e6;
}

static norn_status create_one(const char *path) {
    norn_plan *plan = NULL;
    norn_session *session = NULL;
    feed f = {0};
    norn_status status;
    int64_t at = norn_clock_now_ns();
    NORN_TRY_DONE(norn_plan_load(path, norn_alloc_heap(), &plan));
    const double load_ms = ms_since(at);
    at = norn_clock_now_ns();
    NORN_TRY_DONE(norn_session_create(plan, NULL, norn_alloc_heap(), &session));
    const double create_ms = ms_since(at);
    NORN_TRY_DONE(feed_init(&f, plan, NULL, 1));
    at = norn_clock_now_ns();
    NORN_TRY_DONE(feed_run(&f, session));
    printf("%s: plan loaded in %.1f ms, session created in %.1f ms, first run %.1f ms\n", path,
           load_ms, create_ms, ms_since(at));
done:
    norn_session_destroy(session);
    norn_plan_release(plan);
    norn_arena_deinit(&f.arena);
    return status;
}

static norn_status create_all(int count, char **paths) {
    NORN_TRY(norn_cuda_status(cudaFree(NULL), "the CUDA context"));
    for (int i = 0; i < count; i++) NORN_TRY(create_one(paths[i]));
    return NORN_OK;
}

// ---- swap

typedef struct versioned {
    norn_snapshot base;
    norn_table_binding table[TABLES_MAX];
    uint32_t count;
} versioned;

static const norn_table_binding *find_table(const norn_snapshot *self, const char *name) {
    const versioned *v = (const versioned *)(const void *)self;
    for (uint32_t i = 0; i < v->count; i++)
        if (strcmp(v->table[i].name, name) == 0) return &v->table[i];
    return NULL;
}

static void destroy_versioned(norn_snapshot *self) {
    versioned *v = (versioned *)(void *)self;
    for (uint32_t i = 0; i < v->count; i++) free((void *)(uintptr_t)v->table[i].view.dense.rows);
    free(v);
}

/// Every table of the plan with rows of its own, drawn from `seed`.
static norn_snapshot *snapshot_of(const norn_plan *plan, uint32_t seed) {
    versioned *v = calloc(1, sizeof *v);
    uint32_t state = seed * 2654435761u + 1;
    v->base.find = find_table;
    v->base.destroy = destroy_versioned;
    atomic_init(&v->base.references, 1);
    v->count = plan->table_count < TABLES_MAX ? plan->table_count : TABLES_MAX;
    for (uint32_t t = 0; t < v->count; t++) {
        const norn_plan_table *table = &plan->tables[t];
        const int64_t elems = table->rows * table->dim;
        float *rows = malloc((size_t)elems * sizeof *rows);
        for (int64_t i = 0; i < elems; i++) {
            state = state * 1664525u + 1013904223u;
            rows[i] = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
        }
        v->table[t] = (norn_table_binding){.name = table->name,
                                           .dtype = NORN_F32,
                                           .dim = table->dim,
                                           .view = {.kind = NORN_TABLE_DENSE,
                                                    .missing = NORN_MISSING_ERROR,
                                                    .row_count = table->rows,
                                                    .row_bytes = table->dim * 4,
                                                    .dense = {rows}}};
    }
    return &v->base;
}

static norn_device_ops counted_ops;
static atomic_int captures;

static norn_status counted_capture(norn_device *device, norn_stream *stream, norn_capture **out) {
    atomic_fetch_add(&captures, 1);
    return norn_cuda_capture_end(device, stream, out);
}

/// The CUDA backend with its captures counted.
static norn_status open_counted(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    NORN_TRY(norn_backend_open(ordinal, alloc, out));
    counted_ops = *(*out)->ops;
    counted_ops.capture_end = counted_capture;
    (*out)->ops = &counted_ops;
    return NORN_OK;
}

typedef struct reader {
    norn_session *session;
    const norn_plan *plan;
    const feed *right; ///< two of them, by version
    atomic_bool *stop;
    pthread_t thread;
    int64_t runs, mixed;
    norn_status status;
    char message[256];
} reader;

static void *read_on(void *context) {
    reader *r = context;
    feed f = {0};
    r->status = feed_init(&f, r->plan, NULL, 7);
    while (r->status == NORN_OK && !atomic_load(r->stop)) {
        r->status = feed_run(&f, r->session);
        r->runs++;
        r->mixed += !same_outputs(&f, &r->right[0]) && !same_outputs(&f, &r->right[1]);
    }
    if (r->status != NORN_OK) snprintf(r->message, sizeof r->message, "%s", norn_message());
    norn_arena_deinit(&f.arena);
    return NULL;
}

enum { READERS = 3 };

static norn_status swap_while_reading(norn_session *session, const norn_plan *plan,
                                      norn_snapshot *versions[2], const feed *right,
                                      double seconds) {
    reader readers[READERS];
    atomic_bool stop = false;
    int swaps = 0;
    int64_t runs = 0, mixed = 0;
    norn_status status = NORN_OK;
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.session = session, .plan = plan, .right = right, .stop = &stop};
        if (pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) != 0) abort();
    }
    const int before = atomic_load(&captures);
    for (const int64_t begin = norn_clock_now_ns();
         status == NORN_OK && ms_since(begin) < seconds * 1e3; swaps++)
        status = norn_session_set_snapshot(session, versions[swaps % 2]);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        runs += readers[i].runs, mixed += readers[i].mixed;
        if (status == NORN_OK && readers[i].status != NORN_OK)
            status = norn_fail(readers[i].status, "%s", readers[i].message);
    }
    NORN_TRY(status);
    const int lost = atomic_load(&captures) - before;
    printf("%u tables swapped %d times in %.1f s beside %lld runs at batch %d: %d captures made "
           "anew, %lld answers of mixed versions\n",
           plan->table_count, swaps, seconds, (long long)runs, BATCH, lost, (long long)mixed);
    return lost || mixed ? norn_fail(NORN_INTERNAL, "captures were lost or answers mixed")
                         : NORN_OK;
}

static norn_status swap(const char *path, double seconds) {
    norn_plan *plan = NULL;
    norn_session *session = NULL;
    norn_snapshot *versions[2] = {0};
    feed right[2] = {0};
    norn_status status;
    norn_device_register("cuda", open_counted);
    NORN_TRY_DONE(norn_plan_load(path, norn_alloc_heap(), &plan));
    for (int v = 0; v < 2; v++) versions[v] = snapshot_of(plan, (uint32_t)v);
    NORN_TRY_DONE(norn_session_create(plan, &(norn_session_options){.snapshot = versions[0]},
                                      norn_alloc_heap(), &session));
    for (int v = 0; v < 2; v++) { // the second run of a shape captures it
        NORN_TRY_DONE(norn_session_set_snapshot(session, versions[v]));
        NORN_TRY_DONE(feed_init(&right[v], plan, NULL, 7));
        for (int i = 0; i < 3; i++) NORN_TRY_DONE(feed_run(&right[v], session));
    }
    if (same_outputs(&right[0], &right[1])) {
        status = norn_fail(NORN_INTERNAL, "two versions give the same answers: nothing is shown");
        goto done;
    }
    NORN_TRY_DONE(swap_while_reading(session, plan, versions, right, seconds));
done:
    norn_session_destroy(session);
    for (int v = 0; v < 2; v++) {
        norn_snapshot_release(versions[v]);
        norn_arena_deinit(&right[v].arena);
    }
    norn_plan_release(plan);
    return status;
}

// ---- devices

typedef struct worker {
    norn_session *session;
    feed *feed;
    pthread_t thread;
    norn_status status;
    char message[256];
} worker;

static void *work(void *context) {
    worker *w = context;
    for (int i = 0; i < 20 && w->status == NORN_OK; i++) w->status = feed_run(w->feed, w->session);
    if (w->status != NORN_OK) snprintf(w->message, sizeof w->message, "%s", norn_message());
    return NULL;
}

typedef struct placed {
    norn_plan *plan;
    norn_session *session;
    feed feed;
    worker worker;
} placed;

static norn_status place(placed *p, const norn_model *model, int ordinal) {
    char name[16];
    (void)snprintf(name, sizeof name, "cuda:%d", ordinal);
    const norn_compile_options options = {.device = name};
    NORN_TRY(norn_plan_compile(model, &options, norn_alloc_heap(), &p->plan));
    NORN_TRY(norn_session_create(p->plan, NULL, norn_alloc_heap(), &p->session));
    NORN_TRY(feed_init(&p->feed, p->plan, NULL, 3));
    p->worker = (worker){.session = p->session, .feed = &p->feed};
    return NORN_OK;
}

static norn_status devices(const char *path, int count) {
    norn_model *model;
    placed *all = calloc((size_t)count, sizeof *all);
    norn_status status;
    NORN_TRY_DONE(norn_model_open(path, norn_alloc_heap(), &model));
    for (int i = 0; i < count; i++) NORN_TRY_DONE(place(&all[i], model, i));
    for (int i = 0; i < count; i++)
        if (pthread_create(&all[i].worker.thread, NULL, work, &all[i].worker) != 0) abort();
    for (int i = 0; i < count; i++) pthread_join(all[i].worker.thread, NULL);
    for (int i = 0; i < count; i++) {
        if (all[i].worker.status != NORN_OK)
            NORN_TRY_DONE(norn_fail(all[i].worker.status, "cuda:%d: %s", i, all[i].worker.message));
        if (!same_outputs(&all[0].feed, &all[i].feed))
            NORN_TRY_DONE(norn_fail(NORN_INTERNAL, "cuda:%d answers otherwise than cuda:0", i));
        printf("cuda:%d: 20 runs at once with the others, as cuda:0\n", i);
    }
done:
    for (int i = 0; i < count; i++) {
        norn_session_destroy(all[i].session);
        norn_plan_release(all[i].plan);
        if (all[i].feed.inputs) norn_arena_deinit(&all[i].feed.arena);
    }
    free(all);
    return status;
}

int main(int argc, char **argv) {
    norn_status status;
    if (argc >= 3 && strcmp(argv[1], "create") == 0)
        status = create_all(argc - 2, argv + 2);
    else if (argc == 4 && strcmp(argv[1], "swap") == 0)
        status = swap(argv[2], strtod(argv[3], NULL));
    else if (argc == 4 && strcmp(argv[1], "devices") == 0)
        status = devices(argv[2], atoi(argv[3]));
    else
        return fprintf(stderr, "usage: norn_cuda_session create PLAN... | swap PLAN SECONDS | "
                               "devices MODEL COUNT\n"),
               2;
    if (status == NORN_OK) return puts("ok"), 0;
    fprintf(stderr, "norn_cuda_session: %s\n", norn_message());
    return 1;
}
