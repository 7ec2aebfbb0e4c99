// SPDX-License-Identifier: Apache-2.0
//
// Hold: records that wait for the watermark, given back in (time, origin) order. What a record is
// (key, carried value, source record) is copied into memory of the hold, which is used again and
// again; a heap orders them, so that records that come in order cost no search.
#pragma once

#include "operators/op.h"

struct hold_entry {
    int64_t time;
    struct origin origin;
    struct slice key, carried, extra; // in `bytes`
    struct rec rec;                   // without headers; key in `bytes`, value unset
    bool has_rec;
    const char *topic;
    int32_t partition;
    uint8_t input;
    struct buf bytes;
    struct hold_entry *next; // free list
};

struct hold {
    struct {
        int64_t time;
        struct hold_entry *entry;
    } * heap;
    uint32_t count, size;
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
