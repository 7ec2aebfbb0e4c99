// SPDX-License-Identifier: Apache-2.0
//
// Run threads: the threads of a run and what they share. Private to runtime/run*.c.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "connectors/connector.h"
#include "runtime/run.h"
#include "runtime/worker.h"

struct net;

struct connector_thread {
    struct run *run;
    const struct connector_spec *spec;
    const struct connector_ops *ops;
    struct connector_stats stats;
    struct marker_writers *writers;
    uint32_t writers_count;
    pthread_t thread;
    bool started;
    bool opened; // it has been open, or tried to
};

struct worker_thread {
    struct run *run;
    uint32_t member;
    struct worker *worker;                     // read by run_totals under run.lock
    uint64_t commits_before, commit_ns_before; // of workers that were reopened
    pthread_t thread;
    bool started;
};

struct run {
    struct run_options options;
    struct script_options script_options;
    struct script *script;
    struct arena arena;
    struct plan *plan;
    struct broker *broker;
    struct net *net;
    struct db *db;
    struct worker_env env;
    struct worker_thread *workers;
    uint32_t workers_count;
    struct connector_thread *connectors;
    uint32_t connectors_count;
    struct task_stats **stats;   // by sub-topology, then partition
    _Atomic int32_t *unfinished; // tasks left, by sub-topology
    uint32_t tasks_count;
    _Atomic bool stop_sources, stop_workers, stop_sinks;
    _Atomic uint32_t workers_done, sinks_done, sinks_opened;
    pthread_mutex_t lock; // failure, worker pointers
    pthread_cond_t changed;
    int64_t flushed_ms; // monotonic, of the last flush by age; the caller's thread
    bool failed;
    struct err failure;
    char addr_path[4096];
};

void run_fail(struct run *r, const struct err *err);
void *run_worker_main(void *arg);
void *run_connector_main(void *arg);
// Bounded: everything that writes `topic` in this process is finished.
bool run_topic_done(struct run *r, const char *topic);
bool run_upstream_done(void *arg, const struct plan_input *in);
int run_log_open(void *arg, const char *transactional_id, struct log **out, struct err *err);
