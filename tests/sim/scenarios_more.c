// SPDX-License-Identifier: Apache-2.0
//
// More scenarios: updates one by one and in order, two stages, arrival order, and late records.
#include <inttypes.h>
#include <math.h>

#include "tests/sim/judge.h"

enum { CUSTOMERS = 6, TERMINALS = 4, OUT_OF_ORDER_MS = 1800000 };

static int key_of(struct slice key, int below)
{
    int k = key.n == 1 ? key.p[0] - '0' : -1;
    return k >= 0 && k < below ? k : -1;
}

// --- features at arrival -----------------------------------------------------------------------

static const char arrivals[] =
    TX_SCHEMA "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'}):filter(good)\n"
              "  :features('customer', {by='customer_id', windows={'1d','7d'}, emit='arrival',\n"
              "     compute={n=weir.count(), total=weir.sum 'amount'}})\n"
              "  :to('out', {value='json'})\n";

// A customer's records lie in one partition, so what an answer knows are those fed before it.
static struct judge_sums known(const struct sim *s, uint32_t place, int64_t size)
{
    struct judge_sums w = {0};
    const struct sim_event *e = &s->events[s->order[place]];
    for (uint32_t i = 0; i <= place; i++) {
        const struct sim_event *o = &s->events[s->order[i]];
        if (o->poison || o->customer != e->customer || o->time > e->time ||
            o->time <= e->time - size)
            continue;
        w.n++;
        w.total += o->amount;
    }
    return w;
}

static int judge_arrivals(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    if (judge_read_rows(s, "out", &rows, err) != 0)
        return -1;
    const struct judge_row **found = judge_by_id(s, &rows, "tx_id", err);
    if (found == NULL)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[s->order[i]];
        const struct judge_row *row = found[e->id];
        if (e->poison != (row == NULL))
            return err_set(err, ERR_CORRUPT, "event %" PRId64 " is missing or should not be there",
                           e->id);
        if (row == NULL)
            continue;
        struct judge_sums day = known(s, i, DAY_MS), week = known(s, i, 7 * (int64_t)DAY_MS);
        if (judge_want(row, e->id, "customer_n_1d", day.n, err) != 0 ||
            judge_want(row, e->id, "customer_total_1d", day.total, err) != 0 ||
            judge_want(row, e->id, "customer_n_7d", week.n, err) != 0 ||
            judge_want(row, e->id, "customer_total_7d", week.total, err) != 0)
            return -1;
    }
    return judge_dead_letters(s, err);
}

// --- sum and reduce, every update --------------------------------------------------------------

static const char sums[] = TX_SCHEMA
    "local s = app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'}):filter(good)\n"
    "s:sum('total', {by='customer_id', field='amount', as='v'}):to('out', {value='json'})\n"
    "s:reduce('latest', {by='customer_id', fn=function(a, t)\n"
    "    return {tx_id=t.tx_id, amount=a.amount+t.amount} end}):to('reduced', {value='json'})\n";

// The rows of one topic, walked along with the events as they were fed.
static int judge_running(struct sim *s, const char *topic, const char *name, bool id,
                         struct err *err)
{
    struct judge_rows rows;
    if (judge_read_rows(s, topic, &rows, err) != 0)
        return -1;
    uint32_t used = 0;
    for (int c = 0; c < CUSTOMERS; c++) {
        uint32_t at = 0;
        double total = 0;
        for (uint32_t i = 0; i < s->events_count; i++) {
            const struct sim_event *e = &s->events[s->order[i]];
            if (e->poison || e->customer != c)
                continue;
            while (at < rows.count && key_of(rows.items[at].key, CUSTOMERS) != c)
                at++;
            if (at == rows.count)
                return err_set(err, ERR_CORRUPT, "%s: customer %d: event %" PRId64 " is missing",
                               topic, c, e->id);
            total += e->amount;
            if (judge_want(&rows.items[at], e->id, name, total, err) != 0 ||
                (id && judge_want(&rows.items[at], e->id, "tx_id", (double)e->id, err) != 0))
                return -1;
            at++;
            used++;
        }
    }
    return used == rows.count
               ? 0
               : err_set(err, ERR_CORRUPT, "%s: %u rows, should be %u", topic, rows.count, used);
}

static int judge_sums_scenario(struct sim *s, struct err *err)
{
    return judge_running(s, "out", "v", false, err) != 0 ||
                   judge_running(s, "reduced", "amount", true, err) != 0
               ? -1
               : judge_dead_letters(s, err);
}

// --- windows, every update ---------------------------------------------------------------------

static const char window_updates[] =
    TX_SCHEMA "app:stream('in', {value=weir.json(Tx), time='ts'}):filter(good)\n"
              "  :count('hourly', {by='terminal_id', window='1h', emit='update', as='n'})\n"
              "  :to('out', {value='json'})\n";

// How many good events of a terminal lie in the hour that begins at `start`.
static double in_hour(const struct sim *s, int terminal, double start)
{
    double n = 0;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[i];
        n += !e->poison && e->terminal == terminal && (double)e->time >= start &&
             (double)e->time < start + HOUR_MS;
    }
    return n;
}

// The next update of a terminal and hour counts one more than the last one; the last counts all.
static int judge_window_updates(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    uint32_t wanted = 0;
    if (judge_read_rows(s, "out", &rows, err) != 0)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++)
        wanted += !s->events[i].poison;
    if (rows.count != wanted)
        return err_set(err, ERR_CORRUPT, "%u updates, should be %u", rows.count, wanted);
    for (uint32_t i = 0; i < rows.count; i++) {
        const struct judge_row *row = &rows.items[i];
        double start = judge_number(&row->value, "window_start"), before = 0;
        int terminal = key_of(row->key, TERMINALS);
        bool last = true;
        for (uint32_t k = 0; k < rows.count; k++) {
            if (!slice_eq(rows.items[k].key, row->key) ||
                judge_number(&rows.items[k].value, "window_start") != start)
                continue;
            before += k < i;
            last = last && k <= i;
        }
        if (judge_want(row, terminal, "n", before + 1, err) != 0 ||
            (last && judge_want(row, terminal, "n", in_hour(s, terminal, start), err) != 0))
            return -1;
    }
    return judge_dead_letters(s, err);
}

// --- two stages --------------------------------------------------------------------------------

static const char stages[] = TX_SCHEMA
    "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id'}):filter(good)\n"
    "  :features('customer', {by='customer_id', windows={'1d'}, compute={n=weir.count()}})\n"
    "  :sum('busy', {by='terminal_id', field='customer_n_1d', window='1h', emit='close', as='v'})\n"
    "  :to('out', {value='json'})\n";

static int judge_stages(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    double all = 0, seen = 0;
    if (judge_read_rows(s, "out", &rows, err) != 0)
        return -1;
    for (uint32_t i = 0; i < s->events_count; i++) {
        if (!s->events[i].poison)
            all += judge_window(s, &s->events[i], true, 0, DAY_MS).n;
    }
    for (uint32_t r = 0; r < rows.count; r++) {
        double start = judge_number(&rows.items[r].value, "window_start"), sum = 0;
        int terminal = key_of(rows.items[r].key, TERMINALS);
        for (uint32_t i = 0; i < s->events_count; i++) {
            const struct sim_event *e = &s->events[i];
            if (!e->poison && e->terminal == terminal && (double)e->time >= start &&
                (double)e->time < start + HOUR_MS)
                sum += judge_window(s, e, true, 0, DAY_MS).n;
        }
        if (judge_want(&rows.items[r], terminal, "v", sum, err) != 0)
            return -1;
        seen += sum;
    }
    // Each right and together all: none is missing, none came twice.
    return seen == all
               ? judge_dead_letters(s, err)
               : err_set(err, ERR_CORRUPT, "the windows sum up to %g, should be %g", seen, all);
}

// --- late records ------------------------------------------------------------------------------

static const char late[] = TX_TYPES
    "app:stream('in', {value=weir.json(Tx), time='ts', key='customer_id', "
    "max_out_of_order='30m'})\n"
    "  :count('hourly', {by='customer_id', window='1h', grace='0s', emit='close', as='n'})\n"
    "  :to('out', {value='json'})\n";

// Lateness recomputed: each partition has one reader, whose watermark follows the records before.
static uint32_t mark_late(const struct sim *s, bool *is_late)
{
    int64_t watermarks[SIM_PARTITIONS_MAX];
    uint32_t n = 0;
    for (int p = 0; p < SIM_PARTITIONS_MAX; p++)
        watermarks[p] = INT64_MIN;
    for (uint32_t i = 0; i < s->events_count; i++) {
        const struct sim_event *e = &s->events[s->order[i]];
        char key[8];
        snprintf(key, sizeof(key), "%d", (int)e->customer);
        int64_t *w = &watermarks[log_partition_of(slice_str(key), s->partitions)];
        is_late[e->id] = *w >= e->time - e->time % HOUR_MS + HOUR_MS;
        n += is_late[e->id];
        if (e->time - OUT_OF_ORDER_MS > *w)
            *w = e->time - OUT_OF_ORDER_MS;
    }
    return n;
}

static int judge_late(struct sim *s, struct err *err)
{
    struct judge_rows rows;
    bool *is_late = arena_alloc(&s->arena, s->events_count);
    uint32_t late_count = mark_late(s, is_late);
    double seen = 0;
    if (judge_read_rows(s, "out", &rows, err) != 0)
        return -1;
    for (uint32_t r = 0; r < rows.count; r++) {
        double start = judge_number(&rows.items[r].value, "window_start"), n = 0;
        int customer = key_of(rows.items[r].key, CUSTOMERS);
        for (uint32_t i = 0; i < s->events_count; i++) {
            const struct sim_event *e = &s->events[i];
            n += !is_late[i] && e->customer == customer && (double)e->time >= start &&
                 (double)e->time < start + HOUR_MS;
        }
        if (judge_want(&rows.items[r], customer, "n", n, err) != 0)
            return -1;
        seen += n;
    }
    if (seen != s->events_count - late_count)
        return err_set(err, ERR_CORRUPT, "the windows count %g events, should be %u", seen,
                       s->events_count - late_count);
    // What was dropped is counted once per attempt: exactly, if nothing had to be done again.
    uint64_t dropped = atomic_load(&s->stats.drops[DROP_LATE]);
    if (dropped < late_count || (s->crashes + s->faults == 0 && dropped != late_count))
        return err_set(err, ERR_CORRUPT, "%" PRIu64 " late records, should be %u", dropped,
                       late_count);
    return 0;
}

const struct sim_scenario sim_scenarios_more[] = {
    {"features at arrival", arrivals, "in", NULL, true, false, judge_arrivals},
    {"sum and reduce", sums, "in", NULL, true, false, judge_sums_scenario},
    {"hourly updates", window_updates, "in", NULL, false, false, judge_window_updates},
    {"two stages", stages, "in", NULL, true, false, judge_stages},
    {"late records", late, "in", NULL, true, true, judge_late},
};
const uint32_t sim_scenarios_more_count = ARRAY_COUNT(sim_scenarios_more);
