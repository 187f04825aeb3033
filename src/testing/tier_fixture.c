#include "testing/tier_fixture.h"
#include "kernel/host_rows.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const norn_tier_names[TIER_TABLES] = {"a_hashed", "b_dense", "c_wide"};
const int64_t norn_tier_rows[TIER_TABLES] = {TIER_HASHED_ROWS, TIER_DENSE_ROWS, TIER_WIDE_ROWS};
const int64_t norn_tier_dims[TIER_TABLES] = {4, 3, TIER_WIDEST};

static char folder[64];

float norn_tier_cell(uint64_t version, uint64_t step, int64_t key) {
    return (float)(version * 4000000 + step * 1000 + (uint64_t)key % 1000);
}

// ---- folders

int norn_tier_make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/norn-tier-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

int norn_tier_remove_folder(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

const char *norn_tier_folder(void) {
    return folder;
}

static void write_table(const char *dir, uint64_t version, uint32_t table) {
    const int64_t rows = norn_tier_rows[table], dim = norn_tier_dims[table];
    const bool dense = table == TIER_DENSE;
    char path[160];
    float *data = calloc((size_t)(rows * dim), sizeof *data);
    int64_t *keys = calloc((size_t)rows, sizeof *keys);
    for (int64_t r = 0; r < rows; r++) {
        keys[r] = dense ? r : 3 * r + 1;
        for (int64_t c = 0; c < dim; c++) data[r * dim + c] = norn_tier_cell(version, 0, keys[r]);
    }
    const norn_safetensor all[2] = {
        {"rows", norn_view_of(NORN_F32, 2, (int64_t[]){rows, dim}, data)},
        {"keys", norn_view_of(NORN_I64, 1, &rows, keys)}};
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, norn_tier_names[table]);
    OK(norn_safetensors_write(path, all, dense ? 1 : 2, norn_alloc_heap()));
    free(data);
    free(keys);
}

const char *norn_tier_version_dir(uint64_t version) {
    static char dir[128];
    snprintf(dir, sizeof dir, "%s/%llu", folder, (unsigned long long)version);
    if (mkdir(dir, 0700) == 0)
        for (uint32_t t = 0; t < TIER_TABLES; t++) write_table(dir, version, t);
    return dir;
}

const char *norn_tier_broken_dir(void) {
    static char dir[128];
    char path[192];
    struct stat facts;
    snprintf(dir, sizeof dir, "%s/broken", folder);
    assert_int_equal(mkdir(dir, 0700), 0);
    for (uint32_t t = 0; t < TIER_TABLES; t++) write_table(dir, 1, t);
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, norn_tier_names[TIER_WIDE]);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(truncate(path, facts.st_size - 1), 0);
    return dir;
}

// ---- reading

typedef struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t done;
    int count;
} waiter;

static void on_done(norn_fetch *fetch) {
    waiter *w = fetch->context;
    pthread_mutex_lock(&w->lock);
    w->count++;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

norn_status norn_tier_fetch_and_wait(norn_tier *tier, norn_fetch *fetch) {
    waiter w = {.count = 0};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.done, NULL);
    fetch->done = on_done;
    fetch->context = &w;
    norn_status status = tier->ops->fetch(tier, fetch);
    pthread_mutex_lock(&w.lock);
    while (status == NORN_OK && w.count == 0) pthread_cond_wait(&w.done, &w.lock);
    pthread_mutex_unlock(&w.lock);
    assert_int_equal(w.count, status == NORN_OK ? 1 : 0);
    pthread_cond_destroy(&w.done);
    pthread_mutex_destroy(&w.lock);
    return status == NORN_OK ? fetch->status : status;
}

/// What kernels are given must be what lookup gives.
static void check_pointers(norn_tier *tier, const norn_pin *pin, uint32_t table, int64_t key,
                           const float *row) {
    const int64_t dim = norn_tier_dims[table];
    const void *found;
    int64_t missing = -1, missing_count = -1;
    norn_table_binding binding;
    tier->ops->lookup(tier, pin, table, &key, 1, &found, &missing, &missing_count);
    assert_int_equal(missing_count, row ? 0 : 1);
    if (row)
        assert_memory_equal(found, row, (size_t)dim * sizeof *row);
    else
        assert_true(!found && missing == 0);
    tier->ops->view(tier, pin, table, &binding);
    assert_string_equal(binding.name, norn_tier_names[table]);
    assert_int_equal(binding.dim, dim);
    if (binding.view.kind == NORN_TABLE_HOST_INDEX) {
        norn_host_rows_find(binding.view.host.rows, binding.view.host.step, &key, 1, &found);
    } else {
        assert_int_equal(binding.view.kind, NORN_TABLE_DENSE);
        found = key >= 0 && key < binding.view.row_count
                    ? (const char *)binding.view.dense.rows + key * binding.view.row_bytes
                    : NULL;
    }
    if (row)
        assert_memory_equal(found, row, (size_t)dim * sizeof *row);
    else
        assert_null(found);
}

tier_row norn_tier_read(norn_tier *tier, const norn_pin *pin, uint32_t table, int64_t key) {
    float rows[TIER_WIDEST + 2];
    const norn_row_key asked = {key, table};
    const uint64_t at = sizeof(float);
    uint64_t step = 77;
    uint8_t state = NORN_ROW_WAITING;
    norn_fetch fetch = {.pin = pin,
                        .keys = &asked,
                        .count = 1,
                        .rows = (char *)rows,
                        .row_at = &at,
                        .step = &step,
                        .state = &state,
                        .deadline_ns = INT64_MAX};
    for (int i = 0; i < TIER_WIDEST + 2; i++) rows[i] = -7;
    OK(norn_tier_fetch_and_wait(tier, &fetch));
    const int64_t dim = norn_tier_dims[table];
    const bool found = state == NORN_ROW_FOUND;
    assert_true(rows[0] == -7 && rows[1 + dim] == -7); // nothing beside the row is written
    for (int64_t i = 1; i < dim; i++) assert_true(!found || rows[1 + i] == rows[1]);
    if (tier->ops->traits & NORN_TIER_POINTERS)
        check_pointers(tier, pin, table, key, found ? rows + 1 : NULL);
    return (tier_row){(norn_row_state)state, step, rows[1], rows[dim]};
}

bool norn_tier_is_skewed(const norn_tier *tier, const norn_pin *pin, const tier_row *row,
                         int64_t key) {
    if (!(tier->ops->traits & NORN_TIER_SHARED) || row->step <= pin->step) return false;
    return row->state == NORN_ROW_DELETED ||
           (row->state == NORN_ROW_FOUND && row->last == row->first &&
            row->first == norn_tier_cell(pin->version->number, row->step, key));
}

void norn_tier_expect(norn_tier *tier, const norn_pin *pin, uint32_t table, int64_t key,
                      uint64_t step) {
    const tier_row row = norn_tier_read(tier, pin, table, key);
    if (norn_tier_is_skewed(tier, pin, &row, key)) return;
    if (step == NORN_TIER_NONE) {
        assert_true(row.state == NORN_ROW_ABSENT || row.state == NORN_ROW_DELETED);
        return;
    }
    assert_int_equal(row.state, NORN_ROW_FOUND);
    assert_int_equal(row.step, step);
    assert_true(row.first == norn_tier_cell(pin->version->number, step, key));
}

// ---- writing

norn_status norn_tier_write(norn_tier *tier, norn_version *version, uint64_t step, uint32_t table,
                            const int64_t *keys, uint32_t count, bool deletes) {
    const int64_t dim = norn_tier_dims[table];
    float *rows = calloc(count * (size_t)dim + 1, sizeof *rows);
    for (int64_t i = 0; i < count * dim; i++)
        rows[i] = norn_tier_cell(version->number, step, keys[i / dim]);
    const norn_delta delta = {.step = step,
                              .table = table,
                              .count = count,
                              .deletes = deletes,
                              .keys = keys,
                              .rows = deletes ? NULL : (const char *)rows,
                              .row_bytes = deletes ? 0 : (size_t)dim * sizeof *rows};
    const norn_status status = tier->ops->apply(tier, version, &delta);
    free(rows);
    return status;
}

norn_status norn_tier_commit(norn_tier *tier, norn_version *version, uint64_t step) {
    const norn_position position = {.epoch = 1, .sequence = step, .chain = 0};
    return tier->ops->commit(tier, version, &(norn_cut){step, 1, &position});
}
