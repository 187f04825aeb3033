/// The Redis tier on one server without a cluster, and the contract of all tiers on a cluster too.
#include "base/clock.h"
#include "testing/redis_servers.h"
#include "testing/tier_cases.h"
#include "testing/tier_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static redis_servers servers;
static char name_space[24];

static norn_redis_options options_of(void) {
    return (norn_redis_options){.nodes = servers.nodes,
                                .name_space = name_space,
                                .partitions = 32,
                                .command_timeout_ms = 500,
                                .fetch_patience_ms = 2000,
                                .write_patience_ms = 5000};
}

static void new_name_space(void) {
    static int count;
    snprintf(name_space, sizeof name_space, "t%dx", count++);
}

static norn_status create(norn_alloc alloc, norn_tier **out) {
    new_name_space();
    const norn_redis_options options = options_of();
    return norn_redis_tier_open(&options, alloc, out);
}

static norn_tier *open_again(void) {
    norn_tier *tier;
    const norn_redis_options options = options_of();
    OK(norn_redis_tier_open(&options, norn_alloc_heap(), &tier));
    return tier;
}

static norn_version *load(norn_tier *tier, uint64_t number) {
    norn_version *version;
    OK(tier->ops->load(tier, number, norn_tier_version_dir(number), &version));
    return version;
}

static norn_tier *new_tier(norn_version **version) {
    norn_tier *tier;
    OK(create(norn_alloc_heap(), &tier));
    *version = load(tier, 1);
    return tier;
}

static norn_status put(norn_tier *tier, norn_version *version, uint64_t step, int64_t key) {
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        NORN_TRY(norn_tier_write(tier, version, step, t, &key, 1, false));
    return NORN_OK;
}

static void expect(norn_tier *tier, norn_version *version, int64_t key, uint64_t step) {
    norn_pin pin;
    OK(tier->ops->pin(tier, version, &pin));
    for (uint32_t t = 0; t < TIER_TABLES; t++) norn_tier_expect(tier, &pin, t, key, step);
    tier->ops->unpin(tier, &pin);
}

static norn_status fetch_one(norn_tier *tier, norn_version *version, int64_t wait_ms,
                             uint8_t *state) {
    float rows[4];
    norn_pin pin;
    const norn_row_key key = {4, TIER_HASHED};
    uint64_t at = 0, step;
    OK(tier->ops->pin(tier, version, &pin));
    norn_fetch fetch = {.pin = &pin,
                        .keys = &key,
                        .count = 1,
                        .rows = (char *)rows,
                        .row_at = &at,
                        .step = &step,
                        .state = state,
                        .deadline_ns =
                            wait_ms ? norn_clock_now_ns() + wait_ms * 1000000 : INT64_MAX};
    const norn_status status = norn_tier_fetch_and_wait(tier, &fetch);
    tier->ops->unpin(tier, &pin);
    return status;
}

// ---- versions

static void versions_are_there_after_an_open_with_their_cut(void **state) {
    norn_version *version, *none;
    uint64_t step;
    (void)state;
    norn_tier *tier = new_tier(&version);
    const norn_position positions[3] = {{1, 7, 0xfedcba98u}, {1, 8, 2}, {2, 9, 3}};
    OK(put(tier, version, 6, 4));
    OK(tier->ops->commit(tier, version, &(norn_cut){6, 3, positions}));
    assert_int_equal(tier->ops->cut(tier, version).partition_count, 3);
    norn_tier_close(tier);
    tier = open_again();
    OK(tier->ops->found(tier, 0, &version, &step));
    assert_int_equal(tier->ops->found(tier, 1, &none, &step), NORN_NOT_FOUND);
    assert_int_equal(version->number, 1);
    assert_int_equal(step, 6);
    const norn_cut cut = tier->ops->cut(tier, version);
    assert_int_equal(cut.step, 6);
    assert_int_equal(cut.partition_count, 3);
    for (int p = 0; p < 3; p++) {
        assert_int_equal(cut.positions[p].epoch, positions[p].epoch);
        assert_int_equal(cut.positions[p].sequence, positions[p].sequence);
        assert_int_equal(cut.positions[p].chain, positions[p].chain);
    }
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        assert_string_equal(version->tables[t].name, norn_tier_names[t]);
    expect(tier, version, 4, 6);
    expect(tier, version, 7, 0);
    assert_int_equal(put(tier, version, 6, 4), NORN_FAILED_PRECONDITION);
    assert_int_equal(tier->ops->load(tier, 1, norn_tier_version_dir(1), &none),
                     NORN_ALREADY_EXISTS);
    norn_tier_close(tier);
}

/// Two processes: what one writes and loads, the other sees.
static void a_reader_follows_what_another_tier_writes(void **state) {
    norn_version *version, *seen;
    norn_pin pin;
    uint64_t step = 0;
    (void)state;
    norn_tier *reader, *writer;
    OK(create(norn_alloc_heap(), &reader));
    writer = open_again();
    assert_int_equal(reader->ops->found(reader, 0, &seen, &step), NORN_NOT_FOUND);
    version = load(writer, 1);
    OK(reader->ops->found(reader, 0, &seen, &step));
    assert_int_equal(step, 0);
    OK(reader->ops->pin(reader, seen, &pin));
    OK(put(writer, version, 3, 4));
    OK(norn_tier_commit(writer, version, 3));
    const tier_row row = norn_tier_read(reader, &pin, TIER_HASHED, 4);
    assert_int_equal(row.step, 3); // after the pin's, and it says so
    assert_int_equal(norn_redis_tier_stat(reader).skewed, 1);
    reader->ops->unpin(reader, &pin);
    for (int i = 0; i < 500 && step != 3; i++) {
        usleep(10000);
        OK(reader->ops->found(reader, 0, &seen, &step));
    }
    assert_int_equal(step, 3);
    expect(reader, seen, 4, 3);
    assert_int_equal(norn_redis_tier_stat(reader).skewed, 1);
    norn_tier_close(reader);
    norn_tier_close(writer);
}

static void a_dropped_version_goes_and_its_number_is_free(void **state) {
    norn_version *version, *none;
    uint64_t step;
    (void)state;
    norn_tier *tier = new_tier(&version);
    OK(put(tier, version, 3, 4));
    OK(norn_tier_commit(tier, version, 3));
    (void)load(tier, 12); // a number that begins the same
    tier->ops->drop(tier, version);
    assert_int_equal(tier->ops->found(tier, 1, &none, &step), NORN_NOT_FOUND);
    norn_tier_close(tier); // in the middle
    tier = open_again();
    norn_status status = NORN_ALREADY_EXISTS;
    for (int i = 0; i < 500 && status != NORN_OK; i++) {
        status = tier->ops->load(tier, 1, norn_tier_version_dir(1), &version);
        if (status != NORN_OK) usleep(10000);
    }
    OK(status);
    expect(tier, version, 4, 0);
    OK(tier->ops->found(tier, 1, &version, &step));
    assert_int_equal(version->number, 12);
    expect(tier, version, 4, 0);
    for (int i = 0; i < 2; i++) {
        OK(tier->ops->found(tier, 0, &version, &step));
        tier->ops->drop(tier, version);
    }
    char keys[64];
    snprintf(keys, sizeof keys, "KEYS %s*", name_space);
    redis_await(&servers.at[0], "*0", "%s", keys);
    norn_tier_close(tier);
}

/// What a load had written stays, and is not written again.
static void a_load_goes_on_where_it_ended(void **state) {
    norn_tier *tier;
    norn_version *version;
    (void)state;
    OK(create(norn_alloc_heap(), &tier));
    (void)norn_tier_version_dir(1);
    redis_say(&servers.at[0], "CONFIG SET maxmemory 1");
    assert_int_equal(tier->ops->load(tier, 1, norn_tier_version_dir(1), &version),
                     NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "OOM"));
    redis_say(&servers.at[0], "CONFIG SET maxmemory 0");
    version = load(tier, 1);
    expect(tier, version, 4, 0);
    norn_tier_close(tier);
    // One partition's cut is gone, as after a failover: its rows are loaded again, others stay.
    redis_say(&servers.at[0], "DEL %s1:{06S}:cut", name_space);
    redis_say(&servers.at[0], "HSET %s1:{06S}:version state loading", name_space);
    tier = open_again();
    uint64_t step;
    assert_int_equal(tier->ops->found(tier, 0, &version, &step), NORN_NOT_FOUND);
    assert_int_equal(tier->ops->load(tier, 1, norn_tier_version_dir(2), &version),
                     NORN_FAILED_PRECONDITION);
    const uint64_t before = norn_redis_tier_stat(tier).calls;
    version = load(tier, 1);
    assert_true(norn_redis_tier_stat(tier).calls - before < 32 * 2 + 3 * 32);
    expect(tier, version, 4, 0);
    norn_tier_close(tier);
    redis_say(&servers.at[0], "DEL %s1:{06S}:cut", name_space); // of one that was ready
    tier = open_again();
    assert_int_equal(tier->ops->found(tier, 0, &version, &step), NORN_NOT_FOUND);
    version = load(tier, 1);
    expect(tier, version, 4, 0);
    norn_tier_close(tier);
}

// ---- servers

static void a_full_server_takes_no_step_and_goes_on_serving(void **state) {
    norn_version *version;
    (void)state;
    norn_tier *tier = new_tier(&version);
    redis_say(&servers.at[0], "CONFIG SET maxmemory 1");
    OK(put(tier, version, 2, 4));
    assert_int_equal(norn_tier_commit(tier, version, 2), NORN_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(norn_message(), "OOM"));
    tier->ops->abort(tier, version);
    expect(tier, version, 4, 0);
    redis_say(&servers.at[0], "CONFIG SET maxmemory 0");
    OK(put(tier, version, 2, 4));
    OK(norn_tier_commit(tier, version, 2));
    expect(tier, version, 4, 2);
    norn_tier_close(tier);
}

static void a_server_that_hangs_makes_rows_late_or_fails_the_fetch(void **state) {
    norn_version *version;
    uint8_t row;
    (void)state;
    norn_tier *tier = new_tier(&version);
    expect(tier, version, 4, 0);
    redis_signal(&servers.at[0], SIGSTOP);
    int64_t begin_ns = norn_clock_now_ns();
    OK(fetch_one(tier, version, 50, &row));
    assert_int_equal(row, NORN_ROW_LATE);
    assert_in_range(norn_clock_now_ns() - begin_ns, 50000000, 1000000000);
    begin_ns = norn_clock_now_ns();
    assert_int_equal(fetch_one(tier, version, 0, &row), NORN_UNAVAILABLE);
    assert_in_range(norn_clock_now_ns() - begin_ns, 1000000000, INT64_C(8000000000));
    redis_signal(&servers.at[0], SIGCONT);
    OK(fetch_one(tier, version, 0, &row));
    assert_int_equal(row, NORN_ROW_FOUND);
    assert_true(norn_redis_tier_stat(tier).broken > 0);
    OK(put(tier, version, 2, 4));
    OK(norn_tier_commit(tier, version, 2));
    expect(tier, version, 4, 2);
    norn_tier_close(tier);
}

static void a_server_that_lost_its_rows_is_seen_by_the_writer(void **state) {
    norn_version *version;
    (void)state;
    norn_tier *tier = new_tier(&version);
    OK(put(tier, version, 2, 4));
    OK(norn_tier_commit(tier, version, 2));
    redis_say(&servers.at[0], "FLUSHALL"); // and the connections are lost, as in a restart
    redis_say(&servers.at[0], "CLIENT KILL TYPE normal");
    for (int i = 0; i < 200 && norn_redis_tier_stat(tier).broken == 0; i++) usleep(5000);
    OK(put(tier, version, 3, 4));
    assert_int_equal(norn_tier_commit(tier, version, 3), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "replay"));
    tier->ops->abort(tier, version);
    assert_int_equal(put(tier, version, 3, 4), NORN_DATA_LOSS);
    assert_int_equal(tier->ops->cut(tier, version).step, 0);
    OK(put(tier, version, 2, 4)); // replayed
    OK(norn_tier_commit(tier, version, 2));
    expect(tier, version, 4, 2);
    norn_tier_close(tier);
}

/// Somebody else wrote there.
static void rows_that_are_none_fail_the_fetch(void **state) {
    char pattern[64], key[128] = "";
    norn_version *version;
    uint8_t row;
    (void)state;
    norn_tier *tier = new_tier(&version);
    snprintf(pattern, sizeof pattern, "%s1:0:{", name_space);
    char keys[REDIS_ANSWER_BYTES];
    strcpy(keys, redis_say(&servers.at[0], "KEYS %s*", pattern));
    for (char *line = strtok(keys, "\r\n"); line; line = strtok(NULL, "\r\n")) {
        if (strncmp(line, pattern, strlen(pattern)) != 0) continue;
        snprintf(key, sizeof key, "%s", line);
        redis_say(&servers.at[0], "DEL %s", key);
        redis_say(&servers.at[0], "LPUSH %s nonsense", key);
    }
    assert_int_equal(fetch_one(tier, version, 0, &row), NORN_DATA_LOSS);
    assert_int_equal(fetch_one(tier, version, 1000, &row), NORN_DATA_LOSS);
    OK(put(tier, version, 2, 4));
    assert_int_equal(norn_tier_commit(tier, version, 2), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "WRONGTYPE"));
    norn_tier_close(tier);
}

static void options_that_cannot_be_are_refused(void **state) {
    norn_tier *tier;
    (void)state;
    const struct {
        norn_redis_options options;
        norn_status wanted;
        const char *says;
    } cases[] = {
        {{.nodes = NULL}, NORN_INVALID_ARGUMENT, "HOST:PORT"},
        {{.nodes = ""}, NORN_INVALID_ARGUMENT, "HOST:PORT"},
        {{.nodes = "a"}, NORN_INVALID_ARGUMENT, "'a'"},
        {{.nodes = "a:"}, NORN_INVALID_ARGUMENT, "'a:'"},
        {{.nodes = "a:0"}, NORN_INVALID_ARGUMENT, "'a:0'"},
        {{.nodes = "a:70000"}, NORN_INVALID_ARGUMENT, "'a:70000'"},
        {{.nodes = ":1"}, NORN_INVALID_ARGUMENT, "':1'"},
        {{.nodes = "a:1", .name_space = "a:b"}, NORN_INVALID_ARGUMENT, "'a:b'"},
        {{.nodes = "a:1", .name_space = "n7"}, NORN_INVALID_ARGUMENT, "'n7'"},
        {{.nodes = "a:1", .name_space = ""}, NORN_INVALID_ARGUMENT, "''"},
        {{.nodes = "a:1", .partitions = 3}, NORN_INVALID_ARGUMENT, "3 partitions"},
        {{.nodes = "a:1", .partitions = 32768}, NORN_INVALID_ARGUMENT, "32768"},
        {{.nodes = "a:1", .command_timeout_ms = -1}, NORN_INVALID_ARGUMENT, "below 0"},
        {{.nodes = "127.0.0.1:1", .fetch_patience_ms = 100}, NORN_UNAVAILABLE, "127.0.0.1:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(norn_redis_tier_open(&cases[i].options, norn_alloc_heap(), &tier),
                         cases[i].wanted);
        assert_null(tier);
        assert_non_null(strstr(norn_message(), cases[i].says));
    }
}

/// A server whose hashes would not stay compact has a string a row.
static void rows_are_strings_where_hashes_are_not_compact(void **state) {
    norn_version *version;
    (void)state;
    redis_say(&servers.at[0], "CONFIG SET hash-max-listpack-value 64");
    norn_tier *tier = new_tier(&version);
    const char *buckets = redis_say(&servers.at[0], "HGET %s1:{06S}:version buckets", name_space);
    assert_non_null(strstr(buckets, "1,1,0")); // of 24, 20 and 140 bytes
    expect(tier, version, 4, 0);
    OK(put(tier, version, 2, 4));
    OK(norn_tier_write(tier, version, 2, TIER_WIDE, &(int64_t){7}, 1, true));
    OK(norn_tier_commit(tier, version, 2));
    expect(tier, version, 4, 2);
    norn_pin pin;
    OK(tier->ops->pin(tier, version, &pin));
    assert_int_equal(norn_tier_read(tier, &pin, TIER_WIDE, 7).state, NORN_ROW_DELETED);
    tier->ops->unpin(tier, &pin);
    norn_tier_close(tier);
    redis_say(&servers.at[0], "CONFIG SET hash-max-listpack-value 4096");
}

/// More than one transaction of a partition, and more than one group of a load.
static void large_steps_and_fetches_are_cut_into_pieces(void **state) {
    enum { KEYS = 200000 };
    norn_version *version;
    norn_pin pin;
    (void)state;
    norn_tier *tier = new_tier(&version);
    int64_t *keys = calloc(KEYS, sizeof *keys);
    norn_row_key *asked = calloc(KEYS, sizeof *asked);
    uint64_t *at = calloc(KEYS, sizeof *at), *steps = calloc(KEYS, sizeof *steps);
    uint8_t *states = calloc(KEYS, 1);
    float *rows = calloc(KEYS, 4 * sizeof *rows);
    for (int64_t i = 0; i < KEYS; i++) {
        keys[i] = i * 7919 - 500000;
        asked[i] = (norn_row_key){keys[i], TIER_HASHED};
        at[i] = (uint64_t)i * 16;
    }
    OK(norn_tier_write(tier, version, 5, TIER_HASHED, keys, KEYS, false));
    OK(norn_tier_commit(tier, version, 5));
    OK(tier->ops->pin(tier, version, &pin));
    norn_fetch fetch = {.pin = &pin,
                        .keys = asked,
                        .count = KEYS,
                        .rows = (char *)rows,
                        .row_at = at,
                        .step = steps,
                        .state = states,
                        .deadline_ns = INT64_MAX};
    OK(norn_tier_fetch_and_wait(tier, &fetch));
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(states[i], NORN_ROW_FOUND);
        assert_int_equal(steps[i], 5);
        assert_true(rows[4 * i] == norn_tier_cell(1, 5, keys[i]));
    }
    tier->ops->unpin(tier, &pin);
    norn_tier_close(tier);
    free(keys), free(asked), free(at), free(steps), free(states), free(rows);
}

// ---- all

static int start_plain(void **state) {
    redis_start_plain(&servers, true);
    return norn_tier_make_folder(state);
}
static int stop(void **state) {
    redis_stop_all(&servers);
    return norn_tier_remove_folder(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_there_after_an_open_with_their_cut),
        cmocka_unit_test(a_reader_follows_what_another_tier_writes),
        cmocka_unit_test(a_dropped_version_goes_and_its_number_is_free),
        cmocka_unit_test(a_load_goes_on_where_it_ended),
        cmocka_unit_test(a_full_server_takes_no_step_and_goes_on_serving),
        cmocka_unit_test(a_server_that_hangs_makes_rows_late_or_fails_the_fetch),
        cmocka_unit_test(a_server_that_lost_its_rows_is_seen_by_the_writer),
        cmocka_unit_test(rows_that_are_none_fail_the_fetch),
        cmocka_unit_test(options_that_cannot_be_are_refused),
        cmocka_unit_test(rows_are_strings_where_hashes_are_not_compact),
        cmocka_unit_test(large_steps_and_fetches_are_cut_into_pieces),
    };
    if (!redis_is_there()) return 0;
    const int failed = cmocka_run_group_tests(tests, start_plain, stop);
    redis_start_plain(&servers, true);
    int cases = norn_tier_cases_run("the Redis tier, one server", create);
    redis_stop_all(&servers);
    redis_start_cluster(&servers, 3, 0);
    cases += norn_tier_cases_run("the Redis tier, a cluster", create);
    redis_stop_all(&servers);
    return failed + cases;
}
