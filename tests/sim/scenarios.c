// SPDX-License-Identifier: Apache-2.0
//
// Scenarios: scripts for the simulator, each with a judge: a plain recomputation from the list of
// events, which shares no code with operators, state or runtime.
#include <inttypes.h>
#include <math.h>

#include "tests/sim/judge.h"

// --- features ----------------------------------------------------------------------------------

#define FEATURES                                                                                   \
    "  :filter(good)\n"                                                                            \
    "  :features('customer', { by='customer_id', windows={'1d','7d'},\n"                           \
    "     compute={ n=weir.count(), avg=weir.mean 'amount', total=weir.sum 'amount',\n"            \
    "               high=weir.max 'amount', low=weir.min 'amount' } })\n"                          \
    "  :features('terminal', { by='terminal_id', windows={'1d','7d'},\n"                           \
    "     compute={ n=weir.count{delay='7d'}, risk=weir.mean 'fraud' } })\n"                       \
    "  :to('out', {value='json'})\n"

static const char keyed_features[] =
    TX_SCHEMA "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'})\n" FEATURES;
static const char round_robin_features[] =
    TX_SCHEMA "app:stream('in', {value=weir.json(Tx), time='ts'})\n" FEATURES;

static int judge_event(const struct sim *s, const struct sim_event *e, const struct judge_row *row,
                       struct err *err)
{
    static const struct {
        const char *label;
        int64_t days;
    } sizes[] = {{"1d", 1}, {"7d", 7}};
    char name[64];
    for (uint32_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        int64_t size = sizes[i].days * (int64_t)DAY_MS;
        struct judge_sums c = judge_window(s, e, true, 0, size);
        struct judge_sums t = judge_window(s, e, false, 7 * (int64_t)DAY_MS, size);
        const struct {
            const char *prefix;
            double value;
        } wanted[] = {{"customer_n_", c.n},
                      {"customer_avg_", c.total / c.n},
                      {"customer_total_", c.total},
                      {"customer_high_", c.high},
                      {"customer_low_", c.low},
                      {"terminal_n_", t.n},
                      {"terminal_risk_", t.n == 0 ? 0 : t.frauds / t.n}};
        for (uint32_t k = 0; k < ARRAY_COUNT(wanted); k++) {
            snprintf(name, sizeof(name), "%s%s", wanted[k].prefix, sizes[i].label);
            if (judge_want(row, e->id, name, wanted[k].value, err) != 0)
                return -1;
        }
    }
    return 0;
}

static int judge_features(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    if (judge_read_rows(s, "out", &rows, err) != 0)
        return -1;
    const struct judge_row **found = judge_by_id(s, &rows, "tx_id", err);
    if (found == NULL)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        bool absent = e->poison || e->table;
        if (absent != (found[i] == NULL))
            return err_set(err, ERR_CORRUPT, "event %u %s", i,
                           absent ? "should not have come out" : "is missing");
        if (!absent && judge_event(s, e, found[i], err) != 0)
            return -1;
    }
    return judge_dead_letters(s, err);
}

// --- counts per key, every update --------------------------------------------------------------

static const char counts[] =
    TX_SCHEMA "app:stream('in', {value=weir.json(Tx), time='ts'}):filter(good)\n"
              "  :count('per_customer', {by='customer_id', as='n'}):to('out', {value='json'})\n";

static int judge_counts(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    double last[6] = {0}, wanted[6] = {0};
    uint32_t total = 0;
    if (judge_read_rows(s, "out", &rows, err) != 0)
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
        if (c < 0 || c > 5 || judge_number(&rows.items[i].value, "n") != last[c] + 1)
            return err_set(err, ERR_CORRUPT, "customer %.*s: update %.17g does not follow %g",
                           (int)k.n, (const char *)k.p, judge_number(&rows.items[i].value, "n"),
                           c < 0 || c > 5 ? -1 : last[c]);
        last[c]++;
    }
    for (int c = 0; c < 6; c++) {
        if (last[c] != wanted[c])
            return err_set(err, ERR_CORRUPT, "customer %d: %g updates, should be %g", c, last[c],
                           wanted[c]);
    }
    return rows.count == total
               ? judge_dead_letters(s, err)
               : err_set(err, ERR_CORRUPT, "%u rows, should be %u", rows.count, total);
}

// --- hourly windows, once closed, by a Lua fold ------------------------------------------------

static const char windows[] =
    TX_SCHEMA "app:stream('in', {value=weir.json(Tx), time='ts'}):filter(good)\n"
              "  :aggregate('hourly', {by='terminal_id', window='1h', grace='0s', emit='close',\n"
              "     init={n=0, total=0}, fn=function(state, t)\n"
              "       return {n=state.n+1, total=state.total+t.amount} end})\n"
              "  :to('out', {value='json'})\n";

static int judge_hour(const struct sim *s, const struct judge_row *row, struct err *err)
{
    double start = judge_number(&row->value, "window_start"), n = 0, total = 0;
    int terminal = row->key.n == 1 ? row->key.p[0] - '0' : -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        if (e->poison || e->terminal != terminal || (double)e->time < start ||
            (double)e->time >= start + HOUR_MS)
            continue;
        n++;
        total += e->amount;
    }
    return judge_want(row, terminal, "n", n, err) != 0
               ? -1
               : judge_want(row, terminal, "total", total, err);
}

static int judge_windows(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    uint32_t wanted = 0;
    if (judge_read_rows(s, "out", &rows, err) != 0)
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
                judge_number(&rows.items[i].value, "window_start") ==
                    judge_number(&rows.items[k].value, "window_start"))
                return err_set(err, ERR_CORRUPT, "a window came out twice");
        }
        if (judge_hour(s, &rows.items[i], err) != 0)
            return -1;
    }
    return judge_dead_letters(s, err);
}

// --- stream-table join -------------------------------------------------------------------------

static const char joins[] =
    TX_SCHEMA "app:source('feed-table', {connector='file', to='limits', path='-', "
              "value=weir.json(Tx), time='ts'})\n"
              "local limits = app:table('limits', {name='limits', value=weir.json(Tx), time='ts', "
              "key='customer_id'})\n"
              "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'}):filter(good)\n"
              "  :left_join(limits, {name='joined', prefix='limit_'}):to('out', {value='json'})\n";

// Which table row a stream record meets depends on how far the other topic was read, so only what
// holds in every order is asked: each record once, joined with a row of its own customer.
static int judge_joins(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    if (judge_read_rows(s, "out", &rows, err) != 0)
        return -1;
    const struct judge_row **found = judge_by_id(s, &rows, "tx_id", err);
    if (found == NULL)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        if ((e->poison || e->table) != (found[i] == NULL))
            return err_set(err, ERR_CORRUPT, "event %u is missing or should not be there", i);
        if (found[i] == NULL)
            continue;
        double other = judge_number(&found[i]->value, "limit_tx_id");
        if (isnan(other))
            continue;
        if (!(other >= 0 && other < s->events_count) || !s->events[(uint32_t)other].table ||
            s->events[(uint32_t)other].customer != e->customer)
            return err_set(err, ERR_CORRUPT, "event %u was joined with event %g", i, other);
    }
    return judge_dead_letters(s, err);
}

// Features and a join in one task: the table's topic moves the watermark, too, also while records
// that were held before a restart are being read again.
static const char beside_a_join[] =
    TX_SCHEMA "app:source('feed-table', {connector='file', to='limits', path='-', "
              "value=weir.json(Tx), time='ts'})\n"
              "local limits = app:table('limits', {name='limits', value=weir.json(Tx), time='ts', "
              "key='customer_id'})\n"
              "local s = app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'})\n"
              "s:left_join(limits, {name='joined', prefix='limit_'}):to('joined-out', "
              "{value='json'})\n"
              "s" FEATURES;

const struct sim_scenario sim_scenarios[] = {
    {"features, keyed", keyed_features, "in", NULL, true, false, judge_features},
    {"features, round robin", round_robin_features, "in", NULL, false, false, judge_features},
    {"counts", counts, "in", NULL, false, false, judge_counts},
    {"hourly windows", windows, "in", NULL, false, false, judge_windows},
    {"features beside a join", beside_a_join, "in", "limits", true, false, judge_features},
    {"join", joins, "in", "limits", true, false, judge_joins},
};
const uint32_t sim_scenarios_count = ARRAY_COUNT(sim_scenarios);
