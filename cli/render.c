// SPDX-License-Identifier: Apache-2.0
//
// Render: see render.h. One thread; the arena is reset with each record.
#include "cli/render.h"

#include "base/text.h"
#include "log/batch.h"

#include <errno.h>
#include <inttypes.h>

const char *const render_format_names[] = {"auto", "json",   "avro",  "string", "long",
                                           "int",  "double", "bytes", NULL};

static int read_file(const char *path, struct buf *out, struct err *e)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return err_io(e, "cannot open the schema %s", path);
    size_t n;
    while ((n = fread(buf_reserve(out, 4096 + REC_PADDING), 1, 4096, f)) > 0)
        out->n += (uint32_t)n;
    bool failed = ferror(f) != 0;
    fclose(f);
    return failed ? err_io(e, "cannot read the schema %s", path) : 0;
}

static int load_schema(struct render *r, const char *path, struct err *e)
{
    if (path == NULL)
        return err_set(e, ERR_INVALID,
                       "--value-format avro needs --schema FILE with the Avro schema (JSON)");
    struct buf text;
    buf_init(&text);
    int result = read_file(path, &text, e);
    if (result == 0) {
        struct slice kept = arena_slice(&r->schema_arena, buf_slice(&text));
        arena_alloc(&r->schema_arena, REC_PADDING); // keeps the text's tail readable
        result = schema_from_avro(kept, &r->schema_arena, &r->schema, e);
        if (result != 0)
            err_wrap(e, "%s", path);
    }
    buf_release(&text);
    return result;
}

static int make_codec(struct render *r, enum render_format format, struct codec **out,
                      struct err *e)
{
    static const enum format formats[] = {
        [RENDER_JSON] = FORMAT_JSON, [RENDER_AVRO] = FORMAT_AVRO, [RENDER_STRING] = FORMAT_STRING,
        [RENDER_LONG] = FORMAT_LONG, [RENDER_INT] = FORMAT_INT,   [RENDER_DOUBLE] = FORMAT_DOUBLE,
    };
    if (format == RENDER_AUTO || format == RENDER_BYTES)
        return 0;
    return codec_new(formats[format], format == RENDER_AVRO ? r->schema : NULL, out, e);
}

int render_init(struct render *r, enum render_format key, enum render_format value,
                const char *schema_file, struct err *e)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena);
    arena_init(&r->schema_arena);
    r->ctx = doc_ctx_new();
    r->key_format = key;
    r->value_format = value;
    bool avro = key == RENDER_AVRO || value == RENDER_AVRO;
    if (avro && load_schema(r, schema_file, e) != 0)
        return -1;
    if (make_codec(r, key, &r->key_codec, e) != 0)
        return -1;
    return make_codec(r, value, &r->value_codec, e);
}

void render_release(struct render *r)
{
    if (r->key_codec != NULL)
        codec_free(r->key_codec);
    if (r->value_codec != NULL)
        codec_free(r->value_codec);
    doc_ctx_free(r->ctx);
    arena_release(&r->arena);
    arena_release(&r->schema_arena);
}

// Well-formed UTF-8 without control characters (tab and line breaks are fine).
static bool printable(struct slice s)
{
    for (uint32_t i = 0; i < s.n;) {
        uint8_t b = s.p[i];
        uint32_t more = b < 0x80                ? 0
                        : b >= 0xc2 && b < 0xe0 ? 1
                        : b >= 0xe0 && b < 0xf0 ? 2
                        : b >= 0xf0 && b < 0xf5 ? 3
                                                : 9;
        if (more == 9 || i + more >= s.n)
            return false;
        if (b < 0x20 && b != '\t' && b != '\n' && b != '\r')
            return false;
        if (b == 0x7f)
            return false;
        for (uint32_t k = 1; k <= more; k++) {
            if ((s.p[i + k] & 0xc0) != 0x80)
                return false;
        }
        bool overlong = (b == 0xe0 && s.p[i + 1] < 0xa0) || (b == 0xf0 && s.p[i + 1] < 0x90);
        bool surrogate = b == 0xed && s.p[i + 1] >= 0xa0;
        if (overlong || surrogate || (b == 0xf4 && s.p[i + 1] >= 0x90))
            return false;
        i += more + 1;
    }
    return true;
}

static struct value hex(struct arena *a, struct slice s)
{
    static const char digits[] = "0123456789abcdef";
    char *p = arena_alloc(a, (size_t)s.n * 2 + 2);
    p[0] = '0';
    p[1] = 'x';
    for (uint32_t i = 0; i < s.n; i++) {
        p[2 + 2 * i] = digits[s.p[i] >> 4];
        p[3 + 2 * i] = digits[s.p[i] & 15];
    }
    return value_string(slice_of(p, (size_t)s.n * 2 + 2));
}

static bool looks_like_json(struct slice s)
{
    for (uint32_t i = 0; i < s.n; i++) {
        uint8_t b = s.p[i];
        if (b != ' ' && b != '\t' && b != '\n' && b != '\r')
            return b == '{' || b == '[' || b == '"' || b == '-' || (b >= '0' && b <= '9') ||
                   b == 't' || b == 'f' || b == 'n';
    }
    return false;
}

static struct value guess(struct render *r, struct slice s)
{
    struct value v;
    struct err ignored;
    if (looks_like_json(s) && value_from_json(s, &r->arena, &v, &ignored) == 0)
        return v;
    return printable(s) ? value_string(s) : hex(&r->arena, s);
}

// Bytes → value. Bytes that are not what the format says come out as hex, with the reason.
static struct value decode(struct render *r, enum render_format format, const struct codec *codec,
                           struct slice s, struct err *why)
{
    why->code = ERR_NONE;
    if (s.p == NULL)
        return value_null();
    if (format == RENDER_AUTO)
        return guess(r, s);
    if (format == RENDER_BYTES)
        return hex(&r->arena, s);
    struct doc doc;
    struct value v;
    doc_open(&doc, r->ctx, &r->arena, codec, s);
    if (doc_value(&doc, &v, why) != 0) {
        if (why->code == ERR_NONE)
            why->code = ERR_CORRUPT;
        return hex(&r->arena, s);
    }
    return v;
}

// For people: strings as they are (one line), everything else as JSON.
static void put_readable(struct buf *out, const struct value *v)
{
    if (v->type != VALUE_STRING) {
        value_to_json(v, out);
        return;
    }
    for (uint32_t i = 0; i < v->s.n; i++) {
        uint8_t b = v->s.p[i];
        if (b == '\n' || b == '\r')
            buf_str(out, b == '\n' ? "\\n" : "\\r");
        else if (b < 0x20 && b != '\t')
            buf_printf(out, "\\x%02x", b);
        else
            buf_u8(out, b);
    }
}

// A key that reads as a JSON scalar ("42") stays the text it is.
static struct value decode_key(struct render *r, struct slice key, struct err *why)
{
    if (r->key_format == RENDER_AUTO && key.p != NULL)
        return printable(key) ? value_string(key) : hex(&r->arena, key);
    return decode(r, r->key_format, r->key_codec, key, why);
}

static struct value header_value(struct render *r, struct slice s)
{
    if (s.p == NULL)
        return value_null();
    return printable(s) ? value_string(s) : hex(&r->arena, s);
}

static void put_headers(struct render *r, const struct rec *rec, struct buf *out)
{
    struct batch_headers it;
    struct log_header h;
    batch_headers_init(&it, rec);
    for (bool first = true; batch_headers_next(&it, &h) == 1; first = false) {
        struct value v = header_value(r, h.value);
        if (!first)
            buf_u8(out, ',');
        if (r->json) {
            struct value name = header_value(r, h.name);
            value_to_json(&name, out);
            buf_u8(out, ':');
            value_to_json(&v, out);
        } else {
            buf_slice_put(out, h.name);
            buf_u8(out, '=');
            put_readable(out, &v);
        }
    }
}

static void put_json(struct render *r, int32_t partition, const struct rec *rec, struct buf *out)
{
    struct err key_why = {0}, why = {0};
    char time[32];
    struct value key = decode_key(r, rec->key, &key_why);
    struct value value = decode(r, r->value_format, r->value_codec, rec->value, &why);
    buf_printf(out,
               "{\"partition\":%d,\"offset\":%" PRId64 ",\"timestamp\":%" PRId64
               ",\"time\":\"%s\",\"key\":",
               partition, rec->offset, rec->time, text_time(rec->time, time));
    value_to_json(&key, out);
    buf_str(out, ",\"headers\":{");
    put_headers(r, rec, out);
    buf_str(out, "},\"value\":");
    value_to_json(&value, out);
    if (why.code != ERR_NONE) {
        buf_str(out, ",\"error\":");
        value_json_string(slice_str(why.text), out);
    }
    buf_str(out, "}\n");
}

static void put_line(struct render *r, int32_t partition, const struct rec *rec, struct buf *out)
{
    struct err key_why = {0}, why = {0};
    char time[32];
    buf_printf(out, "%d:%" PRId64 "  %s  ", partition, rec->offset, text_time(rec->time, time));
    if (rec->key.p != NULL) {
        struct value key = decode_key(r, rec->key, &key_why);
        put_readable(out, &key);
        buf_str(out, "  ");
    }
    struct value value = decode(r, r->value_format, r->value_codec, rec->value, &why);
    put_readable(out, &value);
    if (rec->header_count > 0) {
        buf_str(out, "  [");
        put_headers(r, rec, out);
        buf_u8(out, ']');
    }
    if (why.code != ERR_NONE)
        buf_printf(out, "  (not decoded: %s)", why.text);
    buf_u8(out, '\n');
}

void render_record(struct render *r, int32_t partition, const struct rec *rec, struct buf *out)
{
    arena_reset(&r->arena);
    if (r->json)
        put_json(r, partition, rec, out);
    else
        put_line(r, partition, rec, out);
}
