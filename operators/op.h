// SPDX-License-Identifier: Apache-2.0
//
// Op: one operator of one task. Records are pushed through a tree of operators; each does its work
// and hands on to `next`. No I/O, no clock: all an operator sees of the world is its op_ctx.
//
// Thread: the task's worker. An operator never blocks.
//
// Failure: process returns -1 when this record cannot be handled (a user function raised, a field
// cannot be decoded); ctx->err says why. The caller undoes nothing that earlier operators did; the
// task sends the source record to the dead letters with op->name and op->where, or stops, as the
// user chose. An operator must leave its own state as it was before the failing call.
//
// Trees: the operators of a task form a forest, one tree per input; each operator has one parent. A
// join is the child of its stream side and borrows the table's operator; the table never pushes
// into it.
//
// Null values (deletes): stateless operators hand them on without calling their function; tables
// delete; aggregates, features and joins drop them (DROP_NULL_VALUE).
//
// Replay: after a restart a task may read again records it has seen (those a later operator was
// still holding). They come with msg->replay set: stateless operators pass them on without side
// effects, operators that hold take back what they had not released, everything else ignores them.
#pragma once

#include "formats/doc.h"
#include "log/rec.h"
#include "state/store.h"

struct op;
struct op_ctx;

struct msg {
    int64_t time;     // event time, ms
    struct slice key; // key bytes; p == NULL: none
    struct doc *doc;  // the value; NULL: null (a delete)
    struct origin origin;
    const struct rec *rec; // the record of this task's input it comes from (NULL: a timer)
    const char *topic;     // of rec
    int32_t partition;     // of rec
    uint8_t input;         // which input of the task, for holders' offsets
    bool replay;
};

enum drop_reason { // never silent: counted, sampled, shown at exit
    DROP_LATE,
    DROP_NULL_KEY,
    DROP_NULL_VALUE,
    DROP_BAD_KEY,
    DROP_FUTURE,
    DROP_EXPIRED,
    DROP_REASONS,
};
const char *drop_reason_name(enum drop_reason);

struct op_ops {
    const char *kind;
    int (*process)(struct op *, struct op_ctx *, struct msg *);
    // Event time has come to `watermark` (every later record of the task has time >= watermark;
    // INT64_MAX: the end of a bounded run). Emit what that decides. NULL: passes through.
    int (*watermark)(struct op *, struct op_ctx *, int64_t watermark);
    // The lowest offset of task input `input` still held, or INT64_MAX. NULL: holds nothing.
    int64_t (*held_offset)(const struct op *, uint8_t input);
    // What must survive a restart beside the store's rows (a few bytes, in the task mark).
    void (*save)(const struct op *, struct buf *);
    int (*load)(struct op *, struct slice, struct err *);
    // The transaction was aborted: forget held records and timers; load() follows.
    void (*reset)(struct op *);
    void (*free)(struct op *);
};

struct op { // first member of every operator
    const struct op_ops *ops;
    const char *name;  // the operator's name, or its kind and number
    const char *where; // script file:line
    struct op **next;
    uint32_t next_count;
    bool stateful; // or emits: ignores replayed records
    uint64_t records_in, records_out, nanos;
    int64_t told; // the watermark op_watermark last told, if has_told
    bool has_told;
};

// What a task lends to its operators. The task fills it; operators call through it.
struct op_ctx {
    struct arena *arena; // reset after each record
    struct doc_ctx *doc_ctx;
    struct err *err;   // set by process before it returns -1
    struct op *failed; // the operator whose process returned -1 first (innermost)
    int64_t watermark; // of the task, now; INT64_MIN: none yet
    int64_t wall_ms;   // read once per step
    void *task;
    // Counts a drop; `m` may be routed or sampled by the task.
    void (*drop)(struct op_ctx *, const struct op *, enum drop_reason, const struct msg *);
    // A record that an operator pushed on its own (released after being held) failed further down;
    // ctx->err and ctx->failed say where. 0: it was set aside, go on; -1: stop, return -1.
    int (*set_aside)(struct op_ctx *, const struct op *at, const struct msg *);
    // Appends to an output topic of the task (index from the plan): key, value bytes, time, origin.
    int (*emit)(struct op_ctx *, uint32_t output, const struct msg *, struct slice value);
};

// Hands `m` to every next operator; the first -1 stops and is returned.
static inline int op_push(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    o->records_out++;
    for (uint32_t i = 0; i < o->next_count; i++) {
        struct op *n = o->next[i];
        if (m->replay && n->stateful && n->ops->held_offset == NULL)
            continue;
        n->records_in++;
        if (n->ops->process(n, ctx, m) != 0) {
            if (ctx->failed == NULL)
                ctx->failed = n;
            return -1;
        }
    }
    return 0;
}

static inline int op_fail(struct op *o, struct op_ctx *ctx)
{
    if (ctx->failed == NULL)
        ctx->failed = o;
    return -1;
}

// Appends `child` to the operators behind `parent`.
void op_link(struct op *parent, struct op *child);

// Depth first: tells `o` and all below it the new watermark. Call it for every move of the task's
// watermark, before the next record is processed. While `o` emits, ctx->watermark is what those
// below it were told last: what a window or a holder lets go at W precedes W, so it is not late
// there. Nothing happens if W is not beyond what `o` was told before.
// -1: one emission failed (ctx->err, ctx->failed); it is done with: call again with the same
// watermark to go on with the others.
int op_watermark(struct op *o, struct op_ctx *ctx, int64_t watermark);
// The transaction was aborted: `o` and all below it forget what they hold and were told. The task
// then hands each its committed bytes (load).
void op_reset_tree(struct op *o);
// The lowest held offset of an input in the tree, INT64_MAX if none.
int64_t op_held_offset(const struct op *o, uint8_t input);
// Frees `o` and all below it. `next` belongs to op_link; ops->free frees the rest.
void op_free_tree(struct op *o);
