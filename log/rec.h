// SPDX-License-Identifier: Apache-2.0
//
// Rec: a record as it lies in a fetched batch: borrowed slices, nothing decoded.
//
// Ownership: a rec_batch and everything its records point to are valid until the lease is given
// back with log_release(). At least REC_PADDING readable bytes follow every key and value, so that
// a SIMD parser may read past the end.
#pragma once

#include "base/slice.h"

enum { REC_PADDING = 64 };

// A partition of a topic that this client has opened; `topic` is the handle from log_topic_open.
struct log_tp {
    uint32_t topic;
    int32_t partition;
};

// The place of the first source record that a record descends from. Ties in event time are broken
// by it, so that answers do not depend on partitioning. `topic` is hash_id(topic name).
struct origin {
    uint32_t topic;
    int32_t partition;
    int64_t offset;
    uint32_t sequence; // several records made of one: 0, 1, 2 …
};

enum rec_flags {
    REC_MARKER = 1, // a watermark marker (log/marker.h), not data; the key is null
};

struct rec {
    int64_t time; // event time, ms since 1970 UTC
    int64_t offset;
    struct slice key;     // p == NULL: no key
    struct slice value;   // p == NULL: null (tombstone)
    struct slice headers; // `header_count` headers, encoded as in a record batch v2
    uint16_t header_count;
    uint8_t flags;
};

struct rec_batch {
    struct log_tp tp;
    struct rec *recs;
    uint32_t count;
    int64_t next_offset; // the offset to read next, beyond markers and gaps
    int64_t end_offset;  // end of what is visible to this client, as known at the fetch
    void *lease;         // for log_release
};

static inline int origin_cmp(const struct origin *a, const struct origin *b)
{
    if (a->offset != b->offset || a->partition != b->partition || a->topic != b->topic) {
        if (a->topic != b->topic)
            return a->topic < b->topic ? -1 : 1;
        if (a->partition != b->partition)
            return a->partition < b->partition ? -1 : 1;
        return a->offset < b->offset ? -1 : 1;
    }
    return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}
