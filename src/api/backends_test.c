#include "api/backends.h"

#include "base/cmocka_all.h"
#include "base/memory.h"
#include "device/device.h"

#include <stdlib.h>

static void the_cpu_is_the_host_and_there_may_be_gpus(void **state) {
    char names[NORN_DEVICE_NAMES];
    norn_device *device;
    (void)state;
    norn_backends_offer();
    norn_backends_offer();
    assert_string_equal(norn_device_names(names), "cpu, cuda or cuda:N");
    assert_string_equal(norn_device_host_name(), "cpu");
    assert_int_equal(norn_device_open("cpu", norn_alloc_heap(), &device), NORN_OK);
    norn_device_close(device);
    assert_int_equal(norn_device_open("cpu:0", norn_alloc_heap(), &device), NORN_INVALID_ARGUMENT);
}

static void a_missing_cuda_library_is_unavailable_and_says_what_to_do(void **state) {
    (void)state;
    norn_device *device;
    norn_backends_offer();
    setenv("NORN_CUDA_LIBRARY", "/nowhere/libnorn_cuda.so", 1);
    assert_int_equal(norn_device_open("cuda", norn_alloc_heap(), &device), NORN_UNAVAILABLE);
    unsetenv("NORN_CUDA_LIBRARY");
    assert_null(device);
    assert_non_null(strstr(norn_message(), "/nowhere/libnorn_cuda.so"));
    assert_non_null(strstr(norn_message(), "set NORN_CUDA_LIBRARY"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cpu_is_the_host_and_there_may_be_gpus),
        cmocka_unit_test(a_missing_cuda_library_is_unavailable_and_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
