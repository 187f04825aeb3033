/// A process that loads, applies, switches and drops versions at random, and is killed: at any of
/// the system calls by which it changes the disk (a write is torn then), or at any moment. The next
/// one opens the same folder, compares all rows with what the model says, and goes on from there.
///
/// NORN_KILLS is how often (default 20; make test-all: 100), NORN_SEED repeats a run.
#include "base/hash.h"
#include "testing/io_faults.h"
#include "testing/rocksdb_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VERSIONS = 4, KEYS = 150, SPREAD = 5 };

/// What a version of this number is, as far as its writer was told so (done) or had begun to make
/// it so. `life` counts its loads: rows of an earlier one are another's.
typedef struct expected {
    bool loaded, loading, dropping;
    uint64_t life, done_step, begun_step;
} expected;

/// In memory that the processes share: the model, written before the disk is.
typedef struct shared {
    char path[128];
    uint64_t seed;
    uint64_t commits, loads, drops, reopened; ///< of all processes
    long renames;                             ///< of the last load
    expected versions[VERSIONS];
} shared;

static shared *world;

// ---- the model

/// Whether step `step` wrote (*deleted: deleted) the key.
static bool wrote(uint64_t number, uint64_t life, uint64_t step, uint32_t table, int64_t key,
                  bool *deleted) {
    const uint64_t dice = norn_hash_u64(number + 16 * life + 4096 * step + ((uint64_t)table << 40) +
                                        ((uint64_t)key << 44) + 1);
    *deleted = dice % SPREAD == 1;
    return dice % SPREAD <= 1;
}

static uint64_t writer_of(uint64_t number, uint64_t life, uint64_t step, uint32_t table,
                          int64_t key, bool *deleted) {
    for (; step > 0; step--)
        if (wrote(number, life, step, table, key, deleted)) return step;
    *deleted = false;
    return 0;
}

// ---- checks, in a child

static void require(bool holds, const char *what, uint64_t number, uint64_t step) {
    if (holds) return;
    printf("version %llu, step %llu: %s (%s)\n", (unsigned long long)number,
           (unsigned long long)step, what, norn_message());
    fflush(stdout);
    _exit(1);
}

/// Rows of all keys as a pin sees them, in one fetch.
typedef struct all_rows {
    norn_row_key keys[TIER_TABLES * KEYS];
    float rows[TIER_TABLES * KEYS][TIER_WIDEST];
    uint64_t row_at[TIER_TABLES * KEYS], step[TIER_TABLES * KEYS];
    uint8_t state[TIER_TABLES * KEYS];
} all_rows;

static const all_rows *read_all(norn_tier *tier, const norn_pin *pin) {
    static all_rows all;
    norn_fetch fetch = {.pin = pin,
                        .keys = all.keys,
                        .count = TIER_TABLES * KEYS,
                        .rows = (char *)all.rows,
                        .row_at = all.row_at,
                        .step = all.step,
                        .state = all.state,
                        .deadline_ns = INT64_MAX};
    for (uint32_t i = 0; i < fetch.count; i++) {
        all.keys[i] = (norn_row_key){i % KEYS, i / KEYS};
        all.row_at[i] = i * sizeof all.rows[0];
    }
    require(norn_tier_fetch_and_wait(tier, &fetch) == NORN_OK, "its rows cannot be read",
            pin->version->number, pin->step);
    return &all;
}

static void check_rows(norn_tier *tier, norn_version *version, const expected *e, uint64_t step) {
    const uint64_t number = version->number;
    norn_pin pin;
    require(tier->ops->pin(tier, version, &pin) == NORN_OK && pin.step == step, "its pin", number,
            step);
    const all_rows *all = read_all(tier, &pin);
    for (uint32_t i = 0; i < TIER_TABLES * KEYS; i++) {
        const uint32_t t = all->keys[i].table;
        const int64_t key = all->keys[i].key;
        bool deleted;
        const uint64_t writer = writer_of(number, e->life, step, t, key, &deleted);
        const bool in_file = t == TIER_DENSE || (key % 3 == 1 && key / 3 < norn_tier_rows[t]),
                   wanted = !deleted && (writer || in_file);
        require((all->state[i] == NORN_ROW_FOUND) == wanted, "a row is lost, or there is one more",
                number, step);
        if (!wanted) continue;
        require(all->step[i] == writer, "a row is of another step", number, step);
        for (int64_t c = 0; c < norn_tier_dims[t]; c++)
            require(all->rows[i][c] == norn_tier_cell(number, writer, key), "a row is torn", number,
                    step);
    }
    tier->ops->unpin(tier, &pin);
}

/// The version is where the model says, or where it was just about to be; what is found is true
/// from now on.
static void check_version(norn_tier *tier, norn_version *version, uint64_t step) {
    const uint64_t number = version->number;
    require(number >= 1 && number <= VERSIONS, "there is no such version", number, step);
    expected *e = &world->versions[number - 1];
    require(e->loaded || e->loading, "it was never loaded, or dropped", number, step);
    require(step == e->done_step || step == e->begun_step, "it stands at a wrong step", number,
            step);
    const norn_cut cut = tier->ops->cut(tier, version);
    require(cut.step == step &&
                (step == 0 || (cut.partition_count == 1 && cut.positions[0].sequence == step)),
            "its cut is of another step", number, step);
    check_rows(tier, version, e, step);
    e->loaded = true;
    e->done_step = e->begun_step = step;
}

static void check_all(norn_tier *tier, norn_version **versions) {
    norn_version *version;
    uint64_t step;
    memset(versions, 0, VERSIONS * sizeof *versions);
    for (uint32_t i = 0; tier->ops->found(tier, i, &version, &step) == NORN_OK; i++) {
        check_version(tier, version, step);
        require(!versions[version->number - 1], "it is there twice", version->number, step);
        versions[version->number - 1] = version;
    }
    for (uint64_t n = 1; n <= VERSIONS; n++) {
        expected *e = &world->versions[n - 1];
        require(versions[n - 1] || !e->loaded || e->dropping, "it is gone", n, e->done_step);
        e->loaded = versions[n - 1] != NULL;
        e->loading = e->dropping = false;
    }
}

// ---- what a child does

static void load(norn_tier *tier, uint64_t number, norn_version **out) {
    expected *e = &world->versions[number - 1];
    e->life++;
    e->done_step = e->begun_step = 0;
    e->loading = true;
    require(tier->ops->load(tier, number, norn_tier_version_dir(number), out) == NORN_OK,
            "it cannot be loaded", number, 0);
    e->loaded = true;
    e->loading = false;
    world->loads++;
}

static void step_once(norn_tier *tier, norn_version *version, bool take_back) {
    const uint64_t number = version->number;
    expected *e = &world->versions[number - 1];
    const uint64_t step = e->done_step + 1;
    for (uint32_t t = 0; t < TIER_TABLES; t++) {
        int64_t keys[2][KEYS];
        uint32_t count[2] = {0, 0};
        for (int64_t key = 0; key < KEYS; key++) {
            bool deleted;
            if (wrote(number, e->life, step, t, key, &deleted))
                keys[deleted][count[deleted]++] = key;
        }
        for (int d = 0; d < 2; d++)
            require(norn_tier_write(tier, version, step, t, keys[d], count[d], d) == NORN_OK,
                    "cannot apply", number, step);
    }
    if (take_back) {
        tier->ops->abort(tier, version);
        return;
    }
    e->begun_step = step;
    require(norn_tier_commit(tier, version, step) == NORN_OK, "cannot commit", number, step);
    e->done_step = step;
    world->commits++;
}

static void drop(norn_tier *tier, norn_version **version) {
    expected *e = &world->versions[(*version)->number - 1];
    e->dropping = true;
    tier->ops->drop(tier, *version);
    *version = NULL;
    e->loaded = e->dropping = false;
    world->drops++;
}

/// Until it is killed, or `rounds` are over.
static void live(uint64_t seed, long kill_at, int rounds) {
    norn_random random;
    norn_tier *tier;
    norn_version *versions[VERSIONS];
    norn_random_init(&random, seed);
    io_faults_kill_at(kill_at);
    require(norn_rocksdb_tier_open(world->path, &rocksdb_small, norn_alloc_heap(), &tier) ==
                NORN_OK,
            "the tier does not open", 0, 0);
    check_all(tier, versions);
    world->reopened++;
    for (int round = 0; round < rounds; round++) {
        const uint64_t dice = norn_random_u64(&random), number = 1 + dice % VERSIONS;
        norn_version **version = &versions[number - 1];
        if (!*version)
            load(tier, number, version);
        else if (dice >> 32 & 15)
            step_once(tier, *version, (dice >> 40 & 7) == 0);
        else
            drop(tier, version);
    }
    check_all(tier, versions);
    norn_tier_close(tier);
    _exit(0);
}

static int map_world(void **state) {
    (void)state;
    world = mmap(NULL, sizeof *world, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return world == MAP_FAILED ? -1 : 0;
}
static int unmap_world(void **state) {
    (void)state;
    return munmap(world, sizeof *world);
}

// ---- the parent, which opens no tier: threads do not survive a fork

static int run_child(uint64_t seed, long kill_at, int rounds, int64_t kill_after_us) {
    int status = 0;
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) live(seed, kill_at, rounds);
    if (kill_after_us) {
        usleep((useconds_t)kill_after_us);
        kill(child, SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static long number_of(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static void nothing_is_lost_repeated_or_torn_however_it_is_killed(void **state) {
    enum { FOREVER = 1 << 30, CALLS = 400, MOST_US = 300000, LAST = 30 };
    const long kills = number_of("NORN_KILLS", 20);
    norn_random random;
    (void)state;
    world->seed = (uint64_t)number_of("NORN_SEED", (long)time(NULL));
    printf("NORN_SEED=%llu\n", (unsigned long long)world->seed);
    strcpy(world->path, rocksdb_new_path());
    for (uint64_t n = 1; n <= VERSIONS; n++) (void)norn_tier_version_dir(n);
    norn_random_init(&random, world->seed);
    for (long i = 0; i < kills; i++) {
        const uint64_t dice = norn_random_u64(&random);
        const bool by_call = i % 2 == 0;
        const int status = run_child(dice, by_call ? 1 + (long)(dice >> 8) % CALLS : 0, FOREVER,
                                     by_call ? 0 : 1 + (int64_t)(dice >> 8) % MOST_US);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("process %ld ended with status %x instead of being killed", i, status);
    }
    assert_int_equal(run_child(1, 0, LAST, 0), 0);
    printf("%ld kills: %llu opens, %llu commits, %llu loads, %llu drops\n", kills,
           (unsigned long long)world->reopened, (unsigned long long)world->commits,
           (unsigned long long)world->loads, (unsigned long long)world->drops);
    assert_true(world->commits > 0 && world->loads >= VERSIONS);
}

// ---- what a killed load leaves

/// Loads version 1 from `dir`, and is killed by rename number `kill_at` of it.
static void load_in_child(const char *path, const char *dir, long kill_at, int wanted_signal) {
    int status = 0;
    fflush(stdout);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        norn_tier *tier;
        norn_version *version;
        require(norn_rocksdb_tier_open(path, &rocksdb_small, norn_alloc_heap(), &tier) == NORN_OK,
                "the tier does not open", 0, 0);
        require(tier->ops->found(tier, 0, &version, &(uint64_t){0}) == NORN_NOT_FOUND,
                "half of a version is there", 0, 0);
        const long before = io_faults_renames();
        io_faults_kill_at_rename(kill_at);
        require(tier->ops->load(tier, 1, dir, &version) == NORN_OK, "it cannot be loaded", 1, 0);
        world->renames = io_faults_renames() - before;
        check_rows(tier, version, &(expected){0}, 0);
        norn_tier_close(tier);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, wanted_signal);
    if (!wanted_signal) assert_int_equal(status, 0);
}

static void a_load_goes_on_with_the_files_that_a_killed_one_finished(void **state) {
    enum { FINISHED = 4 };
    char path[128], dir[128];
    (void)state;
    strcpy(dir, norn_tier_version_dir(1));
    load_in_child(rocksdb_new_path(), dir, 0, 0);
    const long all = world->renames;
    strcpy(path, rocksdb_new_path());
    load_in_child(path, dir, FINISHED + 1, SIGKILL);
    load_in_child(path, dir, 2, SIGKILL); // one more
    load_in_child(path, dir, 0, 0);
    assert_int_equal(world->renames, all - FINISHED - 1);
}

/// Version 1's rows come from another folder this time: what is finished is of rows that nobody
/// wants.
static void files_of_other_rows_are_not_used(void **state) {
    char path[128], dir[128];
    (void)state;
    strcpy(dir, norn_tier_version_dir(1));
    load_in_child(rocksdb_new_path(), dir, 0, 0);
    const long all = world->renames;
    strcpy(path, rocksdb_new_path());
    load_in_child(path, norn_tier_version_dir(2), 5, SIGKILL);
    load_in_child(path, dir, 0, 0);
    assert_int_equal(world->renames, all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_lost_repeated_or_torn_however_it_is_killed,
                                        map_world, unmap_world),
        cmocka_unit_test_setup_teardown(a_load_goes_on_with_the_files_that_a_killed_one_finished,
                                        map_world, unmap_world),
        cmocka_unit_test_setup_teardown(files_of_other_rows_are_not_used, map_world, unmap_world),
    };
    if (!rocksdb_is_there()) return 0;
    return cmocka_run_group_tests(tests, norn_tier_make_folder, norn_tier_remove_folder);
}
