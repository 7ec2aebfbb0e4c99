// SPDX-License-Identifier: Apache-2.0
//
// Features_rig: one `features` operator with its database, driven the way a task drives it. What it
// pushes on goes to a callback.
#pragma once

#include <stdio.h>

#include "operators/build.h"
#include "state/db.h"

struct frig;
typedef void (*frig_out)(struct frig *, const struct msg *);

struct frig {
    struct db *db;
    struct db_batch *batch;
    struct buf *changelog; // rows of each flush are added here, length-prefixed, if not NULL
    struct op *op;
    struct store *store;
    struct op sink;
    struct node source, node, *nodes[1];
    struct codec *json;
    struct arena arena, names;
    struct doc_ctx *doc_ctx;
    struct err err;
    struct op_ctx ctx;
    uint32_t drops[DROP_REASONS], aside;
    size_t cache_bytes;
    frig_out out;
    void *arg;
};

struct frig_entry { // of `compute`
    const char *name;
    enum agg_kind kind;
    const char *field;
    int64_t delay_ms;
};

static inline void frig_drop(struct op_ctx *ctx, const struct op *o, enum drop_reason why,
                             const struct msg *m)
{
    (void)o;
    (void)m;
    ((struct frig *)ctx->task)->drops[why]++;
}

static inline int frig_set_aside(struct op_ctx *ctx, const struct op *at, const struct msg *m)
{
    (void)at;
    (void)m;
    ctx->failed = NULL;
    ((struct frig *)ctx->task)->aside++;
    return 0;
}

static inline int frig_sink(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct frig *r = ctx->task;
    (void)o;
    r->out(r, m);
    return 0;
}

static const struct op_ops frig_sink_ops = {.kind = "sink", .process = frig_sink};

static inline void frig_node(struct frig *r, const char *name, const struct frig_entry *entries,
                             uint32_t n, struct window_spec *windows, uint32_t windows_n)
{
    r->node = (struct node){.kind = NODE_FEATURES,
                            .name = name,
                            .where = "test.lua:1",
                            .emit = EMIT_EVENT,
                            .windows = windows,
                            .windows_count = windows_n,
                            .features_count = n,
                            .inputs_count = 1};
    r->source =
        (struct node){.kind = NODE_STREAM, .name = "in", .where = "test.lua:0", .codec = r->json};
    r->node.inputs[0] = &r->source;
    r->node.features = arena_alloc(&r->names, n * sizeof(*r->node.features));
    for (uint32_t i = 0; i < n; i++) {
        struct feature_spec *s = &r->node.features[i];
        *s = (struct feature_spec){entries[i].name, entries[i].kind, entries[i].field,
                                   entries[i].delay_ms, NULL};
        s->outputs = arena_alloc(&r->names, windows_n * sizeof(*s->outputs));
        for (uint32_t w = 0; w < windows_n; w++) {
            char text[128];
            snprintf(text, sizeof(text), "%s_%s_%s", name, s->name, windows[w].label);
            s->outputs[w] = field_ref_of(slice_str(arena_str(&r->names, text)), NULL);
        }
    }
}

static inline int frig_build(struct frig *r)
{
    struct build_ctx b = {.node = &r->node, .db = r->db, .cache_bytes = r->cache_bytes};
    if (op_features_new(&b, &r->op, &r->store, &r->err) != 0)
        return -1;
    op_link(r->op, &r->sink);
    r->ctx.watermark = INT64_MIN;
    return 0;
}

static inline void frig_unbuild(struct frig *r) // the sink is not the tree's to free
{
    free(r->op->next);
    r->op->ops->free(r->op);
    r->op = NULL;
}

static inline void frig_init(struct frig *r, frig_out out, void *arg, size_t cache_bytes)
{
    memset(r, 0, sizeof(*r));
    struct db_options o = {.in_memory = true};
    if (db_open("/mem/state", &o, &r->db, &r->err) != 0 ||
        codec_new(FORMAT_JSON, NULL, &r->json, &r->err) != 0) {
        fprintf(stderr, "%s\n", r->err.text);
        abort();
    }
    r->batch = db_batch_new();
    r->sink = (struct op){.ops = &frig_sink_ops, .name = "sink"};
    r->out = out;
    r->arg = arg;
    r->cache_bytes = cache_bytes;
    arena_init(&r->arena);
    arena_init(&r->names);
    r->doc_ctx = doc_ctx_new();
    r->ctx = (struct op_ctx){.arena = &r->arena,
                             .doc_ctx = r->doc_ctx,
                             .err = &r->err,
                             .task = r,
                             .watermark = INT64_MIN,
                             .drop = frig_drop,
                             .set_aside = frig_set_aside};
}

static inline void frig_release(struct frig *r)
{
    if (r->op != NULL)
        frig_unbuild(r);
    db_batch_free(r->batch);
    db_close(r->db);
    codec_free(r->json);
    arena_release(&r->arena);
    arena_release(&r->names);
    doc_ctx_free(r->doc_ctx);
}

static inline void frig_row(void *arg, const struct state_row *row)
{
    struct frig *r = arg;
    db_batch_row(r->batch, 0, row);
    if (r->changelog != NULL) {
        buf_lslice(r->changelog, row->key);
        buf_lslice(r->changelog, row->value);
    }
}

static inline void frig_flush(struct frig *r)
{
    struct row_sink sink = {r, frig_row};
    db_batch_clear(r->batch);
    store_flush(r->store, &sink);
}

static inline void frig_apply(struct frig *r)
{
    if (db_write(r->db, r->batch, &r->err) != 0) {
        fprintf(stderr, "%s\n", r->err.text);
        abort();
    }
    store_applied(r->store);
}

static inline int frig_advance(struct frig *r, int64_t watermark)
{
    if (watermark <= r->ctx.watermark)
        return 0;
    arena_reset(&r->arena);
    int rc = op_watermark(r->op, &r->ctx, watermark);
    if (watermark != INT64_MAX)
        r->ctx.watermark = watermark;
    return rc;
}
