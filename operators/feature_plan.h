// SPDX-License-Identifier: Apache-2.0
//
// Feature_plan: what a `features` node computes, prepared once per operator: which fields of a
// record are kept, and which running aggregates serve which output. Entries share what they can:
//
//   edge    an offset back from the record's time; its position is the first event younger than
//           that. A delay is an edge, and so is delay + window size.
//   frame   the events between two edges: one window of one delay.
//   slot    a running aggregate of one field over one frame (none for counts: edges suffice).
//   output  a field of the record, made from a frame or a slot.
//
// Immutable but for `scratch`, which the operator's worker uses; lives as long as the operator.
#pragma once

#include "operators/build.h"

// Stored rows are one per span. Longer ones make fewer rows, of which a commit writes more again.
enum { FEATURE_SPAN_MS = 4 * 86400000, FEATURE_FIELDS_MAX = 256, FEATURE_OUTPUTS_MAX = 1024 };

enum feature_slot_kind {
    SLOT_NONE,    // count
    SLOT_SUM,     // sum, mean
    SLOT_SQUARES, // stddev
    SLOT_MIN,
    SLOT_MAX,
    SLOT_LAST,
    SLOT_DISTINCT,
};

struct feature_field {
    struct field_ref ref;
    uint32_t id;          // names it in rows: hash_id
    const char *name;     // borrowed from the graph
    bool numeric;         // some slot adds or compares it
    enum agg_kind needed; // by which entry, for messages
};

struct feature_frame {
    uint32_t lo, hi; // edges: hi the younger
};

struct feature_slot_plan {
    enum feature_slot_kind kind;
    uint32_t field, frame;
};

struct feature_output {
    struct field_ref ref;
    enum agg_kind kind;
    uint32_t frame, slot;
};

struct feature_plan {
    const char *name, *where;
    struct feature_field *fields;
    int64_t *edges;
    struct feature_frame *frames;
    struct feature_slot_plan *slots;
    struct feature_output *outputs;
    uint32_t fields_count, edges_count, frames_count, slots_count, outputs_count;
    int64_t reach; // the largest edge: events older than that matter to nobody
    bool heap_slots;
    struct feature_value *values; // one per field: the record at hand
    struct buf scratch;           // rows, encoded values
};

int feature_plan_init(struct feature_plan *, const struct node *, struct err *);
void feature_plan_release(struct feature_plan *);
// Fills plan->values from the record; strings and lists lie in plan->scratch. -1: not decodable,
// or not a number where one is needed.
int feature_plan_read(struct feature_plan *, struct doc *, struct err *);
// The same values as bytes and back; take returns -1 on malformed bytes.
void feature_plan_put(const struct feature_plan *, struct buf *out);
int feature_plan_take(struct feature_plan *, struct slice);
// Events of spans before this one matter to no record of time >= t.
int64_t feature_plan_horizon(const struct feature_plan *, int64_t t);

static inline int64_t feature_before(int64_t t, int64_t ms) // t - ms, not below INT64_MIN
{
    int64_t r;
    return __builtin_sub_overflow(t, ms, &r) ? INT64_MIN : r;
}

static inline int64_t feature_span(int64_t t)
{
    return t / FEATURE_SPAN_MS - (t % FEATURE_SPAN_MS < 0);
}
