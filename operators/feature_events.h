// SPDX-License-Identifier: Apache-2.0
//
// Feature_events: one key's events in time order: their times and the values of the fields that
// some aggregate needs. Events of equal time stand in the order they came. Old
// ones leave at the front, new ones come at the end or, late, in between.
//
// An index is valid until the next insert, which may move everything down by `shift`.
#pragma once

#include "base/buf.h"

enum feature_tag {
    FEATURE_NULL,
    FEATURE_INT,    // payload: int64_t
    FEATURE_DOUBLE, // payload: its bits
    FEATURE_BOOL,   // payload: 0 or 1
    FEATURE_BLOB,   // payload: struct feature_blob *, holding an encoded struct value
};

struct feature_blob { // shared between an event and sets that count it
    uint32_t refs, n;
    uint8_t bytes[];
};

struct feature_value { // on its way in: a blob's bytes are still borrowed
    enum feature_tag tag;
    uint64_t payload;
    struct slice bytes;
};

void feature_value_put(const struct feature_value *, struct buf *out);
struct feature_value feature_value_take(struct cur *);
void feature_blob_unref(struct feature_blob *);

enum { FEATURE_UNIFORM = 8 };

// Time and payloads of an event lie together, so that an edge of a window costs one cache line. As
// long as every event has the same tags they are kept once.
struct feature_events {
    uint64_t *rows; // per event: its time, then a payload per field
    uint8_t *tags;  // per event: a tag per field; NULL: as in `uniform`
    uint32_t first, end, size, fields;
    uint8_t uniform[FEATURE_UNIFORM];
    size_t blob_bytes;
};

void feature_events_init(struct feature_events *, uint32_t fields);
void feature_events_release(struct feature_events *);
// Puts an event behind all with time <= its own; returns its index. Indices known before are to be
// lowered by *shift first, then raised by one if at or above the returned one.
uint32_t feature_events_insert(struct feature_events *, int64_t time,
                               const struct feature_value *values, uint32_t *shift);
void feature_events_drop(struct feature_events *, uint32_t before); // first becomes `before`
// The first event with time > t.
uint32_t feature_events_after(const struct feature_events *, int64_t t);
// Event `at`'s field as a value to write down.
struct feature_value feature_events_value(const struct feature_events *, uint32_t field,
                                          uint32_t at);

static inline int64_t feature_time_at(const struct feature_events *ev, uint32_t at)
{
    return (int64_t)ev->rows[(size_t)at * (ev->fields + 1)];
}

static inline uint64_t feature_payload_at(const struct feature_events *ev, uint32_t field,
                                          uint32_t at)
{
    return ev->rows[(size_t)at * (ev->fields + 1) + 1 + field];
}

static inline enum feature_tag feature_tag_at(const struct feature_events *ev, uint32_t field,
                                              uint32_t at)
{
    if (ev->tags == NULL)
        return (enum feature_tag)ev->uniform[field];
    return (enum feature_tag)ev->tags[(size_t)at * ev->fields + field];
}

static inline double feature_as_double(uint64_t payload)
{
    double d;
    memcpy(&d, &payload, sizeof(d));
    return d;
}

static inline size_t feature_events_bytes(const struct feature_events *ev)
{
    size_t n = (size_t)ev->size * (ev->fields + (size_t)1) * sizeof(*ev->rows) + ev->blob_bytes;
    return ev->tags == NULL ? n : n + (size_t)ev->size * ev->fields;
}
