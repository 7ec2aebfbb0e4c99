// SPDX-License-Identifier: Apache-2.0
//
// Feature_result: what a slot's state says. Nothing in the window: count 0, sum 0, mean 0 (an
// average of nothing is no risk), else null; stddev is null below two values.
#include "operators/feature_slots.h"

#include <math.h>

// The exact sum, rounded once.
static double sum_double(const struct feature_sum *s)
{
    const __int128 ints_max = (__int128)1 << 60, units_max = (__int128)1 << 125;
    if (s->decimals == 0)
        return (double)s->ints;
    if (s->wide_count == 0 && s->ints < ints_max && s->ints > -ints_max && s->units < units_max &&
        s->units > -units_max)
        return (double)(s->units + s->ints * ((__int128)1 << 64)) * 0x1p-64;
    struct exact_sum all;
    if (s->wide_count != 0)
        all = *s->wide;
    else
        exact_sum_init(&all);
    exact_sum_add_int128(&all, s->ints, 0);
    exact_sum_add_int128(&all, s->units, -64);
    return exact_sum_get(&all);
}

static struct value sum_value(const struct feature_sum *s, enum agg_kind kind)
{
    if (kind == AGG_MEAN)
        return value_double(s->count == 0 ? 0 : sum_double(s) / s->count);
    if (s->decimals == 0 && s->ints >= INT64_MIN && s->ints <= INT64_MAX)
        return value_int((int64_t)s->ints);
    return value_double(sum_double(s));
}

static long double number_at(const struct feature_events *ev, uint32_t field, uint32_t at)
{
    uint64_t payload = feature_payload_at(ev, field, at);
    if (feature_tag_at(ev, field, at) == FEATURE_DOUBLE)
        return feature_as_double(payload);
    return (long double)(int64_t)payload;
}

// Values that cannot be squared as doubles: from the events, mean first.
static double variance_of_events(const struct feature_events *ev, uint32_t field,
                                 struct feature_range r, uint32_t n)
{
    long double mean = 0, sum = 0, rest = 0;
    for (uint32_t i = r.lo; i < r.hi; i++)
        if (feature_tag_at(ev, field, i) != FEATURE_NULL)
            mean += number_at(ev, field, i) / n;
    for (uint32_t i = r.lo; i < r.hi; i++) {
        if (feature_tag_at(ev, field, i) == FEATURE_NULL)
            continue;
        long double d = number_at(ev, field, i) - mean;
        sum += d * d;
        rest += d;
    }
    long double v = (sum - rest * rest / n) / (n - 1);
    return sqrtl(v < 0 ? 0 : v);
}

// s += a · b, exactly.
static void add_product(struct exact_sum *s, double a, double b)
{
    double high = a * b;
    exact_sum_add(s, high);
    exact_sum_add(s, fma(a, b, -high));
}

// With m near the mean: Σ(x - m)² = Σx² - 2mΣx + nm², all exact, so nothing cancels that counts;
// what m is off the mean goes out again as (Σx - nm)² / n.
static double stddev(const struct feature_squares *q)
{
    double n = q->count, sum[3];
    exact_sum_parts(&q->sum, sum);
    double m = sum[0] / n;
    struct exact_sum spread = q->squares, off = q->sum;
    for (int i = 0; i < 3; i++)
        add_product(&spread, -2 * m, sum[i]);
    double square = m * m;
    add_product(&spread, n, square);
    add_product(&spread, n, fma(m, m, -square));
    add_product(&off, -n, m);
    double r = exact_sum_get(&off), v = (exact_sum_get(&spread) - r * r / n) / (n - 1);
    return sqrt(v < 0 ? 0 : v);
}

static struct value stddev_value(const struct feature_squares *q, const struct feature_events *ev,
                                 uint32_t field, struct feature_range r)
{
    if (q == NULL || q->count < 2)
        return value_null();
    if (q->extreme != 0)
        return value_double(variance_of_events(ev, field, r, q->count));
    return value_double(stddev(q));
}

// The event's value; for extremes a boolean is 0 or 1.
static struct value event_value(const struct feature_events *ev, uint32_t field, uint32_t at,
                                bool number, struct arena *arena)
{
    struct feature_value v = feature_events_value(ev, field, at);
    if (v.tag == FEATURE_DOUBLE)
        return value_double(feature_as_double(v.payload));
    if (v.tag == FEATURE_BOOL && !number)
        return value_bool(v.payload != 0);
    if (v.tag != FEATURE_BLOB)
        return value_int((int64_t)v.payload);
    struct cur c = cur_of(v.bytes);
    return value_decode(&c, arena);
}

struct value feature_slot_value(const struct feature_slot_plan *p, const union feature_slot *slot,
                                const struct feature_events *ev, struct feature_range range,
                                enum agg_kind kind, struct arena *arena)
{
    switch (p->kind) {
    case SLOT_SUM:
        return sum_value(&slot->sum, kind);
    case SLOT_SQUARES:
        return stddev_value(slot->squares, ev, p->field, range);
    case SLOT_MIN:
    case SLOT_MAX:
        if (slot->deque.first == slot->deque.end)
            return value_null();
        return event_value(ev, p->field, slot->deque.at[slot->deque.first], true, arena);
    case SLOT_LAST:
        return slot->last == 0 ? value_null()
                               : event_value(ev, p->field, slot->last - 1, false, arena);
    case SLOT_DISTINCT:
        return value_int(slot->set.count);
    case SLOT_NONE:
        break;
    }
    return value_int((int64_t)range.hi - range.lo);
}
