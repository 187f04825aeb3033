#include "package/manifest_write.h"

#include "base/crc32.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/json.h"
#include "base/memory.h"
#include "package/folder_files.h"
#include "store/table_dir.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 20 };

typedef struct manifest_writer {
    const char *dir;
    norn_alloc alloc;
    norn_json_writer json;
    const norn_progress *progress;
    uint64_t done, total; ///< bytes of files
    void *room;
} manifest_writer;

// ---- files

/// A checksum for each block, as they are read.
static norn_status add_blocks(manifest_writer *w, int fd, const char *path, uint64_t *bytes) {
    uint32_t crc = 0;
    ssize_t n;
    *bytes = 0;
    while ((n = read(fd, w->room, READ_BYTES)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return norn_file_fail(path, "read");
        crc = norn_crc32(crc, w->room, (size_t)n);
        *bytes += (uint64_t)n;
        if (*bytes % NORN_MANIFEST_BLOCK == 0) {
            norn_json_add_u64(&w->json, NULL, crc);
            crc = 0;
        }
        norn_progress_say(w->progress, "checksums", w->done += (uint64_t)n, w->total);
    }
    if (*bytes % NORN_MANIFEST_BLOCK) norn_json_add_u64(&w->json, NULL, crc);
    return fsync(fd) == 0 ? NORN_OK : norn_file_fail(path, "sync");
}

static norn_status add_file(manifest_writer *w, const char *name) {
    char path[NORN_FOLDER_PATH];
    uint64_t bytes;
    NORN_TRY(norn_folder_path(w->dir, name, path));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return norn_file_fail(path, "open");
    norn_json_begin_object(&w->json, NULL);
    norn_json_add_text(&w->json, "path", name);
    norn_json_begin_array(&w->json, "crc32");
    const norn_status status = add_blocks(w, fd, path, &bytes);
    (void)close(fd);
    norn_json_end(&w->json);
    norn_json_add_u64(&w->json, "bytes", bytes);
    norn_json_end(&w->json);
    return status;
}

// ---- tables and the cut

static norn_status add_table(manifest_writer *w, const char *dir, const char *name) {
    char path[NORN_FOLDER_PATH];
    norn_table_form form;
    uint64_t bytes;
    const int length = snprintf(path, sizeof path, "%s/%s.safetensors", dir, name);
    if (length >= (int)sizeof path)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: the path is too long", dir);
    NORN_TRY(norn_table_head_read(path, name, w->alloc, &form, &bytes));
    norn_json_begin_object(&w->json, NULL);
    norn_json_add_text(&w->json, "name", name);
    norn_json_add_text(&w->json, "kind", form.dense ? "dense" : "hashed");
    norn_json_add_text(&w->json, "dtype", norn_safetensors_dtype_name(form.dtype));
    norn_json_add_i64(&w->json, "dim", form.dim);
    norn_json_add_i64(&w->json, "rows", form.rows);
    norn_json_end(&w->json);
    return NORN_OK;
}

static norn_status add_tables(manifest_writer *w) {
    char dir[NORN_FOLDER_PATH];
    norn_table_names names = {.alloc = w->alloc};
    norn_status status = NORN_OK;
    NORN_TRY(norn_folder_path(w->dir, "tables", dir));
    if (norn_path_is_dir(dir)) NORN_TRY(norn_table_names_read(dir, w->alloc, &names));
    norn_json_begin_array(&w->json, "tables");
    for (size_t i = 0; i < names.count && status == NORN_OK; i++)
        status = add_table(w, dir, names.at[i]);
    norn_json_end(&w->json);
    norn_table_names_deinit(&names);
    return status;
}

static void add_cut(norn_json_writer *json, const norn_cut *cut) {
    norn_json_begin_object(json, "cut");
    norn_json_add_u64(json, "epoch", cut->partition_count ? cut->positions[0].epoch : 0);
    norn_json_add_u64(json, "step", cut->step);
    norn_json_begin_array(json, "sequence");
    for (uint32_t p = 0; p < cut->partition_count; p++)
        norn_json_add_u64(json, NULL, cut->positions[p].sequence);
    norn_json_end(json);
    norn_json_begin_array(json, "chain");
    for (uint32_t p = 0; p < cut->partition_count; p++)
        norn_json_add_u64(json, NULL, cut->positions[p].chain);
    norn_json_end(json);
    norn_json_end(json);
}

// ---- all of it

static norn_status describe(manifest_writer *w, const norn_manifest_facts *facts,
                            const norn_folder_files *files) {
    norn_json_begin_object(&w->json, NULL);
    norn_json_add_text(&w->json, "format", "norn-version-1");
    norn_json_add_text(&w->json, "model", facts->model);
    norn_json_add_u64(&w->json, "version", facts->version);
    norn_json_add_u64(&w->json, "base", facts->base);
    if (facts->cut) add_cut(&w->json, facts->cut);
    NORN_TRY(add_tables(w));
    norn_json_begin_array(&w->json, "files");
    for (size_t i = 0; i < files->count; i++) NORN_TRY(add_file(w, files->at[i]));
    norn_json_end(&w->json);
    norn_json_end(&w->json);
    norn_buffer_text(w->json.buffer, "\n");
    return norn_buffer_status(w->json.buffer);
}

static norn_status write_file(const char *dir, const char *name, norn_span text, norn_alloc alloc) {
    char path[NORN_FOLDER_PATH];
    norn_file_writer *writer;
    NORN_TRY(norn_folder_path(dir, name, path));
    NORN_TRY(norn_file_writer_open(path, alloc, &writer));
    const norn_status status = norn_file_writer_append(writer, text.bytes, text.count);
    if (status == NORN_OK) return norn_file_writer_commit(writer);
    norn_file_writer_abort(writer);
    return status;
}

norn_status norn_manifest_write(const char *dir, const norn_manifest_facts *facts,
                                const norn_progress *progress, norn_alloc alloc) {
    norn_folder_files files;
    norn_buffer text;
    char crc[16];
    NORN_TRY(norn_folder_files_read(dir, alloc, &files));
    norn_buffer_init(&text, alloc);
    manifest_writer w = {.dir = dir,
                         .alloc = alloc,
                         .json = {.buffer = &text},
                         .progress = progress,
                         .total = files.bytes};
    norn_status status = norn_alloc_bytes(alloc, READ_BYTES, &w.room);
    if (status == NORN_OK) status = describe(&w, facts, &files);
    if (status == NORN_OK)
        status = write_file(dir, "MANIFEST.json", norn_span_of(text.bytes, text.count), alloc);
    if (status == NORN_OK) {
        (void)snprintf(crc, sizeof crc, "%08x\n", norn_crc32(0, text.bytes, text.count));
        status = write_file(dir, "READY", norn_span_text(crc), alloc);
    }
    norn_free(alloc, w.room);
    norn_buffer_deinit(&text);
    norn_folder_files_deinit(&files);
    return status;
}
