/// A model of lookups over the tables of a tier's versions, and runs of it from a tier that is not
/// in memory.
#ifndef NORN_TESTING_GATHER_FIXTURE_H
#define NORN_TESTING_GATHER_FIXTURE_H

#include "norn/session.h"
#include "store/store.h"
#include "testing/tier_fixture.h"

#include <stdatomic.h>

enum { GATHER_WIDTH = 4 + 3 + TIER_WIDEST, GATHER_LATER = 4, GATHER_BATCH = 5 };

typedef struct gather_world {
    norn_tier *tier;
    norn_version *version;
    norn_store *store;
    norn_plan *plan;
    norn_session *session;
} gather_world;

/// Rows of each table, and of the first again by keys that are computed.
typedef struct gather_answer {
    float first[GATHER_BATCH][GATHER_WIDTH], second[GATHER_BATCH][GATHER_LATER];
} gather_answer;

/// The keys that most runs ask for; the later ones are 3 less than the key.
extern int64_t gather_keys[GATHER_BATCH][TIER_TABLES];
extern int32_t gather_later[GATHER_BATCH];

/// A session whose tables are those of `version`, all by the same rule. The world owns the tier.
gather_world gather_open_world(norn_tier *tier, norn_version *version, norn_fetch_rule rule);
void gather_close_world(gather_world *w);
norn_snapshot *gather_snapshot(norn_store *store); ///< of now; to be released
void gather_use_newest(gather_world *w);

norn_status gather_run(norn_session *session, int64_t (*keys)[TIER_TABLES], int32_t *later,
                       gather_answer *out);
/// Every row is that of `step`; step NORN_TIER_NONE: zeros.
void gather_expect_step(const gather_answer *a, uint64_t step);
/// A step that writes every key that is asked for.
void gather_write_all(norn_tier *tier, norn_version *version, uint64_t step);

/// Begins with w, tier and version: where steps are written.
typedef struct gather_mixing {
    gather_world *w;
    norn_tier *tier;
    norn_version *version;
    atomic_bool stop;
    atomic_int runs, mixed;
} gather_mixing;

/// Runs while steps are written: no answer is of two.
void gather_race(gather_mixing *m);

#endif
