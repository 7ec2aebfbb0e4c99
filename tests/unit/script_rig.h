// SPDX-License-Identifier: Apache-2.0
//
// Script rig: loads scripts from text as "app.lua", and calls their functions on JSON records.
#pragma once

#include "base/hash.h"
#include "scripts/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

struct script_rig {
    struct script *script;
    struct err err;
    struct arena arena;
    struct doc_ctx *doc_ctx;
    struct codec *json;
    struct doc doc;
    struct rec rec;
    struct msg msg;
    struct value result;
    bool same;
    uint8_t raw[4096];
};

static inline void rig_open(struct script_rig *r)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena);
    r->doc_ctx = doc_ctx_new();
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &r->json, &r->err), 0);
}

static inline void rig_close(struct script_rig *r)
{
    script_free(r->script);
    r->script = NULL;
    codec_free(r->json);
    doc_ctx_free(r->doc_ctx);
    arena_release(&r->arena);
}

static inline int rig_load(struct script_rig *r, const char *source, const struct script_options *o)
{
    script_free(r->script);
    r->script = NULL;
    r->err.text[0] = 0;
    return script_load("app.lua", source, o, &r->script, &r->err);
}

static inline void rig_loads(struct script_rig *r, const char *source)
{
    if (rig_load(r, source, NULL) != 0)
        fail_msg("the script was refused: %s", r->err.text);
}

// The script must be refused with exactly this text.
static inline void rig_refused(struct script_rig *r, const char *source, const char *text)
{
    if (rig_load(r, source, NULL) == 0)
        fail_msg("the script was accepted, expected: %s", text);
    assert_string_equal(r->err.text, text);
}

// Opens a JSON record as the message.
static inline void rig_record(struct script_rig *r, const char *json)
{
    size_t n = strlen(json);
    assert_true(n + REC_PADDING < sizeof(r->raw));
    memset(r->raw, 0, sizeof(r->raw));
    memcpy(r->raw, json, n);
    const struct codec *codec = r->json;
    if (r->script != NULL && script_graph(r->script)->nodes_count > 0 &&
        script_graph(r->script)->nodes[0]->codec != NULL)
        codec = script_graph(r->script)->nodes[0]->codec;
    doc_open(&r->doc, r->doc_ctx, &r->arena, codec, slice_of(r->raw, n));
    r->rec = (struct rec){.time = 5000, .offset = 42, .key = slice_str("k7")};
    r->msg = (struct msg){.time = 5000,
                          .key = slice_str("k7"),
                          .doc = &r->doc,
                          .origin = {1, 2, 42, 0},
                          .rec = &r->rec,
                          .topic = "in",
                          .partition = 2};
}

// Calls function i with the record.
static inline int rig_call(struct script_rig *r, uint32_t i, const char *json)
{
    rig_record(r, json);
    struct fn *f = script_fn(r->script, i);
    struct fn_arg arg = {.kind = FN_MSG, .msg = &r->msg};
    r->err.text[0] = 0;
    return f->call(f, &arg, 1, &r->arena, &r->result, &r->same, &r->err);
}

// The result of a call as JSON text, or the error.
static inline const char *rig_result(struct script_rig *r, uint32_t i, const char *json)
{
    if (rig_call(r, i, json) != 0)
        return r->err.text;
    struct buf b;
    buf_init(&b);
    struct value v = r->result;
    if (r->same && doc_value(&r->doc, &v, &r->err) != 0)
        fail_msg("%s", r->err.text);
    value_to_json(&v, &b);
    const char *text = (const char *)arena_slice(&r->arena, buf_slice(&b)).p;
    buf_release(&b);
    return text;
}
