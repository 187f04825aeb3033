#include "store/rocksdb/rocksdb_load.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/rocksdb/rocksdb_key.h"
#include "store/rocksdb/sst_file.h"
#include "store/table_dir.h"
#include "store/version_record.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

// ---- folders of files

/// Files of other versions: their loads were given up. What cannot be removed is tried again next
/// time.
static void sweep_others(const char *loading, const char *ours) {
    DIR *entries = opendir(loading);
    char path[4096];
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        const int length = snprintf(path, sizeof path, "%s/%s", loading, entry->d_name);
        if (length < 0 || (size_t)length >= sizeof path || strcmp(path, ours) == 0) continue;
        norn_rocksdb_remove_folder(path);
    }
    closedir(entries);
}

// ---- tables

/// A table is in memory while its files are written, and no longer.
static norn_status write_table(norn_rocksdb_version *version, const char *dir, const char *name,
                               uint32_t index, norn_table_form *form, const char *folder,
                               norn_sst_files *files) {
    norn_table *table;
    NORN_TRY(norn_table_dir_table(dir, name, version->db->alloc, &table));
    norn_status status = norn_form_of_table(table, &version->arena, form);
    if (status == NORN_OK) status = norn_sst_files_write(version->db, folder, index, table, files);
    norn_table_release(table);
    return status;
}

static norn_status write_tables(norn_rocksdb_version *version, const char *dir,
                                const norn_table_names *names, const char *folder,
                                norn_sst_files *files) {
    norn_table_form *forms;
    if (names->count > NORN_ROCKSDB_TABLES)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: %zu tables, a version has at most %d", dir,
                         names->count, NORN_ROCKSDB_TABLES);
    NORN_TRY(NORN_TAKE_ARRAY(&version->arena, names->count ? names->count : 1, &forms));
    for (uint32_t t = 0; t < names->count; t++)
        NORN_TRY(write_table(version, dir, names->at[t], t, &forms[t], folder, files));
    version->base.tables = forms;
    version->base.table_count = (uint32_t)names->count;
    return NORN_OK;
}

// ---- taking over

static norn_status ingest(norn_rocksdb_version *version, const norn_sst_files *files) {
    norn_rocksdb *db = version->db;
    char *error = NULL;
    if (files->count == 0) return NORN_OK;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    // Nobody has a view of this family yet, so its files need no number that hides them from older
    // ones.
    rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, 0);
    rocksdb_ingest_external_file_cf(db->db, version->family, files->at, files->count, options,
                                    &error);
    rocksdb_ingestexternalfileoptions_destroy(options);
    return norn_rocksdb_status(db->path, "take the files of a version over", error);
}

static norn_status take_over(norn_rocksdb_version *version, const norn_sst_files *files) {
    norn_rocksdb *db = version->db;
    char name[NORN_ROCKSDB_NAME], *error = NULL;
    norn_rocksdb_family_name(version->base.number, version->generation, name);
    version->family = rocksdb_create_column_family(db->db, db->options, name, &error);
    if (error) version->family = NULL;
    NORN_TRY(norn_rocksdb_status(db->path, "begin a version", error));
    NORN_TRY(ingest(version, files));
    return norn_rocksdb_version_begin(version);
}

static norn_status load(norn_rocksdb_version *version, const char *dir,
                        const norn_table_names *names, norn_sst_files *files, const char **folder) {
    NORN_TRY(norn_arena_format(files->arena, folder, "%s/%llu", version->db->loading,
                               (unsigned long long)version->base.number));
    sweep_others(version->db->loading, *folder);
    if (mkdir(*folder, 0777) != 0 && errno != EEXIST)
        return norn_file_fail(*folder, "make the folder");
    NORN_TRY(write_tables(version, dir, names, *folder, files));
    return take_over(version, files);
}

norn_status norn_rocksdb_load(norn_rocksdb_version *version, const char *dir) {
    norn_table_names names;
    norn_arena arena;
    norn_sst_files files = {.arena = &arena};
    const char *folder = NULL;
    NORN_TRY(norn_table_names_read(dir, version->db->alloc, &names));
    norn_arena_init(&arena, version->db->alloc, 1 << 12);
    const norn_status status = load(version, dir, &names, &files, &folder);
    if (folder)
        norn_rocksdb_remove_folder(
            folder); // after an error too: files that nobody may come for fill disks
    norn_arena_deinit(&arena);
    norn_table_names_deinit(&names);
    return status;
}
