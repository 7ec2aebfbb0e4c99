// SPDX-License-Identifier: Apache-2.0
//
// Group offsets: (group, topic, partition) → committed offset, and how many open transactions hold
// a newer one. A committed offset appears when it is durable (the committer puts it); a pending
// count changes at the call, so that nobody reads as stable what is about to change.
#pragma once

#include <pthread.h>

#include "broker/entry.h"

struct group_offset {
    char *group, *topic, *metadata; // metadata may be NULL
    int32_t partition;
    int64_t offset; // -1: none
    uint32_t pending;
};

struct group_offsets { // open addressing; entries are never moved out, only emptied
    pthread_mutex_t mutex;
    struct group_offset **slots;
    uint32_t size, count;
};

void group_offsets_init(struct group_offsets *);
void group_offsets_release(struct group_offsets *);
void group_offsets_put(struct group_offsets *, const struct entry *); // ENTRY_OFFSET
void group_offsets_pend(struct group_offsets *, const char *group, const char *topic,
                        int32_t partition, int by); // +1, -1
void group_offsets_forget_topic(struct group_offsets *, const char *topic);
int64_t group_offsets_get(struct group_offsets *, const char *group, const char *topic,
                          int32_t partition, bool *unstable);
// Entries that build the committed ones again.
void group_offsets_save(struct group_offsets *, struct buf *out);
