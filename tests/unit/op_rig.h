// SPDX-License-Identifier: Apache-2.0
//
// Rig: what a task is to its operators, for tests: sends records through one tree, moves time,
// commits, aborts and loses its state directory. What comes out is collected as text lines
// "key@time json", outputs of aborted transactions vanish as they would from a log.
#pragma once

#include "operators/build.h"
#include "operators/op_table.h"
#include "operators/opdoc.h"
#include "state/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { RIG_FNS = 8, RIG_OPS = 8 };

struct rig_row {
    struct buf key, value;
    bool deleted;
};

struct rig {
    struct db *db;
    struct err err;
    struct arena arena;
    struct doc_ctx *doc_ctx;
    struct codec *json;
    struct op_ctx ctx;
    char **out;
    uint32_t out_n, out_size, out_committed;
    uint64_t drops[DROP_REASONS], drops_committed[DROP_REASONS];
    struct fn *fns[RIG_FNS];
    size_t cache_bytes;

    // Operators with what survives of each, in the order they were built.
    struct op *ops[RIG_OPS];
    struct store *stores[RIG_OPS];
    struct buf saved[RIG_OPS];
    uint32_t ops_count;
    int64_t committed_watermark;
    // The changelog: all rows of committed transactions.
    struct rig_row *log;
    uint32_t log_n, log_size, log_committed;
    uint32_t emitted;
};

void rig_init(struct rig *);
void rig_release(struct rig *);
// A C function as a script's function `index`.
typedef int (*rig_body)(const struct fn_arg *args, uint32_t n, struct arena *, struct value *out,
                        bool *same, struct err *);
void rig_fn(struct rig *, uint32_t index, rig_body body);
void rig_ctx(struct rig *, const struct node *, struct build_ctx *);
// Builds the node's operator, behind `parent` if there is one.
struct op *rig_build(struct rig *, const struct node *, struct op *parent, struct op *table);
struct op *rig_probe(struct rig *, struct op *parent); // collects what comes out of parent
void rig_free_ops(struct rig *);

// json NULL: a null value; key NULL: none. Returns process()'s result.
int rig_send(struct rig *, struct op *, const char *key, const char *json, int64_t time);
int rig_time(struct rig *, struct op *root, int64_t watermark);
void rig_commit(struct rig *);
void rig_abort(struct rig *);
// The process dies and its state directory is lost: a new database is filled from the changelog.
// The caller builds the operators again, then calls rig_restored.
void rig_crash(struct rig *);
void rig_restored(struct rig *);
// Compares everything that came out with `want`, lines separated by '\n'; then forgets it.
void rig_expect(struct rig *, const char *want);
struct field_ref rig_field(const char *name);

// --- for tests of aggregates
struct node rig_agg(enum agg_kind, const char *field);
struct op *rig_start(struct rig *, const struct node *); // builds it, with a probe behind
void rig_must(struct rig *, struct op *, const char *key, const char *json, int64_t time);
int64_t rig_int(const struct msg *, const char *name);
// The state {n = how many, list = every x so far}; x == 13 raises, x == 0 returns nothing.
int rig_fold(const struct fn_arg *args, uint32_t n, struct arena *, struct value *out, bool *same,
             struct err *);
