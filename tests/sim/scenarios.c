// SPDX-License-Identifier: Apache-2.0
//
// Scenarios: scripts for the simulator, each with a judge: a plain recomputation from the list of
// events, which shares no code with operators, state or runtime.
#include <inttypes.h>
#include <math.h>

#include "formats/value.h"
#include "tests/sim/sim.h"

enum { DAY_MS = 86400000, HOUR_MS = 3600000 };

// --- reading what came out ------------------------------------------------------------------------

struct row {
    struct value value;
    struct slice key;
    int64_t time;
};

struct rows {
    struct row *items;
    uint32_t count;
};

static int read_rows(struct sim *s, const char *topic, struct rows *out, struct err *err)
{
    int t = plan_topic_find(s->plan, topic);
    int32_t partitions = t < 0 ? 1 : s->plan->topics[t].partitions;
    *out = (struct rows){0};
    for (int32_t p = 0; p < partitions; p++) {
        uint32_t n;
        const struct rec *r = memory_records(s->log, topic, p, &n);
        struct row *grown = arena_alloc(&s->arena, sizeof(*grown) * (out->count + n + 1));
        if (out->count != 0)
            memcpy(grown, out->items, sizeof(*grown) * out->count);
        out->items = grown;
        for (uint32_t i = 0; i < n; i++) {
            if ((r[i].flags & REC_MARKER) != 0)
                continue;
            struct row *row = &out->items[out->count++];
            *row = (struct row){.key = r[i].key, .time = r[i].time};
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

static double number(const struct value *v, const char *name)
{
    double d = NAN;
    value_number(field(v, name), &d);
    return d;
}

// The one row per event id, or an error: every event that passes is there exactly once.
static const struct row **by_id(struct sim *s, const struct rows *rows, const char *id,
                                struct err *err)
{
    const struct row **found = arena_alloc(&s->arena, sizeof(*found) * (s->events_count + 1));
    memset(found, 0, sizeof(*found) * (s->events_count + 1));
    for (uint32_t i = 0; i < rows->count; i++) {
        double n = number(&rows->items[i].value, id);
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

static int want(const struct row *row, int64_t id, const char *name, double expected,
                struct err *err)
{
    double got = number(&row->value, name);
    if (got == expected || (isnan(got) && isnan(expected)))
        return 0;
    return err_set(err, ERR_CORRUPT, "event %" PRId64 ": %s is %.17g, should be %.17g", id, name,
                   got, expected);
}

static int dead_letters(struct sim *s, struct err *err)
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

// --- features -------------------------------------------------------------------------------------

#define TX_SCHEMA                                                                                  \
    "local weir = require 'weir'\n"                                                                \
    "local app = weir.app 'sim'\n"                                                                 \
    "local Tx = weir.schema { {'tx_id','long'}, {'ts','timestamp'}, {'customer_id','long'},\n"     \
    "  {'terminal_id','long'}, {'amount','double'},\n"                                             \
    "  {'fraud', weir.label {'boolean', visible_after='7d'}}, {'poison','boolean'} }\n"            \
    "app:source('feed', {connector='file', to='in', path='-', value=weir.json(Tx), time='ts'})\n"  \
    "local function good(t) if t.poison then error('poison') end return true end\n"

#define FEATURES                                                                                   \
    "  :filter(good)\n"                                                                            \
    "  :features('customer', { by='customer_id', windows={'1d','7d'},\n"                           \
    "     compute={ n=weir.count(), avg=weir.mean 'amount', total=weir.sum 'amount',\n"            \
    "               high=weir.max 'amount', low=weir.min 'amount' } })\n"                          \
    "  :features('terminal', { by='terminal_id', windows={'1d','7d'},\n"                           \
    "     compute={ n=weir.count{delay='7d'}, risk=weir.mean 'fraud' } })\n"                       \
    "  :to('out', {value='json'})\n"

static const char keyed_features[] = TX_SCHEMA
    "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'})\n" FEATURES;
static const char round_robin_features[] = TX_SCHEMA
    "app:stream('in', {value=weir.json(Tx), time='ts'})\n" FEATURES;

struct sums {
    double n, total, high, low, frauds;
};

// Over events of the same customer (or terminal) with time in (t - delay - size, t - delay],
// counting, without a delay, only those up to `upto` in (time, id) order.
static struct sums window(const struct sim *s, const struct sim_event *e, bool customer,
                          int64_t delay, int64_t size)
{
    struct sums w = {0, 0, NAN, NAN, 0};
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *o = &s->events[i];
        if (o->poison || (customer ? o->customer != e->customer : o->terminal != e->terminal))
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

static int judge_event(const struct sim *s, const struct sim_event *e, const struct row *row,
                       struct err *err)
{
    static const struct {
        const char *label;
        int64_t days;
    } sizes[] = {{"1d", 1}, {"7d", 7}};
    char name[64];
    for (uint32_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        int64_t size = sizes[i].days * (int64_t)DAY_MS;
        struct sums c = window(s, e, true, 0, size);
        struct sums t = window(s, e, false, 7 * (int64_t)DAY_MS, size);
        const struct {
            const char *prefix;
            double value;
        } wanted[] = {{"customer_n_", c.n},        {"customer_avg_", c.total / c.n},
                      {"customer_total_", c.total}, {"customer_high_", c.high},
                      {"customer_low_", c.low},    {"terminal_n_", t.n},
                      {"terminal_risk_", t.n == 0 ? 0 : t.frauds / t.n}};
        for (uint32_t k = 0; k < ARRAY_COUNT(wanted); k++) {
            snprintf(name, sizeof(name), "%s%s", wanted[k].prefix, sizes[i].label);
            if (want(row, e->id, name, wanted[k].value, err) != 0)
                return -1;
        }
    }
    return 0;
}

static int judge_features(struct sim *s, struct err *err)
{
    struct rows rows;
    if (read_rows(s, "out", &rows, err) != 0)
        return -1;
    const struct row **found = by_id(s, &rows, "tx_id", err);
    if (found == NULL)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        if (e->poison != (found[i] == NULL))
            return err_set(err, ERR_CORRUPT, "event %u %s", i,
                           e->poison ? "should not have come out" : "is missing");
        if (!e->poison && judge_event(s, e, found[i], err) != 0)
            return -1;
    }
    return dead_letters(s, err);
}

// --- counts per key, every update -----------------------------------------------------------------

static const char counts[] = TX_SCHEMA
    "app:stream('in', {value=weir.json(Tx), time='ts'}):filter(good)\n"
    "  :count('per_customer', {by='customer_id', as='n'}):to('out', {value='json'})\n";

static int judge_counts(struct sim *s, struct err *err)
{
    struct rows rows;
    double last[6] = {0}, wanted[6] = {0};
    uint32_t total = 0;
    if (read_rows(s, "out", &rows, err) != 0)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        if (s->events[i].poison)
            continue;
        wanted[s->events[i].customer]++;
        total++;
    }
    // Each update once, in order: n counts 1, 2, 3 … per customer.
    for (uint32_t i = 0; i < rows.count; i++) {
        struct slice k = rows.items[i].key;
        int c = k.n == 1 ? k.p[0] - '0' : -1;
        if (c < 0 || c > 5 || number(&rows.items[i].value, "n") != last[c] + 1)
            return err_set(err, ERR_CORRUPT, "customer %.*s: update %.17g does not follow %g",
                           (int)k.n, (const char *)k.p, number(&rows.items[i].value, "n"),
                           c < 0 || c > 5 ? -1 : last[c]);
        last[c]++;
    }
    for (int c = 0; c < 6; c++) {
        if (last[c] != wanted[c])
            return err_set(err, ERR_CORRUPT, "customer %d: %g updates, should be %g", c, last[c],
                           wanted[c]);
    }
    return rows.count == total ? dead_letters(s, err)
                               : err_set(err, ERR_CORRUPT, "%u rows, should be %u", rows.count,
                                         total);
}

// --- hourly windows, once closed, by a Lua fold ----------------------------------------------------

static const char windows[] = TX_SCHEMA
    "app:stream('in', {value=weir.json(Tx), time='ts'}):filter(good)\n"
    "  :aggregate('hourly', {by='terminal_id', window='1h', grace='0s', emit='close',\n"
    "     init={n=0, total=0}, fn=function(state, t)\n"
    "       return {n=state.n+1, total=state.total+t.amount} end})\n"
    "  :to('out', {value='json'})\n";

static int judge_window(const struct sim *s, const struct row *row, struct err *err)
{
    double start = number(&row->value, "window_start"), n = 0, total = 0;
    int terminal = row->key.n == 1 ? row->key.p[0] - '0' : -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        if (e->poison || e->terminal != terminal || (double)e->time < start ||
            (double)e->time >= start + HOUR_MS)
            continue;
        n++;
        total += e->amount;
    }
    return want(row, terminal, "n", n, err) != 0 ? -1 : want(row, terminal, "total", total, err);
}

static int judge_windows(struct sim *s, struct err *err)
{
    struct rows rows;
    uint32_t wanted = 0;
    if (read_rows(s, "out", &rows, err) != 0)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) { // first events of their terminal and hour
        const struct sim_event *e = &s->events[i];
        bool first = !e->poison;
        for (uint32_t k = 0; first && k < i; k++)
            first = s->events[k].poison || s->events[k].terminal != e->terminal ||
                    s->events[k].time / HOUR_MS != e->time / HOUR_MS;
        wanted += first;
    }
    if (rows.count != wanted)
        return err_set(err, ERR_CORRUPT, "%u windows came out, should be %u", rows.count, wanted);
    for (uint32_t i = 0; i < rows.count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            if (slice_eq(rows.items[i].key, rows.items[k].key) &&
                number(&rows.items[i].value, "window_start") ==
                    number(&rows.items[k].value, "window_start"))
                return err_set(err, ERR_CORRUPT, "a window came out twice");
        }
        if (judge_window(s, &rows.items[i], err) != 0)
            return -1;
    }
    return dead_letters(s, err);
}

// --- stream-table join ----------------------------------------------------------------------------

static const char joins[] = TX_SCHEMA
    "app:source('feed-table', {connector='file', to='limits', path='-', value=weir.json(Tx), time='ts'})\n"
    "local limits = app:table('limits', {name='limits', value=weir.json(Tx), time='ts', key='customer_id'})\n"
    "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'}):filter(good)\n"
    "  :left_join(limits, {name='joined', prefix='limit_'}):to('out', {value='json'})\n";

// Which table row a stream record meets depends on how far the other topic was read, so only what
// holds in every order is asked: each record once, joined with a row of its own customer.
static int judge_joins(struct sim *s, struct err *err)
{
    struct rows rows;
    if (read_rows(s, "out", &rows, err) != 0)
        return -1;
    const struct row **found = by_id(s, &rows, "tx_id", err);
    if (found == NULL)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        if ((e->poison || e->table) != (found[i] == NULL))
            return err_set(err, ERR_CORRUPT, "event %u is missing or should not be there", i);
        if (found[i] == NULL)
            continue;
        double other = number(&found[i]->value, "limit_tx_id");
        if (isnan(other))
            continue;
        if (!(other >= 0 && other < s->events_count) || !s->events[(uint32_t)other].table ||
            s->events[(uint32_t)other].customer != e->customer)
            return err_set(err, ERR_CORRUPT, "event %u was joined with event %g", i, other);
    }
    return dead_letters(s, err);
}

const struct sim_scenario sim_scenarios[] = {
    {"features, keyed", keyed_features, "in", NULL, true, judge_features},
    {"features, round robin", round_robin_features, "in", NULL, false, judge_features},
    {"counts", counts, "in", NULL, false, judge_counts},
    {"hourly windows", windows, "in", NULL, false, judge_windows},
    {"join", joins, "in", "limits", true, judge_joins},
};
const uint32_t sim_scenarios_count = ARRAY_COUNT(sim_scenarios);
