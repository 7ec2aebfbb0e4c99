// SPDX-License-Identifier: Apache-2.0
//
// Most numbers in records are short: integers and decimals of a few digits. Those are read and
// written here in a few nanoseconds; only the rest goes through the C++ library.
//
// 1. Reading a decimal m × 10^e with m ≤ 2^53 and |e| ≤ 22 takes one exact multiplication or
//    division of two exact doubles, which rounds once, as IEEE 754 demands (W. D. Clinger 1990).
// 2. Writing: if m = round(d × 10^6) is below 10^15 and m / 10^6 gives d back, then m's digits are
//    right by 1., and since decimals of 15 digits are told apart by doubles, they are the shortest.
#include "formats/number.h"

#include <math.h>

#include "formats/number_shim.h"

static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                              1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                              1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

// Writes the digits of `u` so that they end before `end`; returns where they begin.
static char *digits_before(char *end, uint64_t u)
{
    while (u >= 100) {
        end -= 2;
        memcpy(end, &pairs[2 * (u % 100)], 2);
        u /= 100;
    }
    if (u >= 10) {
        end -= 2;
        memcpy(end, &pairs[2 * u], 2);
    } else {
        *--end = (char)('0' + u);
    }
    return end;
}

uint32_t value_format_int(int64_t i, char out[24])
{
    char text[24], *end = text + sizeof(text);
    char *p = digits_before(end, i < 0 ? 0 - (uint64_t)i : (uint64_t)i);
    if (i < 0)
        *--p = '-';
    memcpy(out, p, (size_t)(end - p));
    return (uint32_t)(end - p);
}

// Invariant 2. Returns the text's length or 0 if the number is not of that kind.
static uint32_t format_short(double d, char *out)
{
    double scaled = d * 1e6;
    if (!(scaled < 1e15))
        return 0;
    uint64_t m = (uint64_t)(scaled + 0.5);
    // A decimal is at most a rounding away from m: the quick look spares others the division.
    if (m == 0 || fabs(scaled - (double)m) > scaled * 0x1p-50 || (double)m / 1e6 != d)
        return 0;
    uint64_t whole = m / 1000000;
    uint32_t part = (uint32_t)(m % 1000000);
    char text[24], *end = text + sizeof(text);
    char *p = digits_before(end, whole);
    uint32_t n = (uint32_t)(end - p);
    memcpy(out, p, n);
    if (part == 0)
        return n;
    out[n] = '.';
    memcpy(out + n + 1, &pairs[2 * (part / 10000)], 2);
    memcpy(out + n + 3, &pairs[2 * (part / 100 % 100)], 2);
    memcpy(out + n + 5, &pairs[2 * (part % 100)], 2);
    n += 7;
    while (out[n - 1] == '0')
        n--;
    return n;
}

// Very small and very large numbers: d.ddde±x.
static uint32_t format_exponent(double d, char *out)
{
    char digits[32], *p = out;
    int point;
    uint32_t count = number_shim_digits(d, digits, &point);
    *p++ = digits[0];
    if (count > 1) {
        *p++ = '.';
        memcpy(p, digits + 1, count - 1);
        p += count - 1;
    }
    *p++ = 'e';
    if (point > 0)
        *p++ = '+';
    return (uint32_t)(p - out) + value_format_int(point - 1, p);
}

uint32_t value_format_double(double d, char out[32])
{
    if (isnan(d)) {
        memcpy(out, "NaN", 3);
        return 3;
    }
    uint32_t sign = 0;
    if (signbit(d)) {
        out[sign++] = '-';
        d = -d;
    }
    if (isinf(d)) {
        memcpy(out + sign, "Infinity", 8);
        return sign + 8;
    }
    if (d == 0) {
        out[sign] = '0';
        return sign + 1;
    }
    uint32_t n = format_short(d, out + sign);
    if (n != 0)
        return sign + n;
    // From 2^53 on an exponent: a whole number written plainly would be read as an integer, whose
    // value is not the double's.
    if (d >= 1e-6 && d < 0x1p53)
        return sign + number_shim_fixed(d, out + sign);
    return sign + format_exponent(d, out + sign);
}

// What the grammar found.
struct parts {
    uint64_t mantissa; // all digits, if there are at most 19
    uint32_t digits;   // without leading zeros
    int64_t exponent;  // of ten, to be applied to the mantissa
    int64_t magnitude; // the number is below 10^magnitude
    bool negative, integer;
};

static inline bool is_digit(uint8_t c)
{
    return (uint8_t)(c - '0') < 10;
}

static const uint8_t *take_digits(const uint8_t *p, const uint8_t *end, struct parts *x)
{
    for (; p < end && is_digit(*p); p++) {
        x->mantissa = x->mantissa * 10 + (uint64_t)(*p - '0');
        x->digits += (x->digits != 0 || *p != '0');
    }
    return p;
}

static const uint8_t *take_exponent(const uint8_t *p, const uint8_t *end, struct parts *x)
{
    bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    if (p == end || !is_digit(*p))
        return NULL;
    int64_t e = 0;
    for (; p < end && is_digit(*p); p++)
        e = e < 1000000000 ? e * 10 + (*p - '0') : e;
    x->exponent += minus ? -e : e;
    x->integer = false;
    return p;
}

// Returns false if the text is not one number.
static bool take_parts(const uint8_t *p, const uint8_t *end, struct parts *x)
{
    *x = (struct parts){.integer = true};
    if (p < end && *p == '-') {
        x->negative = true;
        p++;
    }
    if (p == end || !is_digit(*p))
        return false;
    const uint8_t *first = p;
    p = take_digits(p, end, x);
    if (*first == '0' && p - first > 1)
        return false;
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        p = take_digits(p, end, x);
        if (p == fraction)
            return false;
        x->exponent = -(int64_t)(p - fraction);
        x->integer = false;
    }
    if (p < end && (*p | 0x20) == 'e')
        p = take_exponent(p + 1, end, x);
    x->magnitude = (int64_t)x->digits + x->exponent;
    return p == end;
}

static bool fits_int(const struct parts *x)
{
    // 19 digits do not overflow 64 unsigned bits.
    return x->integer && x->digits <= 19 &&
           x->mantissa <= (uint64_t)INT64_MAX + (x->negative ? 1 : 0);
}

static int parse_slow(struct slice text, const struct parts *x, struct value *out)
{
    double d;
    if (number_shim_parse((const char *)text.p, text.n, &d) != 0) {
        if (x->digits != 0 && x->magnitude > 0)
            return NUMBER_RANGE;
        d = x->negative ? -0.0 : 0.0;
    }
    *out = value_double(d);
    return NUMBER_OK;
}

// Plain integers and decimals of up to 18 digits, most of what there is. False: not one of these,
// maybe not a number at all.
static inline bool parse_short(struct slice text, struct value *out)
{
    const uint8_t *p = text.p, *end = p + text.n, *first, *point;
    bool negative = p < end && *p == '-';
    uint64_t m = 0;
    p += negative;
    if (end - p > 19)
        return false;
    for (first = p; p < end && is_digit(*p); p++)
        m = m * 10 + (uint64_t)(*p - '0');
    if (p == first || (*first == '0' && p - first > 1))
        return false;
    if (p == end) {
        out->type = VALUE_INT;
        out->count = 0;
        out->i = (int64_t)(negative ? 0 - m : m);
        return p - first <= 18;
    }
    if (*p != '.')
        return false;
    for (point = p++; p < end && is_digit(*p); p++)
        m = m * 10 + (uint64_t)(*p - '0');
    if (p != end || p - point < 2 || m > UINT64_C(1) << 53)
        return false;
    double d = (double)m / tens[p - point - 1];
    out->type = VALUE_DOUBLE;
    out->count = 0;
    out->d = negative ? -d : d;
    return true;
}

int number_parse(struct slice text, struct value *out)
{
    struct parts x;
    if (parse_short(text, out))
        return NUMBER_OK;
    if (!take_parts(text.p, text.p + text.n, &x))
        return NUMBER_MALFORMED;
    if (fits_int(&x)) {
        *out = value_int((int64_t)(x.negative ? 0 - x.mantissa : x.mantissa));
        return NUMBER_OK;
    }
    if (x.digits <= 19 && x.mantissa <= (UINT64_C(1) << 53) && x.exponent >= -22 &&
        x.exponent <= 22) {
        double d = (double)x.mantissa;
        d = x.exponent < 0 ? d / tens[-x.exponent] : d * tens[x.exponent];
        *out = value_double(x.negative ? -d : d);
        return NUMBER_OK;
    }
    return parse_slow(text, &x, out);
}

enum { LOOSE_MAX = 400 };

int number_parse_loose(struct slice text, struct value *out)
{
    const uint8_t *p = text.p, *end = text.p + text.n;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if (number_parse(slice_of(p, (size_t)(end - p)), out) == NUMBER_OK)
        return NUMBER_OK;
    // Rewrite into JSON's grammar: no plus, no leading zeros, digits on both sides of the point.
    char strict[LOOSE_MAX + 4];
    uint32_t n = 0;
    if (end - p > LOOSE_MAX)
        return NUMBER_MALFORMED;
    if (p < end && (*p == '+' || *p == '-')) {
        if (*p == '-')
            strict[n++] = '-';
        p++;
    }
    const uint8_t *whole = p;
    while (p < end && *p == '0')
        p++;
    if (p < end ? !is_digit(*p) : p > whole)
        strict[n++] = '0';
    bool digits = p > whole;
    for (; p < end; p++) {
        digits |= is_digit(*p);
        if (*p == '.' && (p + 1 == end || (p[1] | 0x20) == 'e'))
            continue;
        strict[n++] = (char)*p;
    }
    return digits ? number_parse(slice_of(strict, n), out) : NUMBER_MALFORMED;
}
