// SPDX-License-Identifier: Apache-2.0
//
// Buf: owned, growing bytes. `buf_init` needs no allocation; the memory is kept by buf_clear for
// reuse and given back by buf_release. Not thread-safe.
#pragma once

#include "base/bytes.h"
#include "base/check.h"
#include "base/slice.h"

struct buf {
    uint8_t *p;
    uint32_t n;    // bytes used
    uint32_t size; // bytes allocated
};

void buf_init(struct buf *b);
void buf_release(struct buf *b);
// Makes room for `more` further bytes and returns where they begin; `b->n` is unchanged.
static inline uint8_t *buf_reserve(struct buf *b, uint32_t more);
void buf_grow(struct buf *b, uint32_t more); // for buf_reserve only: there is no room
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline uint8_t *buf_reserve(struct buf *b, uint32_t more)
{
    if (__builtin_expect(b->size - b->n < more, 0))
        buf_grow(b, more);
    return b->p + b->n;
}

static inline void buf_put(struct buf *b, const void *p, uint32_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->n += n;
}

static inline void buf_clear(struct buf *b)
{
    b->n = 0;
}

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->p, b->n);
}

static inline void buf_slice_put(struct buf *b, struct slice s)
{
    buf_put(b, s.p, s.n);
}

static inline void buf_str(struct buf *b, const char *s)
{
    buf_put(b, s, (uint32_t)strlen(s));
}

static inline void buf_u8(struct buf *b, uint8_t v)
{
    *buf_reserve(b, 1) = v;
    b->n += 1;
}

static inline void buf_u16(struct buf *b, uint16_t v)
{
    bytes_put16(buf_reserve(b, 2), v);
    b->n += 2;
}

static inline void buf_u32(struct buf *b, uint32_t v)
{
    bytes_put32(buf_reserve(b, 4), v);
    b->n += 4;
}

static inline void buf_u64(struct buf *b, uint64_t v)
{
    bytes_put64(buf_reserve(b, 8), v);
    b->n += 8;
}

static inline void buf_uvarint(struct buf *b, uint64_t v)
{
    b->n += bytes_put_uvarint(buf_reserve(b, BYTES_VARINT_MAX), v);
}

static inline void buf_varint(struct buf *b, int64_t v)
{
    b->n += bytes_put_varint(buf_reserve(b, BYTES_VARINT_MAX), v);
}

// A length-prefixed slice (uvarint n+1, then bytes; 0 is null).
static inline void buf_lslice(struct buf *b, struct slice s)
{
    buf_uvarint(b, s.p == NULL ? 0 : (uint64_t)s.n + 1);
    buf_put(b, s.p, s.p == NULL ? 0 : s.n);
}

// Cur: a sticky reading cursor. After the first malformed read `failed` is set and every later
// read returns zero, so a parser reads a whole structure and asks once at the end.
struct cur {
    const uint8_t *p, *end;
    bool failed;
};

static inline struct cur cur_of(struct slice s)
{
    return (struct cur){s.p, s.p + s.n, false};
}

static inline uint32_t cur_left(const struct cur *c)
{
    return (uint32_t)(c->end - c->p);
}

static inline const uint8_t *cur_take(struct cur *c, uint64_t n)
{
    if (c->failed || n > (uint64_t)(c->end - c->p)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += n;
    return p;
}

static inline uint8_t cur_u8(struct cur *c)
{
    const uint8_t *p = cur_take(c, 1);
    return p == NULL ? 0 : *p;
}

static inline uint16_t cur_u16(struct cur *c)
{
    const uint8_t *p = cur_take(c, 2);
    return p == NULL ? 0 : bytes_get16(p);
}

static inline uint32_t cur_u32(struct cur *c)
{
    const uint8_t *p = cur_take(c, 4);
    return p == NULL ? 0 : bytes_get32(p);
}

static inline uint64_t cur_u64(struct cur *c)
{
    const uint8_t *p = cur_take(c, 8);
    return p == NULL ? 0 : bytes_get64(p);
}

static inline uint64_t cur_uvarint(struct cur *c)
{
    uint64_t v = 0;
    uint32_t n = c->failed ? 0 : bytes_get_uvarint(c->p, (uint64_t)(c->end - c->p), &v);
    if (n == 0)
        c->failed = true;
    c->p += n;
    return v;
}

static inline int64_t cur_varint(struct cur *c)
{
    uint64_t u = cur_uvarint(c);
    return (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
}

static inline struct slice cur_lslice(struct cur *c)
{
    uint64_t n = cur_uvarint(c);
    if (c->failed || n == 0)
        return (struct slice){NULL, 0};
    const uint8_t *p = cur_take(c, n - 1);
    return p == NULL ? (struct slice){NULL, 0} : slice_of(p, n - 1);
}
