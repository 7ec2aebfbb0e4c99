// SPDX-License-Identifier: Apache-2.0
#include "connectors/settings.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>

// Words that belong to app:source / app:sink itself; the map may or may not still hold them.
static const char *const spec_words[] = {"connector", "from",       "to",         "value",
                                         "key",       "key_format", "partitions", NULL};

static const struct value *lookup(const struct connector_spec *spec, const char *name)
{
    if (spec->options.type != VALUE_MAP)
        return NULL;
    for (uint32_t i = 0; i < spec->options.count; i++)
        if (slice_eq_str(spec->options.keys[i], name))
            return spec->options.items[i].type == VALUE_NULL ? NULL : &spec->options.items[i];
    return NULL;
}

static const struct setting *row_of(const struct setting *table, const char *name)
{
    for (; table->name != NULL; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

int settings_fail(const struct connector_spec *spec, const char *option, struct err *e,
                  const char *fmt, ...)
{
    char text[640];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_INVALID, "%s: %s \"%s\": option \"%s\": %s",
                   spec->where == NULL ? "script" : spec->where, spec->is_sink ? "sink" : "source",
                   spec->name, option, text);
}

static const char *name_at(void *arg, int i)
{
    const struct setting *table = arg;
    return table[i].name; // the last one is NULL
}

static int unknown(const struct connector_spec *spec, const struct setting *table, struct slice key,
                   struct err *e)
{
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)(key.n < 100 ? key.n : 100), (const char *)key.p);
    const char *near = text_nearest(name, name_at, (void *)table);
    if (near != NULL)
        return settings_fail(spec, name, e, "no such option; did you mean \"%s\"?", near);
    char all[512];
    size_t n = 0;
    all[0] = 0;
    for (const struct setting *s = table; s->name != NULL && n < sizeof all; s++)
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n == 0 ? "" : ", ", s->name);
    return settings_fail(spec, name, e, "no such option; there are: %s", all);
}

static const char *example(enum setting_type type)
{
    switch (type) {
    case SETTING_TEXT:
        return "a text, e.g. \"data/file.csv\"";
    case SETTING_FLAG:
        return "true or false";
    case SETTING_COUNT:
        return "a whole number, e.g. 1000";
    case SETTING_DURATION:
        return "a duration, e.g. \"250ms\" or \"1d\"";
    case SETTING_NAMES:
        return "a list of names, e.g. { \"a\", \"b\" }";
    }
    return "";
}

static bool all_texts(const struct value *v)
{
    for (uint32_t i = 0; i < v->count; i++)
        if (v->items[i].type != VALUE_STRING || v->items[i].s.n == 0)
            return false;
    return true;
}

static bool duration_of(const struct value *v, int64_t *out)
{
    char text[64];
    struct err e;
    if (v->type != VALUE_STRING || v->s.n >= sizeof text)
        return false;
    snprintf(text, sizeof text, "%.*s", (int)v->s.n, (const char *)v->s.p);
    return text_duration_ms(text, out, &e) == 0;
}

static bool fits(const struct value *v, enum setting_type type)
{
    int64_t ms;
    switch (type) {
    case SETTING_TEXT:
        return v->type == VALUE_STRING && memchr(v->s.p, 0, v->s.n) == NULL;
    case SETTING_FLAG:
        return v->type == VALUE_BOOL;
    case SETTING_COUNT:
        return v->type == VALUE_INT && v->i >= 0;
    case SETTING_DURATION:
        return duration_of(v, &ms);
    case SETTING_NAMES:
        return v->type == VALUE_LIST && all_texts(v);
    }
    return false;
}

static bool is_spec_word(struct slice key)
{
    for (const char *const *w = spec_words; *w != NULL; w++)
        if (slice_eq_str(key, *w))
            return true;
    return false;
}

int settings_check(const struct connector_spec *spec, const struct setting *table, struct err *e)
{
    uint32_t n = spec->options.type == VALUE_MAP ? spec->options.count : 0;
    for (uint32_t i = 0; i < n; i++) {
        struct slice key = spec->options.keys[i];
        const struct setting *row = table;
        while (row->name != NULL && !slice_eq_str(key, row->name))
            row++;
        if (row->name == NULL) {
            if (is_spec_word(key))
                continue;
            return unknown(spec, table, key, e);
        }
        const struct value *v = &spec->options.items[i];
        if (v->type != VALUE_NULL && !fits(v, row->type))
            return settings_fail(spec, row->name, e, "must be %s, not %s", example(row->type),
                                 value_type_name(v->type));
    }
    for (const struct setting *row = table; row->name != NULL; row++)
        if (row->required && lookup(spec, row->name) == NULL)
            return settings_fail(spec, row->name, e, "is needed: %s", example(row->type));
    return 0;
}

bool settings_given(const struct connector_spec *spec, const char *name)
{
    return lookup(spec, name) != NULL;
}

const char *settings_text(const struct connector_spec *spec, const struct setting *table,
                          const char *name, struct arena *a)
{
    const struct setting *row = row_of(table, name);
    CHECK(row != NULL && row->type == SETTING_TEXT);
    const struct value *v = lookup(spec, name);
    return v == NULL ? row->fallback : (const char *)arena_slice(a, v->s).p;
}

bool settings_flag(const struct connector_spec *spec, const struct setting *table, const char *name)
{
    const struct setting *row = row_of(table, name);
    CHECK(row != NULL && row->type == SETTING_FLAG);
    const struct value *v = lookup(spec, name);
    return v == NULL ? row->fallback != NULL && strcmp(row->fallback, "true") == 0 : v->b;
}

int64_t settings_count(const struct connector_spec *spec, const struct setting *table,
                       const char *name)
{
    const struct setting *row = row_of(table, name);
    CHECK(row != NULL && row->type == SETTING_COUNT);
    const struct value *v = lookup(spec, name);
    return v == NULL ? (row->fallback == NULL ? 0 : atoll(row->fallback)) : v->i;
}

int64_t settings_duration(const struct connector_spec *spec, const struct setting *table,
                          const char *name)
{
    const struct setting *row = row_of(table, name);
    CHECK(row != NULL && row->type == SETTING_DURATION);
    const struct value *v = lookup(spec, name);
    int64_t ms = 0;
    struct err e;
    if (v != NULL)
        CHECK(duration_of(v, &ms));
    else if (row->fallback != NULL)
        CHECK(text_duration_ms(row->fallback, &ms, &e) == 0);
    return ms;
}

const char **settings_names(const struct connector_spec *spec, const char *name, struct arena *a,
                            uint32_t *n)
{
    const struct value *v = lookup(spec, name);
    *n = v == NULL ? 0 : v->count;
    const char **names = arena_alloc(a, (*n + 1) * sizeof *names);
    for (uint32_t i = 0; i < *n; i++)
        names[i] = (const char *)arena_slice(a, v->items[i].s).p;
    return names;
}

int settings_delimiter(const struct connector_spec *spec, const char *text, char *out,
                       struct err *e)
{
    if (strcmp(text, "tab") == 0)
        *out = '\t';
    else if (strlen(text) == 1 && text[0] != '"' && text[0] != '\n' && text[0] != '\r')
        *out = text[0];
    else
        return settings_fail(spec, "delimiter", e, "must be one character or \"tab\", not \"%s\"",
                             text);
    return 0;
}
