// SPDX-License-Identifier: Apache-2.0
//
// Value: one dynamically typed value. 64-bit integers stay integers. Strings, bytes, items and keys
// are borrowed from whoever made the value (usually an arena); value_copy moves one elsewhere.
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum value_type {
    VALUE_NULL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_DOUBLE,
    VALUE_STRING, // UTF-8
    VALUE_BYTES,
    VALUE_LIST,
    VALUE_MAP, // keys in insertion order
};

struct value {
    enum value_type type;
    uint32_t count; // of items, for lists and maps
    union {
        bool b;
        int64_t i;
        double d;
        struct slice s;
        struct {
            struct value *items;
            struct slice *keys; // maps only
        };
    };
};

static inline struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL};
}
static inline struct value value_bool(bool b)
{
    return (struct value){.type = VALUE_BOOL, .b = b};
}
static inline struct value value_int(int64_t i)
{
    return (struct value){.type = VALUE_INT, .i = i};
}
static inline struct value value_double(double d)
{
    return (struct value){.type = VALUE_DOUBLE, .d = d};
}
static inline struct value value_string(struct slice s)
{
    return (struct value){.type = VALUE_STRING, .s = s};
}

// Every decoder refuses deeper nesting; who builds values (scripts) must refuse it too, since what
// is encoded deeper could not be read back.
enum { VALUE_DEPTH_MAX = 128 };

const char *value_type_name(enum value_type);
// 1 and 1.0 are equal, NaN equals NaN (a copy equals its original), maps regardless of key order.
bool value_eq(const struct value *a, const struct value *b);
struct value value_copy(const struct value *, struct arena *);
// Numbers as double (INT, DOUBLE, BOOL as 0/1); false for the rest.
bool value_number(const struct value *, double *out);

// A compact self-describing encoding, for state, changelogs and carried records. Decoding sets
// c->failed on malformed bytes and then returns null.
void value_encode(const struct value *, struct buf *out);
struct value value_decode(struct cur *, struct arena *); // strings point into the input
// The same, in place: numbers are written part by part, so that nobody loads wide what was just
// stored narrow.
void value_decode_into(struct cur *, struct arena *, struct value *out);

// JSON text. Doubles in shortest form that reads back equal (no ".0" is added; NaN and infinities
// become null). Bytes become base64.
void value_to_json(const struct value *, struct buf *out);
// Strict RFC 8259. Everything is copied into the arena. Integers beyond int64 become doubles,
// doubles beyond their range are an error; of equal keys in one object the last wins.
int value_from_json(struct slice json, struct arena *, struct value *out, struct err *);
// Quotes and escapes; bytes that are not UTF-8 become U+FFFD, so that the text is always valid.
void value_json_string(struct slice s, struct buf *out);
// Writes `"name":`, or `,"name":` after other members.
void value_json_name(struct slice name, bool comma, struct buf *out);
uint32_t value_format_double(double d, char out[32]); // shortest round trip; returns the length
uint32_t value_format_int(int64_t i, char out[24]);
