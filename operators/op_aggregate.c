// SPDX-License-Identifier: Apache-2.0
//
// Aggregate: one running value per key, without a window. Each record that changes it sends on the
// new value at once, one record per change: {<key field>: key, <as>: value}, or the value itself if
// a function made it and it is a record. Its time is the highest of the contributing records.
//
// Null key → DROP_NULL_KEY, null value or null field → DROP_NULL_VALUE (agg.h). A failing function
// leaves the key's value as it was.
#include "operators/agg.h"

struct op_aggregate {
    struct op op;
    struct agg agg;
    struct store *store;
};

static int aggregate_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_aggregate *g = (struct op_aggregate *)o;
    if (m->key.p == NULL || m->doc == NULL) {
        ctx->drop(ctx, o, m->key.p == NULL ? DROP_NULL_KEY : DROP_NULL_VALUE, m);
        return 0;
    }
    struct cell *cell;
    if (store_get(g->store, m->key, true, &cell, ctx->err) != 0)
        return op_fail(o, ctx);
    struct agg_step step;
    int rc = agg_eval(&g->agg, o, ctx, m, cell->state, &step);
    if (rc <= 0)
        return rc == 0 ? 0 : op_fail(o, ctx);
    store_dirty(g->store, cell);
    struct agg_cell *c = cell->state;
    agg_apply(&g->agg, c, m, &step);
    struct msg to = *m;
    to.time = c->time;
    to.doc = agg_doc(&g->agg, ctx, c, m->key, NULL);
    return op_push(o, ctx, &to);
}

static void aggregate_free(struct op *o)
{
    struct op_aggregate *g = (struct op_aggregate *)o;
    store_free(g->store);
    agg_release(&g->agg);
    free(g);
}

static const struct op_ops aggregate_ops = {
    .kind = "aggregate",
    .process = aggregate_process,
    .free = aggregate_free,
};

int op_aggregate_new(const struct build_ctx *b, struct op **out, struct store **store,
                     struct err *e)
{
    struct op_aggregate *g = check_alloc(calloc(1, sizeof(*g)));
    op_init(&g->op, &aggregate_ops, b->node, true);
    if (agg_init(&g->agg, b, e) != 0) {
        free(g);
        return -1;
    }
    struct store_spec spec = {.name = b->node->name, .ops = &agg_cell_ops, .ops_arg = &g->agg};
    g->store = store_new(b->db, &spec, b->partition, b->cache_bytes);
    if (store_check(g->store, e) != 0) {
        g->op.ops->free(&g->op);
        return -1;
    }
    *store = g->store;
    *out = &g->op;
    return 0;
}
