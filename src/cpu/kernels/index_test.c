/// Kernels that pick, put and compare by index, along any axis of any shape, against the definition;
/// with guards around what they write and behind what they read.
#include "base/hash.h"
#include "cpu/cpu_kernel.h"
#include "cpu/guarded.h"
#include "cpu/solo_call.h"
#include "tensor/dtype.h"

#include <math.h>

static norn_random rng;

static int64_t below(int64_t n) {
    return (int64_t)(norn_random_u64(&rng) % (uint64_t)n);
}

// ---- shapes and elements

typedef struct shape {
    int32_t rank;
    int64_t dims[NORN_MAX_RANK];
} shape;

static shape draw_shape(int32_t rank) {
    static const int64_t sizes[] = {1, 2, 3, 5, 8, 16, 17};
    shape s = {.rank = rank};
    for (int64_t elems = 0; elems == 0 || elems > 4000;) {
        elems = 1;
        for (int32_t d = 0; d < rank; d++) elems *= s.dims[d] = sizes[below(7)];
    }
    return s;
}

/// The position of flat index `i`, and back.
static void split(const shape *s, int64_t i, int64_t at[NORN_MAX_RANK]) {
    for (int32_t d = s->rank - 1; d >= 0; d--) at[d] = i % s->dims[d], i /= s->dims[d];
}
static int64_t join(const shape *s, const int64_t *at) {
    int64_t i = 0;
    for (int32_t d = 0; d < s->rank; d++) i = i * s->dims[d] + at[d];
    return i;
}
static int64_t count_of(const shape *s) {
    return norn_dims_product(s->dims, 0, s->rank);
}

static norn_view empty(norn_dtype dtype, const shape *s) {
    return guarded(dtype, s->rank, s->dims);
}

static double get(const norn_view *view, int64_t i) {
    return norn_element_f64(view->dtype, view->data, i);
}

/// Small whole numbers, exact in every type.
static norn_view draw(norn_dtype dtype, const shape *s) {
    norn_view view = empty(dtype, s);
    for (int64_t i = 0; i < count_of(s); i++)
        norn_element_set_f64(dtype, view.data, i, (double)below(dtype == NORN_U8 ? 4 : 9));
    return view;
}

static norn_dtype draw_dtype(void) {
    static const norn_dtype dtypes[] = {NORN_F32, NORN_F64, NORN_I64, NORN_I32, NORN_U8};
    return dtypes[below(5)];
}

/// Within [-n, n).
static norn_view draw_indices(const shape *s, int64_t n) {
    norn_view view = empty(below(2) ? NORN_I64 : NORN_I32, s);
    for (int64_t i = 0; i < count_of(s); i++)
        norn_element_set_i64(view.dtype, view.data, i, below(2 * n) - n);
    return view;
}

static int64_t index_of(const norn_view *indices, int64_t i, int64_t n) {
    const int64_t index = norn_element_i64(indices->dtype, indices->data, i);
    return index < 0 ? index + n : index;
}

static void assert_element(const norn_view *out, int64_t i, double want) {
    if (get(out, i) != want)
        fail_msg("element %lld is %g, not %g", (long long)i, get(out, i), want);
}

// ---- calls

static norn_attr ints[4];
static uint32_t int_count;

static void with(const char *name, int64_t value) {
    assert_in_range(int_count, 0, 3);
    ints[int_count++] = (norn_attr){.name = name, .kind = NORN_ATTR_INT, .i64 = value};
}
static void with_text(const char *name, const char *text) {
    with(name, 0);
    ints[int_count - 1].kind = NORN_ATTR_STRING;
    ints[int_count - 1].string = (norn_string){text, strlen(text)};
}

/// With the attributes noted by `with`, which are forgotten.
static void run(norn_op_id op, norn_kernel_fn kernel, const norn_view *in, uint32_t in_count,
                norn_view *out, uint32_t out_count) {
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.name = "n/7", solo.call.op = (uint16_t)op;
    solo.call.attrs = (norn_attrs){ints, int_count};
    solo.call.in = in, solo.call.in_count = in_count;
    solo.call.out = out, solo.call.out_count = out_count;
    if (norn_solo_run(&solo, kernel) != NORN_OK) fail_msg("%s", norn_message());
    norn_solo_deinit(&solo);
    int_count = 0;
}

static void free_all(norn_view *views, int count) {
    for (int i = 0; i < count; i++) guarded_free(&views[i]);
}

/// An axis of `rank`, sometimes counted from the end in the attribute.
static int32_t draw_axis(int32_t rank) {
    const int32_t axis = (int32_t)below(rank);
    with("axis", below(2) ? axis : axis - rank);
    return axis;
}

// ---- gather

static void gather_along_any_axis_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(4)), at = draw_shape((int32_t)below(3));
        const int32_t axis = draw_axis(s.rank);
        shape o = {.rank = s.rank - 1 + at.rank};
        memcpy(o.dims, s.dims, (size_t)axis * sizeof *o.dims);
        memcpy(o.dims + axis, at.dims, (size_t)at.rank * sizeof *o.dims);
        memcpy(o.dims + axis + at.rank, s.dims + axis + 1,
               (size_t)(s.rank - axis - 1) * sizeof *o.dims);
        const norn_dtype dtype = draw_dtype();
        norn_view in[2] = {draw(dtype, &s), draw_indices(&at, s.dims[axis])};
        norn_view out = empty(dtype, &o);
        run(NORN_OP_Gather, norn_cpu_gather, in, 2, &out, 1);
        for (int64_t i = 0; i < count_of(&o); i++) {
            int64_t to[NORN_MAX_RANK], from[NORN_MAX_RANK];
            split(&o, i, to);
            memcpy(from, to, (size_t)axis * sizeof *from);
            from[axis] = index_of(&in[1], join(&at, to + axis), s.dims[axis]);
            memcpy(from + axis + 1, to + axis + at.rank,
                   (size_t)(s.rank - axis - 1) * sizeof *from);
            assert_element(&out, i, get(&in[0], join(&s, from)));
        }
        free_all(in, 2), free_all(&out, 1);
    }
}

static void gather_elements_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(4));
        const int32_t axis = draw_axis(s.rank);
        shape o = s;
        for (int32_t d = 0; d < s.rank; d++) o.dims[d] = 1 + below(s.dims[d] + (d == axis));
        const norn_dtype dtype = draw_dtype();
        norn_view in[2] = {draw(dtype, &s), draw_indices(&o, s.dims[axis])};
        norn_view out = empty(dtype, &o);
        run(NORN_OP_GatherElements, norn_cpu_gather_elements, in, 2, &out, 1);
        for (int64_t i = 0; i < count_of(&o); i++) {
            int64_t at[NORN_MAX_RANK];
            split(&o, i, at);
            at[axis] = index_of(&in[1], i, s.dims[axis]);
            assert_element(&out, i, get(&in[0], join(&s, at)));
        }
        free_all(in, 2), free_all(&out, 1);
    }
}

/// Indices [rows, depth] within dims [first, first + depth) of `s`.
static norn_view draw_places(const shape *rows, const shape *s, int32_t first, int32_t depth) {
    shape with_depth = *rows;
    with_depth.dims[with_depth.rank++] = depth;
    norn_view at = empty(NORN_I64, &with_depth);
    for (int64_t i = 0; i < count_of(rows); i++)
        for (int32_t d = 0; d < depth; d++) {
            const int64_t n = s->dims[first + d];
            ((int64_t *)at.data)[i * depth + d] = below(2 * n) - n;
        }
    return at;
}

static void gather_nd_of_any_depth_and_batch_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(4)), picks = draw_shape((int32_t)below(3));
        const int32_t batch = (int32_t)below(s.rank), depth = 1 + (int32_t)below(s.rank - batch);
        shape rows = {.rank = batch + picks.rank}, o;
        memcpy(rows.dims, s.dims, (size_t)batch * sizeof *rows.dims);
        for (int32_t d = 0; d < picks.rank; d++)
            rows.dims[batch + d] = picks.dims[d] < 6 ? picks.dims[d] : 6;
        o = rows;
        for (int32_t d = batch + depth; d < s.rank; d++) o.dims[o.rank++] = s.dims[d];
        const norn_dtype dtype = draw_dtype();
        norn_view in[2] = {draw(dtype, &s), draw_places(&rows, &s, batch, depth)};
        norn_view out = empty(dtype, &o);
        with("batch_dims", batch);
        run(NORN_OP_GatherND, norn_cpu_gather_nd, in, 2, &out, 1);
        for (int64_t i = 0; i < count_of(&o); i++) {
            int64_t to[NORN_MAX_RANK], from[NORN_MAX_RANK];
            split(&o, i, to);
            memcpy(from, to, (size_t)batch * sizeof *from);
            for (int32_t d = 0; d < depth; d++)
                from[batch + d] = index_of(&in[1], join(&rows, to) * depth + d, s.dims[batch + d]);
            for (int32_t d = batch + depth; d < s.rank; d++)
                from[d] = to[rows.rank + d - batch - depth];
            assert_element(&out, i, get(&in[0], join(&s, from)));
        }
        free_all(in, 2), free_all(&out, 1);
    }
}

// ---- scatter

static const char *const reductions[] = {"none", "add", "mul", "max", "min"};

static double combined(int reduction, double old, double update) {
    return reduction == 1   ? old + update
           : reduction == 2 ? old * update
           : reduction == 3 ? fmax(old, update)
           : reduction == 4 ? fmin(old, update)
                            : update;
}

/// Of the type that wraps.
static double wrapped(norn_dtype dtype, double x) {
    return dtype == NORN_U8 ? (double)((int64_t)x & 255) : x;
}

static void scatter_elements_with_any_reduction_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(3));
        const int reduction = (int)below(5);
        const int32_t axis = draw_axis(s.rank);
        with_text("reduction", reductions[reduction]);
        shape u = s;
        for (int32_t d = 0; d < s.rank; d++) u.dims[d] = 1 + below(s.dims[d] < 5 ? s.dims[d] : 5);
        const norn_dtype dtype = draw_dtype();
        norn_view in[3] = {draw(dtype, &s), draw_indices(&u, s.dims[axis]), draw(dtype, &u)};
        norn_view out = empty(dtype, &s), want = empty(dtype, &s);
        memcpy(want.data, in[0].data, guarded_bytes(&want));
        for (int64_t i = 0; i < count_of(&u); i++) {
            int64_t at[NORN_MAX_RANK];
            split(&u, i, at);
            at[axis] = index_of(&in[1], i, s.dims[axis]);
            const int64_t to = join(&s, at);
            norn_element_set_f64(
                dtype, want.data, to,
                wrapped(dtype, combined(reduction, get(&want, to), get(&in[2], i))));
        }
        run(NORN_OP_ScatterElements, norn_cpu_scatter_elements, in, 3, &out, 1);
        assert_memory_equal(out.data, want.data, guarded_bytes(&want));
        free_all(in, 3), free_all(&out, 1), free_all(&want, 1);
    }
}

static void scatter_nd_of_any_depth_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(4));
        const int reduction = (int)below(5);
        const int32_t depth = 1 + (int32_t)below(s.rank);
        const shape rows = {.rank = 1, .dims = {1 + below(5)}};
        const int64_t slice = norn_dims_product(s.dims, depth, s.rank);
        shape u = rows;
        for (int32_t d = depth; d < s.rank; d++) u.dims[u.rank++] = s.dims[d];
        const norn_dtype dtype = draw_dtype();
        norn_view in[3] = {draw(dtype, &s), draw_places(&rows, &s, 0, depth), draw(dtype, &u)};
        norn_view out = empty(dtype, &s), want = empty(dtype, &s);
        memcpy(want.data, in[0].data, guarded_bytes(&want));
        for (int64_t i = 0; i < count_of(&u); i++) {
            int64_t to = 0;
            for (int32_t d = 0; d < depth; d++)
                to = to * s.dims[d] + index_of(&in[1], i / slice * depth + d, s.dims[d]);
            to = to * slice + i % slice;
            norn_element_set_f64(
                dtype, want.data, to,
                wrapped(dtype, combined(reduction, get(&want, to), get(&in[2], i))));
        }
        with_text("reduction", reductions[reduction]);
        run(NORN_OP_ScatterND, norn_cpu_scatter_nd, in, 3, &out, 1);
        assert_memory_equal(out.data, want.data, guarded_bytes(&want));
        free_all(in, 3), free_all(&out, 1), free_all(&want, 1);
    }
}

// ---- along an axis

/// Element k of the run along `axis` that flat index `i` lies on.
static int64_t along(const shape *s, int32_t axis, int64_t i, int64_t k) {
    int64_t at[NORN_MAX_RANK];
    split(s, i, at);
    at[axis] = k;
    return join(s, at);
}

static void the_place_of_the_greatest_and_the_least_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(4));
        const int32_t axis = draw_axis(s.rank);
        const bool max = below(2), last = below(2);
        shape o = s; // keepdims says nothing to a kernel that is given its output
        o.dims[axis] = 1;
        norn_view in = draw(draw_dtype(), &s), out = empty(NORN_I64, &o);
        if (norn_dtype_is_float(in.dtype) && below(2)) // NaN is beyond all, wherever it stands
            for (int64_t i = below(3); i < count_of(&s); i += 1 + below(5))
                norn_element_set_f64(in.dtype, in.data, i, (double)NAN);
        if (last) with("select_last_index", 1);
        run(max ? NORN_OP_ArgMax : NORN_OP_ArgMin, norn_cpu_arg_reduce, &in, 1, &out, 1);
        for (int64_t i = 0; i < count_of(&o); i++) {
            int64_t to[NORN_MAX_RANK], best = 0;
            split(&o, i, to);
            const int64_t first = join(&s, to);
            for (int64_t k = 1; k < s.dims[axis]; k++) {
                const double x = get(&in, along(&s, axis, first, k)),
                             kept = get(&in, along(&s, axis, first, best));
                const bool same = x == kept || (isnan(x) && isnan(kept)),
                           beyond = isnan(x) || (!isnan(kept) && (max ? x > kept : x < kept));
                if (same ? last : beyond) best = k;
            }
            assert_int_equal(((int64_t *)out.data)[i], best);
        }
        free_all(&in, 1), free_all(&out, 1);
    }
}

static void the_greatest_of_nothing_stands_first(void **state) {
    (void)state;
    static const norn_dtype types[] = {NORN_F32, NORN_I64, NORN_U8};
    for (int i = 0; i < 6; i++) {
        int64_t places[4] = {-1, -1, -1, -1};
        norn_view in = norn_view_of(types[i / 2], 3, (int64_t[]){2, 0, 2}, places),
                  out = norn_view_of(NORN_I64, 3, (int64_t[]){2, 1, 2}, places);
        with("axis", 1);
        run(i % 2 ? NORN_OP_ArgMin : NORN_OP_ArgMax, norn_cpu_arg_reduce, &in, 1, &out, 1);
        for (int k = 0; k < 4; k++) assert_int_equal(places[k], 0);
    }
}

static const uint64_t MIDDLE = (uint64_t)1 << 63; // int64 ends here

static void whole_numbers_are_compared_as_such(void **state) {
    (void)state;
    const int64_t big = (int64_t)1 << 60; // doubles there are 256 apart
    int64_t x[] = {big, big + 1, big - 1, INT64_MIN, INT64_MIN + 1, INT64_MAX, INT64_MAX - 1};
    uint64_t u[] = {1, MIDDLE, UINT64_MAX - 1, UINT64_MAX, 0, 5, 6};
    for (int kind = 0; kind < 4; kind++) {
        int64_t place = -1;
        norn_view in = norn_view_of(kind < 2 ? NORN_I64 : NORN_U64, 1, (int64_t[]){7},
                                    kind < 2 ? (void *)x : (void *)u),
                  out = norn_view_of(NORN_I64, 0, NULL, &place);
        with("axis", 0);
        run(kind % 2 ? NORN_OP_ArgMin : NORN_OP_ArgMax, norn_cpu_arg_reduce, &in, 1, &out, 1);
        assert_int_equal(place, ((int[]){5, 3, 3, 4})[kind]);
    }
}

static void unsigned_numbers_past_int64_stay_what_they_are(void **state) {
    (void)state;
    uint64_t u[] = {MIDDLE + 4, 3, UINT64_MAX, MIDDLE + 4}, y[4];
    norn_view in = norn_view_of(NORN_U64, 1, (int64_t[]){4}, u),
              one = norn_view_of(NORN_U64, 1, (int64_t[]){1}, y);
    const struct {
        norn_op_id op;
        uint64_t want;
    } reductions_of[] = {
        {NORN_OP_ReduceMax, UINT64_MAX}, {NORN_OP_ReduceMin, 3},
        {NORN_OP_ReduceSum, 10},         {NORN_OP_ReduceL1, 10},
        {NORN_OP_ReduceMean, 2},         {NORN_OP_ReduceProd, (uint64_t)0 - 3 * 16}};
    for (size_t i = 0; i < sizeof reductions_of / sizeof *reductions_of; i++) {
        run(reductions_of[i].op, norn_cpu_reduce, &in, 1, &one, 1);
        assert_true(y[0] == reductions_of[i].want);
    }
    int64_t k = 4, places[4], axis = 0;
    norn_view top_in[2] = {in, norn_view_of(NORN_I64, 1, (int64_t[]){1}, &k)};
    norn_view top[2] = {norn_view_of(NORN_U64, 1, (int64_t[]){4}, y),
                        norn_view_of(NORN_I64, 1, (int64_t[]){4}, places)};
    run(NORN_OP_TopK, norn_cpu_top_k, top_in, 2, top, 2);
    assert_memory_equal(y, ((uint64_t[]){UINT64_MAX, MIDDLE + 4, MIDDLE + 4, 3}), sizeof y);
    assert_memory_equal(places, ((int64_t[]){2, 0, 3, 1}), sizeof places);
    norn_view sum_in[2] = {in, norn_view_of(NORN_I64, 0, NULL, &axis)};
    run(NORN_OP_CumSum, norn_cpu_cumulate, sum_in, 2, &top[0], 1);
    assert_memory_equal(y, ((uint64_t[]){MIDDLE + 4, MIDDLE + 7, MIDDLE + 6, 10}), sizeof y);
    int64_t at[] = {0, 1, 2, 3};
    uint64_t update[] = {MIDDLE + 5, MIDDLE, 2, MIDDLE + 3};
    norn_view put[3] = {in, norn_view_of(NORN_I64, 1, (int64_t[]){4}, at),
                        norn_view_of(NORN_U64, 1, (int64_t[]){4}, update)};
    for (int max = 0; max < 2; max++) {
        with_text("reduction", max ? "max" : "min");
        run(NORN_OP_ScatterElements, norn_cpu_scatter_elements, put, 3, &top[0], 1);
        for (int i = 0; i < 4; i++)
            assert_true(y[i] == ((u[i] > update[i]) == max ? u[i] : update[i]));
    }
}

static void unique_tells_apart_and_sorts_unsigned_numbers_past_int64(void **state) {
    (void)state;
    uint64_t u[] = {UINT64_MAX, MIDDLE, 7, UINT64_MAX, MIDDLE + 1};
    norn_view in = norn_view_of(NORN_U64, 1, (int64_t[]){5}, u), out[4] = {{.rank = -1}};
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    for (int i = 0; i < 4; i++) out[i] = norn_view_of(i ? NORN_I64 : NORN_U64, -1, NULL, NULL);
    solo.call.in = &in, solo.call.in_count = 1;
    solo.call.out = out, solo.call.out_count = 4;
    assert_int_equal(norn_solo_run(&solo, norn_cpu_unique), NORN_OK);
    assert_int_equal(out[0].dims[0], 4);
    assert_memory_equal(out[0].data, ((uint64_t[]){7, MIDDLE, MIDDLE + 1, UINT64_MAX}), 32);
    assert_memory_equal(out[1].data, ((int64_t[]){2, 1, 4, 0}), 32);
    assert_memory_equal(out[2].data, ((int64_t[]){3, 1, 0, 3, 2}), 40);
    assert_memory_equal(out[3].data, ((int64_t[]){1, 1, 1, 2}), 32);
    norn_solo_deinit(&solo);
}

static void running_sums_and_products_equal_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        const shape s = draw_shape(1 + (int32_t)below(4));
        const int32_t axis = (int32_t)below(s.rank);
        const bool product = below(2), exclusive = below(2), reverse = below(2);
        static const norn_dtype dtypes[] = {NORN_F64, NORN_I64, NORN_F32};
        const norn_dtype dtype = dtypes[below(product ? 2 : 3)];
        int64_t given = below(2) ? axis : axis - s.rank;
        norn_view in[2] = {draw(dtype, &s), norn_view_of(NORN_I64, 0, NULL, &given)};
        norn_view out = empty(dtype, &s);
        if (product) // within what is exact
            for (int64_t i = 0; i < count_of(&s); i++)
                norn_element_set_f64(dtype, in[0].data, i, 1 + fmod(get(&in[0], i), 3));
        if (exclusive) with("exclusive", 1);
        if (reverse) with("reverse", 1);
        run(product ? NORN_OP_CumProd : NORN_OP_CumSum, norn_cpu_cumulate, in, 2, &out, 1);
        for (int64_t i = 0; i < count_of(&s); i++) {
            int64_t at[NORN_MAX_RANK];
            double want = product;
            split(&s, i, at);
            for (int64_t k = 0; k < s.dims[axis]; k++) {
                const bool counts = k == at[axis] ? !exclusive
                                    : reverse     ? k > at[axis]
                                                  : k < at[axis];
                const double x = counts ? get(&in[0], along(&s, axis, i, k)) : product;
                want = product ? want * x : want + x;
            }
            assert_element(&out, i, want);
        }
        free_all(in, 1), free_all(&out, 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_along_any_axis_equals_the_definition),
        cmocka_unit_test(gather_elements_equals_the_definition),
        cmocka_unit_test(gather_nd_of_any_depth_and_batch_equals_the_definition),
        cmocka_unit_test(scatter_elements_with_any_reduction_equals_the_definition),
        cmocka_unit_test(scatter_nd_of_any_depth_equals_the_definition),
        cmocka_unit_test(the_place_of_the_greatest_and_the_least_equals_the_definition),
        cmocka_unit_test(the_greatest_of_nothing_stands_first),
        cmocka_unit_test(whole_numbers_are_compared_as_such),
        cmocka_unit_test(unsigned_numbers_past_int64_stay_what_they_are),
        cmocka_unit_test(unique_tells_apart_and_sorts_unsigned_numbers_past_int64),
        cmocka_unit_test(running_sums_and_products_equal_the_definition),
    };
    norn_random_init(&rng, 31);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
