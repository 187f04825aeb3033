/// The tier that a model's tables are kept in, shared by all versions of the model that this process has
/// open, and one version's place in it.
///
/// A version is loaded into the tier when it is opened for the first time, and is there already after
/// a restart. One whose folder is gone and that nobody uses is dropped when another is opened.
///
/// Threads  any.
#ifndef NORN_PACKAGE_TIER_USE_H
#define NORN_PACKAGE_TIER_USE_H

#include "store/tier.h"

typedef struct norn_tier_use {
    norn_tier *tier;
    norn_version *version;
    struct norn_open_tier *opened; ///< the tier's entry among all
} norn_tier_use;

/// `url` as norn_tier_open's, but a relative folder is one beside `version_dir`, in the model's folder.
/// `number` is the version's; its rows are those of `version_dir`/tables.
/// Errors   those of norn_tier_open and of a tier's load
norn_status norn_tier_use_open(const char *url, const char *version_dir, uint64_t number,
                               size_t memory_bytes, norn_tier_use *out) NORN_NODISCARD;
void norn_tier_use_close(norn_tier_use *use); ///< of nothing: does nothing

#endif
