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
    free(ev->times);
}

static void move_down(struct feature_events *ev)
{
    uint32_t n = ev->end - ev->first;
    memmove(ev->times, ev->times + ev->first, n * sizeof(*ev->times));
    for (uint32_t f = 0; f < ev->fields; f++) {
        uint64_t *p = ev->payloads + (size_t)f * ev->size;
        uint8_t *t = ev->tags + (size_t)f * ev->size;
        memmove(p, p + ev->first, n * sizeof(*p));
        memmove(t, t + ev->first, n);
    }
}

static void grow(struct feature_events *ev)
{
    uint32_t n = ev->end - ev->first;
    CHECK(ev->size < UINT32_MAX / 2);
    uint32_t size = ev->size == 0 ? FIRST_SIZE : ev->size + ev->size / 2;
    int64_t *times = check_alloc(malloc((size_t)size * (sizeof(int64_t) + 9 * (size_t)ev->fields)));
    uint64_t *payloads = (uint64_t *)(times + size);
    uint8_t *tags = (uint8_t *)(payloads + (size_t)size * ev->fields);
    if (n != 0)
        memcpy(times, ev->times + ev->first, n * sizeof(*times));
    for (uint32_t f = 0; f < ev->fields && n != 0; f++) {
        size_t from = (size_t)f * ev->size + ev->first, to = (size_t)f * size;
        memcpy(payloads + to, ev->payloads + from, n * sizeof(*payloads));
        memcpy(tags + to, ev->tags + from, n);
    }
    free(ev->times);
    ev->times = times;
    ev->payloads = payloads;
    ev->tags = tags;
    ev->size = size;
}

static void open_gap(struct feature_events *ev, uint32_t at)
{
    uint32_t n = ev->end - at;
    memmove(ev->times + at + 1, ev->times + at, n * sizeof(*ev->times));
    for (uint32_t f = 0; f < ev->fields; f++) {
        uint64_t *p = ev->payloads + (size_t)f * ev->size + at;
        uint8_t *t = ev->tags + (size_t)f * ev->size + at;
        memmove(p + 1, p, n * sizeof(*p));
        memmove(t + 1, t, n);
    }
}

uint32_t feature_events_insert(struct feature_events *ev, int64_t time,
                               const struct feature_value *values, uint32_t *shift)
{
    *shift = 0;
    if (ev->end == ev->size) {
        *shift = ev->first;
        if (ev->size != 0 && ev->first >= ev->size / 4)
            move_down(ev);
        else
            grow(ev);
        ev->end -= ev->first;
        ev->first = 0;
    }
    uint32_t at = ev->end;
    if (at != ev->first && ev->times[at - 1] > time) {
        at = feature_events_after(ev, time);
        open_gap(ev, at);
    }
    ev->end++;
    ev->times[at] = time;
    for (uint32_t f = 0; f < ev->fields; f++) {
        uint64_t payload = values[f].payload;
        if (values[f].tag == FEATURE_BLOB) {
            payload = (uint64_t)(uintptr_t)blob_new(values[f].bytes);
            ev->blob_bytes += sizeof(struct feature_blob) + values[f].bytes.n;
        }
        ev->payloads[(size_t)f * ev->size + at] = payload;
        ev->tags[(size_t)f * ev->size + at] = (uint8_t)values[f].tag;
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
        if (ev->times[mid] > t)
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
