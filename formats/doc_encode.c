// SPDX-License-Identifier: Apache-2.0
//
// Writing a document in some format. JSON to JSON splices: the raw bytes up to the closing brace,
// then the added fields; replaced values in place; only a removed field makes it write the object
// anew, and then too with the fields' own bytes.
#include "formats/convert.h"
#include "formats/doc_impl.h"

int doc_take(struct doc *d, const struct plan_field *p, struct value *out, struct err *e)
{
    if (doc_get(d, &p->ref, out, e) != 0)
        return -1;
    if (out->type != VALUE_NULL) {
        if (convert_to_field(p->field, CONVERT_VALUE, d->arena, out, e) == 0)
            return 0;
        return err_wrap(e, "field '%s'", p->field->name);
    }
    if (p->field->nullable && (!p->field->has_default || doc_has(d, &p->ref, e)))
        return 0;
    if (p->field->has_default) {
        *out = p->field->default_value;
        return 0;
    }
    return err_set(e, ERR_INVALID,
                   "field '%s': wanted %s, found %s; set it, or give it a default or '?' in the "
                   "schema",
                   p->field->name, field_type_name(p->field->type),
                   doc_has(d, &p->ref, e) ? "null" : "nothing");
}

static void put_member(struct slice name, const struct value *v, bool comma, struct buf *out)
{
    value_json_name(name, comma, out);
    value_to_json(v, out);
}

static void put_between(const uint8_t *from, const uint8_t *to, struct buf *out)
{
    buf_put(out, from, (uint32_t)(to - from));
}

static void splice_overrides(const struct doc *d, const uint8_t **from, struct buf *out)
{
    for (uint32_t i = 0; i < d->fields_count; i++) {
        const struct doc_field *f = &d->fields[i];
        if (f->patch < 0)
            continue;
        put_between(*from, f->raw.p, out);
        value_to_json(&d->patches[f->patch].value, out);
        *from = f->raw.p + f->raw.n;
    }
}

// Without the fields that are gone; returns whether any is left.
static bool rebuild(const struct doc *d, struct buf *out)
{
    bool any = false;
    buf_u8(out, '{');
    for (uint32_t i = 0; i < d->fields_count; i++) {
        const struct doc_field *f = &d->fields[i];
        const struct doc_patch *p = f->patch < 0 ? NULL : &d->patches[f->patch];
        if (f->state == FIELD_DEAD || (p != NULL && p->removed))
            continue;
        if (p != NULL) {
            put_member(f->name, &p->value, any, out);
        } else {
            value_json_name(f->name, any, out);
            buf_slice_put(out, f->raw);
        }
        any = true;
    }
    return any;
}

static int splice(struct doc *d, struct buf *out, struct err *e)
{
    if (doc_merge(d, e) != 0)
        return -1;
    bool comma = d->fields_count != 0;
    buf_reserve(out, d->raw.n + d->patches_count * 32);
    if (d->rebuild) {
        comma = rebuild(d, out);
    } else {
        const uint8_t *from = d->raw.p, *end = d->raw.p + d->raw.n;
        while (end[-1] != '}') // the walk has seen it; only whitespace follows
            end--;
        if (d->overrides != 0)
            splice_overrides(d, &from, out);
        put_between(from, end - 1, out);
    }
    for (uint32_t i = 0; i < d->patches_count; i++) {
        const struct doc_patch *p = &d->patches[i];
        if (p->at >= 0 || p->removed)
            continue;
        put_member(p->field.name, &p->value, comma, out);
        comma = true;
    }
    buf_u8(out, '}');
    return 0;
}

static int build_json(struct doc *d, struct buf *out, struct err *e)
{
    struct slice name;
    struct value v;
    if (doc_merge(d, e) != 0)
        return -1;
    if (d->whole) {
        if (doc_scalar(d, &v, e) != 0)
            return -1;
        value_to_json(&v, out);
        return 0;
    }
    buf_u8(out, '{');
    for (uint32_t i = 0;; i++) {
        int r = doc_field_at(d, i, &name, &v, e);
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        put_member(name, &v, i != 0, out);
    }
    buf_u8(out, '}');
    return 0;
}

static int plan_json(struct doc *d, const struct plan *plan, struct buf *out, struct err *e)
{
    buf_u8(out, '{');
    for (uint32_t i = 0; i < plan->count; i++) {
        struct value v;
        if (doc_take(d, &plan->fields[i], &v, e) != 0)
            return -1;
        put_member(plan->fields[i].ref.name, &v, i != 0, out);
    }
    buf_u8(out, '}');
    return 0;
}

static int encode_json(struct doc *d, const struct codec *to, struct buf *out, struct err *e)
{
    bool same = d->raw.p != NULL && d->codec->format == FORMAT_JSON;
    if (to->plan != NULL && !(same && d->codec->id == to->id))
        return plan_json(d, plan_of(to), out, e);
    if (!same)
        return build_json(d, out, e);
    if (d->patches_count != 0)
        return splice(d, out, e);
    if (doc_merge(d, e) != 0) // nobody may have looked at it: what is no JSON goes no further
        return -1;
    if (d->whole && doc_validate(d, e) != 0)
        return -1;
    if (to->plan != NULL && d->whole)
        return err_set(e, ERR_CORRUPT,
                       "wanted a record with the schema's fields, found another value");
    buf_slice_put(out, d->raw);
    return 0;
}

static int encode_text(const struct value *v, struct buf *out)
{
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES)
        buf_slice_put(out, v->s);
    else
        value_to_json(v, out);
    return 0;
}

static int encode_number(struct value *v, enum format to, struct buf *out, struct err *e)
{
    static const enum field_type types[] = {
        [FORMAT_LONG] = FIELD_LONG, [FORMAT_INT] = FIELD_INT, [FORMAT_DOUBLE] = FIELD_DOUBLE};
    struct field f = {.name = "value", .type = types[to]};
    if (convert_to_field(&f, CONVERT_VALUE, NULL, v, e) != 0)
        return -1;
    if (v->type == VALUE_NULL)
        return err_set(e, ERR_INVALID, "wanted %s, found null", format_name(to));
    uint64_t bits = (uint64_t)v->i;
    if (to == FORMAT_DOUBLE)
        memcpy(&bits, &v->d, 8);
    if (to == FORMAT_INT)
        buf_u32(out, (uint32_t)bits);
    else
        buf_u64(out, bits);
    return 0;
}

static int encode_scalar(struct doc *d, enum format to, struct buf *out, struct err *e)
{
    struct value v;
    if (doc_merge(d, e) != 0)
        return -1;
    if (!d->whole)
        return err_set(e, ERR_INVALID,
                       "a record cannot be written in format %s, which is one scalar; use json, "
                       "avro or csv, or map the record to one value first",
                       format_name(to));
    if (doc_scalar(d, &v, e) != 0)
        return -1;
    if (to == FORMAT_STRING || to == FORMAT_BYTES)
        return encode_text(&v, out);
    return encode_number(&v, to, out, e);
}

static int encode_planned(struct doc *d, const struct codec *to, struct buf *out, struct err *e)
{
    if (doc_merge(d, e) != 0)
        return -1;
    if (d->whole)
        return err_set(e, ERR_INVALID, "only a record can be written in format %s",
                       format_name(to->format));
    return to->format == FORMAT_AVRO ? doc_encode_avro(d, plan_of(to), out, e)
                                     : doc_encode_csv(d, to, out, e);
}

static int encode(struct doc *d, const struct codec *to, struct buf *out, struct err *e)
{
    bool resolved = to->plan != NULL && plan_of(to)->resolved;
    if (d->raw.p != NULL && d->patches_count == 0 && d->codec->id == to->id && !resolved &&
        to->format != FORMAT_JSON) {
        buf_slice_put(out, d->raw);
        return 0;
    }
    switch (to->format) {
    case FORMAT_JSON:
        return encode_json(d, to, out, e);
    case FORMAT_AVRO:
    case FORMAT_CSV:
        return encode_planned(d, to, out, e);
    case FORMAT_CARRIED:
        doc_carry(d, out);
        return 0;
    default:
        return encode_scalar(d, to->format, out, e);
    }
}

int doc_encode(struct doc *d, const struct codec *to, struct buf *out, struct err *e)
{
    uint32_t start = out->n;
    int r = encode(d, to, out, e);
    if (r != 0)
        out->n = start;
    return r;
}

static int key_text(struct value *v, struct buf *out)
{
    if (v->type == VALUE_DOUBLE)
        out->n += value_format_double(v->d, (char *)buf_reserve(out, 32));
    else
        encode_text(v, out);
    return 0;
}

int doc_key(struct doc *d, const struct field_ref *ref, enum format f, struct buf *out,
            struct err *e)
{
    struct value v;
    buf_clear(out);
    if (doc_get(d, ref, &v, e) != 0)
        return -1;
    if (v.type == VALUE_NULL) {
        buf_release(out); // p == NULL tells null from an empty key
        return 0;
    }
    buf_reserve(out, 1);
    if (f != FORMAT_LONG && f != FORMAT_INT && f != FORMAT_DOUBLE)
        return key_text(&v, out);
    if (encode_number(&v, f, out, e) == 0)
        return 0;
    return err_wrap(e, "key field '%.*s'", (int)ref->name.n, (const char *)ref->name.p);
}
