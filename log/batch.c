// SPDX-License-Identifier: Apache-2.0
//
// The reading half of the codec: header, checks, iteration, headers of a record. The building half
// is batch_build.c. Bytes here come from disk and from strangers: each length is compared with
// what is left before it is used, and arithmetic on their numbers is unsigned, so that it may wrap
// but not overflow.
#include "log/batch.h"

#include "log/crc32c.h"
#include "log/unpack.h"

enum {
    AT_LENGTH = 8,
    AT_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21, // the crc covers from here
    AT_LAST_DELTA = 23,
    AT_BASE_TIME = 27,
    AT_MAX_TIME = 35,
    AT_PRODUCER = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_SEQUENCE = 53,
    AT_COUNT = 57,
    RECORD_MIN = 7, // seven fields of one byte each
};

int batch_header_parse(struct slice bytes, struct batch_header *out)
{
    const uint8_t *p = bytes.p;
    if (bytes.n <= AT_MAGIC)
        return 0;
    int32_t length = (int32_t)bytes_get32(p + AT_LENGTH);
    if (length < BATCH_HEADER - BATCH_PREFIX || length > INT32_MAX - BATCH_PREFIX ||
        p[AT_MAGIC] != 2)
        return -1;
    uint32_t size = (uint32_t)length + BATCH_PREFIX;
    if (bytes.n < size)
        return 0;
    *out = (struct batch_header){
        .base_offset = (int64_t)bytes_get64(p),
        .size = size,
        .leader_epoch = (int32_t)bytes_get32(p + AT_EPOCH),
        .crc = bytes_get32(p + AT_CRC),
        .attributes = bytes_get16(p + AT_ATTRIBUTES),
        .magic = p[AT_MAGIC],
        .last_offset_delta = (int32_t)bytes_get32(p + AT_LAST_DELTA),
        .base_time = (int64_t)bytes_get64(p + AT_BASE_TIME),
        .max_time = (int64_t)bytes_get64(p + AT_MAX_TIME),
        .producer_id = (int64_t)bytes_get64(p + AT_PRODUCER),
        .producer_epoch = (int16_t)bytes_get16(p + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)bytes_get32(p + AT_SEQUENCE),
        .count = (int32_t)bytes_get32(p + AT_COUNT),
    };
    return 1;
}

// Numbers of the header that do not fit together; NULL: all well.
static const char *header_fault(const struct batch_header *h)
{
    if (h->base_offset < 0)
        return "negative base offset";
    if (h->count < 0)
        return "negative record count";
    if (h->last_offset_delta < 0 || h->last_offset_delta > INT64_MAX - h->base_offset)
        return "impossible last offset delta";
    if (h->count > (int64_t)h->last_offset_delta + 1)
        return "more records than offsets";
    if ((h->attributes & BATCH_CODEC) == BATCH_NONE &&
        (uint32_t)h->count > (h->size - BATCH_HEADER) / RECORD_MIN)
        return "more records than fit its length";
    return NULL;
}

int batch_check(struct slice bytes, struct batch_header *out, struct err *e)
{
    if (bytes.n > AT_MAGIC && bytes.p[AT_MAGIC] < 2)
        return err_set(e, ERR_UNSUPPORTED,
                       "record batch has format version %u, only version 2 is read; the producer "
                       "is older than Kafka 0.11",
                       bytes.p[AT_MAGIC]);
    int got = batch_header_parse(bytes, out);
    if (got < 0)
        return err_set(e, ERR_CORRUPT, "not a record batch: impossible length or version");
    if (got == 0)
        return err_set(e, ERR_CORRUPT, "record batch is cut short: %u bytes are there", bytes.n);
    uint32_t crc = crc32c(bytes.p + AT_ATTRIBUTES, out->size - AT_ATTRIBUTES);
    if (crc != out->crc)
        return err_set(e, ERR_CORRUPT,
                       "record batch at offset %lld fails its checksum (stored %08x, computed "
                       "%08x): the bytes were damaged on disk or on the way",
                       (long long)out->base_offset, out->crc, crc);
    const char *fault = header_fault(out);
    if (fault != NULL)
        return err_set(e, ERR_CORRUPT, "record batch at offset %lld: %s",
                       (long long)out->base_offset, fault);
    if ((out->attributes & BATCH_CODEC) > BATCH_ZSTD)
        return err_set(e, ERR_UNSUPPORTED, "record batch at offset %lld: unknown compression %u",
                       (long long)out->base_offset, out->attributes & BATCH_CODEC);
    return 0;
}

int batch_records(struct slice batch, const struct batch_header *h, uint32_t limit,
                  struct buf *scratch, struct slice *out, struct err *e)
{
    CHECK(batch.n >= h->size);
    struct slice packed = slice_of(batch.p + BATCH_HEADER, h->size - BATCH_HEADER);
    enum batch_codec codec = h->attributes & BATCH_CODEC;
    if (codec == BATCH_NONE) {
        *out = packed;
        return 0;
    }
    uint32_t before = scratch->n;
    if (unpack(codec, packed, limit, scratch, e) != 0)
        return err_wrap(e, "record batch at offset %lld", (long long)h->base_offset);
    memset(buf_reserve(scratch, REC_PADDING), 0, REC_PADDING);
    *out = slice_of(scratch->p + before, scratch->n - before);
    return 0;
}

// --- iteration ----------------------------------------------------------------------------------

void batch_iter_init(struct batch_iter *it, const struct batch_header *h, struct slice records)
{
    bool append_time = (h->attributes & BATCH_APPEND_TIME) != 0;
    *it = (struct batch_iter){
        .p = records.p,
        .end = records.p + records.n,
        .base_offset = h->base_offset,
        .base_time = append_time ? h->max_time : h->base_time,
        .left = h->count,
        .append_time = append_time,
    };
}

// Reads a zigzag number below `end`; NULL when malformed. Most are one or two bytes.
static inline const uint8_t *varint(const uint8_t *p, const uint8_t *end, int64_t *out)
{
    if (p == NULL)
        return NULL;
    size_t left = (size_t)(end - p);
    uint32_t u;
    if (left >= 1 && p[0] < 0x80) {
        u = *p++;
    } else if (left >= 2 && p[1] < 0x80) {
        u = (uint32_t)(p[0] & 0x7f) | (uint32_t)p[1] << 7;
        p += 2;
    } else {
        uint32_t n = bytes_get_varint(p, left, out);
        return n == 0 ? NULL : p + n;
    }
    *out = (int64_t)(u >> 1) ^ -(int64_t)(u & 1);
    return p;
}

// A length (-1: null) and that many bytes.
static inline const uint8_t *field(const uint8_t *p, const uint8_t *end, struct slice *out)
{
    int64_t n;
    p = varint(p, end, &n);
    if (p == NULL || n > end - p || n < -1)
        return NULL;
    if (n < 0) {
        *out = (struct slice){NULL, 0};
        return p;
    }
    *out = slice_of(p, (size_t)n);
    return p + n;
}

int batch_next(struct batch_iter *it, struct rec *out)
{
    if (it->left <= 0)
        return 0;
    int64_t length, time, delta, headers;
    const uint8_t *p = varint(it->p, it->end, &length);
    if (p == NULL || length < 1 || length > it->end - p)
        return -1;
    const uint8_t *end = p + length;
    p = varint(p + 1, end, &time); // + 1: attributes, unused
    p = varint(p, end, &delta);
    if (p != NULL)
        p = field(p, end, &out->key);
    if (p != NULL)
        p = field(p, end, &out->value);
    p = varint(p, end, &headers);
    if (p == NULL || delta < 0 || delta > INT32_MAX || headers < 0 || headers > UINT16_MAX)
        return -1;
    out->time =
        it->append_time ? it->base_time : (int64_t)((uint64_t)it->base_time + (uint64_t)time);
    out->offset = (int64_t)((uint64_t)it->base_offset + (uint64_t)delta);
    out->headers = slice_of(p, (size_t)(end - p));
    out->header_count = (uint16_t)headers;
    out->flags = 0;
    it->p = end;
    it->left--;
    return 1;
}

static bool headers_well_formed(const struct rec *r)
{
    struct batch_headers it;
    struct log_header header;
    int got;
    batch_headers_init(&it, r);
    while ((got = batch_headers_next(&it, &header)) == 1)
        ;
    return got == 0 && cur_left(&it.cur) == 0;
}

int batch_check_records(struct slice batch, const struct batch_header *h, bool dense,
                        struct buf *scratch, struct err *e)
{
    struct slice records;
    uint32_t before = scratch->n;
    if (batch_records(batch, h, BATCH_UNPACK_LIMIT, scratch, &records, e) != 0)
        return -1;
    scratch->n = before;
    struct batch_iter it;
    batch_iter_init(&it, h, records);
    struct rec r;
    int32_t index = 0;
    int got;
    int64_t last = h->base_offset - 1;
    while ((got = batch_next(&it, &r)) == 1) {
        if (!headers_well_formed(&r))
            return err_set(e, ERR_CORRUPT, "record %d of the batch: malformed headers", index);
        if (r.offset <= last || r.offset > batch_last_offset(h) || (dense && r.offset != last + 1))
            return err_set(e, ERR_CORRUPT, "record %d of the batch: offset delta %lld out of order",
                           index, (long long)(r.offset - h->base_offset));
        last = r.offset;
        index++;
    }
    if (got < 0)
        return err_set(e, ERR_CORRUPT, "record %d of the batch is malformed", index);
    if (it.p != it.end)
        return err_set(e, ERR_CORRUPT, "bytes are left behind the batch's %d records", h->count);
    if (dense && last != batch_last_offset(h))
        return err_set(e, ERR_CORRUPT, "the batch holds %d records but covers %d offsets", h->count,
                       h->last_offset_delta + 1);
    return 0;
}

int batch_control_type(struct slice key)
{
    return key.p == NULL || key.n < 4 ? -1 : bytes_get16(key.p + 2);
}

// --- headers of a record ------------------------------------------------------------------------

void batch_headers_init(struct batch_headers *it, const struct rec *r)
{
    *it = (struct batch_headers){cur_of(r->headers), r->header_count};
}

int batch_headers_next(struct batch_headers *it, struct log_header *out)
{
    if (it->left == 0)
        return 0;
    struct cur *c = &it->cur;
    const uint8_t *p = field(c->p, c->end, &out->name);
    if (p != NULL && out->name.p == NULL)
        p = NULL; // a name is never null
    if (p != NULL)
        p = field(p, c->end, &out->value);
    if (p == NULL) {
        c->failed = true;
        return -1;
    }
    c->p = p;
    it->left--;
    return 1;
}

bool batch_headers_find(const struct rec *r, const char *name, struct slice *value)
{
    struct batch_headers it;
    struct log_header header;
    bool found = false;
    struct slice wanted = slice_str(name);
    batch_headers_init(&it, r);
    while (batch_headers_next(&it, &header) == 1) {
        if (slice_eq(header.name, wanted)) {
            *value = header.value;
            found = true;
        }
    }
    return found;
}

void batch_set_append_time(uint8_t *batch, int64_t time)
{
    uint32_t size = bytes_get32(batch + AT_LENGTH) + BATCH_PREFIX;
    bytes_put16(batch + AT_ATTRIBUTES, bytes_get16(batch + AT_ATTRIBUTES) | BATCH_APPEND_TIME);
    bytes_put64(batch + AT_MAX_TIME, (uint64_t)time);
    bytes_put32(batch + AT_CRC, crc32c(batch + AT_ATTRIBUTES, size - AT_ATTRIBUTES));
}
