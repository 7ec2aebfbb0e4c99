// SPDX-License-Identifier: Apache-2.0
//
// Key_by: gives the record a new key: a field's value, or what a function returns. Only the key
// changes here; the way to the partition of that key is an output behind this operator. A null key
// is dropped (DROP_NULL_KEY), and so is a null value whose key would come from a field
// (DROP_NULL_VALUE). A value that the key's format cannot take fails the record.
//
// The key's bytes live in the operator until its next record.
#include "operators/build.h"
#include "operators/opdoc.h"

struct op_key_by {
    struct op op;
    struct fn *fn; // NULL: `field`
    struct field_ref field;
    enum format format;
    struct buf key;
};

static int drop(struct op *o, struct op_ctx *ctx, enum drop_reason reason, const struct msg *m)
{
    // A replayed record was counted when it came first.
    if (!m->replay)
        ctx->drop(ctx, o, reason, m);
    return 0;
}

static int key_by_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_key_by *k = (struct op_key_by *)o;
    if (m->doc == NULL)
        return drop(o, ctx, DROP_NULL_VALUE, m);
    struct doc *from = m->doc;
    if (k->fn != NULL) {
        struct fn_arg arg = {.kind = FN_MSG, .msg = m};
        struct value result;
        if (k->fn->call(k->fn, &arg, 1, ctx->arena, &result, NULL, ctx->err) != 0)
            return op_fail(o, ctx);
        from = opdoc_empty(ctx);
        doc_set(from, &k->field, &result);
    }
    if (doc_key(from, &k->field, k->format, &k->key, ctx->err) != 0)
        return op_fail(o, ctx);
    if (k->key.p == NULL)
        return drop(o, ctx, DROP_NULL_KEY, m);
    struct msg to = *m;
    to.key = buf_slice(&k->key);
    return op_push(o, ctx, &to);
}

static void key_by_free(struct op *o)
{
    struct op_key_by *k = (struct op_key_by *)o;
    buf_release(&k->key);
    free(k);
}

static const struct op_ops key_by_ops = {
    .kind = "key_by",
    .process = key_by_process,
    .free = key_by_free,
};

int op_key_by_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    struct fn *fn = NULL;
    if (b->node->by == NULL && build_fn(b, b->node->fn, &fn, e) != 0)
        return -1;
    struct op_key_by *k = check_alloc(calloc(1, sizeof(*k)));
    op_init(&k->op, &key_by_ops, b->node, false);
    k->fn = fn;
    k->field = field_ref_of(slice_str(fn == NULL ? b->node->by : "key"), NULL);
    k->format = b->node->key_format;
    buf_init(&k->key);
    *out = &k->op;
    return 0;
}
