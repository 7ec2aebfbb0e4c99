// SPDX-License-Identifier: Apache-2.0
#include "connectors/source_conf.h"

#include "base/text.h"

#include <limits.h>

const struct setting source_conf_table[] = {
    {"path", SETTING_TEXT, true, NULL, "file or pattern (\"data/*.csv.gz\"); gzip is recognised"},
    {"format", SETTING_TEXT, false, NULL, "\"csv\" or \"jsonl\"; by default from the file's name"},
    {"header", SETTING_FLAG, false, "true", "csv: the first row names the columns"},
    {"delimiter", SETTING_TEXT, false, ",", "csv: between columns; one character or \"tab\""},
    {"time", SETTING_TEXT, false, NULL, "field that holds the record's time"},
    {"partition_by", SETTING_TEXT, false, NULL,
     "\"key\", \"round_robin\" or \"blocks:N\" (N rows each in turn); default: key if there is "
     "one"},
    {"follow", SETTING_FLAG, false, "true", "wait for more at the end (never in bounded runs)"},
    {"max_out_of_order", SETTING_DURATION, false, "0ms",
     "how much earlier than the latest row a row may be"},
    {"commit_rows", SETTING_COUNT, false, "20000", "most rows in one transaction"},
    {"commit_ms", SETTING_COUNT, false, NULL, "longest time between commits"},
    {"poll", SETTING_DURATION, false, "200ms", "how often to look for more at the end"},
    {"idle_after", SETTING_DURATION, false, "30s",
     "say that nothing comes when there was no row for so long (following only)"},
    {"max_row_bytes", SETTING_COUNT, false, "1048576", "a longer row is set aside"},
    {NULL, SETTING_TEXT, false, NULL, NULL},
};

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), t = strlen(tail);
    return n >= t && strcmp(s + n - t, tail) == 0;
}

static int parse_format(const struct connector_spec *spec, const char *format, const char *path,
                        bool *jsonl, struct err *e)
{
    static const char *const names[] = {"csv", "jsonl", NULL};
    if (format == NULL) {
        *jsonl = ends_with(path, ".jsonl") || ends_with(path, ".jsonl.gz") ||
                 ends_with(path, ".ndjson") || ends_with(path, ".json") ||
                 ends_with(path, ".json.gz");
        return 0;
    }
    *jsonl = strcmp(format, "jsonl") == 0;
    if (*jsonl || strcmp(format, "csv") == 0)
        return 0;
    const char *near = text_nearest_of(format, names);
    return settings_fail(spec, "format", e, "\"%s\" is not a format of the file source; %s \"%s\"",
                         format, near == NULL ? "there are" : "did you mean",
                         near == NULL ? "csv\" and \"jsonl" : near);
}

static int parse_spread(const struct connector_spec *spec, const char *text, enum spread *spread,
                        int64_t *block, struct err *e)
{
    *block = 1;
    if (text == NULL)
        *spread = spec->key_field != NULL ? SPREAD_KEY : SPREAD_ROUND_ROBIN;
    else if (strcmp(text, "key") == 0)
        *spread = SPREAD_KEY;
    else if (strcmp(text, "round_robin") == 0)
        *spread = SPREAD_ROUND_ROBIN;
    else if (strncmp(text, "blocks:", 7) == 0 && (*block = atoll(text + 7)) > 0)
        *spread = SPREAD_BLOCKS;
    else
        return settings_fail(spec, "partition_by", e,
                             "must be \"key\", \"round_robin\" or \"blocks:10000\", not \"%s\"",
                             text);
    if (*spread == SPREAD_KEY && spec->key_field == NULL)
        return settings_fail(spec, "partition_by", e,
                             "\"key\" needs a key: give key = \"<field>\" or use \"round_robin\"");
    return 0;
}

static int need_field(const struct connector_spec *spec, const char *option, const char *field,
                      struct err *e)
{
    const struct schema *schema = spec->codec->schema;
    if (field == NULL || schema == NULL || schema_find(schema, slice_str(field)) >= 0)
        return 0;
    const char *near = schema_nearest(schema, field);
    return settings_fail(spec, option, e, "the schema has no field \"%s\"%s%s%s", field,
                         near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near,
                         near == NULL ? "" : "\"?");
}

static int read_rows(const struct connector_spec *spec, struct arena *a, struct source_conf *c,
                     struct err *e)
{
    const struct setting *t = source_conf_table;
    int64_t max_row = settings_count(spec, t, "max_row_bytes");
    c->rows = (struct source_rows_options){
        .header = settings_flag(spec, t, "header"),
        .time_field = c->time_field,
        .key_field = spec->key_field,
        .key_format = spec->key_format,
        .codec = spec->codec,
        .max_row = max_row > (64 << 20) ? 64 << 20 : (uint32_t)max_row,
    };
    if (parse_format(spec, settings_text(spec, t, "format", a), c->pattern, &c->rows.jsonl, e) != 0)
        return -1;
    return settings_delimiter(spec, settings_text(spec, t, "delimiter", a), &c->rows.delimiter, e);
}

int source_conf_read(const struct connector_spec *spec, struct arena *a, struct source_conf *c,
                     struct err *e)
{
    const struct setting *t = source_conf_table;
    memset(c, 0, sizeof *c);
    if (settings_check(spec, t, e) != 0)
        return -1;
    c->pattern = settings_text(spec, t, "path", a);
    c->time_field = settings_text(spec, t, "time", a);
    c->follow = settings_flag(spec, t, "follow");
    c->max_out_of_order = settings_duration(spec, t, "max_out_of_order");
    c->commit_rows = settings_count(spec, t, "commit_rows");
    c->commit_ms = settings_given(spec, "commit_ms") ? settings_count(spec, t, "commit_ms") : -1;
    c->poll_ms = settings_duration(spec, t, "poll");
    c->idle_after_ms = settings_duration(spec, t, "idle_after");
    if (c->pattern[0] == 0 || strlen(c->pattern) >= PATH_MAX)
        return settings_fail(spec, "path", e, "must be the path of a file, or a pattern");
    if (c->commit_rows == 0)
        return settings_fail(spec, "commit_rows", e, "must be at least 1");
    enum format f = spec->codec->format;
    if (f != FORMAT_JSON && f != FORMAT_AVRO)
        return settings_fail(spec, "value", e, "the file source writes json or avro, not %s",
                             format_name(f));
    const char *spread = settings_text(spec, t, "partition_by", a);
    if (read_rows(spec, a, c, e) != 0 ||
        parse_spread(spec, spread, &c->spread, &c->block, e) != 0 ||
        need_field(spec, "time", c->time_field, e) != 0)
        return -1;
    return need_field(spec, "key", spec->key_field, e);
}

int source_conf_check(const struct connector_spec *spec, struct err *e)
{
    struct arena a;
    struct source_conf conf;
    arena_init(&a);
    int rc = source_conf_read(spec, &a, &conf, e);
    arena_release(&a);
    return rc;
}
