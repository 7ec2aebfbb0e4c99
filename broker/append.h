// SPDX-License-Identifier: Apache-2.0
//
// Append: the way of batches into partitions, shared by broker_append, broker_commit and the end of
// classic transactions.
//
// A call's batches are sorted by partition; all its partitions' append locks are held, in number
// order, from the first check to the queuing of the journal entries, so that the journal has the
// batches of a partition in offset order. Small batches ride in the journal and are also written to
// the segment, unsynced; big ones go to the segment only, which the committer syncs first.
//
// A1  Nothing is changed before the journal has promised room.
// A2  A write error leaves the partition as it was: bytes behind its size are nobody's.
#pragma once

#include "broker/core.h"
#include "broker/validate.h"

enum { APPEND_BY_REFERENCE = 64 * 1024 }; // a call's bytes for one partition

struct append {
    struct broker *broker;
    struct staged *items; // sorted by partition
    uint32_t n;
    int64_t now_ms;
    int64_t reserved;
    struct staged small[16]; // items, when they fit
};

// Makes room for `n` items; append_release gives it back.
void append_init(struct append *, struct broker *, uint32_t n);
void append_release(struct append *);
// Sorts the n items (s->head, bytes, body and partition are filled) by partition.
void append_sort(struct append *);
void append_lock(struct append *);
void append_unlock(struct append *);
// Promises journal room for the items and `more` bytes of other entries.
int append_reserve(struct append *, int64_t more, struct err *);
// Gives item i its offset and writes it. The item's partition is locked.
enum broker_error append_write(struct append *, uint32_t i);
// Writes all items, or none: a batch's error says which could not be.
enum broker_error append_write_all(struct append *);
// The journal entries of all written items; between journal_begin and journal_end.
void append_entries(struct append *, struct buf *out, uint8_t flags);
