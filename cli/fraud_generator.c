// SPDX-License-Identifier: Apache-2.0
#include "cli/fraud_generator.h"

#include "base/check.h"
#include "base/hash.h"
#include "base/prng.h"

#include <math.h>

enum {
    REACH = 5, // of a customer, on a map of 100 by 100
    DAY_SECONDS = 86400,
    LARGE_CENTS = 22000,
    TERMINALS_A_DAY = 2,
    TERMINAL_DAYS = 28,
    CARDS_A_DAY = 3,
    CARD_DAYS = 14,
};

struct place {
    double x, y;
};

struct customer {
    struct place home;
    double mean_amount, rate; // rate: transactions a day
    size_t first, end;        // its transactions
};

struct world {
    const struct fraud_options *o;
    struct customer *customers;
    struct place *terminals;
    uint32_t *reach; // of the customer at hand
    uint32_t reach_count;
    struct fraud_tx *txs;
    size_t count, size;
};

// Independent streams from one seed.
static void stream(struct prng *r, uint64_t seed, uint64_t purpose, uint64_t index)
{
    prng_init(r, hash_mix(hash_mix(seed ^ (purpose << 56)) + index));
}

static void make_places(struct world *w)
{
    struct prng r;
    stream(&r, w->o->seed, 1, 0);
    for (uint32_t i = 0; i < w->o->customers; i++) {
        struct customer *c = &w->customers[i];
        c->home.x = 100 * prng_uniform(&r);
        c->home.y = 100 * prng_uniform(&r);
        c->mean_amount = 5 + 95 * prng_uniform(&r);
        c->rate = 4 * prng_uniform(&r);
    }
    stream(&r, w->o->seed, 2, 0);
    for (uint32_t i = 0; i < w->o->terminals; i++) {
        w->terminals[i].x = 100 * prng_uniform(&r);
        w->terminals[i].y = 100 * prng_uniform(&r);
    }
}

static void find_reach(struct world *w, struct place home)
{
    w->reach_count = 0;
    for (uint32_t i = 0; i < w->o->terminals; i++) {
        double dx = w->terminals[i].x - home.x, dy = w->terminals[i].y - home.y;
        if (fabs(dx) < REACH && fabs(dy) < REACH && dx * dx + dy * dy < REACH * REACH)
            w->reach[w->reach_count++] = i;
    }
}

static void push(struct world *w, struct fraud_tx tx)
{
    if (w->count == w->size) {
        w->size = w->size == 0 ? 65536 : w->size * 2;
        w->txs = check_alloc(realloc(w->txs, w->size * sizeof *w->txs));
    }
    w->txs[w->count++] = tx;
}

static uint32_t draw_cents(struct prng *r, double mean)
{
    double amount = prng_normal(r, mean, mean / 2);
    if (amount < 0)
        amount = 2 * mean * prng_uniform(r);
    return (uint32_t)lround(amount * 100);
}

// One customer's days. A time outside the day is drawn and dropped, as published.
static void spend(struct world *w, uint32_t index)
{
    struct customer *c = &w->customers[index];
    struct prng r;
    stream(&r, w->o->seed, 3, index);
    c->first = w->count;
    find_reach(w, c->home);
    for (uint32_t day = 0; day < w->o->days && w->reach_count > 0; day++) {
        uint32_t n = prng_poisson(&r, c->rate);
        for (uint32_t i = 0; i < n; i++) {
            int64_t second = (int64_t)prng_normal(&r, DAY_SECONDS / 2.0, 20000);
            if (second <= 0 || second >= DAY_SECONDS)
                continue;
            struct fraud_tx tx = {.customer = index};
            tx.ts = w->o->start_ms + ((int64_t)day * DAY_SECONDS + second) * 1000;
            tx.cents = draw_cents(&r, c->mean_amount);
            tx.terminal = w->reach[prng_below(&r, w->reach_count)];
            tx.scenario = tx.cents > LARGE_CENTS ? FRAUD_AMOUNT : FRAUD_NONE;
            push(w, tx);
        }
    }
    c->end = w->count;
}

static uint32_t day_of(const struct world *w, const struct fraud_tx *tx)
{
    return (uint32_t)((tx->ts - w->o->start_ms) / (DAY_SECONDS * INT64_C(1000)));
}

// Two terminals a day are compromised for 28 days: `until[terminal]` per start day would be large,
// so each terminal keeps a chain of its start days.
static void compromise_terminals(struct world *w)
{
    uint32_t starts = (w->o->days - 1) * TERMINALS_A_DAY;
    uint32_t *head = check_alloc(calloc(w->o->terminals, sizeof *head)); // 1 + index, 0: none
    uint32_t *next = check_alloc(calloc((size_t)starts + 1, sizeof *next));
    struct prng r;
    stream(&r, w->o->seed, 4, 0);
    for (uint32_t i = 0; i < starts; i++) {
        uint32_t t = (uint32_t)prng_below(&r, w->o->terminals);
        next[i] = head[t];
        head[t] = i + 1;
    }
    for (size_t k = 0; k < w->count; k++) {
        uint32_t day = day_of(w, &w->txs[k]);
        for (uint32_t i = head[w->txs[k].terminal]; i != 0; i = next[i - 1]) {
            uint32_t start = (i - 1) / TERMINALS_A_DAY;
            if (day >= start && day < start + TERMINAL_DAYS)
                w->txs[k].scenario = FRAUD_TERMINAL;
        }
    }
    free(head);
    free(next);
}

// A third of a card's next 14 days is spent by a thief, five times the amount.
static void steal_card(struct world *w, struct prng *r, const struct customer *c, uint32_t start)
{
    size_t *mine = check_alloc(malloc((c->end - c->first + 1) * sizeof *mine));
    size_t n = 0;
    for (size_t k = c->first; k < c->end; k++) {
        uint32_t day = day_of(w, &w->txs[k]);
        if (day >= start && day < start + CARD_DAYS)
            mine[n++] = k;
    }
    for (size_t i = 0; i < n / 3; i++) {
        size_t j = i + prng_below(r, n - i), k = mine[j];
        mine[j] = mine[i];
        w->txs[k].cents *= 5;
        w->txs[k].scenario = FRAUD_CARD;
    }
    free(mine);
}

static void steal_cards(struct world *w)
{
    struct prng r;
    stream(&r, w->o->seed, 5, 0);
    for (uint32_t day = 0; day + 1 < w->o->days; day++)
        for (int i = 0; i < CARDS_A_DAY; i++)
            steal_card(w, &r, &w->customers[prng_below(&r, w->o->customers)], day);
}

// Ties keep the customers' order: within one customer and second, amount then terminal decide, so
// that the order is total and qsort's instability cannot show.
static int by_time(const void *a, const void *b)
{
    const struct fraud_tx *x = a, *y = b;
    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    if (x->customer != y->customer)
        return x->customer < y->customer ? -1 : 1;
    if (x->cents != y->cents)
        return x->cents < y->cents ? -1 : 1;
    if (x->terminal != y->terminal)
        return x->terminal < y->terminal ? -1 : 1;
    return (int)x->scenario - (int)y->scenario;
}

struct fraud_tx *fraud_generate(const struct fraud_options *o, size_t *n)
{
    struct world w = {.o = o};
    CHECK(o->days > 0 && o->customers > 0 && o->terminals > 0);
    w.customers = check_alloc(calloc(o->customers, sizeof *w.customers));
    w.terminals = check_alloc(calloc(o->terminals, sizeof *w.terminals));
    w.reach = check_alloc(calloc(o->terminals, sizeof *w.reach));
    make_places(&w);
    for (uint32_t i = 0; i < o->customers; i++)
        spend(&w, i);
    compromise_terminals(&w);
    steal_cards(&w);
    if (w.count > 0)
        qsort(w.txs, w.count, sizeof *w.txs, by_time);
    free(w.customers);
    free(w.terminals);
    free(w.reach);
    *n = w.count;
    return w.txs;
}
