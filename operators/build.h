// SPDX-License-Identifier: Apache-2.0
//
// Build: makes an operator from a node. One constructor per kind; the task calls op_build, links
// what it gets (op_link) and frees each tree by its root.
//
// An output to a topic, repartitions included, is an op_to: for a repartition pass the node the
// output belongs to and carried = true to op_to_new. NODE_STREAM has no operator: the task's
// input pushes into what stands behind it.
#pragma once

#include "operators/fn.h"
#include "operators/graph.h"

struct build_ctx {
    const struct node *node;
    struct fn *(*fn)(void *arg, uint32_t index); // the task's functions
    void *fn_arg;
    struct db *db;                    // for stores; moved to the operator's store_new
    int32_t partition;                // of the task
    size_t cache_bytes;               // record cache per store
    uint32_t output;                  // NODE_TO and repartitions: index for ctx->emit
    const struct codec *output_codec; // value format of the output topic
    bool carried;     // the output is an internal topic: doc_carry instead of encode
    struct op *table; // NODE_JOIN: the operator of inputs[1], in the same task; borrowed
};

// Fills the common part; `next` stays empty (op_link).
static inline void op_init(struct op *o, const struct op_ops *ops, const struct node *n,
                           bool stateful)
{
    *o = (struct op){.ops = ops, .name = n->name, .where = n->where, .stateful = stateful};
}
// The task's function `index`; ERR_INVALID names the node if there is none.
int build_fn(const struct build_ctx *, uint32_t index, struct fn **out, struct err *);

// Moved out; free with op_free_tree. *store is the operator's store (owned by the operator, the
// task flushes it) or NULL.
int op_build(const struct build_ctx *, struct op **out, struct store **store, struct err *);

// The constructors, in the files of their names.
int op_filter_new(const struct build_ctx *, struct op **, struct err *);
int op_map_new(const struct build_ctx *, struct op **, struct err *);
int op_with_new(const struct build_ctx *, struct op **, struct err *);
int op_key_by_new(const struct build_ctx *, struct op **, struct err *);
int op_peek_new(const struct build_ctx *, struct op **, struct err *);
int op_to_new(const struct build_ctx *, struct op **, struct err *);
int op_table_new(const struct build_ctx *, struct op **, struct store **, struct err *);
int op_join_new(const struct build_ctx *, struct op **, struct err *);
int op_aggregate_new(const struct build_ctx *, struct op **, struct store **, struct err *);
int op_window_new(const struct build_ctx *, struct op **, struct store **, struct err *);
int op_features_new(const struct build_ctx *, struct op **, struct store **, struct err *);
