/// A table's rows and its count of missing keys on a device.
#include "testing/device_case.h"

#include <stdatomic.h>
#include <string.h>

static void a_table_is_bound_and_let_go(device_bench *b) {
    const norn_device_ops *ops = b->device->ops;
    SKIP_UNLESS(ops->table_bind, "it binds no tables");
    static float rows[8][4];
    static _Atomic uint64_t missing;
    for (int i = 0; i < 32; i++) rows[i / 4][i % 4] = (float)i;
    norn_table_binding bound, host = {.dim = 4,
                                      .dtype = NORN_F32,
                                      .view = {.kind = NORN_TABLE_DENSE,
                                               .row_bytes = sizeof rows[0],
                                               .row_count = 8,
                                               .dense = {.rows = rows},
                                               .missing_count = &missing}};
    MUST_OK(ops->table_bind(b->device, &host, &bound));
    MUST(bound.view.row_count == 8 && bound.view.row_bytes == sizeof rows[0] && bound.dim == 4);
    norn_status status = NORN_OK;
    float back[8][4] = {{0}};
    if (ops->copy && b->one) {
        status = ops->copy(b->device, b->one, b->out, bound.view.dense.rows, sizeof rows);
        if (status == NORN_OK) status = device_bench_wait(b, b->one);
        memcpy(back, b->out, sizeof back);
    } else {
        memcpy(back, bound.view.dense.rows, sizeof back);
    }
    if (status == NORN_OK && ops->table_count) status = ops->table_count(b->device, &bound);
    if (ops->table_unbind) ops->table_unbind(b->device, &bound);
    MUST_OK(status);
    MUST(memcmp(back, rows, sizeof rows) == 0);
    MUST(atomic_load(&missing) == 0);
}

const device_case device_cases_tables[] = {
    {"a table is bound and let go", a_table_is_bound_and_let_go},
    {NULL, NULL},
};
