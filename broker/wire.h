// SPDX-License-Identifier: Apache-2.0
//
// Wire: Kafka's primitive types, read from a request and written to a response (or, in a client,
// the other way round). Values only: no API knows this file, it knows no API.
//
// Both ends carry `flexible`: newer versions of an API use compact lengths (uvarint n + 1) and end
// each structure with tagged fields; the same calls write either form.
//
// W1  The reader is sticky: after the first malformed value `c.failed` stays set and everything
//     later reads as zero, null or empty; a handler parses a whole request, then asks once.
// W2  An array's count is checked against the bytes that are left and against what the request may
//     still hold (WIRE_MAX_ELEMENTS in all) before anybody allocates for it.
// W3  Slices that are read point into the request; they are borrowed as long as it is.
#pragma once

#include "base/buf.h"

enum {
    WIRE_MAX_ELEMENTS = 1000000, // array elements in one request, over all its arrays
    WIRE_MAX_TAGS = 10000,       // tagged fields in one structure
};

struct wire_in {
    struct cur c;
    bool flexible;
    uint32_t elements; // that arrays may still hold
};

struct wire_out {
    struct buf *b; // borrowed
    bool flexible;
};

static inline struct wire_in wire_in_of(struct slice s, bool flexible)
{
    return (struct wire_in){cur_of(s), flexible, WIRE_MAX_ELEMENTS};
}

static inline int8_t wire_i8(struct wire_in *in)
{
    return (int8_t)cur_u8(&in->c);
}

static inline bool wire_bool(struct wire_in *in)
{
    return cur_u8(&in->c) != 0;
}

static inline int16_t wire_i16(struct wire_in *in)
{
    return (int16_t)cur_u16(&in->c);
}

static inline int32_t wire_i32(struct wire_in *in)
{
    return (int32_t)cur_u32(&in->c);
}

static inline int64_t wire_i64(struct wire_in *in)
{
    return (int64_t)cur_u64(&in->c);
}

// A string or null (p == NULL); never terminated by NUL.
struct slice wire_string(struct wire_in *in);
struct slice wire_short_string(struct wire_in *in); // int16 length, in flexible versions too
// Bytes or null; int32 or compact length.
struct slice wire_bytes(struct wire_in *in);
void wire_uuid(struct wire_in *in, uint8_t out[16]);
// Element count of an array, -1 for null. Each element takes at least `element_bytes` (> 0).
int32_t wire_array(struct wire_in *in, uint32_t element_bytes);
// Skips a structure's tagged fields, if this version has them.
void wire_tags(struct wire_in *in);
// Copies `s` with a NUL; false (and an empty `out`) when it does not fit, is null or holds a NUL.
bool wire_cstr(struct slice s, char *out, uint32_t size);

static inline void wire_put_i8(struct wire_out *out, int8_t v)
{
    buf_u8(out->b, (uint8_t)v);
}

static inline void wire_put_bool(struct wire_out *out, bool v)
{
    buf_u8(out->b, v ? 1 : 0);
}

static inline void wire_put_i16(struct wire_out *out, int16_t v)
{
    buf_u16(out->b, (uint16_t)v);
}

static inline void wire_put_i32(struct wire_out *out, int32_t v)
{
    buf_u32(out->b, (uint32_t)v);
}

static inline void wire_put_i64(struct wire_out *out, int64_t v)
{
    buf_u64(out->b, (uint64_t)v);
}

void wire_put_string(struct wire_out *out, struct slice s); // p == NULL: null
void wire_put_cstr(struct wire_out *out, const char *s);    // NULL: null
void wire_put_short_string(struct wire_out *out, struct slice s);
void wire_put_bytes(struct wire_out *out, struct slice s); // p == NULL: null
void wire_put_uuid(struct wire_out *out, const uint8_t id[16]);
void wire_put_array(struct wire_out *out, int32_t count); // -1: null
void wire_put_tags(struct wire_out *out);                 // none, if this version has them

// Leaves room for an int32 and fills it later: a message's size.
static inline uint32_t wire_hold_i32(struct wire_out *out)
{
    uint32_t at = out->b->n;
    buf_u32(out->b, 0);
    return at;
}

static inline void wire_fill_i32(struct wire_out *out, uint32_t at, int32_t v)
{
    bytes_put32(out->b->p + at, (uint32_t)v);
}
