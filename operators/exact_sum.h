// SPDX-License-Identifier: Apache-2.0
//
// Exact_sum: the exact sum of any number of finite doubles, rounded once when asked for.
//
// A fixed-point number over the whole range of doubles, in two's complement: adding is integer
// addition, so the order of additions does not matter and taking a value out again (adding its
// negative) leaves exactly what was there before. Plain memory: copy it by assignment. Wide enough
// for 2^63 values of any size.
#pragma once

#include "base/buf.h"

enum {
    EXACT_SUM_LOW = 1074, // the lowest bit is 2^-1074, the smallest double
    EXACT_SUM_LIMBS = 34, // 2176 bits: 2098 of doubles, 64 of counts, a sign
};

struct exact_sum {
    uint64_t limb[EXACT_SUM_LIMBS]; // lowest first
};

static inline void exact_sum_init(struct exact_sum *s)
{
    memset(s, 0, sizeof(*s));
}

void exact_sum_add(struct exact_sum *, double); // finite
// x² exactly, for |x| in [2^-500, 2^500] or 0.
void exact_sum_add_square(struct exact_sum *, double x);
void exact_sum_sub_square(struct exact_sum *, double x);
void exact_sum_add_int128(struct exact_sum *, __int128, int exponent); // v · 2^exponent, >= 2^-1074
double exact_sum_get(const struct exact_sum *); // nearest double, ties to even; may be infinite
// The sum as an unevaluated sum of three doubles, each the rounding of what the ones before left.
void exact_sum_parts(const struct exact_sum *, double out[3]);
bool exact_sum_is_zero(const struct exact_sum *);

// Only the limbs in use: 18 bytes for most sums.
void exact_sum_encode(const struct exact_sum *, struct buf *out);
int exact_sum_decode(struct exact_sum *, struct cur *); // -1: malformed
