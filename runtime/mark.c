// SPDX-License-Identifier: Apache-2.0
#include "runtime/mark.h"

enum { MARK_WITHOUT_TIME = 1, MARK_VERSION = 2, MARK_ITEMS_MAX = 4096 };

void mark_encode(const struct mark *m, struct buf *out)
{
    buf_u8(out, MARK_VERSION);
    buf_uvarint(out, m->epoch);
    buf_u64(out, (uint64_t)m->wall_ms);
    buf_u64(out, (uint64_t)m->watermark);
    buf_uvarint(out, m->inputs_count);
    for (uint32_t i = 0; i < m->inputs_count; i++) {
        buf_u32(out, m->inputs[i].topic);
        buf_put(out, m->inputs[i].topic_id, 16);
        buf_varint(out, m->inputs[i].resume);
        buf_varint(out, m->inputs[i].read);
    }
    buf_uvarint(out, m->floors_count);
    for (uint32_t i = 0; i < m->floors_count; i++) {
        buf_u32(out, m->floors[i].store);
        buf_put(out, m->floors[i].topic_id, 16);
        buf_varint(out, m->floors[i].offset);
    }
    buf_uvarint(out, m->saved_count);
    for (uint32_t i = 0; i < m->saved_count; i++) {
        buf_u32(out, m->saved[i].op);
        buf_lslice(out, m->saved[i].bytes);
    }
    buf_lslice(out, m->upstream);
}

static uint32_t count(struct cur *c)
{
    uint64_t n = cur_uvarint(c);
    if (n > MARK_ITEMS_MAX)
        c->failed = true;
    return c->failed ? 0 : (uint32_t)n;
}

static void uuid(struct cur *c, uint8_t out[16])
{
    const uint8_t *p = cur_take(c, 16);
    if (p != NULL)
        memcpy(out, p, 16);
}

int mark_decode(struct slice bytes, struct arena *a, struct mark *m, struct err *err)
{
    struct cur c = cur_of(bytes);
    *m = (struct mark){0};
    uint8_t version = cur_u8(&c);
    if (version != MARK_VERSION && version != MARK_WITHOUT_TIME)
        return err_set(err, ERR_CORRUPT, "task mark of an unknown version");
    m->epoch = cur_uvarint(&c);
    m->wall_ms = version == MARK_WITHOUT_TIME ? INT64_MIN : (int64_t)cur_u64(&c);
    m->watermark = (int64_t)cur_u64(&c);
    m->inputs_count = count(&c);
    m->inputs = arena_alloc(a, sizeof(*m->inputs) * (m->inputs_count + 1));
    for (uint32_t i = 0; i < m->inputs_count; i++) {
        m->inputs[i].topic = cur_u32(&c);
        uuid(&c, m->inputs[i].topic_id);
        m->inputs[i].resume = cur_varint(&c);
        m->inputs[i].read = cur_varint(&c);
    }
    m->floors_count = count(&c);
    m->floors = arena_alloc(a, sizeof(*m->floors) * (m->floors_count + 1));
    for (uint32_t i = 0; i < m->floors_count; i++) {
        m->floors[i].store = cur_u32(&c);
        uuid(&c, m->floors[i].topic_id);
        m->floors[i].offset = cur_varint(&c);
    }
    m->saved_count = count(&c);
    m->saved = arena_alloc(a, sizeof(*m->saved) * (m->saved_count + 1));
    for (uint32_t i = 0; i < m->saved_count; i++) {
        m->saved[i].op = cur_u32(&c);
        m->saved[i].bytes = cur_lslice(&c);
    }
    m->upstream = cur_lslice(&c);
    if (c.failed)
        return err_set(err, ERR_CORRUPT, "task mark ends too early");
    return 0;
}

const struct mark_floor *mark_floor_of(const struct mark *m, uint32_t store)
{
    for (uint32_t i = 0; i < m->floors_count; i++) {
        if (m->floors[i].store == store)
            return &m->floors[i];
    }
    return NULL;
}

const struct mark_input *mark_input_of(const struct mark *m, uint32_t topic)
{
    for (uint32_t i = 0; i < m->inputs_count; i++) {
        if (m->inputs[i].topic == topic)
            return &m->inputs[i];
    }
    return NULL;
}
