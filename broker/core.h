// SPDX-License-Identifier: Apache-2.0
//
// Core: struct broker, owner of everything behind broker.h, and the locks' order.
//
//   housekeeping > checkpointing; making (of producers)
//   > gate (shared by everyone who changes state; exclusive for a checkpoint's snapshot)
//   > admin (topic creation, deletion, config) > producer > append locks of partitions, by number
//   > journal queue
//   Leaves, taken alone and briefly: catalog, producers table, partition state, group offsets,
//   progress, failure.
//
// Threads: callers; the committer (journal.c), which publishes; the keeper (keeper.c), which
// checkpoints, deletes, compacts and times transactions out.
//
// A broker that had an error of fsync or of a journal write has failed: it answers reads, refuses
// every change, and must be opened anew.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "broker/broker.h"
#include "broker/catalog.h"
#include "broker/group_offsets.h"
#include "broker/journal.h"
#include "broker/keeper.h"
#include "broker/partition.h"
#include "broker/producers.h"

enum { CLUSTER_ID_CHARS = 22, FAILURE_SIZE = 512 };

struct broker {
    struct broker_config config; // with defaults filled in; dir points to `dir`
    char *dir;
    struct clk *clk;
    char cluster_id[CLUSTER_ID_CHARS + 1];
    int lock_fd;
    pthread_rwlock_t gate;
    pthread_mutex_t housekeeping;  // one pass at a time
    pthread_mutex_t checkpointing; // one checkpoint or compaction swap at a time; before the gate
    struct catalog catalog;
    struct producers producers;
    struct group_offsets offsets;
    struct journal journal;
    struct keeper keeper;

    atomic_bool failed;
    pthread_mutex_t failure_mutex;
    char failure[FAILURE_SIZE];
    char refusal[FAILURE_SIZE]; // the last write that was refused, with nothing changed
    int64_t refused_ms;

    pthread_mutex_t progress_mutex;
    pthread_cond_t progress_cond;
    _Atomic uint64_t progress;
    int notify_fd;
};

// Puts the broker into the failed state; the first reason stays.
void broker_fail(struct broker *, const char *fmt, ...) PRINTF_LIKE(2, 3);
// A write was refused cleanly (no space): says so, but not again and again.
void broker_refused(struct broker *, const char *text);
static inline bool broker_has_failed(struct broker *b)
{
    return atomic_load_explicit(&b->failed, memory_order_relaxed);
}
// The committer: these entries are durable; make them visible.
void broker_publish(struct broker *, struct slice entries);
void broker_progressed(struct broker *); // wakes those who wait for it
