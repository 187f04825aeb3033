/// Any bytes as a table file: an error or a table whose every row can be read.
#include "base/memory.h"
#include "store/table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t seen;

static void read_row(const char *row, int64_t bytes) {
    for (int64_t b = 0; b < bytes; b++) seen ^= (uint8_t)row[b];
}

static void read_rows(const norn_table_binding *binding) {
    const norn_table_view *view = &binding->view;
    const bool dense = view->kind == NORN_TABLE_DENSE;
    uint64_t cursor = 0;
    int64_t key, count = 0;
    const void *row, *found;
    for (int64_t i = 0; dense && i < view->row_count; i++)
        read_row((const char *)view->dense.rows + i * view->row_bytes, view->row_bytes);
    for (; !dense && norn_host_rows_list(view->host.rows, 0, &cursor, 1, &key, &row) > 0; count++) {
        norn_host_rows_find(view->host.rows, 0, &key, 1, &found);
        if (found != row) abort(); // a key of the file is found
        read_row(row, view->row_bytes);
    }
    if (!dense && count != view->row_count) abort();
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
