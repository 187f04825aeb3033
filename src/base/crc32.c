#include "base/crc32.h"

#include <pthread.h>
#include <string.h>

enum { POLYNOMIAL = (int)0xedb88320u, SLICES = 8 };

/// tables[s][b]: what byte b does to the CRC s bytes further on, so that eight are taken at a time.
static uint32_t tables[SLICES][256];
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make_tables(void) {
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? (uint32_t)POLYNOMIAL : 0);
        tables[0][b] = crc;
    }
    for (int s = 1; s < SLICES; s++)
        for (uint32_t b = 0; b < 256; b++) {
            const uint32_t before = tables[s - 1][b];
            tables[s][b] = before >> 8 ^ tables[0][before & 255];
        }
}

uint32_t norn_crc32(uint32_t crc, const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    pthread_once(&made, make_tables);
    crc = ~crc;
    for (; count >= SLICES; count -= SLICES, at += SLICES) {
        uint32_t low, high;
        memcpy(&low, at, sizeof low);
        memcpy(&high, at + 4, sizeof high);
        low ^= crc;
        crc = tables[7][low & 255] ^ tables[6][low >> 8 & 255] ^ tables[5][low >> 16 & 255] ^
              tables[4][low >> 24] ^ tables[3][high & 255] ^ tables[2][high >> 8 & 255] ^
              tables[1][high >> 16 & 255] ^ tables[0][high >> 24];
    }
    for (; count > 0; count--, at++) crc = crc >> 8 ^ tables[0][(crc ^ *at) & 255];
    return ~crc;
}
