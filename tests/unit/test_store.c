// SPDX-License-Identifier: Apache-2.0
//
// Store against a plain map: random changes, flushes, commits, aborts, crashes with replay of the
// changelog from an earlier point, evictions from a tiny cache, walks and sweeps. The cell is a map
// of up to eight numbered slots; a slot is a row, so most keys have several.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/prng.h"
#include "state/db.h"

enum { KEYS = 60, SLOTS = 8, LONG_KEY = 300 };

struct slots {
    uint32_t value[SLOTS]; // 0: no row
    bool changed[SLOTS];
};

static int live_cells;

static void *slots_create(void *arg, struct slice key)
{
    (void)arg;
    assert_true(key.n > 0);
    live_cells++;
    return check_alloc(calloc(1, sizeof(struct slots)));
}

static void slots_destroy(void *arg, void *state)
{
    (void)arg;
    live_cells--;
    free(state);
}

static int slots_load(void *arg, void *state, struct slice sub, struct slice value, struct err *e)
{
    struct slots *s = state;
    (void)arg;
    if (sub.n != 1 || value.n != 4 || sub.p[0] >= SLOTS)
        return err_set(e, ERR_CORRUPT, "slot row of %u bytes", value.n);
    s->value[sub.p[0]] = bytes_get32(value.p);
    return 0;
}

static void slots_encode(void *arg, void *state,
                         void (*row)(void *, struct slice sub, struct slice value), void *row_arg)
{
    struct slots *s = state;
    (void)arg;
    for (uint8_t i = 0; i < SLOTS; i++) {
        uint8_t v[4];
        if (!s->changed[i])
            continue;
        s->changed[i] = false;
        bytes_put32(v, s->value[i]);
        row(row_arg, slice_of(&i, 1), s->value[i] == 0 ? (struct slice){NULL, 0} : slice_of(v, 4));
    }
}

static size_t slots_bytes(void *arg, const void *state)
{
    (void)arg;
    (void)state;
    return sizeof(struct slots);
}

// A slot's value is its time.
static bool slots_expired(void *arg, struct slice sub, struct slice value, int64_t watermark)
{
    (void)arg;
    (void)sub;
    return bytes_get32(value.p) < watermark;
}

static const struct cell_ops slots_ops = {.kind = "slots",
                                          .version = 1,
                                          .create = slots_create,
                                          .destroy = slots_destroy,
                                          .load = slots_load,
                                          .encode = slots_encode,
                                          .bytes = slots_bytes,
                                          .expired = slots_expired};

typedef uint32_t model[KEYS][SLOTS];

enum { LOG_MAX = 4000 };

struct world {
    struct db *db;
    struct store *store;
    struct prng rng;
    struct db_batch *batch;      // rows of the current flush
    struct buf log[LOG_MAX];     // committed flushes: lslice key, lslice value …
    uint32_t log_n, log_durable; // the latter: what the last db_flush covers
    struct buf *flush;
    model now, committed;
    uint32_t clock;
    int64_t swept; // slots below may be gone
};

static struct slice key_of(uint32_t i, uint8_t buf[LONG_KEY + 4])
{
    static const char *const heads[] = {"a", "ab", "b", "customer-", "\xff\xff"};
    const char *head = heads[i % 5];
    size_t n = strlen(head);
    memcpy(buf, head, n);
    if (i % 10 < 5) { // some of more than 127 bytes: two length bytes
        memset(buf + n, 'x', i * 5);
        n += i * 5;
    }
    buf[n++] = (uint8_t)i;
    return slice_of(buf, n);
}

static void open_store(struct world *w, size_t cache)
{
    struct store_spec spec = {.name = "slots", .ops = &slots_ops};
    struct err e;
    w->store = store_new(w->db, &spec, 3, cache);
    assert_int_equal(store_check(w->store, &e), 0);
}

static void take_row(void *arg, const struct state_row *row)
{
    struct world *w = arg;
    db_batch_row(w->batch, 3, row);
    buf_lslice(w->flush, row->key);
    buf_lslice(w->flush, row->value);
}

static struct cell *get(struct world *w, uint32_t i, bool create)
{
    uint8_t buf[LONG_KEY + 4];
    struct cell *c;
    struct err e;
    if (store_get(w->store, key_of(i, buf), create, &c, &e) != 0)
        fail_msg("%s", e.text);
    if (c != NULL)
        assert_true(slice_eq(cell_key(c), key_of(i, buf)));
    return c;
}

// Values below the sweep's watermark may be there or not.
static bool same(const struct world *w, uint32_t have, uint32_t want)
{
    return have == want || (have == 0 && want < w->swept);
}

static void check_key(struct world *w, uint32_t i)
{
    struct cell *c = get(w, i, false);
    const struct slots *s = c == NULL ? NULL : c->state;
    for (int k = 0; k < SLOTS; k++)
        assert_true(same(w, s == NULL ? 0 : s->value[k], w->now[i][k]));
}

static void change(struct world *w)
{
    uint32_t i = (uint32_t)prng_below(&w->rng, KEYS), slot = (uint32_t)prng_below(&w->rng, SLOTS);
    check_key(w, i);
    struct cell *c = get(w, i, true);
    struct slots *s = c->state;
    store_dirty(w->store, c);
    s->value[slot] = prng_below(&w->rng, 4) == 0 ? 0 : ++w->clock;
    s->changed[slot] = true;
    w->now[i][slot] = s->value[slot];
}

static void commit(struct world *w)
{
    struct row_sink sink = {w, take_row};
    struct err e;
    if (prng_below(&w->rng, 2) == 0) {
        int64_t mark = w->clock > 100 ? w->clock - 100 : 0;
        assert_int_equal(store_sweep(w->store, mark, 20, &e), 0);
        w->swept = mark > w->swept ? mark : w->swept;
    }
    db_batch_clear(w->batch);
    w->flush = &w->log[w->log_n];
    buf_clear(w->flush);
    store_flush(w->store, &sink);
    if (prng_below(&w->rng, 5) == 0) { // aborted
        store_dropped(w->store);
        memcpy(w->now, w->committed, sizeof w->now);
        return;
    }
    w->log_n++;
    assert_true(w->log_n < LOG_MAX);
    memcpy(w->committed, w->now, sizeof w->now);
    assert_int_equal(db_write(w->db, w->batch, &e), 0);
    store_applied(w->store);
    assert_int_equal(store_dirty_count(w->store), 0);
    assert_false(store_pressure(w->store));
    if (prng_below(&w->rng, 6) == 0) {
        assert_int_equal(db_flush(w->db, &e), 0);
        w->log_durable = w->log_n;
    }
}

static void replay_one(struct world *w, const struct buf *flush)
{
    struct err e;
    struct cur c = cur_of(buf_slice(flush));
    db_batch_clear(w->batch);
    while (cur_left(&c) != 0) {
        struct state_row row = {.store = store_id(w->store)};
        row.key = cur_lslice(&c);
        row.value = cur_lslice(&c);
        db_batch_row(w->batch, 3, &row);
    }
    assert_false(c.failed);
    assert_int_equal(db_write(w->db, w->batch, &e), 0);
}

// RocksDB falls back to its last flush; the rows come again from there or from any point before.
static void crash(struct world *w, size_t cache)
{
    struct err e;
    assert_int_equal(db_crash(w->db, &e), 0);
    uint32_t from = (uint32_t)prng_below(&w->rng, w->log_durable + 1);
    if (prng_below(&w->rng, 2) == 0) {
        store_clear(w->store);
    } else {
        store_free(w->store);
        assert_int_equal(live_cells, 0);
        open_store(w, cache);
    }
    for (uint32_t i = from; i < w->log_n; i++)
        replay_one(w, &w->log[i]);
    memcpy(w->now, w->committed, sizeof w->now);
}

struct seen {
    struct world *w;
    struct slice prefix;
    uint32_t visits[KEYS];
};

static bool see(void *arg, struct cell *c)
{
    struct seen *s = arg;
    uint32_t i = c->key[c->key_n - 1];
    assert_true(i < KEYS);
    assert_true(c->key_n >= s->prefix.n && memcmp(c->key, s->prefix.p, s->prefix.n) == 0);
    s->visits[i]++;
    // The caller may ask for others, which may evict.
    get(s->w, (i * 7 + 1) % KEYS, false);
    return true;
}

static void walk(struct world *w)
{
    static const char *const prefixes[] = {"", "a", "ab", "customer-", "c", "zz", "\xff"};
    struct seen s = {.w = w, .prefix = slice_str(prefixes[prng_below(&w->rng, 7)])};
    struct err e;
    assert_int_equal(store_each(w->store, s.prefix, see, &s, &e), 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t buf[LONG_KEY + 4];
        struct slice key = key_of(i, buf);
        bool fits = key.n >= s.prefix.n && memcmp(key.p, s.prefix.p, s.prefix.n) == 0, any = false;
        for (int k = 0; k < SLOTS; k++)
            any = any || (w->now[i][k] != 0 && (int64_t)w->now[i][k] >= w->swept);
        assert_true(s.visits[i] <= 1);
        if (fits && any)
            assert_int_equal(s.visits[i], 1);
    }
}

static void run(uint64_t seed, size_t cache, int steps)
{
    struct world *w = check_alloc(calloc(1, sizeof *w));
    struct db_options o = {.in_memory = true};
    struct err e;
    prng_init(&w->rng, seed);
    assert_int_equal(db_open("/mem/state", &o, &w->db, &e), 0);
    w->batch = db_batch_new();
    open_store(w, cache);
    for (int i = 0; i < steps; i++) {
        uint64_t dice = prng_below(&w->rng, 100);
        if (dice < 80)
            change(w);
        else if (dice < 95)
            commit(w);
        else if (dice < 98)
            walk(w);
        else
            crash(w, cache);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        check_key(w, i);
    struct store_stats st;
    store_stats(w->store, &st);
    assert_true(st.hits > 0 && st.misses > 0);
    store_free(w->store);
    assert_int_equal(live_cells, 0);
    db_batch_free(w->batch);
    for (uint32_t i = 0; i < LOG_MAX; i++)
        buf_release(&w->log[i]);
    db_close(w->db);
    free(w);
}

static void test_random(void **state)
{
    (void)state;
    run(1, 1 << 20, 4000);
    run(2, 600, 4000); // two or three cells
    run(3, 4000, 4000);
    run(4, 0, 2000);
}

static void ignore_row(void *arg, const struct state_row *row)
{
    (void)arg;
    (void)row;
}

static void test_eviction_and_pressure(void **state)
{
    (void)state;
    struct world w = {0};
    struct db_options o = {.in_memory = true};
    struct store_stats st;
    struct err e;
    assert_int_equal(db_open("/mem/state", &o, &w.db, &e), 0);
    open_store(&w, 2000);
    for (uint32_t i = 0; i < KEYS; i++)
        get(&w, i, true);
    store_stats(w.store, &st);
    assert_true(st.bytes <= 2000 && st.evictions > 0 && st.cells < KEYS);
    for (uint32_t i = 0; i < KEYS; i++)
        store_dirty(w.store, get(&w, i, true));
    assert_int_equal(store_dirty_count(w.store), KEYS);
    assert_true(store_pressure(w.store));
    store_stats(w.store, &st);
    assert_true(st.cells == KEYS);
    struct row_sink sink = {NULL, ignore_row};
    store_flush(w.store, &sink);
    store_applied(w.store);
    store_stats(w.store, &st);
    assert_true(st.bytes <= 2000);
    assert_int_equal((int)st.cells, live_cells);
    store_free(w.store);
    db_close(w.db);
}

static void put_order(void *arg, const struct state_row *row)
{
    struct buf *last = arg;
    assert_true(slice_cmp(buf_slice(last), row->key) < 0);
    buf_clear(last);
    buf_slice_put(last, row->key);
}

static void test_rows_in_key_order(void **state)
{
    (void)state;
    struct world w = {0};
    struct db_options o = {.in_memory = true};
    struct buf last = {0};
    struct err e;
    prng_init(&w.rng, 9);
    assert_int_equal(db_open("/mem/state", &o, &w.db, &e), 0);
    open_store(&w, 1 << 20);
    for (int i = 0; i < 300; i++)
        change(&w);
    struct row_sink sink = {&last, put_order};
    store_flush(w.store, &sink);
    assert_true(last.n > 0);
    buf_release(&last);
    store_dropped(w.store);
    store_free(w.store);
    db_close(w.db);
}

static void test_refused(void **state)
{
    (void)state;
    struct world w = {0};
    struct db_options o = {.in_memory = true};
    struct cell *c;
    struct err e;
    assert_int_equal(db_open("/mem/state", &o, &w.db, &e), 0);
    open_store(&w, 1000);
    struct cell_ops newer = slots_ops;
    newer.version = 2;
    struct store_spec spec = {.name = "slots", .ops = &newer};
    struct store *s = store_new(w.db, &spec, 0, 1000);
    assert_int_equal(store_check(s, &e), -1);
    assert_int_equal(store_get(s, slice_str("k"), true, &c, &e), -1);
    assert_non_null(strstr(e.text, "slots version 1"));
    store_free(s);
    // A row that does not decode is an error with the operator's name, and stays one.
    struct db_batch *b = db_batch_new();
    struct state_row row = {store_id(w.store), slice_str("\x01kx"), slice_str("bad")};
    db_batch_row(b, 3, &row);
    assert_int_equal(db_write(w.db, b, &e), 0);
    db_batch_free(b);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_get(w.store, slice_str("k"), true, &c, &e), -1);
        assert_non_null(strstr(e.text, "operator 'slots', partition 3"));
    }
    assert_int_equal(live_cells, 0);
    store_free(w.store);
    db_close(w.db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_eviction_and_pressure),
        cmocka_unit_test(test_rows_in_key_order),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
