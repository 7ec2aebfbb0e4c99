// SPDX-License-Identifier: Apache-2.0
//
// Avro documents: without positions in the bytes, finding one field means reading all before it, so
// all are decoded at once; strings and bytes point into the record.
#include "formats/avro.h"
#include "formats/doc_impl.h"

static struct doc_field *make_fields(struct doc *d, const struct plan *plan)
{
    struct doc_field *fields = arena_alloc(d->arena, plan->count * sizeof(*fields));
    for (uint32_t i = 0; i < plan->count; i++) {
        struct doc_field *f = &fields[i];
        f->name = plan->fields[i].ref.name;
        f->hash = plan->fields[i].ref.hash;
        f->patch = -1;
        f->state = FIELD_DECODED;
    }
    return fields;
}

static void take_defaults(struct doc_field *fields, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct field *f = plan->fields[i].field;
        fields[i].value = f->has_default ? f->default_value : value_null();
    }
}

int doc_avro_index(struct doc *d, struct err *e)
{
    const struct plan *plan = plan_of(d->codec);
    const uint8_t *p = d->raw.p, *end = p + d->raw.n;
    struct doc_field *fields = make_fields(d, plan);
    if (plan->resolved)
        take_defaults(fields, plan);
    for (uint32_t i = 0; i < plan->steps_count; i++) {
        const struct avro_step *s = &plan->steps[i];
        struct value over, *to = s->target < 0 ? &over : &fields[s->target].value;
        const uint8_t *next = avro_take(s, p, end, to);
        if (next == NULL)
            return err_set(e, ERR_CORRUPT, "malformed Avro: field '%s' at byte %zu of %u",
                           plan->step_names[i], (size_t)(p - d->raw.p), d->raw.n);
        if (s->nullable && s->target >= 0 && to->type == VALUE_NULL &&
            !plan->fields[s->target].field->nullable)
            return err_set(e, ERR_CORRUPT, "field '%s': wanted %s, found null", plan->step_names[i],
                           field_type_name(s->as));
        p = next;
    }
    if (p != end)
        return err_set(e, ERR_CORRUPT,
                       "malformed Avro: %zu bytes left over behind the last field; the record was "
                       "probably written with another schema",
                       (size_t)(end - p));
    d->fields = fields;
    d->named = plan->names;
    d->fields_count = plan->count;
    return 0;
}

static inline uint8_t *put_bytes(struct slice s, uint8_t *p)
{
    p += bytes_put_varint(p, s.n);
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

// There is room at p. Returns the end.
static inline uint8_t *put_plain(enum field_type type, const struct value *v, uint8_t *p)
{
    switch (type) {
    case FIELD_BOOLEAN:
        *p = v->b;
        return p + 1;
    case FIELD_FLOAT: {
        float f = (float)v->d;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        bits = htole32(bits);
        memcpy(p, &bits, 4);
        return p + 4;
    }
    case FIELD_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &v->d, 8);
        bits = htole64(bits);
        memcpy(p, &bits, 8);
        return p + 8;
    }
    case FIELD_STRING:
    case FIELD_BYTES:
        return put_bytes(v->s, p);
    default:
        return p + bytes_put_varint(p, v->i);
    }
}

int doc_encode_avro(struct doc *d, const struct plan *plan, struct buf *out, struct err *e)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct field *f = plan->fields[i].field;
        struct value v;
        if (doc_take(d, &plan->fields[i], &v, e) != 0)
            return -1;
        bool text = v.type == VALUE_STRING || v.type == VALUE_BYTES;
        uint8_t *p = buf_reserve(out, 1 + BYTES_VARINT_MAX + (text ? v.s.n : 0)), *o = p;
        if (f->nullable) {
            bool null = v.type == VALUE_NULL;
            *o++ = null == avro_null_last(f) ? 2 : 0; // zigzag of branch 1 or 0
        }
        if (v.type != VALUE_NULL)
            o = put_plain(f->type, &v, o);
        out->n += (uint32_t)(o - p);
    }
    return 0;
}
