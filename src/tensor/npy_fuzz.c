#include "tensor/dtype.h"
#include "tensor/npy.h"
#include "tensor/view.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_view view;
    if (norn_npy_decode(norn_span_of(data, size), "fuzz.npy", &view) != NORN_OK) return 0;
    size_t bytes;
    if (norn_view_bytes(&view, &bytes) != NORN_OK) abort();
    const uint8_t *begin = view.data;
    if (begin < data || bytes > size || begin + bytes != data + size) abort();
    volatile double sum = 0;
    for (int64_t i = 0; i < norn_view_elems(&view) && i < 1000; i++)
        sum = sum + norn_element_f64(view.dtype, view.data, i);
    return 0;
}
