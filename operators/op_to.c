// SPDX-License-Identifier: Apache-2.0
//
// To: the way out of a task: encodes the record in the topic's format (or as it is, if the topic is
// ours: carried form) and appends it to the open transaction. A null value stays null. Replayed
// records went out before: op_push leaves them out.
#include "operators/build.h"

struct op_to {
    struct op op;
    const struct codec *codec;
    uint32_t output;
    bool carried;
    struct buf bytes; // of the record at hand; reused
};

static int to_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_to *t = (struct op_to *)o;
    struct slice value = {NULL, 0};
    if (m->doc != NULL) {
        buf_clear(&t->bytes);
        buf_reserve(&t->bytes, REC_PADDING); // an empty value is not a null one
        if (t->carried)
            doc_carry(m->doc, &t->bytes);
        else if (doc_encode(m->doc, t->codec, &t->bytes, ctx->err) != 0)
            return op_fail(o, ctx);
        value = buf_slice(&t->bytes);
    }
    if (ctx->emit(ctx, t->output, m, value) != 0)
        return op_fail(o, ctx);
    o->records_out++;
    return 0;
}

static void to_free(struct op *o)
{
    struct op_to *t = (struct op_to *)o;
    buf_release(&t->bytes);
    free(t);
}

static const struct op_ops to_ops = {
    .kind = "to",
    .process = to_process,
    .free = to_free,
};

int op_to_new(const struct build_ctx *b, struct op **out, struct err *e)
{
    if (!b->carried && b->output_codec == NULL)
        return err_set(e, ERR_INVALID, "%s: %s: the output topic has no value format",
                       b->node->where, b->node->name);
    struct op_to *t = check_alloc(calloc(1, sizeof(*t)));
    op_init(&t->op, &to_ops, b->node, true);
    t->codec = b->output_codec;
    t->output = b->output;
    t->carried = b->carried;
    buf_init(&t->bytes);
    *out = &t->op;
    return 0;
}
