// SPDX-License-Identifier: Apache-2.0
//
// The building half of the codec (batch.h). A record is encoded straight into the batch: its size
// is computed first, because its length comes first, then everything is written once. Nothing is
// allocated once the buffer has reached its usual size.
#include "log/batch.h"

#include "log/crc32c.h"
#include "log/marker.h"

enum { AT_CRC = 17, AT_ATTRIBUTES = 21 };

void batch_builder_init(struct batch_builder *b)
{
    *b = (struct batch_builder){0};
    buf_init(&b->buf);
}

void batch_builder_release(struct batch_builder *b)
{
    buf_release(&b->buf);
    *b = (struct batch_builder){0};
}

void batch_reset(struct batch_builder *b)
{
    buf_clear(&b->buf);
    b->open = false;
}

void batch_begin(struct batch_builder *b, int64_t base_time, uint16_t attributes)
{
    CHECK(!b->open);
    CHECK((attributes & BATCH_CODEC) == BATCH_NONE);
    buf_reserve(&b->buf, BATCH_HEADER);
    b->start = b->buf.n;
    b->buf.n += BATCH_HEADER;
    b->count = 0;
    b->last_delta = -1;
    b->base_time = base_time;
    b->max_time = INT64_MIN;
    b->attributes = attributes;
    b->open = true;
}

static inline uint32_t size_of_varint(int64_t v)
{
    uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    return (uint32_t)(63 - __builtin_clzll(u | 1)) / 7 + 1;
}

static inline uint32_t size_of_field(struct slice s)
{
    return s.p == NULL ? 1 : size_of_varint(s.n) + s.n;
}

// Most numbers take one or two bytes.
static inline uint8_t *put_varint(uint8_t *p, int64_t v)
{
    uint64_t u = ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
    if (u < 0x80) {
        *p = (uint8_t)u;
        return p + 1;
    }
    if (u < 0x4000) {
        p[0] = (uint8_t)(u | 0x80);
        p[1] = (uint8_t)(u >> 7);
        return p + 2;
    }
    return p + bytes_put_uvarint(p, u);
}

static inline uint8_t *put_field(uint8_t *p, struct slice s)
{
    if (s.p == NULL) {
        *p = 1; // zigzag -1
        return p + 1;
    }
    p = put_varint(p, s.n);
    if (s.n != 0)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

// A header's name is never null, its value may be.
static inline struct slice header_name(const struct log_header *h)
{
    return h->name.p == NULL ? slice_of("", 0) : h->name;
}

static uint32_t size_of_headers(const struct log_header *headers, uint16_t count)
{
    uint32_t n = 0;
    for (uint16_t i = 0; i < count; i++)
        n += size_of_field(header_name(&headers[i])) + size_of_field(headers[i].value);
    return n;
}

static uint8_t *put_headers(uint8_t *p, const struct log_header *headers, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++) {
        p = put_field(p, header_name(&headers[i]));
        p = put_field(p, headers[i].value);
    }
    return p;
}

void batch_headers_put(struct buf *out, const struct log_header *headers, uint16_t count)
{
    uint32_t n = size_of_headers(headers, count);
    put_headers(buf_reserve(out, n), headers, count);
    out->n += n;
}

struct shape { // what both ways of appending have in common
    int32_t delta;
    int64_t time;
    struct slice key, value;
    uint32_t headers_size;
    uint16_t headers_count;
};

// Writes a record up to its headers and returns where they go.
static inline uint8_t *put_record(struct batch_builder *b, const struct shape *s)
{
    CHECK(b->open && s->delta > b->last_delta);
    int64_t time = (int64_t)((uint64_t)s->time - (uint64_t)b->base_time);
    uint32_t body = 1 + size_of_varint(time) + size_of_varint(s->delta) + size_of_field(s->key) +
                    size_of_field(s->value) + size_of_varint(s->headers_count) + s->headers_size;
    uint32_t size = size_of_varint(body) + body;
    uint8_t *p = buf_reserve(&b->buf, size);
    b->buf.n += size;
    p = put_varint(p, body);
    *p++ = 0; // attributes
    p = put_varint(p, time);
    p = put_varint(p, s->delta);
    p = put_field(p, s->key);
    p = put_field(p, s->value);
    p = put_varint(p, s->headers_count);
    b->last_delta = s->delta;
    b->count++;
    if (s->time > b->max_time)
        b->max_time = s->time;
    return p;
}

static const uint8_t MARKER_KEY[4] = {0, 0, MARKER_TYPE >> 8, MARKER_TYPE & 0xff};

void batch_append(struct batch_builder *b, const struct log_record *r)
{
    CHECK(r->marker == ((b->attributes & BATCH_CONTROL) != 0));
    struct shape s = {
        .delta = b->last_delta + 1,
        .time = r->time,
        .key = r->marker ? slice_of(MARKER_KEY, sizeof MARKER_KEY) : r->key,
        .value = r->value,
        .headers_size = size_of_headers(r->headers, r->headers_count),
        .headers_count = r->headers_count,
    };
    put_headers(put_record(b, &s), r->headers, r->headers_count);
}

void batch_append_rec(struct batch_builder *b, int32_t offset_delta, const struct rec *r)
{
    struct shape s = {
        .delta = offset_delta,
        .time = r->time,
        .key = r->key,
        .value = r->value,
        .headers_size = r->headers.n,
        .headers_count = r->header_count,
    };
    uint8_t *p = put_record(b, &s);
    if (r->headers.n != 0)
        memcpy(p, r->headers.p, r->headers.n);
}

void batch_append_end(struct batch_builder *b, int64_t time, enum batch_control type,
                      int32_t coordinator_epoch)
{
    CHECK((b->attributes & BATCH_CONTROL) != 0);
    uint8_t key[4] = {0, 0, 0, (uint8_t)type};
    uint8_t value[6] = {0, 0};
    bytes_put32(value + 2, (uint32_t)coordinator_epoch);
    struct shape s = {
        .delta = b->last_delta + 1,
        .time = time,
        .key = slice_of(key, sizeof key),
        .value = slice_of(value, sizeof value),
    };
    put_record(b, &s);
}

struct slice batch_finish_at(struct batch_builder *b, const struct batch_producer *producer,
                             int32_t last_offset_delta)
{
    static const struct batch_producer none = {-1, -1, -1};
    CHECK(b->open && last_offset_delta >= b->last_delta && last_offset_delta >= 0);
    if (producer == NULL)
        producer = &none;
    uint8_t *p = b->buf.p + b->start;
    uint32_t size = b->buf.n - b->start;
    bytes_put64(p, 0);
    bytes_put32(p + 8, size - BATCH_PREFIX);
    bytes_put32(p + 12, 0);
    p[16] = 2;
    bytes_put16(p + AT_ATTRIBUTES, b->attributes);
    bytes_put32(p + 23, (uint32_t)last_offset_delta);
    bytes_put64(p + 27, (uint64_t)b->base_time);
    bytes_put64(p + 35, (uint64_t)(b->count == 0 ? b->base_time : b->max_time));
    bytes_put64(p + 43, (uint64_t)producer->id);
    bytes_put16(p + 51, (uint16_t)producer->epoch);
    bytes_put32(p + 53, (uint32_t)producer->base_sequence);
    bytes_put32(p + 57, (uint32_t)b->count);
    bytes_put32(p + AT_CRC, crc32c(p + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
    b->open = false;
    return slice_of(p, size);
}

struct slice batch_finish(struct batch_builder *b, const struct batch_producer *producer)
{
    return batch_finish_at(b, producer, b->last_delta);
}
