/// Infer requests as HTTP bodies: the first two bytes say where the
/// JSON ends, the rest is the body.
#include "serve/kserve_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_infer *infer;
    if (size < 2 || norn_infer_create(norn_alloc_heap(), &infer) != NORN_OK) return 0;
    const size_t body = size - 2, json = (size_t)(data[0] << 8 | data[1]);
    if (norn_kserve_parse_infer(norn_span_of(data + 2, body), json < body ? json : body, infer) ==
        NORN_OK) {
        uint64_t sum = 0; // every byte of every tensor must be readable
        for (uint32_t i = 0; i < infer->input_count; i++) {
            const norn_infer_input *input = &infer->inputs[i];
            for (int64_t b = 0; b < input->bytes; b++)
                sum += ((const uint8_t *)input->view.data)[b];
        }
        if (sum == UINT64_MAX) infer->rows = 0;
    }
    norn_infer_destroy(infer);
    return 0;
}
