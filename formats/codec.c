// SPDX-License-Identifier: Apache-2.0
#include "formats/codec.h"

#include <ctype.h>

#include "base/hash.h"
#include "base/text.h"
#include "formats/avro.h"
#include "formats/plan.h"

static const char *const names[] = {"json", "avro",   "csv",   "string",  "long",
                                    "int",  "double", "bytes", "carried", NULL};

const char *format_name(enum format f)
{
    return (uint32_t)f <= FORMAT_CARRIED ? names[f] : "unknown";
}

int format_parse(const char *text, enum format *out, struct err *e)
{
    // "carried" is ours; users cannot ask for it.
    for (int i = 0; i < FORMAT_CARRIED; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (enum format)i;
            return 0;
        }
    }
    const char *near = text_nearest_of(text, names);
    if (near == names[FORMAT_CARRIED])
        near = NULL;
    return err_set(
        e, ERR_INVALID,
        "'%s' is not a format%s%s%s; the formats are json, avro, csv, string, long, int, "
        "double, bytes",
        text, near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
        near == NULL ? "" : "'");
}

static uint32_t id_of(const struct codec *c, struct slice extra)
{
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s%c", format_name(c->format), c->delimiter == 0 ? ',' : c->delimiter);
    for (uint32_t i = 0; c->schema != NULL && i < c->schema->count; i++) {
        const struct field *f = &c->schema->fields[i];
        buf_printf(&b, "\n%s %s%s%s", f->name, field_type_name(f->type), f->nullable ? "?" : "",
                   f->null_last ? "!" : "");
        if (f->has_default)
            value_to_json(&f->default_value, &b);
    }
    buf_slice_put(&b, extra);
    uint32_t id = (uint32_t)(hash_bytes(buf_slice(&b)) >> 32);
    buf_release(&b);
    return id == 0 ? 1 : id;
}

static struct codec *make(enum format f, const struct schema *s, char delimiter)
{
    struct codec *c = check_alloc(calloc(1, sizeof(*c)));
    c->format = f;
    c->delimiter = delimiter;
    c->schema = f == FORMAT_JSON || f == FORMAT_AVRO || f == FORMAT_CSV ? s : NULL;
    c->plan = c->schema == NULL ? NULL : plan_new(c->schema);
    c->id = id_of(c, (struct slice){NULL, 0});
    return c;
}

int codec_new(enum format f, const struct schema *s, struct codec **out, struct err *e)
{
    *out = NULL;
    if (s == NULL && (f == FORMAT_AVRO || f == FORMAT_CSV))
        return err_set(e, ERR_INVALID,
                       "format %s needs a schema: the fields' names and types in order",
                       format_name(f));
    struct codec *c = make(f, s, 0);
    if (f == FORMAT_AVRO && avro_plan(c->plan, s, NULL, e) != 0) {
        codec_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

int codec_new_csv(const struct schema *s, char delimiter, struct codec **out, struct err *e)
{
    *out = NULL;
    if (isalnum((unsigned char)delimiter) || (delimiter != 0 && strchr(".+-\"\r\n", delimiter)))
        return err_set(e, ERR_INVALID,
                       "'%c' cannot be a CSV delimiter: numbers and words are made of it; use "
                       "',', ';', '|' or a tab",
                       delimiter);
    if (codec_new(FORMAT_CSV, s, out, e) != 0)
        return -1;
    (*out)->delimiter = delimiter;
    (*out)->id = id_of(*out, (struct slice){NULL, 0});
    return 0;
}

int codec_new_avro(struct slice writer, const struct schema *reader, struct codec **out,
                   struct err *e)
{
    struct arena a;
    struct schema *written = NULL;
    *out = NULL;
    arena_init(&a);
    if (schema_from_avro(writer, &a, &written, e) != 0) {
        arena_release(&a);
        return -1;
    }
    struct codec *c = make(FORMAT_AVRO, reader == NULL ? written : reader, 0);
    struct plan *p = c->plan;
    if (avro_plan(p, c->schema, written, e) != 0) {
        arena_release(&a);
        codec_free(c);
        return -1;
    }
    if (p->resolved)
        c->id = id_of(c, writer);
    p->writer = a; // moved in: step names and, without a reader, the schema live there
    *out = c;
    return 0;
}

void codec_free(struct codec *c)
{
    if (c == NULL)
        return;
    plan_free(c->plan);
    free(c);
}
