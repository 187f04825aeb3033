// Unique: of elements, or of slices along an axis.
#include "cpu/kernels/operand.h"
#include "cpu/kernels/strided.h"

#include <string.h>

typedef struct unique_job {
    const norn_view *in;
    int64_t length, inner, outer; ///< items along the axis; a slice is [outer, inner]
} unique_job;

static int compare_elements(const norn_view *in, int64_t a, int64_t b) {
    if (in->dtype == NORN_STRING) {
        const norn_string *s = in->data;
        size_t n = s[a].count < s[b].count ? s[a].count : s[b].count;
        int order = n ? memcmp(s[a].bytes, s[b].bytes, n) : 0;
        return order ? order : (s[a].count > s[b].count) - (s[a].count < s[b].count);
    }
    if (norn_dtype_is_float(in->dtype)) {
        double x = norn_element_f64(in->dtype, in->data, a),
               y = norn_element_f64(in->dtype, in->data, b);
        return x < y ? -1 : x > y ? 1 : (x != x) - (y != y);
    }
    int64_t x = norn_bits_order(in->dtype, norn_element_bits(in->dtype, in->data, a)),
            y = norn_bits_order(in->dtype, norn_element_bits(in->dtype, in->data, b));
    return x < y ? -1 : x > y;
}

static int compare_slices(const unique_job *job, int64_t a, int64_t b) {
    for (int64_t o = 0; o < job->outer; o++) {
        for (int64_t i = 0; i < job->inner; i++) {
            int64_t base = o * job->length * job->inner + i;
            int order = compare_elements(job->in, base + a * job->inner, base + b * job->inner);
            if (order) return order;
        }
    }
    return 0;
}

/// A stable merge sort of slice numbers; `spare` is as long as `at`.
static void sort_slices(const unique_job *job, int64_t *at, int64_t *spare, int64_t n) {
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            int64_t middle = begin + width < n ? begin + width : n,
                    end = begin + 2 * width < n ? begin + 2 * width : n;
            int64_t a = begin, b = middle;
            for (int64_t to = begin; to < end; to++) {
                bool left = a < middle && (b == end || compare_slices(job, at[a], at[b]) <= 0);
                spare[to] = left ? at[a++] : at[b++];
            }
        }
        memcpy(at, spare, (size_t)n * sizeof *at);
    }
}

static norn_status take(norn_call *call, int64_t count, int64_t **out) {
    void *room;
    NORN_TRY(norn_cpu_scratch(call, count, sizeof **out, &room));
    *out = room;
    return NORN_OK;
}

/// Groups of equal slices: `first[g]` is the first of group g, `group[i]` the group of slice i.
static norn_status group_slices(norn_call *call, const unique_job *job, bool sorted, int64_t *group,
                                int64_t *first, int64_t *counts, int64_t *groups) {
    int64_t *at, *spare, n = job->length;
    NORN_TRY(take(call, n, &at));
    NORN_TRY(take(call, n, &spare));
    for (int64_t i = 0; i < n; i++) at[i] = i;
    sort_slices(job, at, spare, n);
    *groups = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || compare_slices(job, at[i - 1], at[i]) != 0) {
            first[*groups] = at[i]; // the sort is stable: the first occurrence
            counts[(*groups)++] = 0;
        }
        group[at[i]] = *groups - 1;
        counts[*groups - 1]++;
    }
    if (sorted) return NORN_OK;
    // Renumber in the order of first occurrence; `at` maps old to new, `spare` keeps the counts.
    memcpy(spare, counts, (size_t)*groups * sizeof *counts);
    for (int64_t i = 0; i < n; i++) at[i] = -1;
    int64_t next = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t old = group[i];
        if (at[old] < 0) {
            at[old] = next;
            first[next] = i;
            counts[next++] = spare[old];
        }
        group[i] = at[old];
    }
    return NORN_OK;
}

norn_status norn_cpu_unique(norn_call *call) {
    const norn_view *in = &call->in[0];
    const norn_attr *attr = norn_attr_find(call->attrs, "axis");
    int32_t axis = attr ? norn_call_axis(call, 0, in->rank) : 0, rank = attr ? in->rank : 1;
    size_t size = norn_view_element_bytes(in);
    int64_t *group, *first, *counts, groups, dims[NORN_MAX_RANK];
    if (size == 0) return norn_call_refuse(in->dtype);
    unique_job job = {.in = in, .length = norn_view_elems(in), .inner = 1, .outer = 1};
    if (attr) {
        job.length = in->dims[axis];
        job.inner = norn_dims_product(in->dims, axis + 1, in->rank);
        job.outer = norn_dims_product(in->dims, 0, axis);
    }
    NORN_TRY(take(call, job.length, &group));
    NORN_TRY(take(call, job.length, &first));
    NORN_TRY(take(call, job.length, &counts));
    NORN_TRY(group_slices(call, &job, norn_attr_i64(call->attrs, "sorted", 1) != 0, group, first,
                          counts, &groups));
    memcpy(dims, in->dims, sizeof dims);
    dims[axis] = groups;
    if (norn_call_wants(call, 0)) {
        NORN_TRY(norn_call_output(call, 0, in->dtype, rank, dims));
        char *to = call->out[0].data;
        for (int64_t o = 0; o < job.outer; o++)
            for (int64_t g = 0; g < groups; g++, to += (size_t)job.inner * size)
                memcpy(to,
                       (const char *)in->data +
                           (size_t)((o * job.length + first[g]) * job.inner) * size,
                       (size_t)job.inner * size);
    }
    const int64_t *lists[] = {first, group, counts};
    const int64_t lengths[] = {groups, job.length, groups};
    for (uint32_t i = 0; i < 3; i++) {
        if (!norn_call_wants(call, i + 1)) continue;
        NORN_TRY(norn_call_output(call, i + 1, NORN_I64, 1, &lengths[i]));
        if (lengths[i])
            memcpy(call->out[i + 1].data, lists[i], (size_t)lengths[i] * sizeof(int64_t));
    }
    return NORN_OK;
}
