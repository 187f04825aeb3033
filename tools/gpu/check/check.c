#include "check.h"

#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 1024, GUARD_BYTE = 0xa5, POISON_BYTE = 0xcd };

static void *must(void *memory) {
    if (memory) return memory;
    fprintf(stderr, "out of memory\n");
    exit(1);
}

double *check_doubles(int64_t count) {
    return must(calloc((size_t)count + 1, sizeof(double)));
}
double check_uniform(checker *k) {
    return norn_random_unit(&k->random) * 2 - 1;
}
int64_t check_below(checker *k, int64_t limit) {
    return (int64_t)(norn_random_u64(&k->random) % (uint64_t)limit);
}

// ---- cases
void check_init(check_case *c, uint16_t op, const char *format, ...) {
    va_list arguments;
    memset(c, 0, sizeof *c);
    c->op = op;
    va_start(arguments, format);
    vsnprintf(c->label, sizeof c->label, format, arguments);
    va_end(arguments);
}

void check_free(check_case *c) {
    for (uint32_t i = 0; i < c->in_count; i++) free(c->in[i].data);
    for (uint32_t i = 0; i < c->out_count; i++) free(c->out[i].data);
}

static size_t bytes_of(norn_dtype dtype, int64_t elems) {
    size_t bytes = 0;
    if (!norn_dtype_bytes(dtype, elems, &bytes)) exit(1);
    return bytes;
}

norn_view *check_input(checker *k, check_case *c, norn_dtype dtype, int32_t rank,
                       const int64_t *dims, int64_t limit) {
    norn_view *view = &c->in[c->in_count++];
    *view = norn_view_of(dtype, rank, dims, NULL);
    int64_t elems = norn_view_elems(view);
    view->data = must(calloc(1, bytes_of(dtype, elems) + 64));
    for (int64_t i = 0; i < elems; i++) {
        if (norn_dtype_is_float(dtype))
            norn_element_set_f64(dtype, view->data, i, check_uniform(k));
        else
            norn_element_set_i64(dtype, view->data, i,
                                 check_below(k, dtype == NORN_BOOL ? 2 : limit));
    }
    return view;
}

norn_view *check_ints(check_case *c, const int64_t *values, int64_t count) {
    norn_view *view = &c->in[c->in_count];
    c->constant[c->in_count++] = true;
    *view = norn_view_of(NORN_I64, 1, &count, must(calloc((size_t)count + 1, 8)));
    memcpy(view->data, values, (size_t)count * 8);
    return view;
}

norn_view *check_output(check_case *c, norn_dtype dtype, int32_t rank, const int64_t *dims,
                        int64_t row_stride) {
    norn_view *view = &c->out[c->out_count++];
    *view = norn_view_of(dtype, rank, dims, NULL);
    view->row_stride = row_stride;
    return view;
}

void check_attr_int(check_case *c, const char *name, int64_t value) {
    c->attrs[c->attr_count++] = (norn_attr){.name = name, .kind = NORN_ATTR_INT, .i64 = value};
}
void check_attr_ints(check_case *c, const char *name, const int64_t *values, uint32_t count) {
    c->attrs[c->attr_count++] =
        (norn_attr){.name = name, .kind = NORN_ATTR_INTS, .count = count, .ints = values};
}

// ---- guarded device buffers
typedef struct guarded {
    char *base;
    size_t bytes; ///< between the guards
} guarded;

static norn_status guarded_create(checker *k, size_t bytes, int fill, guarded *out) {
    void *memory;
    out->bytes = bytes;
    NORN_TRY(
        k->device->ops->memory_create(k->device, NORN_MEMORY_DEVICE, bytes + 2 * GUARD, &memory));
    out->base = memory;
    NORN_CUDA_TRY(cudaMemsetAsync(out->base, GUARD_BYTE, bytes + 2 * GUARD, k->stream->handle));
    NORN_CUDA_TRY(cudaMemsetAsync(out->base + GUARD, fill, bytes, k->stream->handle));
    return NORN_OK;
}

static void *guarded_data(const guarded *buffer) {
    return buffer->base + GUARD;
}

static bool guards_whole(const guarded *buffer) {
    unsigned char edge[2 * GUARD];
    if (cudaMemcpy(edge, buffer->base, GUARD, cudaMemcpyDeviceToHost) != cudaSuccess) return false;
    if (cudaMemcpy(edge + GUARD, buffer->base + GUARD + buffer->bytes, GUARD,
                   cudaMemcpyDeviceToHost) != cudaSuccess)
        return false;
    for (size_t i = 0; i < sizeof edge; i++)
        if (edge[i] != GUARD_BYTE) return false;
    return true;
}

static checker *host_checker;

void check_host_use(checker *k) {
    host_checker = k;
}

static norn_status take_scratch(norn_call *call, size_t bytes, void **out) {
    (void)call;
    checker *k = host_checker;
    if (k->scratch) { // an earlier launch may still use it
        NORN_TRY(k->device->ops->stream_wait(k->device, k->stream));
        k->device->ops->memory_destroy(k->device, NORN_MEMORY_DEVICE, k->scratch);
    }
    norn_status status =
        k->device->ops->memory_create(k->device, NORN_MEMORY_DEVICE, bytes, &k->scratch);
    *out = k->scratch;
    return status;
}

const norn_call_host check_host = {.scratch = take_scratch};

// ---- running
norn_status check_views(checker *k, const norn_table_binding *tables, uint32_t count,
                        norn_table_view **out) {
    norn_table_view *views = calloc(count + 1, sizeof *views);
    size_t bytes = count * sizeof *views;
    for (uint32_t i = 0; i < count; i++) views[i] = tables[i].view;
    norn_status status =
        k->device->ops->memory_create(k->device, NORN_MEMORY_DEVICE, bytes, (void **)out);
    if (status == NORN_OK) status = k->device->ops->copy(k->device, NULL, *out, views, bytes);
    free(views);
    return status;
}

typedef struct running {
    guarded in[CHECK_INPUTS], out[CHECK_OUTPUTS];
    norn_view in_views[CHECK_INPUTS], out_views[CHECK_OUTPUTS];
    norn_span code;
    void *state;
    norn_table_view *views;
    norn_step_spec spec;
} running;

static int64_t rows_of(const norn_view *view) {
    return view->rank > 0 ? norn_dims_product(view->dims, 0, view->rank - 1) : 1;
}
static int64_t last_of(const norn_view *view) {
    return view->rank > 0 ? view->dims[view->rank - 1] : 1;
}

static norn_status place(checker *k, check_case *c, running *r) {
    for (uint32_t i = 0; i < c->in_count; i++) {
        size_t bytes = bytes_of(c->in[i].dtype, norn_view_elems(&c->in[i]));
        r->in_views[i] = c->in[i];
        if (!norn_view_present(&c->in[i])) continue;
        NORN_TRY(guarded_create(k, bytes, 0, &r->in[i]));
        r->in_views[i].data = guarded_data(&r->in[i]);
        NORN_TRY(
            k->device->ops->copy(k->device, k->stream, r->in_views[i].data, c->in[i].data, bytes));
    }
    for (uint32_t i = 0; i < c->out_count; i++) {
        r->out_views[i] = c->out[i];
        if (!norn_view_present(&c->out[i])) continue;
        int64_t stride = c->out[i].row_stride ? c->out[i].row_stride : last_of(&c->out[i]);
        NORN_TRY(guarded_create(k, bytes_of(c->out[i].dtype, rows_of(&c->out[i]) * stride),
                                POISON_BYTE, &r->out[i]));
        r->out_views[i].data = guarded_data(&r->out[i]);
    }
    return NORN_OK;
}

static norn_numbers numbers_of(const check_case *c) {
    const norn_dtype a = c->in[0].dtype, b = c->in_count > 1 ? c->in[1].dtype : a;
    return (norn_numbers){a, b, norn_sum_dtype(a), c->out[0].dtype,
                          .tf32 = c->precision == NORN_PRECISION_TF32};
}

static norn_status execute(checker *k, check_case *c, running *r, norn_view *spec_in) {
    const norn_device_ops *ops = k->device->ops;
    for (uint32_t i = 0; i < c->in_count; i++) {
        spec_in[i] = c->in[i];
        if (!c->constant[i]) spec_in[i].data = NULL;
    }
    r->spec = (norn_step_spec){.name = c->label,
                               .op = c->op,
                               .attrs = {c->attrs, c->attr_count},
                               .region = &c->region,
                               .in = spec_in,
                               .out = c->out,
                               .in_count = c->in_count,
                               .out_count = c->out_count,
                               .numbers = numbers_of(c)};
    norn_kernel_fn kernel = norn_target_kernel(&k->device->target, &r->spec);
    if (!kernel) return norn_fail(NORN_UNIMPLEMENTED, "the backend has no kernel for this");
    NORN_TRY(
        k->device->target.ops->codegen(&k->device->target, &r->spec, norn_alloc_heap(), &r->code));
    r->spec.code = r->code;
    NORN_TRY(ops->prepare(k->device, &r->spec, &r->state));
    if (c->prepared) NORN_TRY(c->prepared(c->wish, r->state));
    NORN_TRY(check_views(k, c->tables, c->table_count, &r->views));
    norn_call call = {.name = c->label,
                      .op = c->op,
                      .attrs = r->spec.attrs,
                      .region = &c->region,
                      .in = r->in_views,
                      .in_count = c->in_count,
                      .out = r->out_views,
                      .out_count = c->out_count,
                      .stream = k->stream,
                      .state = r->state,
                      .tables = c->tables,
                      .views = r->views,
                      .table_count = c->table_count,
                      .host = &check_host};
    check_host_use(k);
    NORN_TRY(kernel(&call));
    return ops->stream_wait(k->device, k->stream);
}

/// Read the outputs back as dense; what lies between strided rows must still be poison.
static norn_status collect(check_case *c, running *r) {
    for (uint32_t i = 0; i < c->in_count; i++)
        if (r->in[i].base && !guards_whole(&r->in[i]))
            return norn_fail(NORN_INTERNAL, "wrote beside input %u", i);
    for (uint32_t i = 0; i < c->out_count; i++) {
        norn_view *out = &c->out[i];
        if (!r->out[i].base) continue;
        if (!guards_whole(&r->out[i])) return norn_fail(NORN_INTERNAL, "wrote beside output %u", i);
        unsigned char *raw = must(malloc(r->out[i].bytes + 1));
        NORN_CUDA_TRY(
            cudaMemcpy(raw, guarded_data(&r->out[i]), r->out[i].bytes, cudaMemcpyDeviceToHost));
        size_t row = bytes_of(out->dtype, last_of(out)),
               stride = out->row_stride ? bytes_of(out->dtype, out->row_stride) : row;
        out->data = must(calloc(1, row * (size_t)rows_of(out) + 64));
        bool whole = true;
        for (int64_t at = 0; at < rows_of(out); at++) {
            memcpy((char *)out->data + (size_t)at * row, raw + (size_t)at * stride, row);
            for (size_t b = row; b < stride; b++)
                whole = whole && raw[(size_t)at * stride + b] == POISON_BYTE;
        }
        free(raw);
        if (!whole) return norn_fail(NORN_INTERNAL, "wrote between the rows of output %u", i);
    }
    return NORN_OK;
}

static void fail(checker *k, const check_case *c, const char *why) {
    k->failed++;
    printf("FAIL %s: %s\n", c->label, why);
}

bool check_run(checker *k, check_case *c) {
    running r = {0};
    norn_view spec_in[CHECK_INPUTS];
    norn_status status = place(k, c, &r);
    if (status == NORN_OK) status = execute(k, c, &r, spec_in);
    bool as_wanted = status == c->wanted;
    char why[400];
    snprintf(why, sizeof why, "%s: %s", norn_status_name(status), norn_message());
    if (status == NORN_OK && as_wanted) {
        status = collect(c, &r);
        as_wanted = status == NORN_OK;
        if (!as_wanted) snprintf(why, sizeof why, "%s", norn_message());
    }
    k->device->ops->memory_destroy(k->device, NORN_MEMORY_DEVICE, r.views);
    if (r.state) k->device->ops->unprepare(k->device, &r.spec, r.state);
    norn_free(norn_alloc_heap(), (void *)(uintptr_t)r.code.bytes);
    for (uint32_t i = 0; i < c->in_count; i++)
        k->device->ops->memory_destroy(k->device, NORN_MEMORY_DEVICE, r.in[i].base);
    for (uint32_t i = 0; i < c->out_count; i++)
        k->device->ops->memory_destroy(k->device, NORN_MEMORY_DEVICE, r.out[i].base);
    if (!as_wanted)
        fail(k, c, why);
    else if (c->wanted != NORN_OK)
        k->passed++, printf("ok   %s: %s\n", c->label, why);
    return as_wanted && c->wanted == NORN_OK;
}

bool check_close(checker *k, const check_case *c, uint32_t index, const double *want,
                 double tolerance) {
    const norn_view *out = &c->out[index];
    int64_t elems = norn_view_elems(out);
    double difference = 0, size = 0;
    char why[160];
    for (int64_t i = 0; i < elems; i++) {
        double got = norn_element_f64(out->dtype, out->data, i), d = got - want[i];
        bool both_nan = isnan(got) && isnan(want[i]), same = got == want[i] || both_nan;
        if (!same && !isfinite(d)) {
            snprintf(why, sizeof why, "output %u element %lld is %g, not %g", index, (long long)i,
                     got, want[i]);
            fail(k, c, why);
            return false;
        }
        difference += same ? 0 : d * d;
        size += isfinite(want[i]) ? want[i] * want[i] : 0;
    }
    double error = sqrt(difference) / (size > 0 ? sqrt(size) : 1);
    if (error / tolerance > k->worst_ratio) k->worst_ratio = error / tolerance;
    if (error <= tolerance) {
        k->passed++;
        printf("ok   %-70s %.1e\n", c->label, error);
        return true;
    }
    snprintf(why, sizeof why, "output %u differs by %.3g, allowed %.1g", index, error, tolerance);
    fail(k, c, why);
    return false;
}

void check_against(checker *k, check_case *c, const double *want, double tolerance) {
    if (check_run(k, c)) check_close(k, c, 0, want, tolerance);
    check_free(c);
}
