/// The other half of manifest.h: MANIFEST.json and READY for the files of a folder.
#ifndef NORN_PACKAGE_MANIFEST_WRITE_H
#define NORN_PACKAGE_MANIFEST_WRITE_H

#include "base/progress.h"
#include "package/manifest.h"

typedef struct norn_manifest_facts {
    const char *model; ///< its name
    uint64_t version, base;
    const norn_cut *cut; ///< NULL: of no log
} norn_manifest_facts;

/// Describe the files that lie in `dir`, and make them durable; then write READY. Tables are those
/// of tables/.
/// Errors   of the files, which are named; RESOURCE_EXHAUSTED
norn_status norn_manifest_write(const char *dir, const norn_manifest_facts *facts,
                                const norn_progress *progress, norn_alloc alloc) NORN_NODISCARD;

#endif
