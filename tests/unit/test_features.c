// SPDX-License-Identifier: Apache-2.0
//
// Features against an oracle that looks at all events for each record, over random events: ties,
// nulls, integers and decimals mixed, several windows and delays; in event order from disordered
// arrival, and at arrival. The same events run again with a tiny cache, commits, aborts, crashes
// and changelog replays: the same bits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>

#include "base/prng.h"
#include "features_rig.h"
#include "operators/exact_sum.h"

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
enum { KEYS = 3, ENTRIES = 13, WINDOWS = 3, OUTPUTS = ENTRIES * WINDOWS };

static struct window_spec windows[WINDOWS] = {{"6h", 6 * HOUR}, {"1d", DAY}, {"3d", 3 * DAY}};
static const struct frig_entry entries[ENTRIES] = {{"n", AGG_COUNT, NULL, 0},
                                                   {"sum", AGG_SUM, "a", 0},
                                                   {"mean", AGG_MEAN, "a", 0},
                                                   {"min", AGG_MIN, "a", 0},
                                                   {"max", AGG_MAX, "a", 0},
                                                   {"sd", AGG_STDDEV, "a", 0},
                                                   {"last", AGG_LAST, "s", 0},
                                                   {"kinds", AGG_DISTINCT, "s", 0},
                                                   {"old_n", AGG_COUNT, NULL, DAY},
                                                   {"old_mean", AGG_MEAN, "a", DAY},
                                                   {"old_max", AGG_MAX, "a", DAY},
                                                   {"old_last", AGG_LAST, "s", DAY},
                                                   {"old_kinds", AGG_DISTINCT, "s", DAY}};

struct event {
    int64_t time;
    uint32_t key;
    struct value a, s;
    char json[160], text[24];
};

// A result as bits: type and number, or the text.
struct bits {
    uint32_t type;
    uint32_t pad;
    uint64_t number;
    char text[24];
};

static struct bits bits_of(const struct value *v)
{
    struct bits b = {.type = v->type};
    if (v->type == VALUE_STRING)
        memcpy(b.text, v->s.p, v->s.n);
    else if (v->type == VALUE_DOUBLE)
        memcpy(&b.number, &v->d, sizeof(b.number));
    else if (v->type != VALUE_NULL)
        b.number = v->type == VALUE_INT ? (uint64_t)v->i : v->b;
    return b;
}

struct world {
    struct frig rig;
    struct prng rng;
    struct event *events;
    uint32_t n;
    struct bits (*out)[OUTPUTS]; // by offset
    uint8_t *done;               // 1: answered, 2: committed
    uint32_t *order, answered;   // offsets as they came out
    // What is committed
    uint32_t next, read_to; // resume there; before read_to it is replay
    uint32_t order_committed;
    struct buf saved, log;
    size_t log_durable; // part of the log that RocksDB has flushed
    size_t log_committed;
    int64_t highest;
    uint64_t evictions, rows_deleted;
};

// --- the oracle

static double as_double(const struct value *v)
{
    return v->type == VALUE_DOUBLE ? v->d : v->type == VALUE_INT ? (double)v->i : v->b;
}

static bool in_window(const struct world *w, uint32_t j, uint32_t i, int64_t delay, int64_t size)
{
    int64_t t = w->events[i].time - delay, at = w->events[j].time;
    return w->events[j].key == w->events[i].key && at <= t && at > t - size;
}

static struct value number(const struct value *v)
{
    return v->type == VALUE_BOOL ? value_int(v->b) : *v;
}

struct gathered { // the values in the window, in order
    struct value v[4000];
    uint32_t n, all;
};

// `before`: offsets in order of processing; those up to and with i count.
static void gather(const struct world *w, const uint32_t *before, uint32_t count, uint32_t i,
                   const struct frig_entry *e, int64_t size, struct gathered *g)
{
    g->n = g->all = 0;
    for (uint32_t k = 0; k < count; k++) {
        uint32_t j = before[k];
        if (!in_window(w, j, i, e->delay_ms, size))
            continue;
        g->all++;
        if (e->field == NULL)
            continue;
        struct value v = e->field[0] == 'a' ? w->events[j].a : w->events[j].s;
        if (v.type != VALUE_NULL)
            g->v[g->n++] = v;
    }
}

static struct value oracle_sum(const struct gathered *g, bool mean)
{
    struct exact_sum s;
    bool ints = true;
    __int128 total = 0;
    exact_sum_init(&s);
    for (uint32_t i = 0; i < g->n; i++) {
        exact_sum_add(&s, as_double(&g->v[i]));
        ints = ints && g->v[i].type != VALUE_DOUBLE;
        total += g->v[i].type == VALUE_DOUBLE ? 0 : number(&g->v[i]).i;
    }
    if (mean)
        return value_double(g->n == 0 ? 0 : exact_sum_get(&s) / g->n);
    return ints ? value_int((int64_t)total) : value_double(exact_sum_get(&s));
}

static struct value oracle_extreme(const struct gathered *g, int sign)
{
    if (g->n == 0)
        return value_null();
    struct value best = number(&g->v[0]);
    for (uint32_t i = 1; i < g->n; i++) {
        struct value v = number(&g->v[i]);
        if ((as_double(&v) - as_double(&best)) * sign >= 0)
            best = v;
    }
    return best;
}

static struct value oracle_stddev(const struct gathered *g)
{
    long double mean = 0, sum = 0;
    if (g->n < 2)
        return value_null();
    for (uint32_t i = 0; i < g->n; i++)
        mean += as_double(&g->v[i]);
    mean /= g->n;
    for (uint32_t i = 0; i < g->n; i++)
        sum += (as_double(&g->v[i]) - mean) * (as_double(&g->v[i]) - mean);
    return value_double(sqrtl(sum / (g->n - 1)));
}

static struct value oracle_distinct(const struct gathered *g)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        bool seen = false;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = g->v[i].type == VALUE_BOOL || g->v[k].type == VALUE_BOOL
                       ? g->v[i].type == g->v[k].type && g->v[i].b == g->v[k].b
                       : value_eq(&g->v[i], &g->v[k]);
        n += seen ? 0 : 1;
    }
    return value_int(n);
}

static struct value oracle(const struct gathered *g, enum agg_kind kind)
{
    switch (kind) {
    case AGG_COUNT:
        return value_int(g->all);
    case AGG_SUM:
    case AGG_MEAN:
        return oracle_sum(g, kind == AGG_MEAN);
    case AGG_MIN:
    case AGG_MAX:
        return oracle_extreme(g, kind == AGG_MAX ? 1 : -1);
    case AGG_STDDEV:
        return oracle_stddev(g);
    case AGG_LAST:
        return g->n == 0 ? value_null() : g->v[g->n - 1];
    default:
        return oracle_distinct(g);
    }
}

static void check_output(const struct bits *have, const struct value *want, enum agg_kind kind,
                         uint32_t offset, const char *name)
{
    struct bits b = bits_of(want);
    if (memcmp(have, &b, sizeof(b)) == 0)
        return;
    double x, y;
    memcpy(&x, &have->number, sizeof(x));
    memcpy(&y, &b.number, sizeof(y));
    // Two ways to a square root: the same up to rounding.
    if (kind == AGG_STDDEV && have->type == b.type && fabs(x - y) <= 1e-13 * (1 + fabs(y)))
        return;
    fail_msg("record %u, %s: type %u %lld (%.17g) '%s' instead of type %u %lld (%.17g) '%s'",
             offset, name, have->type, (long long)have->number, x, have->text, b.type,
             (long long)b.number, y, b.text);
}

// `order`: offsets in order of processing; windows are gathered in time order.
static void check_all(const struct world *w, const uint32_t *order)
{
    static struct gathered g;
    uint32_t *sorted = check_alloc(malloc(w->n * sizeof(*sorted)));
    for (uint32_t k = 0; k < w->n; k++) {
        uint32_t at = k; // insert by time, behind equals
        for (; at > 0 && w->events[sorted[at - 1]].time > w->events[order[k]].time; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = order[k];
        for (uint32_t o = 0; o < OUTPUTS; o++) {
            const struct frig_entry *e = &entries[o / WINDOWS];
            gather(w, sorted, k + 1, order[k], e, windows[o % WINDOWS].size_ms, &g);
            struct value want = oracle(&g, e->kind);
            check_output(&w->out[order[k]][o], &want, e->kind, order[k], e->name);
        }
    }
    free(sorted);
}

// --- the world

static struct value random_number(struct prng *r)
{
    switch (prng_below(r, 8)) {
    case 0:
        return value_null();
    case 1:
        return value_int((int64_t)prng_below(r, 100) - 50);
    case 2:
        return value_bool(prng_below(r, 2) == 0);
    case 3: // beyond what fits the common units
        return value_double(ldexp(1 + prng_uniform(r), (int)prng_below(r, 120) - 60));
    default:
        return value_double((double)prng_below(r, 20000) / 100);
    }
}

static struct value random_thing(struct prng *r, char text[24])
{
    switch (prng_below(r, 6)) {
    case 0:
        return value_null();
    case 1:
        return value_int((int64_t)prng_below(r, 4));
    case 2:
        return value_double((double)prng_below(r, 8) / 2);
    case 3:
        return value_bool(true);
    default:
        snprintf(text, 24, "t%u", (unsigned)prng_below(r, 20));
        return value_string(slice_str(text));
    }
}

static void put_field(struct event *ev, const char *name, const struct value *v, bool more)
{
    struct buf b = {0};
    value_to_json(v, &b);
    // A whole double must stay one in JSON.
    bool whole =
        v->type == VALUE_DOUBLE && memchr(b.p, '.', b.n) == NULL && memchr(b.p, 'e', b.n) == NULL;
    size_t n = strlen(ev->json);
    snprintf(ev->json + n, sizeof(ev->json) - n, "\"%s\":%.*s%s%s", name, (int)b.n,
             (const char *)b.p, whole ? ".0" : "", more ? "," : "}");
    buf_release(&b);
}

static void make_events(struct world *w, uint64_t seed, uint32_t n, int64_t disorder)
{
    prng_init(&w->rng, seed);
    w->n = n;
    w->events = check_alloc(calloc(n, sizeof(*w->events)));
    w->out = check_alloc(calloc(n, sizeof(*w->out)));
    w->done = check_alloc(calloc(n, 1));
    w->order = check_alloc(calloc(n, sizeof(*w->order)));
    int64_t t = INT64_C(1530000000000);
    for (uint32_t i = 0; i < n; i++) {
        struct event *ev = &w->events[i];
        if (prng_below(&w->rng, 3) != 0)
            t += (int64_t)prng_below(&w->rng, prng_below(&w->rng, 60) == 0 ? 8 * DAY : HOUR);
        if (prng_below(&w->rng, 20) == 0)
            t += HOUR - t % HOUR; // exact borders
        ev->time = t - (disorder == 0 ? 0 : (int64_t)prng_below(&w->rng, (uint64_t)disorder));
        ev->key = (uint32_t)prng_below(&w->rng, KEYS);
        ev->a = random_number(&w->rng);
        ev->s = random_thing(&w->rng, ev->text);
        strcpy(ev->json, "{");
        put_field(ev, "a", &ev->a, true);
        put_field(ev, "s", &ev->s, false);
    }
}

static void take_output(struct frig *r, const struct msg *m)
{
    struct world *w = r->arg;
    uint32_t offset = (uint32_t)m->origin.offset;
    assert_int_equal(w->done[offset], 0);
    assert_int_equal(m->time, w->events[offset].time);
    assert_int_equal(m->rec->offset, offset);
    w->done[offset] = 1;
    w->order[w->answered++] = offset;
    for (uint32_t o = 0; o < OUTPUTS; o++) {
        struct value v;
        struct field_ref *f = &r->node.features[o / WINDOWS].outputs[o % WINDOWS];
        assert_int_equal(doc_get(m->doc, f, &v, &r->err), 0);
        w->out[offset][o] = bits_of(&v);
    }
    struct field_ref f = field_ref_of(slice_str("s"), NULL); // what was there is still there
    struct value v;
    assert_int_equal(doc_get(m->doc, &f, &v, &r->err), 0);
    assert_true(value_eq(&v, &w->events[offset].s));
}

static void send(struct world *w, uint32_t offset, bool replay, bool parsed)
{
    struct frig *r = &w->rig;
    const struct event *ev = &w->events[offset];
    char key[8], json[160 + REC_PADDING];
    struct doc doc;
    arena_reset(&r->arena);
    snprintf(key, sizeof(key), "k%u", ev->key);
    snprintf(json, sizeof(json), "%s", ev->json);
    struct rec rec = {.time = ev->time, .offset = offset, .key = slice_str(key)};
    rec.value = slice_str(json);
    struct msg m = {.time = ev->time,
                    .key = rec.key,
                    .doc = &doc,
                    .rec = &rec,
                    .topic = "in",
                    .replay = replay,
                    .origin = {1, 0, offset, 0}};
    doc_open(&doc, r->doc_ctx, &r->arena, r->json, rec.value);
    if (parsed) {
        struct field_ref f = field_ref_of(slice_str("a"), NULL);
        doc_has(&doc, &f, &r->err);
    }
    if (replay && r->op->ops->held_offset == NULL)
        return;
    if (r->op->ops->process(r->op, &r->ctx, &m) != 0)
        fail_msg("%s", r->err.text);
    memset(json, 'x', sizeof(json)); // held records are copies
}

static void build(struct world *w)
{
    if (frig_build(&w->rig) != 0)
        fail_msg("%s", w->rig.err.text);
}

static void start(struct world *w, size_t cache, enum emit_mode emit)
{
    frig_init(&w->rig, take_output, w, cache);
    frig_node(&w->rig, "f", entries, ENTRIES, windows, WINDOWS);
    w->rig.node.emit = emit;
    w->rig.changelog = &w->log;
    w->highest = INT64_MIN;
    build(w);
}

static void finish(struct world *w)
{
    frig_release(&w->rig);
    buf_release(&w->saved);
    buf_release(&w->log);
    free(w->events);
    free(w->out);
    free(w->done);
    free(w->order);
}

// Back to what is committed.
static uint32_t rewind_to_commit(struct world *w)
{
    struct frig *r = &w->rig;
    for (uint32_t i = 0; i < w->n; i++)
        w->done[i] = w->done[i] == 2 ? 2 : 0;
    w->answered = w->order_committed;
    w->log.n = (uint32_t)w->log_committed;
    r->ctx.watermark = INT64_MIN;
    assert_int_equal(r->op->ops->load(r->op, buf_slice(&w->saved), &r->err), 0);
    w->highest = INT64_MIN;
    return w->next;
}

static void commit(struct world *w, uint32_t read_to)
{
    struct frig *r = &w->rig;
    frig_flush(r);
    frig_apply(r);
    buf_clear(&w->saved);
    r->op->ops->save(r->op, &w->saved);
    int64_t held = r->op->ops->held_offset == NULL ? INT64_MAX : r->op->ops->held_offset(r->op, 0);
    w->next = held < read_to ? (uint32_t)held : read_to;
    w->read_to = read_to;
    w->log_committed = w->log.n;
    w->order_committed = w->answered;
    for (uint32_t i = 0; i < w->n; i++)
        w->done[i] = w->done[i] == 1 ? 2 : w->done[i];
    if (prng_below(&w->rng, 5) == 0) {
        assert_int_equal(db_flush(r->db, &r->err), 0);
        w->log_durable = w->log.n;
    }
}

static uint32_t abort_it(struct world *w)
{
    struct frig *r = &w->rig;
    if (prng_below(&w->rng, 2) == 0)
        frig_flush(r); // aborted after the flush
    store_dropped(r->store);
    op_reset_tree(r->op);
    return rewind_to_commit(w);
}

static void count_stats(struct world *w)
{
    struct store_stats st;
    store_stats(w->rig.store, &st);
    w->evictions += st.evictions;
    w->rows_deleted += st.rows_deleted;
}

static uint32_t crash(struct world *w)
{
    struct frig *r = &w->rig;
    count_stats(w);
    assert_int_equal(db_crash(r->db, &r->err), 0);
    frig_unbuild(r);
    build(w);
    uint32_t next = rewind_to_commit(w);
    struct cur c = cur_of(buf_slice(&w->log));
    if (prng_below(&w->rng, 2) == 0) // from its last flush on, or from the beginning
        c.p += w->log_durable;
    db_batch_clear(r->batch);
    while (cur_left(&c) != 0) {
        struct state_row row = {.store = store_id(r->store)};
        row.key = cur_lslice(&c);
        row.value = cur_lslice(&c);
        db_batch_row(r->batch, 0, &row);
    }
    assert_int_equal(db_write(r->db, r->batch, &r->err), 0);
    return next;
}

static void run(struct world *w, int64_t max_out_of_order, bool rough)
{
    uint32_t i = 0;
    while (i < w->n) {
        bool replay = i < w->read_to;
        send(w, i, replay, i % 3 == 0);
        w->highest = w->events[i].time > w->highest ? w->events[i].time : w->highest;
        i++;
        if (!replay)
            assert_int_equal(frig_advance(&w->rig, w->highest - max_out_of_order), 0);
        uint64_t dice = rough ? prng_below(&w->rng, 100) : 99;
        if (replay || dice >= 12)
            continue;
        if (dice < 8)
            commit(w, i);
        else
            i = dice < 10 ? abort_it(w) : crash(w);
    }
    assert_int_equal(frig_advance(&w->rig, INT64_MAX), 0);
    assert_int_equal(w->answered, w->n);
    count_stats(w);
    if (rough)
        assert_true(w->evictions > 10 && w->rows_deleted > 10);
}

static bool before(const struct world *w, uint32_t a, uint32_t b)
{
    return w->events[a].time != w->events[b].time ? w->events[a].time < w->events[b].time : a < b;
}

static void event_order(uint64_t seed, uint32_t n, int64_t disorder)
{
    struct world a = {0}, b = {0};
    make_events(&a, seed, n, disorder);
    make_events(&b, seed, n, disorder);
    start(&a, 64 << 20, EMIT_EVENT);
    run(&a, disorder, false);
    for (uint32_t i = 1; i < n; i++)
        assert_true(before(&a, a.order[i - 1], a.order[i]));
    check_all(&a, a.order);
    start(&b, 3000, EMIT_EVENT);
    run(&b, disorder, true);
    assert_memory_equal(a.order, b.order, n * sizeof(*a.order));
    assert_memory_equal(a.out, b.out, n * sizeof(*a.out));
    assert_int_equal(a.rig.drops[DROP_LATE] + b.rig.drops[DROP_LATE], 0);
    finish(&a);
    finish(&b);
}

static void test_event_in_order(void **state)
{
    (void)state;
    event_order(1, 1500, 0);
}

static void test_event_disordered(void **state)
{
    (void)state;
    event_order(2, 1500, 5 * HOUR);
    event_order(3, 600, 2 * DAY);
}

static void at_arrival(uint64_t seed, uint32_t n, int64_t disorder)
{
    struct world a = {0}, b = {0};
    make_events(&a, seed, n, disorder);
    make_events(&b, seed, n, disorder);
    start(&a, 64 << 20, EMIT_ARRIVAL);
    run(&a, disorder, false);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(a.order[i], i);
    check_all(&a, a.order);
    start(&b, 3000, EMIT_ARRIVAL);
    run(&b, disorder, true);
    assert_memory_equal(a.out, b.out, n * sizeof(*a.out));
    finish(&a);
    finish(&b);
}

static void test_arrival(void **state)
{
    (void)state;
    at_arrival(4, 1200, 5 * HOUR);
    at_arrival(5, 800, 3 * DAY);
    at_arrival(6, 500, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_in_order),
        cmocka_unit_test(test_event_disordered),
        cmocka_unit_test(test_arrival),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
