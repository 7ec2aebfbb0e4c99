// SPDX-License-Identifier: Apache-2.0
//
// Agg: one running aggregate per cell: count, sum, mean, min, max, last, reduce, fold. Shared by
// the aggregate without a window (op_aggregate.c) and with one (op_window.c): what a record does to
// a cell, what a cell's row looks like, what record comes out.
//
// A record with a null value, or whose aggregated field is null, is skipped (DROP_NULL_VALUE). A
// field that is not a finite number fails the record for sum, mean, min and max.
//
// I1  agg_eval changes nothing; agg_apply cannot fail. So a failing function leaves the cell alone.
// I2  sum and mean do not depend on the order of records: integers are added in 128 bits, decimals
//     exactly. min and max do not either; last takes the highest (time, origin).
//
// Thread: the task's worker. Memory is taken only when a cell is made or its value outgrows it.
#pragma once

#include "operators/build.h"
#include "operators/exact_sum.h"

struct agg {
    enum agg_kind kind;
    struct fn *fn; // reduce, fold; borrowed
    bool has_field;
    struct field_ref field;
    const struct value *init; // fold's first state; borrowed from the graph
    bool keep_origin;         // rows remember the origin of the latest record
    const char *name, *where;
    struct field_ref key_field, as, start, end; // of the output record
    enum format key_format;
    struct buf scratch; // row, or a new value
};

struct agg_cell {
    bool present;         // false: no row (made and not filled, or removed)
    bool decimals;        // sum counts
    int64_t time;         // highest of the contributing records
    struct origin origin; // of the contributing record that is last in (time, origin) order
    uint64_t count;
    __int128 ints;         // sum of the integers
    struct exact_sum *sum; // of the decimals; owned, NULL: no room was needed yet
    struct value number;   // min, max
    uint8_t *value;        // last, reduce, fold: encoded
    uint32_t value_n, value_size;
};

// What agg_eval worked out; memory of the arena.
struct agg_step {
    struct value value; // the record's (field's) value, or the new state
};

// -1: the node asks for an aggregate that exists only as a feature.
int agg_init(struct agg *, const struct build_ctx *, struct err *);
void agg_release(struct agg *);
extern const struct cell_ops agg_cell_ops; // ops_arg: the struct agg

// 1: *step is to be applied, 0: skipped (already counted), -1: ctx->err.
int agg_eval(struct agg *, struct op *, struct op_ctx *, struct msg *, const struct agg_cell *,
             struct agg_step *step);
void agg_apply(struct agg *, struct agg_cell *, const struct msg *, const struct agg_step *);
// Takes the cell's value away; its row is deleted at the next flush (mark the cell dirty).
void agg_remove(struct agg_cell *);
// The result's record; `window` NULL or {start, end}. Built in ctx->arena, may borrow the cell.
struct doc *agg_doc(const struct agg *, struct op_ctx *, const struct agg_cell *, struct slice key,
                    const int64_t *window);
