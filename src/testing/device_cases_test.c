/// The device suite on what there is without a GPU: the CPU, and the fake device, two of them.
#include "testing/device_cases.h"

#include "base/cmocka_all.h"
#include "testing/fake_device.h"

static void the_cpu_is_a_device(void **state) {
    norn_device *device;
    (void)state;
    assert_int_equal(norn_cpu_open(0, norn_alloc_heap(), &device), NORN_OK);
    const norn_device_verdict verdict = norn_device_cases_run(device, NULL);
    assert_int_equal(verdict.failed, 0);
    assert_true(verdict.passed >= 4);
    norn_device_close(device);
}

static void the_fake_device_is_one_and_two_are_apart(void **state) {
    norn_device *one = NULL, *other = NULL;
    (void)state;
    assert_int_equal(fake_open(0, norn_alloc_heap(), &one), NORN_OK);
    assert_int_equal(fake_open(1, norn_alloc_heap(), &other), NORN_OK);
    const norn_device_verdict verdict = norn_device_cases_run(one, other);
    assert_int_equal(verdict.failed, 0);
    assert_int_equal(verdict.skipped, 0);
    assert_int_equal(fake_log.blocks, 0);
    norn_device_close(one);
    norn_device_close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_is_a_device),
        cmocka_unit_test(the_fake_device_is_one_and_two_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
