#include "serve/grpc/grpc_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { PREFACE = 24, SECOND = 1000000000 };

/// `count` frames with `length` bytes of payload each, after the preface, at once. Are they seen
/// without a complaint?
static bool send_all(norn_grpc_frames *frames, uint8_t type, uint8_t flags, uint32_t length,
                     uint32_t count, int64_t now_ns) {
    static uint8_t bytes[9 + 70000];
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (uint8_t)(length >> 16);
    bytes[1] = (uint8_t)(length >> 8);
    bytes[2] = (uint8_t)length;
    bytes[3] = type;
    bytes[4] = flags;
    for (uint32_t i = 0; i < count; i++)
        if (!norn_grpc_frames_see(frames, norn_span_of(bytes, 9 + length), now_ns)) return false;
    return true;
}

static norn_grpc_frames greeted(void) {
    norn_grpc_frames frames;
    norn_grpc_frames_init(&frames, 0);
    assert_true(
        norn_grpc_frames_see(&frames, norn_span_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0));
    assert_int_equal(frames.count, 0);
    return frames;
}

static void frames_are_counted_however_they_are_cut(void **state) {
    static const uint8_t stream[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // 24 bytes
                                    "\0\0\3\4\0\0\0\0\0abc"            // SETTINGS with 3 bytes
                                    "\0\0\0\1\0\0\0\0\1"               // HEADERS, not ended
                                    "\0\0\2\11\4\0\0\0\1xy"            // CONTINUATION, ended
                                    "\0\0\1\0\1\0\0\0\1z";             // DATA that ends its stream
    const size_t count = sizeof stream - 1;
    (void)state;
    for (size_t cut = 0; cut <= count; cut++) {
        norn_grpc_frames frames;
        norn_grpc_frames_init(&frames, 0);
        assert_true(norn_grpc_frames_see(&frames, norn_span_of(stream, cut), 0));
        assert_true(norn_grpc_frames_see(&frames, norn_span_of(stream + cut, count - cut), 0));
        assert_int_equal(frames.count, 4);
        assert_int_equal(frames.left, 0);
        assert_int_equal(frames.block_bytes, 0);
        assert_int_equal(frames.credits, NORN_GRPC_CREDITS_MAX - 3);
    }
}

static void frames_without_work_use_up_the_credits(void **state) {
    static const uint8_t types[] = {1, 2, 3, 4, 6, 7, 8, 0x42};
    (void)state;
    for (size_t i = 0; i < sizeof types; i++) {
        norn_grpc_frames frames = greeted();
        const uint8_t ended = types[i] == 1 ? 4 : 0;
        assert_true(send_all(&frames, types[i], ended, 0, NORN_GRPC_CREDITS_MAX, 0));
        assert_false(send_all(&frames, types[i], ended, 0, 1, 0));
    }
}

static void data_is_free_unless_it_is_nearly_empty_and_ends_nothing(void **state) {
    norn_grpc_frames frames = greeted();
    (void)state;
    assert_true(send_all(&frames, 0, 0, 64, 10000, 0));
    assert_true(send_all(&frames, 0, 1, 0, 10000, 0));
    assert_int_equal(frames.credits, NORN_GRPC_CREDITS_MAX);
    assert_true(send_all(&frames, 0, 0, 63, 5, 0));
    assert_int_equal(frames.credits, NORN_GRPC_CREDITS_MAX - 5);
}

static void time_and_answers_earn_credits_up_to_the_most(void **state) {
    norn_grpc_frames frames = greeted();
    (void)state;
    assert_true(send_all(&frames, 6, 0, 8, 1500, 0));
    assert_true(send_all(&frames, 6, 0, 8, 1, SECOND));
    assert_int_equal(frames.credits, 500 + NORN_GRPC_CREDITS_PER_S - 1);
    norn_grpc_frames_earn(&frames, NORN_GRPC_EARNED_BY_ANSWER);
    assert_int_equal(frames.credits, 500 + NORN_GRPC_CREDITS_PER_S + 2);
    assert_true(send_all(&frames, 6, 0, 8, 1, (int64_t)3600 * SECOND));
    assert_int_equal(frames.credits, NORN_GRPC_CREDITS_MAX - 1);
}

static void a_header_block_is_bounded_and_its_time_begins_with_its_first_frame(void **state) {
    norn_grpc_frames frames = greeted();
    (void)state;
    assert_true(send_all(&frames, 1, 0, 65536, 1, 5));
    assert_true(send_all(&frames, 9, 0, 65536, 3, 6)); // 262144 bytes, the most
    assert_int_equal(frames.block_ns, 5);
    assert_false(send_all(&frames, 9, 0, 1, 1, 7));
    frames = greeted();
    assert_true(send_all(&frames, 1, 4, 65536, 100, 5)); // each is a block of its own
    assert_int_equal(frames.block_bytes, 0);
    assert_true(send_all(&frames, 1, 0, 0, 1, 9)); // an empty one is open all the same
    assert_true(frames.block_bytes > 0 && frames.block_ns == 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_counted_however_they_are_cut),
        cmocka_unit_test(frames_without_work_use_up_the_credits),
        cmocka_unit_test(data_is_free_unless_it_is_nearly_empty_and_ends_nothing),
        cmocka_unit_test(time_and_answers_earn_credits_up_to_the_most),
        cmocka_unit_test(a_header_block_is_bounded_and_its_time_begins_with_its_first_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
