// SPDX-License-Identifier: Apache-2.0
//
// Peek: shows each record to a function and hands it on. The function's result is ignored and its
// changes to the record are not seen behind it; if it raises, the record fails as anywhere else.
// Not called for replayed records (it saw them) nor for null values.
#include "operators/build.h"
#include "operators/opdoc.h"

struct op_peek {
    struct op op;
    struct fn *fn;
};

static int peek_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_peek *p = (struct op_peek *)o;
    if (m->doc == NULL || m->replay)
        return op_push(o, ctx, m);
    struct msg shown = *m;
    shown.doc = opdoc_clone(ctx, m->doc);
    struct fn_arg arg = {.kind = FN_MSG, .msg = &shown};
    struct value result;
    bool same = false;
    if (p->fn->call(p->fn, &arg, 1, ctx->arena, &result, &same, ctx->err) != 0)
        return op_fail(o, ctx);
    return op_push(o, ctx, m);
}

static void peek_free(struct op *o)
{
    free(o);
}

static const struct op_ops peek_ops = {
    .kind = "peek",
    .process = peek_process,
    .free = peek_free,
};

int op_peek_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    struct fn *fn;
    if (build_fn(b, b->node->fn, &fn, e) != 0)
        return -1;
    struct op_peek *p = check_alloc(calloc(1, sizeof(*p)));
    op_init(&p->op, &peek_ops, b->node, false);
    p->fn = fn;
    *out = &p->op;
    return 0;
}
