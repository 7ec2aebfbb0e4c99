// SPDX-License-Identifier: Apache-2.0
//
// Origin: the header "o" by which a record remembers the source record it descends from (struct
// origin, log/rec.h): topic id 4, partition 4, offset 8, sequence 4, big-endian. Ties in event time
// are broken by it, so it travels through every internal topic.
#pragma once

#include "log/log.h"

enum { ORIGIN_SIZE = 20 };

// Writes the value of the header into `out`.
void origin_encode(const struct origin *o, uint8_t out[ORIGIN_SIZE]);
// The header for a record; its value borrows `bytes`, which origin_encode filled.
static inline struct log_header origin_header(const uint8_t bytes[ORIGIN_SIZE])
{
    return (struct log_header){slice_of("o", 1), slice_of(bytes, ORIGIN_SIZE)};
}
// The record's origin, from its header; without a well-formed one it is the record's own place.
struct origin origin_of(const struct rec *r, uint32_t topic_id, int32_t partition);
