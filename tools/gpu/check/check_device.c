/// The device suite (testing/device_cases.h) on every GPU of the machine.
#include "check.h"
#include "testing/device_cases.h"

void check_device(checker *k) {
    norn_device *other = NULL;
    if (norn_backend_open(1, norn_alloc_heap(), &other) == NORN_OK && !other->can_run) {
        other->ops->destroy(other);
        other = NULL;
    }
    norn_device_verdict verdict = norn_device_cases_run(k->device, other);
    k->passed += verdict.passed;
    k->failed += verdict.failed;
    if (other) {
        verdict = norn_device_cases_run(other, k->device);
        k->passed += verdict.passed;
        k->failed += verdict.failed;
        other->ops->destroy(other);
    }
    if (k->device->ops->enter(k->device) != NORN_OK) k->failed++;
}
