#include "serve/grpc/grpc_call.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static norn_service service;
static norn_io io;

static norn_grpc_call begin(int64_t request_bytes, int64_t budget_bytes) {
    norn_grpc_call call;
    service = (norn_service){.alloc = norn_alloc_heap(), .limits.request_bytes = request_bytes};
    norn_budget_init(&service.budget, budget_bytes);
    io = (norn_io){.service = &service};
    norn_grpc_call_init(&call, &io);
    return call;
}

static void end(norn_grpc_call *call) {
    norn_grpc_call_deinit(call);
    assert_int_equal(service.budget.held_bytes, 0); // all of it was given back
}

static norn_status data(norn_grpc_call *call, const char *bytes, size_t count) {
    return norn_grpc_call_data(call, norn_span_of(bytes, count));
}

static void timeouts_have_at_most_eight_digits_and_never_overflow(void **state) {
    static const struct {
        const char *text;
        int64_t ns; ///< -1: malformed
    } cases[] = {{"1H", 3600000000000},
                 {"99999999H", INT64_MAX},
                 {"99999999M", 5999999940000000000},
                 {"2S", 2000000000},
                 {"500m", 500000000},
                 {"7u", 7000},
                 {"0n", 0},
                 {"123456789S", -1},
                 {"S", -1},
                 {"", -1},
                 {"5", -1},
                 {"-5S", -1},
                 {" 5S", -1},
                 {"5 S", -1},
                 {"5s", -1},
                 {"0x5S", -1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t ns = -1;
        const bool good =
            norn_grpc_timeout(norn_span_of(cases[i].text, strlen(cases[i].text)), &ns);
        assert_int_equal(good, cases[i].ns >= 0);
        if (good) assert_int_equal(ns, cases[i].ns);
    }
}

static void a_message_is_read_however_it_is_cut(void **state) {
    static const char bytes[] = "\0\0\0\0\5hello";
    (void)state;
    for (size_t cut = 0; cut <= 10; cut++) {
        norn_grpc_call call = begin(100, 1 << 20);
        assert_int_equal(data(&call, bytes, cut), NORN_OK);
        assert_int_equal(data(&call, bytes + cut, 10 - cut), NORN_OK);
        assert_int_equal(call.request.count, 5);
        assert_memory_equal(call.request.bytes, "hello", 5);
        assert_int_equal(service.budget.held_bytes, 5);
        end(&call);
    }
}

static void more_than_one_message_is_refused_with_its_first_byte(void **state) {
    norn_grpc_call call = begin(100, 1 << 20);
    (void)state;
    assert_int_equal(data(&call, "\0\0\0\0\2ab\0", 8), NORN_UNIMPLEMENTED);
    end(&call);
    call = begin(100, 1 << 20);
    assert_int_equal(data(&call, "\0\0\0\0\0", 5), NORN_OK); // an empty message is one
    assert_int_equal(data(&call, "x", 1), NORN_UNIMPLEMENTED);
    end(&call);
}

static void what_does_not_fit_is_refused_by_its_prefix(void **state) {
    norn_grpc_call call = begin(100, 1 << 20);
    (void)state;
    assert_int_equal(data(&call, "\0\0\0\0\145", 5), NORN_RESOURCE_EXHAUSTED); // 101
    assert_non_null(strstr(norn_message(), "--max-request-bytes"));
    end(&call);
    call = begin(INT64_MAX, 1000);
    assert_int_equal(data(&call, "\0\377\377\377\377", 5), NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "--memory-budget"));
    end(&call);
    call = begin(100, 1 << 20);
    norn_budget_force(&service.budget, 1 << 20);
    assert_int_equal(data(&call, "\0\0\0\0\5", 5), NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "try again"));
    norn_budget_give(&service.budget, 1 << 20);
    end(&call);
}

static void compressed_messages_need_an_encoding(void **state) {
    norn_grpc_call call = begin(100, 1 << 20);
    (void)state;
    assert_int_equal(data(&call, "\1\0\0\0\1", 5), NORN_INTERNAL);
    end(&call);
    call = begin(100, 1 << 20);
    call.encoded = true;
    assert_int_equal(data(&call, "\1\0\0\0\1", 5), NORN_OK);
    end(&call);
    call = begin(100, 1 << 20);
    assert_int_equal(data(&call, "\2\0\0\0\1", 5), NORN_INVALID_ARGUMENT);
    end(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_have_at_most_eight_digits_and_never_overflow),
        cmocka_unit_test(a_message_is_read_however_it_is_cut),
        cmocka_unit_test(more_than_one_message_is_refused_with_its_first_byte),
        cmocka_unit_test(what_does_not_fit_is_refused_by_its_prefix),
        cmocka_unit_test(compressed_messages_need_an_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
