/// What exporters call dimensions. A name ties dimensions that share it, but not everything that
/// stands where a name stands is one, and some names are an exporter's own invention.
#include "onnx/importer.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/// "", "?", "-1", "48", "None": where an exporter had nothing to say.
static bool is_no_name(const char *text) {
    static const char *const words[] = {"none", "null", "nan", "unk", "unknown", "dynamic", "any"};
    if (text[strspn(text, "?-+.*_0123456789 ")] == 0) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) return true;
    return false;
}

/// The end of `text` before trailing digits; `text` itself when it is nothing else.
static size_t stem_of(const char *text) {
    size_t count = strlen(text);
    while (count > 0 && isdigit((unsigned char)text[count - 1])) count--;
    return count;
}

bool norn_dim_name_is_made_up(const char *name) {
    static const char *const stems[] = {"s", "u", "d", "dim", "axis", "_s", "sym"};
    size_t stem = stem_of(name);
    if (stem == 0) return true;
    // PyTorch's input_dynamic_axes_1 and Add_dim_0, tf2onnx's unk__12, Paddle's
    // DynamicDimension.0, our own "x.0".
    if (strstr(name, "dynamic_axes") || strstr(name, "unk__") || strstr(name, "DynamicDim"))
        return true;
    if (name[stem] == 0) return false;
    if (name[stem - 1] == '.') return true;
    if (stem >= 5 && memcmp(name + stem - 5, "_dim_", 5) == 0) return true;
    size_t bare = stem;
    while (bare > 1 && name[bare - 1] == '_') bare--;
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
        if (strlen(stems[i]) == bare && memcmp(stems[i], name, bare) == 0) return true;
    return false;
}

/// "batch" and "batch_1": what an exporter calls the second dimension that the caller named batch.
static bool is_numbered(const char *name, const char *of) {
    size_t count = strlen(of);
    return strncmp(name, of, count) == 0 && name[count] == '_' && name[count + 1] &&
           name[count + 1 + strspn(name + count + 1, "0123456789")] == 0;
}

bool norn_dim_names_may_tie(const char *a, const char *b) {
    return norn_dim_name_is_made_up(a) || norn_dim_name_is_made_up(b) || is_numbered(a, b) ||
           is_numbered(b, a);
}

norn_status norn_unify_dim_name(norn_importer *importer, const norn_onnx_value_info *info,
                                uint32_t index, const char **out) {
    const char *name = info->dims[index].param;
    bool repeated = false;
    // A name that one tensor has twice is rarely a promise that it is square;
    // where it is, operators say so.
    for (uint32_t d = 0; d < index && !repeated; d++)
        repeated = info->dims[d].value < 0 && strcmp(info->dims[d].param, name) == 0;
    *out = name;
    if (!repeated && !is_no_name(name)) return NORN_OK;
    return norn_arena_format(&importer->scratch, out, "%s.%u", info->name, index);
}
