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
    d->fields_count = plan->count;
    return 0;
}

static void put_bytes(struct slice s, struct buf *out)
{
    buf_varint(out, s.n);
    buf_put(out, s.p, s.n);
}

static void put_plain(enum field_type type, const struct value *v, struct buf *out)
{
    uint8_t *p = buf_reserve(out, BYTES_VARINT_MAX);
    switch (type) {
    case FIELD_BOOLEAN:
        *p = v->b;
        out->n += 1;
        break;
    case FIELD_FLOAT: {
        float f = (float)v->d;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        bits = htole32(bits);
        memcpy(p, &bits, 4);
        out->n += 4;
        break;
    }
    case FIELD_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &v->d, 8);
        bits = htole64(bits);
        memcpy(p, &bits, 8);
        out->n += 8;
        break;
    }
    case FIELD_STRING:
    case FIELD_BYTES:
        put_bytes(v->s, out);
        break;
    default:
        out->n += bytes_put_varint(p, v->i);
    }
}

int doc_encode_avro(struct doc *d, const struct plan *plan, struct buf *out, struct err *e)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct field *f = plan->fields[i].field;
        struct value v;
        if (doc_take(d, &plan->fields[i], &v, e) != 0)
            return -1;
        if (f->nullable) {
            bool null = v.type == VALUE_NULL;
            buf_u8(out, null == avro_null_last(f) ? 2 : 0); // zigzag of branch 1 or 0
        }
        if (v.type != VALUE_NULL)
            put_plain(f->type, &v, out);
    }
    return 0;
}
