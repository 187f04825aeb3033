#include "serve/grpc/grpc_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SECOND = 1000000000, DATA = 0, HEADERS = 1, PING = 6, CONTINUATION = 9 };
enum { END_STREAM = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 0x20 };

/// A client, and what the library gets of it.
typedef struct wire {
    norn_grpc_frames frames;
    norn_buffer sent, seen;
} wire;

static norn_grpc_verdict see(wire *w, norn_span bytes, int64_t now_ns) {
    while (bytes.count > 0) {
        norn_span out;
        const norn_grpc_verdict verdict = norn_grpc_frames_next(&w->frames, &bytes, now_ns, &out);
        if (verdict != NORN_GRPC_FINE) return verdict;
        norn_buffer_append(&w->seen, out.bytes, out.count);
    }
    return NORN_GRPC_FINE;
}

static wire begin(void) {
    wire w;
    norn_grpc_frames_init(&w.frames, 0, norn_alloc_heap());
    norn_buffer_init(&w.sent, norn_alloc_heap());
    norn_buffer_init(&w.seen, norn_alloc_heap());
    assert_int_equal(see(&w, norn_span_of("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24), 0),
                     NORN_GRPC_FINE);
    assert_int_equal(w.seen.count, 24);
    assert_int_equal(w.frames.count, 0);
    norn_buffer_clear(&w.seen);
    return w;
}

static void end(wire *w) {
    norn_grpc_frames_deinit(&w->frames);
    norn_buffer_deinit(&w->sent);
    norn_buffer_deinit(&w->seen);
}

static void put_frame(norn_buffer *out, uint8_t type, uint8_t flags, const void *bytes,
                      size_t count) {
    const uint8_t head[] = {
        (uint8_t)(count >> 16), (uint8_t)(count >> 8), (uint8_t)count, type, flags, 0, 0, 0, 1};
    norn_buffer_append(out, head, sizeof head);
    norn_buffer_append(out, bytes, count);
}

/// `count` frames of zeros with `length` bytes each; the last verdict.
static norn_grpc_verdict repeat(wire *w, uint8_t type, uint8_t flags, size_t length, int count,
                                int64_t now_ns) {
    static const uint8_t zeros[70000];
    norn_grpc_verdict verdict = NORN_GRPC_FINE;
    norn_buffer_clear(&w->sent);
    put_frame(&w->sent, type, flags, zeros, length);
    for (int i = 0; i < count && verdict == NORN_GRPC_FINE; i++)
        verdict = see(w, norn_span_of(w->sent.bytes, w->sent.count), now_ns);
    norn_buffer_clear(&w->seen);
    return verdict;
}

static void frames_come_through_and_are_counted_however_they_are_cut(void **state) {
    static const uint8_t block[] = "\x82\0\1a\1b"; // an indexed field and a literal
    wire w = begin();
    norn_buffer wanted;
    (void)state;
    norn_buffer_init(&wanted, norn_alloc_heap());
    put_frame(&w.sent, 4, 0, "abcdef", 6); // SETTINGS
    put_frame(&w.sent, HEADERS, END_STREAM | PADDED | PRIORITY, "\3pppp\1\x82\0___", 11);
    put_frame(&w.sent, CONTINUATION, 0, "", 0);
    put_frame(&w.sent, CONTINUATION, END_HEADERS, "\1a\1b", 4);
    put_frame(&w.sent, DATA, END_STREAM, "z", 1);
    put_frame(&wanted, 4, 0, "abcdef", 6);
    put_frame(&wanted, HEADERS, END_STREAM | END_HEADERS, block, 6);
    put_frame(&wanted, DATA, END_STREAM, "z", 1);
    for (size_t cut = 0; cut <= w.sent.count; cut++) {
        norn_buffer_clear(&w.seen);
        w.frames.credits = NORN_GRPC_CREDITS_MAX;
        assert_int_equal(see(&w, norn_span_of(w.sent.bytes, cut), 0), NORN_GRPC_FINE);
        assert_int_equal(see(&w, norn_span_of(w.sent.bytes + cut, w.sent.count - cut), 0),
                         NORN_GRPC_FINE);
        assert_int_equal(w.seen.count, wanted.count);
        assert_memory_equal(w.seen.bytes, wanted.bytes, wanted.count);
        assert_int_equal(w.frames.count, 5 * (cut + 1));
        assert_int_equal(w.frames.credits, NORN_GRPC_CREDITS_MAX - 4);
        assert_false(w.frames.in_block);
    }
    norn_buffer_deinit(&wanted);
    end(&w);
}

static void frames_without_work_use_up_the_credits(void **state) {
    static const uint8_t types[] = {HEADERS, 2, 3, 4, PING, 7, 8, 0x42};
    (void)state;
    for (size_t i = 0; i < sizeof types; i++) {
        wire w = begin();
        assert_int_equal(repeat(&w, types[i], END_HEADERS, 0, NORN_GRPC_CREDITS_MAX, 0),
                         NORN_GRPC_FINE);
        assert_int_equal(repeat(&w, types[i], END_HEADERS, 0, 1, 0), NORN_GRPC_FLOOD);
        end(&w);
    }
}

static void data_is_free_unless_it_is_nearly_empty_and_ends_nothing(void **state) {
    wire w = begin();
    (void)state;
    assert_int_equal(repeat(&w, DATA, 0, 64, 10000, 0), NORN_GRPC_FINE);
    assert_int_equal(repeat(&w, DATA, END_STREAM, 0, 10000, 0), NORN_GRPC_FINE);
    assert_int_equal(w.frames.credits, NORN_GRPC_CREDITS_MAX);
    assert_int_equal(repeat(&w, DATA, 0, 63, 5, 0), NORN_GRPC_FINE);
    assert_int_equal(w.frames.credits, NORN_GRPC_CREDITS_MAX - 5);
    end(&w);
}

static void time_and_answers_earn_credits_up_to_the_most(void **state) {
    wire w = begin();
    (void)state;
    assert_int_equal(repeat(&w, PING, 0, 8, 1500, 0), NORN_GRPC_FINE);
    assert_int_equal(repeat(&w, PING, 0, 8, 1, SECOND), NORN_GRPC_FINE);
    assert_int_equal(w.frames.credits, 500 + NORN_GRPC_CREDITS_PER_S - 1);
    norn_grpc_frames_earn(&w.frames, NORN_GRPC_EARNED_BY_ANSWER);
    assert_int_equal(w.frames.credits, 500 + NORN_GRPC_CREDITS_PER_S + 2);
    assert_int_equal(repeat(&w, PING, 0, 8, 1, (int64_t)3600 * SECOND), NORN_GRPC_FINE);
    assert_int_equal(w.frames.credits, NORN_GRPC_CREDITS_MAX - 1);
    end(&w);
}

static void malformed_blocks_are_told(void **state) {
    static const struct {
        uint8_t type, flags;
        const char *bytes;
        size_t count;
    } cases[] = {
        {HEADERS, END_HEADERS | PADDED, "", 0},                // no length of the padding
        {HEADERS, END_HEADERS | PADDED, "\2a", 2},             // more padding than frame
        {HEADERS, END_HEADERS | PRIORITY, "pppp", 4},          // no room for the priority
        {HEADERS, END_HEADERS, "\0\1a\2b", 5},                 // ends within a value
        {HEADERS, END_HEADERS, "\0", 1},                       // and before a name
        {HEADERS, END_HEADERS, "\xff\xff\xff\xff\xff\x7f", 6}, // an integer that never ends
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wire w = begin();
        put_frame(&w.sent, cases[i].type, cases[i].flags, cases[i].bytes, cases[i].count);
        assert_int_equal(see(&w, norn_span_of(w.sent.bytes, w.sent.count), 0), NORN_GRPC_MALFORMED);
        end(&w);
    }
    for (int other = 0; other < 2; other++) { // nothing may come within a block
        wire w = begin();
        put_frame(&w.sent, HEADERS, 0, "\x82", 1);
        put_frame(&w.sent, other ? CONTINUATION : DATA, END_HEADERS, "\x82", 1);
        if (other) w.sent.bytes[w.sent.count - 2] = 3; // of another stream
        assert_int_equal(see(&w, norn_span_of(w.sent.bytes, w.sent.count), 0), NORN_GRPC_MALFORMED);
        end(&w);
    }
}

/// A literal with a value of `count` bytes; `first` says how it is indexed.
static void put_literal(norn_buffer *out, uint8_t first, size_t count) {
    const uint8_t name[] = {first, 1, 'n', 0x7f};
    norn_buffer_append(out, name, sizeof name);
    size_t rest = count - 127;
    for (; rest >= 128; rest >>= 7) norn_buffer_append(out, &(uint8_t){(uint8_t)(rest | 128)}, 1);
    norn_buffer_append(out, &(uint8_t){(uint8_t)rest}, 1);
    void *value = norn_buffer_extend(out, count);
    assert_non_null(value);
    memset(value, 'v', count);
}

static void fields_that_are_too_long_are_left_out_and_counted(void **state) {
    norn_grpc_fields fields;
    norn_buffer block;
    (void)state;
    norn_grpc_fields_init(&fields, norn_alloc_heap());
    norn_buffer_init(&block, norn_alloc_heap());
    for (int indexed = 0; indexed < 2; indexed++) {
        norn_buffer_clear(&block);
        norn_buffer_append(&block, "\x82", 1);
        put_literal(&block, indexed ? 0x40 : 0, NORN_GRPC_FIELD_MAX);
        const size_t kept = block.count;
        put_literal(&block, indexed ? 0x40 : 0x10, NORN_GRPC_FIELD_MAX + 1);
        const size_t dropped = block.count - kept;
        norn_buffer_append(&block, "\x83", 1);
        for (size_t cut = 1; cut < block.count; cut += 997) {
            norn_grpc_fields_begin(&fields, 0);
            assert_true(norn_grpc_fields_add(&fields, norn_span_of(block.bytes, cut)));
            assert_true(
                norn_grpc_fields_add(&fields, norn_span_of(block.bytes + cut, block.count - cut)));
            assert_true(norn_grpc_fields_end(&fields));
            assert_int_equal(fields.dropped_bytes, dropped);
            // An indexed one leaves a field behind that empties the table as it would have.
            assert_int_equal(fields.kept.count, kept + 1 + (indexed ? 6 + 4096 : 0));
            assert_memory_equal(fields.kept.bytes, block.bytes, kept);
            assert_int_equal(fields.kept.bytes[fields.kept.count - 1], 0x83);
        }
    }
    norn_grpc_fields_deinit(&fields);
    norn_buffer_deinit(&block);
}

static void a_block_of_many_fields_is_bounded(void **state) {
    norn_grpc_fields fields;
    norn_buffer field;
    (void)state;
    norn_grpc_fields_init(&fields, norn_alloc_heap());
    norn_buffer_init(&field, norn_alloc_heap());
    put_literal(&field, 0, 1000);
    norn_grpc_fields_begin(&fields, 9);
    for (int i = 0; i < 10000; i++)
        assert_true(norn_grpc_fields_add(&fields, norn_span_of(field.bytes, field.count)));
    assert_in_range(fields.kept.count, NORN_GRPC_FIELDS_KEPT - 2000, NORN_GRPC_FIELDS_KEPT);
    assert_int_equal(fields.kept.count + fields.dropped_bytes, 9 + 10000 * field.count);
    norn_buffer_clear(&field);
    put_literal(&field, 0x40, 1000); // these change the table: they are kept, up to a bound
    norn_grpc_fields_begin(&fields, 9);
    size_t taken = 0;
    while (norn_grpc_fields_add(&fields, norn_span_of(field.bytes, field.count))) ++taken;
    assert_int_equal(taken, (NORN_GRPC_FIELDS_MAX - 9) / field.count);
    norn_grpc_fields_deinit(&fields);
    norn_buffer_deinit(&field);
}

static void a_long_block_is_cut_into_frames_that_everyone_takes(void **state) {
    wire w = begin();
    norn_buffer block;
    (void)state;
    norn_buffer_init(&block, norn_alloc_heap());
    for (int i = 0; i < 2; i++) put_literal(&block, 0, 20000);
    put_frame(&w.sent, HEADERS, END_HEADERS | END_STREAM, block.bytes, block.count);
    assert_int_equal(see(&w, norn_span_of(w.sent.bytes, w.sent.count), 7), NORN_GRPC_FINE);
    assert_int_equal(w.frames.block_ns, 7);
    assert_int_equal(w.seen.count, block.count + 3 * 9);
    for (size_t i = 0, at = 0; i < 3; i++) {
        const uint8_t *head = w.seen.bytes + i * (9 + 16384);
        const size_t count = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        assert_int_equal(head[3], i == 0 ? HEADERS : CONTINUATION);
        assert_int_equal(head[4], i == 0 ? END_STREAM : i == 2 ? END_HEADERS : 0);
        assert_memory_equal(head + 9, block.bytes + at, count);
        at += count;
    }
    norn_buffer_deinit(&block);
    end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_through_and_are_counted_however_they_are_cut),
        cmocka_unit_test(frames_without_work_use_up_the_credits),
        cmocka_unit_test(data_is_free_unless_it_is_nearly_empty_and_ends_nothing),
        cmocka_unit_test(time_and_answers_earn_credits_up_to_the_most),
        cmocka_unit_test(malformed_blocks_are_told),
        cmocka_unit_test(fields_that_are_too_long_are_left_out_and_counted),
        cmocka_unit_test(a_block_of_many_fields_is_bounded),
        cmocka_unit_test(a_long_block_is_cut_into_frames_that_everyone_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
