// SPDX-License-Identifier: Apache-2.0
#include "formats/json.h"

#include "base/hash.h"
#include "formats/number.h"

struct parser {
    const uint8_t *p, *end, *begin;
    struct arena *arena;
    bool borrow;
    uint32_t depth;
    struct err *err;
};

static int fail(const struct parser *x, const uint8_t *at, const char *what)
{
    return err_set(x->err, ERR_CORRUPT, "malformed JSON: %s at byte %zu", what,
                   (size_t)(at - x->begin));
}

static void skip_space(struct parser *x)
{
    while (x->p < x->end && (*x->p == ' ' || *x->p == '\n' || *x->p == '\r' || *x->p == '\t'))
        x->p++;
}

// The length of the UTF-8 sequence at p, or 0 if it is none (overlong, surrogate, cut off).
static uint32_t sequence(const uint8_t *p, size_t left)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    uint32_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || left < n)
        return 0;
    for (uint32_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool bad = (c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) ||
               (c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] > 0x8f);
    return bad ? 0 : n;
}

uint32_t json_utf8(struct slice s)
{
    uint32_t i = 0;
    while (i < s.n) {
        uint32_t n = sequence(s.p + i, s.n - i);
        if (n == 0)
            return i;
        i += n;
    }
    return s.n;
}

static int hex4(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    if (end - p < 4)
        return -1;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i], low = c | 0x20;
        uint32_t d = 16;
        if (c >= '0' && c <= '9')
            d = (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            d = (uint32_t)(low - 'a') + 10;
        if (d == 16)
            return -1;
        *out = *out << 4 | d;
    }
    return 0;
}

static uint8_t *put_utf8(uint8_t *o, uint32_t c)
{
    if (c < 0x80) {
        *o++ = (uint8_t)c;
    } else if (c < 0x800) {
        *o++ = (uint8_t)(0xc0 | c >> 6);
        *o++ = (uint8_t)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *o++ = (uint8_t)(0xe0 | c >> 12);
        *o++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *o++ = (uint8_t)(0x80 | (c & 0x3f));
    } else {
        *o++ = (uint8_t)(0xf0 | c >> 18);
        *o++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
        *o++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        *o++ = (uint8_t)(0x80 | (c & 0x3f));
    }
    return o;
}

// After "\u": one escape, or two that form a surrogate pair. Returns where it ends or NULL.
static const uint8_t *unescape_unicode(const uint8_t *p, const uint8_t *end, uint8_t **o)
{
    uint32_t c, low;
    if (hex4(p, end, &c) != 0 || (c >= 0xdc00 && c < 0xe000))
        return NULL;
    p += 4;
    if (c >= 0xd800 && c < 0xdc00) {
        if (end - p < 6 || p[0] != '\\' || p[1] != 'u' || hex4(p + 2, end, &low) != 0 ||
            low < 0xdc00 || low >= 0xe000)
            return NULL;
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        p += 6;
    }
    *o = put_utf8(*o, c);
    return p;
}

int json_unescape(struct slice inside, struct arena *a, struct slice *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *p = inside.p, *end = p + inside.n;
    uint8_t *begin = arena_alloc(a, (size_t)inside.n + 1), *o = begin; // escapes only shrink
    while (p < end) {
        if (*p != '\\') {
            *o++ = *p++;
            continue;
        }
        if (++p == end)
            return -1;
        uint8_t c = *p++;
        if (c == 'u') {
            if ((p = unescape_unicode(p, end, &o)) == NULL)
                return -1;
            continue;
        }
        const char *at = c == 0 ? NULL : strchr(from, c);
        if (at == NULL)
            return -1;
        *o++ = (uint8_t)to[at - from];
    }
    *o = 0;
    *out = slice_of(begin, (size_t)(o - begin));
    return 0;
}

// At the opening quote.
static int parse_string(struct parser *x, struct slice *out)
{
    const uint8_t *quote = x->p, *p = quote + 1;
    bool escaped = false, ascii = true;
    for (; p < x->end && *p != '"'; p++) {
        if (*p < 0x20)
            return fail(x, p, "a control character inside a string");
        ascii &= *p < 0x80;
        if (*p == '\\') {
            escaped = true;
            if (++p == x->end)
                break;
        }
    }
    if (p >= x->end)
        return fail(x, quote, "a string that is not closed");
    struct slice inside = slice_of(quote + 1, (size_t)(p - quote - 1));
    x->p = p + 1;
    uint32_t valid = ascii ? inside.n : json_utf8(inside);
    if (valid != inside.n)
        return fail(x, inside.p + valid, "bytes that are not UTF-8");
    if (escaped && json_unescape(inside, x->arena, out) != 0)
        return fail(x, quote, "a bad escape in the string");
    if (!escaped)
        *out = x->borrow ? inside : arena_slice(x->arena, inside);
    return 0;
}

static int parse_number(struct parser *x, struct value *out);
static int parse_value(struct parser *x, struct value *out);

// Items of the list or map being parsed; doubles in the arena.
struct items {
    struct value *items;
    struct slice *keys;
    uint32_t count, size;
};

static void items_push(struct items *t, struct arena *a, bool map)
{
    if (t->count < t->size)
        return;
    uint32_t size = t->size == 0 ? 4 : t->size * 2;
    struct value *items = arena_alloc(a, size * sizeof(*items));
    if (t->count != 0)
        memcpy(items, t->items, t->count * sizeof(*items));
    t->items = items;
    if (map) {
        struct slice *keys = arena_alloc(a, size * sizeof(*keys));
        if (t->count != 0)
            memcpy(keys, t->keys, t->count * sizeof(*keys));
        t->keys = keys;
    }
    t->size = size;
}

// Keeps of equal keys the last, at the place of the last. A table of indices, half full at most.
static void drop_repeated(struct items *t, struct arena *a)
{
    uint32_t size = 4, kept = 0;
    while (size < t->count * 2)
        size *= 2;
    uint32_t *table = arena_alloc(a, size * sizeof(*table));
    memset(table, 0, size * sizeof(*table)); // index + 1
    bool *dead = memset(arena_alloc(a, t->count), 0, t->count);
    for (uint32_t i = 0; i < t->count; i++) {
        uint32_t at = (uint32_t)hash_bytes(t->keys[i]) & (size - 1);
        while (table[at] != 0 && !slice_eq(t->keys[table[at] - 1], t->keys[i]))
            at = (at + 1) & (size - 1);
        if (table[at] != 0)
            dead[table[at] - 1] = true;
        table[at] = i + 1;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        if (!dead[i]) {
            t->keys[kept] = t->keys[i];
            t->items[kept++] = t->items[i];
        }
    }
    t->count = kept;
}

static int parse_member(struct parser *x, struct items *t)
{
    if (x->p == x->end || *x->p != '"')
        return fail(x, x->p, "expected a key in quotes");
    if (parse_string(x, &t->keys[t->count]) != 0)
        return -1;
    skip_space(x);
    if (x->p == x->end || *x->p != ':')
        return fail(x, x->p, "expected ':'");
    x->p++;
    return 0;
}

// At the opening bracket; `close` is its partner.
static int parse_items(struct parser *x, uint8_t close, struct value *out)
{
    struct items t = {0};
    bool map = close == '}';
    const char *wanted = map ? "expected ',' or '}'" : "expected ',' or ']'";
    if (++x->depth > VALUE_DEPTH_MAX)
        return fail(x, x->p, "nesting too deep");
    x->p++;
    skip_space(x);
    bool more = x->p == x->end || *x->p != close;
    if (!more)
        x->p++;
    while (more) {
        items_push(&t, x->arena, map);
        skip_space(x);
        if ((map && parse_member(x, &t) != 0) || parse_value(x, &t.items[t.count]) != 0)
            return -1;
        t.count++;
        if (x->p == x->end || (*x->p != ',' && *x->p != close))
            return fail(x, x->p, wanted);
        more = *x->p++ == ',';
    }
    x->depth--;
    if (map && t.count > 1)
        drop_repeated(&t, x->arena);
    *out = (struct value){.type = map ? VALUE_MAP : VALUE_LIST, .count = t.count};
    out->items = t.items;
    out->keys = t.keys;
    return 0;
}

static int parse_word(struct parser *x, const char *word, struct value v, struct value *out)
{
    size_t n = strlen(word);
    if ((size_t)(x->end - x->p) < n || memcmp(x->p, word, n) != 0)
        return fail(x, x->p, "expected a value");
    x->p += n;
    *out = v;
    return 0;
}

// A value with the whitespace around it.
static int parse_value(struct parser *x, struct value *out)
{
    int r;
    skip_space(x);
    if (x->p == x->end)
        return fail(x, x->p, "expected a value, found the end");
    switch (*x->p) {
    case '{':
        r = parse_items(x, '}', out);
        break;
    case '[':
        r = parse_items(x, ']', out);
        break;
    case '"':
        *out = value_string((struct slice){NULL, 0});
        r = parse_string(x, &out->s);
        break;
    case 't':
        r = parse_word(x, "true", value_bool(true), out);
        break;
    case 'f':
        r = parse_word(x, "false", value_bool(false), out);
        break;
    case 'n':
        r = parse_word(x, "null", value_null(), out);
        break;
    default:
        r = parse_number(x, out);
    }
    skip_space(x);
    return r;
}

static int parse_number(struct parser *x, struct value *out)
{
    const uint8_t *begin = x->p, *p = begin;
    while (p < x->end && ((*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == '.' ||
                          *p == 'e' || *p == 'E'))
        p++;
    if (p == begin)
        return fail(x, p, "expected a value");
    switch (number_parse(slice_of(begin, (size_t)(p - begin)), out)) {
    case NUMBER_OK:
        x->p = p;
        return 0;
    case NUMBER_RANGE:
        return fail(x, begin, "a number too large for a double");
    default:
        return fail(x, begin, "a malformed number");
    }
}

int json_parse(const struct json_source *source, struct arena *a, struct value *out, struct err *e)
{
    struct slice text = source->text;
    struct parser x = {.p = text.p,
                       .end = text.p + text.n,
                       .begin = source->begin,
                       .arena = a,
                       .borrow = source->borrow,
                       .err = e};
    if (parse_value(&x, out) != 0)
        return -1;
    return x.p == x.end ? 0 : fail(&x, x.p, "something after the value");
}

int value_from_json(struct slice json, struct arena *a, struct value *out, struct err *e)
{
    struct json_source source = {.text = json, .begin = json.p};
    return json_parse(&source, a, out, e);
}
