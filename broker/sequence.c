// SPDX-License-Identifier: Apache-2.0
#include "broker/sequence.h"

#include "base/hash.h"

enum { SLOTS_FIRST = 16 };

void sequences_release(struct sequences *s)
{
    free(s->slots);
    *s = (struct sequences){0};
}

static uint32_t slot_of(const struct sequences *s, int64_t producer_id)
{
    uint32_t i = (uint32_t)hash_mix((uint64_t)producer_id) & (s->size - 1);
    while (s->slots[i].producer_id != -1 && s->slots[i].producer_id != producer_id)
        i = (i + 1) & (s->size - 1);
    return i;
}

struct sequence *sequences_find(const struct sequences *s, int64_t producer_id)
{
    if (s->size == 0)
        return NULL;
    struct sequence *q = &s->slots[slot_of(s, producer_id)];
    return q->producer_id == -1 ? NULL : q;
}

static void resize(struct sequences *s, uint32_t size)
{
    struct sequences bigger = {check_alloc(malloc(size * sizeof(struct sequence))), size, s->count};
    for (uint32_t i = 0; i < size; i++)
        bigger.slots[i].producer_id = -1;
    for (uint32_t i = 0; i < s->size; i++)
        if (s->slots[i].producer_id != -1)
            bigger.slots[slot_of(&bigger, s->slots[i].producer_id)] = s->slots[i];
    free(s->slots);
    *s = bigger;
}

struct sequence *sequences_get(struct sequences *s, int64_t producer_id)
{
    CHECK(producer_id >= 0);
    if (4 * (s->count + 1) > 3 * s->size)
        resize(s, s->size == 0 ? SLOTS_FIRST : 2 * s->size);
    struct sequence *q = &s->slots[slot_of(s, producer_id)];
    if (q->producer_id == -1) {
        *q = (struct sequence){.producer_id = producer_id, .epoch = -1};
        s->count++;
    }
    return q;
}

void sequences_expire(struct sequences *s, int64_t before_ms)
{
    struct sequences kept = {NULL, 0, 0};
    bool any = false;
    for (uint32_t i = 0; i < s->size; i++) {
        const struct sequence *q = &s->slots[i];
        any |= q->producer_id != -1 && q->used_ms < before_ms && !q->in_txn;
    }
    if (!any)
        return;
    for (uint32_t i = 0; i < s->size; i++) {
        const struct sequence *q = &s->slots[i];
        if (q->producer_id != -1 && (q->used_ms >= before_ms || q->in_txn))
            *sequences_get(&kept, q->producer_id) = *q;
    }
    free(s->slots);
    *s = kept;
}

static int32_t plus(int32_t sequence, int32_t n)
{
    return (int32_t)(((int64_t)sequence + n) & INT32_MAX);
}

enum broker_error sequence_check(const struct sequence *q, const struct head *h,
                                 struct entry_sequence_batch *repeat)
{
    if (q == NULL)
        return BROKER_OK;
    if (h->epoch < q->epoch)
        return BROKER_INVALID_PRODUCER_EPOCH;
    if (q->count == 0)
        return BROKER_OK;
    if (h->epoch > q->epoch)
        return h->sequence == 0 ? BROKER_OK : BROKER_OUT_OF_ORDER_SEQUENCE;
    int32_t last = plus(h->sequence, h->last_delta);
    for (uint8_t i = 0; i < q->count; i++) {
        if (q->batches[i].first == h->sequence && q->batches[i].last == last) {
            *repeat = q->batches[i];
            return BROKER_DUPLICATE_SEQUENCE;
        }
    }
    bool next = h->sequence == plus(q->batches[q->count - 1].last, 1);
    return next ? BROKER_OK : BROKER_OUT_OF_ORDER_SEQUENCE;
}

void sequence_set_epoch(struct sequence *q, int16_t epoch)
{
    if (epoch != q->epoch)
        q->count = 0;
    q->epoch = epoch;
}

void sequence_note(struct sequence *q, const struct head *h, int64_t now_ms)
{
    sequence_set_epoch(q, h->epoch);
    q->used_ms = now_ms;
    if (q->count == SEQUENCE_KEPT) {
        memmove(&q->batches[0], &q->batches[1], sizeof(q->batches[0]) * (SEQUENCE_KEPT - 1));
        q->count--;
    }
    q->batches[q->count++] =
        (struct entry_sequence_batch){h->sequence, plus(h->sequence, h->last_delta), h->base_offset,
                                      h->attributes & HEAD_APPEND_TIME ? h->max_time : -1};
}
