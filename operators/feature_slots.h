// SPDX-License-Identifier: Apache-2.0
//
// Feature_slots: running aggregates over a moving range of a key's events. A slot follows its range
// by adding the events that enter and taking out those that leave.
//
// The rule all of them keep: the result depends on nothing but the events in the range. Sums are
// exact integers rounded once; extremes are the latest of equals; so a slot that was rebuilt after
// a restart gives the same bits as one that ran through.
#pragma once

#include "base/arena.h"
#include "formats/value.h"
#include "operators/exact_sum.h"
#include "operators/feature_events.h"
#include "operators/feature_plan.h"

// Integers apart from decimals, so that their sum stays one. Decimals in units of 2^-64 as long as
// that is exact and they are below 2^35; what is not goes to `wide`, which is made when needed.
struct feature_sum {
    __int128 ints, units;
    uint32_t count, decimals, wide_count;
    struct exact_sum *wide;
};

struct feature_squares { // NULL until a number came
    struct exact_sum sum, squares;
    uint32_t count, extreme; // extreme: too large or small to square; computed from the events then
};

struct feature_deque { // indices of events that are or will be the extreme
    uint32_t *at;
    uint32_t first, end, size;
};

struct feature_set_entry {
    uint64_t payload, hash;
    uint32_t count; // 0: free
    uint8_t tag;
};

struct feature_set { // how often each value occurs; open addressing
    struct feature_set_entry *entries;
    uint32_t size, count;
};

union feature_slot { // one cache line
    struct feature_sum sum;
    struct feature_squares *squares;
    struct feature_deque deque;
    struct feature_set set;
    uint32_t last; // index + 1 of the last event with a value, 0: none
};

struct feature_range { // of events: [lo, hi)
    uint32_t lo, hi;
};

void feature_slot_release(enum feature_slot_kind, union feature_slot *);
// From range `was` to range `now`.
void feature_slot_move(const struct feature_slot_plan *, union feature_slot *,
                       const struct feature_events *, struct feature_range was,
                       struct feature_range now);
void feature_slot_rebuild(const struct feature_slot_plan *, union feature_slot *,
                          const struct feature_events *, struct feature_range now);
// Indices went down by n.
void feature_slot_shift(enum feature_slot_kind, union feature_slot *, uint32_t n);
// An event came in between at `at`, inside the slot's range or not; ranges already count it. True:
// the slot cannot follow, rebuild it at the next move.
bool feature_slot_insert(const struct feature_slot_plan *, union feature_slot *,
                         const struct feature_events *, uint32_t at, bool inside);
size_t feature_slot_bytes(enum feature_slot_kind, const union feature_slot *);
// The result as `kind` of the events in `range`.
struct value feature_slot_value(const struct feature_slot_plan *, const union feature_slot *,
                                const struct feature_events *, struct feature_range range,
                                enum agg_kind kind, struct arena *);
