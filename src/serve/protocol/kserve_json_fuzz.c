/// Infer requests as HTTP bodies: the first two bytes say where the
/// JSON ends, the rest is the body.
#include "serve/protocol/kserve_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_request *request;
    if (size < 2 || norn_request_create(norn_alloc_heap(), &request) != NORN_OK) return 0;
    const size_t body = size - 2, json = (size_t)(data[0] << 8 | data[1]);
    if (norn_kserve_json_request(norn_span_of(data + 2, body), json < body ? json : body,
                                 request) == NORN_OK) {
        uint64_t sum = 0; // every byte of every tensor must be readable
        for (uint32_t i = 0; i < request->input_count; i++) {
            const norn_request_input *input = &request->inputs[i];
            for (int64_t b = 0; b < input->bytes; b++)
                sum += ((const uint8_t *)input->view.data)[b];
        }
        if (sum == UINT64_MAX) request->rows = 0;
    }
    norn_request_destroy(request);
    return 0;
}
