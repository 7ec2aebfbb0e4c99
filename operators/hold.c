// SPDX-License-Identifier: Apache-2.0
//
// Hold: see the header.
#include "operators/hold.h"

#include "base/hash.h"

enum { KEEP_BYTES = 64 << 10 }; // larger buffers are not kept for reuse

void hold_init(struct hold *h)
{
    *h = (struct hold){0};
}

void hold_recycle(struct hold *h, struct hold_entry *e)
{
    if (e->bytes.size > KEEP_BYTES) {
        buf_release(&e->bytes);
        buf_init(&e->bytes);
    }
    e->next = h->free;
    h->free = e;
}

static struct hold_slot *run_at(struct hold_run *r, uint32_t i)
{
    return &r->ring[(r->head + i) & (r->size - 1)];
}

void hold_clear(struct hold *h)
{
    for (uint32_t k = 0; k < HOLD_RUNS; k++) {
        for (uint32_t i = 0; i < h->runs[k].count; i++)
            hold_recycle(h, run_at(&h->runs[k], i)->entry);
        h->runs[k].count = 0;
    }
    for (uint32_t i = 0; i < h->heap_count; i++)
        hold_recycle(h, h->heap[i].entry);
    h->heap_count = h->count = 0;
}

void hold_release(struct hold *h)
{
    hold_clear(h);
    while (h->free != NULL) {
        struct hold_entry *e = h->free;
        h->free = e->next;
        buf_release(&e->bytes);
        free(e);
    }
    for (uint32_t k = 0; k < HOLD_RUNS; k++)
        free(h->runs[k].ring);
    free(h->heap);
}

static struct hold_entry *entry_new(struct hold *h)
{
    struct hold_entry *e = h->free;
    if (e == NULL)
        return check_alloc(calloc(1, sizeof(*e)));
    h->free = e->next;
    return e;
}

// A slice of which so far only the end in the buffer is known.
static struct slice take(const struct buf *b, uint32_t from, uint32_t to, bool null)
{
    return null ? (struct slice){NULL, 0} : slice_of(b->p + from, to - from);
}

// Key, source key, carried value, extra, and the padding that parsers may read into.
static void copy_bytes(struct hold_entry *e, const struct msg *m, struct slice extra)
{
    struct buf *b = &e->bytes;
    struct slice source = m->rec == NULL ? (struct slice){NULL, 0} : m->rec->key;
    bool same = source.p == m->key.p && source.n == m->key.n;
    buf_clear(b);
    buf_slice_put(b, m->key);
    uint32_t key_end = b->n;
    if (!same)
        buf_slice_put(b, source);
    uint32_t source_end = b->n;
    doc_carry(m->doc, b);
    uint32_t carried_end = b->n;
    buf_slice_put(b, extra);
    memset(buf_reserve(b, REC_PADDING), 0, REC_PADDING);
    e->key = take(b, 0, key_end, m->key.p == NULL);
    e->hash = hash_bytes(e->key);
    e->rec.key = same ? e->key : take(b, key_end, source_end, source.p == NULL);
    e->carried = take(b, source_end, carried_end, false);
    e->extra = take(b, carried_end, b->n, extra.p == NULL);
}

// In the order in which they are given back; the entries are looked at only for ties in time.
static inline bool before(const struct hold_slot *a, const struct hold_slot *b)
{
    return a->time != b->time ? a->time < b->time
                              : origin_cmp(&a->entry->origin, &b->entry->origin) < 0;
}

static void run_append(struct hold_run *r, struct hold_slot slot)
{
    if (r->count == r->size) {
        uint32_t size = r->size == 0 ? 64 : r->size * 2;
        struct hold_slot *grown = check_alloc(malloc(size * sizeof(*grown)));
        for (uint32_t i = 0; i < r->count; i++)
            grown[i] = *run_at(r, i);
        free(r->ring);
        *r = (struct hold_run){.ring = grown, .count = r->count, .size = size};
    }
    *run_at(r, r->count++) = slot;
}

// The run behind which the slot fits most closely, an empty one if there is no other, or NULL.
static struct hold_run *run_for(struct hold *h, const struct hold_slot *slot)
{
    struct hold_run *best = NULL, *empty = NULL;
    for (uint32_t k = 0; k < HOLD_RUNS; k++) {
        struct hold_run *r = &h->runs[k];
        if (r->count == 0) {
            empty = empty == NULL ? r : empty;
            continue;
        }
        const struct hold_slot *tail = run_at(r, r->count - 1);
        if (!before(slot, tail) && (best == NULL || before(run_at(best, best->count - 1), tail)))
            best = r;
    }
    return best != NULL ? best : empty;
}

static void heap_push(struct hold *h, struct hold_slot slot)
{
    if (h->heap_count == h->heap_size) {
        h->heap_size = h->heap_size == 0 ? 64 : h->heap_size * 2;
        h->heap = check_alloc(realloc(h->heap, h->heap_size * sizeof(h->heap[0])));
    }
    uint32_t i = h->heap_count++;
    for (; i != 0 && before(&slot, &h->heap[(i - 1) / 2]); i = (i - 1) / 2)
        h->heap[i] = h->heap[(i - 1) / 2];
    h->heap[i] = slot;
}

void hold_put(struct hold *h, const struct msg *m, struct slice extra)
{
    struct hold_entry *e = entry_new(h);
    e->time = m->time;
    e->origin = m->origin;
    e->topic = m->topic;
    e->partition = m->partition;
    e->input = m->input;
    e->has_rec = m->rec != NULL;
    e->rec = (struct rec){.time = m->time};
    if (m->rec != NULL) {
        e->rec.time = m->rec->time;
        e->rec.offset = m->rec->offset;
    }
    copy_bytes(e, m, extra);
    struct hold_slot slot = {e->time, e};
    struct hold_run *r = run_for(h, &slot);
    if (r != NULL)
        run_append(r, slot);
    else
        heap_push(h, slot);
    h->count++;
}

// The last one takes the first one's place and sinks to where it belongs.
static void heap_pop(struct hold *h)
{
    struct hold_slot slot = h->heap[--h->heap_count];
    uint32_t i = 0;
    for (;;) {
        uint32_t down = 2 * i + 1;
        if (down >= h->heap_count)
            break;
        if (down + 1 < h->heap_count && before(&h->heap[down + 1], &h->heap[down]))
            down++;
        if (!before(&h->heap[down], &slot))
            break;
        h->heap[i] = h->heap[down];
        i = down;
    }
    h->heap[i] = slot;
}

// Who comes after the first of a run: the entry itself, then its bytes, then what the owner wants.
static void look_ahead(const struct hold *h, struct hold_run *r)
{
    enum { LAST = HOLD_NEAR_STEPS * HOLD_NEAR_APART };
    if (r->count > LAST + 2 * HOLD_NEAR_APART) {
        const struct hold_entry *e = run_at(r, LAST + 2 * HOLD_NEAR_APART)->entry;
        __builtin_prefetch(e);
        __builtin_prefetch((const uint8_t *)e + 64);
        __builtin_prefetch((const uint8_t *)e + 128);
    }
    if (r->count > LAST + HOLD_NEAR_APART) {
        const struct hold_entry *e = run_at(r, LAST + HOLD_NEAR_APART)->entry;
        __builtin_prefetch(e->bytes.p);
        __builtin_prefetch(e->bytes.p + 64);
        __builtin_prefetch(e->bytes.p + 128);
        __builtin_prefetch(e->bytes.p + 192);
    }
    for (uint32_t i = 0; i < HOLD_NEAR_STEPS; i++) {
        uint32_t at = LAST - i * HOLD_NEAR_APART;
        if (at < r->count)
            h->near.step(h->near.arg, run_at(r, at)->entry, i);
    }
}

struct hold_entry *hold_take(struct hold *h, int64_t below)
{
    struct hold_run *from = NULL;
    const struct hold_slot *first = h->heap_count == 0 ? NULL : &h->heap[0];
    for (uint32_t k = 0; k < HOLD_RUNS; k++) {
        struct hold_run *r = &h->runs[k];
        if (r->count == 0 || (first != NULL && !before(run_at(r, 0), first)))
            continue;
        from = r;
        first = run_at(r, 0);
    }
    if (first == NULL || (first->time >= below && below != INT64_MAX))
        return NULL;
    struct hold_entry *e = first->entry;
    h->count--;
    if (from == NULL) {
        heap_pop(h);
        return e;
    }
    if (h->near.step != NULL)
        look_ahead(h, from);
    from->head = (from->head + 1) & (from->size - 1);
    from->count--;
    return e;
}

static int64_t lower(const struct hold_entry *e, uint8_t input, int64_t low)
{
    return e->input == input && e->has_rec && e->rec.offset < low ? e->rec.offset : low;
}

int64_t hold_lowest_offset(const struct hold *h, uint8_t input)
{
    int64_t low = INT64_MAX;
    for (uint32_t k = 0; k < HOLD_RUNS; k++) {
        const struct hold_run *r = &h->runs[k];
        for (uint32_t i = 0; i < r->count; i++)
            low = lower(r->ring[(r->head + i) & (r->size - 1)].entry, input, low);
    }
    for (uint32_t i = 0; i < h->heap_count; i++)
        low = lower(h->heap[i].entry, input, low);
    return low;
}
