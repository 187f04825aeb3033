/// A model whose tables lie in Redis.
#include "testing/gather_fixture.h"
#include "testing/redis_servers.h"

#include <signal.h>
#include <stdio.h>

static redis_servers servers;

static gather_world open_world(norn_fetch_rule rule) {
    static char name_space[16];
    static int count;
    norn_tier *tier;
    norn_version *version;
    snprintf(name_space, sizeof name_space, "g%dx", count++);
    const norn_redis_options options = {.nodes = servers.nodes,
                                        .name_space = name_space,
                                        .partitions = 32,
                                        .command_timeout_ms = 200,
                                        .fetch_patience_ms = 600};
    OK(norn_redis_tier_open(&options, norn_alloc_heap(), &tier));
    OK(tier->ops->load(tier, 1, norn_tier_version_dir(1), &version));
    return gather_open_world(tier, version, rule);
}

static void runs_see_what_was_committed(void **state) {
    gather_answer a;
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_write_all(w.tier, w.version, 6);
    gather_use_newest(&w);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 6);
    norn_snapshot *snapshot = gather_snapshot(w.store);
    assert_int_equal(snapshot->sequence, 6);
    norn_snapshot_release(snapshot);
    gather_close_world(&w);
}

/// By the table's policy a run fails, or takes the default row; and goes on with the servers.
static void servers_that_hang_fail_runs_that_wait_alone(void **state) {
    gather_answer a;
    (void)state;
    gather_world w = open_world((norn_fetch_rule){0});
    gather_world patient = open_world((norn_fetch_rule){NORN_FETCH_DEADLINE, 20000000});
    for (int i = 0; i < servers.count; i++) redis_signal(&servers.at[i], SIGSTOP);
    assert_int_equal(gather_run(w.session, gather_keys, gather_later, &a), NORN_UNAVAILABLE);
    OK(gather_run(patient.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, NORN_TIER_NONE);
    for (int i = 0; i < servers.count; i++) redis_signal(&servers.at[i], SIGCONT);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_close_world(&patient);
    gather_close_world(&w);
}

static int start(void **state) {
    redis_start_cluster(&servers, 3, 0);
    return norn_tier_make_folder(state);
}
static int stop(void **state) {
    redis_stop_all(&servers);
    return norn_tier_remove_folder(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_see_what_was_committed),
        cmocka_unit_test(servers_that_hang_fail_runs_that_wait_alone),
    };
    if (!redis_is_there()) return 0;
    return cmocka_run_group_tests(tests, start, stop);
}
