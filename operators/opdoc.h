// SPDX-License-Identifier: Apache-2.0
//
// Opdoc: what operators do with documents and what functions gave back, in one place. Everything
// lives in ctx->arena, thus until the next record.
#pragma once

#include "operators/fn.h"
#include "operators/graph.h"

// A copy whose fields may be set without others seeing it: a record may be on its way to several
// operators. Bytes and the list of fields are shared; use the copy up before the original is used
// again.
struct doc *opdoc_clone(struct op_ctx *, struct doc *);
// A new empty record.
struct doc *opdoc_empty(struct op_ctx *);
// A record from what a function returned: a map, or a scalar for topics of scalars. Null and lists
// are refused (-1, ctx->err); `what` and `fn` are for the message.
int opdoc_result(struct op_ctx *, const struct value *, const char *what, const struct fn *,
                 struct doc **out);
// A key's bytes as a value: numbers for Kafka's binary formats, else text. Borrows the bytes.
struct value opdoc_key(struct slice key, enum format);
