#include "store/redis/redis_slot.h"
#include "base/memory.h"

#include <string.h>

/// Polynomial 0x1021, from 0, not reflected.
static uint16_t crc16(const uint8_t *bytes, size_t count) {
    static const uint16_t of_nibble[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5,
                                           0x60c6, 0x70e7, 0x8108, 0x9129, 0xa14a, 0xb16b,
                                           0xc18c, 0xd1ad, 0xe1ce, 0xf1ef};
    uint32_t crc = 0;
    for (size_t i = 0; i < count; i++) {
        crc = (crc << 4 ^ of_nibble[(crc >> 12 ^ bytes[i] >> 4) & 15]) & 0xffff;
        crc = (crc << 4 ^ of_nibble[(crc >> 12 ^ bytes[i]) & 15]) & 0xffff;
    }
    return (uint16_t)crc;
}

uint16_t norn_redis_slot(const void *key, size_t count) {
    const uint8_t *bytes = key, *end = bytes + count;
    const uint8_t *open = count ? memchr(bytes, '{', count) : NULL;
    const uint8_t *close = open ? memchr(open, '}', (size_t)(end - open)) : NULL;
    if (close && close > open + 1)
        return crc16(open + 1, (size_t)(close - open - 1)) % NORN_REDIS_SLOTS;
    return crc16(bytes, count) % NORN_REDIS_SLOTS;
}

/// The next text in order.
static size_t advance(char *text, size_t count) {
    for (size_t i = count; i-- > 0;) {
        if (text[i] != 'z') {
            text[i] = text[i] == '9' ? 'A' : text[i] == 'Z' ? 'a' : (char)(text[i] + 1);
            return count;
        }
        text[i] = '0';
    }
    text[count] = '0';
    return count + 1;
}

norn_status norn_redis_tags_make(uint32_t partitions, norn_alloc alloc, norn_redis_tag **out) {
    const uint32_t apart = NORN_REDIS_SLOTS / partitions;
    char text[sizeof(out[0]->text)] = "0";
    size_t count = 1;
    NORN_TRY(NORN_NEW_ARRAY(alloc, partitions, out));
    for (uint32_t left = partitions; left > 0; count = advance(text, count)) {
        const uint16_t slot = norn_redis_slot(text, count);
        if (slot % apart != 0) continue;
        norn_redis_tag *tag = &(*out)[slot / apart];
        if (tag->text[0]) continue;
        memcpy(tag->text, text, count);
        tag->slot = slot;
        left--;
    }
    return NORN_OK;
}
