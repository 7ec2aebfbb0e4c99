// SPDX-License-Identifier: Apache-2.0
#include "broker/entry.h"

static struct slice text(const char *s)
{
    return s == NULL ? (struct slice){NULL, 0} : slice_str(s);
}

void entry_put_batch(struct buf *b, uint8_t flags, uint32_t partition, int64_t segment,
                     int64_t position, const uint8_t head[HEAD_SIZE], struct slice body)
{
    buf_reserve(b, ENTRY_BATCH_OVERHEAD + (flags & ENTRY_BY_REFERENCE ? 0 : body.n));
    buf_u8(b, ENTRY_BATCH);
    buf_u8(b, flags);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)segment);
    buf_u64(b, (uint64_t)position);
    buf_put(b, head, HEAD_SIZE);
    if ((flags & ENTRY_BY_REFERENCE) == 0)
        buf_put(b, body.p, body.n);
}

static void put_offset(struct buf *b, const char *group, const struct broker_group_offset *o)
{
    buf_lslice(b, slice_str(group));
    buf_lslice(b, slice_str(o->topic));
    buf_u32(b, (uint32_t)o->partition);
    buf_u64(b, (uint64_t)o->offset);
    buf_lslice(b, text(o->metadata));
}

void entry_put_offset(struct buf *b, const char *group, const struct broker_group_offset *o)
{
    buf_u8(b, ENTRY_OFFSET);
    put_offset(b, group, o);
}

static void put_config(struct buf *b, const struct broker_topic_config *c)
{
    buf_u8(b, (uint8_t)c->cleanup);
    buf_u8(b, c->append_time);
    buf_u64(b, (uint64_t)c->retention_ms);
    buf_u64(b, (uint64_t)c->retention_bytes);
    buf_u64(b, (uint64_t)c->segment_bytes);
    buf_u64(b, (uint64_t)c->segment_ms);
    buf_u64(b, (uint64_t)c->delete_retention_ms);
    buf_u64(b, (uint64_t)c->min_compaction_lag_ms);
    buf_u32(b, (uint32_t)c->max_message_bytes);
}

void entry_put_topic(struct buf *b, const struct broker_topic_info *t, uint32_t first_partition)
{
    buf_u8(b, ENTRY_TOPIC);
    buf_u32(b, first_partition);
    buf_lslice(b, slice_str(t->name));
    buf_put(b, t->id, sizeof(t->id));
    buf_u32(b, (uint32_t)t->partitions);
    put_config(b, &t->config);
}

void entry_put_topic_delete(struct buf *b, const char *name, uint32_t first_partition,
                            int32_t partitions)
{
    buf_u8(b, ENTRY_TOPIC_DELETE);
    buf_lslice(b, slice_str(name));
    buf_u32(b, first_partition);
    buf_u32(b, (uint32_t)partitions);
}

void entry_put_topic_config(struct buf *b, uint32_t first_partition,
                            const struct broker_topic_config *c)
{
    buf_u8(b, ENTRY_TOPIC_CONFIG);
    buf_u32(b, first_partition);
    put_config(b, c);
}

void entry_put_ids(struct buf *b, int64_t below)
{
    buf_u8(b, ENTRY_IDS);
    buf_u64(b, (uint64_t)below);
}

void entry_put_producer(struct buf *b, const char *transactional_id, int64_t producer_id,
                        int16_t epoch, int32_t timeout_ms, uint8_t state)
{
    buf_u8(b, ENTRY_PRODUCER);
    buf_lslice(b, text(transactional_id));
    buf_u64(b, (uint64_t)producer_id);
    buf_u16(b, (uint16_t)epoch);
    buf_u32(b, (uint32_t)timeout_ms);
    buf_u8(b, state);
}

void entry_put_txn_add(struct buf *b, int64_t producer_id, uint32_t partition)
{
    buf_u8(b, ENTRY_TXN_ADD);
    buf_u64(b, (uint64_t)producer_id);
    buf_u32(b, partition);
}

void entry_put_txn_offset(struct buf *b, int64_t producer_id, const char *group,
                          const struct broker_group_offset *o)
{
    buf_u8(b, ENTRY_TXN_OFFSET);
    buf_u64(b, (uint64_t)producer_id);
    put_offset(b, group, o);
}

void entry_put_txn_end(struct buf *b, int64_t producer_id, int16_t epoch, uint8_t state)
{
    buf_u8(b, ENTRY_TXN_END);
    buf_u64(b, (uint64_t)producer_id);
    buf_u16(b, (uint16_t)epoch);
    buf_u8(b, state);
}

void entry_put_commit(struct buf *b, int64_t producer_id, int16_t epoch, uint64_t sequence,
                      const int64_t *offsets, uint32_t n)
{
    buf_u8(b, ENTRY_COMMIT);
    buf_u64(b, (uint64_t)producer_id);
    buf_u16(b, (uint16_t)epoch);
    buf_u64(b, sequence);
    buf_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        buf_u64(b, (uint64_t)offsets[i]);
}

void entry_put_trim(struct buf *b, uint32_t partition, int64_t start)
{
    buf_u8(b, ENTRY_TRIM);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)start);
}

void entry_put_compact(struct buf *b, uint8_t flags, uint32_t partition, int64_t size,
                       int64_t cleaned_at, const int64_t *bases, uint32_t n)
{
    buf_u8(b, ENTRY_COMPACT);
    buf_u8(b, flags);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)size);
    buf_u64(b, (uint64_t)cleaned_at);
    buf_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        buf_u64(b, (uint64_t)bases[i]);
}

void entry_put_partition(struct buf *b, uint32_t partition, int64_t start, int64_t end,
                         int64_t cleaned)
{
    buf_u8(b, ENTRY_PARTITION);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)start);
    buf_u64(b, (uint64_t)end);
    buf_u64(b, (uint64_t)cleaned);
}

void entry_put_segment(struct buf *b, uint8_t flags, uint32_t partition, int64_t base, int64_t size,
                       int64_t cleaned_at)
{
    buf_u8(b, ENTRY_SEGMENT);
    buf_u8(b, flags);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)base);
    buf_u64(b, (uint64_t)size);
    buf_u64(b, (uint64_t)cleaned_at);
}

void entry_put_sequence(struct buf *b, uint8_t flags, uint32_t partition, int64_t producer_id,
                        int16_t epoch, int64_t time, const struct entry_sequence_batch *batches,
                        uint32_t n)
{
    buf_u8(b, ENTRY_SEQUENCE);
    buf_u8(b, flags);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)producer_id);
    buf_u16(b, (uint16_t)epoch);
    buf_u64(b, (uint64_t)time);
    buf_u32(b, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_u32(b, (uint32_t)batches[i].first);
        buf_u32(b, (uint32_t)batches[i].last);
        buf_u64(b, (uint64_t)batches[i].offset);
        buf_u64(b, (uint64_t)batches[i].time);
    }
}

void entry_put_open(struct buf *b, uint32_t partition, int64_t producer_id, int64_t first)
{
    buf_u8(b, ENTRY_OPEN);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)producer_id);
    buf_u64(b, (uint64_t)first);
}

void entry_put_aborted(struct buf *b, uint32_t partition, int64_t producer_id, int64_t first,
                       int64_t last)
{
    buf_u8(b, ENTRY_ABORTED);
    buf_u32(b, partition);
    buf_u64(b, (uint64_t)producer_id);
    buf_u64(b, (uint64_t)first);
    buf_u64(b, (uint64_t)last);
}

static int64_t get64(struct cur *c)
{
    return (int64_t)cur_u64(c);
}

static void get_batch(struct cur *c, struct entry *e)
{
    struct head h;
    e->flags = cur_u8(c);
    e->partition = cur_u32(c);
    e->segment = get64(c);
    e->position = get64(c);
    e->head = cur_take(c, HEAD_SIZE);
    if (e->head == NULL || !head_parse(e->head, &h)) {
        c->failed = true;
        return;
    }
    if (e->flags & ENTRY_BY_REFERENCE)
        return;
    const uint8_t *body = cur_take(c, h.size - HEAD_SIZE);
    e->body = slice_of(body, body == NULL ? 0 : h.size - HEAD_SIZE);
}

static void get_offset(struct cur *c, struct entry *e)
{
    e->group = cur_lslice(c);
    e->topic = cur_lslice(c);
    e->number = (int32_t)cur_u32(c);
    e->offset = get64(c);
    e->metadata = cur_lslice(c);
    c->failed |= e->group.p == NULL || e->topic.p == NULL;
}

static void get_config(struct cur *c, struct broker_topic_config *config)
{
    uint8_t cleanup = cur_u8(c);
    c->failed |= cleanup > BROKER_COMPACT_DELETE;
    config->cleanup = (enum broker_cleanup)cleanup;
    config->append_time = cur_u8(c) != 0;
    config->retention_ms = get64(c);
    config->retention_bytes = get64(c);
    config->segment_bytes = get64(c);
    config->segment_ms = get64(c);
    config->delete_retention_ms = get64(c);
    config->min_compaction_lag_ms = get64(c);
    config->max_message_bytes = (int32_t)cur_u32(c);
}

static void get_topic(struct cur *c, struct entry *e)
{
    e->partition = cur_u32(c);
    e->topic = cur_lslice(c);
    e->topic_id = cur_take(c, 16);
    e->number = (int32_t)cur_u32(c);
    get_config(c, &e->config);
    struct broker_topic_info *t = NULL;
    if (e->topic.p == NULL || e->topic.n >= sizeof(t->name) || e->number < 1 ||
        e->number > ENTRY_PARTITIONS_MAX)
        c->failed = true;
}

static void get_list(struct cur *c, struct entry *e, uint32_t item)
{
    e->count = cur_u32(c);
    const uint8_t *p = cur_take(c, (uint64_t)e->count * item);
    e->list = (struct cur){p, p == NULL ? NULL : p + (size_t)e->count * item, p == NULL};
    if (p == NULL)
        e->count = 0;
}

static void get_producer(struct cur *c, struct entry *e)
{
    e->group = cur_lslice(c); // the transactional id
    e->producer_id = get64(c);
    e->epoch = (int16_t)cur_u16(c);
    e->timeout_ms = (int32_t)cur_u32(c);
    e->state = cur_u8(c);
}

static void get_sequence(struct cur *c, struct entry *e)
{
    e->flags = cur_u8(c);
    e->partition = cur_u32(c);
    e->producer_id = get64(c);
    e->epoch = (int16_t)cur_u16(c);
    e->time = get64(c);
    get_list(c, e, 24);
}

static void get_compact(struct cur *c, struct entry *e)
{
    e->flags = cur_u8(c);
    e->partition = cur_u32(c);
    e->size = get64(c);
    e->time = get64(c);
    get_list(c, e, 8);
    c->failed |= e->count == 0;
}

static void get_segment(struct cur *c, struct entry *e)
{
    e->flags = cur_u8(c);
    e->partition = cur_u32(c);
    e->segment = get64(c);
    e->size = get64(c);
    e->time = get64(c);
}

// The types that are a few numbers.
static void get_small(struct cur *c, struct entry *e)
{
    switch (e->type) {
    case ENTRY_IDS:
        e->offset = get64(c);
        break;
    case ENTRY_TXN_ADD:
        e->producer_id = get64(c);
        e->partition = cur_u32(c);
        break;
    case ENTRY_TXN_END:
        e->producer_id = get64(c);
        e->epoch = (int16_t)cur_u16(c);
        e->state = cur_u8(c);
        break;
    case ENTRY_TRIM:
        e->partition = cur_u32(c);
        e->offset = get64(c);
        break;
    case ENTRY_PARTITION:
        e->partition = cur_u32(c);
        e->first = get64(c);
        e->last = get64(c);
        e->offset = get64(c);
        break;
    case ENTRY_OPEN:
        e->partition = cur_u32(c);
        e->producer_id = get64(c);
        e->first = get64(c);
        break;
    case ENTRY_ABORTED:
        e->partition = cur_u32(c);
        e->producer_id = get64(c);
        e->first = get64(c);
        e->last = get64(c);
        break;
    default:
        c->failed = true;
    }
}

bool entry_next(struct cur *c, struct entry *e)
{
    if (c->failed || c->p == c->end)
        return false;
    *e = (struct entry){.type = (enum entry_type)cur_u8(c)};
    switch (e->type) {
    case ENTRY_BATCH:
        get_batch(c, e);
        break;
    case ENTRY_TXN_OFFSET:
        e->producer_id = get64(c);
        get_offset(c, e);
        break;
    case ENTRY_OFFSET:
        get_offset(c, e);
        break;
    case ENTRY_TOPIC:
        get_topic(c, e);
        break;
    case ENTRY_TOPIC_DELETE:
        e->topic = cur_lslice(c);
        e->partition = cur_u32(c);
        e->number = (int32_t)cur_u32(c);
        break;
    case ENTRY_TOPIC_CONFIG:
        e->partition = cur_u32(c);
        get_config(c, &e->config);
        break;
    case ENTRY_PRODUCER:
        get_producer(c, e);
        break;
    case ENTRY_COMMIT:
        e->producer_id = get64(c);
        e->epoch = (int16_t)cur_u16(c);
        e->sequence = cur_u64(c);
        get_list(c, e, 8);
        break;
    case ENTRY_COMPACT:
        get_compact(c, e);
        break;
    case ENTRY_SEGMENT:
        get_segment(c, e);
        break;
    case ENTRY_SEQUENCE:
        get_sequence(c, e);
        break;
    default:
        get_small(c, e);
    }
    return !c->failed;
}

int64_t entry_list_i64(struct entry *e)
{
    return (int64_t)cur_u64(&e->list);
}

struct entry_sequence_batch entry_list_batch(struct entry *e)
{
    struct entry_sequence_batch b;
    b.first = (int32_t)cur_u32(&e->list);
    b.last = (int32_t)cur_u32(&e->list);
    b.offset = (int64_t)cur_u64(&e->list);
    b.time = (int64_t)cur_u64(&e->list);
    return b;
}
