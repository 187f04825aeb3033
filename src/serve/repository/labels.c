#include "serve/repository/labels.h"

#include "base/file.h"
#include "base/json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool is_name(norn_span text) {
    if (text.count == 0 || text.count >= NORN_LABEL_NAME || !isalpha(text.bytes[0])) return false;
    for (size_t i = 0; i < text.count; i++)
        if (!isalnum(text.bytes[i]) && !strchr("-_.", text.bytes[i])) return false;
    return true;
}

static norn_status add(norn_labels *labels, const norn_json_token *key,
                       const norn_json_token *value) {
    norn_label *label = &labels->at[labels->count];
    const int shown = key->text.count < 100 ? (int)key->text.count : 100;
    const char *name = (const char *)key->text.bytes;
    if (key->escaped || !is_name(key->text))
        return norn_fail(NORN_INVALID_ARGUMENT,
                         "label '%.*s': a label is a letter, then at most %d letters, digits, "
                         "'-', '_' or '.'",
                         shown, name, NORN_LABEL_NAME - 2);
    if (labels->count == NORN_LABELS_MAX)
        return norn_fail(NORN_INVALID_ARGUMENT, "label '%.*s': a model has at most %d", shown, name,
                         NORN_LABELS_MAX);
    memcpy(label->name, name, key->text.count);
    label->name[key->text.count] = 0;
    if (norn_labels_find(labels->at, labels->count, label->name) >= 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "label '%s' is there twice", label->name);
    if (value->kind != NORN_JSON_NUMBER || !norn_json_i64(value->text, &label->version) ||
        label->version < 0)
        return norn_fail(NORN_INVALID_ARGUMENT, "label '%s' stands for a version, a whole number",
                         label->name);
    labels->count++;
    return NORN_OK;
}

static norn_status parse(norn_span text, norn_labels *labels) {
    norn_json_reader json;
    norn_json_token key, value;
    norn_json_init(&json, text);
    NORN_TRY(norn_json_next(&json, &key));
    if (key.kind != NORN_JSON_OBJECT_BEGIN)
        return norn_fail(NORN_INVALID_ARGUMENT, "it is not an object as {\"stable\": 3}");
    for (;;) {
        NORN_TRY(norn_json_next(&json, &key));
        if (key.kind == NORN_JSON_OBJECT_END) break;
        NORN_TRY(norn_json_next(&json, &value));
        NORN_TRY(add(labels, &key, &value));
    }
    return norn_json_next(&json, &key); // nothing comes after it
}

norn_status norn_labels_read(const char *dir, norn_alloc alloc, norn_labels *out) {
    char path[4096];
    norn_file *file;
    out->count = 0;
    (void)snprintf(path, sizeof path, "%s/labels.json", dir);
    if (!norn_path_is_file(path)) return NORN_OK;
    NORN_TRY(norn_file_read(path, alloc, &file));
    const norn_status status = parse(norn_file_bytes(file), out);
    norn_file_release(file);
    if (status != NORN_OK) norn_note("%s", path);
    return status;
}

int64_t norn_labels_find(const norn_label *labels, uint32_t count, const char *name) {
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(labels[i].name, name) == 0) return labels[i].version;
    return -1;
}
