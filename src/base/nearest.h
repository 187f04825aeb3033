/// "Did you mean …?": the word that somebody may have meant to write.
#ifndef NORN_BASE_NEAREST_H
#define NORN_BASE_NEAREST_H

#include <stddef.h>

/// The one of `names` (NULL entries are skipped) that takes the fewest letters added, left out or
/// changed; NULL when none is near: one change, and one more for every three letters. The first of
/// equals. Words of more than 32 letters are near nothing but themselves.
const char *norn_nearest(const char *word, const char *const *names, size_t count);

#endif
