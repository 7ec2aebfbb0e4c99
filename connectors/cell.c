// SPDX-License-Identifier: Apache-2.0
#include "connectors/cell.h"

#include "base/text.h"

#include <math.h>

static inline bool digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

// -?(0|[1-9][0-9]*), short enough to fit 64 bits, and not "-0".
static bool plain_int(struct slice s)
{
    uint32_t i = s.n > 0 && s.p[0] == '-';
    if (s.n - i == 0 || s.n - i > 18)
        return false;
    if (s.p[i] == '0')
        return s.n == 1;
    for (; i < s.n; i++)
        if (!digit(s.p[i]))
            return false;
    return true;
}

// A JSON number without exponent that no double can overflow on.
static bool plain_number(struct slice s)
{
    uint32_t i = s.n > 0 && s.p[0] == '-';
    if (i == s.n || s.n > 300 || !digit(s.p[i]))
        return false;
    if (s.p[i] == '0' && i + 1 < s.n && s.p[i + 1] != '.')
        return false;
    while (i < s.n && digit(s.p[i]))
        i++;
    if (i == s.n)
        return true;
    if (s.p[i] != '.' || i + 1 == s.n)
        return false;
    for (i++; i < s.n; i++)
        if (!digit(s.p[i]))
            return false;
    return true;
}

bool cell_long(struct slice s, int64_t *out)
{
    uint32_t i = 0;
    bool negative = false;
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'))
        negative = s.p[i++] == '-';
    if (i == s.n)
        return false;
    uint64_t v = 0, limit = (uint64_t)INT64_MAX + negative;
    for (; i < s.n; i++) {
        if (!digit(s.p[i]))
            return false;
        uint64_t d = (uint64_t)(s.p[i] - '0');
        if (v > (limit - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

// Decimal text that strtod takes whole: no hexadecimal, no infinities, no spaces.
static bool cell_double(struct slice s, double *out)
{
    char text[400];
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    for (uint32_t i = 0; i < s.n; i++)
        if (!digit(s.p[i]) && strchr("+-.eE", s.p[i]) == NULL)
            return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    char *end;
    *out = strtod(text, &end);
    return end == text + s.n && isfinite(*out);
}

bool cell_time(struct slice s, int64_t *out)
{
    if (cell_long(s, out))
        return true;
    return text_time_ms(s, out) == 0;
}

static bool same_word(struct slice s, const char *word)
{
    return s.n == strlen(word) && strncasecmp((const char *)s.p, word, s.n) == 0;
}

static bool cell_bool(struct slice s, bool *out)
{
    if (s.n == 1 && (s.p[0] == '0' || s.p[0] == '1')) {
        *out = s.p[0] == '1';
        return true;
    }
    *out = same_word(s, "true");
    return *out || same_word(s, "false");
}

// Length of the UTF-8 sequence at p, 0 when it is not one (overlong forms and surrogates are not).
static uint32_t utf8_length(const uint8_t *p, uint32_t left)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    uint32_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || left < n)
        return 0;
    for (uint32_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool cell_utf8(struct slice s)
{
    for (uint32_t i = 0; i < s.n;) {
        uint32_t n = utf8_length(s.p + i, s.n - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static inline uint8_t *put(uint8_t *out, const void *p, uint32_t n)
{
    memcpy(out, p, n);
    return out + n;
}

static uint8_t *put_escape(uint8_t c, uint8_t *out)
{
    static const char hex[] = "0123456789abcdef";
    const char *short_form = c == '"'    ? "\\\""
                             : c == '\\' ? "\\\\"
                             : c == '\n' ? "\\n"
                             : c == '\r' ? "\\r"
                             : c == '\t' ? "\\t"
                                         : NULL;
    if (short_form != NULL)
        return put(out, short_form, 2);
    out = put(out, "\\u00", 4);
    *out++ = (uint8_t)hex[c >> 4];
    *out++ = (uint8_t)hex[c & 15];
    return out;
}

static uint8_t *put_string(struct slice s, uint8_t *out)
{
    *out++ = '"';
    for (uint32_t i = 0; i < s.n;) {
        uint8_t c = s.p[i];
        if (c >= 0x80) {
            uint32_t n = utf8_length(s.p + i, s.n - i);
            if (n == 0)
                return NULL;
            out = put(out, s.p + i, n);
            i += n;
            continue;
        }
        if (c < 0x20 || c == '"' || c == '\\')
            out = put_escape(c, out);
        else
            *out++ = c;
        i++;
    }
    *out++ = '"';
    return out;
}

static uint8_t *put_int(int64_t v, uint8_t *out)
{
    char text[24];
    return put(out, text, value_format_int(v, text));
}

static uint8_t *put_long(enum field_type type, struct slice s, uint8_t *out)
{
    int64_t v;
    if (plain_int(s) && (type != FIELD_INT || s.n < 10))
        return put(out, s.p, s.n);
    if (!cell_long(s, &v) || (type == FIELD_INT && (v < INT32_MIN || v > INT32_MAX)))
        return NULL;
    return put_int(v, out);
}

static uint8_t *put_double(struct slice s, uint8_t *out)
{
    double v;
    char text[32];
    if (plain_number(s))
        return put(out, s.p, s.n);
    if (!cell_double(s, &v))
        return NULL;
    return put(out, text, value_format_double(v, text));
}

static uint8_t *put_any(struct slice s, uint8_t *out)
{
    bool b;
    if (plain_int(s) || plain_number(s))
        return put(out, s.p, s.n);
    if (s.n > 1 && cell_bool(s, &b))
        return b ? put(out, "true", 4) : put(out, "false", 5);
    return put_string(s, out);
}

uint8_t *cell_put_json(enum field_type type, struct slice s, uint8_t *out)
{
    bool b;
    int64_t t;
    switch (type) {
    case FIELD_ANY:
        return put_any(s, out);
    case FIELD_BOOLEAN:
        return !cell_bool(s, &b) ? NULL : b ? put(out, "true", 4) : put(out, "false", 5);
    case FIELD_INT:
    case FIELD_LONG:
        return put_long(type, s, out);
    case FIELD_FLOAT:
    case FIELD_DOUBLE:
        return put_double(s, out);
    case FIELD_STRING:
    case FIELD_BYTES:
        return put_string(s, out);
    case FIELD_TIMESTAMP:
        if (plain_int(s))
            return put(out, s.p, s.n);
        return cell_time(s, &t) ? put_int(t, out) : NULL;
    }
    return NULL;
}

// The text a key has when the decoded field is written as text.
static bool put_key_text(enum field_type type, struct slice s, struct buf *out)
{
    uint8_t *start, *end;
    double d;
    switch (type) {
    case FIELD_STRING:
    case FIELD_BYTES:
        buf_slice_put(out, s);
        return true;
    case FIELD_FLOAT:
    case FIELD_DOUBLE:
        if (!cell_double(s, &d))
            return false;
        out->n += value_format_double(d, (char *)buf_reserve(out, 32));
        return true;
    case FIELD_ANY:
        if (!plain_int(s) && plain_number(s) && cell_double(s, &d))
            out->n += value_format_double(d, (char *)buf_reserve(out, 32));
        else
            buf_slice_put(out, s);
        return true;
    default:
        start = buf_reserve(out, cell_json_max(s.n));
        end = cell_put_json(type, s, start);
        if (end == NULL)
            return false;
        out->n += (uint32_t)(end - start);
        return true;
    }
}

bool cell_put_key(enum field_type type, enum format key_format, struct slice s, struct buf *out)
{
    int64_t i;
    double d;
    uint64_t bits;
    switch (key_format) {
    case FORMAT_LONG:
        if (!(type == FIELD_TIMESTAMP ? cell_time(s, &i) : cell_long(s, &i)))
            return false;
        buf_u64(out, (uint64_t)i);
        return true;
    case FORMAT_INT:
        if (!cell_long(s, &i) || i < INT32_MIN || i > INT32_MAX)
            return false;
        buf_u32(out, (uint32_t)i);
        return true;
    case FORMAT_DOUBLE:
        if (!cell_double(s, &d))
            return false;
        memcpy(&bits, &d, 8);
        buf_u64(out, bits);
        return true;
    default:
        return put_key_text(type, s, out);
    }
}
