// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/judge.h"

#include <inttypes.h>
#include <math.h>

// --- reading what came out ---------------------------------------------------------------------

int judge_read_rows(struct sim *s, const char *topic, struct judge_rows *out, struct err *err)
{
    int t = plan_topic_find(s->plan, topic);
    int32_t partitions = t < 0 ? 1 : s->plan->topics[t].partitions;
    *out = (struct judge_rows){0};
    for (int32_t p = 0; p < partitions; p++) {
        uint32_t n;
        const struct rec *r = memory_records(s->log, topic, p, &n);
        struct judge_row *grown = arena_alloc(&s->arena, sizeof(*grown) * (out->count + n + 1));
        if (out->count != 0)
            memcpy(grown, out->items, sizeof(*grown) * out->count);
        out->items = grown;
        for (uint32_t i = 0; i < n; i++) {
            if ((r[i].flags & REC_MARKER) != 0)
                continue;
            struct judge_row *row = &out->items[out->count++];
            *row = (struct judge_row){.key = r[i].key, .time = r[i].time};
            if (r[i].value.p != NULL &&
                value_from_json(r[i].value, &s->arena, &row->value, err) != 0)
                return -1;
        }
    }
    return 0;
}

static const struct value *field(const struct value *v, const char *name)
{
    static const struct value null;
    for (uint32_t i = 0; v->type == VALUE_MAP && i < v->count; i++) {
        if (slice_eq_str(v->keys[i], name))
            return &v->items[i];
    }
    return &null;
}

double judge_number(const struct value *v, const char *name)
{
    double d = NAN;
    value_number(field(v, name), &d);
    return d;
}

// The one row per event id, or an error: every event that passes is there exactly once.
const struct judge_row **judge_by_id(struct sim *s, const struct judge_rows *rows, const char *id,
                                     struct err *err)
{
    const struct judge_row **found = arena_alloc(&s->arena, sizeof(*found) * (s->events_count + 1));
    memset(found, 0, sizeof(*found) * (s->events_count + 1));
    for (uint32_t i = 0; i < rows->count; i++) {
        double n = judge_number(&rows->items[i].value, id);
        if (!(n >= 0 && n < s->events_count)) {
            err_set(err, ERR_CORRUPT, "an output row without a known %s", id);
            return NULL;
        }
        if (found[(uint32_t)n] != NULL) {
            err_set(err, ERR_CORRUPT, "%s %.0f came out twice", id, n);
            return NULL;
        }
        found[(uint32_t)n] = &rows->items[i];
    }
    return found;
}

int judge_want(const struct judge_row *row, int64_t id, const char *name, double expected,
               struct err *err)
{
    double got = judge_number(&row->value, name);
    if (got == expected || (isnan(got) && isnan(expected)))
        return 0;
    return err_set(err, ERR_CORRUPT, "event %" PRId64 ": %s is %.17g, should be %.17g", id, name,
                   got, expected);
}

int judge_dead_letters(struct sim *s, struct err *err)
{
    uint32_t n, want_count = 0, got = 0;
    const struct rec *r = memory_records(s->log, "sim-dead-letters", 0, &n);
    for (uint32_t i = 0; i < n; i++)
        got += (r[i].flags & REC_MARKER) == 0;
    for (uint32_t i = 0; i < s->events_count; i++)
        want_count += s->events[i].poison && !s->events[i].table;
    if (got != want_count)
        return err_set(err, ERR_CORRUPT, "%u dead letters, should be %u", got, want_count);
    return 0;
}

// Over events of the same customer (or terminal) with time in (t - delay - size, t - delay],
// counting, without a delay, only those up to `upto` in (time, id) order.
struct judge_sums judge_window(const struct sim *s, const struct sim_event *e, bool customer,
                               int64_t delay, int64_t size)
{
    struct judge_sums w = {0, 0, NAN, NAN, 0};
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *o = &s->events[i];
        if (o->poison || o->table ||
            (customer ? o->customer != e->customer : o->terminal != e->terminal))
            continue;
        if (o->time <= e->time - delay - size || o->time > e->time - delay || o->id > e->id)
            continue;
        w.n++;
        w.total += o->amount;
        w.high = isnan(w.high) || o->amount > w.high ? o->amount : w.high;
        w.low = isnan(w.low) || o->amount < w.low ? o->amount : w.low;
        w.frauds += o->fraud;
    }
    return w;
}
