#include "base/file.h"
#include "base/file_writer.h"
#include "base/memory.h"
#include "graph/graph_file.h"
#include "plan/manifest.h"
#include "plan/plan_file.h"
#include "tensor/safetensors.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { WEIGHT_ALIGN = 64 };

/// One constant on its way into the weights section.
typedef struct blob {
    const void *bytes;
    size_t count;
    uint64_t offset;
} blob;

typedef struct saver {
    const norn_plan *plan;
    norn_arena arena;
    norn_buffer section[NORN_SECTION_COUNT]; ///< but the weights, which are blobs
    blob *blobs;
    size_t blob_count, blob_capacity;
    uint64_t weight_bytes;
    uint8_t *chunk;
    norn_plan_header header;
    norn_file_writer **writers; ///< tables, then the plan
    uint32_t writer_count;
} saver;

// ---- sections

static norn_status put_constant(void *context, const void *bytes, size_t count, uint64_t *offset) {
    saver *s = context;
    // The same constant often comes again at once (shared with a body); look back a little.
    for (size_t i = s->blob_count; i > 0 && s->blob_count - i < 64; i--) {
        if (s->blobs[i - 1].bytes != bytes || s->blobs[i - 1].count != count) continue;
        *offset = s->blobs[i - 1].offset;
        return NORN_OK;
    }
    NORN_TRY(NORN_TAKE_MORE(&s->arena, &s->blobs, s->blob_count, &s->blob_capacity));
    *offset = s->weight_bytes;
    s->blobs[s->blob_count++] = (blob){bytes, count, *offset};
    s->weight_bytes = (*offset + count + WEIGHT_ALIGN - 1) & ~(uint64_t)(WEIGHT_ALIGN - 1);
    return NORN_OK;
}

/// Code section: count, then for each {state of its step, bytes, offset};
/// then the objects, each 64-byte aligned.
static norn_status encode_code(saver *s) {
    const norn_plan *plan = s->plan;
    static const uint8_t zeros[WEIGHT_ALIGN];
    uint64_t at = 8 + (uint64_t)plan->code_count * 24;
    uint64_t count = plan->code_count;
    norn_buffer_append(&s->section[NORN_SECTION_CODE], &count, sizeof count);
    for (uint32_t i = 0; i < plan->code_count; i++) {
        at = (at + WEIGHT_ALIGN - 1) & ~(uint64_t)(WEIGHT_ALIGN - 1);
        uint64_t entry[3] = {plan->codes[i].state, plan->codes[i].bytes.count, at};
        norn_buffer_append(&s->section[NORN_SECTION_CODE], entry, sizeof entry);
        at += plan->codes[i].bytes.count;
    }
    for (uint32_t i = 0; i < plan->code_count; i++) {
        size_t pad =
            (WEIGHT_ALIGN - s->section[NORN_SECTION_CODE].count % WEIGHT_ALIGN) % WEIGHT_ALIGN;
        norn_buffer_append(&s->section[NORN_SECTION_CODE], zeros, pad);
        norn_buffer_append(&s->section[NORN_SECTION_CODE], plan->codes[i].bytes.bytes,
                           plan->codes[i].bytes.count);
    }
    return norn_buffer_status(&s->section[NORN_SECTION_CODE]);
}

/// Walk over the weights section piece by piece, padding too.
static norn_status each_weight(const saver *s,
                               norn_status (*piece)(void *context, const void *bytes, size_t count),
                               void *context) {
    static const uint8_t zeros[WEIGHT_ALIGN];
    for (size_t i = 0; i < s->blob_count; i++) {
        uint64_t next = i + 1 < s->blob_count ? s->blobs[i + 1].offset : s->weight_bytes;
        NORN_TRY(piece(context, s->blobs[i].bytes, s->blobs[i].count));
        NORN_TRY(piece(context, zeros, next - s->blobs[i].offset - s->blobs[i].count));
    }
    return NORN_OK;
}

static norn_status hash_piece(void *context, const void *bytes, size_t count) {
    if (count) norn_tree_hash_add(context, bytes, count);
    return NORN_OK;
}

static norn_status write_piece(void *context, const void *bytes, size_t count) {
    return count ? norn_file_writer_append(context, bytes, count) : NORN_OK;
}

static uint64_t hash_buffer(saver *s, const norn_buffer *buffer) {
    norn_tree_hash hash;
    norn_tree_hash_init(&hash, s->chunk);
    if (buffer->count) norn_tree_hash_add(&hash, buffer->bytes, buffer->count);
    return norn_tree_hash_end(&hash);
}

/// An optional section with nothing in it is left out.
static bool is_there(const saver *s, int section) {
    return norn_plan_section_kinds[section].required || s->section[section].count > 0;
}

static uint64_t on_page(uint64_t at) {
    return (at + NORN_PLAN_PAGE - 1) & ~(uint64_t)(NORN_PLAN_PAGE - 1);
}

static norn_status make_entry(saver *s, int section, uint64_t offset, norn_plan_entry *entry) {
    const norn_plan_section_kind *kind = &norn_plan_section_kinds[section];
    memcpy(entry->name, kind->name, strlen(kind->name));
    entry->version = kind->version;
    entry->required = kind->required;
    entry->offset = offset;
    if (section != NORN_SECTION_WEIGHTS) {
        entry->bytes = s->section[section].count;
        entry->hash = hash_buffer(s, &s->section[section]);
        return NORN_OK;
    }
    norn_tree_hash hash;
    norn_tree_hash_init(&hash, s->chunk);
    NORN_TRY(each_weight(s, hash_piece, &hash));
    entry->bytes = s->weight_bytes;
    entry->hash = norn_tree_hash_end(&hash);
    return NORN_OK;
}

static norn_status make_header(saver *s) {
    norn_plan_header *header = &s->header;
    const norn_target *target =
        norn_device_target(s->plan->devices[s->plan->place_count > 1 ? 1 : NORN_HOST]);
    uint64_t at = NORN_PLAN_PAGE;
    memcpy(header->magic, NORN_PLAN_MAGIC, sizeof header->magic);
    header->abi = NORN_PLAN_ABI;
    const char *stamp = target->ops->stamp(target);
    strncpy(header->stamp, stamp, sizeof header->stamp - 1);
    for (int i = 0; i < NORN_SECTION_COUNT; i++) {
        if (!is_there(s, i)) continue;
        norn_plan_entry *entry = &header->section[header->section_count++];
        at = on_page(at);
        NORN_TRY(make_entry(s, i, at, entry));
        at += entry->bytes;
    }
    header->file_bytes = at;
    header->hash = norn_plan_header_hash(header);
    return NORN_OK;
}

static norn_status write_sections(saver *s, norn_file_writer *writer) {
    for (int i = 0; i < NORN_SECTION_COUNT; i++) {
        const norn_buffer *buffer = &s->section[i];
        if (!is_there(s, i)) continue;
        NORN_TRY(norn_file_writer_align(writer, NORN_PLAN_PAGE));
        if (i == NORN_SECTION_WEIGHTS)
            NORN_TRY(each_weight(s, write_piece, writer));
        else if (buffer->count)
            NORN_TRY(norn_file_writer_append(writer, buffer->bytes, buffer->count));
    }
    return NORN_OK;
}

static norn_status stage_plan(saver *s, const char *path) {
    norn_file_writer *writer;
    NORN_TRY(norn_file_writer_open(path, s->plan->alloc, &writer));
    s->writers[s->writer_count++] = writer;
    NORN_TRY(norn_file_writer_append(writer, &s->header, sizeof s->header));
    NORN_TRY(write_sections(s, writer));
    return norn_file_writer_finish(writer);
}

// ---- tables

static norn_status stage_table(saver *s, const char *folder, uint32_t index) {
    const norn_plan_table *table = &s->plan->tables[index];
    const char *file, *path;
    norn_safetensor rows = {"rows", *table->data};
    NORN_TRY(norn_plan_table_file(s->plan, index, &s->arena, &file));
    NORN_TRY(norn_arena_format(&s->arena, &path, "%s/%s", folder, file));
    NORN_TRY(norn_safetensors_stage(path, &rows, 1, s->plan->alloc, &s->writers[s->writer_count]));
    s->writer_count++;
    return NORN_OK;
}

static norn_status stage_tables(saver *s, const char *path) {
    const char *folder = NULL;
    for (uint32_t i = 0; i < s->plan->table_count; i++) {
        if (!s->plan->tables[i].data) continue;
        if (!folder) {
            NORN_TRY(norn_arena_format(&s->arena, &folder, "%s.tables", path));
            if (mkdir(folder, 0777) != 0 && errno != EEXIST) return norn_file_fail(folder, "make");
        }
        NORN_TRY(stage_table(s, folder, i));
    }
    return NORN_OK;
}

/// All files are on the disk under other names before the first is renamed, so that a full
/// disk leaves an older plan and its tables as they were. The tables come first:
/// a plan never lacks its own, and knows their hashes.
static norn_status write_files(saver *s, const char *path) {
    norn_status status;
    NORN_TRY(NORN_TAKE_ARRAY(&s->arena, (size_t)s->plan->table_count + 1, &s->writers));
    NORN_TRY_DONE(stage_tables(s, path));
    NORN_TRY_DONE(stage_plan(s, path));
    for (uint32_t i = 0; i < s->writer_count; i++) {
        norn_file_writer *writer = s->writers[i];
        s->writers[i] = NULL; // commit frees it
        NORN_TRY_DONE(norn_file_writer_commit(writer));
    }
done:
    for (uint32_t i = 0; i < s->writer_count; i++) norn_file_writer_abort(s->writers[i]);
    return status;
}

/// What the plan's device has timed, or was given by the file that the plan came from.
static norn_status encode_tuning(saver *s) {
    norn_device *device = norn_plan_device(s->plan);
    if (!device || !device->ops->tuning_save) return NORN_OK;
    device->ops->tuning_save(device, &s->section[NORN_SECTION_TUNING]);
    return norn_buffer_status(&s->section[NORN_SECTION_TUNING]);
}

norn_status norn_plan_save(const norn_plan *plan, const char *path) {
    saver s = {.plan = plan};
    norn_graph_sink sink = {put_constant, &s};
    norn_status status;
    norn_arena_init(&s.arena, plan->alloc, 1 << 14);
    for (int i = 0; i < NORN_SECTION_COUNT; i++) norn_buffer_init(&s.section[i], plan->alloc);
    NORN_TRY_DONE(norn_alloc_bytes(plan->alloc, NORN_PLAN_CHUNK, (void **)&s.chunk));
    NORN_TRY_DONE(norn_manifest_encode(plan, &s.arena, &s.section[NORN_SECTION_MANIFEST]));
    NORN_TRY_DONE(norn_graph_encode(plan->graph, &sink, &s.section[NORN_SECTION_GRAPH]));
    NORN_TRY_DONE(encode_code(&s));
    NORN_TRY_DONE(encode_tuning(&s));
    NORN_TRY_DONE(make_header(&s));
    NORN_TRY_DONE(write_files(&s, path));
done:
    if (status != NORN_OK) norn_note("saving plan '%s'", path);
    norn_free(plan->alloc, s.chunk);
    for (int i = 0; i < NORN_SECTION_COUNT; i++) norn_buffer_deinit(&s.section[i]);
    norn_arena_deinit(&s.arena);
    return status;
}
