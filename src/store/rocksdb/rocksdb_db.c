#include "store/rocksdb/rocksdb_db.h"
#include "base/file.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4096, FILTER_BITS = 10, FORMAT = 5, FATAL = 4 };
static const size_t mib = 1 << 20;

/// Rewritten when what is in the database is laid out otherwise.
static const char layout_key[] = "layout", layout[] = "norn tier 1";

// ---- errors

static bool starts_with(const char *text, const char *start) {
    return strncmp(text, start, strlen(start)) == 0;
}

bool norn_rocksdb_is_late(const char *error) {
    return starts_with(error, "Operation timed out");
}

norn_status norn_rocksdb_status(const char *path, const char *what, char *error) {
    norn_status status = NORN_INTERNAL;
    const char *advice = "";
    if (!error) return NORN_OK;
    if (strstr(error, "LOCK:") || strstr(error, "lock hold by current process")) {
        status = NORN_FAILED_PRECONDITION;
        advice = "; somebody has it open already";
    } else if (strstr(error, "No space left") || strstr(error, "NoSpace")) {
        status = NORN_RESOURCE_EXHAUSTED;
        advice = "; make room on the disk";
    } else if (starts_with(error, "Corruption")) {
        status = NORN_DATA_LOSS;
        advice = "; load the version again";
    } else if (strstr(error, "Permission denied")) {
        status = NORN_PERMISSION_DENIED;
    } else if (starts_with(error, "IO error")) {
        status = NORN_UNAVAILABLE;
        advice = "; look after the disk, then open the tier again";
    }
    status = norn_fail(status, "%s: cannot %s: %s%s", path, what, error, advice);
    rocksdb_free(error);
    return status;
}

// ---- options

static norn_rocksdb_options without_zeros(const norn_rocksdb_options *given) {
    norn_rocksdb_options o = given ? *given : (norn_rocksdb_options){0};
    if (!o.cache_bytes) o.cache_bytes = 1024 * mib;
    if (!o.reader_threads) o.reader_threads = 8;
    if (!o.background_threads) o.background_threads = 2;
    if (!o.buffer_bytes) o.buffer_bytes = 64 * mib;
    if (!o.step_bytes) o.step_bytes = 1024 * mib;
    if (!o.file_bytes) o.file_bytes = 256 * mib;
    return o;
}

static int max_open_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1 << 20) return 1 << 19;
    return (int)limit.rlim_cur / 2; // the rest of the process wants some too
}

/// An absent key is told by a filter, not by a read: rankers ask for many that no table has. (Hence
/// no optimize_filters_for_hits.) Indexes and filters are in memory beside the cache: in it, a
/// small cache's shards do not hold those of a large file at all, and cut into pieces they cost a
/// third of the speed.
static void set_blocks(rocksdb_options_t *options, size_t cache_bytes) {
    rocksdb_block_based_table_options_t *blocks = rocksdb_block_based_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(cache_bytes);
    rocksdb_block_based_options_set_block_size(blocks, BLOCK_BYTES);
    rocksdb_block_based_options_set_filter_policy(
        blocks, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS));
    rocksdb_block_based_options_set_whole_key_filtering(blocks, 1);
    rocksdb_block_based_options_set_format_version(blocks, FORMAT);
    rocksdb_block_based_options_set_data_block_index_type(
        blocks, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
    rocksdb_block_based_options_set_block_cache(blocks, cache);
    rocksdb_options_set_block_based_table_factory(options, blocks);
    rocksdb_block_based_options_destroy(blocks);
    rocksdb_cache_destroy(cache);
}

static rocksdb_options_t *make_options(const norn_rocksdb_options *tier) {
    rocksdb_options_t *options = rocksdb_options_create();
    set_blocks(options, tier->cache_bytes);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression); // floats do not shrink
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_target_file_size_base(options, tier->file_bytes);
    rocksdb_options_set_max_background_jobs(options, (int)tier->background_threads);
    rocksdb_options_set_max_open_files(options, max_open_files());
    rocksdb_options_set_write_buffer_size(options, tier->buffer_bytes);
    // Without it the quietest version would keep all logs.
    rocksdb_options_set_max_total_wal_size(options, 4 * tier->buffer_bytes);
    rocksdb_options_set_info_log_level(options, FATAL);
    return options;
}

// ---- opening

void norn_rocksdb_remove_folder(const char *path) {
    DIR *entries = opendir(path);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            (void)unlinkat(dirfd(entries), entry->d_name, 0);
    closedir(entries);
    (void)rmdir(path);
}

static norn_status make_folder(const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return NORN_OK;
    return norn_file_fail(path, "make the folder");
}

static norn_status name_folders(norn_rocksdb *db, const char *path) {
    NORN_TRY(norn_arena_format(&db->arena, &db->path, "%s", path));
    NORN_TRY(norn_arena_format(&db->arena, &db->folder, "%s/db", path));
    NORN_TRY(norn_arena_format(&db->arena, &db->loading, "%s/loading", path));
    NORN_TRY(make_folder(db->path));
    return make_folder(db->loading);
}

static norn_status list(norn_rocksdb *db, norn_rocksdb_families *families) {
    const char *current;
    char *error = NULL;
    NORN_TRY(norn_arena_format(&db->arena, &current, "%s/CURRENT", db->folder));
    if (!norn_path_is_file(current)) return NORN_OK; // a new one
    families->names =
        rocksdb_list_column_families(db->options, db->folder, &families->count, &error);
    return norn_rocksdb_status(db->path, "read the database's manifest", error);
}

/// RocksDB's file of messages is made in memory and removed once it is open. Built with assertions,
/// as Debian's is, RocksDB would end the process when a full disk does not take a second line of
/// it; and its errors say what there is to say. The name is the tier folder's own, so that what a
/// killed open left there goes with the next.
typedef struct message_folder {
    char path[64]; ///< "": there is no such memory; it lies beside the database then
} message_folder;

static bool is_ours(const char *path) {
    struct stat facts;
    if (mkdir(path, 0700) == 0) return true;
    return errno == EEXIST && lstat(path, &facts) == 0 && S_ISDIR(facts.st_mode) &&
           facts.st_uid == geteuid() && (facts.st_mode & 077) == 0;
}

static message_folder begin_messages(norn_rocksdb *db) {
    message_folder folder;
    struct stat facts;
    if (stat(db->path, &facts) != 0) return (message_folder){""};
    snprintf(folder.path, sizeof folder.path, "/dev/shm/norn-%llx-%llx",
             (unsigned long long)facts.st_dev, (unsigned long long)facts.st_ino);
    if (!is_ours(folder.path)) return (message_folder){""};
    rocksdb_options_set_db_log_dir(db->options, folder.path);
    return folder;
}

static void end_messages(const message_folder *folder) {
    if (folder->path[0]) norn_rocksdb_remove_folder(folder->path);
}

static norn_status open_families(norn_rocksdb *db, norn_rocksdb_families *families) {
    static const char *const only_home[] = {"default"};
    const size_t count = families->names ? families->count : 1;
    const char *const *names = families->names ? (const char *const *)families->names : only_home;
    const rocksdb_options_t **options;
    char *error = NULL;
    NORN_TRY(NORN_NEW_ARRAY(db->alloc, count, &families->handles));
    NORN_TRY(NORN_TAKE_ARRAY(&db->arena, count, &options));
    for (size_t i = 0; i < count; i++) options[i] = db->options;
    const message_folder messages = begin_messages(db);
    db->db = rocksdb_open_column_families(db->options, db->folder, (int)count, names, options,
                                          families->handles, &error);
    end_messages(&messages);
    NORN_TRY(norn_rocksdb_status(db->path, "open the database", error));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], only_home[0]) != 0) continue;
        db->home = families->handles[i];
        families->handles[i] = NULL;
    }
    return NORN_OK;
}

static norn_status check_layout(norn_rocksdb *db, bool is_new) {
    rocksdb_pinnableslice_t *value;
    size_t bytes = 0;
    char *error = NULL;
    NORN_TRY(norn_rocksdb_get(db, db->home, layout_key, sizeof layout_key - 1, &value));
    const char *found = value ? rocksdb_pinnableslice_value(value, &bytes) : NULL;
    const bool same = found && bytes == sizeof layout - 1 && memcmp(found, layout, bytes) == 0;
    if (value) rocksdb_pinnableslice_destroy(value);
    if (same) return NORN_OK;
    if (found || !is_new)
        return norn_fail(NORN_FAILED_PRECONDITION,
                         "%s: this is no tier, or that of another Norn; use another folder",
                         db->path);
    rocksdb_put_cf(db->db, db->synced, db->home, layout_key, sizeof layout_key - 1, layout,
                   sizeof layout - 1, &error);
    return norn_rocksdb_status(db->path, "write to the database", error);
}

static norn_status open_at(norn_rocksdb *db, const char *path, norn_rocksdb_families *families) {
    NORN_TRY(name_folders(db, path));
    NORN_TRY(list(db, families));
    NORN_TRY(open_families(db, families));
    // One that was killed before it said what it is has no versions yet.
    return check_layout(db, families->count <= 1);
}

norn_status norn_rocksdb_open(const char *path, const norn_rocksdb_options *options,
                              norn_alloc alloc, norn_rocksdb *out,
                              norn_rocksdb_families *families) {
    *out = (norn_rocksdb){.alloc = alloc, .tier = without_zeros(options)};
    *families = (norn_rocksdb_families){0};
    norn_arena_init(&out->arena, alloc, 1 << 10);
    out->options = make_options(&out->tier);
    out->synced = rocksdb_writeoptions_create();
    out->unsynced = rocksdb_writeoptions_create();
    out->latest = rocksdb_readoptions_create();
    rocksdb_writeoptions_set_sync(out->synced, 1);
    const norn_status status = open_at(out, path, families);
    if (status != NORN_OK) {
        norn_rocksdb_families_release(out, families);
        norn_rocksdb_close(out);
    }
    return status;
}

void norn_rocksdb_families_release(norn_rocksdb *db, norn_rocksdb_families *families) {
    for (size_t i = 0; families->handles && db->db && i < families->count; i++)
        if (families->handles[i]) rocksdb_column_family_handle_destroy(families->handles[i]);
    norn_free(db->alloc, families->handles);
    if (families->names) rocksdb_list_column_families_destroy(families->names, families->count);
    *families = (norn_rocksdb_families){0};
}

void norn_rocksdb_close(norn_rocksdb *db) {
    if (db->home) rocksdb_column_family_handle_destroy(db->home);
    if (db->db) rocksdb_close(db->db);
    rocksdb_readoptions_destroy(db->latest);
    rocksdb_writeoptions_destroy(db->unsynced);
    rocksdb_writeoptions_destroy(db->synced);
    rocksdb_options_destroy(db->options);
    norn_arena_deinit(&db->arena);
}

norn_status norn_rocksdb_get(const norn_rocksdb *db, rocksdb_column_family_handle_t *family,
                             const char *key, size_t key_bytes, rocksdb_pinnableslice_t **out) {
    char *error = NULL;
    *out = rocksdb_get_pinned_cf(db->db, db->latest, family, key, key_bytes, &error);
    return norn_rocksdb_status(db->path, "read from the database", error);
}
