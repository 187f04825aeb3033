#include "base/cmocka_all.h"
#include "base/crc32.h"

/// Bit by bit, as the definition reads.
static uint32_t plain(const uint8_t *bytes, size_t count) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static void test_the_check_value(void **state) {
    (void)state;
    assert_int_equal(norn_crc32(0, "123456789", 9), 0xcbf43926u);
    assert_int_equal(norn_crc32(0, NULL, 0), 0);
}

static void test_every_length_and_cut(void **state) {
    uint8_t bytes[67];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t n = 0; n <= sizeof bytes; n++) {
        const uint32_t whole = plain(bytes, n);
        assert_int_equal(norn_crc32(0, bytes, n), whole);
        for (size_t cut = 0; cut <= n; cut++)
            assert_int_equal(norn_crc32(norn_crc32(0, bytes, cut), bytes + cut, n - cut), whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_check_value),
        cmocka_unit_test(test_every_length_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
