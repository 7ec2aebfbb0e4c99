// SPDX-License-Identifier: Apache-2.0
//
// Feature_cell: one key's state: its events, where the edges stand among them, the running
// aggregates, and which rows are out of date. Only events are stored; everything else is rebuilt
// from them when a cell is loaded.
//
// Rows: the events of a span (four days, counted from the epoch) in parts of 128, so that a busy
// span is not written again and again. Sub-key: the span's number as 8 ordered bytes, from the
// second part on followed by the part's number in 4. Value: the stored fields' ids, then per event
// the time since the one before (the first: since the span's start) and the values. Fields are
// found by id: one that was not stored counts as null.
//
// A span that no record to come can reach is dropped with its rows.
#pragma once

#include "operators/feature_slots.h"

struct feature_mark { // rows of a span to write at the next flush
    int64_t span;
    uint32_t from;  // index of the first event that changed
    uint32_t parts; // > 0: the span is gone, so many rows are to be deleted
};

// One allocation: the struct, the slots, the edges, the stale flags.
struct feature_cell {
    struct feature_events events;
    struct feature_mark *marks; // first_marks, or a larger array
    uint32_t marks_count, marks_size;
    uint32_t *edges;
    uint8_t *stale; // per slot: it must be rebuilt
    bool valid;     // edges and slots stand at the last step
    struct feature_mark first_marks[2];
    union feature_slot slots[];
};

extern const struct cell_ops feature_cell_ops; // ops_arg: the struct feature_plan

// Two steps of bringing a cell into the cache that is to be used soon.
void feature_cell_prefetch(const struct feature_cell *, const struct feature_plan *);
void feature_cell_prefetch_events(const struct feature_cell *, const struct feature_plan *);
// Adds the record at hand (plan->values) at its place and moves everything to time t.
void feature_cell_add(struct feature_cell *, const struct feature_plan *, int64_t t);
// Drops the spans before `span`.
void feature_cell_prune(struct feature_cell *, const struct feature_plan *, int64_t span);
struct value feature_cell_value(const struct feature_cell *, const struct feature_plan *,
                                const struct feature_output *, struct arena *);
