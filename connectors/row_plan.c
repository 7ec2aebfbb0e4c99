// SPDX-License-Identifier: Apache-2.0
#include "connectors/row_plan.h"

#include "connectors/cell.h"

struct column { // one field of the record
    const char *name;
    enum field_type type;
    bool nullable;
    uint32_t at;           // cell of the row
    struct slice before;   // `{"name":` or `,"name":`
    struct slice fallback; // JSON for an empty cell; p == NULL: an error
};

struct row_plan {
    struct row_plan_options o;
    struct arena arena; // of the current binding
    struct column *columns;
    uint32_t columns_count;
    uint32_t width; // cells in a row
    int32_t time_at, key_at;
    enum field_type key_type;
    uint32_t fixed; // bytes a row may need beside its cells
    struct slice *unused;
    uint32_t unused_count;
};

struct row_plan *row_plan_new(const struct row_plan_options *o)
{
    struct row_plan *p = check_alloc(calloc(1, sizeof *p));
    p->o = *o;
    arena_init(&p->arena);
    return p;
}

void row_plan_free(struct row_plan *p)
{
    if (p == NULL)
        return;
    arena_release(&p->arena);
    free(p);
}

static struct slice before_of(struct arena *a, struct slice name, bool first)
{
    struct buf b;
    buf_init(&b);
    buf_u8(&b, first ? '{' : ',');
    value_json_string(name, &b);
    buf_u8(&b, ':');
    struct slice s = arena_slice(a, buf_slice(&b));
    buf_release(&b);
    return s;
}

// What an empty cell stands for.
static struct slice fallback_of(struct arena *a, const struct field *f)
{
    if (f->has_default) {
        struct buf b;
        buf_init(&b);
        value_to_json(&f->default_value, &b);
        struct slice s = arena_slice(a, buf_slice(&b));
        buf_release(&b);
        return s;
    }
    if (f->nullable || f->type == FIELD_ANY)
        return slice_str("null");
    if (f->type == FIELD_STRING || f->type == FIELD_BYTES)
        return slice_str("\"\"");
    return (struct slice){NULL, 0};
}

static void add_column(struct row_plan *p, const struct field *f, uint32_t at)
{
    struct column *c = &p->columns[p->columns_count];
    c->name = f->name;
    c->type = f->type;
    c->nullable = f->nullable;
    c->at = at;
    c->before = before_of(&p->arena, slice_str(f->name), p->columns_count == 0);
    c->fallback = fallback_of(&p->arena, f);
    p->fixed += c->before.n + c->fallback.n + 48;
    p->columns_count++;
}

static int find(const struct slice *header, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (slice_eq_str(header[i], name))
            return (int)i;
    return -1;
}

static void start_binding(struct row_plan *p, uint32_t columns, uint32_t width)
{
    arena_reset(&p->arena);
    p->columns = arena_alloc(&p->arena, (columns + 1) * sizeof *p->columns);
    p->unused = arena_alloc(&p->arena, (width + 1) * sizeof *p->unused);
    p->columns_count = p->unused_count = 0;
    p->fixed = 8;
    p->width = width;
    p->time_at = p->key_at = -1;
    p->key_type = FIELD_ANY;
}

// Control characters, or bytes that no UTF-8 has.
static bool is_text(struct slice s)
{
    for (uint32_t i = 0; i < s.n; i++) {
        uint8_t b = s.p[i];
        bool lead = b >= 0xc2 && b <= 0xf4;
        uint32_t more = !lead ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
        if (b < 0x20 || b == 0x7f || (b >= 0x80 && !lead) || more >= s.n - i)
            return false;
        for (; more > 0; more--) {
            if ((s.p[++i] & 0xc0) != 0x80)
                return false;
        }
    }
    return true;
}

static int header_lacks(const struct slice *header, uint32_t n, const char *what, const char *name,
                        struct err *e)
{
    char all[400];
    size_t used = 0;
    all[0] = 0;
    if (n != 0 && !is_text(header[0]))
        return err_set(e, ERR_INVALID,
                       "the first row is not text, so this is no CSV with a header (is it another "
                       "format, or compressed by something else than gzip?)");
    for (uint32_t i = 0; i < n && used + 64 < sizeof all; i++)
        used +=
            (size_t)snprintf(all + used, sizeof all - used, "%s%.*s", i == 0 ? "" : ", ",
                             header[i].n < 60 ? (int)header[i].n : 60, (const char *)header[i].p);
    return err_set(e, ERR_INVALID, "the header has no column \"%s\" for the %s; it has: %s", name,
                   what, all);
}

// Where the time and the key are, and of what type the key is.
static int bind_special(struct row_plan *p, const struct slice *header, uint32_t n, struct err *e)
{
    if (p->o.time_field != NULL) {
        p->time_at = find(header, n, p->o.time_field);
        if (p->time_at < 0)
            return header_lacks(header, n, "record time", p->o.time_field, e);
    }
    if (p->o.key_field != NULL) {
        p->key_at = find(header, n, p->o.key_field);
        if (p->key_at < 0)
            return header_lacks(header, n, "record key", p->o.key_field, e);
        int f = p->o.schema == NULL ? -1 : schema_find(p->o.schema, slice_str(p->o.key_field));
        p->key_type = f < 0 ? FIELD_ANY : p->o.schema->fields[f].type;
    }
    return 0;
}

static int bind_schema(struct row_plan *p, const struct slice *header, uint32_t n, struct err *e)
{
    const struct schema *s = p->o.schema;
    start_binding(p, s->count, n);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct field *f = &s->fields[i];
        int at = find(header, n, f->name);
        if (at >= 0)
            add_column(p, f, (uint32_t)at);
        else if (!f->nullable && !f->has_default)
            return header_lacks(header, n, "schema's field", f->name, e);
    }
    for (uint32_t i = 0; i < n; i++)
        if (schema_find(s, header[i]) < 0)
            p->unused[p->unused_count++] = arena_slice(&p->arena, header[i]);
    return bind_special(p, header, n, e);
}

int row_plan_bind(struct row_plan *p, const struct slice *header, uint32_t n, struct err *e)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = i + 1; k < n; k++)
            if (slice_eq(header[i], header[k]))
                return err_set(e, ERR_INVALID, "the header has column \"%.*s\" twice",
                               header[i].n < 100 ? (int)header[i].n : 100,
                               (const char *)header[i].p);
    if (p->o.schema != NULL)
        return bind_schema(p, header, n, e);
    start_binding(p, n, n);
    for (uint32_t i = 0; i < n; i++) {
        struct field f = {.name = (char *)arena_slice(&p->arena, header[i]).p, .type = FIELD_ANY};
        add_column(p, &f, i);
    }
    return bind_special(p, header, n, e);
}

int row_plan_bind_order(struct row_plan *p, struct err *e)
{
    const struct schema *s = p->o.schema;
    if (s == NULL)
        return err_set(e, ERR_INVALID,
                       "a CSV file without a header needs a schema for its columns' names");
    struct slice *names = check_alloc(calloc(s->count + 1, sizeof *names));
    for (uint32_t i = 0; i < s->count; i++)
        names[i] = slice_str(s->fields[i].name);
    int rc = row_plan_bind(p, names, s->count, e);
    free(names);
    return rc;
}

struct slice row_plan_unused(const struct row_plan *p, uint32_t i)
{
    return i < p->unused_count ? p->unused[i] : (struct slice){NULL, 0};
}

static int bad_cell(const char *name, const char *type, struct slice cell, struct err *e)
{
    if (cell.n == 0)
        return err_set(e, ERR_CORRUPT, "column \"%s\" is empty; it must be a %s", name, type);
    return err_set(e, ERR_CORRUPT, "column \"%s\": \"%.*s\" is not a %s", name,
                   cell.n < 100 ? (int)cell.n : 100, (const char *)cell.p, type);
}

static int convert_key(struct row_plan *p, struct slice cell, struct row_out *out, struct err *e)
{
    buf_clear(&out->key);
    out->has_key = cell.n > 0;
    if (cell.n > 0 && !cell_put_key(p->key_type, p->o.key_format, cell, &out->key))
        return err_set(e, ERR_CORRUPT, "key column \"%s\": \"%.*s\" cannot be a key of format %s",
                       p->o.key_field, cell.n < 100 ? (int)cell.n : 100, (const char *)cell.p,
                       format_name(p->o.key_format));
    return 0;
}

int row_plan_convert(struct row_plan *p, const struct csv_row *row, struct row_out *out,
                     struct err *e)
{
    if (row->count != p->width)
        return err_set(e, ERR_CORRUPT, "the row has %u columns, the header has %u", row->count,
                       p->width);
    uint32_t need = p->fixed;
    for (uint32_t i = 0; i < row->count; i++)
        need += cell_json_max(row->fields[i].n);
    buf_clear(&out->json);
    uint8_t *start = buf_reserve(&out->json, need), *w = start;
    for (uint32_t i = 0; i < p->columns_count; i++) {
        const struct column *c = &p->columns[i];
        struct slice cell = row->fields[c->at];
        memcpy(w, c->before.p, c->before.n);
        w += c->before.n;
        bool text = row->quoted[c->at] && c->type == FIELD_STRING; // "" is a text, not a gap
        if (cell.n == 0 && c->fallback.p != NULL && !text) {
            memcpy(w, c->fallback.p, c->fallback.n);
            w += c->fallback.n;
            continue;
        }
        w = cell.n == 0 && !text ? NULL : cell_put_json(c->type, cell, w);
        if (w == NULL)
            return bad_cell(c->name, field_type_name(c->type), cell, e);
    }
    if (p->columns_count == 0)
        *w++ = '{';
    *w++ = '}';
    out->json.n = (uint32_t)(w - start);
    out->has_key = false;
    out->time = INT64_MIN;
    if (p->time_at >= 0 && !cell_time(row->fields[p->time_at], &out->time))
        return bad_cell(p->o.time_field, "timestamp", row->fields[p->time_at], e);
    return p->key_at < 0 ? 0 : convert_key(p, row->fields[p->key_at], out, e);
}
