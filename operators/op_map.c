// SPDX-License-Identifier: Apache-2.0
//
// Map: the function's result takes the record's place: a new record, or the record itself with
// fields set. Key and time stay. Returning nothing is an error, not a way to drop: a forgotten
// `return` must not lose data. A null value (a delete) passes unchanged.
#include "operators/build.h"
#include "operators/opdoc.h"

struct op_map {
    struct op op;
    struct fn *fn;
};

static int map_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_map *p = (struct op_map *)o;
    if (m->doc == NULL)
        return op_push(o, ctx, m);
    struct msg to = *m;
    to.doc = opdoc_clone(ctx, m->doc);
    struct fn_arg arg = {.kind = FN_MSG, .msg = &to};
    struct value result;
    bool same = false;
    if (p->fn->call(p->fn, &arg, 1, ctx->arena, &result, &same, ctx->err) != 0)
        return op_fail(o, ctx);
    if (!same && opdoc_result(ctx, &result, "map", p->fn, &to.doc) != 0)
        return op_fail(o, ctx);
    return op_push(o, ctx, &to);
}

static void map_free(struct op *o)
{
    free(o);
}

static const struct op_ops map_ops = {
    .kind = "map",
    .process = map_process,
    .free = map_free,
};

int op_map_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    struct fn *fn;
    if (build_fn(b, b->node->fn, &fn, e) != 0)
        return -1;
    struct op_map *p = check_alloc(calloc(1, sizeof(*p)));
    op_init(&p->op, &map_ops, b->node, false);
    p->fn = fn;
    *out = &p->op;
    return 0;
}
