// SPDX-License-Identifier: Apache-2.0
#include "broker/partition.h"

#include "base/failpoint.h"
#include "broker/core.h"

struct broker_partition *partition_new(struct broker *b, struct topic *t, int32_t number,
                                       uint32_t id, const struct broker_topic_config *config)
{
    struct broker_partition *p = check_alloc(calloc(1, sizeof(*p)));
    p->broker = b;
    p->topic = t;
    p->number = number;
    p->id = id;
    p->config = *config;
    p->end_base = -1;
    pthread_mutex_init(&p->append, NULL);
    pthread_mutex_init(&p->state, NULL);
    for (int i = 0; i < PARTITION_HINTS; i++)
        p->hints[i].offset = -1;
    if (asprintf(&p->dir, "%s/topics/%s-%d", b->dir, t->info.name, number) < 0)
        p->dir = NULL;
    check_alloc(p->dir);
    return p;
}

void partition_free(struct broker_partition *p)
{
    for (uint32_t i = 0; i < p->segments_count; i++)
        segment_unref(p->segments[i]);
    free(p->segments);
    free(p->open.items);
    free(p->aborted.items);
    sequences_release(&p->sequences);
    pthread_mutex_destroy(&p->append);
    pthread_mutex_destroy(&p->state);
    free(p->dir);
    free(p);
}

// --- segments -----------------------------------------------------------------------------------

void partition_add_segment(struct broker_partition *p, struct segment *s)
{
    if (p->segments_count == p->segments_size) {
        p->segments_size = p->segments_size == 0 ? 8 : 2 * p->segments_size;
        p->segments = check_alloc(realloc(p->segments, p->segments_size * sizeof(p->segments[0])));
    }
    p->segments[p->segments_count++] = p->active = s;
}

void partition_replace(struct broker_partition *p, uint32_t from, uint32_t n, struct segment *with)
{
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        segment_unref(p->segments[from + i]);
    uint32_t put = with == NULL ? 0 : 1;
    // The active segment is the append side's and never goes.
    CHECK(n >= put && from + n < p->segments_count);
    if (put != 0)
        p->segments[from] = with;
    memmove(&p->segments[from + put], &p->segments[from + n],
            (p->segments_count - from - n) * sizeof(p->segments[0]));
    p->segments_count -= n - put;
    for (int i = 0; i < PARTITION_HINTS; i++)
        p->hints[i].offset = -1;
}

uint32_t partition_obsolete(const struct broker_partition *p)
{
    uint32_t n = 0;
    while (n + 1 < p->segments_count && p->segments[n + 1]->base <= p->start)
        n++;
    return n;
}

int32_t partition_segment_of(const struct broker_partition *p, int64_t offset)
{
    uint32_t low = 0, high = p->segments_count; // those before `low` have base <= offset
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (p->segments[mid]->base <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return p->segments_count == 0 ? -1 : low == 0 ? 0 : (int32_t)low - 1;
}

int64_t partition_readable(const struct broker_partition *p, uint32_t i)
{
    const struct segment *s = p->segments[i];
    if (s->base == p->end_base)
        return p->end_position;
    return s->base < p->end_base ? s->size : 0;
}

struct segment *partition_active(struct broker_partition *p)
{
    return p->active;
}

static bool must_roll(const struct broker_partition *p, const struct segment *s, int64_t bytes)
{
    if (s == NULL || s->sealed)
        return true;
    if (s->size == 0)
        return false;
    if (s->size + bytes > p->config.segment_bytes)
        return true;
    return s->created_ms != 0 && p->config.segment_ms > 0 &&
           clk_wall_ms(p->broker->clk) - s->created_ms > p->config.segment_ms;
}

struct segment *partition_writable(struct broker_partition *p, int64_t bytes, struct err *e)
{
    struct segment *s = partition_active(p);
    if (!must_roll(p, s, bytes))
        return s;
    FAILPOINT("segment.roll");
    struct segment *fresh = segment_create(p->dir, p->next, e);
    if (fresh == NULL)
        return NULL;
    fresh->created_ms = clk_wall_ms(p->broker->clk);
    pthread_mutex_lock(&p->state);
    if (s != NULL)
        s->sealed = true;
    partition_add_segment(p, fresh);
    pthread_mutex_unlock(&p->state);
    if (s != NULL)
        segment_index_save(s, segment_point(s));
    return fresh;
}

void partition_wrote(struct broker_partition *p, struct segment *s, const struct head *h)
{
    pthread_mutex_lock(&p->state);
    segment_note(s, h);
    pthread_mutex_unlock(&p->state);
    p->next = head_last_offset(h) + 1;
}

void partition_note_producer(struct broker_partition *p, const struct head *h, int64_t now_ms)
{
    if (h->producer_id < 0)
        return;
    struct sequence *q = sequences_get(&p->sequences, h->producer_id);
    if (head_is_control(h)) { // an end marker
        q->in_txn = false;
        q->used_ms = now_ms;
        sequence_set_epoch(q, h->epoch > q->epoch ? h->epoch : q->epoch);
        return;
    }
    sequence_note(q, h, now_ms);
}

struct broker_topic_config partition_config(struct broker_partition *p)
{
    pthread_mutex_lock(&p->state);
    struct broker_topic_config config = p->config;
    pthread_mutex_unlock(&p->state);
    return config;
}

// --- published ----------------------------------------------------------------------------------

void partition_txn_put(struct partition_txns *t, struct partition_txn txn)
{
    if (t->count == t->size) {
        t->size = t->size == 0 ? 8 : 2 * t->size;
        t->items = check_alloc(realloc(t->items, t->size * sizeof(t->items[0])));
    }
    t->items[t->count++] = txn;
}

static uint32_t open_of(const struct broker_partition *p, int64_t producer_id)
{
    uint32_t i = 0;
    while (i < p->open.count && p->open.items[i].producer_id != producer_id)
        i++;
    return i;
}

// A control batch with a producer id is an end marker; its record's key follows the head:
// length, attributes, time delta, offset delta, key length (4), version, type.
static bool marker_aborts(const struct entry *batch)
{
    struct cur c = cur_of(batch->body);
    cur_varint(&c);
    cur_u8(&c);
    cur_varint(&c);
    cur_varint(&c);
    cur_varint(&c);
    cur_u16(&c);
    return cur_u16(&c) == 0 && !c.failed;
}

static void publish_txn(struct broker_partition *p, const struct head *h, const struct entry *batch)
{
    uint32_t i = open_of(p, h->producer_id);
    if (!head_is_control(h)) {
        if (i == p->open.count)
            partition_txn_put(&p->open, (struct partition_txn){h->producer_id, h->base_offset, -1});
        return;
    }
    if (i == p->open.count)
        return;
    struct partition_txn done = p->open.items[i];
    memmove(&p->open.items[i], &p->open.items[i + 1],
            (p->open.count - i - 1) * sizeof(p->open.items[0]));
    p->open.count--;
    done.last = h->base_offset;
    if (marker_aborts(batch))
        partition_txn_put(&p->aborted, done);
}

void partition_publish(struct broker_partition *p, const struct entry *batch)
{
    struct head h;
    CHECK(head_parse(batch->head, &h));
    pthread_mutex_lock(&p->state);
    if (h.producer_id >= 0 && head_is_transactional(&h))
        publish_txn(p, &h, batch);
    p->end = head_last_offset(&h) + 1;
    p->end_base = batch->segment;
    p->end_position = batch->position + h.size;
    pthread_mutex_unlock(&p->state);
}

void partition_offsets(struct broker_partition *p, struct broker_offsets *out)
{
    out->start = p->start;
    out->end = p->end;
    out->stable = p->open.count == 0 ? p->end : p->open.items[0].first;
}
