// SPDX-License-Identifier: Apache-2.0
//
// Stateless operators, tables and joins, each with C functions in the place of a script's.
#include "base/prng.h"
#include "op_rig.h"

static struct node make(enum node_kind kind, const char *name)
{
    return (struct node){.kind = kind,
                         .name = name,
                         .where = "test.lua:1",
                         .fn = 0,
                         .key_format = FORMAT_STRING,
                         .max_out_of_order_ms = 0};
}

static struct value get(const struct msg *m, const char *name)
{
    struct field_ref f = rig_field(name);
    struct value v;
    struct err e;
    if (doc_get(m->doc, &f, &v, &e) != 0)
        fail_msg("%s", e.text);
    return v;
}

static void set(const struct msg *m, const char *name, struct value v)
{
    struct field_ref f = rig_field(name);
    doc_set(m->doc, &f, &v);
}

static struct value map1(struct arena *a, const char *key, struct value v)
{
    struct value m = {.type = VALUE_MAP, .count = 1};
    m.items = arena_alloc(a, sizeof(*m.items));
    m.keys = arena_alloc(a, sizeof(*m.keys));
    m.items[0] = v;
    m.keys[0] = slice_str(key);
    return m;
}

#define BODY(name)                                                                                 \
    static int name(const struct fn_arg *args, uint32_t n, struct arena *arena, struct value *out, \
                    bool *same, struct err *e)
#define UNUSED ((void)args, (void)n, (void)arena, (void)out, (void)same, (void)e)

BODY(big)
{
    UNUSED;
    struct value v = get(args[0].msg, "a");
    if (v.type == VALUE_STRING)
        return err_set(e, ERR_SCRIPT, "test.lua:1: a is text");
    *out = value_bool(v.type == VALUE_INT && v.i > 10);
    return 0;
}

static void test_filter(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, big);
    struct node n = make(NODE_FILTER, "filter-1");
    struct op *o = rig_build(&r, &n, NULL, NULL);
    struct op *p = rig_probe(&r, o);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":11}", 1), 0);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":10}", 2), 0);
    assert_int_equal(rig_send(&r, o, "k", NULL, 3), 0);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":\"x\"}", 4), -1);
    assert_ptr_equal(r.ctx.failed, o);
    assert_string_equal(r.err.text, "test.lua:1: a is text");
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":12}", 5), 0);
    rig_expect(&r, "k@1 {\"a\":11}\nk@3 null\nk@5 {\"a\":12}");
    assert_int_equal(o->records_out, 3);
    assert_int_equal(p->records_in, 3);
    rig_release(&r);
}

BODY(map_body)
{
    UNUSED;
    const struct msg *m = args[0].msg;
    struct value a = get(m, "a");
    switch (a.i) {
    case 0: // nothing
        return 0;
    case 1: // the record itself, changed
        set(m, "b", value_int(7));
        *same = true;
        return 0;
    case 2:
        *out = map1(arena, "new", value_string(slice_str("x")));
        return 0;
    case 3:
        *out = (struct value){.type = VALUE_LIST, .count = 1, .items = arena_alloc(arena, 64)};
        out->items[0] = value_int(1);
        return 0;
    default:
        *out = (struct value){.type = VALUE_LIST};
        return 0;
    }
}

static void test_map(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, map_body);
    struct node n = make(NODE_MAP, "map-1");
    struct op *o = rig_build(&r, &n, NULL, NULL);
    rig_probe(&r, o);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":0}", 1), -1);
    assert_non_null(strstr(r.err.text, "returned nothing"));
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":1,\"b\":2}", 2), 0);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":2}", 3), 0);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":3}", 4), -1);
    assert_non_null(strstr(r.err.text, "list"));
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":4}", 5), 0);
    assert_int_equal(rig_send(&r, o, "k", NULL, 6), 0);
    rig_expect(&r, "k@2 {\"a\":1,\"b\":7}\nk@3 {\"new\":\"x\"}\nk@5 {}\nk@6 null");
    rig_release(&r);
}

BODY(twice)
{
    UNUSED;
    *out = value_int(get(args[0].msg, "a").i * 2);
    return 0;
}

BODY(plus_b)
{
    UNUSED;
    *out = value_int(get(args[0].msg, "a").i + get(args[0].msg, "b").i);
    return 0;
}

// Two branches behind one operator: what one sets the other does not see.
static void test_with_on_branches(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, twice);
    rig_fn(&r, 1, plus_b);
    struct node n = make(NODE_WITH, "with-1"), root = make(NODE_WITH, "with-0");
    root.with = calloc(1, sizeof(*root.with));
    root.with[0].field = rig_field("a");
    root.with[0].fn = 0;
    root.with_count = 1;
    n.with = calloc(2, sizeof(*n.with));
    n.with[0].field = rig_field("b");
    n.with[0].fn = 0;
    n.with[1].field = rig_field("c");
    n.with[1].fn = 1;
    n.with_count = 2;
    struct op *top = rig_build(&r, &root, NULL, NULL);
    rig_probe(&r, top);
    rig_probe(&r, rig_build(&r, &n, top, NULL));
    rig_probe(&r, top);
    assert_int_equal(rig_send(&r, top, "k", "{\"a\": 1.0, \"a\":2, \"x\":\"\\u00e9\"}", 1), 0);
    assert_int_equal(rig_send(&r, top, "k", NULL, 2), 0);
    rig_expect(&r, "k@1 {\"a\":4,\"x\":\"\\u00e9\"}\n"
                   "k@1 {\"a\":4,\"x\":\"\\u00e9\",\"b\":8,\"c\":12}\n"
                   "k@1 {\"a\":4,\"x\":\"\\u00e9\"}\n"
                   "k@2 null\nk@2 null\nk@2 null");
    free(n.with);
    free(root.with);
    rig_release(&r);
}

static uint32_t peeks;

BODY(peek_body)
{
    UNUSED;
    peeks++;
    set(args[0].msg, "a", value_int(99));
    return 0;
}

static void test_peek(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, peek_body);
    struct node n = make(NODE_PEEK, "peek-1");
    struct op *o = rig_build(&r, &n, NULL, NULL);
    rig_probe(&r, o);
    peeks = 0;
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":1}", 1), 0);
    assert_int_equal(peeks, 1);
    rig_expect(&r, "k@1 {\"a\":1}");
    rig_release(&r);
}

BODY(key_body)
{
    UNUSED;
    *out = get(args[0].msg, "a");
    return 0;
}

static void check_key_by(struct rig *r, struct node *n)
{
    struct op *o = rig_build(r, n, NULL, NULL);
    rig_probe(r, o);
    memset(r->drops, 0, sizeof(r->drops));
    assert_int_equal(rig_send(r, o, "k", "{\"a\":12}", 1), 0);
    assert_int_equal(rig_send(r, o, NULL, "{\"a\":\"x y\"}", 2), 0);
    assert_int_equal(rig_send(r, o, "k", "{\"a\":\"\"}", 3), 0);
    assert_int_equal(rig_send(r, o, "k", "{\"a\":null}", 4), 0);
    assert_int_equal(rig_send(r, o, "k", "{\"b\":1}", 5), 0);
    assert_int_equal(rig_send(r, o, "k", NULL, 6), 0);
    assert_int_equal(rig_send(r, o, "k", "{\"a\":1.5}", 7), 0);
    rig_expect(r, "12@1 {\"a\":12}\nx y@2 {\"a\":\"x y\"}\n@3 {\"a\":\"\"}\n1.5@7 {\"a\":1.5}");
    assert_int_equal(r->drops[DROP_NULL_KEY], 2);
    assert_int_equal(r->drops[DROP_NULL_VALUE], 1);
    rig_free_ops(r);
}

static void test_key_by(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, key_body);
    struct node n = make(NODE_KEY_BY, "key_by-1");
    check_key_by(&r, &n); // a function
    n.by = "a";
    check_key_by(&r, &n); // a field
    n.key_format = FORMAT_LONG;
    struct op *o = rig_build(&r, &n, NULL, NULL);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":12}", 1), 0);
    assert_int_equal(rig_send(&r, o, "k", "{\"a\":\"x\"}", 1), -1);
    rig_release(&r);
}

static int emit_carried(struct op_ctx *ctx, uint32_t output, const struct msg *m,
                        struct slice value)
{
    struct rig *r = ctx->task;
    const struct codec *codec = r->json;
    struct codec_set set = {.codecs = &codec, .count = 1};
    struct doc d;
    struct msg opened = *m;
    assert_int_equal(output, 3);
    assert_int_equal(doc_open_carried(&d, r->doc_ctx, &r->arena, &set, value, &r->err), 0);
    opened.doc = &d;
    assert_int_equal(get(&opened, "a").i, 12);
    return 0;
}

static void test_to(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = make(NODE_TO, "to-1");
    struct build_ctx b;
    struct op *plain, *carried;
    rig_ctx(&r, &n, &b);
    b.output = 3;
    assert_int_equal(op_to_new(&b, &plain, &r.err), 0);
    b.carried = true;
    b.output_codec = NULL;
    assert_int_equal(op_to_new(&b, &carried, &r.err), 0);
    assert_int_equal(rig_send(&r, plain, "k", "{\"a\":12}", 1), 0);
    assert_int_equal(rig_send(&r, plain, "k", NULL, 2), 0);
    assert_int_equal(rig_send(&r, carried, "k", NULL, 3), 0);
    rig_expect(&r, "out3 k@1 {\"a\":12}\nout3 k@2 null\nout3 k@3 null");
    b.carried = false;
    struct op *none = NULL;
    assert_int_equal(op_to_new(&b, &none, &r.err), -1);
    r.ctx.emit = emit_carried;
    assert_int_equal(rig_send(&r, carried, "k", "{\"a\":12}", 4), 0);
    op_free_tree(plain);
    op_free_tree(carried);
    rig_release(&r);
}

// Replayed records pass stateless operators without effects and stop at the others.
static void test_replay(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    rig_fn(&r, 0, peek_body);
    struct node peek = make(NODE_PEEK, "peek-1"), to = make(NODE_TO, "to-1");
    struct node key = make(NODE_KEY_BY, "key_by-1");
    key.by = "nothing";
    struct op *o = rig_build(&r, &peek, NULL, NULL);
    rig_build(&r, &to, o, NULL);
    rig_build(&r, &key, o, NULL);
    peeks = 0;
    struct doc d;
    doc_empty(&d, r.doc_ctx, &r.arena);
    struct msg m = {.doc = &d, .replay = true};
    assert_int_equal(o->ops->process(o, &r.ctx, &m), 0);
    assert_int_equal(peeks, 0);
    assert_int_equal(r.drops[DROP_NULL_KEY], 0);
    rig_expect(&r, "");
    rig_release(&r);
}

// --- tables

static void test_table(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    struct node n = make(NODE_TABLE, "prices");
    n.codec = r.json;
    n.topic = "prices";
    struct op *t = rig_build(&r, &n, NULL, NULL);
    rig_probe(&r, t);
    assert_int_equal(rig_send(&r, t, NULL, "{\"p\":1}", 1), 0);
    assert_int_equal(r.drops[DROP_NULL_KEY], 1);
    assert_int_equal(rig_send(&r, t, "a", NULL, 2), 0); // nothing to delete
    assert_int_equal(rig_send(&r, t, "a", "{\"p\":1}", 3), 0);
    assert_int_equal(rig_send(&r, t, "a", "{\"p\":2}", 1), 0); // arrival decides, not time
    assert_int_equal(rig_send(&r, t, "b", "{\"p\":3}", 4), 0);
    assert_int_equal(rig_send(&r, t, "b", NULL, 5), 0);
    assert_int_equal(rig_send(&r, t, "b", NULL, 6), 0);
    rig_expect(&r, "a@3 {\"p\":1}\na@1 {\"p\":2}\nb@4 {\"p\":3}\nb@5 null");
    rig_commit(&r);
    rig_crash(&r);
    t = rig_build(&r, &n, NULL, NULL);
    struct doc d;
    int64_t time = 0;
    assert_int_equal(op_table_get(t, &r.ctx, slice_str("a"), &d, &time), 1);
    assert_int_equal(time, 1);
    struct field_ref f = rig_field("p");
    struct value v;
    assert_int_equal(doc_get(&d, &f, &v, &r.err), 0);
    assert_int_equal(v.i, 2);
    assert_int_equal(op_table_get(t, &r.ctx, slice_str("b"), &d, &time), 0);
    rig_release(&r);
}

// --- joins

struct join_rig {
    struct rig r;
    struct node stream, table, join;
    struct op *t, *j;
};

static void join_init(struct join_rig *x, bool left, const char *prefix)
{
    rig_init(&x->r);
    x->stream = make(NODE_STREAM, "s");
    x->table = make(NODE_TABLE, "t");
    x->join = make(NODE_JOIN, "j");
    x->stream.codec = x->table.codec = x->r.json;
    x->table.topic = "t";
    x->join.inputs[0] = &x->stream;
    x->join.inputs[1] = &x->table;
    x->join.inputs_count = 2;
    x->join.left = left;
    x->join.prefix = prefix;
}

static void join_start(struct join_rig *x)
{
    x->t = rig_build(&x->r, &x->table, NULL, NULL);
    x->j = rig_build(&x->r, &x->join, NULL, x->t);
    rig_probe(&x->r, x->j);
}

struct side {
    bool table;
    const char *v; // NULL: null value
    int64_t time;
};

// The stream-table table: only the stream triggers; lookup is the latest by arrival.
static void join_rows(bool left, const char *want)
{
    static const struct side rows[] = {
        {false, "A", 3}, {true, "a", 4},  {false, "B", 5},  {true, "b", 6},   {true, NULL, 8},
        {false, "C", 9}, {true, "c", 10}, {true, NULL, 11}, {true, NULL, 13}, {true, "d", 7},
        {false, "D", 6}, {true, "e", 14}, {false, "E", 15}, {true, NULL, 9},  {false, "F", 4},
    };
    struct join_rig x;
    join_init(&x, left, "t_");
    join_start(&x);
    char json[32];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct side *s = &rows[i];
        if (s->v != NULL)
            snprintf(json, sizeof(json), "{\"v\":\"%s\"}", s->v);
        assert_int_equal(
            rig_send(&x.r, s->table ? x.t : x.j, "k", s->v == NULL ? NULL : json, s->time), 0);
    }
    rig_expect(&x.r, want);
    rig_release(&x.r);
}

static void test_join_rows(void **state)
{
    (void)state;
    join_rows(false, "k@5 {\"v\":\"B\",\"t_v\":\"a\"}\n"
                     "k@6 {\"v\":\"D\",\"t_v\":\"d\"}\n"
                     "k@15 {\"v\":\"E\",\"t_v\":\"e\"}");
    join_rows(true, "k@3 {\"v\":\"A\"}\n"
                    "k@5 {\"v\":\"B\",\"t_v\":\"a\"}\n"
                    "k@9 {\"v\":\"C\"}\n"
                    "k@6 {\"v\":\"D\",\"t_v\":\"d\"}\n"
                    "k@15 {\"v\":\"E\",\"t_v\":\"e\"}\n"
                    "k@4 {\"v\":\"F\"}");
}

static void test_join_nulls(void **state)
{
    (void)state;
    struct field fields[2] = {{.name = "x", .type = FIELD_ANY}, {.name = "y", .type = FIELD_ANY}};
    struct schema schema = {.name = "t", .fields = fields, .count = 2};
    struct join_rig x;
    join_init(&x, true, "t_");
    x.table.schema = &schema; // so a left join without a match knows what is null
    join_start(&x);
    assert_int_equal(rig_send(&x.r, x.j, "k", NULL, 1), 0);
    assert_int_equal(rig_send(&x.r, x.j, NULL, "{\"v\":1}", 2), 0);
    assert_int_equal(rig_send(&x.r, x.t, "k", "{\"y\":5,\"x\":\"q\"}", 3), 0);
    assert_int_equal(rig_send(&x.r, x.j, "k", "{\"v\":2}", 3), 0);
    assert_int_equal(x.r.drops[DROP_NULL_VALUE], 1);
    rig_expect(&x.r, "@2 {\"v\":1,\"t_x\":null,\"t_y\":null}\n"
                     "k@3 {\"v\":2,\"t_y\":5,\"t_x\":\"q\"}");
    rig_release(&x.r);
    join_init(&x, false, "t_");
    join_start(&x);
    assert_int_equal(rig_send(&x.r, x.j, NULL, "{\"v\":1}", 2), 0);
    assert_int_equal(x.r.drops[DROP_NULL_KEY], 1);
    rig_expect(&x.r, "");
    rig_release(&x.r);
}

BODY(merge_body)
{
    UNUSED;
    assert_null(same);
    if (args[1].kind == FN_VALUE) {
        assert_int_equal(args[1].value->type, VALUE_NULL);
        *out = map1(arena, "alone", get(args[0].msg, "v"));
    } else {
        assert_int_equal(args[1].msg->time, 7);
        *out = map1(arena, "both", get(args[1].msg, "p"));
    }
    return 0;
}

static void test_join_fn(void **state)
{
    (void)state;
    struct join_rig x;
    join_init(&x, true, NULL);
    rig_fn(&x.r, 0, merge_body);
    join_start(&x);
    assert_int_equal(rig_send(&x.r, x.j, "k", "{\"v\":1}", 1), 0);
    assert_int_equal(rig_send(&x.r, x.t, "k", "{\"p\":[1,{\"z\":2}]}", 7), 0);
    assert_int_equal(rig_send(&x.r, x.j, "k", "{\"v\":2}", 2), 0);
    rig_expect(&x.r, "k@1 {\"alone\":1}\nk@2 {\"both\":[1,{\"z\":2}]}");
    rig_release(&x.r);
}

// Random table updates and lookups, with commits, aborts and lost state between, against a map.
static void test_join_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct prng p;
        prng_init(&p, seed);
        struct join_rig x;
        join_init(&x, seed % 2 == 0, "t_");
        x.r.cache_bytes = seed % 3 == 0 ? 1 << 20 : 2000;
        join_start(&x);
        int live[20], committed[20];
        memset(live, -1, sizeof(live));
        memcpy(committed, live, sizeof(live));
        char key[8], json[64], want[64];
        for (int i = 0; i < 600; i++) {
            int k = (int)prng_below(&p, 20);
            snprintf(key, sizeof(key), "k%d", k);
            uint64_t what = prng_below(&p, 40);
            if (what == 0) {
                rig_commit(&x.r);
                memcpy(committed, live, sizeof(live));
            } else if (what == 1) {
                rig_abort(&x.r);
                memcpy(live, committed, sizeof(live));
            } else if (what == 2) {
                rig_crash(&x.r);
                join_start(&x);
                rig_restored(&x.r);
                memcpy(live, committed, sizeof(live));
            } else if (what < 20) {
                live[k] = prng_below(&p, 4) == 0 ? -1 : i;
                snprintf(json, sizeof(json), "{\"p\":%d}", i);
                assert_int_equal(rig_send(&x.r, x.t, key, live[k] < 0 ? NULL : json, i), 0);
            } else {
                assert_int_equal(rig_send(&x.r, x.j, key, "{\"v\":1}", i), 0);
                if (live[k] >= 0)
                    snprintf(want, sizeof(want), "%s@%d {\"v\":1,\"t_p\":%d}", key, i, live[k]);
                else
                    snprintf(want, sizeof(want), "%s@%d {\"v\":1}", key, i);
                rig_expect(&x.r, live[k] < 0 && !x.join.left ? "" : want);
            }
        }
        rig_release(&x.r);
    }
}

// --- the graph

static void test_graph_key(void **state)
{
    (void)state;
    struct node s = make(NODE_STREAM, "s"), f = make(NODE_FILTER, "f"), w = make(NODE_WITH, "w");
    struct node k = make(NODE_KEY_BY, "k"), m = make(NODE_MAP, "m");
    s.key_field = "id";
    s.key_format = FORMAT_LONG;
    f.inputs[0] = &s;
    w.inputs[0] = &f;
    k.inputs[0] = &w;
    m.inputs[0] = &k;
    f.inputs_count = w.inputs_count = k.inputs_count = m.inputs_count = 1;
    k.by = "user";
    const char *field;
    enum format format;
    graph_key(&w, &field, &format);
    assert_string_equal(field, "id");
    assert_int_equal(format, FORMAT_LONG);
    w.with = calloc(1, sizeof(*w.with));
    w.with[0].field = rig_field("id");
    w.with_count = 1;
    graph_key(&w, &field, &format);
    assert_null(field);
    graph_key(&k, &field, &format);
    assert_string_equal(field, "user");
    graph_key(&m, &field, &format);
    assert_null(field);
    free(w.with);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),           cmocka_unit_test(test_map),
        cmocka_unit_test(test_with_on_branches), cmocka_unit_test(test_peek),
        cmocka_unit_test(test_key_by),           cmocka_unit_test(test_to),
        cmocka_unit_test(test_replay),           cmocka_unit_test(test_table),
        cmocka_unit_test(test_join_rows),        cmocka_unit_test(test_join_nulls),
        cmocka_unit_test(test_join_fn),          cmocka_unit_test(test_join_random),
        cmocka_unit_test(test_graph_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
