// SPDX-License-Identifier: Apache-2.0
#include "connectors/sink_encoder.h"

#include "formats/csv.h"

struct sink_encoder {
    const struct sink_conf *conf;
    const struct codec *codec;
    struct codec *avro;
    struct doc_ctx *ctx;
    struct arena arena;
    struct field_ref *columns;
    struct buf header, cell;
};

static int make_header(struct sink_encoder *s, struct err *e)
{
    if (s->conf->format == SINK_AVRO)
        return schema_to_avro(s->codec->schema, &s->header, e);
    if (s->conf->format != SINK_CSV)
        return 0;
    for (uint32_t i = 0; i < s->conf->columns_count; i++) {
        if (i > 0)
            buf_u8(&s->header, (uint8_t)s->conf->delimiter);
        csv_put_field(slice_str(s->conf->columns[i]), s->conf->delimiter, &s->header);
    }
    buf_u8(&s->header, '\n');
    return 0;
}

int sink_encoder_new(const struct sink_conf *conf, const struct codec *codec,
                     struct sink_encoder **out, struct err *e)
{
    struct sink_encoder *s = check_alloc(calloc(1, sizeof *s));
    s->conf = conf;
    s->codec = codec;
    s->ctx = doc_ctx_new();
    arena_init(&s->arena);
    buf_init(&s->header);
    buf_init(&s->cell);
    s->columns = check_alloc(calloc(conf->columns_count + 1, sizeof *s->columns));
    for (uint32_t i = 0; i < conf->columns_count; i++)
        s->columns[i] = field_ref_of(slice_str(conf->columns[i]), codec->schema);
    if (make_header(s, e) != 0 ||
        (conf->format == SINK_AVRO && codec_new(FORMAT_AVRO, codec->schema, &s->avro, e) != 0)) {
        sink_encoder_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void sink_encoder_free(struct sink_encoder *s)
{
    if (s == NULL)
        return;
    codec_free(s->avro);
    doc_ctx_free(s->ctx);
    arena_release(&s->arena);
    buf_release(&s->header);
    buf_release(&s->cell);
    free(s->columns);
    free(s);
}

struct slice sink_encoder_header(const struct sink_encoder *s)
{
    return buf_slice(&s->header);
}

static void put_number(const struct value *v, struct buf *out)
{
    char *text = (char *)buf_reserve(out, 32);
    out->n += v->type == VALUE_INT ? value_format_int(v->i, text) : value_format_double(v->d, text);
}

// Null is an empty cell; lists and maps are JSON text; bytes are base64.
static void put_cell(struct sink_encoder *s, const struct value *v, struct buf *out)
{
    struct slice text;
    switch (v->type) {
    case VALUE_NULL:
        return;
    case VALUE_BOOL:
        buf_str(out, s->conf->booleans_01 ? (v->b ? "1" : "0") : v->b ? "true" : "false");
        return;
    case VALUE_DOUBLE:
        if (v->d - v->d != 0) // NaN, infinities: as in JSON, null
            return;
        put_number(v, out);
        return;
    case VALUE_INT:
        put_number(v, out);
        return;
    case VALUE_STRING:
        csv_put_field(v->s, s->conf->delimiter, out);
        return;
    case VALUE_BYTES:
    case VALUE_LIST:
    case VALUE_MAP:
        buf_clear(&s->cell);
        value_to_json(v, &s->cell);
        text = buf_slice(&s->cell);
        if (v->type == VALUE_BYTES)
            text = slice_of(text.p + 1, text.n - 2);
        csv_put_field(text, s->conf->delimiter, out);
        return;
    }
}

static int csv_row_of(struct sink_encoder *s, struct doc *doc, struct buf *out, struct err *e)
{
    for (uint32_t i = 0; i < s->conf->columns_count; i++) {
        struct value v;
        if (doc_get(doc, &s->columns[i], &v, e) != 0)
            return -1;
        if (i > 0)
            buf_u8(out, (uint8_t)s->conf->delimiter);
        put_cell(s, &v, out);
    }
    buf_u8(out, '\n');
    return 0;
}

// JSON on one line passes through as it is, once it is known to be sound.
static int json_row_of(struct sink_encoder *s, struct doc *doc, struct buf *out, struct err *e)
{
    struct value v;
    if (s->codec->format == FORMAT_JSON && memchr(doc->raw.p, '\n', doc->raw.n) == NULL) {
        if (doc_validate(doc, e) != 0)
            return -1;
        buf_slice_put(out, doc->raw);
    } else {
        if (doc_value(doc, &v, e) != 0)
            return -1;
        value_to_json(&v, out);
    }
    buf_u8(out, '\n');
    return 0;
}

int sink_encoder_row(struct sink_encoder *s, struct slice value, struct buf *out, struct err *e)
{
    if (value.p == NULL)
        return err_set(e, ERR_CORRUPT, "the value is null (a delete); a file holds rows only");
    struct doc doc;
    uint32_t before = out->n;
    int rc = 0;
    arena_reset(&s->arena);
    doc_open(&doc, s->ctx, &s->arena, s->codec, value);
    switch (s->conf->format) {
    case SINK_CSV:
        rc = csv_row_of(s, &doc, out, e);
        break;
    case SINK_JSONL:
        rc = json_row_of(s, &doc, out, e);
        break;
    case SINK_AVRO:
        rc = doc_encode(&doc, s->avro, out, e);
        break;
    }
    if (rc != 0)
        out->n = before;
    return rc;
}
