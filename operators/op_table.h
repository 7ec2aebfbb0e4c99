// SPDX-License-Identifier: Apache-2.0
//
// Table: what a join asks of a table's operator. See op_table.c.
#pragma once

#include "operators/build.h"

// Looks `key` up: 1 found (*out is the record, *time its event time), 0 not, -1 (ctx->err). The
// doc borrows the table's bytes: valid until the table's next record or lookup.
int op_table_get(struct op *table, struct op_ctx *ctx, struct slice key, struct doc *out,
                 int64_t *time);
bool op_is_table(const struct op *);
