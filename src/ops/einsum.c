#include "ops/einsum.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

typedef struct letters {
    int8_t index_of[128]; ///< -1: not seen
    uint8_t order[NORN_EINSUM_INDEX_MAX];
    int count[128];
} letters;

static norn_status refuse(const char *equation, const char *why) {
    return norn_fail(NORN_INVALID_ARGUMENT, "equation '%s': %s", equation, why);
}

static norn_status index_of(const char *equation, letters *seen, char letter, norn_einsum *out,
                            uint8_t *index) {
    if (!isalpha((unsigned char)letter)) return refuse(equation, "a subscript is not a letter");
    if (seen->index_of[(int)letter] < 0) {
        if (out->index_count >= NORN_EINSUM_INDEX_MAX)
            return refuse(equation, "too many subscripts");
        seen->order[out->index_count] = (uint8_t)letter;
        seen->index_of[(int)letter] = (int8_t)out->index_count++;
    }
    seen->count[(int)letter]++;
    *index = (uint8_t)seen->index_of[(int)letter];
    return NORN_OK;
}

/// One term, `text` to `end`. `rank` < 0 (the output): an ellipsis is all `ellipsis_total` dims.
static norn_status parse_term(const char *equation, const char *text, const char *end,
                              letters *seen, int32_t ellipsis_total, int32_t rank, norn_einsum *out,
                              uint8_t *dims, int32_t *parsed) {
    int32_t named = 0, at = 0;
    bool dots = false;
    for (const char *c = text; c < end; c++) {
        if (*c == '.') {
            if (dots || end - c < 3 || c[1] != '.' || c[2] != '.')
                return refuse(equation, "a stray dot");
            dots = true;
            c += 2;
        } else if (*c != ' ') {
            named++;
        }
    }
    int32_t fill = rank < 0 ? (dots ? ellipsis_total : 0) : rank - named;
    if (fill < 0 || (fill > 0 && !dots))
        return refuse(equation, "the subscripts of a term do not fit its input's rank");
    if (fill > ellipsis_total || named + fill > NORN_MAX_RANK)
        return refuse(equation, "the rank is too large");
    for (const char *c = text; c < end; c++) {
        if (*c == '.') {
            // Ellipsis dims align at the last, as broadcasting does; their indices come first.
            for (int32_t i = 0; i < fill; i++) dims[at++] = (uint8_t)(ellipsis_total - fill + i);
            c += 2;
        } else if (*c != ' ') {
            NORN_TRY(index_of(equation, seen, *c, out, &dims[at]));
            at++;
        }
    }
    *parsed = at;
    return NORN_OK;
}

/// Dims that the ellipsis stands for: the most that any input leaves over.
static int32_t ellipsis_dims(const char *equation, const int32_t *ranks, uint32_t inputs) {
    int32_t most = 0;
    const char *c = equation;
    for (uint32_t i = 0; i < inputs && *c; i++) {
        int32_t named = 0;
        bool dots = false;
        for (; *c && *c != ',' && *c != '-'; c++) {
            if (isalpha((unsigned char)*c)) named++;
            if (*c == '.') dots = true;
        }
        if (dots && ranks[i] - named > most) most = ranks[i] - named;
        if (*c == ',') c++;
    }
    return most;
}

norn_status norn_einsum_parse(const char *equation, const int32_t *ranks, uint32_t inputs,
                              norn_einsum *out) {
    letters seen;
    memset(&seen, 0, sizeof seen);
    memset(seen.index_of, -1, sizeof seen.index_of);
    memset(out, 0, sizeof *out);
    int32_t ellipsis = ellipsis_dims(equation, ranks, inputs), parsed;
    out->index_count = ellipsis;
    const char *c = equation, *arrow = strstr(equation, "->");
    const char *stop = arrow ? arrow : equation + strlen(equation);
    for (uint32_t i = 0; i < inputs; i++) {
        const char *end = memchr(c, ',', (size_t)(stop - c));
        if (!end) end = stop;
        if ((i + 1 == inputs) != (end == stop))
            return refuse(equation, "its terms are not as many as the inputs");
        NORN_TRY(parse_term(equation, c, end, &seen, ellipsis, ranks[i], out, out->in[i], &parsed));
        c = end < stop ? end + 1 : end;
    }
    if (arrow) {
        int32_t known = out->index_count;
        const char *text = arrow + 2;
        NORN_TRY(parse_term(equation, text, text + strlen(text), &seen, ellipsis, -1, out, out->out,
                            &out->out_rank));
        if (out->index_count != known)
            return refuse(equation, "the output has a subscript that no input has");
        for (int32_t d = 1; d < out->out_rank; d++)
            if (memchr(out->out, out->out[d], (size_t)d))
                return refuse(equation, "the output has a subscript twice");
        return NORN_OK;
    }
    // Implicit output: the ellipsis, then letters that occur once, in alphabetical order.
    for (int32_t i = 0; i < ellipsis; i++) out->out[out->out_rank++] = (uint8_t)i;
    for (int letter = 'A'; letter <= 'z'; letter++) {
        if (seen.count[letter] != 1) continue;
        if (out->out_rank >= NORN_MAX_RANK) return refuse(equation, "the rank is too large");
        out->out[out->out_rank++] = (uint8_t)seen.index_of[letter];
    }
    return NORN_OK;
}
