/// UTF-8, as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF.
#ifndef NORN_BASE_UTF8_H
#define NORN_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/// Bytes of the character at `at` (1 to 4), or 0 when the bytes are none. `count` > 0.
static inline size_t norn_utf8_length(const uint8_t *at, size_t count) {
    uint8_t lead = at[0];
    if (lead < 0x80) return 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || count < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if (lead == 0xe0 && at[1] < 0xa0) return 0; // over-long
    if (lead == 0xed && at[1] > 0x9f) return 0; // surrogate
    if (lead == 0xf0 && at[1] < 0x90) return 0; // over-long
    if (lead == 0xf4 && at[1] > 0x8f) return 0; // above U+10FFFF
    return length;
}

/// Bytes written to `out` (room for 4). `code` is a valid character.
static inline size_t norn_utf8_encode(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[length] | code);
    return length;
}

#endif
