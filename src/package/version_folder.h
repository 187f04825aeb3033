/// The version folders of a model: a version is a whole number. Leading zeros do not make another
/// version; where 1 and 01 are both there, 1 is it, and 01 beside 001 is nobody's guess.
#ifndef NORN_PACKAGE_VERSION_FOLDER_H
#define NORN_PACKAGE_VERSION_FOLDER_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdbool.h>
#include <stdint.h>

enum { NORN_VERSION_NAME = 64 }; ///< room for a folder's name; a longer one is no version

typedef struct norn_version_folder {
    int64_t version;
    char name[NORN_VERSION_NAME];
    char other[NORN_VERSION_NAME]; ///< another folder of the same number, "" when there is none
    bool ambiguous;                ///< neither of the two is the number as one writes it
} norn_version_folder;

/// Digits that fit; the only reader of versions, in folders and in requests.
bool norn_version_parse(const char *text, int64_t *version);

/// The versions in `dir`, newest first; other files and folders are passed over, and
/// versions that are still being written (norn_manifest_is_ready). Free *out.
/// Errors   NOT_FOUND: no such folder
norn_status norn_version_folders(const char *dir, norn_alloc alloc, norn_version_folder **out,
                                 size_t *count) NORN_NODISCARD;
/// One above the greatest number in `dir`, of versions that are whole or not; 1 in an empty one.
/// Errors   NOT_FOUND: no such folder
norn_status norn_version_next(const char *dir, int64_t *out) NORN_NODISCARD;

#endif
