// SPDX-License-Identifier: Apache-2.0
//
// The encoding: one tag byte, then
//   null, false, true   nothing
//   int                 zigzag varint
//   double              8 bytes, IEEE 754, big-endian
//   string, bytes       uvarint length, bytes
//   list                uvarint count, values
//   map                 uvarint count, (uvarint length, key bytes, value) each
//
// Decoding trusts nothing: counts are bounded by the bytes left (an item takes at least one), depth
// by VALUE_DEPTH_MAX.
#include "formats/value.h"

enum tag {
    TAG_NULL,
    TAG_FALSE,
    TAG_TRUE,
    TAG_INT,
    TAG_DOUBLE,
    TAG_STRING,
    TAG_BYTES,
    TAG_LIST,
    TAG_MAP,
};

const char *value_type_name(enum value_type t)
{
    static const char *const names[] = {"null",   "boolean", "integer", "double",
                                        "string", "bytes",   "list",    "map"};
    return (uint32_t)t < ARRAY_COUNT(names) ? names[t] : "unknown";
}

bool value_number(const struct value *v, double *out)
{
    switch (v->type) {
    case VALUE_INT:
        *out = (double)v->i;
        return true;
    case VALUE_DOUBLE:
        *out = v->d;
        return true;
    case VALUE_BOOL:
        *out = v->b ? 1 : 0;
        return true;
    default:
        return false;
    }
}

// Exact: 2^53 + 1 does not equal 2^53 as a double.
static bool int_eq_double(int64_t i, double d)
{
    return d >= -0x1p63 && d < 0x1p63 && (int64_t)d == i && (double)(int64_t)d == d;
}

static const struct value *map_find(const struct value *map, struct slice key, uint32_t hint)
{
    if (hint < map->count && slice_eq(map->keys[hint], key))
        return &map->items[hint];
    for (uint32_t i = 0; i < map->count; i++) {
        if (slice_eq(map->keys[i], key))
            return &map->items[i];
    }
    return NULL;
}

static bool items_eq(const struct value *a, const struct value *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct value *other =
            a->type == VALUE_LIST ? &b->items[i] : map_find(b, a->keys[i], i);
        if (other == NULL || !value_eq(&a->items[i], other))
            return false;
    }
    return true;
}

bool value_eq(const struct value *a, const struct value *b)
{
    if (a->type == VALUE_INT && b->type == VALUE_DOUBLE)
        return int_eq_double(a->i, b->d);
    if (a->type == VALUE_DOUBLE && b->type == VALUE_INT)
        return int_eq_double(b->i, a->d);
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case VALUE_NULL:
        return true;
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_INT:
        return a->i == b->i;
    case VALUE_DOUBLE:
        return a->d == b->d || (a->d != a->d && b->d != b->d);
    case VALUE_STRING:
    case VALUE_BYTES:
        return slice_eq(a->s, b->s);
    default:
        return items_eq(a, b);
    }
}

static void copy_items(const struct value *v, struct value *to, struct arena *a)
{
    to->items = NULL;
    to->keys = NULL;
    if (v->count == 0)
        return;
    to->items = arena_alloc(a, (size_t)v->count * sizeof(*to->items));
    for (uint32_t i = 0; i < v->count; i++)
        to->items[i] = value_copy(&v->items[i], a);
    if (v->type != VALUE_MAP)
        return;
    to->keys = arena_alloc(a, (size_t)v->count * sizeof(*to->keys));
    for (uint32_t i = 0; i < v->count; i++)
        to->keys[i] = arena_slice(a, v->keys[i]);
}

struct value value_copy(const struct value *v, struct arena *a)
{
    struct value copy = *v;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES)
        copy.s = arena_slice(a, v->s);
    else if (v->type == VALUE_LIST || v->type == VALUE_MAP)
        copy_items(v, &copy, a);
    return copy;
}

static void put_bytes(struct buf *out, struct slice s)
{
    buf_uvarint(out, s.n);
    buf_put(out, s.p, s.n);
}

void value_encode(const struct value *v, struct buf *out)
{
    uint8_t *p = buf_reserve(out, 1 + BYTES_VARINT_MAX);
    switch (v->type) {
    case VALUE_NULL:
        *p = TAG_NULL;
        out->n += 1;
        break;
    case VALUE_BOOL:
        *p = v->b ? TAG_TRUE : TAG_FALSE;
        out->n += 1;
        break;
    case VALUE_INT:
        *p = TAG_INT;
        out->n += 1 + bytes_put_varint(p + 1, v->i);
        break;
    case VALUE_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &v->d, 8);
        *p = TAG_DOUBLE;
        bytes_put64(p + 1, bits);
        out->n += 9;
        break;
    }
    case VALUE_STRING:
    case VALUE_BYTES:
        *p = v->type == VALUE_STRING ? TAG_STRING : TAG_BYTES;
        out->n += 1;
        put_bytes(out, v->s);
        break;
    case VALUE_LIST:
    case VALUE_MAP:
        *p = v->type == VALUE_LIST ? TAG_LIST : TAG_MAP;
        out->n += 1 + bytes_put_uvarint(p + 1, v->count);
        for (uint32_t i = 0; i < v->count; i++) {
            if (v->type == VALUE_MAP)
                put_bytes(out, v->keys[i]);
            value_encode(&v->items[i], out);
        }
        break;
    }
}

static struct slice take_bytes(struct cur *c)
{
    uint64_t n = cur_uvarint(c);
    const uint8_t *p = cur_take(c, n);
    return p == NULL ? (struct slice){NULL, 0} : slice_of(p, n);
}

static struct value decode(struct cur *c, struct arena *a, uint32_t depth);

static struct value decode_items(struct cur *c, struct arena *a, enum value_type type,
                                 uint32_t depth)
{
    uint64_t count = cur_uvarint(c);
    if (count > cur_left(c) || depth >= VALUE_DEPTH_MAX)
        c->failed = true;
    if (c->failed)
        return value_null();
    struct value v = {.type = type, .count = (uint32_t)count};
    if (count == 0)
        return v;
    v.items = arena_alloc(a, count * sizeof(*v.items));
    v.keys = type == VALUE_MAP ? arena_alloc(a, count * sizeof(*v.keys)) : NULL;
    for (uint32_t i = 0; i < v.count && !c->failed; i++) {
        if (type == VALUE_MAP)
            v.keys[i] = take_bytes(c);
        v.items[i] = decode(c, a, depth + 1);
    }
    return c->failed ? value_null() : v;
}

static struct value decode(struct cur *c, struct arena *a, uint32_t depth)
{
    struct value v = value_null();
    switch (cur_u8(c)) {
    case TAG_NULL: // also what a failed read gives
        break;
    case TAG_FALSE:
        return value_bool(false);
    case TAG_TRUE:
        return value_bool(true);
    case TAG_INT:
        v = value_int(cur_varint(c));
        break;
    case TAG_DOUBLE: {
        uint64_t bits = cur_u64(c);
        v.type = VALUE_DOUBLE;
        memcpy(&v.d, &bits, 8);
        break;
    }
    case TAG_STRING:
        v = value_string(take_bytes(c));
        break;
    case TAG_BYTES:
        v = value_string(take_bytes(c));
        v.type = VALUE_BYTES;
        break;
    case TAG_LIST:
        return decode_items(c, a, VALUE_LIST, depth);
    case TAG_MAP:
        return decode_items(c, a, VALUE_MAP, depth);
    default:
        c->failed = true;
        break;
    }
    return c->failed ? value_null() : v;
}

struct value value_decode(struct cur *c, struct arena *a)
{
    return decode(c, a, 0);
}

void value_decode_into(struct cur *c, struct arena *a, struct value *out)
{
    uint8_t tag = cur_left(c) == 0 ? TAG_NULL : *c->p;
    if (tag != TAG_INT && tag != TAG_DOUBLE) {
        *out = decode(c, a, 0);
        return;
    }
    c->p++;
    uint64_t bits = tag == TAG_INT ? (uint64_t)cur_varint(c) : cur_u64(c);
    out->type = c->failed ? VALUE_NULL : tag == TAG_INT ? VALUE_INT : VALUE_DOUBLE;
    out->count = 0;
    out->i = (int64_t)bits; // a double's bits, in the same place
}
