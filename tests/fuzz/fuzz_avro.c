// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an Avro record (what decodes must encode to bytes that decode to the same) and as an
// Avro schema.
#include "formats/doc.h"
#include "log/rec.h"

static struct field fields[] = {
    {.name = "b", .type = FIELD_BOOLEAN}, {.name = "l", .type = FIELD_LONG, .nullable = true},
    {.name = "s", .type = FIELD_STRING},  {.name = "d", .type = FIELD_DOUBLE, .nullable = true},
    {.name = "i", .type = FIELD_INT},     {.name = "y", .type = FIELD_BYTES, .nullable = true},
    {.name = "f", .type = FIELD_FLOAT}};
static struct schema schema = {"fuzzed", fields, ARRAY_COUNT(fields)};

static void check_record(struct doc_ctx *ctx, struct arena *a, const struct codec *avro,
                         struct slice raw)
{
    struct doc d, built, again;
    struct value v, back;
    struct err e;
    struct buf b;
    doc_open(&d, ctx, a, avro, raw);
    if (doc_value(&d, &v, &e) != 0)
        return;
    buf_init(&b);
    doc_from_value(&built, ctx, a, &v);
    CHECK(doc_encode(&built, avro, &b, &e) == 0);
    buf_reserve(&b, REC_PADDING);
    doc_open(&again, ctx, a, avro, buf_slice(&b));
    CHECK(doc_value(&again, &back, &e) == 0);
    CHECK(value_eq(&v, &back));
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct doc_ctx *ctx;
    static struct codec *avro;
    static struct arena a;
    struct err e;
    if (ctx == NULL) {
        ctx = doc_ctx_new();
        CHECK(codec_new(FORMAT_AVRO, &schema, &avro, &e) == 0);
    }
    if (size == 0)
        return 0;
    arena_reset(&a);
    struct schema *parsed;
    if (data[0] != '{') {
        check_record(ctx, &a, avro, slice_of(data, size));
    } else if (schema_from_avro(slice_of(data, size), &a, &parsed, &e) == 0) {
        struct buf b;
        buf_init(&b);
        CHECK(schema_to_avro(parsed, &b, &e) == 0 || e.code == ERR_INVALID);
        buf_release(&b);
    }
    return 0;
}
