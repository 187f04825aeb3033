/// ModelInferRequest messages.
#include "serve/kserve_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    norn_infer *infer;
    const char *model, *version;
    if (norn_infer_create(norn_alloc_heap(), &infer) != NORN_OK) return 0;
    if (norn_kserve_decode_infer(norn_span_of(data, size), infer, &model, &version) == NORN_OK) {
        uint64_t sum = (uint64_t)model[0] + (uint64_t)version[0];
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
