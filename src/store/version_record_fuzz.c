/// Any bytes as the records of a version: an error, or what comes back the same when it is written.
#include "base/memory.h"
#include "store/version_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_forms(norn_span bytes) {
    norn_arena arena;
    norn_buffer first, second;
    norn_version version = {0}, again = {0};
    norn_arena_init(&arena, norn_alloc_heap(), 1 << 12);
    norn_buffer_init(&first, norn_alloc_heap());
    norn_buffer_init(&second, norn_alloc_heap());
    if (norn_forms_decode(bytes, &arena, &version) == NORN_OK) {
        norn_forms_encode(&version, &first);
        if (norn_forms_decode(norn_span_of(first.bytes, first.count), &arena, &again) != NORN_OK)
            abort();
        norn_forms_encode(&again, &second);
        if (first.count != second.count ||
            (first.count && memcmp(first.bytes, second.bytes, first.count) != 0))
            abort();
    }
    norn_buffer_deinit(&first);
    norn_buffer_deinit(&second);
    norn_arena_deinit(&arena);
}

static void check_cut(norn_span bytes) {
    norn_buffer buffer;
    norn_cut cut, again;
    norn_buffer_init(&buffer, norn_alloc_heap());
    if (norn_cut_decode(bytes, norn_alloc_heap(), &cut) == NORN_OK) {
        norn_cut_encode(&cut, &buffer);
        if (norn_cut_decode(norn_span_of(buffer.bytes, buffer.count), norn_alloc_heap(), &again) !=
                NORN_OK ||
            again.step != cut.step || again.partition_count != cut.partition_count)
            abort();
        for (uint32_t p = 0; p < cut.partition_count; p++)
            if (cut.positions[p].epoch != again.positions[p].epoch ||
                cut.positions[p].sequence != again.positions[p].sequence ||
                cut.positions[p].chain != again.positions[p].chain)
                abort();
        norn_free(norn_alloc_heap(), (void *)(uintptr_t)cut.positions);
        norn_free(norn_alloc_heap(), (void *)(uintptr_t)again.positions);
    }
    norn_buffer_deinit(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_forms(norn_span_of(data, size));
    check_cut(norn_span_of(data, size));
    return 0;
}
