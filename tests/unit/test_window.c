// SPDX-License-Identifier: Apache-2.0
//
// Windowed aggregates: the rules one by one, then random records with disorder against a
// recomputation, and runs with aborts and lost state against undisturbed ones (those without a
// window, too).
#include "base/prng.h"
#include "op_rig.h"

static struct node window_node(int64_t size, int64_t grace, enum emit_mode emit)
{
    struct node n = rig_agg(AGG_COUNT, NULL);
    n.window_ms = size;
    n.grace_ms = grace;
    n.emit = emit;
    n.as = "n";
    return n;
}

// --- windows, rule by rule

static void test_window_bounds(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 0, EMIT_UPDATE);
    struct op *o = rig_start(&r, &n);
    rig_must(&r, o, "a", "{}", 4);
    rig_must(&r, o, "a", "{}", 2); // the result's time is the highest
    rig_must(&r, o, "a", "{}", 9);
    rig_must(&r, o, "a", "{}", 10);
    rig_must(&r, o, "a", "{}", -1);
    assert_int_equal(r.drops[DROP_EXPIRED], 1);
    rig_expect(&r, "a@4 {\"key\":\"a\",\"window_start\":0,\"window_end\":10,\"n\":1}\n"
                   "a@4 {\"key\":\"a\",\"window_start\":0,\"window_end\":10,\"n\":2}\n"
                   "a@9 {\"key\":\"a\",\"window_start\":0,\"window_end\":10,\"n\":3}\n"
                   "a@10 {\"key\":\"a\",\"window_start\":10,\"window_end\":20,\"n\":1}");
    rig_release(&r);
}

static void test_window_grace(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 5, EMIT_UPDATE);
    struct op *o = rig_start(&r, &n);
    rig_time(&r, o, 14);
    rig_must(&r, o, "a", "{}", 9);
    assert_int_equal(r.drops[DROP_LATE], 0);
    rig_time(&r, o, 15);
    rig_must(&r, o, "a", "{}", 9);
    assert_int_equal(r.drops[DROP_LATE], 1);
    rig_must(&r, o, NULL, "{}", 20);
    rig_must(&r, o, "a", NULL, 20);
    assert_int_equal(r.drops[DROP_NULL_KEY], 1);
    assert_int_equal(r.drops[DROP_NULL_VALUE], 1);
    rig_release(&r);
}

static void sequence(struct rig *r, struct op *o, const int64_t *times)
{
    int64_t high = INT64_MIN;
    for (int i = 0; times[i] >= 0; i++) {
        high = times[i] > high ? times[i] : high;
        assert_int_equal(rig_time(r, o, high), 0);
        rig_must(r, o, "k", "{}", times[i]);
    }
}

static void test_window_close(void **state)
{
    (void)state;
    static const int64_t a[] = {0, 1, 2, 1, 0, 5, 0, -1};
    struct rig r;
    rig_init(&r);
    struct node n = window_node(2, 1, EMIT_CLOSE);
    struct op *o = rig_start(&r, &n);
    sequence(&r, o, a);
    assert_int_equal(r.drops[DROP_LATE], 1);
    rig_expect(&r, "k@1 {\"key\":\"k\",\"window_start\":0,\"window_end\":2,\"n\":4}\n"
                   "k@2 {\"key\":\"k\",\"window_start\":2,\"window_end\":4,\"n\":1}");
    rig_release(&r);

    static const int64_t b[] = {0, 1, 2, 0, 3, 0, 4, 0, 30, -1};
    rig_init(&r);
    n = window_node(2, 2, EMIT_CLOSE);
    o = rig_start(&r, &n);
    sequence(&r, o, b);
    assert_int_equal(r.drops[DROP_LATE], 1);
    rig_expect(&r, "k@1 {\"key\":\"k\",\"window_start\":0,\"window_end\":2,\"n\":4}\n"
                   "k@3 {\"key\":\"k\",\"window_start\":2,\"window_end\":4,\"n\":2}\n"
                   "k@4 {\"key\":\"k\",\"window_start\":4,\"window_end\":6,\"n\":1}");
    rig_release(&r);
}

// Windows in order, keys in byte order within one, whatever the order of arrival and commits.
static void test_close_order(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 100, EMIT_CLOSE);
    struct op *o = rig_start(&r, &n);
    rig_must(&r, o, "zz", "{}", 12);
    rig_must(&r, o, "b", "{}", 11);
    rig_commit(&r);
    rig_must(&r, o, "aaa", "{}", 3);
    rig_must(&r, o, "b", "{}", 3);
    rig_commit(&r);
    rig_must(&r, o, "aa", "{}", 13);
    rig_must(&r, o, "", "{}", 2);
    rig_time(&r, o, INT64_MAX);
    rig_expect(&r, "@2 {\"key\":\"\",\"window_start\":0,\"window_end\":10,\"n\":1}\n"
                   "aaa@3 {\"key\":\"aaa\",\"window_start\":0,\"window_end\":10,\"n\":1}\n"
                   "b@3 {\"key\":\"b\",\"window_start\":0,\"window_end\":10,\"n\":1}\n"
                   "aa@13 {\"key\":\"aa\",\"window_start\":10,\"window_end\":20,\"n\":1}\n"
                   "b@11 {\"key\":\"b\",\"window_start\":10,\"window_end\":20,\"n\":1}\n"
                   "zz@12 {\"key\":\"zz\",\"window_start\":10,\"window_end\":20,\"n\":1}");
    rig_release(&r);
}

// After a bounded end a later run treats exactly the closed windows as late.
static void test_after_the_end(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 5, EMIT_CLOSE);
    struct op *o = rig_start(&r, &n);
    rig_time(&r, o, 12);
    rig_must(&r, o, "k", "{}", 12);
    rig_time(&r, o, INT64_MAX);
    rig_commit(&r);
    rig_crash(&r);
    r.ctx.watermark = 12; // what the task's own mark says
    o = rig_start(&r, &n);
    rig_restored(&r);
    rig_must(&r, o, "k", "{}", 19);
    assert_int_equal(r.drops[DROP_LATE], 1);
    rig_must(&r, o, "k", "{}", 20);
    assert_int_equal(r.drops[DROP_LATE], 1);
    rig_time(&r, o, INT64_MAX);
    rig_expect(&r, "k@12 {\"key\":\"k\",\"window_start\":10,\"window_end\":20,\"n\":1}\n"
                   "k@20 {\"key\":\"k\",\"window_start\":20,\"window_end\":30,\"n\":1}");
    rig_release(&r);
}

// Hours behind minutes in one task: the minute that closes with its hour still counts in it.
static void test_window_behind_window(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node small = window_node(10, 0, EMIT_CLOSE), large = window_node(20, 0, EMIT_CLOSE);
    large.name = "large";
    struct op *o = rig_build(&r, &small, NULL, NULL);
    rig_probe(&r, rig_build(&r, &large, o, NULL));
    rig_must(&r, o, "k", "{}", 3);
    rig_time(&r, o, 15);
    rig_must(&r, o, "k", "{}", 15);
    rig_time(&r, o, 20);
    assert_int_equal(r.drops[DROP_LATE], 0);
    rig_expect(&r, "k@15 {\"key\":\"k\",\"window_start\":0,\"window_end\":20,\"n\":2}");
    rig_release(&r);
}

static int fail_b(const struct fn_arg *args, uint32_t n, struct arena *arena, struct value *out,
                  bool *same, struct err *e)
{
    (void)n;
    (void)arena;
    (void)same;
    *out = value_bool(true);
    return slice_eq_str(args[0].msg->key, "b") ? err_set(e, ERR_SCRIPT, "b raised") : 0;
}

// A receiver that fails for one key does not keep the others back, nor double any.
static void test_close_goes_on(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, fail_b);
    struct node n = window_node(10, 0, EMIT_CLOSE);
    struct node f = {.kind = NODE_FILTER, .name = "f", .where = "test.lua:2"};
    struct op *o = rig_build(&r, &n, NULL, NULL), *filter = rig_build(&r, &f, o, NULL);
    rig_probe(&r, filter);
    rig_must(&r, o, "a", "{}", 1);
    rig_must(&r, o, "b", "{}", 1);
    rig_must(&r, o, "c", "{}", 1);
    assert_int_equal(rig_time(&r, o, 10), -1);
    assert_ptr_equal(r.ctx.failed, filter);
    assert_string_equal(r.err.text, "window [0, 10) of key 'b': b raised");
    assert_int_equal(rig_time(&r, o, 10), 0);
    rig_expect(&r, "a@1 {\"key\":\"a\",\"window_start\":0,\"window_end\":10,\"n\":1}\n"
                   "c@1 {\"key\":\"c\",\"window_start\":0,\"window_end\":10,\"n\":1}");
    rig_release(&r);
}

static void test_closed_leaves_the_store(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 0, EMIT_UPDATE);
    struct op *o = rig_start(&r, &n);
    for (int64_t t = 0; t < 100; t += 5) {
        rig_time(&r, o, t);
        rig_must(&r, o, "a", "{}", t);
        rig_commit(&r);
    }
    // Of ten windows nine are closed: as many rows were deleted, one was left.
    uint32_t deleted = 0;
    for (uint32_t i = 0; i < r.log_n; i++)
        deleted += r.log[i].deleted;
    assert_int_equal(deleted, 9);
    struct store_stats s;
    store_stats(r.stores[0], &s);
    rig_crash(&r);
    o = rig_start(&r, &n);
    rig_restored(&r);
    rig_must(&r, o, "a", "{}", 99);
    assert_string_equal(r.out[r.out_n - 1],
                        "a@99 {\"key\":\"a\",\"window_start\":90,\"window_end\":100,\"n\":3}");
    rig_release(&r);
}

static struct slice line_key(const char *line)
{
    return slice_of(line, (size_t)(strchr(line, '@') - line));
}

// More keys than are listed in memory: the store is searched, the answer is the same.
static void test_large_window(void **state)
{
    (void)state;
    enum { N = 30000 };
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 0, EMIT_CLOSE);
    struct op *o = rig_start(&r, &n);
    char key[220];
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof(key), "%0*d", 100 + i % 100, i * 7919 % N);
        rig_must(&r, o, key, "{}", 3);
        if (i == N / 2)
            rig_commit(&r);
    }
    assert_int_equal(rig_time(&r, o, 10), 0);
    assert_int_equal(r.out_n, N);
    for (int i = 1; i < N; i++)
        assert_true(slice_cmp(line_key(r.out[i - 1]), line_key(r.out[i])) < 0);
    assert_int_equal(rig_time(&r, o, 20), 0);
    assert_int_equal(r.out_n, N);
    rig_release(&r);
}

// --- random records against a recomputation

enum { KEYS = 5, STARTS = 64, SIZE = 50 };

struct oracle {
    struct {
        int64_t n, time;
        bool closed;
    } cells[STARTS][KEYS];
    bool closed[STARTS];
    uint64_t late;
    struct buf lines;
};

static void oracle_line(struct oracle *w, int s, int k)
{
    buf_printf(&w->lines,
               "%sk%d@%lld {\"key\":\"k%d\",\"window_start\":%d,\"window_end\":%d,\"n\":%lld}",
               w->lines.n == 0 ? "" : "\n", k, (long long)w->cells[s][k].time, k, s * SIZE,
               s * SIZE + SIZE, (long long)w->cells[s][k].n);
}

static void oracle_close(struct oracle *w, int64_t watermark, int64_t grace, bool on_close)
{
    for (int s = 0; s < STARTS; s++) {
        if (w->closed[s] || watermark < s * SIZE + SIZE + grace)
            continue;
        w->closed[s] = true;
        for (int k = 0; k < KEYS; k++)
            if (on_close && w->cells[s][k].n != 0)
                oracle_line(w, s, k);
    }
}

static void random_window(uint64_t seed)
{
    struct prng p;
    prng_init(&p, seed);
    bool on_close = seed % 2 == 0;
    int64_t grace = (int64_t)prng_below(&p, 80), disorder = (int64_t)prng_below(&p, 60);
    struct rig r;
    rig_init(&r);
    r.cache_bytes = seed % 3 == 0 ? 1 << 20 : 1500;
    struct node n = window_node(SIZE, grace, on_close ? EMIT_CLOSE : EMIT_UPDATE);
    struct op *o = rig_start(&r, &n);
    static struct oracle w;
    w = (struct oracle){0};
    int64_t high = 0, watermark = INT64_MIN;
    for (int i = 0; i < 400; i++) {
        int64_t t = (int64_t)(i * 6 + (int)prng_below(&p, 150)) - 75;
        t = t < 0 ? 0 : t;
        int k = (int)prng_below(&p, KEYS), s = (int)(t / SIZE);
        high = t > high ? t : high;
        watermark = high - disorder;
        oracle_close(&w, watermark, grace, on_close);
        char key[8];
        snprintf(key, sizeof(key), "k%d", k);
        assert_int_equal(rig_time(&r, o, watermark), 0);
        rig_must(&r, o, key, "{}", t);
        if (w.closed[s]) {
            w.late++;
        } else {
            w.cells[s][k].n++;
            w.cells[s][k].time = t > w.cells[s][k].time ? t : w.cells[s][k].time;
            if (!on_close)
                oracle_line(&w, s, k);
        }
        if (prng_below(&p, 20) == 0)
            rig_commit(&r);
    }
    oracle_close(&w, INT64_MAX, 0, on_close);
    assert_int_equal(rig_time(&r, o, INT64_MAX), 0);
    assert_int_equal(r.drops[DROP_LATE], w.late);
    buf_u8(&w.lines, 0);
    rig_expect(&r, (const char *)w.lines.p);
    buf_release(&w.lines);
    rig_release(&r);
}

static void test_random_windows(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        random_window(seed);
}

// --- disturbed runs give what undisturbed ones give

struct input {
    char key[8], json[32];
    int64_t time, watermark;
};

static void make_inputs(struct prng *p, struct input *in, int n)
{
    int64_t high = 0;
    for (int i = 0; i < n; i++) {
        snprintf(in[i].key, sizeof(in[i].key), "k%d", (int)prng_below(p, 6));
        snprintf(in[i].json, sizeof(in[i].json), "{\"x\":%d%s}", (int)prng_below(p, 100) + 14,
                 prng_below(p, 2) == 0 ? "" : ".25");
        int64_t t = i * 5 + (int64_t)prng_below(p, 60);
        in[i].time = t;
        high = t > high ? t : high;
        in[i].watermark = high - 30;
    }
}

static void feed(struct rig *r, struct op *o, const struct input *in)
{
    assert_int_equal(rig_time(r, o, in->watermark), 0);
    rig_must(r, o, in->key, in->json, in->time);
}

static void disturbed(const struct node *n, uint64_t seed)
{
    enum { N = 250 };
    static struct input in[N];
    struct prng p;
    prng_init(&p, seed);
    make_inputs(&p, in, N);
    struct rig a, b;
    rig_init(&a);
    rig_init(&b);
    rig_fn(&a, 0, rig_fold);
    rig_fn(&b, 0, rig_fold);
    b.cache_bytes = 1000;
    struct op *o = rig_start(&a, n);
    for (int i = 0; i < N; i++)
        feed(&a, o, &in[i]);
    rig_time(&a, o, INT64_MAX);
    o = rig_start(&b, n);
    int at = 0, committed = 0, bad = 0;
    while (at < N) {
        uint64_t what = prng_below(&p, 24);
        if (what < 3) {
            rig_commit(&b);
            committed = at;
        } else if (what == 3 && bad < 60) {
            rig_abort(&b);
            at = committed;
            bad++;
        } else if (what == 4 && bad < 60) {
            rig_crash(&b);
            o = rig_start(&b, n);
            rig_restored(&b);
            at = committed;
            bad++;
        } else {
            feed(&b, o, &in[at++]);
        }
    }
    rig_time(&b, o, INT64_MAX);
    assert_int_equal(a.out_n, b.out_n);
    for (uint32_t i = 0; i < a.out_n; i++)
        assert_string_equal(a.out[i], b.out[i]);
    assert_memory_equal(a.drops, b.drops, sizeof(a.drops));
    assert_true(a.out_n > 0);
    rig_release(&a);
    rig_release(&b);
}

static void test_disturbed(void **state)
{
    (void)state;
    static const enum agg_kind kinds[] = {AGG_COUNT, AGG_SUM,  AGG_MEAN,
                                          AGG_MIN,   AGG_LAST, AGG_FOLD};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct node n = rig_agg(kinds[seed % ARRAY_COUNT(kinds)], "x");
        if (n.agg == AGG_COUNT)
            n.agg_field = NULL;
        disturbed(&n, seed);
        n.window_ms = 40;
        n.grace_ms = 10;
        disturbed(&n, seed);
        n.emit = EMIT_CLOSE;
        disturbed(&n, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_bounds), cmocka_unit_test(test_window_grace),
        cmocka_unit_test(test_window_close),  cmocka_unit_test(test_close_order),
        cmocka_unit_test(test_after_the_end), cmocka_unit_test(test_window_behind_window),
        cmocka_unit_test(test_close_goes_on), cmocka_unit_test(test_closed_leaves_the_store),
        cmocka_unit_test(test_large_window),  cmocka_unit_test(test_random_windows),
        cmocka_unit_test(test_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
