/// Einsum and Det against sums over all indices, with guards around what they write.
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

static norn_view whole_numbers(int32_t rank, const int64_t *dims) {
    norn_view view = guarded(NORN_F32, rank, dims);
    for (int64_t i = 0; i < norn_view_elems(&view); i++)
        ((float *)view.data)[i] = (float)(below(7) - 3);
    return view;
}

static void run(const char *equation, const norn_view *in, uint32_t count, norn_view *out) {
    const norn_attr attr = {
        .name = "equation", .kind = NORN_ATTR_STRING, .string = {equation, strlen(equation)}};
    norn_solo solo;
    norn_solo_init(&solo, norn_alloc_heap(), NULL);
    solo.call.name = "sum", solo.call.attrs = (norn_attrs){&attr, 1};
    solo.call.in = in, solo.call.in_count = count;
    solo.call.out = out, solo.call.out_count = 1;
    if (norn_solo_run(&solo, norn_cpu_einsum) != NORN_OK) fail_msg("%s", norn_message());
    norn_solo_deinit(&solo);
}

enum { LETTERS = 5 };

/// One to three terms of the letters a to e, each of one size, some of them twice in a term.
static void any_sum_over_any_letters_equals_the_definition(void **state) {
    (void)state;
    for (int round = 0; round < 400; round++) {
        char equation[64] = "";
        int32_t at = 0, ranks[3], terms[3][4], out_rank = 0, kept[LETTERS];
        int64_t sizes[LETTERS], all = 1, dims[3][4], out_dims[LETTERS];
        bool seen[LETTERS] = {false};
        const int count = 1 + (int)below(3);
        norn_view in[3];
        for (int l = 0; l < LETTERS; l++) all *= sizes[l] = 1 + below(4);
        for (int i = 0; i < count; i++) {
            ranks[i] = 1 + (int32_t)below(3);
            for (int32_t d = 0; d < ranks[i]; d++) {
                const int letter = (int)below(LETTERS);
                terms[i][d] = letter, dims[i][d] = sizes[letter], seen[letter] = true;
                equation[at++] = (char)('a' + letter);
            }
            if (i + 1 < count) equation[at++] = ',';
            in[i] = whole_numbers(ranks[i], dims[i]);
        }
        equation[at++] = '-', equation[at++] = '>';
        for (int l = LETTERS - 1; l >= 0; l--) {
            if (!seen[l] || below(2)) continue;
            out_dims[out_rank] = sizes[l], kept[out_rank++] = l;
            equation[at++] = (char)('a' + l);
        }
        norn_view out = guarded(NORN_F32, out_rank, out_dims);
        double want[4 * 4 * 4 * 4 * 4] = {0};
        for (int64_t i = 0; i < all;
             i++) { // every combination; of a letter that is not there the first
            int64_t index[LETTERS], rest = i, to = 0;
            bool counts = true;
            double product = 1;
            for (int l = 0; l < LETTERS; l++) {
                index[l] = rest % sizes[l], rest /= sizes[l];
                counts &= seen[l] || index[l] == 0;
            }
            for (int k = 0; k < count; k++) {
                int64_t from = 0;
                for (int32_t d = 0; d < ranks[k]; d++)
                    from = from * dims[k][d] + index[terms[k][d]];
                product *= (double)((const float *)in[k].data)[from];
            }
            for (int32_t d = 0; d < out_rank; d++) to = to * out_dims[d] + index[kept[d]];
            if (counts) want[to] += product;
        }
        run(equation, in, (uint32_t)count, &out);
        for (int64_t i = 0; i < norn_view_elems(&out); i++)
            if ((double)((const float *)out.data)[i] != want[i])
                fail_msg("%s: element %d is %g, not %g", equation, (int)i,
                         (double)((const float *)out.data)[i], want[i]);
        for (int i = 0; i < count; i++) guarded_free(&in[i]);
        guarded_free(&out);
    }
}

/// 52 letters and an ellipsis of rank 8 fill every table; but for the first of each, sizes are 1.
static void as_many_indices_as_there_can_be_are_summed(void **state) {
    static const char equation[] =
        "...,abcdefgh,ijklmnop,qrstuvwx,yzABCDEF,GHIJKLMN,OPQRSTUV,WXYZ->...";
    (void)state;
    norn_view in[8], out;
    int64_t dims[NORN_MAX_RANK] = {3, 1, 1, 1, 1, 1, 1, 1};
    for (int i = 0; i < 8; i++) {
        in[i] = whole_numbers(i == 7 ? 4 : 8, dims);
        dims[0] = i == 0 ? 2 : 1;
    }
    out = guarded(NORN_F32, 8, (int64_t[]){3, 1, 1, 1, 1, 1, 1, 1});
    for (int i = 2; i < 8; i++) *(float *)in[i].data = (float)i;
    const float *x = in[0].data, *y = in[1].data;
    run(equation, in, 8, &out);
    for (int i = 0; i < 3; i++)
        assert_true(((const float *)out.data)[i] == x[i] * (y[0] + y[1]) * 5040);
    for (int i = 0; i < 8; i++) guarded_free(&in[i]);
    guarded_free(&out);
}

/// By expansion along the first row.
static double expanded(const double *a, int64_t n) {
    double sum = n == 0;
    for (int64_t c = 0; c < n; c++) {
        double minor[16], *to = minor;
        for (int64_t i = n; i < n * n; i++)
            if (i % n != c) *to++ = a[i];
        sum += (c % 2 ? -1 : 1) * a[c] * expanded(minor, n - 1);
    }
    return sum;
}

static void determinants_of_several_matrices_equal_the_expansion(void **state) {
    (void)state;
    for (int round = 0; round < 100; round++) {
        const int64_t n = 1 + below(5), dims[] = {2, 3, n, n};
        norn_view in = whole_numbers(4, dims), out = guarded(NORN_F32, 2, dims);
        norn_solo solo;
        norn_solo_init(&solo, norn_alloc_heap(), NULL);
        solo.call.in = &in, solo.call.in_count = 1;
        solo.call.out = &out, solo.call.out_count = 1;
        assert_int_equal(norn_solo_run(&solo, norn_cpu_det), NORN_OK);
        for (int64_t i = 0; i < 6; i++) {
            double a[25];
            for (int64_t k = 0; k < n * n; k++) a[k] = (double)((float *)in.data)[i * n * n + k];
            assert_true(fabs((double)((float *)out.data)[i] - expanded(a, n)) < 1e-3);
        }
        norn_solo_deinit(&solo);
        guarded_free(&in), guarded_free(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sum_over_any_letters_equals_the_definition),
        cmocka_unit_test(as_many_indices_as_there_can_be_are_summed),
        cmocka_unit_test(determinants_of_several_matrices_equal_the_expansion),
    };
    norn_random_init(&rng, 41);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
