// SPDX-License-Identifier: Apache-2.0
//
// Exact_sum: see the header. A double is an integer of 53 bits shifted to its exponent, so it meets
// two limbs; a carry or borrow runs on from there, which beyond one more limb is rare.
#include "operators/exact_sum.h"

#include <math.h>

enum { MANTISSA_BITS = 53, EXPONENT_BIAS = 1075 };

static void add_at(struct exact_sum *s, uint32_t at, uint64_t low, uint64_t high)
{
    unsigned __int128 t = (unsigned __int128)s->limb[at] + low;
    s->limb[at++] = (uint64_t)t;
    t = (unsigned __int128)s->limb[at] + high + (uint64_t)(t >> 64);
    s->limb[at++] = (uint64_t)t;
    for (bool carry = (t >> 64) != 0; carry && at < EXACT_SUM_LIMBS; at++)
        carry = ++s->limb[at] == 0;
}

static void sub_at(struct exact_sum *s, uint32_t at, uint64_t low, uint64_t high)
{
    unsigned __int128 t = (unsigned __int128)s->limb[at] - low;
    s->limb[at++] = (uint64_t)t;
    t = (unsigned __int128)s->limb[at] - high - (uint64_t)((t >> 64) & 1);
    s->limb[at++] = (uint64_t)t;
    for (bool borrow = (t >> 64) != 0; borrow && at < EXACT_SUM_LIMBS; at++)
        borrow = s->limb[at]-- == 0;
}

// Adds or subtracts m · 2^(bit - EXACT_SUM_LOW).
static void put(struct exact_sum *s, uint64_t m, uint32_t bit, bool negative)
{
    unsigned __int128 wide = (unsigned __int128)m << (bit % 64);
    if (negative)
        sub_at(s, bit / 64, (uint64_t)wide, (uint64_t)(wide >> 64));
    else
        add_at(s, bit / 64, (uint64_t)wide, (uint64_t)(wide >> 64));
}

void exact_sum_add(struct exact_sum *s, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    uint32_t exponent = (uint32_t)(bits >> 52) & 0x7ff;
    uint64_t m = bits & ((UINT64_C(1) << 52) - 1);
    CHECK(exponent != 0x7ff);
    if (exponent == 0) // subnormal: same scale as exponent 1, without the hidden bit
        exponent = 1;
    else
        m |= UINT64_C(1) << 52;
    if (m != 0)
        put(s, m, exponent - 1, (bits >> 63) != 0);
}

void exact_sum_add_square(struct exact_sum *s, double x)
{
    double high = x * x;
    exact_sum_add(s, high);
    exact_sum_add(s, fma(x, x, -high));
}

void exact_sum_sub_square(struct exact_sum *s, double x)
{
    double high = x * x;
    exact_sum_add(s, -high);
    exact_sum_add(s, -fma(x, x, -high));
}

void exact_sum_add_int128(struct exact_sum *s, __int128 v, int exponent)
{
    int bit = exponent + EXACT_SUM_LOW;
    CHECK(bit >= 0 && bit + 192 <= EXACT_SUM_LIMBS * 64);
    bool negative = v < 0;
    unsigned __int128 m = negative ? -(unsigned __int128)v : (unsigned __int128)v;
    put(s, (uint64_t)m, (uint32_t)bit, negative);
    put(s, (uint64_t)(m >> 64), (uint32_t)bit + 64, negative);
}

static bool is_negative(const struct exact_sum *s)
{
    return (s->limb[EXACT_SUM_LIMBS - 1] >> 63) != 0;
}

// Bits [bit, bit + 64) of the magnitude.
static uint64_t bits_at(const struct exact_sum *s, uint32_t bit)
{
    uint32_t at = bit / 64, shift = bit % 64;
    uint64_t v = s->limb[at] >> shift;
    if (shift != 0 && at + 1 < EXACT_SUM_LIMBS)
        v |= s->limb[at + 1] << (64 - shift);
    return v;
}

static bool any_below(const struct exact_sum *s, uint32_t bit)
{
    for (uint32_t i = 0; i < bit / 64; i++)
        if (s->limb[i] != 0)
            return true;
    return bit % 64 != 0 && s->limb[bit / 64] << (64 - bit % 64) != 0;
}

static void negate(struct exact_sum *s)
{
    bool carry = true;
    for (uint32_t i = 0; i < EXACT_SUM_LIMBS; i++) {
        s->limb[i] = ~s->limb[i] + (carry ? 1 : 0);
        carry = carry && s->limb[i] == 0;
    }
}

static double magnitude(const struct exact_sum *s)
{
    int top = EXACT_SUM_LIMBS - 1;
    while (top >= 0 && s->limb[top] == 0)
        top--;
    if (top < 0)
        return 0;
    uint32_t high = (uint32_t)top * 64 + 63 - (uint32_t)__builtin_clzll(s->limb[top]);
    if (high < MANTISSA_BITS) // as fine as the finest double: exact
        return ldexp((double)s->limb[0], -EXACT_SUM_LOW);
    uint32_t low = high - MANTISSA_BITS + 1;
    uint64_t m = bits_at(s, low) & ((UINT64_C(1) << MANTISSA_BITS) - 1);
    bool half = (s->limb[(low - 1) / 64] >> ((low - 1) % 64) & 1) != 0;
    if (half && ((m & 1) != 0 || any_below(s, low - 1)))
        m++;
    return ldexp((double)m, (int)low - EXACT_SUM_LOW);
}

double exact_sum_get(const struct exact_sum *s)
{
    if (!is_negative(s))
        return magnitude(s);
    struct exact_sum copy = *s;
    negate(&copy);
    return -magnitude(&copy);
}

void exact_sum_parts(const struct exact_sum *s, double out[3])
{
    struct exact_sum rest = *s;
    for (int i = 0; i < 3; i++) {
        out[i] = exact_sum_get(&rest);
        if (!isfinite(out[i])) {
            for (int k = i + 1; k < 3; k++)
                out[k] = 0;
            return;
        }
        exact_sum_add(&rest, -out[i]);
    }
}

bool exact_sum_is_zero(const struct exact_sum *s)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < EXACT_SUM_LIMBS; i++)
        any |= s->limb[i];
    return any == 0;
}

// The limbs above the last one written repeat its sign.
void exact_sum_encode(const struct exact_sum *s, struct buf *out)
{
    uint64_t sign = is_negative(s) ? UINT64_MAX : 0;
    uint32_t end = EXACT_SUM_LIMBS, first = 0;
    while (end > 1 && s->limb[end - 1] == sign && (s->limb[end - 2] >> 63) == (sign & 1))
        end--;
    while (first < end - 1 && s->limb[first] == 0)
        first++;
    buf_u8(out, (uint8_t)first);
    buf_u8(out, (uint8_t)(end - first));
    for (uint32_t i = first; i < end; i++)
        buf_u64(out, s->limb[i]);
}

int exact_sum_decode(struct exact_sum *s, struct cur *c)
{
    uint32_t first = cur_u8(c), n = cur_u8(c);
    exact_sum_init(s);
    if (c->failed || n == 0 || first + n > EXACT_SUM_LIMBS)
        return -1;
    for (uint32_t i = 0; i < n; i++)
        s->limb[first + i] = cur_u64(c);
    uint64_t sign = (s->limb[first + n - 1] >> 63) != 0 ? UINT64_MAX : 0;
    for (uint32_t i = first + n; i < EXACT_SUM_LIMBS; i++)
        s->limb[i] = sign;
    return c->failed ? -1 : 0;
}
