/// The files of a version folder: all but MANIFEST.json and READY, which are about them.
#ifndef NORN_PACKAGE_FOLDER_FILES_H
#define NORN_PACKAGE_FOLDER_FILES_H

#include "base/status.h"
#include "norn/alloc.h"

#include <stdint.h>

enum { NORN_FOLDER_PATH = 4096 };

typedef struct norn_folder_files {
    norn_alloc alloc;
    char **at; ///< paths in the folder, in order
    size_t count, capacity;
    uint64_t bytes; ///< of all
} norn_folder_files;

/// Errors   NOT_FOUND, PERMISSION_DENIED; INVALID_ARGUMENT: something that is no file lies there
norn_status norn_folder_files_read(const char *dir, norn_alloc alloc,
                                   norn_folder_files *out) NORN_NODISCARD;
void norn_folder_files_deinit(norn_folder_files *files);

/// "DIR/NAME". Errors   INVALID_ARGUMENT: too long
norn_status norn_folder_path(const char *dir, const char *name,
                             char out[NORN_FOLDER_PATH]) NORN_NODISCARD;
/// The last name of a path, as the file system has it: "." and a slash at the end are no names.
/// Errors   NOT_FOUND: the folder that it should lie in is not there; INVALID_ARGUMENT
norn_status norn_folder_real(const char *path, char parent[NORN_FOLDER_PATH],
                             char name[NORN_FOLDER_PATH]) NORN_NODISCARD;
/// Make folder and what it lies in.
norn_status norn_folder_make(const char *path) NORN_NODISCARD;
/// What lies in it too. Where that fails something is left; nothing else is changed.
void norn_folder_remove(const char *path);

#endif
