/// A delta log applied to RocksDB: after an open it goes on where the version stands.
#include "store/log/applier.h"
#include "store/log/log_writer.h"
#include "testing/memory_log.h"
#include "testing/rocksdb_fixture.h"

#include <string.h>

enum { PARTITIONS = 3 };

typedef struct rig {
    char path[128];
    memory_log *log;
    norn_tier *tier;
    norn_version *version;
    norn_log_writer *writer;
    norn_applier *applier;
} rig;

static void open_applier(rig *r) {
    const norn_cut cut = r->tier->ops->cut(r->tier, r->version);
    const norn_applier_options options = {.log = &r->log->base,
                                          .tier = r->tier,
                                          .version = r->version,
                                          .base = 1,
                                          .cut = cut.partition_count ? &cut : NULL};
    OK(norn_applier_create(&options, norn_alloc_heap(), &r->applier));
}

static void publish(rig *r, uint64_t step) {
    uint64_t sealed;
    float rows[2 * TIER_WIDEST];
    const int64_t keys[2] = {4, (int64_t)step * 1000};
    for (int i = 0; i < 2; i++)
        for (int64_t c = 0; c < norn_tier_dims[TIER_HASHED]; c++)
            rows[i * norn_tier_dims[TIER_HASHED] + c] = norn_tier_cell(1, step, keys[i]);
    OK(norn_log_writer_put(r->writer, TIER_HASHED, keys, rows, 2));
    OK(norn_log_writer_seal(r->writer, &sealed));
    assert_int_equal(sealed, step);
}

/// Applied up to `step`, and nothing else.
static void expect(rig *r, uint64_t step, uint64_t last) {
    norn_pin pin;
    OK(r->tier->ops->pin(r->tier, r->version, &pin));
    assert_int_equal(pin.step, step);
    norn_tier_expect(r->tier, &pin, TIER_HASHED, 4, step);
    for (uint64_t s = 1; s <= last; s++)
        norn_tier_expect(r->tier, &pin, TIER_HASHED, (int64_t)s * 1000,
                         s <= step ? s : NORN_TIER_NONE);
    r->tier->ops->unpin(r->tier, &pin);
}

static void reopen(rig *r) {
    uint64_t step;
    norn_applier_destroy(r->applier);
    norn_tier_close(r->tier);
    OK(norn_rocksdb_tier_open(r->path, &rocksdb_small, norn_alloc_heap(), &r->tier));
    OK(r->tier->ops->found(r->tier, 0, &r->version, &step));
    open_applier(r);
}

static void a_log_goes_on_after_an_open_where_the_version_stands(void **state) {
    enum { STEPS = 12 };
    rig r = {.log = memory_log_create(PARTITIONS)};
    (void)state;
    strcpy(r.path, rocksdb_new_path());
    OK(norn_rocksdb_tier_open(r.path, &rocksdb_small, norn_alloc_heap(), &r.tier));
    OK(r.tier->ops->load(r.tier, 1, norn_tier_version_dir(1), &r.version));
    const norn_log_writer_options options = {"m", 1, r.version->tables, r.version->table_count};
    OK(norn_log_writer_create(&r.log->base, &options, norn_alloc_heap(), &r.writer));
    open_applier(&r);
    for (uint64_t step = 1; step <= STEPS; step += 2) {
        publish(&r, step);
        publish(&r, step + 1);
        OK(norn_applier_run(r.applier, INT64_MAX));
        assert_int_equal(norn_applier_stat_of(r.applier).step, step + 1);
        assert_int_equal(norn_applier_stat_of(r.applier).steps, 2); // and none again
        expect(&r, step + 1, STEPS);
        reopen(&r);
        expect(&r, step + 1, STEPS);
        OK(norn_applier_run(r.applier, INT64_MAX));
        assert_int_equal(norn_applier_stat_of(r.applier).steps, 0);
    }
    norn_log_writer_destroy(r.writer);
    norn_applier_destroy(r.applier);
    norn_tier_close(r.tier);
    norn_delta_log_close(&r.log->base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_goes_on_after_an_open_where_the_version_stands),
    };
    if (!rocksdb_is_there()) return 0;
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
