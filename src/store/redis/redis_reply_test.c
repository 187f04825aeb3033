/// Slots, tags, answers and maps, without a server.
#include "base/cmocka_all.h"
#include "base/memory.h"
#include "store/redis/redis_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OK(expr) assert_int_equal((expr), NORN_OK)

static void slots_are_those_of_the_specification(void **state) {
    (void)state;
    assert_int_equal(norn_redis_slot("123456789", 9), 0x31c3);
    assert_int_equal(norn_redis_slot("foo", 3), 12182);
    assert_int_equal(norn_redis_slot("x{foo}y{bar}", 12), 12182);
    assert_int_equal(norn_redis_slot("{}{foo}", 7), norn_redis_slot("{}{foo}", 7));
    assert_int_not_equal(norn_redis_slot("{}{foo}", 7), 12182); // an empty tag is none
    assert_int_equal(norn_redis_slot("{foo", 4), norn_redis_slot("{foo", 4));
    assert_int_equal(norn_redis_slot("", 0), 0);
}

static void every_partition_has_a_tag_of_its_slot(void **state) {
    (void)state;
    for (uint32_t partitions = 1; partitions <= NORN_REDIS_SLOTS; partitions *= 2) {
        norn_redis_tag *tags;
        OK(norn_redis_tags_make(partitions, norn_alloc_heap(), &tags));
        for (uint32_t p = 0; p < partitions; p++) {
            assert_int_equal(tags[p].slot, p * (NORN_REDIS_SLOTS / partitions));
            assert_int_equal(norn_redis_slot(tags[p].text, strlen(tags[p].text)), tags[p].slot);
        }
        assert_string_equal(tags[0].text, "06S"); // keys on servers rely on it
        norn_free(norn_alloc_heap(), tags);
    }
}

// ---- answers

/// Fed whole, or byte by byte.
static norn_status read_one(const char *bytes, size_t count, bool slowly,
                            norn_redis_reader **reader, norn_redis_reply *reply) {
    bool more = false;
    OK(norn_redis_reader_create(norn_alloc_heap(), reader));
    for (size_t at = 0; at < count && !more;) {
        const size_t piece = slowly ? 1 : count;
        NORN_TRY(norn_redis_reader_feed(*reader, bytes + at, piece));
        NORN_TRY(norn_redis_reader_next(*reader, reply, &more));
        at += piece;
    }
    return more ? NORN_OK : NORN_NOT_FOUND;
}

static void answers_are_lists_of_what_they_have(void **state) {
    static const char bytes[] = "*5\r\n$3\r\na\0b\r\n:-7\r\n*2\r\n+OK\r\n-ERR no\r\n$-1\r\n*0\r\n";
    static const norn_redis_type types[] = {NORN_REDIS_ARRAY, NORN_REDIS_TEXT, NORN_REDIS_INTEGER,
                                            NORN_REDIS_ARRAY, NORN_REDIS_WORD, NORN_REDIS_ERROR,
                                            NORN_REDIS_NIL,   NORN_REDIS_ARRAY};
    (void)state;
    for (int slowly = 0; slowly < 2; slowly++) {
        norn_redis_reader *reader;
        norn_redis_reply reply;
        OK(read_one(bytes, sizeof bytes - 1, slowly, &reader, &reply));
        assert_int_equal(reply.count, 8);
        for (uint32_t i = 0; i < 8; i++) assert_int_equal(reply.values[i].type, types[i]);
        assert_int_equal(norn_redis_bytes(&reply, 1).count, 3);
        assert_memory_equal(norn_redis_bytes(&reply, 1).bytes, "a\0b", 3);
        assert_int_equal(reply.values[2].integer, -7);
        assert_int_equal(norn_redis_after(&reply, 3), 6);
        assert_int_equal(norn_redis_after(&reply, 0), 8);
        assert_int_equal(norn_redis_bytes(&reply, 2).count, 0);
        assert_int_equal(norn_redis_bytes(&reply, 99).count, 0);
        norn_redis_reader_destroy(reader);
    }
}

static void what_is_no_answer_or_too_much_is_refused(void **state) {
    static const char *const cases[] = {
        "hello\r\n",
        "*2147483647\r\n",
        "*99999999999999999999\r\n",
        "*-5\r\n",
        "$-2\r\nx\r\n",
        "$99999999999999999999\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        "*2\r\n*300000\r\n",
        "*524288\r\n*1\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_redis_reader *reader;
        norn_redis_reply reply;
        const norn_status status = read_one(cases[i], strlen(cases[i]), false, &reader, &reply);
        // That which only promises much waits for it; nothing has been taken for it.
        assert_true(status == NORN_DATA_LOSS || (i == 7 && status == NORN_NOT_FOUND));
        norn_redis_reader_destroy(reader);
    }
}

static void a_long_answer_ends_at_the_bound(void **state) {
    enum { PIECE = 8192 };
    char piece[PIECE];
    norn_redis_reader *reader;
    norn_redis_reply reply;
    norn_status status;
    size_t fed = 0;
    bool more;
    (void)state;
    memset(piece, 'x', sizeof piece);
    OK(norn_redis_reader_create(norn_alloc_heap(), &reader));
    OK(norn_redis_reader_feed(reader, "$1000000000\r\n", 13));
    do {
        status = norn_redis_reader_feed(reader, piece, sizeof piece);
        if (status == NORN_OK) status = norn_redis_reader_next(reader, &reply, &more);
        fed += sizeof piece;
    } while (status == NORN_OK);
    assert_int_equal(status, NORN_DATA_LOSS);
    assert_in_range(fed, NORN_REDIS_REPLY_BYTES_MAX, NORN_REDIS_REPLY_BYTES_MAX + 2 * PIECE);
    norn_redis_reader_destroy(reader);
}

// ---- maps

static norn_redis_map *new_map(void) {
    norn_redis_map *map = calloc(1, sizeof *map);
    norn_redis_map_init(map, norn_alloc_heap());
    OK(norn_redis_map_seed(map, "127.0.0.1:7000,[::1]:7001"));
    return map;
}
static void free_map(norn_redis_map *map) {
    norn_redis_map_deinit(map);
    free(map);
}

static norn_status read_map(norn_redis_map *map, const char *bytes, bool *changed) {
    norn_redis_reader *reader;
    norn_redis_reply reply;
    OK(read_one(bytes, strlen(bytes), false, &reader, &reply));
    const norn_status status = norn_redis_map_read(map, &reply, 0, changed);
    norn_redis_reader_destroy(reader);
    return status;
}

static void a_map_is_what_cluster_slots_says(void **state) {
    static const char said[] = "*2\r\n"
                               "*4\r\n:0\r\n:99\r\n"
                               "*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$1\r\nx\r\n"
                               "*3\r\n$1\r\nb\r\n:7002\r\n$1\r\nx\r\n"
                               "*3\r\n:100\r\n:16383\r\n*3\r\n$0\r\n\r\n:7003\r\n$1\r\nx\r\n";
    bool changed;
    (void)state;
    norn_redis_map *map = new_map();
    OK(read_map(map, said, &changed));
    assert_true(changed);
    assert_int_equal(map->count, 4);
    assert_int_equal(map->master[0], 0);
    assert_int_equal(map->master[99], 0);
    assert_int_equal(map->replica[99], 2);
    assert_int_equal(map->master[100], 3);
    assert_int_equal(map->replica[100], NORN_REDIS_NO_NODE);
    assert_string_equal(map->nodes[3].host, "127.0.0.1"); // that of who answered
    assert_int_equal(map->nodes[3].port, 7003);
    OK(read_map(map, said, &changed));
    assert_false(changed);
    free_map(map);
}

static void a_map_that_is_none_changes_nothing(void **state) {
    static const char *const cases[] = {
        "*0\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:5\r\n:4\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:4\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n*2\r\n$1\r\na\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n*2\r\n$1\r\na\r\n:65536\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n:0\r\n:4\r\n:5\r\n",
        "*1\r\n*2\r\n:0\r\n:4\r\n",
    };
    bool changed;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_redis_map *map = new_map();
        assert_int_equal(read_map(map, cases[i], &changed), NORN_DATA_LOSS);
        assert_false(changed);
        for (int s = 0; s < NORN_REDIS_SLOTS; s++)
            assert_int_equal(map->master[s], NORN_REDIS_NO_NODE);
        free_map(map);
    }
}

static void errors_say_where_a_slot_is(void **state) {
    static const struct {
        const char *says;
        norn_redis_error wanted;
        int slot;
        const char *host;
        int port;
    } cases[] = {
        {"MOVED 3999 10.0.0.1:6381", NORN_REDIS_MOVED, 3999, "10.0.0.1", 6381},
        {"MOVED 0 :6381", NORN_REDIS_MOVED, 0, "127.0.0.1", 6381},
        {"ASK 16383 ::1:7", NORN_REDIS_ASK, 16383, "::1", 7},
        {"MOVED 16384 a:1", NORN_REDIS_FAILED, 0, NULL, 0},
        {"MOVED 1 a:99999", NORN_REDIS_FAILED, 0, NULL, 0},
        {"MOVED 1 a", NORN_REDIS_FAILED, 0, NULL, 0},
        {"MOVED 1", NORN_REDIS_FAILED, 0, NULL, 0},
        {"MOVED ", NORN_REDIS_FAILED, 0, NULL, 0},
        {"MOVED -1 a:1", NORN_REDIS_FAILED, 0, NULL, 0},
        {"ASK", NORN_REDIS_FAILED, 0, NULL, 0},
        {"TRYAGAIN Multiple keys", NORN_REDIS_LATER, 0, NULL, 0},
        {"CLUSTERDOWN The cluster is down", NORN_REDIS_LATER, 0, NULL, 0},
        {"LOADING", NORN_REDIS_LATER, 0, NULL, 0},
        {"OOM command not allowed", NORN_REDIS_FULL, 0, NULL, 0},
        {"ERR unknown command", NORN_REDIS_FAILED, 0, NULL, 0},
        {"", NORN_REDIS_FAILED, 0, NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char bytes[128];
        norn_redis_reader *reader;
        norn_redis_reply reply;
        uint16_t slot = 7, node = 7;
        norn_redis_map *map = new_map();
        snprintf(bytes, sizeof bytes, "-%s\r\n", cases[i].says);
        OK(read_one(bytes, strlen(bytes), false, &reader, &reply));
        assert_int_equal(norn_redis_error_read(map, &reply, 0, &slot, &node), cases[i].wanted);
        if (cases[i].host) {
            assert_int_equal(slot, cases[i].slot);
            assert_string_equal(map->nodes[node].host, cases[i].host);
            assert_int_equal(map->nodes[node].port, cases[i].port);
        }
        norn_redis_reader_destroy(reader);
        free_map(map);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_those_of_the_specification),
        cmocka_unit_test(every_partition_has_a_tag_of_its_slot),
        cmocka_unit_test(answers_are_lists_of_what_they_have),
        cmocka_unit_test(what_is_no_answer_or_too_much_is_refused),
        cmocka_unit_test(a_long_answer_ends_at_the_bound),
        cmocka_unit_test(a_map_is_what_cluster_slots_says),
        cmocka_unit_test(a_map_that_is_none_changes_nothing),
        cmocka_unit_test(errors_say_where_a_slot_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
