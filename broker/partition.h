// SPDX-License-Identifier: Apache-2.0
//
// Partition: one log of a topic: its segments, what is appended and what is published.
//
// Appending runs ahead of publishing: the append side (`append` lock) knows the next offset and the
// producers' sequences; the published side (`state` lock) knows what is durable: start, end (the
// high watermark), open and aborted transactions. Readers see only the published side; the
// committer moves it. Lock order: append, then state; `state` is never held during I/O on batches.
//
// N1  end <= next. Bytes below end_position of segment end_base, and all segments before it, are
//     durable and never change (compaction swaps whole segments).
// N2  segments are in offset order; the last one is the one appended to.
// N3  stable offset = the least first offset of the open transactions, else end.
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "broker/segment.h"
#include "broker/sequence.h"

struct topic;

struct partition_txn {
    int64_t producer_id, first, last; // last: offset of the end marker (aborted ones)
};

struct partition_txns {
    struct partition_txn *items;
    uint32_t count, size;
};

enum { PARTITION_HINTS = 8 };

struct partition_hint { // where a reader stopped, so that it goes on without a search
    int64_t offset, base, position;
};

struct broker_partition {
    struct broker *broker;
    struct topic *topic;
    char *dir; // topics/<name>-<number>
    int32_t number;
    uint32_t id;
    atomic_bool deleted;

    pthread_mutex_t append;
    int64_t next;           // offset of the next batch
    struct segment *active; // the last of segments, or NULL
    struct sequences sequences;
    struct broker_topic_config config; // the topic's; changed under both locks

    pthread_mutex_t state;
    struct segment **segments;
    uint32_t segments_count, segments_size;
    int64_t start, end;
    int64_t end_base, end_position;      // where `end` lies; end_base -1: nothing published yet
    int64_t cleaned;                     // compaction has seen everything below
    struct partition_txns open, aborted; // in order of first, of last
    struct partition_hint hints[PARTITION_HINTS];
    uint32_t hint_next;
};

struct broker_partition *partition_new(struct broker *, struct topic *, int32_t number, uint32_t id,
                                       const struct broker_topic_config *);
void partition_free(struct broker_partition *);

// --- append side (append lock held)

// The segment to append `bytes` to; rolls when it is time. NULL on error.
struct segment *partition_writable(struct broker_partition *, int64_t bytes, struct err *);
struct segment *partition_active(struct broker_partition *); // or NULL
// A batch was written at the end of the active segment: indexes it and moves `next`.
void partition_wrote(struct broker_partition *, struct segment *, const struct head *);
// Remembers the producer's sequence and transaction.
void partition_note_producer(struct broker_partition *, const struct head *, int64_t now_ms);

// --- published side

struct broker_topic_config partition_config(struct broker_partition *);
// A batch is durable (committer, recovery): moves the end, opens or ends its transaction.
void partition_publish(struct broker_partition *, const struct entry *batch);
void partition_offsets(struct broker_partition *, struct broker_offsets *); // state lock held
// The last segment with base <= offset, else the first; state lock held; -1: no segments.
int32_t partition_segment_of(const struct broker_partition *, int64_t offset);
// Bytes of segment i that readers may see; state lock held.
int64_t partition_readable(const struct broker_partition *, uint32_t i);
// Moved in; becomes the active one: both locks held.
void partition_add_segment(struct broker_partition *, struct segment *);
// Takes segments [from, from+n) out and puts `with` (may be NULL) there; drops our references.
void partition_replace(struct broker_partition *, uint32_t from, uint32_t n, struct segment *with);
// How many segments at the front hold nothing from `start` on; state lock held.
uint32_t partition_obsolete(const struct broker_partition *);
void partition_txn_put(struct partition_txns *, struct partition_txn);
