// SPDX-License-Identifier: Apache-2.0
//
// Run: one app on the embedded broker of this process: `weir run` and `weir connect`.
//
// Owns everything: broker, network thread, database, connectors' threads, workers' threads. The
// caller's thread starts it, watches (run_wait) and stops it.
//
//   sources --> topics --> workers' tasks --> topics --> sinks
//
// A bounded run ends from left to right: sources finish their input, then each sub-topology once
// everything before it is finished and read, then the sinks. A stop ends the same way without
// waiting for input: sources commit, workers commit, sinks leave unfinished files for the next run.
#pragma once

#include "broker/broker.h"
#include "runtime/plan.h"
#include "scripts/script.h"

struct run_options {
    const char *script_path;
    const struct script_param *params;
    uint32_t params_count;
    const char *data_dir;
    const char *listen; // "host:port"; NULL: no network
    bool bounded;
    uint32_t workers;    // 0: one per core, at most one per task
    int64_t commit_ms;   // 0: 100 live, 1000 bounded
    size_t memory_bytes; // record caches, block cache and write buffers together; 0: 128 MiB
    enum broker_durability durability;
};

struct run_totals { // a snapshot for progress and summary
    uint64_t source_records, source_bytes, source_total_bytes, sink_records, bad_records;
    uint64_t records, emitted, dead, drops[8]; // drops by enum drop_reason
    uint64_t commits, commit_ns;
    int64_t event_time, watermark, lag;
    uint32_t tasks, tasks_finished;
};

struct run;

int run_start(const struct run_options *, struct run **out, struct err *err);
// 1: finished (bounded); 0: still running after wait_ms; -1: a worker or connector gave up.
int run_wait(struct run *r, int64_t wait_ms, struct err *err);
void run_stop(struct run *r); // clean: commits, joins all threads, closes
void run_totals(struct run *r, struct run_totals *out);
const struct plan *run_plan(const struct run *r);
int run_port(const struct run *r); // of the network listener; 0: none
