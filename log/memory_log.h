// SPDX-License-Identifier: Apache-2.0
//
// The inside of memory.h, shared by memory.c (topics, records, offsets) and memory_client.c.
#pragma once

#include "log/memory.h"

struct memory_partition {
    struct rec *recs; // ascending offsets, all visible
    uint8_t **blocks; // what recs[i] points into; owned
    uint32_t count, size;
    int64_t start, end; // first offset kept, next offset given out
};

// Topics are never moved or freed before the log is: handles of deleted ones stay good.
struct memory_topic {
    struct log_topic_info info;
    struct memory_partition *partitions;
    bool deleted;
};

struct memory_offset {
    char *group;
    const struct memory_topic *topic;
    int32_t partition;
    int64_t offset;
};

struct memory_id { // a transactional id; `epoch` is its newest client's
    char *name;
    uint32_t epoch;
};

struct memory_log {
    struct memory_topic **topics;
    uint32_t topics_count;
    struct memory_offset *offsets;
    uint32_t offsets_count;
    struct memory_id *ids;
    uint32_t ids_count;
    bool gaps;
};

struct memory_topic *memory_topic_find(struct memory_log *, const char *name); // NULL: none
int memory_topic_delete(struct memory_log *, const char *name, struct err *);
// Copies a record into a block of its own (moved out, with padding) that `out` points into.
uint8_t *memory_record_copy(const struct log_record *, struct rec *out);
// Gives the record the next offset; `block` is moved in.
int64_t memory_partition_push(struct memory_partition *, const struct rec *, uint8_t *block);
// Index of the first record at or above `offset`.
uint32_t memory_partition_find(const struct memory_partition *, int64_t offset);
void memory_offset_set(struct memory_log *, const char *group, const struct memory_topic *,
                       int32_t partition, int64_t offset);
int64_t memory_offset_get(const struct memory_log *, const char *group, const struct memory_topic *,
                          int32_t partition);
// The index of a transactional id, added when new.
uint32_t memory_id_of(struct memory_log *, const char *name);
