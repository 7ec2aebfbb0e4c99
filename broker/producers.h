// SPDX-License-Identifier: Apache-2.0
//
// Producers: those with a name (transactional id), and those that commit whole transactions in one
// call: their epoch, the state of their classic transaction, and their last commit's number and
// result. Idempotent producers without a name live in the partitions' sequences only.
//
// A producer is found under the table's lock, then worked on under its own, which is held until
// what was decided is durable. Producers are never freed before the broker.
//
// R1  Epochs of a producer id only grow; when they are used up the name gets a new id.
// R2  A transaction ends, or the epoch grows, in one journal frame together with its markers and
//     group offsets.
#pragma once

#include <pthread.h>

#include "broker/partition.h"

enum producer_state { PRODUCER_EMPTY, PRODUCER_OPEN, PRODUCER_COMMITTED, PRODUCER_ABORTED };

struct producer_offset { // staged by an open transaction; owned texts
    char *group, *topic, *metadata;
    int32_t partition;
    int64_t offset;
};

struct producer {
    pthread_mutex_t mutex;
    char *name; // NULL: only known by its id
    int64_t id;
    int16_t epoch;
    int32_t timeout_ms;
    enum producer_state state;
    int64_t opened_ms;                    // monotonic
    struct broker_partition **partitions; // of the open transaction
    uint32_t partitions_count, partitions_size;
    struct producer_offset *offsets;
    uint32_t offsets_count, offsets_size;
    bool has_commit; // the one-call kind
    uint64_t commit_sequence;
    int64_t *commit_offsets;
    uint32_t commit_count;
};

struct producers {
    pthread_mutex_t mutex;
    struct producer **all;
    uint32_t count, size;
    pthread_mutex_t making; // held to make a producer or to take an id; may wait for the disk
    int64_t next_id;        // to hand out
    int64_t ids_below;      // durable reservation
};

enum { PRODUCER_IDS_BLOCK = 1000, PRODUCER_EPOCH_MAX = 32766 };

void producers_init(struct producers *);
void producers_release(struct producers *);
struct producer *producers_by_id(struct producers *, int64_t id);         // or NULL
struct producer *producers_by_name(struct producers *, const char *name); // or NULL
struct producer *producers_add(struct producers *, const char *name, int64_t id, int16_t epoch);
struct producer *producers_at(struct producers *, uint32_t i); // NULL at the end

void producer_add_partition(struct producer *, struct broker_partition *);
bool producer_has_partition(const struct producer *, const struct broker_partition *);
void producer_add_offset(struct producer *, struct slice group, struct slice topic, int32_t number,
                         int64_t offset, struct slice metadata);
void producer_clear_txn(struct producer *); // forgets partitions and staged offsets
void producer_set_commit(struct producer *, uint64_t sequence, const int64_t *offsets, uint32_t n);
void producers_save(struct producers *, struct buf *out);

// Ends transactions that are older than their timeout (txns.c).
void producers_time_out(struct broker *);
