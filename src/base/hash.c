#include "base/hash.h"

#include <string.h>

/// Large inputs: eight independent 64-bit lanes, each
///     lane = rotate(lane + word * ODD_A, 31) * ODD_B
/// over 64-byte stripes. Eight multiply chains in flight hide the multiplier's latency, so a stripe
/// costs about its 16 multiplications: faster than memory delivers it. Each step is a bijection of
/// the lane for a given word and of the word for a given lane, so one changed word always changes
/// its lane. Lanes, the tail and the length are then folded through the splitmix64 finaliser.
///
/// Not against an adversary: collisions can be made by who knows the constants. The plan file's
/// hash finds truncation and rot, not forgery.
enum { LANES = 8, STRIPE_BYTES = LANES * 8 };

static const uint64_t ODD_A = UINT64_C(0x9e3779b97f4a7c15); // 2^64 / golden ratio
static const uint64_t ODD_B = UINT64_C(0xd6e8feb86659fd93);

static inline uint64_t rotate(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

static inline uint64_t word_at(const unsigned char *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word; // little-endian, as the files are
}

static inline uint64_t fold(uint64_t hash, uint64_t word) {
    return norn_hash_u64(hash ^ word) * ODD_A;
}

static const unsigned char *mix_stripes(const unsigned char *at, size_t stripes,
                                        uint64_t lanes[LANES]) {
    uint64_t l0 = lanes[0], l1 = lanes[1], l2 = lanes[2], l3 = lanes[3];
    uint64_t l4 = lanes[4], l5 = lanes[5], l6 = lanes[6], l7 = lanes[7];
    for (size_t i = 0; i < stripes; i++, at += STRIPE_BYTES) {
        l0 = rotate(l0 + word_at(at) * ODD_A, 31) * ODD_B;
        l1 = rotate(l1 + word_at(at + 8) * ODD_A, 31) * ODD_B;
        l2 = rotate(l2 + word_at(at + 16) * ODD_A, 31) * ODD_B;
        l3 = rotate(l3 + word_at(at + 24) * ODD_A, 31) * ODD_B;
        l4 = rotate(l4 + word_at(at + 32) * ODD_A, 31) * ODD_B;
        l5 = rotate(l5 + word_at(at + 40) * ODD_A, 31) * ODD_B;
        l6 = rotate(l6 + word_at(at + 48) * ODD_A, 31) * ODD_B;
        l7 = rotate(l7 + word_at(at + 56) * ODD_A, 31) * ODD_B;
    }
    lanes[0] = l0, lanes[1] = l1, lanes[2] = l2, lanes[3] = l3;
    lanes[4] = l4, lanes[5] = l5, lanes[6] = l6, lanes[7] = l7;
    return at;
}

uint64_t norn_hash_bytes(const void *bytes, size_t count, uint64_t seed) {
    const unsigned char *at = bytes;
    size_t left = count;
    uint64_t hash = seed + ODD_B;
    if (left >= STRIPE_BYTES) {
        uint64_t lanes[LANES];
        for (unsigned i = 0; i < LANES; i++) lanes[i] = norn_hash_u64(seed + i * ODD_A + 1);
        at = mix_stripes(at, left / STRIPE_BYTES, lanes);
        left %= STRIPE_BYTES;
        for (unsigned i = 0; i < LANES; i++) hash = fold(hash, lanes[i]);
    }
    for (; left >= 8; left -= 8, at += 8) hash = fold(hash, word_at(at));
    if (left) {
        uint64_t word = 0;
        memcpy(&word, at, left);
        hash = fold(hash, word);
    }
    return norn_hash_u64(hash ^ (uint64_t)count);
}

uint64_t norn_hash_text(const char *text) {
    return norn_hash_bytes(text, strlen(text), 0);
}

void norn_random_init(norn_random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += ODD_A;
        random->state[i] = norn_hash_u64(seed);
    }
}

/// xoshiro256++ 1.0, Blackman and Vigna, https://prng.di.unimi.it/
uint64_t norn_random_u64(norn_random *random) {
    uint64_t *s = random->state;
    uint64_t result = rotate(s[0] + s[3], 23) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

double norn_random_unit(norn_random *random) {
    return (double)(norn_random_u64(random) >> 11) * 0x1p-53;
}
