// SPDX-License-Identifier: Apache-2.0
//
// JSON documents. json_shim gives the positions of the structural characters; one walk over those
// of the top level finds each field's key and value as slices of the record. Nested values are
// stepped over by counting brackets and checked when somebody asks for them.
//
// When anything is wrong, the strict parser (json.c) reads the record again to say where.
#include "formats/convert.h"
#include "formats/doc_impl.h"
#include "formats/json.h"
#include "formats/number.h"

static int explain(struct doc *d, struct err *e)
{
    struct json_source source = {.text = d->raw, .begin = d->raw.p, .borrow = true};
    struct value v;
    if (json_parse(&source, d->arena, &v, e) != 0)
        return -1;
    return err_set(e, ERR_CORRUPT, "malformed JSON: the record's fields cannot be told apart");
}

static inline bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// The end of what lies before `p`, without the whitespace between.
static inline const uint8_t *trim(const uint8_t *p)
{
    while (is_space(p[-1]))
        p--;
    return p;
}

// From the opening bracket at positions[i]: the index of its closing partner, or `n`.
static uint32_t skip_nested(const uint8_t *raw, const uint32_t *positions, uint32_t i, uint32_t n)
{
    uint32_t depth = 0;
    for (; i < n; i++) {
        uint8_t c = raw[positions[i]] | 0x20; // '[' → '{', ']' → '}'
        if (c == '{') {
            depth++;
        } else if (c == '}' && --depth == 0) {
            return i;
        }
    }
    return n;
}

// Eight bytes at a time; the record is followed by its padding, and what lies behind the text can
// only make it look twice.
static inline bool has_backslash(struct slice s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (uint32_t i = 0; i < s.n; i += 8) {
        uint64_t v;
        memcpy(&v, s.p + i, 8);
        v ^= ones * '\\';
        if (((v - ones) & ~v & (ones << 7)) != 0)
            return memchr(s.p, '\\', s.n) != NULL;
    }
    return false;
}

// The name is worked on in registers and stored at the end: reading a slice back just after storing
// its parts would stall.
static inline bool find_name(struct doc *d, struct doc_field *f, const uint8_t *quote,
                             const uint8_t *colon)
{
    const uint8_t *end = trim(colon) - 1;
    if (end <= quote || *end != '"')
        return false;
    struct slice name = {quote + 1, (uint32_t)(end - quote - 1)};
    if (__builtin_expect(has_backslash(name), 0)) {
        struct slice unescaped;
        if (json_unescape(name, d->arena, &unescaped) != 0)
            return false;
        f->hash = plan_hash(unescaped);
        f->name = unescaped;
        return true;
    }
    f->hash = plan_hash(name);
    f->name.p = name.p;
    f->name.n = name.n;
    return true;
}

// One member, whose key is at positions[i]. Returns the index of the comma or brace behind it, or
// `n` if it is malformed.
static inline uint32_t walk_member(struct doc *d, struct doc_field *f, const uint32_t *positions,
                                   uint32_t i, uint32_t n)
{
    const uint8_t *raw = d->raw.p;
    if (i + 3 >= n)
        return n;
    const uint8_t *key = raw + positions[i], *colon = raw + positions[i + 1];
    const uint8_t *value = raw + positions[i + 2], *end;
    if (*key != '"' || *colon != ':' || !find_name(d, f, key, colon))
        return n;
    uint32_t next = i + 3;
    if ((*value | 0x20) == '{') {
        next = skip_nested(raw, positions, i + 2, n) + 1;
        if (next >= n)
            return n;
        end = raw + positions[next - 1] + 1;
    } else if (*value == ',' || *value == ':' || (*value | 0x20) == '}') {
        return n;
    } else {
        end = trim(raw + positions[next]);
    }
    f->raw = slice_of(value, (size_t)(end - value));
    f->state = FIELD_RAW;
    f->patch = -1;
    return next;
}

static void bury(struct doc_field *f)
{
    f->state = FIELD_DEAD;
    f->hash = ~f->hash;
}

// Of equal names the last lives. Few fields: a bit per hash says who needs a search.
static void drop_repeated_few(struct doc *d)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < d->fields_count; i++) {
        uint64_t hash = d->fields[i].hash, bit = plan_bit(hash);
        for (uint32_t j = 0; (seen & bit) != 0 && j < i; j++) {
            if (d->fields[j].hash == hash && slice_eq(d->fields[j].name, d->fields[i].name))
                bury(&d->fields[j]);
        }
        seen |= bit;
    }
    d->named = seen;
}

// Many fields: a table of indices, half full at most.
static void drop_repeated_many(struct doc *d)
{
    uint32_t size = 128;
    while (size < d->fields_count * 2)
        size *= 2;
    struct arena_mark mark = arena_mark(d->arena);
    uint32_t *table = arena_alloc(d->arena, size * sizeof(*table)); // index + 1
    memset(table, 0, size * sizeof(*table));
    for (uint32_t i = 0; i < d->fields_count; i++) {
        struct doc_field *f = &d->fields[i];
        uint32_t at = (uint32_t)f->hash & (size - 1);
        while (table[at] != 0 && !slice_eq(d->fields[table[at] - 1].name, f->name))
            at = (at + 1) & (size - 1);
        if (table[at] != 0)
            bury(&d->fields[table[at] - 1]);
        table[at] = i + 1;
    }
    d->named = UINT64_MAX;
    arena_rewind(d->arena, mark);
}

int doc_json_index(struct doc *d, struct err *e)
{
    enum { FEW = 24 };
    const uint32_t *positions;
    int64_t found = json_shim_index(d->ctx->json, d->raw.p, d->raw.n, &positions);
    if (found <= 0)
        return explain(d, e);
    uint32_t n = (uint32_t)found, i = 1, count = 0;
    const uint8_t *raw = d->raw.p;
    if (raw[positions[0]] != '{') {
        d->whole = true;
        return 0;
    }
    // A field takes at least four positions: key, colon, value, comma or brace.
    struct doc_field *fields = arena_alloc(d->arena, (n / 4 + 1) * sizeof(*fields));
    if (n == 2 && raw[positions[1]] == '}')
        i = n;
    while (i < n) {
        i = walk_member(d, &fields[count++], positions, i, n);
        if (i >= n || (raw[positions[i]] != ',' && (raw[positions[i]] != '}' || i != n - 1)))
            return explain(d, e);
        i++;
    }
    // A comma as the last position ends the loop too, but is not an end.
    if (n < 2 || raw[positions[n - 1]] != '}')
        return explain(d, e);
    d->fields = fields;
    d->fields_count = count;
    if (count <= FEW)
        drop_repeated_few(d);
    else
        drop_repeated_many(d);
    return 0;
}

static int malformed(const struct doc *d, const struct doc_field *f, const char *what,
                     struct err *e)
{
    return err_set(e, ERR_CORRUPT, "field '%.*s': malformed JSON: %s at byte %zu", (int)f->name.n,
                   (const char *)f->name.p, what, (size_t)(f->raw.p - d->raw.p));
}

static int decode_number(const struct doc *d, struct doc_field *f, struct value *out, struct err *e)
{
    switch (number_parse(f->raw, out)) {
    case NUMBER_OK:
        return 0;
    case NUMBER_RANGE:
        return malformed(d, f, "a number too large for a double", e);
    default:
        return malformed(d, f, "a malformed number", e);
    }
}

static int decode_string(const struct doc *d, struct doc_field *f, struct value *out, struct err *e)
{
    if (f->raw.n < 2 || f->raw.p[f->raw.n - 1] != '"')
        return malformed(d, f, "something behind the string", e);
    struct slice inside = slice_of(f->raw.p + 1, f->raw.n - 2);
    if (has_backslash(inside) && json_unescape(inside, d->arena, &inside) != 0)
        return malformed(d, f, "a bad escape in the string", e);
    *out = value_string(inside);
    return 0;
}

static int decode_other(const struct doc *d, struct doc_field *f, struct value *out, struct err *e)
{
    struct json_source source = {.text = f->raw, .begin = d->raw.p, .borrow = true};
    if (json_parse(&source, d->arena, out, e) == 0)
        return 0;
    return err_wrap(e, "field '%.*s'", (int)f->name.n, (const char *)f->name.p);
}

int doc_json_decode(struct doc *d, struct doc_field *f, struct value *out, struct err *e)
{
    uint8_t c = f->raw.p[0];
    int r;
    if (c == '-' || (uint8_t)(c - '0') < 10)
        r = decode_number(d, f, out, e);
    else if (c == '"')
        r = decode_string(d, f, out, e);
    else
        r = decode_other(d, f, out, e);
    const struct plan *plan = plan_of(d->codec);
    if (r != 0 || plan == NULL)
        return r;
    int32_t i = plan_find(plan, f->name, f->hash, (uint32_t)(f - d->fields));
    if (i < 0 || convert_to_field(plan->fields[i].field, CONVERT_JSON, d->arena, out, e) == 0)
        return 0;
    return err_wrap(e, "field '%.*s' at byte %zu", (int)f->name.n, (const char *)f->name.p,
                    (size_t)(f->raw.p - d->raw.p));
}
