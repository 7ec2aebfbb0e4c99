// SPDX-License-Identifier: Apache-2.0
//
// Hold: see the header. A binary heap with the time beside the pointer; a record later than all
// others stays where it is put, at the bottom.
#include "operators/hold.h"

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

void hold_clear(struct hold *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        hold_recycle(h, h->heap[i].entry);
    h->count = 0;
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
    e->rec.key = same ? e->key : take(b, key_end, source_end, source.p == NULL);
    e->carried = take(b, source_end, carried_end, false);
    e->extra = take(b, carried_end, b->n, extra.p == NULL);
}

static inline bool before(const struct hold_entry *a, const struct hold_entry *b)
{
    return a->time != b->time ? a->time < b->time : origin_cmp(&a->origin, &b->origin) < 0;
}

static void sift_up(struct hold *h, struct hold_entry *e)
{
    uint32_t i = h->count++;
    while (i != 0) {
        uint32_t up = (i - 1) / 2;
        if (h->heap[up].time < e->time || !before(e, h->heap[up].entry))
            break;
        h->heap[i] = h->heap[up];
        i = up;
    }
    h->heap[i].time = e->time;
    h->heap[i].entry = e;
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
    if (h->count == h->size) {
        h->size = h->size == 0 ? 64 : h->size * 2;
        h->heap = check_alloc(realloc(h->heap, h->size * sizeof(h->heap[0])));
    }
    sift_up(h, e);
}

// The last one takes the first one's place and sinks to where it belongs.
static void sift_down(struct hold *h)
{
    struct hold_entry *e = h->heap[h->count].entry;
    uint32_t i = 0;
    for (;;) {
        uint32_t down = 2 * i + 1;
        if (down >= h->count)
            break;
        if (down + 1 < h->count && before(h->heap[down + 1].entry, h->heap[down].entry))
            down++;
        if (!before(h->heap[down].entry, e))
            break;
        h->heap[i] = h->heap[down];
        i = down;
    }
    h->heap[i].time = e->time;
    h->heap[i].entry = e;
}

struct hold_entry *hold_take(struct hold *h, int64_t below)
{
    if (h->count == 0 || (h->heap[0].time >= below && below != INT64_MAX))
        return NULL;
    struct hold_entry *e = h->heap[0].entry;
    h->count--;
    if (h->count != 0)
        sift_down(h);
    return e;
}

int64_t hold_lowest_offset(const struct hold *h, uint8_t input)
{
    int64_t low = INT64_MAX;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct hold_entry *e = h->heap[i].entry;
        if (e->input == input && e->has_rec && e->rec.offset < low)
            low = e->rec.offset;
    }
    return low;
}
