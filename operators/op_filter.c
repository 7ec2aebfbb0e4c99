// SPDX-License-Identifier: Apache-2.0
//
// Filter: hands on the records its function says true to. A null value (a delete) passes: whoever
// keeps the key has to hear of it, and deleting what is not there is nothing.
#include "operators/build.h"

struct op_filter {
    struct op op;
    struct fn *fn;
};

static int filter_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_filter *f = (struct op_filter *)o;
    if (m->doc == NULL)
        return op_push(o, ctx, m);
    struct fn_arg arg = {.kind = FN_MSG, .msg = m};
    struct value result;
    if (f->fn->call(f->fn, &arg, 1, ctx->arena, &result, NULL, ctx->err) != 0)
        return op_fail(o, ctx);
    return fn_truth(&result) ? op_push(o, ctx, m) : 0;
}

static void filter_free(struct op *o)
{
    free(o);
}

static const struct op_ops filter_ops = {
    .kind = "filter",
    .process = filter_process,
    .free = filter_free,
};

int op_filter_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    struct fn *fn;
    if (build_fn(b, b->node->fn, &fn, e) != 0)
        return -1;
    struct op_filter *f = check_alloc(calloc(1, sizeof(*f)));
    op_init(&f->op, &filter_ops, b->node, false);
    f->fn = fn;
    *out = &f->op;
    return 0;
}
