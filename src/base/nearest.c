#include "base/nearest.h"

#include <string.h>

enum { WORD_MAX = 32 };

/// Levenshtein distance of words of at most WORD_MAX letters; more when one is longer.
static size_t distance(const char *a, const char *b) {
    size_t row[WORD_MAX + 1];
    const size_t m = strlen(a), n = strlen(b);
    if (m > WORD_MAX || n > WORD_MAX) return strcmp(a, b) == 0 ? 0 : WORD_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            const size_t step = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            row[j] = change < step ? change : step;
        }
    }
    return row[n];
}

const char *norn_nearest(const char *word, const char *const *names, size_t count) {
    const char *best = NULL;
    const size_t length = strlen(word);
    size_t least = 1 + (length < WORD_MAX ? length : WORD_MAX - 1) / 3;
    for (size_t i = 0; i < count; i++) {
        const size_t d = names[i] ? distance(word, names[i]) : WORD_MAX;
        if (d > least || (best && d == least)) continue;
        best = names[i];
        least = d;
    }
    return best;
}
