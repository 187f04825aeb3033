/// Text attributes that are one of a few words. A word that the operator does not know must not
/// quietly mean another.
#include "ops/op.h"

#include <string.h>

static const struct {
    norn_op_id op;
    const char *attr, *words;
} choices[] = {
#define NORN_CHOICE(op, attr, words) {NORN_OP_##op, attr, words},
#include "ops/attr_choices.inc"
#undef NORN_CHOICE
};

/// `words` is "one|two|": is `text` a word of it?
static bool is_word(const char *words, const char *text) {
    const size_t length = strlen(text);
    for (const char *at = words; *at; at = strchr(at, '|') + 1)
        if (strncmp(at, text, length) == 0 && at[length] == '|') return true;
    return false;
}

norn_status norn_op_check_choices(const norn_op_info *op, const char *node, norn_attrs attrs) {
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        if (choices[i].op != op->id) continue;
        const char *text = norn_attr_string(attrs, choices[i].attr, NULL);
        if (text && !is_word(choices[i].words, text))
            return norn_fail(NORN_INVALID_ARGUMENT, "node '%s': %s is '%s', it must be one of %.*s",
                             node, choices[i].attr, text, (int)strlen(choices[i].words) - 1,
                             choices[i].words);
    }
    return NORN_OK;
}
