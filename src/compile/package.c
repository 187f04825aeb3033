#include "compile/package.h"

#include "base/file.h"
#include "base/json.h"
#include "device/device.h"

#include <stdio.h>

/// The reader, the arena that strings go to, and the file's name for messages.
typedef struct package_parser {
    norn_json_reader json;
    norn_arena *arena;
    const char *name;
    norn_package_config *config;
} package_parser;

/// Called once for every key of an object; `value` is the first token of its value.
typedef norn_status (*member_fn)(package_parser *parser, const char *key,
                                 const norn_json_token *value, void *context);

static norn_status wrong_kind(const package_parser *parser, const char *key, const char *wanted) {
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: \"%s\" must be %s", parser->name, key, wanted);
}

static norn_status unknown_key(const package_parser *parser, const char *where, const char *key) {
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "%s: unknown key \"%s\" in %s; see docs/package.md for the keys", parser->name,
                     key, where);
}

static norn_status take_text(package_parser *parser, const norn_json_token *token,
                             const char **out) {
    char *text;
    size_t count = token->text.count;
    NORN_TRY(norn_arena_take(parser->arena, count + 1, 1, 1, (void **)&text));
    if (token->escaped) {
        NORN_TRY(norn_json_unescape(token->text, text, &count));
    } else if (count) {
        memcpy(text, token->text.bytes, count);
    }
    text[count] = 0;
    *out = text;
    return NORN_OK;
}

static norn_status parse_members(package_parser *parser, const char *where,
                                 const norn_json_token *begin, member_fn member, void *context) {
    if (begin->kind != NORN_JSON_OBJECT_BEGIN) return wrong_kind(parser, where, "an object");
    for (;;) {
        norn_json_token key, value;
        const char *name;
        NORN_TRY(norn_json_next(&parser->json, &key));
        if (key.kind == NORN_JSON_OBJECT_END) return NORN_OK;
        NORN_TRY(take_text(parser, &key, &name));
        NORN_TRY(norn_json_next(&parser->json, &value));
        NORN_TRY(member(parser, name, &value, context));
    }
}

/// How many members an object has; reads ahead on a copy of the reader.
static norn_status count_members(const package_parser *parser, const norn_json_token *begin,
                                 uint32_t *count) {
    norn_json_reader ahead = parser->json;
    *count = 0;
    if (begin->kind != NORN_JSON_OBJECT_BEGIN) return NORN_OK; // parse_members says what is wrong
    for (;;) {
        norn_json_token key, value;
        NORN_TRY(norn_json_next(&ahead, &key));
        if (key.kind == NORN_JSON_OBJECT_END) return NORN_OK;
        NORN_TRY(norn_json_next(&ahead, &value));
        NORN_TRY(norn_json_skip(&ahead, &value));
        ++*count;
    }
}

static norn_status parse_integer(package_parser *parser, const char *key,
                                 const norn_json_token *value, int64_t min, int64_t max,
                                 int64_t *out) {
    if (value->kind != NORN_JSON_NUMBER || !norn_json_i64(value->text, out) || *out < min ||
        *out > max)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: \"%s\" must be a whole number from %lld to %lld", parser->name, key,
                         (long long)min, (long long)max);
    return NORN_OK;
}

static norn_status parse_text(package_parser *parser, const char *key, const norn_json_token *value,
                              const char **out) {
    if (value->kind != NORN_JSON_STRING) return wrong_kind(parser, key, "a string");
    return take_text(parser, value, out);
}

static norn_status parse_choice(package_parser *parser, const char *key,
                                const norn_json_token *value, const char *no, const char *yes,
                                bool *out) {
    const char *text;
    NORN_TRY(parse_text(parser, key, value, &text));
    if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "%s: \"%s\" must be \"%s\" or \"%s\", not \"%s\"",
                         parser->name, key, no, yes, text);
    *out = strcmp(text, yes) == 0;
    return NORN_OK;
}

static norn_status parse_rows(package_parser *parser, const char *key, const norn_json_token *value,
                              norn_package_rows *out) {
    static const char *const names[] = {[NORN_PACKAGE_ROWS_PROVED] = "proved",
                                        [NORN_PACKAGE_ROWS_NEVER] = "never",
                                        [NORN_PACKAGE_ROWS_ALWAYS] = "always"};
    const char *text;
    NORN_TRY(parse_text(parser, key, value, &text));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        *out = (norn_package_rows)i;
        return NORN_OK;
    }
    return norn_fail(NORN_INVALID_ARGUMENT,
                     "%s: \"%s\" must be \"proved\", \"never\" or \"always\", not \"%s\"",
                     parser->name, key, text);
}

static norn_status input_member(package_parser *parser, const char *key,
                                const norn_json_token *value, void *context) {
    norn_package_input *input = context;
    if (strcmp(key, "batch") == 0)
        return parse_choice(parser, key, value, "item", "user", &input->user);
    if (strcmp(key, "offsets") == 0) return parse_text(parser, key, value, &input->offsets);
    return unknown_key(parser, "an input", key);
}

static norn_status inputs_member(package_parser *parser, const char *key,
                                 const norn_json_token *value, void *context) {
    norn_package_config *config = context;
    norn_package_input *input = &config->inputs[config->input_count++];
    input->name = key;
    return parse_members(parser, key, value, input_member, input);
}

static norn_status table_member(package_parser *parser, const char *key,
                                const norn_json_token *value, void *context) {
    norn_package_table *table = context;
    if (strcmp(key, "missing") == 0)
        return parse_choice(parser, key, value, "default", "error", &table->missing_is_error);
    return unknown_key(parser, "a table", key);
}

static norn_status tables_member(package_parser *parser, const char *key,
                                 const norn_json_token *value, void *context) {
    norn_package_config *config = context;
    norn_package_table *table = &config->tables[config->table_count++];
    table->name = key;
    return parse_members(parser, key, value, table_member, table);
}

/// A list of shapes that is being filled.
typedef struct shape_list {
    norn_input_shape *at;
    uint32_t count;
} shape_list;

static norn_status shapes_member(package_parser *parser, const char *key,
                                 const norn_json_token *value, void *context) {
    shape_list *list = context;
    norn_input_shape *shape = &list->at[list->count++];
    shape->name = key;
    if (value->kind != NORN_JSON_ARRAY_BEGIN)
        return wrong_kind(parser, key, "a list of dimensions");
    for (;;) {
        norn_json_token token;
        int64_t dim;
        NORN_TRY(norn_json_next(&parser->json, &token));
        if (token.kind == NORN_JSON_ARRAY_END) return NORN_OK;
        if (shape->rank == NORN_MAX_RANK)
            return wrong_kind(parser, key, "a list of at most 8 dimensions");
        NORN_TRY(parse_integer(parser, key, &token, 0, INT32_MAX, &dim));
        shape->dims[shape->rank++] = dim;
    }
}

static norn_status parse_shapes(package_parser *parser, const char *key,
                                const norn_json_token *value, norn_input_shape **at,
                                uint32_t *count) {
    shape_list list = {NULL, 0};
    uint32_t capacity;
    NORN_TRY(count_members(parser, value, &capacity));
    NORN_TRY(NORN_TAKE_ARRAY(parser->arena, capacity, &list.at));
    NORN_TRY(parse_members(parser, key, value, shapes_member, &list));
    *at = list.at;
    *count = list.count;
    return NORN_OK;
}

static norn_status profile_member(package_parser *parser, const char *key,
                                  const norn_json_token *value, void *context) {
    norn_package_config *config = context;
    if (strcmp(key, "max_batch") == 0)
        return parse_integer(parser, key, value, 1, INT32_MAX, &config->max_batch);
    if (strcmp(key, "min") == 0)
        return parse_shapes(parser, key, value, &config->min_shapes, &config->min_count);
    if (strcmp(key, "opt") == 0)
        return parse_shapes(parser, key, value, &config->opt_shapes, &config->opt_count);
    if (strcmp(key, "max") == 0)
        return parse_shapes(parser, key, value, &config->max_shapes, &config->max_count);
    return unknown_key(parser, "\"profile\"", key);
}

static norn_status batching_member(package_parser *parser, const char *key,
                                   const norn_json_token *value, void *context) {
    norn_package_config *config = context;
    if (strcmp(key, "max_batch") == 0)
        return parse_integer(parser, key, value, 1, INT32_MAX, &config->batch_rows);
    if (strcmp(key, "max_delay_us") == 0)
        return parse_integer(parser, key, value, 0, 10000000, &config->batch_delay_us);
    if (strcmp(key, "max_queue") == 0)
        return parse_integer(parser, key, value, 1, INT32_MAX, &config->queue_limit);
    if (strcmp(key, "max_wait_ms") == 0)
        return parse_integer(parser, key, value, 0, 24 * 3600 * 1000, &config->max_wait_ms);
    if (strcmp(key, "join") == 0) return parse_rows(parser, key, value, &config->join);
    if (strcmp(key, "split") == 0) return parse_rows(parser, key, value, &config->split);
    if (strcmp(key, "max_request_rows") == 0)
        return parse_integer(parser, key, value, 1, INT32_MAX, &config->max_request_rows);
    return unknown_key(parser, "\"batching\"", key);
}

static norn_status parse_small(package_parser *parser, const char *key,
                               const norn_json_token *value, int32_t *out) {
    int64_t number;
    NORN_TRY(parse_integer(parser, key, value, 0, 1024, &number));
    *out = (int32_t)number;
    return NORN_OK;
}

static norn_status parse_flag(package_parser *parser, const char *key, const norn_json_token *value,
                              bool *out) {
    if (value->kind != NORN_JSON_TRUE && value->kind != NORN_JSON_FALSE)
        return wrong_kind(parser, key, "true or false");
    *out = value->kind == NORN_JSON_TRUE;
    return NORN_OK;
}

static norn_status top_member(package_parser *parser, const char *key, const norn_json_token *value,
                              void *context) {
    norn_package_config *config = context;
    uint32_t capacity;
    if (strcmp(key, "inputs") == 0) {
        NORN_TRY(count_members(parser, value, &capacity));
        NORN_TRY(NORN_TAKE_ARRAY(parser->arena, capacity, &config->inputs));
        config->input_count = 0;
        return parse_members(parser, key, value, inputs_member, config);
    }
    if (strcmp(key, "tables") == 0) {
        NORN_TRY(count_members(parser, value, &capacity));
        NORN_TRY(NORN_TAKE_ARRAY(parser->arena, capacity, &config->tables));
        config->table_count = 0;
        return parse_members(parser, key, value, tables_member, config);
    }
    if (strcmp(key, "profile") == 0)
        return parse_members(parser, key, value, profile_member, config);
    if (strcmp(key, "batching") == 0)
        return parse_members(parser, key, value, batching_member, config);
    if (strcmp(key, "device") == 0) {
        NORN_TRY(parse_text(parser, key, value, &config->device));
        if (norn_device_is_name(config->device)) return NORN_OK;
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: \"device\" must be cpu, cuda or cuda:N, not \"%s\"", parser->name,
                         config->device);
    }
    if (strcmp(key, "precision") == 0) {
        bool tf32;
        NORN_TRY(parse_choice(parser, key, value, "fp32", "tf32", &tf32));
        config->precision = tf32 ? NORN_PRECISION_TF32 : NORN_PRECISION_FP32;
        return NORN_OK;
    }
    if (strcmp(key, "instances") == 0) return parse_small(parser, key, value, &config->instances);
    if (strcmp(key, "threads") == 0) return parse_small(parser, key, value, &config->threads);
    if (strcmp(key, "max_memory_mb") == 0) {
        NORN_TRY(parse_integer(parser, key, value, 1, INT32_MAX, &config->max_memory_bytes));
        config->max_memory_bytes <<= 20;
        return NORN_OK;
    }
    if (strcmp(key, "warmup") == 0) return parse_flag(parser, key, value, &config->warmup);
    if (strcmp(key, "freeze_initializers") == 0)
        return parse_flag(parser, key, value, &config->freeze_initializers);
    return unknown_key(parser, "the package's configuration", key);
}

static bool is_utf16(norn_span text) {
    return text.count >= 2 &&
           (memcmp(text.bytes, "\xff\xfe", 2) == 0 || memcmp(text.bytes, "\xfe\xff", 2) == 0);
}

norn_status norn_package_parse(const char *name, norn_span text, norn_arena *arena,
                               norn_package_config *out) {
    package_parser parser = {.arena = arena, .name = name, .config = out};
    norn_json_token token;
    norn_status status;
    *out = (norn_package_config){.batch_rows = -1,
                                 .batch_delay_us = -1,
                                 .queue_limit = -1,
                                 .max_wait_ms = -1,
                                 .warmup = true};
    if (!text.bytes) return NORN_OK;
    if (is_utf16(text))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: its byte order mark says UTF-16; save it as UTF-8", name);
    norn_json_init(&parser.json, text);
    NORN_TRY_DONE(norn_json_next(&parser.json, &token));
    NORN_TRY_DONE(parse_members(&parser, "the configuration", &token, top_member, out));
    NORN_TRY_DONE(norn_json_next(&parser.json, &token));
    return NORN_OK;
done:
    if (!strstr(norn_message(), name)) norn_note("%s", name);
    return status;
}

const norn_package_input *norn_package_input_find(const norn_package_config *config,
                                                  const char *name) {
    for (uint32_t i = 0; i < config->input_count; i++)
        if (strcmp(config->inputs[i].name, name) == 0) return &config->inputs[i];
    return NULL;
}

const char *norn_package_ignored(const char *dir, char path[NORN_PACKAGE_PATH]) {
    for (size_t i = 0; i < 2; i++) {
        const int count = i == 0 ? snprintf(path, NORN_PACKAGE_PATH, "%s/config.pbtxt", dir)
                                 : snprintf(path, NORN_PACKAGE_PATH, "%s/../config.pbtxt", dir);
        if (count < NORN_PACKAGE_PATH && norn_path_is_file(path))
            return "is not read; say it in norn.json of the version folder: max_batch_size is "
                   "profile.max_batch, preferred_batch_size batching.max_batch, "
                   "max_queue_delay_microseconds batching.max_delay_us, instance_group instances "
                   "and device (docs/package.md)";
    }
    return NULL;
}
