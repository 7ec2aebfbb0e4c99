// SPDX-License-Identifier: Apache-2.0
//
// Sequence: what one partition remembers of its producers: the last five batches of each, so that a
// batch sent again is recognised, and whether its transaction includes this partition. Guarded by
// the partition's append lock.
//
// Q1  A batch equal to one of the last five (epoch, first and last number) is a repeat: it gets the
//     first one's offset and is not written.
// Q2  Numbers follow each other, 2147483647 by 0. A producer that is not known here may begin
//     anywhere: its history may have been deleted.
// Q3  A lower epoch than the last seen is refused.
#pragma once

#include "broker/entry.h"

enum { SEQUENCE_KEPT = 5 };

struct sequence {
    int64_t producer_id; // -1: free slot
    int64_t used_ms;     // wall clock
    int16_t epoch;
    uint8_t count;
    bool in_txn;
    struct entry_sequence_batch batches[SEQUENCE_KEPT]; // oldest first
};

struct sequences { // open addressing by producer id
    struct sequence *slots;
    uint32_t size, count;
};

void sequences_release(struct sequences *);
struct sequence *sequences_find(const struct sequences *, int64_t producer_id); // or NULL
struct sequence *sequences_get(struct sequences *, int64_t producer_id);        // makes it
// Forgets producers unused since before `before_ms` that are in no transaction.
void sequences_expire(struct sequences *, int64_t before_ms);

// BROKER_OK: append it. BROKER_DUPLICATE_SEQUENCE: *repeat says what it got the first time.
enum broker_error sequence_check(const struct sequence *, const struct head *,
                                 struct entry_sequence_batch *repeat);
void sequence_note(struct sequence *, const struct head *, int64_t now_ms);
// A newer epoch forgets the batches of the older.
void sequence_set_epoch(struct sequence *, int16_t epoch);
