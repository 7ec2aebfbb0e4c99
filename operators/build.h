// SPDX-License-Identifier: Apache-2.0
//
// Build: makes an operator from a node. One constructor per kind; the planner calls op_build.
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
    bool carried; // the output is an internal topic: doc_carry instead of encode
};

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
int op_join_new(const struct build_ctx *, struct op *table, struct op **, struct err *);
int op_aggregate_new(const struct build_ctx *, struct op **, struct store **, struct err *);
int op_window_new(const struct build_ctx *, struct op **, struct store **, struct err *);
int op_features_new(const struct build_ctx *, struct op **, struct store **, struct err *);
