// SPDX-License-Identifier: Apache-2.0
//
// Any text as a script, with little time and memory: it is accepted or refused with a message. What
// is accepted has a graph, and its functions survive a record.
#include "scripts/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void call_all(struct script *s)
{
    static uint8_t raw[100] = "{\"a\": 1, \"b\": \"x\", \"c\": [1, {}], \"ts\": 5}";
    struct arena arena;
    struct doc doc;
    struct value out;
    struct err e;
    bool same;
    struct codec *json;
    struct doc_ctx *ctx = doc_ctx_new();
    arena_init(&arena);
    if (codec_new(FORMAT_JSON, NULL, &json, &e) != 0)
        abort();
    for (uint32_t i = 0; i < script_fn_count(s) && i < 8; i++) {
        doc_open(&doc, ctx, &arena, json, slice_of(raw, strlen((char *)raw)));
        struct msg msg = {.time = 5, .doc = &doc, .topic = "in", .key = slice_str("k")};
        struct fn_arg arg = {.kind = FN_MSG, .msg = &msg};
        struct fn *f = script_fn(s, i);
        f->call(f, &arg, 1, &arena, &out, &same, &e);
        arena_reset(&arena);
    }
    codec_free(json);
    doc_ctx_free(ctx);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "local weir = require 'weir' local app = weir.app 'x' "
                               "local s = app:stream 'in' ";
    struct script_options o = {.memory_bytes = 2 << 20, .call_ms = 100};
    struct script *s;
    struct err e;
    // With an odd first byte the rest is put behind a head that makes it likely to mean something.
    char *text = check_alloc(calloc(1, size + sizeof(head)));
    bool headed = size > 0 && (data[0] & 1) != 0;
    if (headed)
        strcpy(text, head);
    if (size > 1)
        memcpy(text + strlen(text), data + 1, size - 1);
    if (script_load("fuzz.lua", text, &o, &s, &e) == 0) {
        if (script_graph(s)->app == NULL)
            abort();
        call_all(s);
        script_free(s);
    } else if (e.text[0] == 0) {
        abort();
    }
    free(text);
    return 0;
}
