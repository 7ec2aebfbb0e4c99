// SPDX-License-Identifier: Apache-2.0
#include "connectors/sink_conf.h"

#include "base/text.h"

const struct setting sink_conf_table[] = {
    {"path", SETTING_TEXT, true, NULL, "directory for the files; created when missing"},
    {"format", SETTING_TEXT, false, "csv", "\"csv\", \"jsonl\" or \"avro\""},
    {"roll_rows", SETTING_COUNT, false, "100000", "rows in a file"},
    {"roll_every", SETTING_DURATION, false, NULL,
     "event time in a file (\"1h\", \"1d\"): a row of a later span begins a new file"},
    {"columns", SETTING_NAMES, false, NULL,
     "csv: which fields, in this order; default: the schema's"},
    {"delimiter", SETTING_TEXT, false, ",", "csv: between columns; one character or \"tab\""},
    {"booleans", SETTING_TEXT, false, "true/false", "csv: \"true/false\" or \"0/1\""},
    {NULL, SETTING_TEXT, false, NULL, NULL},
};

static const char *const format_names[] = {"csv", "jsonl", "avro", NULL};

const char *sink_format_name(enum sink_format f)
{
    return format_names[f];
}

static int read_format(const struct connector_spec *spec, const char *text, enum sink_format *out,
                       struct err *e)
{
    for (int i = 0; format_names[i] != NULL; i++) {
        if (strcmp(text, format_names[i]) == 0) {
            *out = (enum sink_format)i;
            return 0;
        }
    }
    const char *near = text_nearest_of(text, format_names);
    return settings_fail(spec, "format", e,
                         "\"%s\" is not a format of the file sink (csv, jsonl, avro)%s%s%s", text,
                         near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near,
                         near == NULL ? "" : "\"?");
}

// The schema's fields unless the script names some; every one must exist.
static int read_columns(const struct connector_spec *spec, struct arena *a, struct sink_conf *c,
                        struct err *e)
{
    const struct schema *schema = spec->codec->schema;
    c->columns = settings_names(spec, "columns", a, &c->columns_count);
    for (uint32_t i = 0; i < c->columns_count && schema != NULL; i++) {
        if (schema_find(schema, slice_str(c->columns[i])) >= 0)
            continue;
        const char *near = schema_nearest(schema, c->columns[i]);
        return settings_fail(spec, "columns", e, "topic %s has no field \"%s\"%s%s%s", spec->topic,
                             c->columns[i], near == NULL ? "" : "; did you mean \"",
                             near == NULL ? "" : near, near == NULL ? "" : "\"?");
    }
    if (c->format != SINK_CSV || c->columns_count > 0)
        return 0;
    if (schema == NULL)
        return settings_fail(spec, "columns", e,
                             "topic %s has no schema, so csv needs the names: columns = { \"…\" }",
                             spec->topic);
    c->columns = arena_alloc(a, (schema->count + 1) * sizeof *c->columns);
    for (uint32_t i = 0; i < schema->count; i++)
        c->columns[i] = schema->fields[i].name;
    c->columns_count = schema->count;
    return 0;
}

static int read_booleans(const struct connector_spec *spec, struct arena *a, struct sink_conf *c,
                         struct err *e)
{
    const char *text = settings_text(spec, sink_conf_table, "booleans", a);
    c->booleans_01 = strcmp(text, "0/1") == 0;
    if (!c->booleans_01 && strcmp(text, "true/false") != 0)
        return settings_fail(spec, "booleans", e, "must be \"true/false\" or \"0/1\", not \"%s\"",
                             text);
    return 0;
}

int sink_conf_read(const struct connector_spec *spec, struct arena *a, struct sink_conf *c,
                   struct err *e)
{
    const struct setting *t = sink_conf_table;
    memset(c, 0, sizeof *c);
    if (settings_check(spec, t, e) != 0)
        return -1;
    c->path = settings_text(spec, t, "path", a);
    c->roll_rows = settings_count(spec, t, "roll_rows");
    c->roll_every = settings_duration(spec, t, "roll_every");
    if (c->path[0] == 0)
        return settings_fail(spec, "path", e, "must name a directory");
    if (c->roll_rows == 0)
        return settings_fail(spec, "roll_rows", e, "must be at least 1");
    if (settings_given(spec, "roll_every") && c->roll_every <= 0)
        return settings_fail(spec, "roll_every", e, "must be longer than nothing");
    if (read_format(spec, settings_text(spec, t, "format", a), &c->format, e) != 0 ||
        settings_delimiter(spec, settings_text(spec, t, "delimiter", a), &c->delimiter, e) != 0 ||
        read_booleans(spec, a, c, e) != 0)
        return -1;
    if (c->format == SINK_AVRO && spec->codec->schema == NULL)
        return settings_fail(spec, "format", e, "avro needs a schema, and topic %s has none",
                             spec->topic);
    return read_columns(spec, a, c, e);
}

int sink_conf_check(const struct connector_spec *spec, struct err *e)
{
    struct arena a;
    struct sink_conf conf;
    arena_init(&a);
    int rc = sink_conf_read(spec, &a, &conf, e);
    arena_release(&a);
    return rc;
}
