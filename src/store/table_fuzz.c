/// Any bytes as a table file: an error or a table whose every row can be read.
#include "base/memory.h"
#include "store/table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t seen;

static void read_rows(const norn_table_binding *binding) {
    const norn_table_view *view = &binding->view;
    for (int64_t i = 0; i < view->row_count; i++) {
        const void *row;
        if (view->kind == NORN_TABLE_DENSE)
            row = (const char *)view->dense.rows + i * view->row_bytes;
        else
            norn_host_rows_find(view->host.rows, 0, &view->host.rows->keys[i], 1, &row);
        if (!row) abort(); // a key of the file is found
        for (int64_t b = 0; b < view->row_bytes; b++) seen ^= ((const uint8_t *)row)[b];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_table *table;
    uint8_t *copy = aligned_alloc(64, (size + 64) / 64 * 64); // as a mapping: aligned
    memcpy(copy, data, size);
    if (norn_table_decode(norn_span_of(copy, size), "fuzz.safetensors", "fuzz", norn_alloc_heap(),
                          &table) == NORN_OK) {
        read_rows(&table->binding);
        norn_table_release(table);
    }
    free(copy);
    return 0;
}
