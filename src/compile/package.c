#include "compile/package.h"

#include "base/file.h"
#include "base/json.h"
#include "compile/settings.h"
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

/// The index of a text among the setting's words.
static norn_status parse_word(package_parser *parser, const norn_setting *setting,
                              const norn_json_token *value, int *out) {
    const char *text, *end;
    char words[64] = "";
    NORN_TRY(parse_text(parser, setting->key, value, &text));
    *out = 0;
    for (const char *word = setting->words; *word; word = end + 1, ++*out) {
        end = strchr(word, '|');
        const size_t length = (size_t)(end - word), used = strlen(words);
        if (strlen(text) == length && memcmp(text, word, length) == 0) return NORN_OK;
        snprintf(words + used, sizeof words - used, "%s\"%.*s\"",
                 used == 0     ? ""
                 : end[1] == 0 ? " or "
                               : ", ",
                 (int)length, word);
    }
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: \"%s\" must be %s, not \"%s\"", parser->name,
                     setting->key, words, text);
}

static norn_status parse_flag(package_parser *parser, const char *key, const norn_json_token *value,
                              bool *out) {
    if (value->kind != NORN_JSON_TRUE && value->kind != NORN_JSON_FALSE)
        return wrong_kind(parser, key, "true or false");
    *out = value->kind == NORN_JSON_TRUE;
    return NORN_OK;
}

static norn_status parse_device(package_parser *parser, const char *key,
                                const norn_json_token *value, const char **out) {
    char known[NORN_DEVICE_NAMES];
    NORN_TRY(parse_text(parser, key, value, out));
    if (norn_device_is_name(*out)) return NORN_OK;
    return norn_fail(NORN_INVALID_ARGUMENT, "%s: \"%s\" must be %s, not \"%s\"", parser->name, key,
                     norn_device_names(known), *out);
}

static norn_status shape_member(package_parser *parser, const char *key,
                                const norn_json_token *value, void *context) {
    norn_shape_list *list = context;
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
                                const norn_json_token *value, norn_shape_list *list) {
    uint32_t capacity;
    NORN_TRY(count_members(parser, value, &capacity));
    NORN_TRY(NORN_TAKE_ARRAY(parser->arena, capacity, &list->at));
    list->count = 0;
    return parse_members(parser, key, value, shape_member, list);
}

static norn_status parse_setting(package_parser *parser, norn_setting_scope scope, const char *key,
                                 const norn_json_token *value, void *owner);

static norn_status input_member(package_parser *parser, const char *key,
                                const norn_json_token *value, void *context) {
    return parse_setting(parser, NORN_SETTINGS_INPUT, key, value, context);
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
    return parse_setting(parser, NORN_SETTINGS_TABLE, key, value, context);
}

static norn_status tables_member(package_parser *parser, const char *key,
                                 const norn_json_token *value, void *context) {
    norn_package_config *config = context;
    norn_package_table *table = &config->tables[config->table_count++];
    table->name = key;
    table->wait_us = -1;
    return parse_members(parser, key, value, table_member, table);
}

static norn_status profile_member(package_parser *parser, const char *key,
                                  const norn_json_token *value, void *context) {
    return parse_setting(parser, NORN_SETTINGS_PROFILE, key, value, context);
}

static norn_status batching_member(package_parser *parser, const char *key,
                                   const norn_json_token *value, void *context) {
    return parse_setting(parser, NORN_SETTINGS_BATCHING, key, value, context);
}

static norn_status top_member(package_parser *parser, const char *key, const norn_json_token *value,
                              void *context) {
    return parse_setting(parser, NORN_SETTINGS_TOP, key, value, context);
}

/// Objects: a key said twice counts as said last.
static norn_status parse_object(package_parser *parser, const norn_setting *setting,
                                const norn_json_token *value) {
    norn_package_config *config = parser->config;
    uint32_t capacity;
    NORN_TRY(count_members(parser, value, &capacity));
    if (setting->kind == NORN_SETTING_INPUTS) {
        NORN_TRY(NORN_TAKE_ARRAY(parser->arena, capacity, &config->inputs));
        config->input_count = 0;
        return parse_members(parser, setting->key, value, inputs_member, config);
    }
    if (setting->kind == NORN_SETTING_TABLES) {
        NORN_TRY(NORN_TAKE_ARRAY(parser->arena, capacity, &config->tables));
        config->table_count = 0;
        return parse_members(parser, setting->key, value, tables_member, config);
    }
    return parse_members(parser, setting->key, value,
                         setting->kind == NORN_SETTING_PROFILE ? profile_member : batching_member,
                         config);
}

/// The value of `key` into its field of `owner`, the struct of the scope.
static norn_status parse_setting(package_parser *parser, norn_setting_scope scope, const char *key,
                                 const norn_json_token *value, void *owner) {
    const char *near;
    const norn_setting *setting = norn_setting_find(scope, key, &near);
    if (!setting)
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "%s: unknown key \"%s%s\"%s%s%s; `norn check --keys` lists them",
                         parser->name, norn_setting_prefix(scope), key,
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"" : "");
    void *field = (char *)owner + setting->offset;
    int64_t number;
    int word;
    switch (setting->kind) {
    case NORN_SETTING_NUMBER:
        return parse_integer(parser, key, value, setting->low, setting->high, field);
    case NORN_SETTING_SMALL:
        NORN_TRY(parse_integer(parser, key, value, setting->low, setting->high, &number));
        *(int32_t *)field = (int32_t)number;
        return NORN_OK;
    case NORN_SETTING_MEBIBYTES:
        NORN_TRY(parse_integer(parser, key, value, setting->low, setting->high, &number));
        *(int64_t *)field = number << 20;
        return NORN_OK;
    case NORN_SETTING_FLAG:
        return parse_flag(parser, key, value, field);
    case NORN_SETTING_SWITCH:
        NORN_TRY(parse_word(parser, setting, value, &word));
        *(bool *)field = word == 1;
        return NORN_OK;
    case NORN_SETTING_WORD:
        NORN_TRY(parse_word(parser, setting, value, &word));
        memcpy(field, &word, sizeof word);
        return NORN_OK;
    case NORN_SETTING_TEXT:
        return parse_text(parser, key, value, field);
    case NORN_SETTING_DEVICE:
        return parse_device(parser, key, value, field);
    case NORN_SETTING_SHAPES:
        return parse_shapes(parser, key, value, field);
    case NORN_SETTING_INPUTS:
    case NORN_SETTING_TABLES:
    case NORN_SETTING_PROFILE:
    case NORN_SETTING_BATCHING:
        break;
    }
    return parse_object(parser, setting, value);
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
