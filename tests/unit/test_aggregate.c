// SPDX-License-Identifier: Apache-2.0
//
// Aggregates without a window: what each kind answers, what it refuses, what its rows keep.
#include "base/prng.h"
#include "op_rig.h"

// --- without a window

static void test_count(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = rig_agg(AGG_COUNT, NULL);
    n.by = "user";
    struct op *o = rig_start(&r, &n);
    rig_must(&r, o, "a", "{}", 5);
    rig_must(&r, o, "b", "{}", 6);
    rig_must(&r, o, "a", "{}", 3);
    rig_must(&r, o, NULL, "{}", 7);
    rig_must(&r, o, "a", NULL, 8);
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
    struct node n = rig_agg(AGG_SUM, "x");
    struct op *o = rig_start(&r, &n);
    rig_must(&r, o, "a", "{\"x\":9007199254740993}", 1);
    rig_must(&r, o, "a", "{\"x\":2}", 1);
    rig_must(&r, o, "a", "{\"x\":null}", 1);
    rig_must(&r, o, "a", "{}", 1);
    rig_must(&r, o, "b", "{\"x\":0.1}", 1);
    rig_must(&r, o, "b", "{\"x\":0.2}", 1);
    rig_must(&r, o, "b", "{\"x\":1}", 1);
    rig_must(&r, o, "c", "{\"x\":9223372036854775807}", 1);
    rig_must(&r, o, "c", "{\"x\":1}", 1); // beyond 64 bits
    assert_int_equal(rig_send(&r, o, "a", "{\"x\":\"text\"}", 1), -1);
    assert_non_null(strstr(r.err.text, "field 'x' needs a number; this record's is string"));
    rig_must(&r, o, "a", "{\"x\":1}", 1);
    assert_int_equal(r.drops[DROP_NULL_VALUE], 2);
    rig_expect(&r, "a@1 {\"key\":\"a\",\"sum\":9007199254740993}\n"
                   "a@1 {\"key\":\"a\",\"sum\":9007199254740995}\n"
                   "b@1 {\"key\":\"b\",\"sum\":0.1}\n"
                   "b@1 {\"key\":\"b\",\"sum\":0.30000000000000004}\n"
                   "b@1 {\"key\":\"b\",\"sum\":1.3}\n"
                   "c@1 {\"key\":\"c\",\"sum\":9223372036854775807}\n"
                   "c@1 {\"key\":\"c\",\"sum\":9.223372036854776e+18}\n"
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
            struct node n = rig_agg(kind == 0 ? AGG_SUM : AGG_MEAN, "x");
            struct op *o = rig_start(&r, &n);
            for (int i = 0; i < 200; i++) {
                rig_must(&r, o, "a", json[i], 1);
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
    struct node n = rig_agg(kind, "x");
    n.as = "v";
    struct op *o = rig_start(&r, &n);
    char json[64];
    for (int i = 0; values[i] != NULL; i++) {
        snprintf(json, sizeof(json), "{\"x\":%s}", values[i]);
        rig_must(&r, o, "a", json, 10 - i % 3);
        rig_commit(&r);
        rig_crash(&r); // everything has to be in the row
        o = rig_start(&r, &n);
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
    struct node n = rig_agg(AGG_STDDEV, "x");
    rig_ctx(&r, &n, &b);
    assert_int_equal(op_build(&b, &o, &s, &r.err), -1);
    assert_int_equal(r.err.code, ERR_UNSUPPORTED);
    n = rig_agg(AGG_SUM, NULL);
    assert_int_equal(op_build(&b, &o, &s, &r.err), -1);
    n = rig_agg(AGG_FOLD, NULL); // function 0 does not exist
    assert_int_equal(op_build(&b, &o, &s, &r.err), -1);
    assert_int_equal(r.err.code, ERR_INVALID);
    rig_release(&r);
}

static void test_fold(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, rig_fold);
    struct node n = rig_agg(AGG_FOLD, NULL);
    n.init = value_int(0);
    struct op *o = rig_start(&r, &n);
    rig_must(&r, o, "a", "{\"x\":1}", 1);
    assert_int_equal(rig_send(&r, o, "a", "{\"x\":13}", 2), -1);
    assert_ptr_equal(r.ctx.failed, o);
    assert_int_equal(rig_send(&r, o, "a", "{\"x\":0}", 2), -1);
    assert_non_null(strstr(r.err.text, "returned nothing"));
    assert_int_equal(rig_send(&r, o, "new", "{\"x\":13}", 2), -1);
    rig_must(&r, o, "a", "{\"x\":2}", 3);
    rig_commit(&r);
    rig_crash(&r);
    o = rig_start(&r, &n);
    rig_restored(&r);
    rig_must(&r, o, "a", "{\"x\":3}", 2);
    rig_must(&r, o, "new", "{\"x\":4}", 2);
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
    int64_t v = args[1].kind == FN_VALUE ? args[1].value->i : rig_int(args[1].msg, "x");
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
    struct node n = rig_agg(AGG_REDUCE, "x");
    struct op *o = rig_start(&r, &n);
    for (int i = 1; i <= 3; i++) {
        char json[16];
        snprintf(json, sizeof(json), "{\"x\":%d}", i);
        rig_must(&r, o, "a", json, i);
    }
    rig_expect(&r, "a@1 {\"key\":\"a\",\"reduce\":1}\na@2 {\"key\":\"a\",\"reduce\":12}\n"
                   "a@3 {\"key\":\"a\",\"reduce\":123}");
    rig_free_ops(&r);
    n.agg_field = NULL; // whole records; the first one is the start
    n.name = "whole";
    o = rig_start(&r, &n);
    rig_must(&r, o, "a", "{\"x\":4}", 1);
    rig_must(&r, o, "a", "{\"x\":5}", 1);
    rig_expect(&r, "a@1 {\"x\":4}\na@1 {\"key\":\"a\",\"reduce\":45}");
    rig_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count),         cmocka_unit_test(test_sum),
        cmocka_unit_test(test_sum_any_order), cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refused_nodes), cmocka_unit_test(test_fold),
        cmocka_unit_test(test_reduce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
