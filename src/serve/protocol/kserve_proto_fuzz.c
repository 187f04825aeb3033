/// ModelInferRequest messages.
#include "serve/protocol/kserve_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_request *request;
    const char *model, *version;
    if (norn_request_create(norn_alloc_heap(), &request) != NORN_OK) return 0;
    if (norn_kserve_proto_request(norn_span_of(data, size), request, &model, &version) == NORN_OK) {
        uint64_t sum = (uint64_t)model[0] + (uint64_t)version[0];
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
