/// Any bytes as a table file: an error or a table whose every row can be read.
#include "base/memory.h"
#include "store/table.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t seen;

static void read_rows(const norn_table_binding *binding) {
    for (int64_t i = 0; i < binding->row_count; i++) {
        const void *row = (const char *)binding->rows + i * binding->row_bytes;
        if (binding->resolve && binding->resolve(binding, &binding->keys[i], 1, &row) != NORN_OK)
            abort();
        if (!row) abort(); // a key of the file is found
        for (int64_t b = 0; b < binding->row_bytes; b++) seen ^= ((const uint8_t *)row)[b];
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
