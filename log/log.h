// SPDX-License-Identifier: Apache-2.0
//
// Log: the seam between weir and a partitioned log. Batch-shaped, free of any client's types.
//
// A `struct log` is one client: one consumer, one transactional producer, used by one thread (a
// worker or a connector). Implementations: native (log/native.h: a call into the broker in this
// process) and memory (log/memory.h: tests and the simulator); Kafka by librdkafka comes later, so
// nothing here may assume that assignment is instant, that a commit's outcome is known, or that
// nobody else can take over.
//
// Reading is read_committed. Everything appended between begin and commit becomes visible together
// with the group offsets, or not at all.
//
//   IDLE --begin--> OPEN --append*--> OPEN --commit--> IDLE   (LOG_COMMITTED or LOG_ABORTED)
//                     \--abort--> IDLE                 \----> DEAD  (LOG_FENCED: close it)
//                                                       \---> UNSURE (LOG_UNKNOWN: commit again
//                                                             with the same arguments, or close)
#pragma once

#include "base/err.h"
#include "log/rec.h"

enum log_outcome { LOG_COMMITTED, LOG_ABORTED, LOG_FENCED, LOG_UNKNOWN };

enum log_offset_kind {
    LOG_START,           // first offset still there
    LOG_END_COMMITTED,   // end of what read_committed may see (last stable offset)
    LOG_END_UNCOMMITTED, // end including open transactions (high watermark)
};

enum log_cleanup { LOG_CLEANUP_DELETE, LOG_CLEANUP_COMPACT, LOG_CLEANUP_COMPACT_DELETE };

struct log_topic_spec {
    const char *name;
    int32_t partitions;
    enum log_cleanup cleanup;
    int64_t retention_ms;        // -1: for ever; 0: the log's default
    int64_t retention_bytes;     // -1: unbounded; 0: default
    int64_t segment_bytes;       // 0: default
    int64_t delete_retention_ms; // how long tombstones stay; 0: default
    int32_t max_message_bytes;   // -1: unbounded; 0: default
};

struct log_topic_info {
    char name[250];
    uint8_t id[16]; // changes when a topic is deleted and created again
    int32_t partitions;
    enum log_cleanup cleanup;
};

struct log_header {
    struct slice name, value;
};

struct log_record { // what is appended; borrowed during the call
    int64_t time;
    struct slice key, value;
    const struct log_header *headers;
    uint16_t headers_count;
    bool marker; // value is an encoded marker; other clients must not see it as data
};

struct log_offset {
    struct log_tp tp;
    int64_t offset; // next to read; -1: none committed
};

// Called from inside log_poll, on the client's thread.
struct log_listener {
    void *arg;
    void (*assigned)(void *arg, const struct log_tp *tps, uint32_t n);
    void (*revoked)(void *arg, const struct log_tp *tps, uint32_t n); // commit first, then let go
    void (*lost)(void *arg, const struct log_tp *tps, uint32_t n);    // already somebody else's
};

struct log_subscription {
    const uint32_t *topics; // lead topics: their partitions are handed out
    uint32_t topics_count;
    uint32_t member, members; // this client's place among the workers of one process
    struct log_listener listener;
};

struct log;

struct log_ops {
    const char *name;
    void (*close)(struct log *);

    // --- topics. `handle` is valid for this client's life.
    int (*topic_open)(struct log *, const char *name, uint32_t *handle, struct log_topic_info *,
                      struct err *);                                                // ERR_NOT_FOUND
    int (*topic_create)(struct log *, const struct log_topic_spec *, struct err *); // ERR_EXISTS
    int (*topic_delete)(struct log *, const char *name, struct err *);

    // --- reading
    // Tells the listener, from the next poll on, which partitions are this client's. Reading them
    // starts with assign, which needs no subscription.
    int (*subscribe)(struct log *, const struct log_subscription *, struct err *);
    int (*assign)(struct log *, struct log_tp, int64_t offset, struct err *); // adds one
    int (*unassign)(struct log *, struct log_tp, struct err *);
    int (*seek)(struct log *, struct log_tp, int64_t offset, struct err *);
    void (*pause)(struct log *, struct log_tp, bool paused);
    // Waits up to `wait_ms` (0: does not wait) for one batch of one assigned, unpaused partition.
    // 1: *out is filled; 0: nothing came; -1: error (ERR_RANGE: the offset is gone; out->tp says
    // where). A batch may hold no records and only move next_offset.
    int (*poll)(struct log *, int64_t wait_ms, struct rec_batch *out, struct err *);
    void (*release)(struct log *, struct rec_batch *);
    int (*offset)(struct log *, struct log_tp, enum log_offset_kind, int64_t *out, struct err *);
    // First record with time >= time_ms; LOG_END_COMMITTED when there is none.
    int (*offset_at)(struct log *, struct log_tp, int64_t time_ms, int64_t *out, struct err *);
    // The group's stable offsets: waits out a pending transaction. -1 where none is committed.
    int (*committed)(struct log *, const char *group, struct log_offset *io, uint32_t n,
                     struct err *);

    // --- writing
    int (*begin)(struct log *, struct err *); // ERR_FENCED: close it
    int (*append)(struct log *, struct log_tp, const struct log_record *, struct err *);
    size_t (*pending_bytes)(struct log *); // appended since begin
    enum log_outcome (*commit)(struct log *, const char *group, const struct log_offset *offsets,
                               uint32_t n, struct err *);
    int (*abort)(struct log *, struct err *);
    // Wakes a poll that waits, from any thread.
    void (*wake)(struct log *);
};

struct log {
    const struct log_ops *ops;
};

// Java's default partitioner over the key bytes: (murmur2(key) & 0x7fffffff) % partitions.
int32_t log_partition_of(struct slice key, int32_t partitions);
