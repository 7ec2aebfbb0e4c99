// SPDX-License-Identifier: Apache-2.0
//
// Replay: applies entries to a broker that serves nobody yet (one thread, no locks).
//
// Topics that a later frame deletes are left out from the start: their files may be gone already.
#pragma once

#include "base/err.h"
#include "broker/entry.h"

struct broker;

struct replay_range { // partitions of a deleted topic
    uint32_t first, end;
};

struct replay {
    struct broker *broker;
    struct replay_range *deleted;
    uint32_t deleted_count, deleted_size;
    struct buf scratch;
    uint64_t frames;
};

void replay_init(struct replay *, struct broker *);
void replay_release(struct replay *);
// First pass: remembers the topics that these entries delete.
int replay_note_deleted(struct replay *, struct slice entries, struct err *);
bool replay_is_deleted(const struct replay *, uint32_t partition);
int replay_entries(struct replay *, struct slice entries, struct err *);
// Whether all batches that these entries refer to are on disk (after a power loss without syncs
// they may not be).
bool replay_is_whole(struct replay *, struct slice entries);
