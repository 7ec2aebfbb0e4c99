// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a JSON record: the lazy document and the strict parser must agree on what is valid,
// and on the value; a changed record must still be valid.
#include "formats/doc.h"
#include "log/rec.h"

static void check_changed(struct doc *d, const struct codec *json, struct arena *a)
{
    struct err e;
    struct buf b;
    struct field_ref first = field_ref_of(slice_str("a"), NULL),
                     added = field_ref_of(slice_str("_"), NULL);
    struct value v = value_double(0.1), back;
    buf_init(&b);
    doc_remove(d, &first);
    doc_set(d, &added, &v);
    if (doc_encode(d, json, &b, &e) == 0) {
        CHECK(value_from_json(buf_slice(&b), a, &back, &e) == 0);
        CHECK(back.type == VALUE_MAP);
    }
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct doc_ctx *ctx;
    static struct codec *json;
    static struct arena a;
    struct err e, e2;
    if (ctx == NULL) {
        ctx = doc_ctx_new();
        CHECK(codec_new(FORMAT_JSON, NULL, &json, &e) == 0);
    }
    arena_reset(&a);
    uint8_t *raw = malloc(size + REC_PADDING);
    memset(raw + size, '"', REC_PADDING);
    if (size != 0)
        memcpy(raw, data, size);
    struct doc d;
    struct value strict, lazy;
    bool good = value_from_json(slice_of(raw, size), &a, &strict, &e) == 0;
    doc_open(&d, ctx, &a, json, slice_of(raw, size));
    int valid = doc_validate(&d, &e2);
    // Repeated keys are dropped unread, so there the document may be kinder.
    if (good && valid != 0)
        CHECK(!"valid JSON refused");
    if (good) {
        CHECK(doc_value(&d, &lazy, &e2) == 0);
        CHECK(value_eq(&strict, &lazy));
    }
    if (valid == 0)
        check_changed(&d, json, &a);
    free(raw);
    return 0;
}
