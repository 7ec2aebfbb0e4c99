// SPDX-License-Identifier: Apache-2.0
//
// Bytes: fixed-width and variable-width integers in byte strings. Kafka and our own row keys are
// big-endian (so that byte order is number order); varints are zigzag, as in Kafka and Avro.
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t bytes_get16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return be16toh(v);
}

static inline uint32_t bytes_get32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return be32toh(v);
}

static inline uint64_t bytes_get64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return be64toh(v);
}

static inline void bytes_put16(void *p, uint16_t v)
{
    v = htobe16(v);
    memcpy(p, &v, 2);
}

static inline void bytes_put32(void *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, 4);
}

static inline void bytes_put64(void *p, uint64_t v)
{
    v = htobe64(v);
    memcpy(p, &v, 8);
}

// Event times may be negative; flipping the sign bit makes their byte order their time order.
static inline uint64_t bytes_ordered_i64(int64_t v)
{
    return (uint64_t)v ^ (UINT64_C(1) << 63);
}

static inline int64_t bytes_from_ordered_i64(uint64_t v)
{
    return (int64_t)(v ^ (UINT64_C(1) << 63));
}

enum { BYTES_VARINT_MAX = 10 };

// Writes an unsigned LEB128 number; returns the bytes written (1 to 10).
static inline uint32_t bytes_put_uvarint(uint8_t *p, uint64_t v)
{
    uint32_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

static inline uint32_t bytes_put_varint(uint8_t *p, int64_t v)
{
    return bytes_put_uvarint(p, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}

// Reads an unsigned LEB128 number of at most `limit` bytes; returns bytes read, 0 if malformed.
static inline uint32_t bytes_get_uvarint(const uint8_t *p, uint64_t limit, uint64_t *out)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < limit && i < BYTES_VARINT_MAX; i++) {
        v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if ((p[i] & 0x80) == 0) {
            *out = v;
            return i + 1;
        }
    }
    return 0;
}

static inline uint32_t bytes_get_varint(const uint8_t *p, uint64_t limit, int64_t *out)
{
    uint64_t u;
    uint32_t n = bytes_get_uvarint(p, limit, &u);
    if (n != 0)
        *out = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
    return n;
}

static inline uint32_t bytes_varint_size(int64_t v)
{
    uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    uint32_t n = 1;
    while (u >= 0x80) {
        u >>= 7;
        n++;
    }
    return n;
}
