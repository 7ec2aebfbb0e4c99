// SPDX-License-Identifier: Apache-2.0
//
// Hold: records that wait for the watermark, given back in (time, origin) order. What a record is
// (key, carried value, source record) is copied into memory of the hold, which is used again and
// again.
//
// Records come nearly sorted: one sequence per upstream writer, interleaved. So each sequence is
// kept as a run (a ring of entries in order); taking the first one compares the runs' heads. What
// fits behind no run goes into a heap.
#pragma once

#include "operators/op.h"

struct hold_entry {
    int64_t time;
    struct origin origin;
    uint64_t hash;                    // of the key
    struct slice key, carried, extra; // in `bytes`
    struct rec rec;                   // without headers; key in `bytes`, value unset
    bool has_rec;
    const char *topic;
    int32_t partition;
    uint8_t input;
    struct buf bytes;
    struct hold_entry *next; // free list
};

enum { HOLD_RUNS = 8 };

struct hold_slot { // an entry with its time beside, so that most comparisons touch nothing else
    int64_t time;
    struct hold_entry *entry;
};

struct hold_run {
    struct hold_slot *ring; // its size is a power of two
    uint32_t head, count, size;
};

// Called for entries that will be taken soon, each some entries earlier than the step before:
// HOLD_NEAR_STEPS times per entry of a run, now and then less often.
enum { HOLD_NEAR_STEPS = 4, HOLD_NEAR_APART = 3 };
struct hold_near {
    void (*step)(void *arg, const struct hold_entry *, uint32_t step);
    void *arg;
};

struct hold {
    struct hold_near near; // step == NULL: nobody asks
    struct hold_run runs[HOLD_RUNS];
    struct hold_slot *heap;
    uint32_t heap_count, heap_size;
    uint32_t count; // of all
    struct hold_entry *free;
};

void hold_init(struct hold *);
void hold_release(struct hold *);
void hold_clear(struct hold *); // forgets what it holds
// Copies the record; m->doc is not NULL. `extra` comes back with it.
void hold_put(struct hold *, const struct msg *, struct slice extra);
// The first entry if its time < below (INT64_MAX: whatever it is), else NULL. Give it back with
// hold_recycle when done.
struct hold_entry *hold_take(struct hold *, int64_t below);
void hold_recycle(struct hold *, struct hold_entry *);
int64_t hold_lowest_offset(const struct hold *, uint8_t input); // INT64_MAX: none
