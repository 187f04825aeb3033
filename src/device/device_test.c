#include "base/memory.h"
#include "device/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct fake {
    norn_device base;
    norn_alloc alloc;
} fake;

static void fake_destroy(norn_device *self) {
    fake *device = (fake *)(void *)self;
    norn_free(device->alloc, device);
}
static const norn_device_ops fake_ops = {.destroy = fake_destroy};

static norn_status fake_open(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    fake *device;
    if (ordinal > 1) return norn_fail(NORN_UNAVAILABLE, "there are 2 of them");
    NORN_TRY(NORN_NEW(alloc, &device));
    device->base = (norn_device){.ops = &fake_ops, .ordinal = ordinal, .can_run = true};
    device->alloc = alloc;
    *out = &device->base;
    return NORN_OK;
}

static void a_registered_kind_opens_with_its_ordinal(void **state) {
    (void)state;
    norn_device *device;
    norn_device_register("fake", fake_open);
    assert_int_equal(norn_device_open("fake", norn_alloc_heap(), &device), NORN_OK);
    assert_int_equal(device->ordinal, 0);
    norn_device_close(device);
    assert_int_equal(norn_device_open("fake:1", norn_alloc_heap(), &device), NORN_OK);
    assert_int_equal(device->ordinal, 1);
    norn_device_close(device);
    norn_device_close(NULL);
}

static void a_backend_that_fails_names_the_device(void **state) {
    (void)state;
    norn_device *device = (norn_device *)(uintptr_t)1;
    norn_device_register("fake", fake_open);
    assert_int_equal(norn_device_open("fake:7", norn_alloc_heap(), &device), NORN_UNAVAILABLE);
    assert_null(device);
    assert_string_equal(norn_message(), "device 'fake:7': there are 2 of them");
}

static void a_name_that_is_no_device_is_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",        ":",
                                      "fake:",   "fake:x",
                                      "fake:-1", "fake:99999999999",
                                      "tpu",     "a_kind_with_a_very_long_name",
                                      "fake:1:2"};
    norn_device *device;
    norn_device_register("fake", fake_open);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(norn_device_open(bad[i], norn_alloc_heap(), &device),
                         NORN_INVALID_ARGUMENT);
        assert_null(device);
        assert_non_null(strstr(norn_message(), "write fake"));
    }
}

static norn_status other_open(int32_t ordinal, norn_alloc alloc, norn_device **out) {
    (void)alloc;
    *out = NULL;
    return norn_fail(NORN_UNIMPLEMENTED, "other %d", (int)ordinal);
}

/// What a program has registered itself stays; a host has no ordinals and is found by what it is.
static void kinds_are_offered_registered_and_named(void **state) {
    (void)state;
    norn_device *device;
    char names[NORN_DEVICE_NAMES];
    norn_device_register("fake", fake_open);
    assert_string_equal(norn_device_host_name(), "");
    assert_string_equal(norn_device_names(names), "fake or fake:N");
    norn_device_offer(&(norn_device_kind){.name = "home", .open = fake_open, .host = true});
    assert_string_equal(norn_device_names(names), "fake, fake:N or home");
    assert_string_equal(norn_device_host_name(), "home");
    norn_device_offer(&(norn_device_kind){.name = "fake", .open = other_open});
    norn_device_offer(&(norn_device_kind){.name = "far", .open = other_open});
    assert_string_equal(norn_device_names(names), "fake, fake:N, home, far or far:N");
    assert_int_equal(norn_device_open("fake", norn_alloc_heap(), &device), NORN_OK);
    norn_device_close(device);
    assert_int_equal(norn_device_open("far:3", norn_alloc_heap(), &device), NORN_UNIMPLEMENTED);
    assert_string_equal(norn_message(), "device 'far:3': other 3");
    assert_true(norn_device_is_name("far:3") && norn_device_is_name("home"));
    assert_false(norn_device_is_name("home:0") || norn_device_is_name("near"));
    assert_int_equal(norn_device_open("home:0", norn_alloc_heap(), &device), NORN_INVALID_ARGUMENT);
    norn_device_register("far", fake_open);
    assert_int_equal(norn_device_open("far", norn_alloc_heap(), &device), NORN_OK);
    norn_device_close(device);
}

/// Of 15 letters, and eight of them.
static void a_kind_that_does_not_fit_the_registry_is_none(void **state) {
    (void)state;
    static const char *const kinds[] = {
        "sixteen_letters_", "fifteen_letters", "k4", "k5", "k6", "k7", "k8", "k9"};
    for (int i = 0; i < 8; i++) norn_device_register(kinds[i], fake_open);
    for (int i = 0; i < 8; i++) assert_int_equal(norn_device_is_name(kinds[i]), i > 0 && i < 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_registered_kind_opens_with_its_ordinal),
        cmocka_unit_test(a_backend_that_fails_names_the_device),
        cmocka_unit_test(a_name_that_is_no_device_is_refused),
        cmocka_unit_test(kinds_are_offered_registered_and_named),
        cmocka_unit_test(a_kind_that_does_not_fit_the_registry_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
