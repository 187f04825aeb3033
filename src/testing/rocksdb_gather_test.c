/// A model whose tables lie in RocksDB.
#include "testing/gather_fixture.h"
#include "testing/rocksdb_fixture.h"

#include <string.h>

static gather_world open_world(void) {
    norn_tier *tier;
    norn_version *version;
    OK(rocksdb_create(norn_alloc_heap(), &tier));
    OK(tier->ops->load(tier, 1, norn_tier_version_dir(1), &version));
    return gather_open_world(tier, version, (norn_fetch_rule){0});
}

static void runs_see_the_step_of_their_snapshot(void **state) {
    gather_answer a;
    (void)state;
    gather_world w = open_world();
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_write_all(w.tier, w.version, 6);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 0);
    gather_use_newest(&w);
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 6);
    gather_close_world(&w);
}

static void runs_go_on_after_an_open(void **state) {
    char path[128];
    norn_tier *tier;
    norn_version *version;
    uint64_t step;
    gather_answer a;
    (void)state;
    strcpy(path, rocksdb_new_path());
    OK(norn_rocksdb_tier_open(path, &rocksdb_small, norn_alloc_heap(), &tier));
    OK(tier->ops->load(tier, 1, norn_tier_version_dir(1), &version));
    gather_write_all(tier, version, 3);
    norn_tier_close(tier);
    OK(norn_rocksdb_tier_open(path, &rocksdb_small, norn_alloc_heap(), &tier));
    OK(tier->ops->found(tier, 0, &version, &step));
    gather_world w = gather_open_world(tier, version, (norn_fetch_rule){0});
    OK(gather_run(w.session, gather_keys, gather_later, &a));
    gather_expect_step(&a, 3);
    norn_snapshot *snapshot = gather_snapshot(w.store);
    assert_int_equal(snapshot->sequence, 3);
    norn_snapshot_release(snapshot);
    gather_close_world(&w);
}

static void no_answer_mixes_steps(void **state) {
    (void)state;
    gather_world w = open_world();
    gather_mixing m = {.w = &w, .tier = w.tier, .version = w.version};
    gather_race(&m);
    gather_close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_see_the_step_of_their_snapshot),
        cmocka_unit_test(runs_go_on_after_an_open),
        cmocka_unit_test(no_answer_mixes_steps),
    };
    if (!rocksdb_is_there()) return 0;
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
