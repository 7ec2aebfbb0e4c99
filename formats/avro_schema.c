// SPDX-License-Identifier: Apache-2.0
//
// Schemas as Avro JSON. Avro-C judges whether a text is a schema at all; the fields are then read
// from the JSON itself, because Avro-C drops logical types and defaults. Its JSON reader refuses
// U+0000, so a default with a zero byte cannot be read back.
#include <ctype.h>
#include <errno.h>

#include <avro.h>

#include "formats/avro.h"
#include "formats/convert.h"

static const char *const avro_names[] = {
    [FIELD_ANY] = NULL,        [FIELD_BOOLEAN] = "boolean", [FIELD_INT] = "int",
    [FIELD_LONG] = "long",     [FIELD_FLOAT] = "float",     [FIELD_DOUBLE] = "double",
    [FIELD_STRING] = "string", [FIELD_BYTES] = "bytes",     [FIELD_TIMESTAMP] = "long"};

static bool is_name(const char *s, bool dots)
{
    if (s == NULL || (!isalpha((unsigned char)*s) && *s != '_'))
        return false;
    for (; *s != 0; s++) {
        if (!isalnum((unsigned char)*s) && *s != '_' && !(dots && *s == '.'))
            return false;
    }
    return true;
}

static void put_type(const struct field *f, struct buf *out)
{
    if (f->type == FIELD_TIMESTAMP)
        buf_str(out, "{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}");
    else
        buf_printf(out, "\"%s\"", avro_names[f->type]);
}

// Bytes are a string of the code points 0 to 255.
static void put_default(const struct value *v, struct buf *out)
{
    if (v->type != VALUE_BYTES) {
        value_to_json(v, out);
        return;
    }
    buf_u8(out, '"');
    for (uint32_t i = 0; i < v->s.n; i++)
        buf_printf(out, "\\u%04x", v->s.p[i]);
    buf_u8(out, '"');
}

static int put_field(const struct field *f, struct buf *out, struct err *e)
{
    if (!is_name(f->name, false))
        return err_set(e, ERR_INVALID,
                       "field '%s' cannot be written as Avro: names there are letters, digits and "
                       "'_', and do not begin with a digit",
                       f->name);
    if (avro_names[f->type] == NULL)
        return err_set(
            e, ERR_INVALID,
            "field '%s' has type any, which Avro lacks; declare a type such as double or "
            "string",
            f->name);
    bool last = avro_null_last(f), null_default = f->nullable && !last;
    buf_printf(out, "{\"name\":\"%s\",\"type\":", f->name);
    if (f->nullable)
        buf_str(out, last ? "[" : "[\"null\",");
    put_type(f, out);
    if (f->nullable)
        buf_str(out, last ? ",\"null\"]" : "]");
    if (null_default) {
        buf_str(out, ",\"default\":null");
    } else if (f->has_default && f->default_value.type != VALUE_NULL) {
        buf_str(out, ",\"default\":");
        put_default(&f->default_value, out);
    }
    buf_str(out, "}");
    return 0;
}

int schema_to_avro(const struct schema *s, struct buf *out, struct err *e)
{
    uint32_t start = out->n;
    const char *name = s->name == NULL ? "record" : s->name;
    if (!is_name(name, true))
        return err_set(e, ERR_INVALID,
                       "schema '%s' cannot be written as Avro: names there are letters, digits and "
                       "'_'",
                       name);
    buf_printf(out, "{\"type\":\"record\",\"name\":\"%s\",\"fields\":[", name);
    for (uint32_t i = 0; i < s->count; i++) {
        if (i != 0)
            buf_u8(out, ',');
        if (put_field(&s->fields[i], out, e) != 0) {
            out->n = start;
            return -1;
        }
    }
    buf_str(out, "]}");
    return 0;
}

static const struct value *member(const struct value *map, const char *name)
{
    for (uint32_t i = 0; map->type == VALUE_MAP && i < map->count; i++) {
        if (slice_eq_str(map->keys[i], name))
            return &map->items[i];
    }
    return NULL;
}

static bool is_text(const struct value *v, const char *text)
{
    return v != NULL && v->type == VALUE_STRING && slice_eq_str(v->s, text);
}

static int unsupported(const char *what, struct err *e)
{
    return err_set(
        e, ERR_UNSUPPORTED,
        "%s; a schema here is a record of primitives, nullable by a union of one of them "
        "with null",
        what);
}

static int read_primitive(const struct value *type, struct field *f, struct err *e)
{
    for (int i = FIELD_BOOLEAN; i < FIELD_TIMESTAMP; i++) {
        if (is_text(type, avro_names[i])) {
            f->type = (enum field_type)i;
            return 0;
        }
    }
    return unsupported("its type is not a primitive", e);
}

// "null", or {"type": "null"}, as Avro-C writes it.
static bool is_null(const struct value *type)
{
    return is_text(type, "null") || is_text(member(type, "type"), "null");
}

static int read_type(const struct value *type, struct field *f, bool in_union, struct err *e)
{
    if (type == NULL)
        return unsupported("it has no type", e);
    if (type->type == VALUE_MAP) {
        const struct value *inner = member(type, "type");
        if (inner == NULL || inner->type != VALUE_STRING || read_primitive(inner, f, e) != 0)
            return unsupported("its type is not a primitive", e);
        if (f->type == FIELD_LONG && is_text(member(type, "logicalType"), "timestamp-millis"))
            f->type = FIELD_TIMESTAMP;
        return 0;
    }
    if (type->type != VALUE_LIST)
        return read_primitive(type, f, e);
    if (in_union || type->count != 2)
        return unsupported("its union is not of null and one type", e);
    f->null_last = is_null(&type->items[1]);
    if (!f->null_last && !is_null(&type->items[0]))
        return unsupported("its union is not of null and one type", e);
    f->nullable = true;
    return read_type(&type->items[f->null_last ? 0 : 1], f, true, e);
}

static int bytes_default(struct value *v, struct arena *a, struct err *e)
{
    uint8_t *p = arena_alloc(a, v->s.n), *o = p;
    for (uint32_t i = 0; i < v->s.n; i++) {
        uint32_t c = v->s.p[i];
        if (c >= 0xc0 && i + 1 < v->s.n) // the text is UTF-8: two bytes are below 0x800
            c = (c & 0x1f) << 6 | (v->s.p[++i] & 0x3f);
        if (c > 0xff || (c >= 0x80 && v->s.p[i] >= 0xc0))
            return err_set(e, ERR_INVALID, "the default of bytes has characters above U+00FF");
        *o++ = (uint8_t)c;
    }
    v->type = VALUE_BYTES;
    v->s = slice_of(p, (size_t)(o - p));
    return 0;
}

static int read_default(const struct value *d, struct field *f, struct arena *a, struct err *e)
{
    if (d == NULL || (d->type == VALUE_NULL && f->nullable))
        return 0; // null is what a nullable field has anyway
    f->default_value = *d;
    f->has_default = true;
    if (d->type == VALUE_NULL)
        return err_set(e, ERR_INVALID, "its default is null but its type does not allow that");
    if (f->type == FIELD_BYTES && d->type == VALUE_STRING &&
        bytes_default(&f->default_value, a, e) != 0)
        return -1;
    if (convert_to_field(f, CONVERT_VALUE, a, &f->default_value, e) != 0)
        return err_wrap(e, "its default");
    return 0;
}

static int read_field(const struct value *v, struct field *f, struct arena *a, struct err *e)
{
    const struct value *name = member(v, "name");
    *f = (struct field){0};
    if (name == NULL || name->type != VALUE_STRING)
        return err_set(e, ERR_INVALID, "Avro schema has a field without a name");
    f->name = (const char *)name->s.p; // the parser's copy ends with a NUL
    if (read_type(member(v, "type"), f, false, e) != 0 ||
        read_default(member(v, "default"), f, a, e) != 0)
        return err_wrap(e, "field '%s' of the Avro schema", f->name);
    return 0;
}

static int check_with_avro(struct slice json, struct err *e)
{
    avro_schema_t schema = NULL;
    int r = avro_schema_from_json_length((const char *)json.p, json.n, &schema);
    if (r == 0) {
        avro_schema_decref(schema);
        return 0;
    }
    return err_set(e, ERR_INVALID, "not an Avro schema: %s", avro_strerror());
}

int schema_from_avro(struct slice json, struct arena *a, struct schema **out, struct err *e)
{
    struct value v;
    *out = NULL;
    if (value_from_json(json, a, &v, e) != 0)
        return err_wrap(e, "Avro schema");
    if (check_with_avro(json, e) != 0)
        return -1;
    const struct value *fields = member(&v, "fields"), *name = member(&v, "name");
    if (!is_text(member(&v, "type"), "record") || fields == NULL || fields->type != VALUE_LIST)
        return unsupported("the Avro schema is not a record", e);
    struct schema *s = arena_new(a, struct schema);
    s->name = name != NULL && name->type == VALUE_STRING ? (const char *)name->s.p : "record";
    s->fields = arena_alloc(a, fields->count * sizeof(*s->fields));
    for (; s->count < fields->count; s->count++) {
        struct field *f = &s->fields[s->count];
        if (read_field(&fields->items[s->count], f, a, e) != 0)
            return -1;
        if (schema_find(s, slice_str(f->name)) >= 0)
            return err_set(e, ERR_INVALID, "Avro schema has two fields '%s'", f->name);
    }
    *out = s;
    return 0;
}
