// SPDX-License-Identifier: Apache-2.0
//
// With: sets fields of the record, each to what its function returns, in the order given; later
// functions see the fields set before. The rest of the record stays as it is, byte for byte. A
// null value (a delete) passes unchanged.
#include "operators/build.h"
#include "operators/opdoc.h"

struct op_with {
    struct op op;
    uint32_t count;
    struct {
        struct field_ref field;
        struct fn *fn;
    } fields[];
};

static int with_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_with *w = (struct op_with *)o;
    if (m->doc == NULL)
        return op_push(o, ctx, m);
    struct msg to = *m;
    to.doc = opdoc_clone(ctx, m->doc);
    struct fn_arg arg = {.kind = FN_MSG, .msg = &to};
    for (uint32_t i = 0; i < w->count; i++) {
        struct fn *fn = w->fields[i].fn;
        struct value result;
        if (fn->call(fn, &arg, 1, ctx->arena, &result, NULL, ctx->err) != 0)
            return op_fail(o, ctx);
        doc_set(to.doc, &w->fields[i].field, &result);
    }
    return op_push(o, ctx, &to);
}

static void with_free(struct op *o)
{
    free(o);
}

static const struct op_ops with_ops = {
    .kind = "with",
    .process = with_process,
    .free = with_free,
};

int op_with_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    uint32_t n = b->node->with_count;
    struct op_with *w = check_alloc(calloc(1, sizeof(*w) + n * sizeof(w->fields[0])));
    op_init(&w->op, &with_ops, b->node, false);
    w->count = n;
    for (uint32_t i = 0; i < n; i++) {
        w->fields[i].field = b->node->with[i].field;
        if (build_fn(b, b->node->with[i].fn, &w->fields[i].fn, e) != 0) {
            free(w);
            return -1;
        }
    }
    *out = &w->op;
    return 0;
}
