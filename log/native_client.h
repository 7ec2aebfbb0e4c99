// SPDX-License-Identifier: Apache-2.0
//
// The inside of the native client, shared by native.c (topics, transactions) and native_read.c
// (polling, leases).
#pragma once

#include "log/handout.h"
#include "log/batch.h"
#include "log/native.h"

#include <stdatomic.h>

enum native_state { NATIVE_IDLE, NATIVE_OPEN, NATIVE_UNSURE, NATIVE_DEAD };

struct native_writing { // one partition's part of the transaction; kept for the next
    struct batch_builder builder;
    struct broker_partition *partition; // borrowed, lives as long as the broker
    struct log_tp tp;
    uint32_t target; // batches are finished before they grow beyond it
    bool touched;    // in the client's list
};

struct native_topic {
    struct broker_topic_info info;
    struct broker_partition **partitions; // by number
    struct native_writing **writings;     // by number; NULL until first written to
};

struct native_reading { // an assigned partition
    struct log_tp tp;
    struct broker_partition *partition;
    int64_t offset;
    uint64_t drained; // progress number at which nothing more was there; UINT64_MAX: look
    bool paused;
};

struct native_lease { // recycled; its memory is kept
    struct native_lease *next;
    struct buf bytes;
    struct rec *recs;
    uint32_t recs_size;
    struct buf *unpacked; // one per compressed batch, so that slices stay where they are
    uint32_t unpacked_count, unpacked_size;
    bool out;
};

struct native_client {
    struct log log; // first: a struct log * is a struct native_client *
    struct broker *broker;
    char *transactional_id; // owned; NULL: none
    int32_t timeout_ms;
    uint32_t poll_bytes;
    atomic_bool woken;

    struct native_topic **topics; // by handle
    uint32_t topics_count;

    struct native_reading *readings;
    uint32_t readings_count, turn;
    struct handout handout;
    struct native_lease *free_leases;
    struct native_lease **leases; // all there are
    uint32_t leases_count;

    enum native_state state;
    bool producer_known;
    int64_t producer_id;
    int16_t producer_epoch;
    uint64_t sequence; // of the transaction that is open or was last
    struct native_writing **touched;
    uint32_t touched_count, touched_size;
    size_t pending_bytes;
    struct broker_batch *batches; // of the commit under way
    uint32_t batches_count, batches_size;
    struct broker_group_offset *offsets;
    uint32_t offsets_size;
};

static inline struct native_client *native_of(struct log *l)
{
    return (struct native_client *)l;
}

// An error from the broker's answer: "<what>: <name>"; returns -1.
int native_error(struct err *e, enum broker_error code, const char *what, const char *topic,
                 int32_t partition);
// Checks a partition number; NULL with an error when the topic has no such partition.
struct native_topic *native_topic_at(struct native_client *c, struct log_tp tp, struct err *e);

// native_read.c
int native_subscribe(struct log *, const struct log_subscription *, struct err *);
int native_assign(struct log *, struct log_tp, int64_t offset, struct err *);
int native_unassign(struct log *, struct log_tp, struct err *);
int native_seek(struct log *, struct log_tp, int64_t offset, struct err *);
void native_pause(struct log *, struct log_tp, bool paused);
int native_poll(struct log *, int64_t wait_ms, struct rec_batch *out, struct err *);
void native_release(struct log *, struct rec_batch *);
void native_read_close(struct native_client *c);

// native_decode.c: turns a lease's bytes into records at or above `from`. Returns the offset
// behind what was decoded (as much as fits; at least one batch), or -1 with an error.
int64_t native_decode(struct native_lease *lease, int64_t from, struct broker_read *read,
                      uint32_t *count, struct err *e);
