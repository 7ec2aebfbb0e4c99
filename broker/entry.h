// SPDX-License-Identifier: Apache-2.0
//
// Entry: one fact about the broker, as bytes. A journal frame is a list of entries, a snapshot is
// one too: the state of the broker is what its entries, applied in order, build. Entries are
// self-delimiting; integrity is the frame's business, so a malformed entry inside a good frame
// means a newer format or a bug.
//
// E1  An entry says where bytes lie (segment, position), so applying it twice is harmless.
// E2  Topics and partitions are named by numbers that are never used again, so an entry of a
//     deleted topic cannot be taken for one of its successor.
#pragma once

#include "base/buf.h"
#include "broker/broker.h"
#include "broker/head.h"

enum entry_type {
    ENTRY_BATCH = 1,    // a record batch in a partition
    ENTRY_OFFSET,       // a group's committed offset; -1 removes it
    ENTRY_TOPIC,        // a topic exists
    ENTRY_TOPIC_DELETE, // and does not any more
    ENTRY_TOPIC_CONFIG, // its config changed
    ENTRY_IDS,          // producer ids below `offset` are taken
    ENTRY_PRODUCER,     // a producer's id, epoch and state
    ENTRY_TXN_ADD,      // a partition joined a producer's open transaction
    ENTRY_TXN_OFFSET,   // an offset that an open transaction will commit
    ENTRY_TXN_END,      // the transaction is decided
    ENTRY_COMMIT,       // a one-call transaction's sequence number and its batches' offsets
    ENTRY_TRIM,         // a partition starts at `offset` now
    ENTRY_COMPACT,      // segments were rewritten into one
    // Only in snapshots:
    ENTRY_PARTITION, // a partition's offsets
    ENTRY_SEGMENT,   // a segment and its durable size
    ENTRY_SEQUENCE,  // a producer's last batches in a partition
    ENTRY_OPEN,      // an open transaction's first offset in a partition
    ENTRY_ABORTED,   // an aborted transaction's range in a partition
};

enum entry_flags {
    ENTRY_BY_REFERENCE = 1, // the batch lies in the segment, which was synced before the frame
    ENTRY_PLAIN = 2,        // no producer sequence to keep (one-call transactions)
    ENTRY_TOMBSTONES = 4,   // a rewritten segment still holds tombstones
    ENTRY_IN_TXN = 8,       // the sequence's producer added this partition to its transaction
};

struct entry_sequence_batch {
    int32_t first, last; // sequence numbers
    int64_t offset, time;
};

// The members an entry type uses are those its encoder below takes.
struct entry {
    enum entry_type type;
    uint8_t flags;
    uint32_t partition; // a topic's entries: number of its first partition
    int64_t segment, position, size;
    const uint8_t *head; // HEAD_SIZE bytes, borrowed from the payload
    struct slice body;   // inline batches: what follows the head
    struct slice group, topic, metadata;
    int32_t number; // partition within `topic`; partitions of a topic
    int64_t offset, first, last, time;
    const uint8_t *topic_id; // 16 bytes
    struct broker_topic_config config;
    int64_t producer_id;
    int16_t epoch;
    int32_t timeout_ms;
    uint8_t state;
    uint64_t sequence;
    struct cur list; // `count` numbers; read with entry_list_i64 or entry_list_batch
    uint32_t count;
};

enum {
    ENTRY_BATCH_OVERHEAD = 1 + 1 + 4 + 8 + 8 + HEAD_SIZE,
    ENTRY_PARTITIONS_MAX = 10000, // of one topic
};

void entry_put_batch(struct buf *, uint8_t flags, uint32_t partition, int64_t segment,
                     int64_t position, const uint8_t head[HEAD_SIZE], struct slice body);
void entry_put_offset(struct buf *, const char *group, const struct broker_group_offset *);
void entry_put_topic(struct buf *, const struct broker_topic_info *, uint32_t first_partition);
void entry_put_topic_delete(struct buf *, const char *name, uint32_t first_partition,
                            int32_t partitions);
void entry_put_topic_config(struct buf *, uint32_t first_partition,
                            const struct broker_topic_config *);
void entry_put_ids(struct buf *, int64_t below);
void entry_put_producer(struct buf *, const char *transactional_id, int64_t producer_id,
                        int16_t epoch, int32_t timeout_ms, uint8_t state);
void entry_put_txn_add(struct buf *, int64_t producer_id, uint32_t partition);
void entry_put_txn_offset(struct buf *, int64_t producer_id, const char *group,
                          const struct broker_group_offset *);
void entry_put_txn_end(struct buf *, int64_t producer_id, int16_t epoch, uint8_t state);
void entry_put_commit(struct buf *, int64_t producer_id, int16_t epoch, uint64_t sequence,
                      const int64_t *offsets, uint32_t n);
void entry_put_trim(struct buf *, uint32_t partition, int64_t start);
// `bases`: the segments that went into the first of them; `size`: of the result.
void entry_put_compact(struct buf *, uint8_t flags, uint32_t partition, int64_t size,
                       int64_t cleaned_at, const int64_t *bases, uint32_t n);
void entry_put_partition(struct buf *, uint32_t partition, int64_t start, int64_t end,
                         int64_t cleaned);
void entry_put_segment(struct buf *, uint8_t flags, uint32_t partition, int64_t base, int64_t size,
                       int64_t cleaned_at);
void entry_put_sequence(struct buf *, uint8_t flags, uint32_t partition, int64_t producer_id,
                        int16_t epoch, int64_t time, const struct entry_sequence_batch *,
                        uint32_t n);
void entry_put_open(struct buf *, uint32_t partition, int64_t producer_id, int64_t first);
void entry_put_aborted(struct buf *, uint32_t partition, int64_t producer_id, int64_t first,
                       int64_t last);

// Reads the next entry; false at the end or when malformed (then c->failed is set). Slices are
// borrowed from the bytes under the cursor.
bool entry_next(struct cur *c, struct entry *out);
int64_t entry_list_i64(struct entry *);
struct entry_sequence_batch entry_list_batch(struct entry *);
