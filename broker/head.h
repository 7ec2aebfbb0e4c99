// SPDX-License-Identifier: Apache-2.0
//
// Head: the 61 fixed bytes at the front of a record batch v2, as the broker needs them. Offset,
// length, leader epoch and magic lie outside the batch's own CRC, so the broker may set them in its
// copy for nothing; everything from the attributes on is covered by it.
#pragma once

#include "base/bytes.h"
#include "base/slice.h"

enum {
    HEAD_SIZE = 61,
    HEAD_OUTSIDE_CRC = 21, // the CRC covers everything from here
    HEAD_BATCH_MAX = 1 << 30,
    HEAD_AT_LENGTH = 8,
    HEAD_AT_LEADER_EPOCH = 12,
    HEAD_AT_MAGIC = 16,
    HEAD_AT_CRC = 17,
    HEAD_AT_ATTRIBUTES = 21,
    HEAD_AT_LAST_DELTA = 23,
    HEAD_AT_BASE_TIME = 27,
    HEAD_AT_MAX_TIME = 35,
    HEAD_AT_PRODUCER = 43,
    HEAD_AT_EPOCH = 51,
    HEAD_AT_SEQUENCE = 53,
    HEAD_AT_COUNT = 57,
};

enum head_attributes {
    HEAD_COMPRESSION = 0x07,
    HEAD_APPEND_TIME = 0x08,
    HEAD_TRANSACTIONAL = 0x10,
    HEAD_CONTROL = 0x20,
};

struct head {
    int64_t base_offset;
    uint32_t size; // of the whole batch, these 61 bytes included
    uint32_t crc;
    uint16_t attributes;
    int32_t last_delta;
    int64_t base_time, max_time;
    int64_t producer_id;
    int16_t epoch;
    int32_t sequence;
    int32_t count;
};

// False when the bytes cannot be the front of a batch v2. `p` holds HEAD_SIZE bytes.
static inline bool head_parse(const uint8_t *p, struct head *h)
{
    uint32_t length = bytes_get32(p + HEAD_AT_LENGTH);
    if (p[HEAD_AT_MAGIC] != 2 || length < HEAD_SIZE - 12 || length > HEAD_BATCH_MAX)
        return false;
    h->base_offset = (int64_t)bytes_get64(p);
    h->size = length + 12;
    h->crc = bytes_get32(p + HEAD_AT_CRC);
    h->attributes = bytes_get16(p + HEAD_AT_ATTRIBUTES);
    h->last_delta = (int32_t)bytes_get32(p + HEAD_AT_LAST_DELTA);
    h->base_time = (int64_t)bytes_get64(p + HEAD_AT_BASE_TIME);
    h->max_time = (int64_t)bytes_get64(p + HEAD_AT_MAX_TIME);
    h->producer_id = (int64_t)bytes_get64(p + HEAD_AT_PRODUCER);
    h->epoch = (int16_t)bytes_get16(p + HEAD_AT_EPOCH);
    h->sequence = (int32_t)bytes_get32(p + HEAD_AT_SEQUENCE);
    h->count = (int32_t)bytes_get32(p + HEAD_AT_COUNT);
    return h->last_delta >= 0 && h->count >= 0;
}

static inline int64_t head_last_offset(const struct head *h)
{
    return h->base_offset + h->last_delta;
}

static inline bool head_is_control(const struct head *h)
{
    return (h->attributes & HEAD_CONTROL) != 0;
}

static inline bool head_is_transactional(const struct head *h)
{
    return (h->attributes & HEAD_TRANSACTIONAL) != 0;
}
