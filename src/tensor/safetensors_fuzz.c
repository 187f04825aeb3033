#include "tensor/dtype.h"
#include "tensor/safetensors.h"
#include "tensor/view.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_arena arena;
    norn_safetensors all;
    volatile double sum = 0;
    norn_arena_init(&arena, norn_alloc_heap(), 4096);
    if (norn_safetensors_decode(norn_span_of(data, size), "fuzz.safetensors", &arena, &all) ==
        NORN_OK) {
        for (size_t i = 0; i < all.count; i++) {
            const norn_view *view = &all.at[i].view;
            size_t bytes;
            if (norn_view_bytes(view, &bytes) != NORN_OK) abort();
            const uint8_t *begin = view->data;
            // What lies askew in the file is a copy, aligned; the sanitizer sees whether it is whole.
            const bool inside =
                begin >= data && begin <= data + size && bytes <= (size_t)(data + size - begin);
            if (!inside && (uintptr_t)begin % 8 != 0) abort();
            if (bytes) sum = sum + begin[0] + begin[bytes - 1];
            if (norn_safetensors_find(&all, all.at[i].name) != view) abort(); // names are unique
            for (int64_t j = 0; j < norn_view_elems(view) && j < 100; j++)
                sum = sum + norn_element_f64(view->dtype, view->data, j);
        }
    }
    norn_arena_deinit(&arena);
    return 0;
}
