// SPDX-License-Identifier: Apache-2.0
//
// Commit: makes everything a worker's tasks did since the last commit durable, or none of it.
//
//   OPEN --commit_run: flush--> FLUSHED --log commit--> COMMITTED --db_write--> APPLIED --> OPEN
//     ^                            |  ABORTED: rewind every task of the worker         |
//     |____________________________|___________________________________________________|
//                                  |  UNKNOWN: ask again with the same arguments; when that does
//                                  |  not help: rewind, and let the log decide what happened
//                                  |  FENCED: -1, another owner took over
//
// A failpoint stands at every edge: commit.begin, commit.flushed, commit.committed, commit.written,
// commit.applied.
//
// I1  RocksDB is never ahead of the log: rows and mark are written after LOG_COMMITTED only.
// I2  Between FLUSHED and APPLIED no task processes a record.
#pragma once

#include "runtime/task.h"

struct commit {
    struct log *log;   // borrowed
    struct db *db;     // borrowed
    const char *group; // borrowed
    struct db_batch *batch;
    struct log_offset *offsets;
    uint32_t offsets_size;
    bool open;                         // a transaction has begun
    uint32_t flush_failures, refusals; // in a row: what fails again and again will not get better
    uint64_t count, aborts;
    int64_t nanos; // spent committing
};

void commit_init(struct commit *c, struct log *log, struct db *db, const char *group);
void commit_release(struct commit *c);
// Begins a transaction if none is open.
int commit_begin(struct commit *c, struct err *err);
// 1: committed; 0: aborted, every task was rewound; -1: stop the worker (ERR_FENCED, ERR_UNKNOWN:
// reopen the worker; others: broken).
int commit_run(struct commit *c, struct task **tasks, uint32_t n, struct err *err);
// Drops the open transaction and rewinds every task.
int commit_abort(struct commit *c, struct task **tasks, uint32_t n, struct err *err);
