/// What a folder of a store is (a version, tables, a model with its versions and log, a log), what is
/// in it, and whether all of it is right.
#ifndef NORN_PACKAGE_STORE_FOLDER_H
#define NORN_PACKAGE_STORE_FOLDER_H

#include "package/folder_files.h"
#include "package/manifest.h"
#include "store/log/log_check.h"

typedef enum norn_folder_kind {
    NORN_FOLDER_VERSION, ///< model.onnx or model.norn, or MANIFEST.json, or tables/
    NORN_FOLDER_TABLES,  ///< files *.safetensors
    NORN_FOLDER_MODEL,   ///< versions as numbers, and perhaps log/
    NORN_FOLDER_LOG,     ///< LOG.json
} norn_folder_kind;

typedef struct norn_store_folder {
    norn_folder_kind kind;
    char version[NORN_FOLDER_PATH]; ///< of a model the newest that is whole; "": none
    char tables[NORN_FOLDER_PATH];  ///< of that; "": none
    char log[NORN_FOLDER_PATH];     ///< "": none
} norn_store_folder;

/// Errors   NOT_FOUND: no folder, or nothing of a store in it
norn_status norn_store_folder_find(const char *dir, norn_alloc alloc,
                                   norn_store_folder *out) NORN_NODISCARD;

typedef struct norn_folder_table {
    norn_table_form form;
    uint64_t bytes;       ///< of its file
    uint64_t index_bytes; ///< in memory, beside the rows
} norn_folder_table;

typedef struct norn_folder_stat {
    norn_store_folder at;
    bool ready;             ///< false: it has a manifest and no READY
    norn_manifest manifest; ///< of the version
    norn_folder_table *tables;
    size_t table_count;
    norn_log_facts log;
} norn_folder_stat;

/// Memory is the arena's. Tables' heads are read, and the whole log.
norn_status norn_folder_stat_read(const char *dir, const norn_progress *progress, norn_arena *arena,
                                  norn_folder_stat *out) NORN_NODISCARD;

/// Called for each thing that was found right.
typedef void (*norn_folder_right_fn)(void *context, const char *what);

/// Check every byte: manifests against files, each table's keys and shapes, the tables that a manifest
/// lists, and the log with the newest version's place in it. Of a model all versions.
/// Errors   the first thing that is wrong, with what to do
norn_status norn_folder_verify(const char *dir, const norn_progress *progress, norn_alloc alloc,
                               norn_folder_right_fn right, void *context) NORN_NODISCARD;

#endif
