// SPDX-License-Identifier: Apache-2.0
//
// Task: one sub-topology × one partition: the unit of work, state and failure. It owns its
// operators with their stores, its script interpreter, and the intake of its input partitions.
//
// Life (all on the worker's thread):
//   task_open    builds operators from the plan, restores state (runtime/restore.h)
//   task_deliver hands it fetched batches
//   task_step    processes records in event-time order across its inputs
//   task_flush / task_applied / task_dropped   its part of a commit (runtime/commit.h)
//   task_close
//
// Failure of one record: dead letter in the open transaction, or -1 if the app says stop. Failure
// of the log or the database: -1; the worker aborts and decides.
//
// I1  Records of one input are processed in offset order; across inputs the one with the lowest
//     event time goes first, and the task does not run ahead of an input that has more to read.
// I2  ctx.watermark is the last watermark the operators were told; it never goes back.
#pragma once

#include <stdatomic.h>

#include "base/clk.h"
#include "base/counter.h"
#include "operators/build.h"
#include "runtime/dead_letter.h"
#include "runtime/intake.h"
#include "runtime/mark.h"
#include "runtime/plan.h"
#include "runtime/watermark.h"
#include "scripts/script.h"
#include "state/db.h"

enum { ROWS_RETENTION_MS = 7 * 86400000 }; // deletions stay in changelogs at least this long

struct task_stats { // written by the worker, read by others (relaxed)
    _Atomic uint64_t records, emitted, dead, drops[DROP_REASONS];
    _Atomic int64_t watermark, event_time, lag, held;
    _Atomic bool finished; // bounded: counted as done, once per run
};

struct task_env { // what a worker lends its tasks; borrowed for the task's life
    const struct plan *plan;
    const char *script_path, *script_source; // loaded once more per task
    const struct script_options *script_options;
    struct log *log;
    struct log *reader; // a second client, for restoring while the first one has inputs assigned
    struct db *db;
    struct clk *clk;
    size_t cache_bytes;     // record cache of one task
    const char *tasks_name; // `<app>-tasks`
    bool bounded;
    uint32_t dead_letters_topic, tasks_topic; // log handles
    const _Atomic bool *stop; // set by another thread: end the step at the next record; may be NULL
    // Bounded runs: true once nothing upstream of this process can write the topic any more.
    bool (*upstream_done)(void *arg, const struct plan_input *in);
    void *upstream_arg;
};

struct task_input {
    const struct plan_input *plan;
    struct log_tp tp;
    struct intake intake;
    struct log_topic_info info;
    uint32_t topic_hash;
    const char *topic_name;
    const struct codec *codec; // NULL: carried
    struct field_ref time_ref, key_ref;
    bool has_time, has_key;
    struct op **roots;
    uint32_t roots_count;
    int64_t replay_until; // records below were seen before the last restart
    int64_t stop_at;      // bounded, nobody in this app writes it: stop at this offset; else -1
    bool paused, ended;
    int64_t drained_since_ms; // monotonic; -1: it has more
    int64_t idle_after_ms;    // -1: never idle
    int64_t foreign_high; // highest time of a record that no source of ours wrote; INT64_MIN: none
};

struct task_output {
    uint32_t topic; // log handle
    int32_t partitions;
    bool carried;
};

struct task_store {
    struct store *store;
    struct log_tp changelog;
    struct log_topic_info info;
    int64_t floor; // changelog end at the last commit
};

struct task {
    const struct task_env *env;
    const struct plan_sub *sub;
    int32_t partition;
    char name[300]; // "<sub-topology>/<partition>"
    struct script *script;
    struct codec_set codecs;
    struct task_input *inputs;
    uint32_t inputs_count;
    struct op **ops; // by step index; repartitions included
    uint32_t ops_count;
    struct task_output *outputs;
    uint32_t outputs_count;
    struct task_store *stores;
    uint32_t stores_count;
    struct log_tp marks;
    struct op_ctx ctx;
    struct arena arena; // of one record
    struct arena life;  // of the task
    struct doc_ctx *doc_ctx;
    struct buf key, text; // scratch
    struct wm wm;
    struct mark mark;         // as committed last
    struct buf mark_bytes;    // as flushed
    int64_t marked_watermark; // in the last markers, of this transaction or an earlier one
    uint8_t marked_flags;
    bool ending;        // operators were told the end
    bool finished;      // and it is committed
    bool reported;      // counted by the worker
    bool stopping;      // a record failed and the app says stop
    bool changed;       // something to commit
    bool slow;          // the last record took long (it failed): let the worker look up
    uint64_t processed; // since the last markers
    struct task_stats *stats;
    struct err err;
};

int task_open(const struct task_env *env, const struct plan_sub *sub, int32_t partition,
              struct task_stats *stats, struct task **out, struct err *err);
void task_close(struct task *t);
// The batch is moved in; false if no input of this task reads that partition.
bool task_deliver(struct task *t, struct rec_batch *b);
// Processes at most `max` records. Returns how many, or -1.
int task_step(struct task *t, uint32_t max, struct err *err);
// Bounded: all inputs are at their end. The operators are told once; true when there is something
// new to commit because of it.
int task_try_end(struct task *t, struct err *err);
bool task_pressure(const struct task *t); // a cache wants an early commit
bool task_drained(const struct task *t);
// Markers between the records of a transaction, so that readers need not hold all of it until its
// end.
int task_mark_progress(struct task *t, struct err *err);
uint8_t task_marker_flags(const struct task *t); // what its next markers say
// Live runs: inputs at their end for idle_after are not waited for. Call with each step.
int task_idle_check(struct task *t, int64_t mono_ms, struct err *err);

// Commit: rows to the changelogs and into `batch`, markers, the mark. `offsets` gets one entry per
// input (room for inputs_count).
int task_flush(struct task *t, struct db_batch *batch, struct log_offset *offsets, struct err *err);
void task_applied(struct task *t);
// The transaction is gone: forget what it changed and go back to the last committed mark.
int task_rewind(struct task *t, struct err *err);

// runtime/task_calls.c: the functions of struct op_ctx
void task_drop(struct op_ctx *ctx, const struct op *op, enum drop_reason why, const struct msg *m);
int task_emit(struct op_ctx *ctx, uint32_t output, const struct msg *m, struct slice value);
int task_set_aside(struct op_ctx *ctx, const struct op *at, const struct msg *m);
// runtime/task_build.c
int task_build(struct task *t, struct err *err);
// runtime/restore.c: state and position as committed, from the changelogs
int restore_task(struct task *t, struct err *err);
