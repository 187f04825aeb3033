#include "package/manifest.h"
#include "base/crc32.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/thread.h"
#include "store/log/frame.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, PARTITIONS_MAX = 1024, READ_BYTES = 1 << 20 };

// ---- reading JSON

/// Of an object whose brace was read: the next member's key and the first token of its value; false
/// behind the last.
typedef struct parser {
    norn_json_reader json;
    norn_arena *arena;
    norn_manifest *out;
    norn_json_token key, value;
} parser;

static norn_status next_member(parser *p, bool *more) {
    NORN_TRY(norn_json_next(&p->json, &p->key));
    *more = p->key.kind == NORN_JSON_KEY;
    if (!*more && p->key.kind != NORN_JSON_OBJECT_END)
        return norn_fail(NORN_DATA_LOSS, "a key is missing (byte %zu)", p->key.offset);
    return *more ? norn_json_next(&p->json, &p->value) : NORN_OK;
}

static norn_status next_element(parser *p, bool *more) {
    NORN_TRY(norn_json_next(&p->json, &p->value));
    *more = p->value.kind != NORN_JSON_ARRAY_END;
    if (p->value.kind == NORN_JSON_END) return norn_fail(NORN_DATA_LOSS, "a list does not end");
    return NORN_OK;
}

static bool key_is(const parser *p, const char *name) {
    return norn_span_equal(p->key.text, name);
}

static norn_status bad(const parser *p, const char *wanted) {
    return norn_fail(NORN_DATA_LOSS, "\"%.*s\" should be %s (byte %zu)", (int)p->key.text.count,
                     (const char *)p->key.text.bytes, wanted, p->value.offset);
}

static norn_status take_u64(const parser *p, uint64_t *out) {
    return p->value.kind == NORN_JSON_NUMBER && norn_json_u64(p->value.text, out)
               ? NORN_OK
               : bad(p, "a whole number");
}

static norn_status take_u32(const parser *p, uint32_t *out) {
    uint64_t value;
    NORN_TRY(take_u64(p, &value));
    if (value > UINT32_MAX) return bad(p, "a number of 32 bits");
    *out = (uint32_t)value;
    return NORN_OK;
}

// ---- what it says

static norn_status begin(const parser *p, norn_json_kind kind) {
    if (p->value.kind == kind) return NORN_OK;
    return bad(p, kind == NORN_JSON_ARRAY_BEGIN ? "a list"
                  : kind == NORN_JSON_STRING    ? "text"
                                                : "an object");
}

/// Numbers by partition, into positions[].
static norn_status read_positions(parser *p, norn_position *positions, uint32_t *count) {
    const bool chains = key_is(p, "chain");
    bool more;
    NORN_TRY(begin(p, NORN_JSON_ARRAY_BEGIN));
    for (*count = 0;; (*count)++) {
        NORN_TRY(next_element(p, &more));
        if (!more) return NORN_OK;
        if (*count == PARTITIONS_MAX) return bad(p, "of at most 1024 partitions");
        NORN_TRY(chains ? take_u32(p, &positions[*count].chain)
                        : take_u64(p, &positions[*count].sequence));
    }
}

static norn_status read_cut(parser *p) {
    norn_cut *cut = &p->out->cut;
    norn_position *positions;
    uint64_t epoch = 0;
    uint32_t sequences = 0, chains = 0;
    bool more;
    NORN_TRY(begin(p, NORN_JSON_OBJECT_BEGIN));
    NORN_TRY(NORN_TAKE_ARRAY(p->arena, PARTITIONS_MAX, &positions));
    for (;;) {
        NORN_TRY(next_member(p, &more));
        if (!more) break;
        if (key_is(p, "epoch"))
            NORN_TRY(take_u64(p, &epoch));
        else if (key_is(p, "step"))
            NORN_TRY(take_u64(p, &cut->step));
        else if (key_is(p, "sequence"))
            NORN_TRY(read_positions(p, positions, &sequences));
        else if (key_is(p, "chain"))
            NORN_TRY(read_positions(p, positions, &chains));
        else
            NORN_TRY(norn_json_skip(&p->json, &p->value));
    }
    if (sequences == 0 || sequences != chains)
        return norn_fail(NORN_DATA_LOSS, "\"cut\" has %u sequence%s and %u chain%s", sequences,
                         norn_plural(sequences), chains, norn_plural(chains));
    for (uint32_t i = 0; i < sequences; i++) positions[i].epoch = epoch;
    cut->positions = positions;
    cut->partition_count = sequences;
    p->out->is_cut = true;
    return NORN_OK;
}

/// A path that stays in the folder.
static bool is_inside(const char *path) {
    if (*path == 0 || *path == '/') return false;
    for (const char *at = path; at; at = strchr(at, '/') ? strchr(at, '/') + 1 : NULL)
        if (strcmp(at, "..") == 0 || strncmp(at, "../", 3) == 0) return false;
    return true;
}

static norn_status read_path(parser *p, const char **out) {
    char text[PATH_BYTES];
    size_t count;
    if (p->value.kind != NORN_JSON_STRING || p->value.text.count >= sizeof text ||
        norn_json_unescape(p->value.text, text, &count) != NORN_OK)
        return bad(p, "a path");
    text[count] = 0;
    if (strlen(text) != count || !is_inside(text)) return bad(p, "a path inside the folder");
    return norn_arena_string(p->arena, text, count, out);
}

static norn_status read_file(parser *p) {
    norn_manifest *out = p->out;
    norn_manifest_file file = {0};
    bool more;
    NORN_TRY(begin(p, NORN_JSON_OBJECT_BEGIN));
    for (;;) {
        NORN_TRY(next_member(p, &more));
        if (!more) break;
        if (key_is(p, "path")) {
            NORN_TRY(read_path(p, &file.path));
        } else if (key_is(p, "bytes")) {
            NORN_TRY(take_u64(p, &file.bytes));
        } else if (key_is(p, "crc32")) {
            NORN_TRY(begin(p, NORN_JSON_ARRAY_BEGIN));
            for (;;) {
                NORN_TRY(next_element(p, &more));
                if (!more) break;
                NORN_TRY(
                    NORN_TAKE_MORE(p->arena, &file.crc, file.block_count, &file.block_capacity));
                NORN_TRY(take_u32(p, &file.crc[file.block_count++]));
            }
        } else {
            NORN_TRY(norn_json_skip(&p->json, &p->value));
        }
    }
    const uint64_t blocks =
        file.bytes / NORN_MANIFEST_BLOCK + (file.bytes % NORN_MANIFEST_BLOCK ? 1 : 0);
    if (!file.path) return norn_fail(NORN_DATA_LOSS, "a file has no \"path\"");
    if (file.block_count != blocks)
        return norn_fail(
            NORN_DATA_LOSS, "'%s' of %" PRIu64 " bytes has %zu checksum%s instead of %" PRIu64,
            file.path, file.bytes, file.block_count, norn_plural(file.block_count), blocks);
    NORN_TRY(NORN_TAKE_MORE(p->arena, &out->files, out->file_count, &out->file_capacity));
    out->files[out->file_count++] = file;
    return NORN_OK;
}

static norn_status take_string(parser *p, const char **out) {
    char text[PATH_BYTES];
    size_t count;
    if (p->value.kind != NORN_JSON_STRING || p->value.text.count >= sizeof text ||
        norn_json_unescape(p->value.text, text, &count) != NORN_OK)
        return bad(p, "a text");
    return norn_arena_string(p->arena, text, count, out);
}

static norn_status take_i64(parser *p, int64_t *out) {
    return p->value.kind == NORN_JSON_NUMBER && norn_json_i64(p->value.text, out) && *out >= 0
               ? NORN_OK
               : bad(p, "a whole number");
}

static norn_status take_dtype(parser *p, norn_dtype *out) {
    *out = norn_safetensors_dtype(p->value.text);
    return norn_log_frame_dtype_of(*out) ? NORN_OK : bad(p, "F32, F16, BF16 or I8");
}

static norn_status read_table(parser *p) {
    norn_manifest *out = p->out;
    norn_table_form form = {0};
    bool more;
    NORN_TRY(begin(p, NORN_JSON_OBJECT_BEGIN));
    for (;;) {
        NORN_TRY(next_member(p, &more));
        if (!more) break;
        if (key_is(p, "name")) {
            NORN_TRY(take_string(p, &form.name));
        } else if (key_is(p, "dtype")) {
            NORN_TRY(take_dtype(p, &form.dtype));
        } else if (key_is(p, "kind")) {
            NORN_TRY(begin(p, NORN_JSON_STRING));
            form.dense = norn_span_equal(p->value.text, "dense");
        } else if (key_is(p, "dim")) {
            NORN_TRY(take_i64(p, &form.dim));
        } else if (key_is(p, "rows")) {
            NORN_TRY(take_i64(p, &form.rows));
        } else {
            NORN_TRY(norn_json_skip(&p->json, &p->value));
        }
    }
    if (!form.name) return norn_fail(NORN_DATA_LOSS, "a table has no \"name\"");
    NORN_TRY(NORN_TAKE_MORE(p->arena, &out->tables, out->table_count, &out->table_capacity));
    out->tables[out->table_count++] = form;
    return NORN_OK;
}

static norn_status read_list(parser *p, norn_status (*read)(parser *)) {
    bool more;
    NORN_TRY(begin(p, NORN_JSON_ARRAY_BEGIN));
    for (;;) {
        NORN_TRY(next_element(p, &more));
        if (!more) return NORN_OK;
        NORN_TRY(read(p));
    }
}

static norn_status parse(parser *p) {
    norn_manifest *out = p->out;
    bool more, known = false, has_version = false, has_base = false;
    NORN_TRY(norn_json_next(&p->json, &p->value));
    NORN_TRY(begin(p, NORN_JSON_OBJECT_BEGIN));
    for (;;) {
        NORN_TRY(next_member(p, &more));
        if (!more) break;
        if (key_is(p, "format")) {
            NORN_TRY(begin(p, NORN_JSON_STRING));
            known = norn_span_equal(p->value.text, "norn-version-1");
        } else if (key_is(p, "version")) {
            NORN_TRY(take_u64(p, &out->version));
            has_version = true;
        } else if (key_is(p, "base")) {
            NORN_TRY(take_u64(p, &out->base));
            has_base = true;
        } else if (key_is(p, "cut")) {
            NORN_TRY(read_cut(p));
        } else if (key_is(p, "files")) {
            NORN_TRY(read_list(p, read_file));
        } else if (key_is(p, "tables")) {
            NORN_TRY(read_list(p, read_table));
        } else if (key_is(p, "model")) {
            NORN_TRY(take_string(p, &out->model));
        } else {
            NORN_TRY(norn_json_skip(&p->json, &p->value));
        }
    }
    if (!known) return norn_fail(NORN_DATA_LOSS, "\"format\" should be \"norn-version-1\"");
    if (!has_version) return norn_fail(NORN_DATA_LOSS, "it has no \"version\"");
    if (!has_base) out->base = out->version;
    return norn_json_next(&p->json, &p->value);
}

norn_status norn_manifest_parse(const char *path, norn_span text, norn_arena *arena,
                                norn_manifest *out) {
    parser p = {.arena = arena, .out = out};
    *out = (norn_manifest){.found = true};
    norn_json_init(&p.json, text);
    norn_status status = parse(&p);
    if (status == NORN_INVALID_ARGUMENT) status = NORN_DATA_LOSS; // no JSON
    if (status != NORN_OK) norn_note("%s", path);
    return status;
}

// ---- in a folder

static void path_of(const char *dir, const char *name, char out[PATH_BYTES]) {
    (void)snprintf(out, PATH_BYTES, "%s/%s", dir, name);
}

bool norn_manifest_is_ready(const char *dir) {
    char manifest[PATH_BYTES], ready[PATH_BYTES];
    path_of(dir, "MANIFEST.json", manifest);
    path_of(dir, "READY", ready);
    return !norn_path_is_file(manifest) || norn_path_is_file(ready);
}

/// READY: the manifest's checksum as eight digits and a line feed.
static norn_status check_ready(const char *dir, norn_span manifest, norn_alloc alloc) {
    char path[PATH_BYTES], wanted[16];
    norn_file *file;
    path_of(dir, "READY", path);
    (void)snprintf(wanted, sizeof wanted, "%08x\n", norn_crc32(0, manifest.bytes, manifest.count));
    norn_status status = norn_file_read(path, alloc, &file);
    if (status == NORN_NOT_FOUND)
        return norn_fail(NORN_UNAVAILABLE,
                         "%s has a MANIFEST.json and no READY: it is still being written, or its "
                         "publisher has died",
                         dir);
    NORN_TRY(status);
    const norn_span text = norn_file_bytes(file);
    if (text.count < 8 || strncasecmp((const char *)text.bytes, wanted, 8) != 0)
        status = norn_fail(NORN_DATA_LOSS,
                           "%s is not of this MANIFEST.json, whose checksum is %.8s: publish the "
                           "version again",
                           path, wanted);
    norn_file_release(file);
    return status;
}

norn_status norn_manifest_read(const char *dir, norn_arena *arena, norn_manifest *out) {
    char path[PATH_BYTES];
    norn_file *file;
    *out = (norn_manifest){0};
    path_of(dir, "MANIFEST.json", path);
    if (!norn_path_is_file(path)) return NORN_OK;
    NORN_TRY(norn_file_read(path, arena->alloc, &file));
    norn_status status = check_ready(dir, norn_file_bytes(file), arena->alloc);
    if (status == NORN_OK) status = norn_manifest_parse(path, norn_file_bytes(file), arena, out);
    norn_file_release(file);
    return status;
}

// ---- checksums

typedef struct block {
    const norn_manifest_file *file;
    size_t index;
} block;

typedef struct verification {
    const char *dir;
    block *blocks;
    void **buffers;         ///< by worker
    _Atomic int64_t failed; ///< a block that differs, or -1
    _Atomic uint64_t done;
    uint64_t total;
    const norn_progress *progress;
} verification;

/// The caller's own thread is worker 0, and says how far all are.
static bool block_fits(verification *v, int32_t worker, const block *b) {
    void *buffer = v->buffers[worker];
    const uint64_t begin = (uint64_t)b->index * NORN_MANIFEST_BLOCK;
    const uint64_t left = b->file->bytes - begin;
    const uint64_t count = left < NORN_MANIFEST_BLOCK ? left : NORN_MANIFEST_BLOCK;
    char path[PATH_BYTES];
    uint32_t crc = 0;
    path_of(v->dir, b->file->path, path);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint64_t done = 0;
    while (fd >= 0 && done < count) {
        const uint64_t want = count - done < READ_BYTES ? count - done : READ_BYTES;
        const ssize_t n = pread(fd, buffer, (size_t)want, (off_t)(begin + done));
        if (n <= 0) break;
        crc = norn_crc32(crc, buffer, (size_t)n);
        done += (uint64_t)n;
        const uint64_t all = atomic_fetch_add(&v->done, (uint64_t)n) + (uint64_t)n;
        if (worker == 0) norn_progress_say(v->progress, "checksums", all, v->total);
    }
    if (fd >= 0) (void)close(fd);
    return done == count && crc == b->file->crc[b->index];
}

static void verify_blocks(void *context, int64_t first, int64_t end, int32_t worker) {
    verification *v = context;
    for (int64_t i = first; i < end && atomic_load(&v->failed) < 0; i++)
        if (!block_fits(v, worker, &v->blocks[i])) atomic_store(&v->failed, i);
}

static norn_status check_sizes(const norn_manifest *manifest, const char *dir, size_t *blocks) {
    char path[PATH_BYTES];
    struct stat facts;
    *blocks = 0;
    for (size_t i = 0; i < manifest->file_count; i++) {
        const norn_manifest_file *file = &manifest->files[i];
        path_of(dir, file->path, path);
        if (stat(path, &facts) != 0)
            return norn_fail(NORN_NOT_FOUND, "%s: %s, though MANIFEST.json lists it", path,
                             strerror(errno));
        if ((uint64_t)facts.st_size != file->bytes)
            return norn_fail(NORN_DATA_LOSS,
                             "%s has %lld bytes, %" PRIu64
                             " by MANIFEST.json: it was cut or changed "
                             "after it was published",
                             path, (long long)facts.st_size, file->bytes);
        *blocks += file->block_count;
    }
    return NORN_OK;
}

static norn_status verify_all(verification *v, const norn_manifest *manifest, size_t count,
                              norn_pool *pool, norn_alloc alloc) {
    const size_t workers = (size_t)norn_pool_threads(pool);
    size_t at = 0;
    NORN_TRY(NORN_NEW_ARRAY(alloc, count, &v->blocks));
    NORN_TRY(NORN_NEW_ARRAY(alloc, workers, &v->buffers));
    for (size_t w = 0; w < workers; w++)
        NORN_TRY(norn_alloc_bytes(alloc, READ_BYTES, &v->buffers[w]));
    for (size_t i = 0; i < manifest->file_count; i++) v->total += manifest->files[i].bytes;
    for (size_t i = 0; i < manifest->file_count; i++)
        for (size_t b = 0; b < manifest->files[i].block_count; b++)
            v->blocks[at++] = (block){&manifest->files[i], b};
    norn_pool_loop(pool, (int64_t)count, 1, verify_blocks, v);
    const int64_t failed = atomic_load(&v->failed);
    if (failed < 0) return NORN_OK;
    return norn_fail(NORN_DATA_LOSS,
                     "%s/%s is not what MANIFEST.json says (bytes from %" PRIu64
                     " on): it was changed, or copied wrongly; publish the version again",
                     v->dir, v->blocks[failed].file->path,
                     (uint64_t)v->blocks[failed].index * NORN_MANIFEST_BLOCK);
}

norn_status norn_manifest_verify(const norn_manifest *manifest, const char *dir,
                                 const norn_progress *progress, norn_alloc alloc) {
    verification v = {.dir = dir, .failed = -1, .progress = progress};
    norn_pool *pool;
    size_t count;
    NORN_TRY(check_sizes(manifest, dir, &count));
    NORN_TRY(norn_pool_create(count > 1 ? 0 : 1, alloc, &pool));
    const norn_status status = verify_all(&v, manifest, count, pool, alloc);
    for (int32_t w = 0; v.buffers && w < norn_pool_threads(pool); w++)
        norn_free(alloc, v.buffers[w]);
    norn_free(alloc, v.buffers);
    norn_free(alloc, v.blocks);
    norn_pool_destroy(pool);
    return status;
}
