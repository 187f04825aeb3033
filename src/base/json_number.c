/// Decimal text to numbers, without the locale.
#include "base/decimal.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

bool norn_json_u64(norn_span number, uint64_t *out) {
    const uint8_t *at = number.bytes, *end = at + number.count;
    const bool negative = number.count > 0 && *at == '-';
    uint64_t value = 0;
    if (negative) at++;
    if (at == end) return false;
    for (; at < end; at++) {
        const uint64_t digit = (uint64_t)*at - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (negative && value) return false;
    *out = value;
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

/// The numbers that JSON has no digits for.
static bool parse_special(norn_span number, double *out) {
    if (norn_span_equal(number, "NaN")) {
        *out = (double)NAN;
    } else if (norn_span_equal(number, "Infinity")) {
        *out = HUGE_VAL;
    } else if (norn_span_equal(number, "-Infinity")) {
        *out = -HUGE_VAL;
    } else {
        return false;
    }
    return true;
}

bool norn_json_f64(norn_span number, double *out) {
    decimal parts;
    double value;
    if (!parse_decimal(number, &parts)) return parse_special(number, out);
    if (parts.mantissa == 0 && !parts.more) {
        value = 0;
    } else if (!parts.more && parts.mantissa <= UINT64_C(1) << 53 &&
               parts.exponent >= -NORN_EXACT_POWER_MAX && parts.exponent <= NORN_EXACT_POWER_MAX) {
        // Both operands are exact, so the one operation rounds correctly (Clinger's fast path).
        value = (double)parts.mantissa;
        value = parts.exponent < 0 ? value / norn_exact_power[-parts.exponent]
                                   : value * norn_exact_power[parts.exponent];
    } else {
        value = parse_slow(number, &parts);
    }
    *out = parts.negative ? -value : value;
    return true;
}
