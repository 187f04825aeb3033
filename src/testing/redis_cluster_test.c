/// The Redis tier on a cluster of three masters and three replicas, which are killed, stopped, changed
/// over and given each other's slots while rows are read and steps applied.
#include "base/clock.h"
#include "store/log/applier.h"
#include "store/log/log_writer.h"
#include "testing/memory_log.h"
#include "testing/redis_servers.h"
#include "testing/tier_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MASTERS = 3, LOG_PARTITIONS = 2, KEYS = 60 };

typedef struct world {
    redis_servers servers;
    norn_tier *tier;
    norn_version *version;
    // Somebody who reads all the time.
    pthread_t reader;
    atomic_bool stop;
    atomic_int reads, failed, late, wrong;
    _Atomic uint64_t least_step; ///< what every row has at least
} world;

static norn_tier *open_tier(const redis_servers *servers, bool replica_reads) {
    norn_tier *tier;
    const norn_redis_options options = {.nodes = servers->nodes,
                                        .partitions = 64,
                                        .command_timeout_ms = 300,
                                        .fetch_patience_ms = 15000,
                                        .write_patience_ms = 15000,
                                        .replica_reads = replica_reads};
    OK(norn_redis_tier_open(&options, norn_alloc_heap(), &tier));
    return tier;
}

static int start(void **state) {
    world *w = calloc(1, sizeof *w);
    *state = w;
    redis_start_cluster(&w->servers, MASTERS, 1);
    w->tier = open_tier(&w->servers, false);
    return w->tier->ops->load(w->tier, 1, norn_tier_version_dir(1), &w->version) == NORN_OK ? 0
                                                                                            : -1;
}

static int stop(void **state) {
    world *w = *state;
    norn_tier_close(w->tier);
    redis_stop_all(&w->servers);
    free(w);
    return 0;
}

/// A step that writes all keys of all tables.
static norn_status write_step(world *w, uint64_t step) {
    int64_t keys[KEYS];
    norn_status status = NORN_OK;
    for (int64_t k = 0; k < KEYS; k++) keys[k] = k;
    for (uint32_t t = 0; status == NORN_OK && t < TIER_TABLES; t++)
        status =
            norn_tier_write(w->tier, w->version, step, t, keys, t == TIER_WIDE ? 40 : KEYS, false);
    if (status == NORN_OK) status = norn_tier_commit(w->tier, w->version, step);
    if (status != NORN_OK) w->tier->ops->abort(w->tier, w->version);
    return status;
}

static void expect_all(world *w, norn_tier *tier, norn_version *version, uint64_t step) {
    norn_pin pin;
    (void)w;
    OK(tier->ops->pin(tier, version, &pin));
    for (uint32_t t = 0; t < TIER_TABLES; t++)
        for (int64_t k = 0; k < (t == TIER_WIDE ? 40 : KEYS); k++) {
            const tier_row row = norn_tier_read(tier, &pin, t, k);
            assert_int_equal(row.state, NORN_ROW_FOUND);
            assert_int_equal(row.step, step);
            assert_true(row.first == norn_tier_cell(1, step, k) && row.last == row.first);
        }
    tier->ops->unpin(tier, &pin);
}

/// All keys of a table at once, again and again: each row is whole, and none is of a step before what
/// was acknowledged when it was asked for.
static void *read_all(void *argument) {
    world *w = argument;
    float rows[KEYS][4];
    norn_row_key keys[KEYS];
    uint64_t row_at[KEYS], steps[KEYS];
    uint8_t states[KEYS];
    for (int k = 0; k < KEYS; k++) {
        keys[k] = (norn_row_key){k, TIER_HASHED};
        row_at[k] = (uint64_t)k * sizeof rows[0];
    }
    while (!atomic_load(&w->stop)) {
        norn_pin pin;
        const uint64_t least = atomic_load(&w->least_step);
        if (w->tier->ops->pin(w->tier, w->version, &pin) != NORN_OK) abort();
        norn_fetch fetch = {
            .pin = &pin,
            .keys = keys,
            .count = KEYS,
            .rows = (char *)rows,
            .row_at = row_at,
            .step = steps,
            .state = states,
            .deadline_ns = atomic_load(&w->reads) % 2 ? INT64_MAX : norn_clock_now_ns() + 20000000};
        const norn_status status = norn_tier_fetch_and_wait(w->tier, &fetch);
        if (status != NORN_OK) atomic_fetch_add(&w->failed, 1);
        for (int k = 0; status == NORN_OK && k < KEYS; k++) {
            if (states[k] == NORN_ROW_LATE) {
                atomic_fetch_add(&w->late, 1);
                if (fetch.deadline_ns == INT64_MAX) atomic_fetch_add(&w->wrong, 1);
            } else if (least > 0 &&
                       (states[k] != NORN_ROW_FOUND || steps[k] < least ||
                        rows[k][0] != norn_tier_cell(1, steps[k], k) || rows[k][3] != rows[k][0])) {
                atomic_fetch_add(&w->wrong, 1);
            }
        }
        w->tier->ops->unpin(w->tier, &pin);
        atomic_fetch_add(&w->reads, 1);
    }
    return NULL;
}

static void begin_reading(world *w) {
    OK(write_step(w, 1));
    atomic_store(&w->least_step, 1);
    assert_int_equal(pthread_create(&w->reader, NULL, read_all, w), 0);
}

/// Steps that are acknowledged, for as long as it takes and some more.
static uint64_t write_for(world *w, uint64_t step, int64_t ms) {
    const int64_t until_ns = norn_clock_now_ns() + ms * 1000000;
    while (norn_clock_now_ns() < until_ns) {
        OK(write_step(w, step + 1));
        atomic_store(&w->least_step, ++step);
    }
    return step;
}

static void end_reading(world *w) {
    const int before = atomic_load(&w->reads);
    while (atomic_load(&w->reads) < before + 20) usleep(1000);
    atomic_store(&w->stop, true);
    pthread_join(w->reader, NULL);
    assert_int_equal(w->failed, 0);
    assert_int_equal(w->wrong, 0);
}

/// What another process sees.
static void expect_after_open(world *w, uint64_t step, bool replica_reads) {
    norn_version *version;
    uint64_t found;
    norn_tier *tier = open_tier(&w->servers, replica_reads);
    OK(tier->ops->found(tier, 0, &version, &found));
    assert_int_equal(found, step);
    expect_all(w, tier, version, step);
    norn_tier_close(tier);
}

static void wait_for_replicas(const world *w) {
    for (int i = MASTERS; i < w->servers.count; i++)
        for (int t = 0; t < 500; t++) {
            char state[REDIS_ANSWER_BYTES];
            strcpy(state, redis_say(&w->servers.at[i], "INFO replication"));
            const char *mine = strstr(state, "slave_repl_offset:");
            char wanted[64];
            if (mine) {
                snprintf(wanted, sizeof wanted, "master_repl_offset:%ld", atol(mine + 18));
                if (strstr(redis_say(&w->servers.at[i - MASTERS], "INFO replication"), wanted))
                    break;
            }
            usleep(2000);
        }
}

// ---- what happens

/// The replica takes over; nothing that it had been given is lost.
static void a_master_is_killed_while_rows_are_read(void **state) {
    world *w = *state;
    begin_reading(w);
    wait_for_replicas(w);
    usleep(50000);
    redis_kill(&w->servers.at[0]);
    redis_await(&w->servers.at[MASTERS], "role:master", "INFO replication");
    end_reading(w);
    expect_all(w, w->tier, w->version, 1);
    OK(write_step(w, 2));
    expect_all(w, w->tier, w->version, 2);
    expect_after_open(w, 2, false);
}

static void masters_change_over_while_steps_are_applied(void **state) {
    world *w = *state;
    begin_reading(w);
    uint64_t step = write_for(w, 1, 100);
    for (int i = 0; i < MASTERS; i++) {
        redis_await(&w->servers.at[MASTERS + i], "+OK", "CLUSTER FAILOVER");
        step = write_for(w, step, 300);
        redis_await(&w->servers.at[MASTERS + i], "role:master", "INFO replication");
    }
    step = write_for(w, step, 100);
    end_reading(w);
    assert_true(norn_redis_tier_stat(w->tier).moved > 0);
    expect_all(w, w->tier, w->version, step);
    expect_after_open(w, step, false);
}

static void slots_move_while_rows_are_read_and_steps_applied(void **state) {
    enum { APART = 16384 / 64 };
    world *w = *state;
    begin_reading(w);
    uint64_t step = write_for(w, 1, 50);
    for (int i = 0; i < 12; i++) { // the first partitions go to the last master
        redis_move_slot(&w->servers, i * APART, 0, 2, false);
        step = write_for(w, step, 20);
    }
    end_reading(w);
    assert_true(norn_redis_tier_stat(w->tier).moved > 0);
    expect_all(w, w->tier, w->version, step);
    expect_after_open(w, step, false);
}

/// Half of a slot's keys are at either master: each is found, and a commit waits.
static void a_slot_that_is_half_moved_is_read_and_not_written(void **state) {
    world *w = *state;
    norn_redis_options options = {
        .nodes = w->servers.nodes, .partitions = 64, .write_patience_ms = 500};
    norn_version *version;
    norn_tier *tier;
    uint64_t step;
    OK(write_step(w, 1));
    for (int i = 0; i < 6; i++) redis_move_slot(&w->servers, i * 16384 / 64, 0, 1, true);
    expect_all(w, w->tier, w->version, 1);
    assert_true(norn_redis_tier_stat(w->tier).asked > 0);
    OK(norn_redis_tier_open(&options, norn_alloc_heap(), &tier));
    OK(tier->ops->found(tier, 0, &version, &step));
    assert_int_equal(
        norn_tier_write(tier, version, 2, TIER_HASHED, (int64_t[]){1, 2, 3, 4, 5, 6}, 6, false),
        NORN_OK);
    const norn_status status = norn_tier_commit(tier, version, 2);
    tier->ops->abort(tier, version);
    norn_tier_close(tier);
    for (int i = 0; i < 6; i++) redis_move_slot(&w->servers, i * 16384 / 64, 0, 1, false);
    assert_true(status == NORN_UNAVAILABLE || status == NORN_OK);
    OK(write_step(w, 3));
    expect_all(w, w->tier, w->version, 3);
    expect_after_open(w, 3, false);
}

static void a_master_that_hangs_is_replaced(void **state) {
    world *w = *state;
    begin_reading(w);
    wait_for_replicas(w);
    redis_signal(&w->servers.at[1], SIGSTOP);
    uint64_t step = write_for(w, 1, 1); // it goes on when the replica has taken over
    redis_signal(&w->servers.at[1], SIGCONT);
    redis_await(&w->servers.at[1], "role:slave", "INFO replication");
    step = write_for(w, step, 100);
    end_reading(w);
    expect_all(w, w->tier, w->version, step);
    expect_after_open(w, step, false);
}

static void replicas_answer_where_that_is_wished(void **state) {
    world *w = *state;
    char known[16];
    OK(write_step(w, 1));
    wait_for_replicas(w);
    for (int m = 0; m < MASTERS; m++) // everybody has heard of them
        for (int i = MASTERS; i < w->servers.count; i++) {
            snprintf(known, sizeof known, ":%u\r\n", w->servers.at[i].port);
            redis_await(&w->servers.at[m], known, "CLUSTER SLOTS");
        }
    expect_after_open(w, 1, true);
    const char *reads =
        strstr(redis_say(&w->servers.at[MASTERS], "INFO commandstats"), "hget:calls=");
    assert_non_null(reads);
    assert_true(atoi(reads + 11) > 10);
    for (int i = MASTERS; i < w->servers.count; i++) redis_kill(&w->servers.at[i]);
    expect_after_open(w, 1, true); // masters answer where replicas are gone
}

// ---- steps that a failover took with it

typedef struct log_rig {
    world *w;
    memory_log *log;
    norn_log_writer *writer;
    norn_applier *applier;
} log_rig;

static void open_applier(log_rig *r) {
    const norn_cut cut = r->w->tier->ops->cut(r->w->tier, r->w->version);
    const norn_applier_options options = {.log = &r->log->base,
                                          .tier = r->w->tier,
                                          .version = r->w->version,
                                          .base = 1,
                                          .cut = cut.partition_count ? &cut : NULL};
    norn_applier_destroy(r->applier);
    OK(norn_applier_create(&options, norn_alloc_heap(), &r->applier));
}

static void publish(log_rig *r, uint64_t step) {
    uint64_t sealed;
    static float rows[KEYS * TIER_WIDEST];
    int64_t keys[KEYS];
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        const uint32_t count = t == TIER_WIDE ? 40 : KEYS;
        for (uint32_t k = 0; k < count; k++) {
            keys[k] = k;
            for (int64_t c = 0; c < norn_tier_dims[t]; c++)
                rows[k * norn_tier_dims[t] + c] = norn_tier_cell(1, step, k);
        }
        OK(norn_log_writer_put(r->writer, t, keys, rows, count));
    }
    OK(norn_log_writer_seal(r->writer, &sealed));
    assert_int_equal(sealed, step);
}

/// A replica that was cut off takes over without the last steps: no commit hides it, the cut says
/// where it stands, and the log from there mends it.
static void what_a_failover_lost_is_replayed(void **state) {
    world *w = *state;
    log_rig r = {.w = w, .log = memory_log_create(LOG_PARTITIONS)};
    const norn_log_writer_options options = {"m", 1, w->version->tables, w->version->table_count};
    OK(norn_log_writer_create(&r.log->base, &options, norn_alloc_heap(), &r.writer));
    open_applier(&r);
    for (uint64_t step = 1; step <= 3; step++) publish(&r, step);
    OK(norn_applier_run(r.applier, INT64_MAX));
    expect_all(w, w->tier, w->version, 3);
    wait_for_replicas(w);
    redis_signal(&w->servers.at[MASTERS], SIGSTOP);
    redis_say(&w->servers.at[0], "CLIENT KILL TYPE replica"); // nor does its socket hold anything
    for (uint64_t step = 4; step <= 6; step++) publish(&r, step);
    OK(norn_applier_run(r.applier, INT64_MAX));
    expect_all(w, w->tier, w->version, 6);
    redis_kill(&w->servers.at[0]);
    redis_signal(&w->servers.at[MASTERS], SIGCONT);
    redis_await(&w->servers.at[MASTERS], "role:master", "INFO replication");
    publish(&r, 7);
    assert_int_equal(norn_applier_run(r.applier, INT64_MAX), NORN_DATA_LOSS);
    assert_non_null(strstr(norn_message(), "replay"));
    assert_int_equal(norn_applier_run(r.applier, INT64_MAX), NORN_DATA_LOSS); // nor does it forget
    open_applier(&r);
    const uint64_t from = norn_applier_cut(r.applier).step;
    assert_in_range(from, 3, 5);
    OK(norn_applier_run(r.applier, INT64_MAX));
    assert_int_equal(norn_applier_stat_of(r.applier).steps, 7 - from);
    expect_all(w, w->tier, w->version, 7);
    expect_after_open(w, 7, false);
    norn_applier_destroy(r.applier);
    norn_log_writer_destroy(r.writer);
    norn_delta_log_close(&r.log->base);
}

/// In the middle of applying: what was acknowledged before is there, or the loss is said and mended.
static void a_master_is_killed_while_steps_are_applied(void **state) {
    world *w = *state;
    log_rig r = {.w = w, .log = memory_log_create(LOG_PARTITIONS)};
    const norn_log_writer_options options = {"m", 1, w->version->tables, w->version->table_count};
    enum { STEPS = 40 };
    OK(norn_log_writer_create(&r.log->base, &options, norn_alloc_heap(), &r.writer));
    open_applier(&r);
    for (uint64_t step = 1; step <= STEPS; step++) {
        publish(&r, step);
        if (step == STEPS / 2) redis_signal(&w->servers.at[2], SIGKILL);
        const norn_status status = norn_applier_run(r.applier, INT64_MAX);
        if (status == NORN_OK) continue;
        assert_int_equal(status, NORN_DATA_LOSS);
        open_applier(&r);
        OK(norn_applier_run(r.applier, INT64_MAX));
    }
    expect_all(w, w->tier, w->version, STEPS);
    redis_kill(&w->servers.at[2]);
    expect_after_open(w, STEPS, false);
    norn_applier_destroy(r.applier);
    norn_log_writer_destroy(r.writer);
    norn_delta_log_close(&r.log->base);
}

int main(void) {
#define CASE(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        CASE(a_master_is_killed_while_rows_are_read),
        CASE(masters_change_over_while_steps_are_applied),
        CASE(slots_move_while_rows_are_read_and_steps_applied),
        CASE(a_slot_that_is_half_moved_is_read_and_not_written),
        CASE(a_master_that_hangs_is_replaced),
        CASE(replicas_answer_where_that_is_wished),
        CASE(what_a_failover_lost_is_replayed),
        CASE(a_master_is_killed_while_steps_are_applied),
    };
    if (!redis_is_there()) return 0;
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
