// SPDX-License-Identifier: Apache-2.0
#include "connectors/source_rows.h"

#include "base/hash.h"
#include "base/text.h"
#include "connectors/row_plan.h"

struct source_rows {
    struct source_rows_options o;
    struct csv *csv;
    struct row_plan *plan;
    struct row_out out;
    bool ready;
    uint64_t header;
    struct err reason; // of the last bad row

    // JSON lines, and CSV on its way to Avro
    struct codec *json;
    struct doc_ctx *ctx;
    struct arena arena;
    struct field_ref time_ref, key_ref;
    struct buf encoded;
};

int source_rows_new(const struct source_rows_options *o, struct source_rows **out, struct err *e)
{
    struct source_rows *s = check_alloc(calloc(1, sizeof *s));
    const struct schema *schema = o->codec->schema;
    s->o = *o;
    arena_init(&s->arena);
    buf_init(&s->encoded);
    buf_init(&s->out.json);
    buf_init(&s->out.key);
    s->ctx = doc_ctx_new();
    if (codec_new(FORMAT_JSON, schema, &s->json, e) != 0) {
        source_rows_free(s);
        return -1;
    }
    if (o->time_field != NULL)
        s->time_ref = field_ref_of(slice_str(o->time_field), schema);
    if (o->key_field != NULL)
        s->key_ref = field_ref_of(slice_str(o->key_field), schema);
    struct row_plan_options plan = {.schema = schema,
                                    .time_field = o->time_field,
                                    .key_field = o->key_field,
                                    .key_format = o->key_format};
    s->plan = row_plan_new(&plan);
    *out = s;
    return 0;
}

void source_rows_free(struct source_rows *s)
{
    if (s == NULL)
        return;
    csv_free(s->csv);
    row_plan_free(s->plan);
    codec_free(s->json);
    doc_ctx_free(s->ctx);
    arena_release(&s->arena);
    buf_release(&s->encoded);
    buf_release(&s->out.json);
    buf_release(&s->out.key);
    free(s);
}

void source_rows_restart(struct source_rows *s)
{
    csv_free(s->csv);
    s->csv = s->o.jsonl ? NULL : csv_new(s->o.delimiter);
    s->ready = s->o.jsonl;
    s->header = 0;
}

bool source_rows_ready(const struct source_rows *s)
{
    return s->ready;
}

uint64_t source_rows_header(const struct source_rows *s)
{
    return s->header;
}

struct slice source_rows_unused(const struct source_rows *s, uint32_t i)
{
    return row_plan_unused(s->plan, i);
}

static uint32_t count_lines(const uint8_t *p, uint32_t n)
{
    uint32_t lines = 0;
    const uint8_t *end = p + n;
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        lines++;
        p++;
    }
    return lines;
}

static void frame(struct source_row *row, const uint8_t *p, uint32_t n)
{
    row->bytes = n;
    row->lines = count_lines(p, n);
    while (n > 0 && (p[n - 1] == '\n' || p[n - 1] == '\r'))
        n--;
    row->raw = slice_of(p, n);
}

static int bad(struct source_rows *s, struct source_row *row)
{
    row->kind = ROW_BAD;
    row->reason = s->reason.text;
    return 0;
}

// A row that outgrew the limit: often a quote that is never closed. Only its first line is set
// aside, so that the rows behind it get their chance.
static int oversize(struct source_rows *s, struct slice window, struct source_row *row)
{
    const uint8_t *nl = memchr(window.p, '\n', window.n);
    frame(row, window.p, nl == NULL ? window.n : (uint32_t)(nl + 1 - window.p));
    if (row->raw.n > 4096)
        row->raw.n = 4096;
    err_set(&s->reason, ERR_CORRUPT, "the row is longer than max_row_bytes (%u)%s", s->o.max_row,
            s->o.jsonl ? "" : "; is a quote not closed?");
    if (s->csv != NULL) { // it remembers how far into these bytes it was
        csv_free(s->csv);
        s->csv = csv_new(s->o.delimiter);
    }
    return bad(s, row);
}

static int to_topic_format(struct source_rows *s, struct slice json, struct source_row *row)
{
    row->kind = ROW_GOOD;
    row->value = json;
    if (s->o.codec->format == FORMAT_JSON)
        return 0;
    struct doc doc;
    arena_reset(&s->arena);
    doc_open(&doc, s->ctx, &s->arena, s->json, json);
    buf_clear(&s->encoded);
    if (doc_encode(&doc, s->o.codec, &s->encoded, &s->reason) != 0)
        return bad(s, row);
    row->value = buf_slice(&s->encoded);
    return 0;
}

static int take_header(struct source_rows *s, const struct csv_row *cells, struct source_row *row,
                       struct err *e)
{
    row->kind = ROW_EMPTY;
    s->header = hash_bytes(row->raw);
    s->ready = true;
    return row_plan_bind(s->plan, cells->fields, cells->count, e);
}

static int convert(struct source_rows *s, const struct csv_row *cells, struct source_row *row)
{
    if (row_plan_convert(s->plan, cells, &s->out, &s->reason) != 0)
        return bad(s, row);
    row->time = s->out.time;
    row->key = s->out.has_key ? slice_of(s->out.key.p, s->out.key.n) : (struct slice){NULL, 0};
    if (s->o.codec->format != FORMAT_JSON)
        memset(buf_reserve(&s->out.json, LINE_READER_PADDING), 0, LINE_READER_PADDING);
    return to_topic_format(s, buf_slice(&s->out.json), row);
}

static int next_csv(struct source_rows *s, struct slice window, bool last, struct source_row *row,
                    struct err *e)
{
    struct csv_row cells;
    if (!s->ready && !s->o.header) {
        if (row_plan_bind_order(s->plan, e) != 0)
            return -1;
        s->ready = true;
    }
    int rc = csv_next(s->csv, window, last, &cells, &s->reason);
    if (rc == 0 && window.n > s->o.max_row && !s->ready)
        return err_set(e, ERR_INVALID, "the header row is longer than max_row_bytes (%u)",
                       s->o.max_row);
    if (rc == 0 && window.n > s->o.max_row)
        return oversize(s, window, row);
    if (rc == 0)
        return 0;
    if (cells.end <= cells.begin) { // nothing framed: at least one line has to go
        const uint8_t *nl = memchr(window.p, '\n', window.n);
        cells.begin = window.p;
        cells.end = nl == NULL ? window.p + window.n : nl + 1;
    }
    frame(row, window.p, (uint32_t)(cells.end - window.p));
    if (rc < 0 && !s->ready)
        return err_set(e, ERR_INVALID, "the header row: %s", s->reason.text);
    if (rc < 0)
        return bad(s, row);
    if (row->raw.n == 0) {
        row->kind = ROW_EMPTY;
        return 0;
    }
    if (!s->ready)
        return take_header(s, &cells, row, e);
    return convert(s, &cells, row);
}

static int json_time(struct source_rows *s, struct doc *doc, int64_t *out)
{
    struct value v;
    if (doc_get(doc, &s->time_ref, &v, &s->reason) != 0)
        return -1;
    if (v.type == VALUE_INT)
        *out = v.i;
    else if (v.type != VALUE_STRING || text_time_ms(v.s, out) != 0)
        return err_set(&s->reason, ERR_CORRUPT,
                       "field \"%s\" is a %s, not a time (epoch milliseconds or ISO 8601)",
                       s->o.time_field, value_type_name(v.type));
    return 0;
}

static int next_json(struct source_rows *s, struct slice window, bool last, struct source_row *row)
{
    const uint8_t *nl = memchr(window.p, '\n', window.n);
    if (nl == NULL && window.n > s->o.max_row)
        return oversize(s, window, row);
    if (nl == NULL && (!last || window.n == 0))
        return 0;
    frame(row, window.p, nl == NULL ? window.n : (uint32_t)(nl + 1 - window.p));
    if (row->raw.n == 0) {
        row->kind = ROW_EMPTY;
        return 0;
    }
    struct doc doc;
    arena_reset(&s->arena);
    doc_open(&doc, s->ctx, &s->arena, s->json, row->raw);
    if (doc_validate(&doc, &s->reason) != 0 ||
        (s->o.time_field != NULL && json_time(s, &doc, &row->time) != 0))
        return bad(s, row);
    if (s->o.key_field != NULL) {
        if (doc_key(&doc, &s->key_ref, s->o.key_format, &s->out.key, &s->reason) != 0)
            return bad(s, row);
        row->key = buf_slice(&s->out.key);
    }
    return to_topic_format(s, row->raw, row);
}

int source_rows_next(struct source_rows *s, struct slice window, bool last, struct source_row *out,
                     struct err *e)
{
    memset(out, 0, sizeof *out);
    out->kind = ROW_MORE;
    out->time = INT64_MIN;
    return s->o.jsonl ? next_json(s, window, last, out) : next_csv(s, window, last, out, e);
}
