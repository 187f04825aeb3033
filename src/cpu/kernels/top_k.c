// TopK: the k first of an order in which NaN is largest and ties go to the lower index.
#include "cpu/kernels/operand.h"

#include <stdlib.h>

typedef struct ranked {
    double f;  ///< floating values
    int64_t i; ///< integer values, as norn_bits_order has them
    int64_t index;
} ranked;

/// Negative when a comes before b.
static int before_largest(const ranked *a, const ranked *b) {
    if (a->f != a->f || b->f != b->f) {
        if ((a->f != a->f) != (b->f != b->f)) return a->f != a->f ? -1 : 1;
    } else if (a->f != b->f) {
        return a->f > b->f ? -1 : 1;
    }
    if (a->i != b->i) return a->i > b->i ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}
static int before_smallest(const ranked *a, const ranked *b) {
    ranked x = *a, y = *b;
    x.index = b->index, y.index = a->index;
    return -before_largest(&x, &y);
}
static int sort_largest(const void *a, const void *b) {
    return before_largest(a, b);
}
static int sort_smallest(const void *a, const void *b) {
    return before_smallest(a, b);
}

typedef int (*order_fn)(const ranked *, const ranked *);

/// A heap whose root comes last in the order, so that a better element replaces it.
static void sift_down(ranked *heap, int64_t n, int64_t at, order_fn order) {
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && order(&heap[child], &heap[child + 1]) < 0) child++;
        if (order(&heap[at], &heap[child]) >= 0) return;
        ranked kept = heap[at];
        heap[at] = heap[child];
        heap[child] = kept;
        at = child;
    }
}

typedef struct top_job {
    const norn_view *in;
    norn_view *values, *indices;
    int64_t length, k, inner;
    bool largest;
    ranked *heaps; ///< k for each worker
} top_job;

static ranked element(const top_job *job, int64_t at, int64_t index) {
    norn_dtype dtype = job->in->dtype;
    ranked r = {.index = index};
    if (dtype == NORN_F32)
        r.f = (double)((const float *)job->in->data)[at];
    else if (norn_dtype_is_float(dtype))
        r.f = norn_element_f64(dtype, job->in->data, at);
    else
        r.i = norn_bits_order(dtype, norn_element_bits(dtype, job->in->data, at));
    return r;
}

static void top_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const top_job *job = context;
    ranked *heap = job->heaps + worker * job->k;
    order_fn order = job->largest ? before_largest : before_smallest;
    for (int64_t row = begin; row < end; row++) {
        int64_t base = row / job->inner * job->length * job->inner + row % job->inner;
        for (int64_t i = 0; i < job->length; i++) {
            ranked next = element(job, base + i * job->inner, i);
            if (i < job->k) {
                heap[i] = next;
                for (int64_t p = i; p > 0 && order(&heap[(p - 1) / 2], &heap[p]) < 0;
                     p = (p - 1) / 2) {
                    ranked kept = heap[p];
                    heap[p] = heap[(p - 1) / 2];
                    heap[(p - 1) / 2] = kept;
                }
            } else if (order(&next, &heap[0]) < 0) {
                heap[0] = next;
                sift_down(heap, job->k, 0, order);
            }
        }
        qsort(heap, (size_t)job->k, sizeof *heap, job->largest ? sort_largest : sort_smallest);
        int64_t to = row / job->inner * job->k * job->inner + row % job->inner;
        for (int64_t i = 0; i < job->k; i++, to += job->inner) {
            norn_dtype dtype = job->in->dtype;
            if (norn_view_present(job->indices))
                ((int64_t *)job->indices->data)[to] = heap[i].index;
            if (!norn_view_present(job->values)) continue;
            if (norn_dtype_is_float(dtype))
                norn_element_set_f64(dtype, job->values->data, to, heap[i].f);
            else
                norn_element_set_i64(dtype, job->values->data, to,
                                     norn_bits_order(dtype, heap[i].i));
        }
    }
}

norn_status norn_cpu_top_k(norn_call *call) {
    const norn_view *in = &call->in[0];
    int32_t axis = norn_call_axis(call, -1, in->rank);
    norn_view none = {0};
    NORN_TRY(norn_call_numbers(call, 1, 2));
    int64_t k = norn_element_i64(call->in[1].dtype, call->in[1].data, 0);
    if (in->dtype == NORN_STRING) return norn_call_refuse(in->dtype);
    if (k < 0 || k > in->dims[axis])
        return norn_fail(NORN_INVALID_ARGUMENT, "k is %lld, the axis has %lld", (long long)k,
                         (long long)in->dims[axis]);
    top_job job = {.in = in,
                   .values = norn_call_wants(call, 0) ? &call->out[0] : &none,
                   .indices = norn_call_wants(call, 1) ? &call->out[1] : &none,
                   .length = in->dims[axis],
                   .k = k,
                   .inner = norn_dims_product(in->dims, axis + 1, in->rank),
                   .largest = norn_attr_i64(call->attrs, "largest", 1) != 0};
    int64_t rows = norn_dims_product(in->dims, 0, axis) * job.inner;
    int32_t threads = call->pool ? norn_pool_threads(call->pool) : 1;
    void *room;
    if (k == 0 || rows == 0) return NORN_OK;
    NORN_TRY(norn_cpu_scratch(call, k * threads, sizeof(ranked), &room));
    job.heaps = room;
    norn_pool_loop(call->pool, rows, 1 + 4096 / job.length, top_range, &job);
    return NORN_OK;
}
