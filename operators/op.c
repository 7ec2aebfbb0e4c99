// SPDX-License-Identifier: Apache-2.0
//
// Op: walking an operator tree. See op.h for what a tree is.
#include "operators/op.h"

const char *drop_reason_name(enum drop_reason reason)
{
    static const char *const names[DROP_REASONS] = {
        [DROP_LATE] = "late",       [DROP_NULL_KEY] = "null_key", [DROP_NULL_VALUE] = "null_value",
        [DROP_BAD_KEY] = "bad_key", [DROP_FUTURE] = "future",     [DROP_EXPIRED] = "expired",
    };
    CHECK((uint32_t)reason < DROP_REASONS);
    return names[reason];
}

void op_link(struct op *parent, struct op *child)
{
    parent->next =
        check_alloc(realloc(parent->next, (parent->next_count + 1) * sizeof(struct op *)));
    parent->next[parent->next_count++] = child;
}

int op_watermark(struct op *o, struct op_ctx *ctx, int64_t watermark)
{
    if (o->has_told && watermark <= o->told)
        return 0;
    if (o->ops->watermark != NULL) {
        int64_t now = ctx->watermark;
        ctx->watermark = o->has_told ? o->told : INT64_MIN;
        int rc = o->ops->watermark(o, ctx, watermark);
        ctx->watermark = now;
        if (rc != 0)
            return op_fail(o, ctx);
    }
    for (uint32_t i = 0; i < o->next_count; i++)
        if (op_watermark(o->next[i], ctx, watermark) != 0)
            return -1;
    o->told = watermark;
    o->has_told = true;
    return 0;
}

void op_reset_tree(struct op *o)
{
    o->has_told = false;
    if (o->ops->reset != NULL)
        o->ops->reset(o);
    for (uint32_t i = 0; i < o->next_count; i++)
        op_reset_tree(o->next[i]);
}

int64_t op_held_offset(const struct op *o, uint8_t input)
{
    int64_t low = o->ops->held_offset == NULL ? INT64_MAX : o->ops->held_offset(o, input);
    for (uint32_t i = 0; i < o->next_count; i++) {
        int64_t at = op_held_offset(o->next[i], input);
        low = at < low ? at : low;
    }
    return low;
}

void op_free_tree(struct op *o)
{
    if (o == NULL)
        return;
    for (uint32_t i = 0; i < o->next_count; i++)
        op_free_tree(o->next[i]);
    free(o->next);
    o->ops->free(o);
}
