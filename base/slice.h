// SPDX-License-Identifier: Apache-2.0
//
// Slice: borrowed bytes. Whoever hands one out says until when it may be read.
// `p == NULL` is the null value (a tombstone, a missing key); `n == 0` with a pointer is empty.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p;
    uint32_t n;
};

static inline struct slice slice_of(const void *p, size_t n)
{
    return (struct slice){(const uint8_t *)p, (uint32_t)n};
}

static inline struct slice slice_str(const char *s)
{
    return (struct slice){(const uint8_t *)s, (uint32_t)strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

// Unsigned byte order, shorter first on a common prefix (RocksDB's order).
static inline int slice_cmp(struct slice a, struct slice b)
{
    uint32_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);
    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}
