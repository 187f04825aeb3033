/// A version folder in the making: it lies beside its place under a name that is no version, and is
/// renamed when it is whole. Whoever looks sees all of it or nothing.
#ifndef NORN_PACKAGE_VERSION_WRITE_H
#define NORN_PACKAGE_VERSION_WRITE_H

#include "package/folder_files.h"
#include "package/manifest_write.h"

typedef struct norn_version_write {
    char parent[NORN_FOLDER_PATH];
    char final[NORN_FOLDER_PATH]; ///< where it will be
    char
        partial[NORN_FOLDER_PATH]; ///< ".NAME.PID.partial" beside it; "": nothing is left to remove
} norn_version_write;

/// Make the folder for what will be `path`. What dead processes left beside it is removed.
/// Errors   ALREADY_EXISTS: `path` is there; NOT_FOUND: what it should lie in is not
norn_status norn_version_write_begin(const char *path, norn_version_write *out) NORN_NODISCARD;
/// Copy files of `from` with the folders that they lie in; those for which `leaves_out` (NULL:
/// nothing) is true stay behind.
norn_status norn_version_write_copy(norn_version_write *write, const char *from,
                                    bool (*leaves_out)(const char *path),
                                    const norn_progress *progress, norn_alloc alloc) NORN_NODISCARD;
/// Rename it into place.
/// Errors   ALREADY_EXISTS: somebody else was there first
norn_status norn_version_write_commit(norn_version_write *write) NORN_NODISCARD;
/// Remove what was not committed.
void norn_version_write_abort(norn_version_write *write);

#endif
