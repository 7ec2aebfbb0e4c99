// SPDX-License-Identifier: Apache-2.0
//
// Feature_events: see the header. Room is made by moving down into what left at the front when that
// is at least a quarter, else by half as much again, so that the work per event stays constant.
#include "operators/feature_events.h"

enum { FIRST_SIZE = 8 };

void feature_value_put(const struct feature_value *v, struct buf *out)
{
    buf_u8(out, (uint8_t)v->tag);
    switch (v->tag) {
    case FEATURE_NULL:
        break;
    case FEATURE_INT:
    case FEATURE_BOOL:
        buf_varint(out, (int64_t)v->payload);
        break;
    case FEATURE_DOUBLE:
        buf_u64(out, v->payload);
        break;
    case FEATURE_BLOB:
        buf_lslice(out, v->bytes);
        break;
    }
}

struct feature_value feature_value_take(struct cur *c)
{
    struct feature_value v = {.tag = FEATURE_NULL};
    uint8_t tag = cur_u8(c);
    switch (tag) {
    case FEATURE_NULL:
        return v;
    case FEATURE_INT:
    case FEATURE_BOOL:
        v.payload = (uint64_t)cur_varint(c);
        c->failed |= tag == FEATURE_BOOL && v.payload > 1;
        break;
    case FEATURE_DOUBLE:
        v.payload = cur_u64(c);
        break;
    case FEATURE_BLOB:
        v.bytes = cur_lslice(c);
        c->failed |= v.bytes.p == NULL;
        break;
    default:
        c->failed = true;
    }
    if (!c->failed)
        v.tag = (enum feature_tag)tag;
    return v;
}

static struct feature_blob *blob_new(struct slice bytes)
{
    struct feature_blob *b = check_alloc(malloc(sizeof(*b) + bytes.n));
    b->refs = 1;
    b->n = bytes.n;
    memcpy(b->bytes, bytes.p, bytes.n);
    return b;
}

void feature_blob_unref(struct feature_blob *b)
{
    if (--b->refs == 0)
        free(b);
}

static struct feature_blob *blob_at(const struct feature_events *ev, uint32_t field, uint32_t at)
{
    return (struct feature_blob *)(uintptr_t)feature_payload_at(ev, field, at);
}

void feature_events_init(struct feature_events *ev, uint32_t fields)
{
    *ev = (struct feature_events){.fields = fields};
}

void feature_events_release(struct feature_events *ev)
{
    feature_events_drop(ev, ev->end);
    free(ev->rows);
    free(ev->tags);
}

// Moves the events from `from` on to `to`.
static void move(struct feature_events *ev, uint32_t to, uint32_t from)
{
    size_t n = ev->end - from, row = ev->fields + (size_t)1;
    memmove(ev->rows + to * row, ev->rows + from * row, n * row * sizeof(*ev->rows));
    if (ev->tags != NULL)
        memmove(ev->tags + (size_t)to * ev->fields, ev->tags + (size_t)from * ev->fields,
                n * ev->fields);
}

static void make_room(struct feature_events *ev)
{
    if (ev->size == 0 || ev->first < ev->size / 4) {
        CHECK(ev->size < UINT32_MAX / 2);
        ev->size = ev->size == 0 ? FIRST_SIZE : ev->size + ev->size / 2;
        size_t row = (ev->fields + (size_t)1) * sizeof(*ev->rows);
        ev->rows = check_alloc(realloc(ev->rows, ev->size * row));
        if (ev->tags != NULL)
            ev->tags = check_alloc(realloc(ev->tags, (size_t)ev->size * ev->fields));
    }
    if (ev->first != 0)
        move(ev, 0, ev->first);
    ev->end -= ev->first;
    ev->first = 0;
}

static void spread_tags(struct feature_events *ev)
{
    ev->tags = check_alloc(malloc((size_t)ev->size * ev->fields));
    for (uint32_t i = ev->first; i < ev->end; i++)
        memcpy(ev->tags + (size_t)i * ev->fields, ev->uniform, ev->fields);
}

// Before the event is there: whether its tags are those of all others.
static void agree_on_tags(struct feature_events *ev, const struct feature_value *values)
{
    bool empty = ev->first == ev->end;
    if (ev->fields > FEATURE_UNIFORM) {
        spread_tags(ev);
        return;
    }
    for (uint32_t f = 0; f < ev->fields; f++) {
        if (empty)
            ev->uniform[f] = (uint8_t)values[f].tag;
        if (ev->uniform[f] != values[f].tag) {
            spread_tags(ev);
            return;
        }
    }
}

uint32_t feature_events_insert(struct feature_events *ev, int64_t time,
                               const struct feature_value *values, uint32_t *shift)
{
    *shift = 0;
    if (ev->end == ev->size) {
        *shift = ev->first;
        make_room(ev);
    }
    if (ev->tags == NULL)
        agree_on_tags(ev, values);
    uint32_t at = ev->end;
    if (at != ev->first && feature_time_at(ev, at - 1) > time) {
        at = feature_events_after(ev, time);
        move(ev, at + 1, at);
    }
    ev->end++;
    uint64_t *row = ev->rows + (size_t)at * (ev->fields + 1);
    row[0] = (uint64_t)time;
    for (uint32_t f = 0; f < ev->fields; f++) {
        row[1 + f] = values[f].payload;
        if (values[f].tag == FEATURE_BLOB) {
            row[1 + f] = (uint64_t)(uintptr_t)blob_new(values[f].bytes);
            ev->blob_bytes += sizeof(struct feature_blob) + values[f].bytes.n;
        }
        if (ev->tags != NULL)
            ev->tags[(size_t)at * ev->fields + f] = (uint8_t)values[f].tag;
    }
    return at;
}

void feature_events_drop(struct feature_events *ev, uint32_t before)
{
    for (uint32_t f = 0; f < ev->fields && ev->blob_bytes != 0; f++) {
        for (uint32_t i = ev->first; i < before; i++) {
            if (feature_tag_at(ev, f, i) != FEATURE_BLOB)
                continue;
            struct feature_blob *b = blob_at(ev, f, i);
            ev->blob_bytes -= sizeof(*b) + b->n;
            feature_blob_unref(b);
        }
    }
    ev->first = before;
}

uint32_t feature_events_after(const struct feature_events *ev, int64_t t)
{
    uint32_t low = ev->first, high = ev->end;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (feature_time_at(ev, mid) > t)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

struct feature_value feature_events_value(const struct feature_events *ev, uint32_t field,
                                          uint32_t at)
{
    struct feature_value v = {.tag = feature_tag_at(ev, field, at),
                              .payload = feature_payload_at(ev, field, at)};
    if (v.tag == FEATURE_BLOB) {
        const struct feature_blob *b = blob_at(ev, field, at);
        v.bytes = slice_of(b->bytes, b->n);
    }
    return v;
}
