#include "base/wire.h"

#include <stdlib.h>

/// Reads every field, nested ones as messages too; every byte that a
/// field shows is inside the input.
static void walk(norn_span bytes, norn_span input, int depth) {
    norn_wire_reader reader = {.rest = bytes};
    norn_wire_field field;
    bool more;
    while (norn_wire_next(&reader, &field, &more) == NORN_OK && more) {
        if (field.number == 0 || field.number > 0x1fffffff) abort();
        if (field.type != NORN_WIRE_BYTES || field.bytes.count == 0) continue;
        if (field.bytes.bytes < input.bytes ||
            field.bytes.bytes + field.bytes.count > input.bytes + input.count)
            abort();
        if (depth < 8) walk(field.bytes, input, depth + 1);
        norn_span packed = field.bytes;
        uint64_t value;
        while (packed.count > 0 && norn_wire_varint(&packed, &value) == NORN_OK) {
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_span input = norn_span_of(data, size);
    walk(input, input, 0);
    return 0;
}
