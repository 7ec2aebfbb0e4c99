// SPDX-License-Identifier: Apache-2.0
//
// Features, one behaviour at a time: holding and lateness, records that cannot be used, lag at
// arrival, rows of busy days, expiry, other fields than were stored, refusals, hard numbers.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "features_rig.h"

#define SPAN (4 * INT64_C(86400000)) // FEATURE_SPAN_MS, as stored rows have it

struct simple {
    struct frig rig;
    char text[4096];
};

// Each output as "time:f1,f2…;".
static void note(struct frig *r, const struct msg *m)
{
    struct simple *s = r->arg;
    struct buf b = {0};
    buf_printf(&b, "%lld:", (long long)m->time);
    for (uint32_t o = 0; o < r->node.features_count * r->node.windows_count; o++) {
        struct value v;
        uint32_t w = r->node.windows_count;
        doc_get(m->doc, &r->node.features[o / w].outputs[o % w], &v, &r->err);
        buf_str(&b, o == 0 ? "" : ",");
        value_to_json(&v, &b);
    }
    struct field_ref lag = field_ref_of(slice_str("watermark_lag"), NULL);
    struct value v;
    if (doc_has(m->doc, &lag, &r->err) && doc_get(m->doc, &lag, &v, &r->err) == 0) {
        buf_str(&b, "|");
        value_to_json(&v, &b);
    }
    buf_str(&b, ";");
    strncat(s->text, (const char *)b.p, b.n);
    buf_release(&b);
}

static int simple_send(struct simple *s, const char *key, const char *json, int64_t time,
                       int64_t offset, bool replay)
{
    struct frig *r = &s->rig;
    struct doc doc;
    char padded[512] = {0};
    arena_reset(&r->arena);
    if (json != NULL)
        snprintf(padded, sizeof(padded) - REC_PADDING, "%s", json);
    struct rec rec = {.time = time, .offset = offset, .value = slice_str(padded)};
    struct msg m = {.time = time,
                    .doc = json == NULL ? NULL : &doc,
                    .rec = &rec,
                    .topic = "in",
                    .replay = replay,
                    .origin = {1, 0, offset, 0}};
    if (key != NULL)
        m.key = slice_str(key);
    doc_open(&doc, r->doc_ctx, &r->arena, r->json, rec.value);
    int rc = r->op->ops->process(r->op, &r->ctx, &m);
    memset(padded, 'x', sizeof(padded));
    return rc;
}

static const struct frig_entry simple_entries[] = {{"n", AGG_COUNT, NULL, 0},
                                                   {"sum", AGG_SUM, "a", 0}};
static struct window_spec simple_window[] = {{"10ms", 10}};

static void simple_start(struct simple *s, enum emit_mode emit)
{
    memset(s, 0, sizeof(*s));
    frig_init(&s->rig, note, s, 1 << 20);
    frig_node(&s->rig, "f", simple_entries, 2, simple_window, 1);
    s->rig.node.emit = emit;
    assert_int_equal(frig_build(&s->rig), 0);
}

static void expect(struct simple *s, const char *want)
{
    assert_string_equal(s->text, want);
    s->text[0] = 0;
}

static void test_hold(void **state)
{
    (void)state;
    struct simple s;
    struct buf saved = {0};
    simple_start(&s, EMIT_EVENT);
    struct op *o = s.rig.op;
    simple_send(&s, "k", "{\"a\":1}", 100, 0, false);
    simple_send(&s, "k", "{\"a\":2}", 95, 1, false);
    simple_send(&s, "k", "{\"a\":4}", 100, 2, false);
    simple_send(&s, "k", "{\"a\":8}", 105, 3, false);
    expect(&s, "");
    assert_int_equal(o->ops->held_offset(o, 0), 0);
    assert_true(o->ops->held_offset(o, 1) == INT64_MAX);
    frig_advance(&s.rig, 100); // not those at 100
    expect(&s, "95:1,2;");
    o->ops->save(o, &saved);
    frig_advance(&s.rig, 101);
    expect(&s, "100:2,3;100:3,7;");
    assert_int_equal(o->ops->held_offset(o, 0), 3);
    simple_send(&s, "k", "{\"a\":16}", 100, 4, false);
    assert_int_equal(s.rig.drops[DROP_LATE], 1);
    // Abort: back to watermark 100, with what was below it committed.
    store_dropped(s.rig.store);
    op_reset_tree(o);
    s.rig.ctx.watermark = INT64_MIN;
    assert_int_equal(o->ops->load(o, buf_slice(&saved), &s.rig.err), 0);
    for (int i = 0; i < 2; i++)
        simple_send(&s, "k", i == 0 ? "{\"a\":1}" : "{\"a\":2}", i == 0 ? 100 : 95, i, true);
    simple_send(&s, "k", "{\"a\":1}", 99, 5, false);
    assert_int_equal(s.rig.drops[DROP_LATE], 2); // the replayed one at 95 was none
    frig_advance(&s.rig, INT64_MAX);
    expect(&s, "100:1,1;");
    // The end counts as the last record's time.
    simple_send(&s, "k", "{\"a\":1}", 100, 6, false);
    simple_send(&s, "k", "{\"a\":1}", 99, 7, false);
    assert_int_equal(s.rig.drops[DROP_LATE], 3);
    buf_release(&saved);
    frig_release(&s.rig);
}

static void test_unusable(void **state)
{
    (void)state;
    struct simple s;
    simple_start(&s, EMIT_EVENT);
    simple_send(&s, NULL, "{\"a\":1}", 1, 0, false);
    simple_send(&s, "k", NULL, 1, 1, false);
    assert_int_equal(s.rig.drops[DROP_NULL_KEY], 1);
    assert_int_equal(s.rig.drops[DROP_NULL_VALUE], 1);
    simple_send(&s, "k", "{\"a\":\"text\"}", 1, 2, false);
    simple_send(&s, "k", "{\"a\":", 1, 3, false);
    simple_send(&s, "k", "{}", 1, 4, false);
    frig_advance(&s.rig, 10);
    assert_int_equal(s.rig.aside, 2); // set aside, and the next one does not count them
    expect(&s, "1:1,0;");
    frig_release(&s.rig);
    simple_start(&s, EMIT_ARRIVAL);
    assert_int_equal(simple_send(&s, "k", "{\"a\":\"text\"}", 1, 0, false), -1);
    assert_non_null(strstr(s.rig.err.text, "sum of field 'a' needs a number"));
    simple_send(&s, "k", "{\"a\":3}", 1, 1, false);
    expect(&s, "1:1,3|null;");
    frig_release(&s.rig);
}

static void test_arrival_lag_and_late(void **state)
{
    (void)state;
    struct simple s;
    simple_start(&s, EMIT_ARRIVAL);
    int64_t t = 864000000;
    simple_send(&s, "k", "{\"a\":1}", t, 0, false);
    expect(&s, "864000000:1,1|null;");
    frig_advance(&s.rig, t);
    simple_send(&s, "k", "{\"a\":2}", t + 7, 1, false);
    simple_send(&s, "k", "{\"a\":4}", t - 5, 2, false);
    expect(&s, "864000007:2,3|7;863999995:1,4|0;");
    simple_send(&s, "k", "{\"a\":4}", t - SPAN, 3, false); // its window may be incomplete
    assert_int_equal(s.rig.drops[DROP_LATE], 1);
    expect(&s, "");
    frig_release(&s.rig);
}

// A busy span takes several rows; one changed event rewrites from its part on only.
static void test_parts(void **state)
{
    (void)state;
    struct simple s;
    struct store_stats before, after;
    simple_start(&s, EMIT_ARRIVAL);
    for (int i = 0; i < 1000; i++) {
        simple_send(&s, "k", "{\"a\":1}", 1000 + i * 2, i, false);
        s.text[0] = 0;
    }
    frig_flush(&s.rig);
    frig_apply(&s.rig);
    store_stats(s.rig.store, &before);
    assert_int_equal(before.rows_put, 8);
    simple_send(&s, "k", "{\"a\":1}", 3001, 1000, false);
    frig_flush(&s.rig);
    frig_apply(&s.rig);
    store_stats(s.rig.store, &after);
    assert_int_equal(after.rows_put, 9);
    simple_send(&s, "k", "{\"a\":1}", 2001, 1001, false); // event 501: parts 3 to 7
    frig_flush(&s.rig);
    frig_apply(&s.rig);
    store_stats(s.rig.store, &after);
    assert_int_equal(after.rows_put, 14);
    s.text[0] = 0;
    store_clear(s.rig.store);
    simple_send(&s, "k", "{\"a\":1}", 2003, 1002, false);
    expect(&s, "2003:7,7|null;"); // 1994 … 2002 by twos, 2001 and itself
    // Beyond reach: all parts go.
    simple_send(&s, "k", "{\"a\":1}", 3 * SPAN, 1003, false);
    frig_advance(&s.rig, 3 * SPAN);
    simple_send(&s, "k", "{\"a\":1}", 3 * SPAN, 1004, false);
    frig_flush(&s.rig);
    store_stats(s.rig.store, &after);
    assert_int_equal(after.rows_deleted, 8);
    frig_apply(&s.rig);
    frig_release(&s.rig);
}

static void test_sweep(void **state)
{
    (void)state;
    struct simple s;
    struct store_stats stats;
    simple_start(&s, EMIT_EVENT);
    for (int i = 0; i < 50; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        simple_send(&s, key, "{\"a\":1}", i < 25 ? 5 : SPAN + 5, i, false);
    }
    frig_advance(&s.rig, SPAN + 6);
    frig_flush(&s.rig);
    frig_apply(&s.rig);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(store_sweep(s.rig.store, 2 * SPAN + 8, 7, &s.rig.err), 0);
        frig_flush(&s.rig);
        frig_apply(&s.rig);
    }
    store_stats(s.rig.store, &stats);
    assert_int_equal(stats.rows_deleted, 25); // span 1 reaches 2 * SPAN + 8
    assert_int_equal(stats.cells, 25);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(
            store_sweep(s.rig.store, i < 5 ? INT64_MAX : 2 * SPAN + 9, 100, &s.rig.err), 0);
        frig_flush(&s.rig);
        frig_apply(&s.rig);
        store_stats(s.rig.store, &stats);
        assert_int_equal(stats.rows_deleted, i < 5 ? 25 : 50);
    }
    frig_release(&s.rig);
}

// Other fields are asked for than were stored: what is there is found by name.
static void test_other_fields(void **state)
{
    (void)state;
    static const struct frig_entry now[] = {{"b", AGG_SUM, "b", 0}, {"a", AGG_SUM, "a", 0}};
    struct simple s;
    simple_start(&s, EMIT_EVENT);
    simple_send(&s, "k", "{\"a\":1,\"b\":10}", 1, 0, false);
    frig_advance(&s.rig, 2);
    frig_flush(&s.rig);
    frig_apply(&s.rig);
    frig_unbuild(&s.rig);
    frig_node(&s.rig, "f", now, 2, simple_window, 1);
    assert_int_equal(frig_build(&s.rig), 0);
    simple_send(&s, "k", "{\"a\":2,\"b\":20}", 2, 1, false);
    s.text[0] = 0;
    frig_advance(&s.rig, 3);
    expect(&s, "2:20,3;");
    frig_release(&s.rig);
}

static void refused(enum agg_kind kind, const char *field, int64_t size, const char *why)
{
    struct frig_entry e[] = {{"x", kind, field, 0}};
    struct window_spec w[] = {{"w", size}};
    struct simple s;
    memset(&s, 0, sizeof(s));
    frig_init(&s.rig, note, &s, 1000);
    frig_node(&s.rig, "f", e, 1, w, 1);
    assert_int_equal(frig_build(&s.rig), -1);
    assert_non_null(strstr(s.rig.err.text, why));
    frig_release(&s.rig);
}

static void test_refused(void **state)
{
    (void)state;
    refused(AGG_FOLD, "a", 10, "cannot take back");
    refused(AGG_SUM, NULL, 10, "names no field");
    refused(AGG_COUNT, NULL, 0, "window above 0");
}

// Numbers that cannot be squared, sums beyond 64 bits, constants.
static void test_hard_numbers(void **state)
{
    (void)state;
    static const struct frig_entry e[] = {
        {"sum", AGG_SUM, "a", 0}, {"mean", AGG_MEAN, "a", 0}, {"sd", AGG_STDDEV, "a", 0}};
    static struct window_spec w[] = {{"w", 3}};
    // Values worked out by hand and with 50 digits elsewhere, rounded.
    static const struct {
        const char *json, *want;
    } steps[] = {{"{\"a\":29.27}", "1:29.27,29.27,null;"},
                 {"{\"a\":29.27}", "2:58.54,29.27,0;"},
                 {"{\"a\":29.27}", "3:87.81,29.27,0;"},
                 {"{\"a\":1e300}", "4:1e+300,3.3333333333333335e+299,5.773502691896258e+299;"},
                 {"{\"a\":null}", "5:1e+300,5e+299,7.071067811865476e+299;"},
                 {"{\"a\":-1e300}", "6:0,0,1.4142135623730952e+300;"},
                 {"{\"a\":9007199254740993}", NULL},
                 {"{\"a\":9223372036854775807}", NULL},
                 {"{\"a\":9223372036854775807}",
                  "9:1.8455751272964293e+19,6.151917090988098e+18,5.319916019399803e+18;"},
                 {"{\"a\":0.1}", NULL},
                 {"{\"a\":0.2}", NULL},
                 {"{\"a\":0.3}", "12:0.6,0.19999999999999998,0.09999999999999999;"}};
    struct simple s;
    memset(&s, 0, sizeof(s));
    frig_init(&s.rig, note, &s, 1 << 20);
    frig_node(&s.rig, "f", e, 3, w, 1);
    s.rig.node.emit = EMIT_EVENT;
    assert_int_equal(frig_build(&s.rig), 0);
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        simple_send(&s, "k", steps[i].json, (int64_t)i + 1, (int64_t)i, false);
        s.text[0] = 0;
        frig_advance(&s.rig, (int64_t)i + 2);
        if (steps[i].want != NULL)
            assert_string_equal(s.text, steps[i].want);
    }
    frig_release(&s.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_unusable),
        cmocka_unit_test(test_arrival_lag_and_late),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_other_fields),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hard_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
