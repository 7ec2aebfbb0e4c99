// SPDX-License-Identifier: Apache-2.0
//
// Values as JSON text. The writer never fails and always gives valid JSON: what JSON lacks (NaN,
// infinities, bytes, broken UTF-8) is replaced as value.h says.
#include "formats/json.h"

#include <math.h>

static const char hex[] = "0123456789abcdef";

// True if the 8 bytes are plain: ASCII, no control character, no quote, no backslash.
static inline bool plain8(const uint8_t *p)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    uint64_t v;
    memcpy(&v, p, 8);
    uint64_t quote = v ^ (ones * '"'), slash = v ^ (ones * '\\');
    uint64_t bad = (v - ones * 0x20) | (quote - ones) | (slash - ones) | v;
    return (bad & high) == 0; // borrows only make it doubt more, never less
}

static inline bool plain(uint8_t c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static uint8_t *put_escape(uint8_t *o, uint8_t c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *at = c == 0 ? NULL : strchr(from, c);
    *o++ = '\\';
    if (at != NULL) {
        *o++ = (uint8_t)to[at - from];
        return o;
    }
    memcpy(o, "u00", 3);
    o[3] = (uint8_t)hex[c >> 4];
    o[4] = (uint8_t)hex[c & 15];
    return o + 5;
}

// One character that is not plain: returns the input bytes it took.
static uint32_t put_special(struct slice s, uint8_t **o)
{
    if (s.p[0] < 0x80) {
        *o = put_escape(*o, s.p[0]);
        return 1;
    }
    struct slice one = {s.p, s.n < 4 ? s.n : 4};
    uint32_t n = 1;
    while (n < one.n && (s.p[n] & 0xc0) == 0x80)
        n++;
    one.n = n;
    if (json_utf8(one) == n) {
        memcpy(*o, s.p, n);
        *o += n;
        return n;
    }
    memcpy(*o, "\xef\xbf\xbd", 3);
    *o += 3;
    return 1;
}

static inline bool all_plain(struct slice s)
{
    uint32_t i = 0;
    for (; s.n - i >= 8; i += 8) {
        if (!plain8(s.p + i))
            return false;
    }
    if (i != s.n && s.n >= 8)
        return plain8(s.p + s.n - 8);
    for (; i < s.n; i++) {
        if (!plain(s.p[i]))
            return false;
    }
    return true;
}

// Copies what needs no escape; false: it does, and what was written counts for nothing. In pieces
// of eight, the last one overlapping: a copy of any length would be a call.
static inline bool copy_plain(uint8_t *o, struct slice s)
{
    uint32_t i = 0;
    for (; s.n - i >= 8; i += 8) {
        if (!plain8(s.p + i))
            return false;
        memcpy(o + i, s.p + i, 8);
    }
    if (i != s.n && s.n >= 8) {
        memcpy(o + s.n - 8, s.p + s.n - 8, 8);
        return plain8(s.p + s.n - 8);
    }
    for (; i < s.n; i++) {
        if (!plain(s.p[i]))
            return false;
        o[i] = s.p[i];
    }
    return true;
}

enum { SHORT = 64 };

void value_json_name(struct slice name, bool comma, struct buf *out)
{
    uint8_t *p = buf_reserve(out, SHORT + 4);
    if (name.n > SHORT || !copy_plain(p + 1 + comma, name)) {
        if (comma)
            buf_u8(out, ',');
        value_json_string(name, out);
        buf_u8(out, ':');
        return;
    }
    *p = ',';
    p += comma;
    p[0] = '"';
    p += name.n;
    p[1] = '"';
    p[2] = ':';
    out->n += name.n + 3 + comma;
}

void value_json_string(struct slice s, struct buf *out)
{
    // Six bytes for each input byte is the worst case; long strings are done in parts.
    enum { PART = 4096 };
    if (s.n <= SHORT && all_plain(s)) {
        uint8_t *p = buf_reserve(out, SHORT + 2);
        p[0] = '"';
        if (s.n != 0)
            memcpy(p + 1, s.p, s.n);
        p[s.n + 1] = '"';
        out->n += s.n + 2;
        return;
    }
    buf_u8(out, '"');
    for (uint32_t i = 0; i < s.n;) {
        uint32_t part = s.n - i < PART ? s.n - i : PART, end = i + part;
        uint8_t *begin = buf_reserve(out, part * 6 + 18), *o = begin;
        while (i < end) {
            if (end - i >= 8 && plain8(s.p + i)) {
                memcpy(o, s.p + i, 8);
                o += 8;
                i += 8;
            } else if (plain(s.p[i])) {
                *o++ = s.p[i++];
            } else {
                i += put_special(slice_of(s.p + i, s.n - i), &o);
            }
        }
        out->n += (uint32_t)(o - begin);
    }
    buf_u8(out, '"');
}

static void put_items(const struct value *v, struct buf *out)
{
    bool map = v->type == VALUE_MAP;
    buf_u8(out, map ? '{' : '[');
    for (uint32_t i = 0; i < v->count; i++) {
        if (map)
            value_json_name(v->keys[i], i != 0, out);
        else if (i != 0)
            buf_u8(out, ',');
        value_to_json(&v->items[i], out);
    }
    buf_u8(out, map ? '}' : ']');
}

void value_to_json(const struct value *v, struct buf *out)
{
    switch (v->type) {
    case VALUE_NULL:
        buf_put(out, "null", 4);
        break;
    case VALUE_BOOL:
        buf_str(out, v->b ? "true" : "false");
        break;
    case VALUE_INT:
        out->n += value_format_int(v->i, (char *)buf_reserve(out, 24));
        break;
    case VALUE_DOUBLE:
        if (isfinite(v->d))
            out->n += value_format_double(v->d, (char *)buf_reserve(out, 32));
        else
            buf_put(out, "null", 4);
        break;
    case VALUE_STRING:
        value_json_string(v->s, out);
        break;
    case VALUE_BYTES:
        buf_u8(out, '"');
        json_base64_put(v->s, out);
        buf_u8(out, '"');
        break;
    case VALUE_LIST:
    case VALUE_MAP:
        put_items(v, out);
        break;
    }
}

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void json_base64_put(struct slice s, struct buf *out)
{
    for (uint32_t i = 0; i < s.n; i += 3) {
        uint32_t left = s.n - i, v = (uint32_t)s.p[i] << 16;
        v |= left > 1 ? (uint32_t)s.p[i + 1] << 8 : 0;
        v |= left > 2 ? s.p[i + 2] : 0;
        char quad[4] = {base64[v >> 18], base64[v >> 12 & 63], base64[v >> 6 & 63], base64[v & 63]};
        if (left < 3)
            quad[3] = '=';
        if (left < 2)
            quad[2] = '=';
        buf_put(out, quad, 4);
    }
}

int json_base64_take(struct slice text, struct arena *a, struct slice *out)
{
    uint32_t n = text.n, padding = 0;
    while (padding < 2 && n > 0 && text.p[n - 1] == '=') {
        n--;
        padding++;
    }
    if (text.n % 4 != 0)
        return -1;
    uint8_t *begin = arena_alloc(a, (size_t)n / 4 * 3 + 3), *o = begin;
    uint32_t v = 0, bits = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *at = text.p[i] == 0 ? NULL : strchr(base64, text.p[i]);
        if (at == NULL)
            return -1;
        v = v << 6 | (uint32_t)(at - base64);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *o++ = (uint8_t)(v >> bits);
        }
    }
    *out = slice_of(begin, (size_t)(o - begin));
    return 0;
}
