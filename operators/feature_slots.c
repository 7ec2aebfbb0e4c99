// SPDX-License-Identifier: Apache-2.0
//
// Feature_slots: following a range. What a slot's result is, is in feature_result.c.
#include "operators/feature_slots.h"

#include <math.h>

#include "base/hash.h"

// --- sums

enum { UNIT_BITS = 64, UNIT_MAX_SHIFT = 46 };

// d in units of 2^-64, if that is exact and |d| < 2^35 (so 2^28 of them cannot overflow).
static bool to_units(uint64_t bits, __int128 *out)
{
    int exponent = (int)(bits >> 52) & 0x7ff;
    uint64_t m = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent == 0) {
        *out = 0;
        return m == 0;
    }
    m |= UINT64_C(1) << 52;
    int shift = exponent - 1075 + UNIT_BITS;
    __int128 v;
    if (shift >= 0 && shift <= UNIT_MAX_SHIFT)
        v = (__int128)m << shift;
    else if (shift < 0 && shift > -53 && (m & ((UINT64_C(1) << -shift) - 1)) == 0)
        v = (__int128)(m >> -shift);
    else
        return false;
    *out = (bits >> 63) != 0 ? -v : v;
    return true;
}

static void sum_wide(struct feature_sum *s, double d, int sign)
{
    if (s->wide == NULL) {
        s->wide = check_alloc(malloc(sizeof(*s->wide)));
        exact_sum_init(s->wide);
    }
    s->wide_count += (uint32_t)sign;
    exact_sum_add(s->wide, sign < 0 ? -d : d);
}

static inline void sum_put(struct feature_sum *s, enum feature_tag tag, uint64_t payload, int sign)
{
    __int128 units;
    if (tag == FEATURE_NULL)
        return;
    s->count += (uint32_t)sign;
    if (tag != FEATURE_DOUBLE) {
        s->ints += sign < 0 ? -(__int128)(int64_t)payload : (__int128)(int64_t)payload;
        return;
    }
    s->decimals += (uint32_t)sign;
    if (to_units(payload, &units))
        s->units += sign < 0 ? -units : units;
    else
        sum_wide(s, feature_as_double(payload), sign);
}

// --- squares

static bool is_extreme(enum feature_tag tag, uint64_t payload)
{
    if (tag != FEATURE_DOUBLE)
        return (int64_t)payload > INT64_C(1) << 53 || (int64_t)payload < -(INT64_C(1) << 53);
    double d = fabs(feature_as_double(payload));
    return d != 0 && (d > 0x1p500 || d < 0x1p-500);
}

static void squares_put(union feature_slot *slot, enum feature_tag tag, uint64_t payload, int sign)
{
    if (tag == FEATURE_NULL)
        return;
    struct feature_squares *s = slot->squares;
    if (s == NULL)
        s = slot->squares = check_alloc(calloc(1, sizeof(*s)));
    s->count += (uint32_t)sign;
    if (is_extreme(tag, payload)) {
        s->extreme += (uint32_t)sign;
        return;
    }
    double d = tag == FEATURE_DOUBLE ? feature_as_double(payload) : (double)(int64_t)payload;
    exact_sum_add(&s->sum, sign < 0 ? -d : d);
    if (sign < 0)
        exact_sum_sub_square(&s->squares, d);
    else
        exact_sum_add_square(&s->squares, d);
}

// --- extremes

// Numbers of either kind; an x87 long double holds both exactly.
static int compare(const struct feature_events *ev, uint32_t field, uint32_t a, uint32_t b)
{
    enum feature_tag ta = feature_tag_at(ev, field, a), tb = feature_tag_at(ev, field, b);
    uint64_t pa = feature_payload_at(ev, field, a), pb = feature_payload_at(ev, field, b);
    if (ta != FEATURE_DOUBLE && tb != FEATURE_DOUBLE)
        return ((int64_t)pa > (int64_t)pb) - ((int64_t)pa < (int64_t)pb);
    long double x = ta == FEATURE_DOUBLE ? feature_as_double(pa) : (long double)(int64_t)pa;
    long double y = tb == FEATURE_DOUBLE ? feature_as_double(pb) : (long double)(int64_t)pb;
    return (x > y) - (x < y);
}

static void deque_push(struct feature_deque *q, const struct feature_events *ev, uint32_t field,
                       uint32_t at, int better)
{
    if (feature_tag_at(ev, field, at) == FEATURE_NULL)
        return;
    while (q->end != q->first && compare(ev, field, q->at[q->end - 1], at) * better <= 0)
        q->end--;
    if (q->end == q->size) {
        uint32_t n = q->end - q->first;
        if (q->first < q->size / 2 || q->size == 0) {
            q->size = q->size == 0 ? 8 : q->size * 2;
            q->at = check_alloc(realloc(q->at, q->size * sizeof(*q->at)));
        }
        memmove(q->at, q->at + q->first, n * sizeof(*q->at));
        q->first = 0;
        q->end = n;
    }
    q->at[q->end++] = at;
}

static void deque_move(const struct feature_slot_plan *p, struct feature_deque *q,
                       const struct feature_events *ev, uint32_t from, struct feature_range now)
{
    for (uint32_t i = from; i < now.hi; i++)
        deque_push(q, ev, p->field, i, p->kind == SLOT_MAX ? 1 : -1);
    while (q->first != q->end && q->at[q->first] < now.lo)
        q->first++;
}

// --- distinct values

// One form for equal values: 1 and 1.0, 0.0 and -0.0 are the same.
static void canonical(enum feature_tag *tag, uint64_t *payload)
{
    if (*tag != FEATURE_DOUBLE)
        return;
    double d = feature_as_double(*payload);
    if (d >= -0x1p63 && d < 0x1p63 && (double)(int64_t)d == d) {
        *tag = FEATURE_INT;
        *payload = (uint64_t)(int64_t)d;
    }
}

static const struct feature_blob *as_blob(uint64_t payload)
{
    return (const struct feature_blob *)(uintptr_t)payload;
}

static uint64_t hash_of(enum feature_tag tag, uint64_t payload)
{
    if (tag != FEATURE_BLOB)
        return hash_mix(payload ^ ((uint64_t)tag << 60));
    return hash_bytes(slice_of(as_blob(payload)->bytes, as_blob(payload)->n));
}

static bool same_value(const struct feature_set_entry *e, enum feature_tag tag, uint64_t payload)
{
    if (e->tag != tag || tag != FEATURE_BLOB)
        return e->tag == tag && e->payload == payload;
    const struct feature_blob *a = as_blob(e->payload), *b = as_blob(payload);
    return a->n == b->n && memcmp(a->bytes, b->bytes, a->n) == 0;
}

static struct feature_set_entry *set_find(const struct feature_set *s, uint64_t hash,
                                          enum feature_tag tag, uint64_t payload)
{
    uint32_t i = (uint32_t)hash & (s->size - 1);
    while (s->entries[i].count != 0 &&
           (s->entries[i].hash != hash || !same_value(&s->entries[i], tag, payload)))
        i = (i + 1) & (s->size - 1);
    return &s->entries[i];
}

static void set_grow(struct feature_set *s)
{
    struct feature_set old = *s;
    s->size = old.size == 0 ? 8 : old.size * 2;
    s->entries = check_alloc(calloc(s->size, sizeof(*s->entries)));
    for (uint32_t i = 0; i < old.size; i++) {
        const struct feature_set_entry *e = &old.entries[i];
        if (e->count != 0)
            *set_find(s, e->hash, (enum feature_tag)e->tag, e->payload) = *e;
    }
    free(old.entries);
}

static void set_add(struct feature_set *s, enum feature_tag tag, uint64_t payload)
{
    if (s->count >= s->size / 2)
        set_grow(s);
    canonical(&tag, &payload);
    uint64_t hash = hash_of(tag, payload);
    struct feature_set_entry *e = set_find(s, hash, tag, payload);
    if (e->count++ != 0)
        return;
    e->tag = (uint8_t)tag;
    e->payload = payload;
    e->hash = hash;
    s->count++;
    if (tag == FEATURE_BLOB)
        ((struct feature_blob *)(uintptr_t)payload)->refs++;
}

// Closes the gap at `i`: entries behind it move up if that is on their way from where they belong.
static void set_close(struct feature_set *s, uint32_t i)
{
    uint32_t mask = s->size - 1;
    for (uint32_t k = (i + 1) & mask; s->entries[k].count != 0; k = (k + 1) & mask) {
        uint32_t home = (uint32_t)s->entries[k].hash & mask;
        if (((k - home) & mask) >= ((k - i) & mask)) {
            s->entries[i] = s->entries[k];
            i = k;
        }
    }
    s->entries[i].count = 0;
}

static void set_remove(struct feature_set *s, enum feature_tag tag, uint64_t payload)
{
    canonical(&tag, &payload);
    struct feature_set_entry *e = set_find(s, hash_of(tag, payload), tag, payload);
    CHECK(e->count != 0);
    if (--e->count != 0)
        return;
    if (tag == FEATURE_BLOB)
        feature_blob_unref((struct feature_blob *)(uintptr_t)e->payload);
    s->count--;
    set_close(s, (uint32_t)(e - s->entries));
}

static void set_put(struct feature_set *s, enum feature_tag tag, uint64_t payload, int sign)
{
    if (tag == FEATURE_NULL)
        return;
    if (sign > 0)
        set_add(s, tag, payload);
    else
        set_remove(s, tag, payload);
}

static void set_clear(struct feature_set *s)
{
    for (uint32_t i = 0; i < s->size; i++) {
        struct feature_set_entry *e = &s->entries[i];
        if (e->count != 0 && e->tag == FEATURE_BLOB)
            feature_blob_unref((struct feature_blob *)(uintptr_t)e->payload);
        e->count = 0;
    }
    s->count = 0;
}

// --- all of them

static void clear(enum feature_slot_kind kind, union feature_slot *slot)
{
    switch (kind) {
    case SLOT_SUM: {
        struct exact_sum *wide = slot->sum.wide;
        slot->sum = (struct feature_sum){.wide = wide};
        if (wide != NULL)
            exact_sum_init(wide);
        break;
    }
    case SLOT_SQUARES:
        if (slot->squares != NULL)
            memset(slot->squares, 0, sizeof(*slot->squares));
        break;
    case SLOT_MIN:
    case SLOT_MAX:
        slot->deque.first = slot->deque.end = 0;
        break;
    case SLOT_DISTINCT:
        set_clear(&slot->set);
        break;
    default:
        slot->last = 0;
    }
}

void feature_slot_release(enum feature_slot_kind kind, union feature_slot *slot)
{
    clear(kind, slot);
    if (kind == SLOT_SUM)
        free(slot->sum.wide);
    else if (kind == SLOT_SQUARES)
        free(slot->squares);
    else if (kind == SLOT_MIN || kind == SLOT_MAX)
        free(slot->deque.at);
    else if (kind == SLOT_DISTINCT)
        free(slot->set.entries);
}

static void put(const struct feature_slot_plan *p, union feature_slot *slot,
                const struct feature_events *ev, struct feature_range r, int sign)
{
    for (uint32_t i = r.lo; i < r.hi; i++) {
        enum feature_tag tag = feature_tag_at(ev, p->field, i);
        uint64_t payload = feature_payload_at(ev, p->field, i);
        if (p->kind == SLOT_SUM)
            sum_put(&slot->sum, tag, payload, sign);
        else if (p->kind == SLOT_SQUARES)
            squares_put(slot, tag, payload, sign);
        else
            set_put(&slot->set, tag, payload, sign);
    }
}

static void last_move(const struct feature_slot_plan *p, union feature_slot *slot,
                      const struct feature_events *ev, uint32_t from, struct feature_range now)
{
    for (uint32_t i = now.hi; i > from; i--) {
        if (feature_tag_at(ev, p->field, i - 1) != FEATURE_NULL) {
            slot->last = i;
            return;
        }
    }
    if (slot->last <= now.lo)
        slot->last = 0;
}

void feature_slot_rebuild(const struct feature_slot_plan *p, union feature_slot *slot,
                          const struct feature_events *ev, struct feature_range now)
{
    clear(p->kind, slot);
    if (p->kind == SLOT_MIN || p->kind == SLOT_MAX)
        deque_move(p, &slot->deque, ev, now.lo, now);
    else if (p->kind == SLOT_LAST)
        last_move(p, slot, ev, now.lo, now);
    else
        put(p, slot, ev, now, 1);
}

void feature_slot_move(const struct feature_slot_plan *p, union feature_slot *slot,
                       const struct feature_events *ev, struct feature_range was,
                       struct feature_range now)
{
    bool back = now.lo < was.lo || now.hi < was.hi, apart = now.lo >= was.hi || now.hi <= was.lo;
    bool follows = p->kind == SLOT_SUM || p->kind == SLOT_SQUARES || p->kind == SLOT_DISTINCT;
    if (apart || (back && !follows)) {
        feature_slot_rebuild(p, slot, ev, now);
    } else if (!follows) {
        if (p->kind == SLOT_LAST)
            last_move(p, slot, ev, was.hi, now);
        else
            deque_move(p, &slot->deque, ev, was.hi, now);
    } else {
        put(p, slot, ev, (struct feature_range){was.hi, now.hi}, 1);
        put(p, slot, ev, (struct feature_range){now.lo, was.lo}, 1);
        put(p, slot, ev, (struct feature_range){was.lo, now.lo}, -1);
        put(p, slot, ev, (struct feature_range){now.hi, was.hi}, -1);
    }
}

void feature_slot_shift(enum feature_slot_kind kind, union feature_slot *slot, uint32_t n)
{
    if (kind == SLOT_LAST && slot->last != 0) {
        slot->last -= n; // in range, thus behind what left
    } else if (kind == SLOT_MIN || kind == SLOT_MAX) {
        for (uint32_t i = slot->deque.first; i < slot->deque.end; i++)
            slot->deque.at[i] -= n;
    }
}

bool feature_slot_insert(const struct feature_slot_plan *p, union feature_slot *slot,
                         const struct feature_events *ev, uint32_t at, bool inside)
{
    if (p->kind == SLOT_MIN || p->kind == SLOT_MAX || p->kind == SLOT_LAST)
        return true; // indices behind it have changed
    if (inside)
        put(p, slot, ev, (struct feature_range){at, at + 1}, 1);
    return false;
}

size_t feature_slot_bytes(enum feature_slot_kind kind, const union feature_slot *slot)
{
    switch (kind) {
    case SLOT_SQUARES:
        return slot->squares == NULL ? 0 : sizeof(*slot->squares);
    case SLOT_MIN:
    case SLOT_MAX:
        return slot->deque.size * sizeof(*slot->deque.at);
    case SLOT_DISTINCT:
        return slot->set.size * sizeof(*slot->set.entries);
    default:
        return 0;
    }
}
