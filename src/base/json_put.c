/// Numbers and strings as JSON text, without the locale: one value, no commas.
#include "base/decimal.h"
#include "base/json.h"
#include "base/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/// `digits` d1d2d3… (the first not '0') standing for d1.d2d3… times 10^exponent, as JSON.
static void put_decimal(norn_buffer *buffer, bool negative, const char *digits, int count,
                        int exponent) {
    char text[64];
    size_t used = 0;
    if (negative) text[used++] = '-';
    if (exponent >= 0 && exponent < 17) {
        for (int i = 0; i <= exponent; i++) text[used++] = i < count ? digits[i] : '0';
        text[used++] = '.';
        for (int i = exponent + 1; i < count; i++) text[used++] = digits[i];
        if (count <= exponent + 1) text[used++] = '0';
    } else if (exponent < 0 && exponent >= -5) {
        text[used++] = '0';
        text[used++] = '.';
        for (int i = -1; i > exponent; i--) text[used++] = '0';
        for (int i = 0; i < count; i++) text[used++] = digits[i];
    } else {
        text[used++] = digits[0];
        if (count > 1) text[used++] = '.';
        for (int i = 1; i < count; i++) text[used++] = digits[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "e%d", exponent);
    }
    norn_buffer_append(buffer, text, used);
}

static bool put_special(norn_buffer *buffer, double value) {
    if (isnan(value) || isinf(value)) {
        norn_buffer_text(buffer, "null");
    } else if (value == 0) {
        norn_buffer_text(buffer, signbit(value) ? "-0.0" : "0.0");
    } else {
        return false;
    }
    return true;
}

/// Does decimal * 10^-scale read back as `value`? Where the one operation here rounds, and so near
/// the middle of two floats that rounding twice could differ from rounding once, the answer is no.
static bool reads_back_f32(double whole, int scale, float value) {
    double power = norn_exact_power[scale >= 0 ? scale : -scale];
    double read = scale >= 0 ? whole / power : whole * power;
    uint64_t bits;
    memcpy(&bits, &read, sizeof bits);
    uint64_t below = bits & 0x1fffffff; // the 29 bits that a float has not
    if (below >= 0x0fffffff && below <= 0x10000001) {
        double error = scale >= 0 ? fma(read, power, -whole) : fma(whole, power, -read);
        if (error != 0) return false;
    }
    return (float)read == value;
}

/// The nearest decimal of `count` digits.
static double nearest_decimal(float value, int scale) {
    double scaled = scale >= 0 ? (double)value * norn_exact_power[scale]
                               : (double)value / norn_exact_power[-scale];
    return (double)(int64_t)(scaled + 0.5);
}

/// The fewest digits for `value`, from 1e-12 to 1e21.
///
/// Nine always do, and are so much nearer than the middle of two floats (5e-9 to 3e-8) that double
/// arithmetic tells: no float of all of them fails. Eight do mostly. Six digits are further apart than floats, so the nearest six-digit
/// decimal holds any shorter one that reads back: the caller strips its zeros.
static int shortest_f32(float value, int exponent, int64_t *digits) {
    static const int next_if_it_does[10] = {[8] = 7, [7] = 6}, next_if_not[10] = {[8] = 9};
    int found = 0;
    for (int count = 8; count != 0;) {
        double whole = nearest_decimal(value, count - 1 - exponent);
        bool does = reads_back_f32(whole, count - 1 - exponent, value);
        if (does) {
            found = count;
            *digits = (int64_t)whole;
        }
        count = does ? next_if_it_does[count] : next_if_not[count];
    }
    return found;
}

/// floor(log10(value)), from 1e-12 to 1e21: an estimate from the binary exponent, one comparison.
static int decimal_exponent(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    int binary = (int)(bits >> 23) - 127;
    int exponent = binary * 1233 >> 12; // log10(2), rounded down: right or one too small
    double next =
        exponent + 1 >= 0 ? norn_exact_power[exponent + 1] : 1 / norn_exact_power[-exponent - 1];
    return (double)value >= next ? exponent + 1 : exponent;
}

static void put_printed(norn_buffer *buffer, double value, int least, int most, bool single);

void norn_json_put_f32(norn_buffer *buffer, float value) {
    if (put_special(buffer, (double)value)) return;
    float magnitude = fabsf(value);
    if (!(magnitude >= 1e-12f && magnitude < 1e21f)) {
        put_printed(buffer, (double)value, 1, 9, true);
        return;
    }
    int exponent = decimal_exponent(magnitude);
    int64_t digits = 0;
    int count = shortest_f32(magnitude, exponent, &digits);
    assert(count > 0);
    if (digits == (int64_t)norn_exact_power[count]) exponent++; // 9.99 rounded up to 10.0
    while (digits % 10 == 0) digits /= 10;
    char text[24];
    int at = sizeof text;
    for (; digits > 0; digits /= 10) text[--at] = (char)('0' + digits % 10);
    put_decimal(buffer, value < 0, text + at, (int)sizeof text - at, exponent);
}

/// By printf, digit count by digit count, until the text reads back as `value`.
static void put_printed(norn_buffer *buffer, double value, int least, int most, bool single) {
    for (int count = least;; count++) {
        char text[48], digits[24], plain[48];
        int found = 0;
        snprintf(text, sizeof text, "%.*e", count - 1, fabs(value));
        const char *at = text;
        for (; *at != 'e'; at++) // whatever the locale has for a point is no digit
            if (*at >= '0' && *at <= '9') digits[found++] = *at;
        int exponent = (int)strtol(at + 1, NULL, 10);
        int length = snprintf(plain, sizeof plain, "%.*se%d", found, digits, exponent - found + 1);
        double read = 0;
        if (single)
            read = (double)strtof(plain, NULL);
        else
            (void)norn_json_f64(norn_span_of(plain, (size_t)length), &read);
        if (count < most && read != fabs(value)) continue;
        while (found > 1 && digits[found - 1] == '0') found--;
        put_decimal(buffer, value < 0, digits, found, exponent);
        return;
    }
}

void norn_json_put_f64(norn_buffer *buffer, double value) {
    if (put_special(buffer, value)) return;
    // Any 15 digits survive a normal double, so fewer need no trial; subnormals hold fewer digits.
    put_printed(buffer, value, fabs(value) < 0x1p-1022 ? 1 : 15, 17, false);
}

static void put_whole(norn_buffer *buffer, uint64_t magnitude, bool negative) {
    char text[24];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude);
    if (negative) text[--at] = '-';
    norn_buffer_append(buffer, text + at, sizeof text - at);
}

void norn_json_put_i64(norn_buffer *buffer, int64_t value) {
    put_whole(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void norn_json_put_u64(norn_buffer *buffer, uint64_t value) {
    put_whole(buffer, value, false);
}

void norn_json_put_string(norn_buffer *buffer, const char *bytes, size_t count) {
    static const char hex[] = "0123456789abcdef";
    const uint8_t *at = (const uint8_t *)bytes;
    size_t plain = 0; // most text is, and is copied at once
    while (plain < count && at[plain] >= 0x20 && at[plain] < 0x80 && at[plain] != '"' &&
           at[plain] != '\\')
        plain++;
    if (plain == count) {
        char *room = norn_buffer_extend(buffer, count + 2);
        if (!room) return;
        if (count) memcpy(room + 1, bytes, count);
        room[0] = room[count + 1] = '"';
        return;
    }
    norn_buffer_append(buffer, "\"", 1);
    size_t clean = 0; // [clean, i) needs no escape and is written at once
    for (size_t i = 0; i < count;) {
        size_t length = norn_utf8_length(at + i, count - i);
        if (length > 0 && at[i] >= 0x20 && at[i] != '"' && at[i] != '\\') {
            i += length;
            continue;
        }
        norn_buffer_append(buffer, bytes + clean, i - clean);
        if (length == 0) {
            norn_buffer_text(buffer, "\xef\xbf\xbd"); // U+FFFD
        } else if (at[i] < 0x20) {
            char escape[] = {'\\', 'u', '0', '0', hex[at[i] >> 4], hex[at[i] & 15]};
            norn_buffer_append(buffer, escape, sizeof escape);
        } else {
            char escape[] = {'\\', bytes[i]};
            norn_buffer_append(buffer, escape, sizeof escape);
        }
        clean = ++i;
    }
    if (count > clean) norn_buffer_append(buffer, bytes + clean, count - clean);
    norn_buffer_append(buffer, "\"", 1);
}
