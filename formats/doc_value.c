// SPDX-License-Identifier: Apache-2.0
//
// The document as a whole: its value, its validity, and the formats that are one scalar.
#include "formats/doc_impl.h"
#include "formats/json.h"

static int wrong_size(const struct doc *d, uint32_t want, struct err *e)
{
    return err_set(e, ERR_CORRUPT, "format %s wants %u bytes, found %u",
                   format_name(d->codec->format), want, d->raw.n);
}

static int big_endian(const struct doc *d, struct value *out, struct err *e)
{
    uint32_t want = d->codec->format == FORMAT_INT ? 4 : 8;
    if (d->raw.n != want)
        return wrong_size(d, want, e);
    if (d->codec->format == FORMAT_INT) {
        *out = value_int((int32_t)bytes_get32(d->raw.p));
        return 0;
    }
    uint64_t bits = bytes_get64(d->raw.p);
    *out = value_int((int64_t)bits);
    if (d->codec->format == FORMAT_DOUBLE) {
        out->type = VALUE_DOUBLE;
        memcpy(&out->d, &bits, 8);
    }
    return 0;
}

static int text(const struct doc *d, struct value *out, struct err *e)
{
    uint32_t bad = json_utf8(d->raw);
    *out = value_string(d->raw);
    if (bad == d->raw.n)
        return 0;
    return err_set(e, ERR_CORRUPT, "not UTF-8 at byte %u; for other bytes use format bytes", bad);
}

static int decode_scalar(struct doc *d, struct value *out, struct err *e)
{
    struct json_source source = {.text = d->raw, .begin = d->raw.p, .borrow = true};
    switch (d->codec->format) {
    case FORMAT_JSON:
        return json_parse(&source, d->arena, out, e);
    case FORMAT_STRING:
        return text(d, out, e);
    case FORMAT_BYTES:
        *out = value_string(d->raw);
        out->type = VALUE_BYTES;
        return 0;
    default:
        return big_endian(d, out, e);
    }
}

int doc_scalar(struct doc *d, struct value *out, struct err *e)
{
    if (d->raw.p == NULL) {
        *out = d->scalar;
        return 0;
    }
    return decode_scalar(d, out, e);
}

int doc_value(struct doc *d, struct value *out, struct err *e)
{
    if (doc_merge(d, e) != 0)
        return -1;
    if (d->whole)
        return doc_scalar(d, out, e);
    uint32_t most = d->fields_count + d->patches_count, n = 0;
    *out = (struct value){.type = VALUE_MAP};
    if (most == 0)
        return 0;
    struct value *items = arena_alloc(d->arena, most * sizeof(*items));
    struct slice *keys = arena_alloc(d->arena, most * sizeof(*keys));
    for (;; n++) {
        struct slice name;
        struct value v;
        int r = doc_field_at(d, n, &name, &v, e);
        if (r < 0)
            return -1;
        if (r == 0)
            break;
        keys[n] = name;
        items[n] = v;
    }
    out->count = n;
    out->items = items;
    out->keys = keys;
    return 0;
}

static bool is_null(const struct doc *d, const struct doc_field *f)
{
    if (d->codec->format == FORMAT_JSON)
        return f->raw.p[0] == 'n';
    return f->state == FIELD_DECODED && f->value.type == VALUE_NULL;
}

static int check_field(struct doc *d, const struct plan_field *p, struct err *e)
{
    const struct doc_field *f = doc_find_field(d, p->ref.name, p->ref.hash);
    if (p->field->nullable || (f == NULL && p->field->has_default))
        return 0;
    if (f != NULL && !is_null(d, f))
        return 0;
    return err_set(e, ERR_CORRUPT, "field '%s': wanted %s, found %s", p->field->name,
                   field_type_name(p->field->type), f == NULL ? "nothing" : "null");
}

int doc_validate(struct doc *d, struct err *e)
{
    if (doc_index(d, e) != 0)
        return -1;
    if (d->raw.p == NULL)
        return 0;
    const struct plan *plan = plan_of(d->codec);
    if (d->whole) {
        struct value v;
        if (doc_scalar(d, &v, e) != 0)
            return -1;
        if (plan != NULL)
            return err_set(e, ERR_CORRUPT, "wanted a record with the schema's fields, found %s",
                           value_type_name(v.type));
        return 0;
    }
    for (uint32_t i = 0; i < d->fields_count; i++) {
        // Repeated fields are not decoded: nobody can see them.
        struct value v;
        if (d->fields[i].state != FIELD_DEAD && doc_decode(d, &d->fields[i], &v, e) != 0)
            return -1;
    }
    for (uint32_t i = 0; plan != NULL && i < plan->count; i++) {
        if (check_field(d, &plan->fields[i], e) != 0)
            return -1;
    }
    return 0;
}
