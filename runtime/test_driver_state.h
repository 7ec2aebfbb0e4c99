// SPDX-License-Identifier: Apache-2.0
//
// Test driver state: what the two halves of the driver share: running an app (test_driver.c) and
// reading what it wrote (test_driver_take.c).
#pragma once

#include "log/memory.h"
#include "runtime/test_driver.h"
#include "runtime/worker.h"

struct out_topic { // how far a test has read a topic
    const char *name;
    uint32_t *next; // by partition
};

struct test_driver {
    struct script_options options;
    struct script *script;
    struct arena arena;
    struct plan *plan;
    struct memory_log *log;
    struct db *db;
    struct clk_manual clk;
    struct worker_env env;
    struct worker *worker;
    struct task_stats stats; // summed over all tasks
    int32_t *unfinished;     // tasks, by sub-topology
    struct out_topic *outs;
    char dead_letters[300]; // topic
    uint32_t outs_count;
    int32_t wanted_partitions;
    bool finished;
    struct doc_ctx *doc_ctx;
    struct arena take_arena;
};
