// SPDX-License-Identifier: Apache-2.0
//
// Batch: Kafka's record batch, version 2: what is on disk, on the wire and in a transaction's
// buffers. A builder writes one in place; a header parser, a check and an iterator read one without
// copying. Pure functions over bytes: any thread, no I/O.
//
//   base offset 8 | length 4 | leader epoch 4 | magic 1 | crc 4 | attributes 2 |
//   last offset delta 4 | base time 8 | max time 8 | producer id 8 | producer epoch 2 |
//   base sequence 4 | record count 4 | records
//
// `length` counts what follows it; the crc (Castagnoli) covers everything behind itself, so base
// offset and leader epoch may be patched without touching it.
//
// Reading never trusts a byte: malformed input is -1, never a read outside the slice. The builder
// trusts its caller: wrong use is a CHECK.
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "log/log.h"

enum {
    BATCH_HEADER = 61,             // bytes before the first record
    BATCH_PREFIX = 12,             // base offset and length: what `length` does not count
    BATCH_TARGET = 512 * 1024,     // a builder's batch is best finished beyond this size
    BATCH_UNPACK_LIMIT = 64 << 20, // default bound for what a compressed batch may unpack to
};

enum batch_attributes {
    BATCH_CODEC = 0x07,          // mask of enum batch_codec
    BATCH_APPEND_TIME = 0x08,    // max_time is every record's time
    BATCH_TRANSACTIONAL = 0x10,  // hidden until its producer's end marker
    BATCH_CONTROL = 0x20,        // control records only: end markers, our watermark markers
    BATCH_DELETE_HORIZON = 0x40, // base_time is a delete horizon (compaction)
};

enum batch_codec { BATCH_NONE, BATCH_GZIP, BATCH_SNAPPY, BATCH_LZ4, BATCH_ZSTD };

// Types of control records (the second int16 of the key); MARKER_TYPE is ours (log/marker.h).
enum batch_control { BATCH_ABORT = 0, BATCH_COMMIT = 1 };

struct batch_header {
    int64_t base_offset;
    uint32_t size; // of the whole batch: length + BATCH_PREFIX
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    uint8_t magic;
    int32_t last_offset_delta;
    int64_t base_time, max_time;
    int64_t producer_id; // -1: none
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t count;
};

// --- reading ------------------------------------------------------------------------------------

// Reads the header at the front of `bytes`. 1: *out is filled and the whole batch is there;
// 0: more bytes are needed; -1: this can never be a batch (length below a header's, magic not 2).
// Does not look at the crc.
int batch_header_parse(struct slice bytes, struct batch_header *out);

// The full check of the batch at the front of `bytes`: whole, magic 2, crc, counts and deltas
// that fit together. Does not walk the records. ERR_CORRUPT or ERR_UNSUPPORTED (magic, codec).
int batch_check(struct slice bytes, struct batch_header *out, struct err *e);

// Walks all records, for bytes of strangers: the count is right, every record and header is well
// formed, and (`dense`: as a producer must send them) offset deltas are 0, 1, 2 … Compressed
// batches are unpacked into `scratch`.
int batch_check_records(struct slice batch, const struct batch_header *h, bool dense,
                        struct buf *scratch, struct err *e);

// Where the records are: inside `batch`, or unpacked behind `scratch`'s used bytes (up to `limit`
// bytes plus REC_PADDING; `scratch` grows, so slices into it from before are invalid).
int batch_records(struct slice batch, const struct batch_header *h, uint32_t limit,
                  struct buf *scratch, struct slice *out, struct err *e);

struct batch_iter {
    const uint8_t *p, *end;
    int64_t base_offset, base_time;
    int32_t left;
    bool append_time;
};

// `records` from batch_records; borrowed while iterating, and by the recs.
void batch_iter_init(struct batch_iter *it, const struct batch_header *h, struct slice records);
// 1: *out is the next record (flags 0); 0: all are read; -1: malformed.
int batch_next(struct batch_iter *it, struct rec *out);

static inline bool batch_is_control(const struct batch_header *h)
{
    return (h->attributes & BATCH_CONTROL) != 0;
}

static inline bool batch_is_transactional(const struct batch_header *h)
{
    return (h->attributes & BATCH_TRANSACTIONAL) != 0;
}

static inline int64_t batch_last_offset(const struct batch_header *h)
{
    return h->base_offset + h->last_offset_delta;
}

// The type of a control record by its key; -1: not a control key.
int batch_control_type(struct slice key);

// --- headers of a record ------------------------------------------------------------------------

struct batch_headers {
    struct cur cur;
    uint16_t left;
};

void batch_headers_init(struct batch_headers *it, const struct rec *r);
// 1: *out is filled (slices into the batch; a null value has p == NULL); 0: end; -1: malformed.
int batch_headers_next(struct batch_headers *it, struct log_header *out);
// The last header of that name; false: none (or malformed headers).
bool batch_headers_find(const struct rec *r, const char *name, struct slice *value);
// Encodes headers as they lie in a record (without their count).
void batch_headers_put(struct buf *out, const struct log_header *headers, uint16_t count);

// --- patching (the crc stays right) -------------------------------------------------------------

static inline void batch_set_base_offset(uint8_t *batch, int64_t offset)
{
    bytes_put64(batch, (uint64_t)offset);
}

static inline void batch_set_leader_epoch(uint8_t *batch, int32_t epoch)
{
    bytes_put32(batch + 12, (uint32_t)epoch);
}

// Sets LogAppendTime: attribute bit and max time; computes the crc anew. `batch` is whole.
void batch_set_append_time(uint8_t *batch, int64_t time);

// --- building -----------------------------------------------------------------------------------

// Builds batches one behind the other in `buf`, so that one builder holds all that a transaction
// appends to a partition; memory is kept by batch_reset for the next. The finished batches are
// found again by walking `buf` with batch_header_parse.
struct batch_builder {
    struct buf buf;
    uint32_t start; // of the open batch in buf
    int32_t count;  // records in the open batch
    int32_t last_delta;
    int64_t base_time, max_time;
    uint16_t attributes;
    bool open;
};

struct batch_producer {
    int64_t id;
    int16_t epoch;
    int32_t base_sequence;
};

void batch_builder_init(struct batch_builder *b);
void batch_builder_release(struct batch_builder *b);
void batch_reset(struct batch_builder *b); // forgets everything built, keeps the memory

// Opens a batch behind the finished ones. `attributes`: BATCH_TRANSACTIONAL, BATCH_CONTROL …; the
// builder does not compress.
void batch_begin(struct batch_builder *b, int64_t base_time, uint16_t attributes);
// Appends with the next offset delta. A record with `marker` gets a marker's key and needs a
// control batch.
void batch_append(struct batch_builder *b, const struct log_record *r);
// Appends a record as read, with its headers as they are, at a given delta above all before
// (compaction keeps offsets).
void batch_append_rec(struct batch_builder *b, int32_t offset_delta, const struct rec *r);
// Appends a control record: an end marker's key and value (coordinator epoch).
void batch_append_end(struct batch_builder *b, int64_t time, enum batch_control type,
                      int32_t coordinator_epoch);
// Bytes of the open batch as of now (0: none open).
static inline uint32_t batch_size(const struct batch_builder *b)
{
    return b->open ? b->buf.n - b->start : 0;
}
// Fills the header and closes. `producer` NULL: none. The bytes are borrowed until the builder is
// used again. Base offset 0 and leader epoch 0.
struct slice batch_finish(struct batch_builder *b, const struct batch_producer *producer);
// As batch_finish, for a batch whose last offsets compaction has dropped: keeps them covered.
struct slice batch_finish_at(struct batch_builder *b, const struct batch_producer *producer,
                             int32_t last_offset_delta);
