#include "base/memory.h"
#include "cpu/cpu_kernel.h"
#include "cpu/solo_call.h"
#include "kernel/host_rows.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 50, DIM = 6 };
static float rows_f32[ROWS][DIM];
static uint16_t rows_f16[ROWS][DIM];
static int8_t rows_i8[ROWS][12]; // six elements, two of padding, the scale
static _Atomic uint64_t missing;

/// Row k is k * 10 + column; the hashed table has the even keys 1000, 1002, ...
static float cell(int64_t row, int64_t column) {
    return (float)(row * 10 + column);
}

/// Row r has the key 1000 + 2r.
static const norn_host_rows *even_rows(void) {
    static norn_host_rows table;
    static int64_t keys[ROWS];
    if (table.rows) return &table;
    for (int64_t r = 0; r < ROWS; r++) keys[r] = 1000 + 2 * r;
    assert_int_equal(
        norn_host_rows_init(&table, keys, rows_f32, ROWS, sizeof rows_f32[0], norn_alloc_heap()),
        NORN_OK);
    return &table;
}

static void fill_tables(norn_table_binding tables[4]) {
    for (int64_t r = 0; r < ROWS; r++) {
        const float scale = 2;
        for (int64_t c = 0; c < DIM; c++) {
            rows_f32[r][c] = cell(r, c);
            rows_f16[r][c] = norn_f32_to_f16(cell(r, c));
            rows_i8[r][c] = (int8_t)(r + c);
        }
        memcpy(&rows_i8[r][8], &scale, sizeof scale);
    }
    tables[0] = (norn_table_binding){.name = "dense",
                                     .dtype = NORN_F32,
                                     .dim = DIM,
                                     .view = {.kind = NORN_TABLE_DENSE,
                                              .missing = NORN_MISSING_ERROR,
                                              .row_count = ROWS,
                                              .row_bytes = sizeof rows_f32[0],
                                              .dense = {rows_f32}}};
    tables[1] = tables[0];
    tables[1].name = "half", tables[1].dtype = NORN_F16;
    tables[1].view.dense.rows = rows_f16, tables[1].view.row_bytes = sizeof rows_f16[0];
    tables[2] = tables[0];
    tables[2].name = "quantised", tables[2].dtype = NORN_I8;
    tables[2].view.dense.rows = rows_i8, tables[2].view.row_bytes = sizeof rows_i8[0];
    tables[3] = tables[0];
    tables[3].name = "hashed", tables[3].view.kind = NORN_TABLE_HOST_INDEX;
    tables[3].view.host.rows = even_rows(), tables[3].view.host.step = 0;
    tables[3].view.missing = NORN_MISSING_DEFAULT, tables[3].view.missing_count = &missing;
}

typedef struct fixture {
    norn_table_binding tables[4];
    norn_solo solo;
    norn_lookup_column columns[4];
    norn_region region;
    norn_view in[4], out;
} fixture;

static norn_lookup_column column_of(uint32_t table, norn_keys_form form, norn_pool_mode pool) {
    return (norn_lookup_column){.table = table,
                                .dim = DIM,
                                .form = form,
                                .pool = pool,
                                .rows_input = NORN_NO_INPUT,
                                .offsets_input = NORN_NO_INPUT,
                                .weights_input = NORN_NO_INPUT};
}

static norn_status run(fixture *f, uint32_t column_count, uint32_t in_count, norn_pool *pool) {
    fill_tables(f->tables);
    f->region.lookup = (norn_lookup_region){column_count, f->columns};
    norn_solo_init(&f->solo, norn_alloc_heap(), pool);
    f->solo.call.region = &f->region;
    f->solo.call.tables = f->tables;
    f->solo.call.in = f->in, f->solo.call.in_count = in_count;
    f->solo.call.out = &f->out, f->solo.call.out_count = 1;
    return norn_solo_run(&f->solo, norn_cpu_lookup);
}

static void columns_of_any_table_type_lie_side_by_side(void **state) {
    enum { BATCH = 1000 };
    static int64_t keys[BATCH * 3];
    static float y[BATCH * 21];
    norn_pool *pool;
    (void)state;
    assert_int_equal(norn_pool_create(2, norn_alloc_heap(), &pool), NORN_OK);
    for (int64_t i = 0; i < BATCH * 3; i++) keys[i] = i * 7 % ROWS;
    for (int64_t i = 0; i < BATCH * 21; i++) y[i] = 777;
    fixture f = {.in = {norn_view_of(NORN_I64, 2, (int64_t[]){BATCH, 3}, keys)},
                 .out = norn_view_of(NORN_F32, 2, (int64_t[]){BATCH, 3 * DIM}, y)};
    f.out.row_stride = 21;
    for (uint32_t c = 0; c < 3; c++) {
        f.columns[c] = column_of(c, NORN_KEYS_ONE, NORN_POOL_NONE);
        f.columns[c].keys_first = c, f.columns[c].keys_stride = 3, f.columns[c].keys_count = 1;
        f.columns[c].column = c * DIM;
    }
    assert_int_equal(run(&f, 3, 1, pool), NORN_OK);
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t c = 0; c < 21; c++) {
            float want = 777;
            if (c < 12) want = cell(keys[b * 3 + c / DIM], c % DIM);
            if (c >= 12 && c < 18) want = 2 * (float)(keys[b * 3 + 2] + c - 12);
            if (y[b * 21 + c] != want)
                fail_msg("row %d column %d: %g, not %g", (int)b, (int)c, (double)y[b * 21 + c],
                         (double)want);
        }
    norn_solo_deinit(&f.solo);
    norn_pool_destroy(pool);
}

static void bags_are_pooled_with_weights_and_empty_ones_are_zero(void **state) {
    int32_t values[] = {1, 2, 3, 40, 5};
    int64_t offsets[] = {0, 3, 3, 5};
    float weights[] = {1, 0.5f, -1, 2, 4};
    (void)state;
    for (int pool = NORN_POOL_SUM; pool <= NORN_POOL_MAX; pool++) {
        bool weighted = pool == NORN_POOL_SUM;
        fixture f = {.in = {norn_view_of(NORN_I32, 1, (int64_t[]){5}, values),
                            norn_view_of(NORN_I64, 1, (int64_t[]){4}, offsets),
                            norn_view_of(NORN_F32, 1, (int64_t[]){5}, weights)},
                     .out = norn_view_of(NORN_F32, 2, (int64_t[]){3, DIM}, NULL)};
        f.columns[0] = column_of(0, NORN_KEYS_CSR, (norn_pool_mode)pool);
        f.columns[0].offsets_input = 1;
        if (weighted) f.columns[0].weights_input = 2;
        assert_int_equal(run(&f, 1, 3, NULL), NORN_OK);
        const float *y = f.out.data;
        for (int64_t c = 0; c < DIM; c++) {
            float first = weighted                 ? cell(1, c) + 0.5f * cell(2, c) - cell(3, c)
                          : pool == NORN_POOL_MEAN ? (cell(1, c) + cell(2, c) + cell(3, c)) / 3
                                                   : cell(3, c);
            float last = weighted                 ? 2 * cell(40, c) + 4 * cell(5, c)
                         : pool == NORN_POOL_MEAN ? (cell(40, c) + cell(5, c)) / 2
                                                  : cell(40, c);
            assert_true(fabsf(y[c] - first) < 1e-4f);
            assert_true(y[DIM + c] == 0);
            assert_true(fabsf(y[2 * DIM + c] - last) < 1e-4f);
        }
        norn_solo_deinit(&f.solo);
    }
}

/// [B, 3, 2 * DIM] by keys[B, 3]: what is side by side in a row are two columns, not two keys.
static void histories_of_two_columns_lie_step_by_step(void **state) {
    int64_t keys[2 * 3] = {1, 2, 3, 4, 5, 6};
    (void)state;
    fixture f = {.in = {norn_view_of(NORN_I64, 2, (int64_t[]){2, 3}, keys)},
                 .out = norn_view_of(NORN_F32, 3, (int64_t[]){2, 3, 2 * DIM}, NULL)};
    for (uint32_t c = 0; c < 2; c++) {
        f.columns[c] = column_of(c, NORN_KEYS_FIXED, NORN_POOL_NONE);
        f.columns[c].keys_stride = f.columns[c].keys_count = 3;
        f.columns[c].column = c * DIM;
    }
    assert_int_equal(run(&f, 2, 1, NULL), NORN_OK);
    const float *y = f.out.data;
    for (int64_t i = 0; i < 6; i++)
        for (int64_t c = 0; c < 2 * DIM; c++)
            assert_true(y[i * 2 * DIM + c] == cell(keys[i], c % DIM));
    norn_solo_deinit(&f.solo);
}

/// Bags: some padding, none, only padding, nothing; and more keys than fit a run of 64.
static void padding_is_as_if_it_were_not_in_the_bag(void **state) {
    enum { KEYS = 206 };
    int64_t values[KEYS] = {1, 2, 9, 7, 2, 2};
    float weights[KEYS];
    int64_t offsets[] = {0, 3, 4, 6, 6, KEYS};
    (void)state;
    for (int64_t i = 0; i < KEYS; i++) weights[i] = (float)(i % 5) - 1;
    for (int64_t i = 6; i < KEYS; i++) values[i] = i % 3 == 0 ? 2 - 50 : i % 50; // -48 wraps to 2
    for (int pool = NORN_POOL_SUM; pool <= NORN_POOL_MAX; pool++) {
        bool weighted = pool == NORN_POOL_SUM;
        fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){KEYS}, values),
                            norn_view_of(NORN_I64, 1, (int64_t[]){6}, offsets),
                            norn_view_of(NORN_F32, 1, (int64_t[]){KEYS}, weights)},
                     .out = norn_view_of(NORN_F32, 2, (int64_t[]){5, DIM}, NULL)};
        f.columns[0] = column_of(0, NORN_KEYS_CSR, (norn_pool_mode)pool);
        f.columns[0].offsets_input = 1, f.columns[0].negative_wraps = true;
        f.columns[0].has_padding = true, f.columns[0].padding_key = 2;
        if (weighted) f.columns[0].weights_input = 2;
        assert_int_equal(run(&f, 1, 3, NULL), NORN_OK);
        const float *y = f.out.data;
        for (int64_t b = 0; b < 5; b++) {
            for (int64_t c = 0; c < DIM; c++) {
                double sum = 0, most = -1e30;
                int64_t count = 0;
                for (int64_t i = offsets[b]; i < offsets[b + 1]; i++) {
                    int64_t key = values[i] < 0 ? values[i] + 50 : values[i];
                    if (key == 2) continue;
                    double x = (double)cell(key, c) * (weighted ? (double)weights[i] : 1);
                    sum += x, count++;
                    if (x > most) most = x;
                }
                double want = count == 0               ? 0
                              : pool == NORN_POOL_MAX  ? most
                              : pool == NORN_POOL_MEAN ? sum / (double)count
                                                       : sum;
                assert_true(fabs((double)y[b * DIM + c] - want) < 1e-2);
            }
        }
        norn_solo_deinit(&f.solo);
    }
}

static void other_weights_than_keys_are_refused_and_nothing_is_read_past_them(void **state) {
    int64_t values[] = {1, 2, 3}, offsets[] = {0, 2, 3};
    float weights[] = {1, 1, 1, 1};
    (void)state;
    for (int64_t count = 0; count <= 4; count++) {
        fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){3}, values),
                            norn_view_of(NORN_I64, 1, (int64_t[]){3}, offsets),
                            norn_view_of(NORN_F32, 1, (int64_t[]){count}, weights)},
                     .out = norn_view_of(NORN_F32, 2, (int64_t[]){2, DIM}, NULL)};
        f.columns[0] = column_of(0, NORN_KEYS_CSR, NORN_POOL_SUM);
        f.columns[0].offsets_input = 1, f.columns[0].weights_input = 2;
        assert_int_equal(run(&f, 1, 3, NULL), count == 3 ? NORN_OK : NORN_INVALID_ARGUMENT);
        norn_solo_deinit(&f.solo);
    }
}

static void missing_keys_of_a_hashed_table_are_zero_and_counted(void **state) {
    int64_t keys[] = {1000, 1001, 1098, -4};
    (void)state;
    fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){4}, keys)},
                 .out = norn_view_of(NORN_F32, 2, (int64_t[]){4, DIM}, NULL)};
    f.columns[0] = column_of(3, NORN_KEYS_ONE, NORN_POOL_NONE);
    atomic_store(&missing, 0);
    assert_int_equal(run(&f, 1, 1, NULL), NORN_OK);
    const float *y = f.out.data;
    for (int64_t c = 0; c < DIM; c++) {
        assert_true(y[c] == cell(0, c) && y[DIM + c] == 0);
        assert_true(y[2 * DIM + c] == cell(49, c) && y[3 * DIM + c] == 0);
    }
    assert_int_equal(atomic_load(&missing), 2);
    norn_solo_deinit(&f.solo);
}

static void a_key_outside_a_dense_table_names_table_and_key(void **state) {
    int64_t keys[] = {3, 50};
    (void)state;
    fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){2}, keys)},
                 .out = norn_view_of(NORN_F32, 2, (int64_t[]){2, DIM}, NULL)};
    f.columns[0] = column_of(0, NORN_KEYS_ONE, NORN_POOL_NONE);
    assert_int_equal(run(&f, 1, 1, NULL), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "key 50 is outside table 'dense'"));
    norn_solo_deinit(&f.solo);
    keys[1] = -1; // counts from the end where the operator says so
    f.columns[0].negative_wraps = true;
    f.out.data = NULL;
    assert_int_equal(run(&f, 1, 1, NULL), NORN_OK);
    assert_true(((const float *)f.out.data)[DIM] == cell(49, 0));
    norn_solo_deinit(&f.solo);
}

static void hostile_offsets_are_refused(void **state) {
    int64_t values[] = {1, 2, 3};
    int64_t bad[][3] = {{0, 2, 4}, {0, 3, 2}, {-1, 2, 3}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){3}, values),
                            norn_view_of(NORN_I64, 1, (int64_t[]){3}, bad[i])},
                     .out = norn_view_of(NORN_F32, 2, (int64_t[]){2, DIM}, NULL)};
        f.columns[0] = column_of(0, NORN_KEYS_CSR, NORN_POOL_SUM);
        f.columns[0].offsets_input = 1;
        assert_int_equal(run(&f, 1, 2, NULL), NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), "offsets must not fall"));
        norn_solo_deinit(&f.solo);
    }
}

/// Rows as a constant of the plan, in every type that has numbers; keys, offsets and weights too.
static void rows_keys_and_weights_may_be_of_any_type(void **state) {
    static const norn_dtype rows_of[] = {NORN_F32, NORN_F16, NORN_BF16,
                                         NORN_F64, NORN_I32, NORN_U8},
                            keys_of[] = {NORN_I64, NORN_I32, NORN_I64,
                                         NORN_I32, NORN_I64, NORN_I32},
                            weights_of[] = {NORN_F32,  NORN_F16, NORN_F64,
                                            NORN_BF16, NORN_F32, NORN_F32},
                            outs[] = {NORN_F16, NORN_F32, NORN_BF16, NORN_F64, NORN_F32, NORN_F32};
    static const int64_t keys[] = {1, 4, 2, 0, 3}, offsets[] = {0, 3, 3, 5},
                         weights[] = {1, 2, -1, 3, 1};
    (void)state;
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++)
        for (int pool = NORN_POOL_SUM; pool <= NORN_POOL_MAX; pool++) {
            const bool weighted = pool == NORN_POOL_SUM;
            uint64_t row_data[5 * 4], key_data[5], offset_data[4], weight_data[5];
            for (int64_t e = 0; e < 20; e++)
                norn_element_set_f64(rows_of[i], row_data, e, (double)(e * 3 % 8));
            for (int64_t e = 0; e < 5; e++) norn_element_set_i64(keys_of[i], key_data, e, keys[e]);
            for (int64_t e = 0; e < 4; e++)
                norn_element_set_i64(keys_of[i], offset_data, e, offsets[e]);
            for (int64_t e = 0; e < 5; e++)
                norn_element_set_f64(weights_of[i], weight_data, e, (double)weights[e]);
            fixture f = {.in = {norn_view_of(keys_of[i], 1, (int64_t[]){5}, key_data),
                                norn_view_of(keys_of[i], 1, (int64_t[]){4}, offset_data),
                                norn_view_of(weights_of[i], 1, (int64_t[]){5}, weight_data),
                                norn_view_of(rows_of[i], 2, (int64_t[]){5, 4}, row_data)},
                         .out = norn_view_of(outs[i], 2, (int64_t[]){3, 4}, NULL)};
            f.columns[0] = column_of(0, NORN_KEYS_CSR, (norn_pool_mode)pool);
            f.columns[0].dim = 4, f.columns[0].rows_input = 3, f.columns[0].offsets_input = 1;
            if (weighted) f.columns[0].weights_input = 2;
            assert_int_equal(run(&f, 1, 4, NULL), NORN_OK);
            for (int64_t b = 0; b < 3; b++)
                for (int64_t c = 0; c < 4; c++) {
                    double sum = 0, most = -1e9;
                    for (int64_t k = offsets[b]; k < offsets[b + 1]; k++) {
                        const double x = (double)((keys[k] * 4 + c) * 3 % 8);
                        sum += x * (weighted ? (double)weights[k] : 1);
                        most = x > most ? x : most;
                    }
                    const int64_t count = offsets[b + 1] - offsets[b];
                    const double want = count == 0               ? 0
                                        : pool == NORN_POOL_MAX  ? most
                                        : pool == NORN_POOL_MEAN ? sum / (double)count
                                                                 : sum;
                    assert_true(fabs(norn_element_f64(outs[i], f.out.data, b * 4 + c) - want) <
                                (outs[i] == NORN_BF16 ? 0.04 : 0.01));
                }
            norn_solo_deinit(&f.solo);
        }
}

/// A half table of bags that is copied or summed, an empty bag among them.
static void half_tables_are_pooled_in_float32(void **state) {
    int64_t keys[] = {3, 5, 7};
    int64_t offsets[] = {0, 1, 1, 3};
    (void)state;
    for (int out = 0; out < 2; out++) {
        fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){3}, keys),
                            norn_view_of(NORN_I64, 1, (int64_t[]){4}, offsets)},
                     .out = norn_view_of(out ? NORN_F16 : NORN_F32, 2, (int64_t[]){3, DIM}, NULL)};
        f.columns[0] = column_of(1, NORN_KEYS_CSR, NORN_POOL_SUM);
        f.columns[0].offsets_input = 1;
        assert_int_equal(run(&f, 1, 2, NULL), NORN_OK);
        for (int64_t c = 0; c < DIM; c++) {
            assert_true(norn_element_f64(f.out.dtype, f.out.data, c) == (double)cell(3, c));
            assert_true(norn_element_f64(f.out.dtype, f.out.data, DIM + c) == 0);
            assert_true(norn_element_f64(f.out.dtype, f.out.data, 2 * DIM + c) ==
                        (double)(cell(5, c) + cell(7, c)));
        }
        norn_solo_deinit(&f.solo);
    }
}

static void sizes_that_do_not_go_together_are_refused(void **state) {
    int64_t keys[6] = {0}, offsets[3] = {0, 1, 2};
    (void)state;
    fixture f = {.in = {norn_view_of(NORN_I64, 1, (int64_t[]){5}, keys),
                        norn_view_of(NORN_I64, 1, (int64_t[]){3}, offsets)},
                 .out = norn_view_of(NORN_F32, 2, (int64_t[]){3, DIM}, NULL)};
    f.columns[0] = column_of(0, NORN_KEYS_FIXED, NORN_POOL_SUM);
    assert_int_equal(run(&f, 1, 1, NULL), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "5 keys do not divide among 3 rows"));
    norn_solo_deinit(&f.solo);
    f.in[0].dims[0] = 6;
    for (int wrong = 0; wrong < 5;
         wrong++) { // 2 keys a row, of which [first, first + count) are read
        static const int64_t spec[5][3] = {{0, 3, 1}, {-1, 2, 1}, {0, 2, 0}, {1, 2, 2}, {0, 2, 3}};
        f.columns[0].keys_first = spec[wrong][0];
        f.columns[0].keys_stride = spec[wrong][1], f.columns[0].keys_count = spec[wrong][2];
        assert_int_equal(run(&f, 1, 1, NULL), NORN_INVALID_ARGUMENT);
        assert_non_null(strstr(norn_message(), "keys come 2 a row"));
        norn_solo_deinit(&f.solo);
    }
    f.columns[0] = column_of(0, NORN_KEYS_CSR, NORN_POOL_SUM);
    f.columns[0].offsets_input = 1;
    assert_int_equal(run(&f, 1, 2, NULL), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "3 offsets for a batch of 3"));
    norn_solo_deinit(&f.solo);
    f.columns[0].dim = DIM + 1;
    assert_int_equal(run(&f, 1, 2, NULL), NORN_INVALID_ARGUMENT);
    assert_non_null(strstr(norn_message(), "has rows of 6 elements, the model expects 7"));
    norn_solo_deinit(&f.solo);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_of_any_table_type_lie_side_by_side),
        cmocka_unit_test(bags_are_pooled_with_weights_and_empty_ones_are_zero),
        cmocka_unit_test(histories_of_two_columns_lie_step_by_step),
        cmocka_unit_test(padding_is_as_if_it_were_not_in_the_bag),
        cmocka_unit_test(other_weights_than_keys_are_refused_and_nothing_is_read_past_them),
        cmocka_unit_test(missing_keys_of_a_hashed_table_are_zero_and_counted),
        cmocka_unit_test(a_key_outside_a_dense_table_names_table_and_key),
        cmocka_unit_test(hostile_offsets_are_refused),
        cmocka_unit_test(rows_keys_and_weights_may_be_of_any_type),
        cmocka_unit_test(half_tables_are_pooled_in_float32),
        cmocka_unit_test(sizes_that_do_not_go_together_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
