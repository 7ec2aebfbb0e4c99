// SPDX-License-Identifier: Apache-2.0
//
// Aggregates with and without windows: the rules one by one, then random records with disorder
// against a recomputation, and runs with aborts and lost state against undisturbed ones.
#include "base/prng.h"
#include "op_rig.h"

static struct node agg_node(enum agg_kind kind, const char *field)
{
    return (struct node){.kind = NODE_AGGREGATE,
                         .name = "agg",
                         .where = "test.lua:1",
                         .fn = 0,
                         .key_format = FORMAT_STRING,
                         .agg = kind,
                         .agg_field = field,
                         .as = agg_kind_name(kind)};
}

static struct node window_node(int64_t size, int64_t grace, enum emit_mode emit)
{
    struct node n = agg_node(AGG_COUNT, NULL);
    n.window_ms = size;
    n.grace_ms = grace;
    n.emit = emit;
    n.as = "n";
    return n;
}

static struct op *start(struct rig *r, const struct node *n)
{
    struct op *o = rig_build(r, n, NULL, NULL);
    rig_probe(r, o);
    return o;
}

static void send(struct rig *r, struct op *o, const char *key, const char *json, int64_t time)
{
    if (rig_send(r, o, key, json, time) != 0)
        fail_msg("%s", r->err.text);
}

// --- without a window

static void test_count(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = agg_node(AGG_COUNT, NULL);
    n.by = "user";
    struct op *o = start(&r, &n);
    send(&r, o, "a", "{}", 5);
    send(&r, o, "b", "{}", 6);
    send(&r, o, "a", "{}", 3);
    send(&r, o, NULL, "{}", 7);
    send(&r, o, "a", NULL, 8);
    assert_int_equal(r.drops[DROP_NULL_KEY], 1);
    assert_int_equal(r.drops[DROP_NULL_VALUE], 1);
    rig_expect(&r, "a@5 {\"user\":\"a\",\"count\":1}\n"
                   "b@6 {\"user\":\"b\",\"count\":1}\n"
                   "a@5 {\"user\":\"a\",\"count\":2}");
    rig_release(&r);
}

static void test_sum(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = agg_node(AGG_SUM, "x");
    struct op *o = start(&r, &n);
    send(&r, o, "a", "{\"x\":9007199254740993}", 1);
    send(&r, o, "a", "{\"x\":2}", 1);
    send(&r, o, "a", "{\"x\":null}", 1);
    send(&r, o, "a", "{}", 1);
    send(&r, o, "b", "{\"x\":0.1}", 1);
    send(&r, o, "b", "{\"x\":0.2}", 1);
    send(&r, o, "b", "{\"x\":1}", 1);
    send(&r, o, "c", "{\"x\":9223372036854775807}", 1);
    send(&r, o, "c", "{\"x\":1}", 1); // beyond 64 bits
    assert_int_equal(rig_send(&r, o, "a", "{\"x\":\"text\"}", 1), -1);
    assert_non_null(strstr(r.err.text, "field 'x' needs a number; this record's is string"));
    send(&r, o, "a", "{\"x\":1}", 1);
    assert_int_equal(r.drops[DROP_NULL_VALUE], 2);
    rig_expect(&r, "a@1 {\"key\":\"a\",\"sum\":9007199254740993}\n"
                   "a@1 {\"key\":\"a\",\"sum\":9007199254740995}\n"
                   "b@1 {\"key\":\"b\",\"sum\":0.1}\n"
                   "b@1 {\"key\":\"b\",\"sum\":0.30000000000000004}\n"
                   "b@1 {\"key\":\"b\",\"sum\":1.3}\n"
                   "c@1 {\"key\":\"c\",\"sum\":9223372036854775807}\n"
                   "c@1 {\"key\":\"c\",\"sum\":9223372036854776000}\n"
                   "a@1 {\"key\":\"a\",\"sum\":9007199254740996}");
    rig_release(&r);
}

// The same records in any order give the same sum and mean, to the last bit.
static void test_sum_any_order(void **state)
{
    (void)state;
    struct prng p;
    prng_init(&p, 5);
    char json[200][40], first[2][64] = {"", ""};
    for (int i = 0; i < 200; i++)
        snprintf(json[i], sizeof(json[i]), "{\"x\":%.17g}",
                 prng_normal(&p, 0, 1) * (i % 3 == 0 ? 1e12 : 1e-3));
    for (int round = 0; round < 6; round++) {
        for (int kind = 0; kind < 2; kind++) {
            struct rig r;
            rig_init(&r);
            struct node n = agg_node(kind == 0 ? AGG_SUM : AGG_MEAN, "x");
            struct op *o = start(&r, &n);
            for (int i = 0; i < 200; i++) {
                send(&r, o, "a", json[i], 1);
                if (i % 50 == 49)
                    rig_commit(&r);
            }
            const char *last = r.out[r.out_n - 1];
            if (round == 0)
                snprintf(first[kind], sizeof(first[kind]), "%s", last);
            assert_string_equal(last, first[kind]);
            rig_release(&r);
        }
        for (int i = 199; i > 0; i--) { // shuffle
            int k = (int)prng_below(&p, (uint64_t)i + 1);
            char t[40];
            memcpy(t, json[i], 40);
            memcpy(json[i], json[k], 40);
            memcpy(json[k], t, 40);
        }
    }
}

static void one_kind(enum agg_kind kind, const char *const *values, const char *want)
{
    struct rig r;
    rig_init(&r);
    struct node n = agg_node(kind, "x");
    n.as = "v";
    struct op *o = start(&r, &n);
    char json[64];
    for (int i = 0; values[i] != NULL; i++) {
        snprintf(json, sizeof(json), "{\"x\":%s}", values[i]);
        send(&r, o, "a", json, 10 - i % 3);
        rig_commit(&r);
        rig_crash(&r); // everything has to be in the row
        o = start(&r, &n);
        rig_restored(&r);
    }
    assert_string_equal(r.out[r.out_n - 1], want);
    rig_release(&r);
}

static void test_kinds(void **state)
{
    (void)state;
    static const char *const ints[] = {"3", "-4", "7", "1", NULL};
    static const char *const mixed[] = {"2.5", "2", "-1", "-0.5", NULL};
    one_kind(AGG_COUNT, ints, "a@10 {\"key\":\"a\",\"v\":4}");
    one_kind(AGG_SUM, ints, "a@10 {\"key\":\"a\",\"v\":7}");
    one_kind(AGG_SUM, mixed, "a@10 {\"key\":\"a\",\"v\":3}");
    one_kind(AGG_MEAN, ints, "a@10 {\"key\":\"a\",\"v\":1.75}");
    one_kind(AGG_MIN, ints, "a@10 {\"key\":\"a\",\"v\":-4}");
    one_kind(AGG_MAX, ints, "a@10 {\"key\":\"a\",\"v\":7}");
    one_kind(AGG_MIN, mixed, "a@10 {\"key\":\"a\",\"v\":-1}");
    one_kind(AGG_MAX, mixed, "a@10 {\"key\":\"a\",\"v\":2.5}");
    // Times 10, 9, 8, 10: of the two at 10 the later origin is last.
    one_kind(AGG_LAST, ints, "a@10 {\"key\":\"a\",\"v\":1}");
    static const char *const texts[] = {"\"p\"", "\"a much longer text\"", NULL};
    one_kind(AGG_LAST, texts, "a@10 {\"key\":\"a\",\"v\":\"p\"}");
}

static void test_refused_nodes(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct build_ctx b;
    struct op *o;
    struct store *s;
    struct node n = agg_node(AGG_STDDEV, "x");
    rig_ctx(&r, &n, &b);
    assert_int_equal(op_build(&b, &o, &s, &r.err), -1);
    assert_int_equal(r.err.code, ERR_UNSUPPORTED);
    n = agg_node(AGG_SUM, NULL);
    assert_int_equal(op_build(&b, &o, &s, &r.err), -1);
    n = agg_node(AGG_FOLD, NULL); // function 0 does not exist
    assert_int_equal(op_build(&b, &o, &s, &r.err), -1);
    assert_int_equal(r.err.code, ERR_INVALID);
    rig_release(&r);
}

static int64_t field_int(const struct msg *m, const char *name)
{
    struct field_ref f = rig_field(name);
    struct value v;
    struct err e;
    assert_int_equal(doc_get(m->doc, &f, &v, &e), 0);
    return v.i;
}

// {n = state.n + 1, list = state.list .. x}; x == 13 raises after having looked at everything.
static int fold_body(const struct fn_arg *args, uint32_t n, struct arena *arena, struct value *out,
                     bool *same, struct err *e)
{
    (void)same;
    assert_int_equal(n, 2);
    int64_t x = field_int(args[1].msg, "x");
    const struct value *old = args[0].value;
    uint32_t had = old->type == VALUE_MAP ? old->items[1].count : 0;
    if (x == 13)
        return err_set(e, ERR_SCRIPT, "test.lua:1: thirteen");
    if (x == 0)
        return 0;
    *out = (struct value){.type = VALUE_MAP, .count = 2};
    out->items = arena_alloc(arena, 2 * sizeof(struct value));
    out->keys = arena_alloc(arena, 2 * sizeof(struct slice));
    out->keys[0] = slice_str("n");
    out->keys[1] = slice_str("list");
    out->items[0] = value_int(had + 1);
    struct value list = {.type = VALUE_LIST, .count = had + 1};
    list.items = arena_alloc(arena, (had + 1) * sizeof(struct value));
    for (uint32_t i = 0; i < had; i++)
        list.items[i] = old->items[1].items[i];
    list.items[had] = value_int(x);
    out->items[1] = list;
    return 0;
}

static void test_fold(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, fold_body);
    struct node n = agg_node(AGG_FOLD, NULL);
    n.init = value_int(0);
    struct op *o = start(&r, &n);
    send(&r, o, "a", "{\"x\":1}", 1);
    assert_int_equal(rig_send(&r, o, "a", "{\"x\":13}", 2), -1);
    assert_ptr_equal(r.ctx.failed, o);
    assert_int_equal(rig_send(&r, o, "a", "{\"x\":0}", 2), -1);
    assert_non_null(strstr(r.err.text, "returned nothing"));
    assert_int_equal(rig_send(&r, o, "new", "{\"x\":13}", 2), -1);
    send(&r, o, "a", "{\"x\":2}", 3);
    rig_commit(&r);
    rig_crash(&r);
    o = start(&r, &n);
    rig_restored(&r);
    send(&r, o, "a", "{\"x\":3}", 2);
    send(&r, o, "new", "{\"x\":4}", 2);
    rig_expect(&r, "a@1 {\"n\":1,\"list\":[1]}\n"
                   "a@3 {\"n\":2,\"list\":[1,2]}\n"
                   "a@3 {\"n\":3,\"list\":[1,2,3]}\n"
                   "new@2 {\"n\":1,\"list\":[4]}");
    rig_release(&r);
}

static int reduce_body(const struct fn_arg *args, uint32_t n, struct arena *arena,
                       struct value *out, bool *same, struct err *e)
{
    (void)n;
    (void)arena;
    (void)same;
    (void)e;
    int64_t v = args[1].kind == FN_VALUE ? args[1].value->i : field_int(args[1].msg, "x");
    int64_t old = args[0].value->type == VALUE_MAP ? args[0].value->items[0].i : args[0].value->i;
    *out = value_int(old * 10 + v);
    return 0;
}

static void test_reduce(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, reduce_body);
    struct node n = agg_node(AGG_REDUCE, "x");
    struct op *o = start(&r, &n);
    for (int i = 1; i <= 3; i++) {
        char json[16];
        snprintf(json, sizeof(json), "{\"x\":%d}", i);
        send(&r, o, "a", json, i);
    }
    rig_expect(&r, "a@1 {\"key\":\"a\",\"reduce\":1}\na@2 {\"key\":\"a\",\"reduce\":12}\n"
                   "a@3 {\"key\":\"a\",\"reduce\":123}");
    rig_free_ops(&r);
    n.agg_field = NULL; // whole records; the first one is the start
    n.name = "whole";
    o = start(&r, &n);
    send(&r, o, "a", "{\"x\":4}", 1);
    send(&r, o, "a", "{\"x\":5}", 1);
    rig_expect(&r, "a@1 {\"x\":4}\na@1 {\"key\":\"a\",\"reduce\":45}");
    rig_release(&r);
}

// --- windows, rule by rule

static void test_window_bounds(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = window_node(10, 0, EMIT_UPDATE);
    struct op *o = start(&r, &n);
    send(&r, o, "a", "{}", 4);
    send(&r, o, "a", "{}", 2); // the result's time is the highest
    send(&r, o, "a", "{}", 9);
    send(&r, o, "a", "{}", 10);
    send(&r, o, "a", "{}", -1);
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
    struct op *o = start(&r, &n);
    rig_time(&r, o, 14);
    send(&r, o, "a", "{}", 9);
    assert_int_equal(r.drops[DROP_LATE], 0);
    rig_time(&r, o, 15);
    send(&r, o, "a", "{}", 9);
    assert_int_equal(r.drops[DROP_LATE], 1);
    send(&r, o, NULL, "{}", 20);
    send(&r, o, "a", NULL, 20);
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
        send(r, o, "k", "{}", times[i]);
    }
}

static void test_window_close(void **state)
{
    (void)state;
    static const int64_t a[] = {0, 1, 2, 1, 0, 5, 0, -1};
    struct rig r;
    rig_init(&r);
    struct node n = window_node(2, 1, EMIT_CLOSE);
    struct op *o = start(&r, &n);
    sequence(&r, o, a);
    assert_int_equal(r.drops[DROP_LATE], 1);
    rig_expect(&r, "k@1 {\"key\":\"k\",\"window_start\":0,\"window_end\":2,\"n\":4}\n"
                   "k@2 {\"key\":\"k\",\"window_start\":2,\"window_end\":4,\"n\":1}");
    rig_release(&r);

    static const int64_t b[] = {0, 1, 2, 0, 3, 0, 4, 0, 30, -1};
    rig_init(&r);
    n = window_node(2, 2, EMIT_CLOSE);
    o = start(&r, &n);
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
    struct op *o = start(&r, &n);
    send(&r, o, "zz", "{}", 12);
    send(&r, o, "b", "{}", 11);
    rig_commit(&r);
    send(&r, o, "aaa", "{}", 3);
    send(&r, o, "b", "{}", 3);
    rig_commit(&r);
    send(&r, o, "aa", "{}", 13);
    send(&r, o, "", "{}", 2);
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
    struct op *o = start(&r, &n);
    rig_time(&r, o, 12);
    send(&r, o, "k", "{}", 12);
    rig_time(&r, o, INT64_MAX);
    rig_commit(&r);
    rig_crash(&r);
    r.ctx.watermark = 12; // what the task's own mark says
    o = start(&r, &n);
    rig_restored(&r);
    send(&r, o, "k", "{}", 19);
    assert_int_equal(r.drops[DROP_LATE], 1);
    send(&r, o, "k", "{}", 20);
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
    send(&r, o, "k", "{}", 3);
    rig_time(&r, o, 15);
    send(&r, o, "k", "{}", 15);
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
    send(&r, o, "a", "{}", 1);
    send(&r, o, "b", "{}", 1);
    send(&r, o, "c", "{}", 1);
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
    struct op *o = start(&r, &n);
    for (int64_t t = 0; t < 100; t += 5) {
        rig_time(&r, o, t);
        send(&r, o, "a", "{}", t);
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
    o = start(&r, &n);
    rig_restored(&r);
    send(&r, o, "a", "{}", 99);
    assert_string_equal(r.out[r.out_n - 1],
                        "a@99 {\"key\":\"a\",\"window_start\":90,\"window_end\":100,\"n\":3}");
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
    struct op *o = start(&r, &n);
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
        send(&r, o, key, "{}", t);
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
    send(r, o, in->key, in->json, in->time);
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
    rig_fn(&a, 0, fold_body);
    rig_fn(&b, 0, fold_body);
    b.cache_bytes = 1000;
    struct op *o = start(&a, n);
    for (int i = 0; i < N; i++)
        feed(&a, o, &in[i]);
    rig_time(&a, o, INT64_MAX);
    o = start(&b, n);
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
            o = start(&b, n);
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
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct node n = agg_node(kinds[seed % ARRAY_COUNT(kinds)], "x");
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
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_sum_any_order),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused_nodes),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_window_bounds),
        cmocka_unit_test(test_window_grace),
        cmocka_unit_test(test_window_close),
        cmocka_unit_test(test_close_order),
        cmocka_unit_test(test_after_the_end),
        cmocka_unit_test(test_window_behind_window),
        cmocka_unit_test(test_close_goes_on),
        cmocka_unit_test(test_closed_leaves_the_store),
        cmocka_unit_test(test_random_windows),
        cmocka_unit_test(test_disturbed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
