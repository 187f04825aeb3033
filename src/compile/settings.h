/// The keys of norn.json as a table: what the parser takes, `norn check --keys` prints and
/// docs/package.md says.
#ifndef NORN_COMPILE_SETTINGS_H
#define NORN_COMPILE_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

/// Whose key it is.
typedef enum norn_setting_scope {
    NORN_SETTINGS_TOP,
    NORN_SETTINGS_INPUT, ///< inputs.NAME
    NORN_SETTINGS_TABLE, ///< tables.NAME
    NORN_SETTINGS_PROFILE,
    NORN_SETTINGS_BATCHING,
} norn_setting_scope;

typedef enum norn_setting_kind {
    NORN_SETTING_NUMBER,    ///< int64_t
    NORN_SETTING_SMALL,     ///< int32_t
    NORN_SETTING_MEBIBYTES, ///< int64_t, in bytes
    NORN_SETTING_FLAG,      ///< bool, true or false
    NORN_SETTING_SWITCH,    ///< bool, by two words
    NORN_SETTING_WORD,      ///< an enum, by its words
    NORN_SETTING_TEXT,      ///< const char *
    NORN_SETTING_DEVICE,    ///< const char *, a device's name
    NORN_SETTING_SHAPES,    ///< norn_shape_list: an object of lists
    NORN_SETTING_INPUTS,    ///< an object of objects
    NORN_SETTING_TABLES,
    NORN_SETTING_PROFILE, ///< an object
    NORN_SETTING_BATCHING,
} norn_setting_kind;

typedef struct norn_setting {
    norn_setting_scope scope;
    const char *key;
    norn_setting_kind kind;
    size_t offset; ///< of the field in the scope's struct
    int64_t low, high;
    const char *words; ///< "fp32|tf32|"
    const char *absent, *meaning;
} norn_setting;

const norn_setting *norn_settings(size_t *count);
/// NULL: there is no such key; *near is then the key of the scope that may be meant, or NULL.
const norn_setting *norn_setting_find(norn_setting_scope scope, const char *key, const char **near);
/// "profile." before a key in messages and documents.
const char *norn_setting_prefix(norn_setting_scope scope);

#endif
