// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as a carried record: what opens must carry again to something that opens to the same.
#include "formats/doc.h"
#include "log/rec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct doc_ctx *ctx;
    static struct codec *json;
    static struct arena a;
    struct err e;
    if (ctx == NULL) {
        ctx = doc_ctx_new();
        CHECK(codec_new(FORMAT_JSON, NULL, &json, &e) == 0);
    }
    arena_reset(&a);
    const struct codec *const codecs[] = {json};
    struct codec_set set = {codecs, 1};
    uint8_t *raw = malloc(size + REC_PADDING);
    memset(raw + size, 0, REC_PADDING);
    if (size != 0)
        memcpy(raw, data, size);
    if (size > 5 && data[0] == 1 && data[1] == 'j') // the fuzzer cannot guess the id
        bytes_put32(raw + 1, json->id);
    struct doc d, again;
    struct buf b;
    buf_init(&b);
    if (doc_open_carried(&d, ctx, &a, &set, slice_of(raw, size), &e) == 0) {
        struct value v, back;
        doc_carry(&d, &b);
        buf_reserve(&b, REC_PADDING);
        CHECK(doc_open_carried(&again, ctx, &a, &set, buf_slice(&b), &e) == 0);
        int r = doc_value(&d, &v, &e);
        CHECK(doc_value(&again, &back, &e) == r);
        CHECK(r != 0 || value_eq(&v, &back));
    }
    buf_release(&b);
    free(raw);
    return 0;
}
