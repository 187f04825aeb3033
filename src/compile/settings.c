#include "compile/settings.h"

#include "base/nearest.h"
#include "compile/package.h"
#include "plan/plan.h"

#include <string.h>

typedef norn_package_config TOP_struct, PROFILE_struct, BATCHING_struct;
typedef norn_package_input INPUT_struct;
typedef norn_package_table TABLE_struct;

/// Words are separated, and ended, by a stroke.
#define NORN_WORD(word) word "|"

static const norn_setting settings[] = {
#define NORN_SETTING(scope, key, kind, field, low, high, words, absent, meaning) \
    {NORN_SETTINGS_##scope,                                                      \
     key,                                                                        \
     NORN_SETTING_##kind,                                                        \
     offsetof(scope##_struct, field),                                            \
     low,                                                                        \
     high,                                                                       \
     words,                                                                      \
     absent,                                                                     \
     meaning},
#include "compile/settings.inc"
#undef NORN_SETTING
};
enum { SETTING_COUNT = sizeof settings / sizeof *settings };

_Static_assert(sizeof(norn_precision) == sizeof(int) && sizeof(norn_package_rows) == sizeof(int),
               "a WORD is written as an int");

const norn_setting *norn_settings(size_t *count) {
    *count = SETTING_COUNT;
    return settings;
}

const char *norn_setting_prefix(norn_setting_scope scope) {
    static const char *const prefixes[] = {[NORN_SETTINGS_TOP] = "",
                                           [NORN_SETTINGS_INPUT] = "inputs.NAME.",
                                           [NORN_SETTINGS_TABLE] = "tables.NAME.",
                                           [NORN_SETTINGS_PROFILE] = "profile.",
                                           [NORN_SETTINGS_BATCHING] = "batching."};
    return prefixes[scope];
}

const norn_setting *norn_setting_find(norn_setting_scope scope, const char *key,
                                      const char **near) {
    const char *keys[SETTING_COUNT];
    *near = NULL;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        keys[i] = settings[i].scope == scope ? settings[i].key : NULL;
        if (keys[i] && strcmp(key, keys[i]) == 0) return &settings[i];
    }
    *near = norn_nearest(key, keys, SETTING_COUNT);
    return NULL;
}
