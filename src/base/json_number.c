/// Decimal text to numbers and back, without the locale.
#include "base/json.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/// Powers of ten that a double holds exactly.
static const double exact_power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                     1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
enum { EXACT_POWER_MAX = 22 };

bool norn_json_i64(norn_span number, int64_t *out) {
    const uint8_t *at = number.bytes, *end = at + number.count;
    bool negative = number.count > 0 && *at == '-';
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + negative;
    if (negative) at++;
    if (at == end) return false;
    for (; at < end; at++) {
        uint64_t digit = (uint64_t)*at - '0';
        if (digit > 9 || value > limit / 10 || value * 10 > limit - digit) return false;
        value = value * 10 + digit;
    }
    *out = (int64_t)(negative ? 0 - value : value);
    return true;
}

/// A literal taken apart: 0.d1d2d3… times 10^exponent of its significant digits.
typedef struct decimal {
    bool negative;
    int64_t exponent; ///< of the last digit that `mantissa` holds
    uint64_t mantissa;
    int digits; ///< significant ones, in mantissa (at most 19)
    bool more;  ///< non-zero digits were left out
} decimal;

/// The exponent is clamped far outside what a double can reach, so it cannot overflow.
static const uint8_t *parse_exponent(const uint8_t *at, const uint8_t *end, int64_t *exponent) {
    int64_t value = 0;
    bool negative = false;
    if (at < end && (*at == '+' || *at == '-')) negative = *at++ == '-';
    for (; at < end && *at >= '0' && *at <= '9'; at++)
        if (value < 100000000) value = value * 10 + (*at - '0');
    *exponent += negative ? -value : value;
    return at;
}

static bool parse_decimal(norn_span number, decimal *out) {
    const uint8_t *at = number.bytes, *end = at + number.count;
    bool after_point = false, any = false;
    *out = (decimal){0};
    if (at < end && *at == '-') {
        out->negative = true;
        at++;
    }
    for (; at < end; at++) {
        if (*at == '.' && !after_point) {
            after_point = true;
            continue;
        }
        uint8_t digit = (uint8_t)(*at - '0');
        if (digit > 9) break;
        any = true;
        if (out->digits < 19) {
            out->mantissa = out->mantissa * 10 + digit;
            out->digits += out->mantissa != 0;
            out->exponent -= after_point;
        } else {
            out->more |= digit != 0;
            out->exponent += !after_point;
        }
    }
    if (!any) return false;
    if (at < end && (*at | 0x20) == 'e') at = parse_exponent(at + 1, end, &out->exponent);
    return at == end;
}

/// A double needs at most 767 significant digits to round; what follows them counts as one more.
enum { ROUND_DIGITS = 780 };

/// Digits and exponent without a point, for strtod, which would want the locale's.
static double parse_slow(norn_span number, const decimal *parts) {
    char text[ROUND_DIGITS + 40];
    size_t used = 0;
    int64_t dropped = 0;
    bool sticky = false, after_point = false;
    int64_t exponent = 0;
    size_t i = parts->negative;
    for (; i < number.count && (number.bytes[i] | 0x20) != 'e'; i++) {
        uint8_t c = number.bytes[i];
        if (c == '.') {
            after_point = true;
            continue;
        }
        exponent -= after_point;
        if (used == 0 && c == '0') continue;
        if (used < ROUND_DIGITS) {
            text[used++] = (char)c;
        } else {
            sticky |= c != '0';
            dropped++;
        }
    }
    if (used == 0) return 0;
    if (sticky) {
        text[used++] = '1';
        dropped--;
    }
    exponent += dropped;
    if (i < number.count)
        parse_exponent(number.bytes + i + 1, number.bytes + number.count, &exponent);
    snprintf(text + used, sizeof text - used, "e%lld", (long long)exponent);
    return strtod(text, NULL);
}

bool norn_json_f64(norn_span number, double *out) {
    decimal parts;
    double value;
    if (!parse_decimal(number, &parts)) return false;
    if (parts.mantissa == 0 && !parts.more) {
        value = 0;
    } else if (!parts.more && parts.mantissa <= UINT64_C(1) << 53 &&
               parts.exponent >= -EXACT_POWER_MAX && parts.exponent <= EXACT_POWER_MAX) {
        // Both operands are exact, so the one operation rounds correctly (Clinger's fast path).
        value = (double)parts.mantissa;
        value = parts.exponent < 0 ? value / exact_power[-parts.exponent]
                                   : value * exact_power[parts.exponent];
    } else {
        value = parse_slow(number, &parts);
    }
    *out = parts.negative ? -value : value;
    return true;
}

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
    double power = exact_power[scale >= 0 ? scale : -scale];
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

/// The fewest digits (1 to 9) for `value`, where double arithmetic is exact enough to tell: values
/// from 1e-13 to 1e22. Nearest decimals of more digits never lie further off, so bisection finds
/// it.
static int shortest_f32(float value, int exponent, int64_t *digits) {
    int low = 1, high = 9, found = 0;
    while (low <= high) {
        int count = (low + high) / 2, scale = count - 1 - exponent;
        double scaled =
            scale >= 0 ? (double)value * exact_power[scale] : (double)value / exact_power[-scale];
        double rounded = nearbyint(scaled);
        if (reads_back_f32(rounded, scale, value)) {
            found = count;
            *digits = (int64_t)rounded;
            high = count - 1;
        } else {
            low = count + 1;
        }
    }
    return found;
}

static void put_printed(norn_buffer *buffer, double value, int least, int most, bool single);

void norn_json_put_f32(norn_buffer *buffer, float value) {
    if (put_special(buffer, (double)value)) return;
    float magnitude = fabsf(value);
    if (!(magnitude >= 1e-12f && magnitude < 1e21f)) {
        put_printed(buffer, (double)value, 1, 9, true);
        return;
    }
    // floor(log10): an estimate from the binary exponent, then one comparison.
    int binary;
    frexpf(magnitude, &binary);
    int exponent = (int)floor((binary - 1) * 0.30102999566398120);
    double next = exponent + 1 >= 0 ? exact_power[exponent + 1] : 1 / exact_power[-exponent - 1];
    if ((double)magnitude >= next) exponent++;

    int64_t digits = 0;
    int count = shortest_f32(magnitude, exponent, &digits);
    if (count == 0) {
        put_printed(buffer, (double)value, 1, 9, true);
        return;
    }
    if (digits == (int64_t)exact_power[count]) exponent++; // 9.99 rounded up to 10.0
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

void norn_json_put_string(norn_buffer *buffer, const char *bytes, size_t count) {
    static const char hex[] = "0123456789abcdef";
    const uint8_t *at = (const uint8_t *)bytes;
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
