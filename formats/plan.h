// SPDX-License-Identifier: Apache-2.0
//
// Plan: what a codec precomputes from its schema: field refs, a table to find them by name, and for
// Avro the flat list of steps that its bytes follow. Immutable once built.
#pragma once

#include "base/hash.h"
#include "formats/doc.h"

struct plan_field {
    struct field_ref ref; // name borrowed from the schema
    const struct field *field;
};

// One field of the Avro writer, in the order of its bytes.
struct avro_step {
    enum field_type type, as; // as written, and as the reader wants it
    bool nullable;
    uint8_t null_index; // of the union
    int32_t target;     // the reader's field, or -1: read over it
};

struct plan {
    struct arena arena;
    struct arena writer; // what codec_new_avro read the writer's schema into
    struct plan_field *fields;
    uint32_t count;
    uint32_t *table, mask; // open addressing; entries are index + 1
    uint64_t names;        // a bit per field name's hash (plan_bit)
    struct avro_step *steps;
    uint32_t steps_count;
    const char **step_names; // for messages
    bool resolved;           // the bytes follow another schema than the codec's
};

struct plan *plan_new(const struct schema *); // the schema is borrowed
void plan_free(struct plan *);
// The field's index or -1; `hint` is tried first.
int32_t plan_find(const struct plan *, struct slice name, uint64_t hash, uint32_t hint);

static inline const struct plan *plan_of(const struct codec *c)
{
    return c->plan;
}

static inline uint64_t plan_piece(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

// Names are compared for each lookup; most have at most 32 bytes, which two or four overlapping
// pieces cover without a call.
static inline bool plan_same(struct slice a, struct slice b)
{
    uint32_t s, t, u, v;
    if (a.n != b.n)
        return false;
    if (a.n > 32 || a.n < 4)
        return a.n == 0 || memcmp(a.p, b.p, a.n) == 0;
    if (a.n >= 8) {
        uint64_t differ = (plan_piece(a.p) ^ plan_piece(b.p)) |
                          (plan_piece(a.p + a.n - 8) ^ plan_piece(b.p + a.n - 8));
        if (a.n > 16)
            differ |= (plan_piece(a.p + 8) ^ plan_piece(b.p + 8)) |
                      (plan_piece(a.p + a.n - 16) ^ plan_piece(b.p + a.n - 16));
        return differ == 0;
    }
    memcpy(&s, a.p, 4);
    memcpy(&t, b.p, 4);
    memcpy(&u, a.p + a.n - 4, 4);
    memcpy(&v, b.p + a.n - 4, 4);
    return ((s ^ t) | (u ^ v)) == 0;
}

// One of 64 bits: sets of names are first asked by these.
static inline uint64_t plan_bit(uint64_t hash)
{
    return UINT64_C(1) << (hash >> 58);
}

// The hash of field names. It reads names in two or four overlapping pieces, without a loop; long
// names, which are rare, take the general one.
static inline uint64_t plan_hash(struct slice s)
{
    uint64_t a = 0, b = 0;
    uint32_t low, high;
    if (s.n > 32)
        return hash_bytes(s);
    if (s.n > 16) {
        a = (plan_piece(s.p) ^ UINT64_C(0x8ebc6af09c88c6e3)) * UINT64_C(0x589965cc75374cc3);
        a ^= (a >> 32) ^ plan_piece(s.p + 8);
        b = plan_piece(s.p + s.n - 8) * UINT64_C(0x1d8e4e27c47d124f);
        b ^= (b >> 29) ^ plan_piece(s.p + s.n - 16);
    } else if (s.n >= 8) {
        a = plan_piece(s.p);
        b = plan_piece(s.p + s.n - 8);
    } else if (s.n >= 4) {
        memcpy(&low, s.p, 4);
        memcpy(&high, s.p + s.n - 4, 4);
        a = low;
        b = high;
    } else if (s.n > 0) {
        a = (uint64_t)s.p[0] | (uint64_t)s.p[s.n / 2] << 8 | (uint64_t)s.p[s.n - 1] << 16;
    }
    uint64_t h = (a ^ ((uint64_t)s.n << 56)) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ (h >> 32) ^ b) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ (h >> 32);
}
