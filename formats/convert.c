// SPDX-License-Identifier: Apache-2.0
#include "formats/convert.h"

#include <strings.h>

#include "base/text.h"
#include "formats/json.h"
#include "formats/number.h"

static int mismatch(const struct field *f, const struct value *v, struct err *e)
{
    enum { SHOWN = 60 };
    struct buf text;
    buf_init(&text);
    value_to_json(v, &text);
    uint32_t n = text.n < SHOWN ? text.n : SHOWN;
    while (n > 0 && n < text.n && (text.p[n] & 0xc0) == 0x80)
        n--; // not inside a character
    err_set(e, ERR_CORRUPT, "wanted %s, found %s %.*s%s", field_type_name(f->type),
            value_type_name(v->type), (int)n, (const char *)text.p, n < text.n ? "…" : "");
    buf_release(&text);
    return -1;
}

static bool to_integer(struct value *v)
{
    if (v->type == VALUE_INT)
        return true;
    if (v->type != VALUE_DOUBLE || !(v->d >= -0x1p63 && v->d < 0x1p63) ||
        (double)(int64_t)v->d != v->d)
        return false;
    *v = value_int((int64_t)v->d);
    return true;
}

static bool to_double(struct value *v)
{
    if (v->type == VALUE_INT)
        *v = value_double((double)v->i);
    return v->type == VALUE_DOUBLE;
}

static bool to_timestamp(struct value *v)
{
    int64_t ms;
    if (v->type != VALUE_STRING)
        return to_integer(v);
    if (text_time_ms(v->s, &ms) != 0)
        return false;
    *v = value_int(ms);
    return true;
}

static bool to_bytes(struct value *v, enum convert_from from, struct arena *a)
{
    if (v->type == VALUE_STRING && from == CONVERT_JSON && json_base64_take(v->s, a, &v->s) != 0)
        return false;
    if (v->type == VALUE_STRING)
        v->type = VALUE_BYTES;
    return v->type == VALUE_BYTES;
}

int convert_slowly(const struct field *f, enum convert_from from, struct arena *a, struct value *v,
                   struct err *e)
{
    bool ok = true;
    if (v->type == VALUE_NULL)
        return 0;
    switch (f->type) {
    case FIELD_ANY:
        break;
    case FIELD_BOOLEAN:
        ok = v->type == VALUE_BOOL;
        break;
    case FIELD_INT:
        ok = to_integer(v) && v->i >= INT32_MIN && v->i <= INT32_MAX;
        break;
    case FIELD_LONG:
        ok = to_integer(v);
        break;
    case FIELD_FLOAT:
    case FIELD_DOUBLE:
        ok = to_double(v);
        break;
    case FIELD_STRING:
        ok = v->type == VALUE_STRING;
        break;
    case FIELD_BYTES:
        ok = to_bytes(v, from, a);
        break;
    case FIELD_TIMESTAMP:
        ok = to_timestamp(v);
        break;
    }
    return ok ? 0 : mismatch(f, v, e);
}

static bool word(struct slice s, const char *w)
{
    return s.n == strlen(w) && strncasecmp((const char *)s.p, w, s.n) == 0;
}

int convert_text(const struct field *f, struct slice text, struct value *v, struct err *e)
{
    *v = value_string(text);
    struct value number;
    switch (f->type) {
    case FIELD_STRING:
        return 0;
    case FIELD_BYTES:
        v->type = VALUE_BYTES;
        return 0;
    case FIELD_BOOLEAN:
        if (word(text, "true") || word(text, "1"))
            *v = value_bool(true);
        else if (word(text, "false") || word(text, "0"))
            *v = value_bool(false);
        break;
    case FIELD_ANY:
        if (number_parse(text, &number) == NUMBER_OK)
            *v = number;
        return 0;
    case FIELD_INT:
    case FIELD_LONG:
    case FIELD_FLOAT:
    case FIELD_DOUBLE:
        if (number_parse_loose(text, &number) == NUMBER_OK)
            *v = number;
        break;
    case FIELD_TIMESTAMP:
        if (number_parse(text, &number) == NUMBER_OK)
            *v = number;
        break;
    }
    return convert_to_field(f, CONVERT_VALUE, NULL, v, e);
}
