// SPDX-License-Identifier: Apache-2.0
//
// Build: the dispatch from node kind to constructor. See build.h.
#include "operators/build.h"

int build_fn(const struct build_ctx *b, uint32_t index, struct fn **out, struct err *e)
{
    *out = index == UINT32_MAX || b->fn == NULL ? NULL : b->fn(b->fn_arg, index);
    if (*out == NULL)
        return err_set(e, ERR_INVALID, "%s: %s has no function to call", b->node->where,
                       b->node->name);
    return 0;
}

int op_build(const struct build_ctx *b, struct op **out, struct store **store, struct err *e)
{
    *out = NULL;
    *store = NULL;
    switch (b->node->kind) {
    case NODE_FILTER:
        return op_filter_new(b, out, e);
    case NODE_MAP:
        return op_map_new(b, out, e);
    case NODE_WITH:
        return op_with_new(b, out, e);
    case NODE_KEY_BY:
        return op_key_by_new(b, out, e);
    case NODE_PEEK:
        return op_peek_new(b, out, e);
    case NODE_TO:
        return op_to_new(b, out, e);
    case NODE_JOIN:
        return op_join_new(b, out, e);
    case NODE_TABLE:
        return op_table_new(b, out, store, e);
    case NODE_AGGREGATE:
        return b->node->window_ms > 0 ? op_window_new(b, out, store, e)
                                      : op_aggregate_new(b, out, store, e);
    case NODE_FEATURES:
        return op_features_new(b, out, store, e);
    case NODE_STREAM:
        break;
    }
    return err_set(e, ERR_INVALID, "%s: a %s has no operator of its own", b->node->where,
                   node_kind_name(b->node->kind));
}
