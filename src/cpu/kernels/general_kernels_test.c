// Kernels that move, pick and reduce, against loops that read like the definition.
// ONNX's node cases (tests/conformance) cover the rest; here is what they do not:
// odd strides, hostile data, canaries.
#include "base/hash.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_node.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static norn_random random_state;

static int64_t below(int64_t n) {
    return (int64_t)(norn_random_u64(&random_state) % (uint64_t)n);
}

static void assert_refused(norn_status status, const char *what) {
    assert_int_equal(status, NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "n/7"));
    if (!strstr(norn_message(), what)) fail_msg("'%s' does not say '%s'", norn_message(), what);
}

static norn_attrs int_attr(const char *name, int64_t value) {
    static norn_attr attr;
    attr = (norn_attr){.name = name, .kind = NORN_ATTR_INT, .i64 = value};
    return (norn_attrs){&attr, 1};
}

static norn_view view(norn_dtype dtype, int32_t rank, const int64_t *dims, void *data) {
    return norn_view_of(dtype, rank, dims, data);
}
#define DIMS(...) ((int64_t[]){__VA_ARGS__})

static void gather_takes_negative_indices_and_refuses_outside_ones(void **state) {
    (void)state;
    float table[] = {0, 1, 10, 11, 20, 21};
    int64_t good[] = {2, -3}, bad[] = {0, 3}, low[] = {-4, 0};
    norn_view in[2] = {view(NORN_F32, 2, DIMS(3, 2), table), view(NORN_I64, 1, DIMS(2), good)};
    norn_view out = view(NORN_F32, 2, DIMS(2, 2), NULL);
    norn_solo solo;
    assert_int_equal(
        solo_run_node(&solo, NORN_OP_Gather, norn_cpu_gather, int_attr("axis", 0), in, 2, &out),
        NORN_OK);
    assert_memory_equal(out.data, ((float[]){20, 21, 0, 1}), 4 * sizeof(float));
    norn_solo_deinit(&solo);
    for (int i = 0; i < 2; i++) {
        in[1].data = i ? low : bad;
        out.data = NULL;
        assert_refused(
            solo_run_node(&solo, NORN_OP_Gather, norn_cpu_gather, int_attr("axis", 0), in, 2, &out),
            i ? "-4" : "index 3");
        norn_solo_deinit(&solo);
    }
}

static void scatter_refuses_an_index_outside(void **state) {
    (void)state;
    float data[] = {1, 2, 3}, update[] = {9};
    int64_t bad[] = {3};
    norn_view in[3] = {view(NORN_F32, 1, DIMS(3), data), view(NORN_I64, 1, DIMS(1), bad),
                       view(NORN_F32, 1, DIMS(1), update)};
    norn_view out = view(NORN_F32, 1, DIMS(3), NULL);
    norn_solo solo;
    assert_refused(solo_run_node(&solo, NORN_OP_ScatterElements, norn_cpu_scatter_elements,
                                 int_attr("axis", 0), in, 3, &out),
                   "index 3");
    norn_solo_deinit(&solo);
}

/// Shapes that symbols left open while compiling: nothing may be read outside.
static void parts_that_do_not_fit_are_refused(void **state) {
    (void)state;
    float data[64] = {0};
    norn_view parts[2] = {view(NORN_F32, 2, DIMS(4, 2), data), view(NORN_F32, 2, DIMS(3, 2), data)};
    norn_view out = view(NORN_F32, 2, DIMS(4, 4), NULL);
    norn_solo solo;
    assert_refused(
        solo_run_node(&solo, NORN_OP_Concat, norn_cpu_concat, int_attr("axis", 1), parts, 2, &out),
        "input 1");
    norn_solo_deinit(&solo);
    norn_view wide = view(NORN_F32, 2, DIMS(4, 5), NULL),
              narrow = view(NORN_F32, 2, DIMS(4, 3), data);
    assert_refused(
        solo_run_node(&solo, NORN_OP_Expand, norn_cpu_expand, (norn_attrs){0}, &narrow, 1, &wide),
        "input 0");
    norn_solo_deinit(&solo);
    int64_t start[] = {2}, end[] = {9};
    norn_view slice[3] = {view(NORN_F32, 1, DIMS(4), data), view(NORN_I64, 1, DIMS(1), start),
                          view(NORN_I64, 1, DIMS(1), end)};
    norn_view rows = view(NORN_F32, 1, DIMS(3), NULL);
    assert_refused(
        solo_run_node(&solo, NORN_OP_Slice, norn_cpu_slice, (norn_attrs){0}, slice, 3, &rows),
        "input 0");
    norn_solo_deinit(&solo);
}

static int64_t offset_at(const int64_t *at, const int64_t *dims, int32_t rank) {
    int64_t offset = 0;
    for (int32_t d = 0; d < rank; d++) offset = offset * dims[d] + at[d];
    return offset;
}

static void transposes_of_any_rank_and_width_equal_the_definition(void **state) {
    (void)state;
    const norn_dtype dtypes[] = {NORN_U8, NORN_F16, NORN_F32, NORN_F64, NORN_C128};
    norn_random_init(&random_state, 7);
    for (int round = 0; round < 200; round++) {
        norn_dtype dtype = dtypes[below(5)];
        size_t size = norn_dtype_bits(dtype) / 8;
        int32_t rank = 1 + (int32_t)below(5);
        int64_t dims[5], perm[5], turned[5], elems = 1;
        for (int32_t d = 0; d < rank; d++)
            elems *= dims[d] = 1 + below(round % 4 == 0 ? 40 : 7), perm[d] = d;
        if (elems > 20000) continue;
        for (int32_t d = rank - 1; d > 0; d--) {
            int64_t other = below(d + 1), kept = perm[d];
            perm[d] = perm[other], perm[other] = kept;
        }
        for (int32_t d = 0; d < rank; d++) turned[d] = dims[perm[d]];
        uint8_t *data = malloc((size_t)elems * size), *result = malloc((size_t)elems * size + 16);
        for (size_t i = 0; i < (size_t)elems * size; i++) data[i] = (uint8_t)below(256);
        memset(result, 0x5a, (size_t)elems * size + 16);
        const norn_attr attr = {
            .name = "perm", .kind = NORN_ATTR_INTS, .count = (uint32_t)rank, .ints = perm};
        norn_view in = view(dtype, rank, dims, data), out = view(dtype, rank, turned, result);
        norn_solo solo;
        assert_int_equal(solo_run_node(&solo, NORN_OP_Transpose, norn_cpu_transpose,
                                       (norn_attrs){&attr, 1}, &in, 1, &out),
                         NORN_OK);
        norn_solo_deinit(&solo);
        for (int64_t i = 0; i < elems; i++) {
            int64_t at[5], from[5], rest = i;
            for (int32_t d = rank - 1; d >= 0; d--) at[d] = rest % turned[d], rest /= turned[d];
            for (int32_t d = 0; d < rank; d++) from[perm[d]] = at[d];
            assert_memory_equal(result + (size_t)i * size,
                                data + (size_t)offset_at(from, dims, rank) * size, size);
        }
        for (int i = 0; i < 16; i++)
            assert_int_equal(result[(size_t)elems * size + (size_t)i], 0x5a);
        free(data);
        free(result);
    }
}

/// Of no element, of one, and where every axis of the highest rank repeats.
static void tiles_of_any_rank_equal_the_definition(void **state) {
    (void)state;
    norn_random_init(&random_state, 9);
    for (int round = 0; round < 200; round++) {
        int32_t rank = 1 + (int32_t)below(NORN_MAX_RANK);
        int64_t dims[NORN_MAX_RANK], tiled[NORN_MAX_RANK], elems = 1;
        uint8_t data[1 << NORN_MAX_RANK], result[(1 << 2 * NORN_MAX_RANK) + 1];
        for (int32_t d = 0; d < rank; d++) {
            dims[d] = 1 + (round % 4 ? below(2) : 0);
            elems *= tiled[d] = dims[d] * (1 + (round % 5 ? below(2) : 0));
        }
        if (round % 8 == 7) elems = dims[0] = tiled[0] = 0;
        for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)(1 + below(255));
        memset(result, 0, sizeof result);
        norn_view in = view(NORN_U8, rank, dims, data);
        norn_view out = view(NORN_U8, rank, tiled, result);
        norn_solo solo;
        assert_int_equal(
            solo_run_node(&solo, NORN_OP_Tile, norn_cpu_tile, (norn_attrs){0}, &in, 1, &out),
            NORN_OK);
        norn_solo_deinit(&solo);
        for (int64_t i = 0; i < elems; i++) {
            int64_t from[NORN_MAX_RANK], rest = i;
            for (int32_t d = rank - 1; d >= 0; d--)
                from[d] = rest % tiled[d] % dims[d], rest /= tiled[d];
            assert_int_equal(result[i], data[offset_at(from, dims, rank)]);
        }
        assert_int_equal(result[elems], 0);
    }
}

static void a_slice_walks_backwards(void **state) {
    (void)state;
    float data[] = {0, 1, 2, 3, 4, 5, 6};
    int64_t start[] = {-2}, end[] = {INT64_MIN}, axis[] = {0}, step[] = {-2};
    norn_view in[5] = {view(NORN_F32, 1, DIMS(7), data), view(NORN_I64, 1, DIMS(1), start),
                       view(NORN_I64, 1, DIMS(1), end), view(NORN_I64, 1, DIMS(1), axis),
                       view(NORN_I64, 1, DIMS(1), step)};
    norn_view out = view(NORN_F32, 1, DIMS(3), NULL);
    norn_solo solo;
    assert_int_equal(
        solo_run_node(&solo, NORN_OP_Slice, norn_cpu_slice, (norn_attrs){0}, in, 5, &out), NORN_OK);
    assert_memory_equal(out.data, ((float[]){5, 3, 1}), 3 * sizeof(float));
    norn_solo_deinit(&solo);
}

static void top_k_is_the_head_of_a_stable_sort(void **state) {
    (void)state;
    norn_random_init(&random_state, 11);
    for (int round = 0; round < 50; round++) {
        int64_t n = 1 + below(60), k = 1 + below(n), index[64];
        float data[64];
        for (int64_t i = 0; i < n; i++) data[i] = (float)below(9), index[i] = i; // many ties
        for (int64_t i = 1; i < n; i++) // insertion sort: stable
            for (int64_t j = i; j > 0 && data[index[j - 1]] < data[index[j]]; j--) {
                int64_t kept = index[j];
                index[j] = index[j - 1], index[j - 1] = kept;
            }
        norn_view in[2] = {view(NORN_F32, 1, DIMS(n), data), view(NORN_I64, 1, DIMS(1), &k)};
        norn_view out[2] = {view(NORN_F32, 1, DIMS(k), NULL), view(NORN_I64, 1, DIMS(k), NULL)};
        norn_solo solo;
        norn_solo_init(&solo, norn_alloc_heap(), NULL);
        solo.call.name = "n/7", solo.call.op = NORN_OP_TopK, solo.call.in = in,
        solo.call.in_count = 2;
        solo.call.out = out, solo.call.out_count = 2;
        assert_int_equal(norn_solo_run(&solo, norn_cpu_top_k), NORN_OK);
        for (int64_t i = 0; i < k; i++) {
            assert_int_equal(((int64_t *)out[1].data)[i], index[i]);
            assert_true(((float *)out[0].data)[i] == data[index[i]]);
        }
        norn_solo_deinit(&solo);
    }
}

static void reductions_over_any_axes_equal_the_definition(void **state) {
    (void)state;
    norn_random_init(&random_state, 13);
    for (int round = 0; round < 60; round++) {
        int64_t dims[3] = {1 + below(5), 1 + below(6), 1 + below(7)}, axes[3], kept[3] = {1, 1, 1},
                count = 0;
        float data[5 * 6 * 7];
        double sum[5 * 6 * 7] = {0};
        int64_t mask = 1 + below(7);
        for (int64_t d = 0; d < 3; d++)
            if (mask >> d & 1)
                axes[count++] = round % 2 ? d - 3 : d;
            else
                kept[d] = dims[d];
        int64_t elems = dims[0] * dims[1] * dims[2];
        for (int64_t i = 0; i < elems; i++) {
            int64_t at[3] = {i / (dims[1] * dims[2]), i / dims[2] % dims[1], i % dims[2]};
            data[i] = (float)norn_random_unit(&random_state);
            for (int d = 0; d < 3; d++) at[d] = mask >> d & 1 ? 0 : at[d];
            sum[offset_at(at, kept, 3)] += (double)data[i];
        }
        norn_view in[2] = {view(NORN_F32, 3, dims, data), view(NORN_I64, 1, DIMS(count), axes)};
        norn_view out = view(NORN_F32, 3, kept, NULL);
        norn_solo solo;
        assert_int_equal(
            solo_run_node(&solo, NORN_OP_ReduceSum, norn_cpu_reduce, (norn_attrs){0}, in, 2, &out),
            NORN_OK);
        for (int64_t i = 0; i < kept[0] * kept[1] * kept[2]; i++)
            assert_true(fabs((double)((float *)out.data)[i] - sum[i]) < 1e-4);
        norn_solo_deinit(&solo);
    }
}

static void packed_types_move_by_their_elements(void **state) {
    (void)state;
    uint8_t data[] = {0x21, 0x43, 0x65}; // 1 2 3 4 5 6
    norn_view in = view(NORN_U4, 2, DIMS(2, 3), data), out = view(NORN_U4, 2, DIMS(3, 2), NULL);
    norn_solo solo;
    assert_int_equal(
        solo_run_node(&solo, NORN_OP_Transpose, norn_cpu_transpose, (norn_attrs){0}, &in, 1, &out),
        NORN_OK);
    for (int64_t i = 0; i < 6; i++)
        assert_int_equal(norn_element_i64(NORN_U4, out.data, i), ((int[]){1, 4, 2, 5, 3, 6})[i]);
    norn_solo_deinit(&solo);
}

static void numbers_with_a_seed_are_the_same_each_time(void **state) {
    (void)state;
    const norn_attr seed = {.name = "seed", .kind = NORN_ATTR_FLOAT, .f32 = 3};
    norn_solo solo[2];
    norn_view out[2] = {view(NORN_F32, 1, DIMS(1000), NULL), view(NORN_F32, 1, DIMS(1000), NULL)};
    double sum = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(solo_run_node(&solo[i], NORN_OP_RandomUniform, norn_cpu_random,
                                       (norn_attrs){&seed, 1}, NULL, 0, &out[i]),
                         NORN_OK);
    assert_memory_equal(out[0].data, out[1].data, 1000 * sizeof(float));
    for (int i = 0; i < 1000; i++) sum += (double)((float *)out[0].data)[i];
    assert_true(sum > 450 && sum < 550);
    for (int i = 0; i < 2; i++) norn_solo_deinit(&solo[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gather_takes_negative_indices_and_refuses_outside_ones),
        cmocka_unit_test(scatter_refuses_an_index_outside),
        cmocka_unit_test(parts_that_do_not_fit_are_refused),
        cmocka_unit_test(transposes_of_any_rank_and_width_equal_the_definition),
        cmocka_unit_test(tiles_of_any_rank_equal_the_definition),
        cmocka_unit_test(a_slice_walks_backwards),
        cmocka_unit_test(top_k_is_the_head_of_a_stable_sort),
        cmocka_unit_test(reductions_over_any_axes_equal_the_definition),
        cmocka_unit_test(packed_types_move_by_their_elements),
        cmocka_unit_test(numbers_with_a_seed_are_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
