// SPDX-License-Identifier: Apache-2.0
//
// The flat plan of an Avro record: one step per field of whoever wrote the bytes, with the place it
// goes to in the schema of whoever reads them. Reader and writer are matched as Avro's
// specification says: by name; numbers may grow (int → long → float → double), string and bytes are
// each other; what the reader lacks is read over, what the writer lacked is the reader's default.
#include "formats/avro.h"

static bool grows_to(enum field_type from, enum field_type to)
{
    // A timestamp is a long with a meaning.
    if (from == FIELD_TIMESTAMP)
        from = FIELD_LONG;
    if (to == FIELD_TIMESTAMP)
        to = FIELD_LONG;
    if (from >= FIELD_INT && from <= FIELD_DOUBLE && to <= FIELD_DOUBLE)
        return from <= to;
    if (from == FIELD_STRING || from == FIELD_BYTES)
        return to == FIELD_STRING || to == FIELD_BYTES;
    return from == to;
}

static bool same(const struct schema *a, const struct schema *b)
{
    if (a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct field *x = &a->fields[i], *y = &b->fields[i];
        if (strcmp(x->name, y->name) != 0 || x->type != y->type || x->nullable != y->nullable ||
            (x->nullable && avro_null_last(x) != avro_null_last(y)))
            return false;
    }
    return true;
}

static int add_step(struct plan *p, const struct schema *own, const struct field *f, struct err *e)
{
    struct avro_step *s = &p->steps[p->steps_count];
    s->type = f->type;
    s->nullable = f->nullable;
    s->null_index = avro_null_last(f) ? 1 : 0;
    s->target = schema_find(own, slice_str(f->name));
    s->as = s->target < 0 ? f->type : own->fields[s->target].type;
    p->step_names[p->steps_count++] = f->name;
    if (grows_to(s->type, s->as))
        return 0;
    return err_set(e, ERR_INVALID, "field '%s' was written as Avro %s and cannot be read as %s",
                   f->name, field_type_name(s->type), field_type_name(s->as));
}

// Every field of the reader must come from the bytes or have something to stand in.
static int check_missing(const struct schema *own, const struct schema *writer, struct err *e)
{
    for (uint32_t i = 0; i < own->count; i++) {
        const struct field *f = &own->fields[i];
        if (!f->nullable && !f->has_default && schema_find(writer, slice_str(f->name)) < 0)
            return err_set(e, ERR_INVALID,
                           "field '%s' is not in the Avro data and has no default; give it one, or "
                           "'?' to read it as null",
                           f->name);
    }
    return 0;
}

int avro_plan(struct plan *p, const struct schema *own, const struct schema *writer, struct err *e)
{
    struct buf json;
    buf_init(&json);
    int r = schema_to_avro(own, &json, e); // refuses what Avro lacks
    buf_release(&json);
    if (r != 0)
        return -1;
    const struct schema *from = writer == NULL ? own : writer;
    p->resolved = writer != NULL && !same(own, writer);
    p->steps = arena_alloc(&p->arena, from->count * sizeof(*p->steps));
    p->step_names = arena_alloc(&p->arena, from->count * sizeof(*p->step_names));
    for (uint32_t i = 0; i < from->count; i++) {
        if (add_step(p, own, &from->fields[i], e) != 0)
            return -1;
    }
    return check_missing(own, from, e);
}

static inline const uint8_t *take_long(const uint8_t *p, const uint8_t *end, int64_t *out)
{
    if (p < end && *p < 0x80) {
        *out = (int64_t)(*p >> 1) ^ -(int64_t)(*p & 1);
        return p + 1;
    }
    uint32_t n = bytes_get_varint(p, (uint64_t)(end - p), out);
    return n == 0 ? NULL : p + n;
}

static inline const uint8_t *take_bytes(const uint8_t *p, const uint8_t *end, struct slice *out)
{
    int64_t n;
    p = take_long(p, end, &n);
    if (p == NULL || n < 0 || n > end - p)
        return NULL;
    *out = slice_of(p, (size_t)n);
    return p + n;
}

static inline const uint8_t *take_float(const uint8_t *p, const uint8_t *end, struct value *out)
{
    uint32_t bits;
    float f;
    if (end - p < 4)
        return NULL;
    memcpy(&bits, p, 4);
    bits = le32toh(bits);
    memcpy(&f, &bits, 4);
    *out = value_double((double)f);
    return p + 4;
}

static inline const uint8_t *take_double(const uint8_t *p, const uint8_t *end, struct value *out)
{
    uint64_t bits;
    if (end - p < 8)
        return NULL;
    memcpy(&bits, p, 8);
    bits = le64toh(bits);
    out->type = VALUE_DOUBLE;
    memcpy(&out->d, &bits, 8);
    return p + 8;
}

static const uint8_t *take_plain(enum field_type type, const uint8_t *p, const uint8_t *end,
                                 struct value *out)
{
    switch (type) {
    case FIELD_BOOLEAN:
        if (p == end || *p > 1)
            return NULL;
        *out = value_bool(*p == 1);
        return p + 1;
    case FIELD_INT:
        *out = value_int(0);
        p = take_long(p, end, &out->i);
        return p == NULL || out->i < INT32_MIN || out->i > INT32_MAX ? NULL : p;
    case FIELD_LONG:
    case FIELD_TIMESTAMP:
        *out = value_int(0);
        return take_long(p, end, &out->i);
    case FIELD_FLOAT:
        return take_float(p, end, out);
    case FIELD_DOUBLE:
        return take_double(p, end, out);
    default:
        *out = value_string((struct slice){NULL, 0});
        return take_bytes(p, end, &out->s);
    }
}

const uint8_t *avro_take(const struct avro_step *s, const uint8_t *p, const uint8_t *end,
                         struct value *out)
{
    if (s->nullable) {
        int64_t branch;
        p = take_long(p, end, &branch);
        if (p == NULL || (uint64_t)branch > 1)
            return NULL;
        if (branch == s->null_index) {
            *out = value_null();
            return p;
        }
    }
    p = take_plain(s->type, p, end, out);
    if (s->as == FIELD_BYTES)
        out->type = VALUE_BYTES;
    else if (s->as == FIELD_DOUBLE || s->as == FIELD_FLOAT)
        *out = value_double(out->type == VALUE_INT ? (double)out->i : out->d);
    return p;
}

int avro_record_size(const struct plan *p, struct slice bytes, uint32_t *size, struct err *e)
{
    const uint8_t *at = bytes.p, *end = bytes.p + bytes.n;
    struct value v;
    for (uint32_t i = 0; i < p->steps_count; i++) {
        const uint8_t *next = avro_take(&p->steps[i], at, end, &v);
        if (next == NULL)
            return err_set(e, ERR_CORRUPT, "malformed Avro: field '%s' at byte %zu",
                           p->step_names[i], (size_t)(at - bytes.p));
        at = next;
    }
    *size = (uint32_t)(at - bytes.p);
    return 0;
}
