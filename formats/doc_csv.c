// SPDX-License-Identifier: Apache-2.0
//
// CSV documents: one line, its columns named and typed by the schema. An empty field is null if the
// schema allows it; `""` is an empty string.
#include "formats/convert.h"
#include "formats/doc_impl.h"

int doc_csv_index(struct doc *d, struct err *e)
{
    const struct plan *plan = plan_of(d->codec);
    struct csv_row row;
    if (csv_line(d->ctx->csv, d->codec->delimiter, d->raw, &row, e) != 1)
        return -1;
    if (row.count != plan->count)
        return err_set(e, ERR_CORRUPT, "CSV line has %u fields, the schema has %u", row.count,
                       plan->count);
    struct doc_field *fields = arena_alloc(d->arena, row.count * sizeof(*fields));
    for (uint32_t i = 0; i < row.count; i++) {
        struct slice s = row.fields[i];
        if (s.p < d->raw.p || s.p > d->raw.p + d->raw.n)
            s = arena_slice(d->arena, s); // unquoted by the parser, into its own memory
        fields[i].name = plan->fields[i].ref.name;
        fields[i].hash = plan->fields[i].ref.hash;
        fields[i].raw = s;
        fields[i].patch = -1;
        fields[i].state = FIELD_RAW;
        fields[i].quoted = row.quoted[i];
    }
    d->fields = fields;
    d->named = plan->names;
    d->fields_count = row.count;
    return 0;
}

int doc_csv_decode(struct doc *d, struct doc_field *f, struct value *out, struct err *e)
{
    const struct field *schema = plan_of(d->codec)->fields[f - d->fields].field;
    bool text = schema->type == FIELD_STRING || schema->type == FIELD_BYTES;
    if (f->raw.n == 0 && !f->quoted && schema->nullable) {
        *out = value_null();
        return 0;
    }
    if (f->raw.n == 0 && !text && schema->type != FIELD_ANY)
        return err_set(e, ERR_CORRUPT, "field '%s': wanted %s, found an empty field", schema->name,
                       field_type_name(schema->type));
    if (convert_text(schema, f->raw, out, e) == 0)
        return 0;
    return err_wrap(e, "field '%s'", schema->name);
}

static void put_value(const struct field *f, const struct value *v, char delimiter, struct buf *out)
{
    struct buf text;
    switch (v->type) {
    case VALUE_NULL:
        return;
    case VALUE_STRING:
    case VALUE_BYTES:
        if (v->s.n == 0 && f->nullable)
            buf_put(out, "\"\"", 2);
        csv_put_field(v->s, delimiter, out);
        return;
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_DOUBLE:
        value_to_json(v, out); // needs no quotes: codec_new_csv takes no delimiter of its letters
        return;
    default:
        buf_init(&text);
        value_to_json(v, &text);
        csv_put_field(buf_slice(&text), delimiter, out);
        buf_release(&text);
    }
}

int doc_encode_csv(struct doc *d, const struct codec *to, struct buf *out, struct err *e)
{
    const struct plan *plan = plan_of(to);
    char delimiter = to->delimiter == 0 ? ',' : to->delimiter;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct value v;
        if (doc_take(d, &plan->fields[i], &v, e) != 0)
            return -1;
        if (i != 0)
            buf_u8(out, (uint8_t)delimiter);
        put_value(plan->fields[i].field, &v, delimiter, out);
    }
    return 0;
}
