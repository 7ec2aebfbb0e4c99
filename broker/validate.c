// SPDX-License-Identifier: Apache-2.0
#include "broker/validate.h"

#include "log/batch.h"
#include "log/crc32c.h"

static void set_crc(struct staged *s)
{
    uint32_t crc = crc32c(s->bytes + HEAD_OUTSIDE_CRC, HEAD_SIZE - HEAD_OUTSIDE_CRC);
    s->head.crc = crc32c_extend(crc, s->body.p, s->body.n);
    bytes_put32(s->bytes + HEAD_AT_CRC, s->head.crc);
}

static void set_max_time(struct staged *s, int64_t time)
{
    s->head.max_time = time;
    bytes_put64(s->bytes + HEAD_AT_MAX_TIME, (uint64_t)time);
}

struct walked {
    int64_t max_time;
    bool keyless; // some record has no key
};

static int walk(struct slice bytes, const struct batch_header *h, struct buf *scratch,
                struct walked *out, struct err *e)
{
    struct slice records;
    if (batch_records(bytes, h, BATCH_UNPACK_LIMIT, scratch, &records, e) < 0)
        return -1;
    struct batch_iter it;
    struct rec r;
    int more;
    *out = (struct walked){INT64_MIN, false};
    batch_iter_init(&it, h, records);
    while ((more = batch_next(&it, &r)) == 1) {
        out->max_time = r.time > out->max_time ? r.time : out->max_time;
        out->keyless |= r.key.p == NULL;
    }
    return more;
}

static enum broker_error refuse(const struct err *e)
{
    return e->code == ERR_UNSUPPORTED ? BROKER_UNSUPPORTED_COMPRESSION : BROKER_CORRUPT_MESSAGE;
}

static enum broker_error check_deep(struct staged *s, const struct broker_topic_config *config)
{
    struct slice bytes = s->batch->bytes;
    struct batch_header h;
    struct err e;
    struct buf scratch;
    struct walked w;
    if (batch_check(bytes, &h, &e) < 0)
        return refuse(&e);
    if (h.size != bytes.n)
        return BROKER_INVALID_RECORD; // one batch per partition and request
    if (batch_is_control(&h) || h.count < 1 || h.last_offset_delta != h.count - 1)
        return BROKER_INVALID_RECORD;
    if (h.producer_id >= 0 && (h.base_sequence < 0 || h.producer_epoch < 0))
        return BROKER_INVALID_RECORD;
    if (batch_is_transactional(&h) && h.producer_id < 0)
        return BROKER_INVALID_RECORD;
    buf_init(&scratch);
    enum broker_error r = BROKER_OK;
    if (batch_check_records(bytes, &h, true, &scratch, &e) < 0)
        r = e.code == ERR_UNSUPPORTED ? BROKER_UNSUPPORTED_COMPRESSION : BROKER_INVALID_RECORD;
    buf_clear(&scratch);
    if (r == BROKER_OK && walk(bytes, &h, &scratch, &w, &e) < 0)
        r = BROKER_INVALID_RECORD;
    buf_release(&scratch);
    if (r != BROKER_OK)
        return r;
    if (w.keyless && config->cleanup != BROKER_DELETE)
        return BROKER_INVALID_RECORD;
    bool stale = (s->head.attributes & HEAD_APPEND_TIME) != 0 || w.max_time != s->head.max_time;
    if (!config->append_time && stale) { // the producer's word for it is not taken
        s->head.attributes &= (uint16_t)~HEAD_APPEND_TIME;
        bytes_put16(s->bytes + HEAD_AT_ATTRIBUTES, s->head.attributes);
        set_max_time(s, w.max_time);
        set_crc(s);
    }
    return BROKER_OK;
}

static void stamp(struct staged *s, int64_t now_ms)
{
    s->head.attributes |= HEAD_APPEND_TIME;
    bytes_put16(s->bytes + HEAD_AT_ATTRIBUTES, s->head.attributes);
    set_max_time(s, now_ms);
    set_crc(s);
}

enum broker_error validate_batch(struct staged *s, const struct broker_topic_config *config,
                                 bool client_checked, int64_t now_ms)
{
    struct slice bytes = s->batch->bytes;
    s->batch->log_append_time = -1;
    s->batch->base_offset = -1;
    s->written = false;
    if (bytes.n < HEAD_SIZE)
        return BROKER_CORRUPT_MESSAGE;
    memcpy(s->bytes, bytes.p, HEAD_SIZE);
    s->body = slice_of(bytes.p + HEAD_SIZE, bytes.n - HEAD_SIZE);
    if (!head_parse(s->bytes, &s->head) || s->head.size > bytes.n)
        return BROKER_CORRUPT_MESSAGE;
    if (config->max_message_bytes > 0 && bytes.n > (uint32_t)config->max_message_bytes)
        return BROKER_MESSAGE_TOO_LARGE;
    bytes_put32(s->bytes + HEAD_AT_LEADER_EPOCH, 0);
    if (client_checked && s->head.size != bytes.n)
        return BROKER_CORRUPT_MESSAGE;
    enum broker_error r = client_checked ? BROKER_OK : check_deep(s, config);
    if (r == BROKER_OK && config->append_time && !head_is_control(&s->head)) {
        stamp(s, now_ms);
        s->batch->log_append_time = now_ms;
    }
    return r;
}
