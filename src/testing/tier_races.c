#include "testing/tier_races.h"
#include "base/hash.h"
#include "testing/tier_fixture.h"

#include <pthread.h>

/// Every step writes the keys that have its remainder by SPREAD, deletes those of the next but one,
/// and adds some that no file has. So which step wrote a key, for a reader of step S, is known.
enum { SPREAD = 7, KEYS = 60, STEPS = 150, READERS = 3 };

typedef struct race {
    norn_tier *tier;
    norn_version *version;
    atomic_bool stop;
    atomic_int reads, wrong;
} race;

/// The newest step up to `step` that wrote (*deleted: deleted) key k; 0: none did.
static uint64_t writer_of(uint64_t step, int64_t k, bool *deleted) {
    for (; step > 0; step--) {
        *deleted = (uint64_t)k % SPREAD == (step + 2) % SPREAD;
        if (*deleted || (uint64_t)k % SPREAD == step % SPREAD) return step;
    }
    *deleted = false;
    return 0;
}

static void write_step(race *r, uint64_t step) {
    int64_t keys[KEYS], dead[KEYS];
    uint32_t count = 0, dead_count = 0;
    for (int64_t k = 0; k < KEYS; k++) {
        if ((uint64_t)k % SPREAD == step % SPREAD) keys[count++] = k;
        if ((uint64_t)k % SPREAD == (step + 2) % SPREAD) dead[dead_count++] = k;
    }
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        const bool ok =
            norn_tier_write(r->tier, r->version, step, t, keys, count, false) == NORN_OK &&
            norn_tier_write(r->tier, r->version, step, t, dead, dead_count, true) == NORN_OK;
        if (!ok) atomic_fetch_add(&r->wrong, 1);
    }
}

static void *write_all(void *argument) {
    race *r = argument;
    for (uint64_t step = 1; step <= STEPS; step++) {
        write_step(r, step);
        if (step % 5 == 0) { // some steps are taken back, and written again
            r->tier->ops->abort(r->tier, r->version);
            write_step(r, step);
        }
        if (norn_tier_commit(r->tier, r->version, step) != NORN_OK) atomic_fetch_add(&r->wrong, 1);
    }
    atomic_store(&r->stop, true);
    return NULL;
}

static bool is_right(const race *r, const norn_pin *pin, uint32_t table, int64_t k) {
    bool deleted;
    const uint64_t step = writer_of(pin->step, k, &deleted);
    const bool in_file = table == TIER_DENSE || k % 3 == 1;
    const tier_row row = norn_tier_read(r->tier, pin, table, k);
    if (norn_tier_is_skewed(r->tier, pin, &row, k)) return true;
    if (deleted || (step == 0 && !in_file)) return row.state != NORN_ROW_FOUND;
    return row.state == NORN_ROW_FOUND && row.step == step &&
           row.first == norn_tier_cell(r->version->number, step, k) && row.last == row.first;
}

static void *read_all(void *argument) {
    race *r = argument;
    uint64_t seed = 12345, last_step = 0;
    while (!atomic_load(&r->stop) || atomic_load(&r->reads) == 0) {
        norn_pin pin;
        if (r->tier->ops->pin(r->tier, r->version, &pin) != NORN_OK) return NULL;
        if (pin.step < last_step) atomic_fetch_add(&r->wrong, 1);
        last_step = pin.step;
        for (int i = 0; i < 40; i++) {
            seed = norn_hash_u64(seed + 1);
            const uint32_t table = (uint32_t)(seed % TIER_TABLES);
            if (!is_right(r, &pin, table, (int64_t)(seed >> 32) % KEYS))
                atomic_fetch_add(&r->wrong, 1);
        }
        r->tier->ops->unpin(r->tier, &pin);
        atomic_fetch_add(&r->reads, 1);
    }
    return NULL;
}

void norn_tier_race(norn_tier *tier, norn_version *version) {
    pthread_t writer, readers[READERS];
    race r = {.tier = tier, .version = version};
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all, &r), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_all, &r), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_int_equal(r.wrong, 0);
    assert_true(r.reads > 0);
    norn_tier_stat stat;
    tier->ops->stat(tier, version, &stat);
    assert_int_equal(stat.pins, 0);
    assert_int_equal(stat.step, STEPS);
}
