#include "store/rocksdb/sst_file.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/rocksdb/key_order.h"
#include "store/rocksdb/rocksdb_key.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/// Goes up when the same rows make other files.
enum { FORM = 1 };

/// A table's rows on their way into files.
typedef struct rows {
    const norn_rocksdb *db;
    const norn_host_rows *from;
    const int64_t *keys;           ///< NULL: dense
    const norn_ordered_key *order; ///< NULL: as they are
    rocksdb_sstfilewriter_t *writer;
    uint32_t table;
    char *value; ///< a step, then a row
} rows;

static uint64_t contents_of(const norn_table *table) {
    const norn_host_rows *from = &table->rows.rows;
    uint64_t hash =
        norn_hash_bytes(from->rows, from->row_count * from->row_bytes, FORM + from->row_bytes);
    if (table->keys)
        hash = norn_hash_bytes(table->keys, from->row_count * sizeof *table->keys, hash);
    return hash;
}

static void add_row(rows *r, uint64_t i, char **error) {
    const norn_host_rows *from = r->from;
    const uint64_t row = r->order ? r->order[i].row : i;
    char key[NORN_ROCKSDB_KEY_BYTES];
    norn_rocksdb_key(r->table, r->keys ? r->keys[row] : (int64_t)row, key);
    memcpy(r->value + NORN_ROCKSDB_STEP_BYTES, from->rows + row * from->row_bytes, from->row_bytes);
    rocksdb_sstfilewriter_put(r->writer, key, sizeof key, r->value,
                              NORN_ROCKSDB_STEP_BYTES + from->row_bytes, error);
}

/// Rows [from, to) under a name that nobody takes for a complete file.
static norn_status write_part(rows *r, uint64_t from, uint64_t to, const char *part) {
    char *error = NULL;
    rocksdb_sstfilewriter_open(r->writer, part, &error);
    for (uint64_t i = from; !error && i < to; i++) add_row(r, i, &error);
    if (!error) rocksdb_sstfilewriter_finish(r->writer, &error); // syncs
    return norn_rocksdb_status(part, "write it", error);
}

static norn_status write_file(rows *r, uint64_t from, uint64_t to, norn_arena *arena,
                              const char *path) {
    const char *part;
    if (norn_path_is_file(path)) return NORN_OK;
    NORN_TRY(norn_arena_format(arena, &part, "%s.part", path));
    NORN_TRY(write_part(r, from, to, part));
    if (rename(part, path) != 0) return norn_file_fail(path, "name it");
    return NORN_OK;
}

static norn_status write_files(rows *r, const char *folder, uint64_t hash, norn_sst_files *files) {
    const uint64_t count = r->from->row_count,
                   each = r->db->tier.file_bytes / (NORN_ROCKSDB_KEY_BYTES +
                                                    NORN_ROCKSDB_STEP_BYTES + r->from->row_bytes) +
                          1;
    for (uint64_t at = 0; at < count; at += each) {
        const uint64_t end = count - at < each ? count : at + each;
        NORN_TRY(NORN_TAKE_MORE(files->arena, &files->at, files->count, &files->capacity));
        const char **path = &files->at[files->count++];
        NORN_TRY(norn_arena_format(files->arena, path, "%s/%04x-%016llx-%llu-%llu.sst", folder,
                                   r->table, (unsigned long long)hash, (unsigned long long)at,
                                   (unsigned long long)end));
        NORN_TRY(write_file(r, at, end, files->arena, *path));
    }
    return NORN_OK;
}

norn_status norn_sst_files_write(const norn_rocksdb *db, const char *folder, uint32_t index,
                                 const norn_table *table, norn_sst_files *files) {
    const norn_host_rows *from = &table->rows.rows;
    rows r = {.db = db, .from = from, .keys = table->keys, .table = index};
    norn_ordered_key *order = NULL;
    if (from->row_count == 0) return NORN_OK;
    if (r.keys) NORN_TRY(norn_key_order(r.keys, from->row_count, db->alloc, &order));
    r.order = order;
    norn_status status = norn_alloc_zeroed(db->alloc, 1, NORN_ROCKSDB_STEP_BYTES + from->row_bytes,
                                           (void **)&r.value); // step 0
    if (status == NORN_OK) {
        rocksdb_envoptions_t *environment = rocksdb_envoptions_create();
        r.writer = rocksdb_sstfilewriter_create(environment, db->options);
        status = write_files(&r, folder, contents_of(table), files);
        rocksdb_sstfilewriter_destroy(r.writer);
        rocksdb_envoptions_destroy(environment);
    }
    norn_free(db->alloc, r.value);
    norn_free(db->alloc, order);
    return status;
}
