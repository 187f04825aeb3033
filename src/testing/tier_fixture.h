/// What the cases of a tier share: full versions on disk whose rows say whose they are, and reads
/// by every way that a tier offers, which must agree.
#ifndef NORN_TESTING_TIER_FIXTURE_H
#define NORN_TESTING_TIER_FIXTURE_H

#include "base/cmocka_all.h"
#include "store/tier.h"

#define OK(expr) assert_int_equal((expr), NORN_OK)

/// Tables of the full versions, in order of name. Hashed ones have the keys 3 i + 1.
enum {
    TIER_HASHED,
    TIER_DENSE,
    TIER_WIDE,
    TIER_TABLES,
    TIER_HASHED_ROWS = 300,
    TIER_DENSE_ROWS = 200,
    TIER_WIDE_ROWS = 40,
    TIER_WIDEST = 33
};
extern const char *const norn_tier_names[TIER_TABLES];
extern const int64_t norn_tier_rows[TIER_TABLES], norn_tier_dims[TIER_TABLES];

/// Every element of the row that `step` wrote for `key` in full version `version`.
float norn_tier_cell(uint64_t version, uint64_t step, int64_t key);

int norn_tier_make_folder(void **state);
int norn_tier_remove_folder(void **state);
const char *norn_tier_folder(void); ///< between the two
/// A folder with the tables of a version; borrowed until the next call.
const char *norn_tier_version_dir(uint64_t version);
/// A folder without a version: its table is cut short.
const char *norn_tier_broken_dir(void);

typedef struct tier_row {
    norn_row_state state;
    uint64_t step;
    float first, last;
} tier_row;

/// By fetch, and by lookup and view where the tier has them.
tier_row norn_tier_read(norn_tier *tier, const norn_pin *pin, uint32_t table, int64_t key);
/// Waits until `fetch`, whose `done` and `context` are set here, has been answered.
norn_status norn_tier_fetch_and_wait(norn_tier *tier, norn_fetch *fetch);
/// A whole row of a step after the pin's, which shows in a tier that is SHARED.
bool norn_tier_is_skewed(const norn_tier *tier, const norn_pin *pin, const tier_row *row,
                         int64_t key);
/// The row is that of `step`, or newer where the tier is SHARED; step NORN_TIER_NONE: there is none.
#define NORN_TIER_NONE UINT64_MAX
void norn_tier_expect(norn_tier *tier, const norn_pin *pin, uint32_t table, int64_t key,
                      uint64_t step);

/// Rows (or deletions) of `step` for these keys.
norn_status norn_tier_write(norn_tier *tier, norn_version *version, uint64_t step, uint32_t table,
                            const int64_t *keys, uint32_t count, bool deletes);
norn_status norn_tier_commit(norn_tier *tier, norn_version *version, uint64_t step);

#endif
