// SPDX-License-Identifier: Apache-2.0
//
// Worker: one thread's share of an app: some tasks, one log client, one commit for all of them.
// worker_step does a bounded piece of work, so that a thread, `weir test` and the simulator can
// all drive it.
//
// Commits happen when commit_ms has passed since the first uncommitted change, when the
// transaction has grown to txn_bytes, when a record cache is full, and at once when the input is
// drained.
#pragma once

#include <stdatomic.h>

#include "base/clk.h"
#include "runtime/commit.h"

struct worker_env { // shared by the workers of a process; borrowed
    const struct plan *plan;
    const char *script_path, *script_source;
    const struct script_options *script_options;
    struct db *db;
    struct clk *clk;
    bool bounded;
    size_t cache_bytes;       // all record caches of one worker
    int64_t commit_ms;        // 0: 100
    size_t txn_bytes;         // 0: 8 MiB
    const _Atomic bool *stop; // see task_env
    uint32_t step_records;    // per task and step; 0: 512
    // A new client; `transactional_id` NULL: for reading only.
    int (*log_open)(void *arg, const char *transactional_id, struct log **, struct err *);
    void *log_arg;
    bool (*upstream_done)(void *arg, const struct plan_input *in);
    void *upstream_arg;
    struct task_stats *(*stats)(void *arg, const struct plan_sub *, int32_t partition);
    void *stats_arg;
    // Bounded: a task is done. Said again of the same task when its worker was reopened.
    void (*task_finished)(void *arg, const struct plan_sub *, int32_t partition);
};

struct worker {
    const struct worker_env *env;
    uint32_t member, members;
    struct log *log, *reader;
    struct task_env task_env;
    struct task **tasks;
    uint32_t tasks_count;
    struct log_tp *wanted; // assigned by the log, not opened yet
    uint32_t wanted_count;
    bool assigned;   // the log has told which tasks are this worker's
    uint32_t *leads; // handle of each sub-topology's lead topic
    struct commit commit;
    char tasks_topic[300];
    int64_t dirty_since_ms; // first uncommitted change; -1: none
    uint32_t finished_count;
    _Atomic uint64_t commits, commit_ns, txn_bytes;
};

int worker_open(const struct worker_env *env, uint32_t member, uint32_t members,
                struct worker **out, struct err *err);
void worker_close(struct worker *w); // drops what is not committed
// 1: did something; 0: nothing to do (waited up to wait_ms); 2: bounded run, all tasks finished;
// -1: error: ERR_FENCED and ERR_UNKNOWN say close and reopen.
int worker_step(struct worker *w, int64_t wait_ms, struct err *err);
// From now on the run is bounded (`weir test`: the end of the input came).
void worker_set_bounded(struct worker *w);
int worker_commit(struct worker *w, struct err *err); // now, if there is anything
