// SPDX-License-Identifier: Apache-2.0
#include "formats_support.h"

#include "base/prng.h"

static const char tx[] = "{\"tx_id\":748066,\"ts\":1529280015000,\"customer_id\":1263,"
                         "\"terminal_id\":145,\"amount\":32.27,\"fraud\":0}";

static struct codec *json(void)
{
    static struct codec *c;
    if (c == NULL)
        assert_int_equal(codec_new(FORMAT_JSON, NULL, &c, &err), 0);
    return c;
}

static struct doc open_json(const char *text)
{
    struct doc d;
    doc_open(&d, ctx, &arena, json(), padded_str(text));
    return d;
}

static void test_get(void **state)
{
    (void)state;
    struct doc d = open_json(tx);
    assert_int_equal(get(&d, "customer_id").i, 1263);
    assert_true(get(&d, "amount").type == VALUE_DOUBLE && get(&d, "amount").d == 32.27);
    assert_int_equal(get(&d, "fraud").type, VALUE_INT);
    assert_int_equal(get(&d, "nothing").type, VALUE_NULL);
    d = open_json(
        " { \"a\" : \"x\\n\\u00e9\" , \"b\":[1, {\"c\":null}] ,\"t\":true,\"\\u0061b\":5 } ");
    assert_slice(get(&d, "a").s, "x\n\xc3\xa9");
    struct value b = get(&d, "b");
    assert_json(&b, "[1,{\"c\":null}]");
    assert_true(get(&d, "t").b);
    assert_int_equal(get(&d, "ab").i, 5);
}

static void test_has_and_remove(void **state)
{
    (void)state;
    struct doc d = open_json("{\"a\":null,\"b\":2}");
    struct field_ref a = ref("a"), b = ref("b"), c = ref("c");
    assert_true(doc_has(&d, &a, &err));
    assert_false(doc_has(&d, &c, &err));
    doc_remove(&d, &b);
    assert_false(doc_has(&d, &b, &err));
    assert_int_equal(get(&d, "b").type, VALUE_NULL);
    assert_encodes(&d, json(), "{\"a\":null}");
    set(&d, "b", value_int(3));
    assert_encodes(&d, json(), "{\"a\":null,\"b\":3}");
    doc_remove(&d, &a);
    doc_remove(&d, &b);
    assert_encodes(&d, json(), "{}");
    set(&d, "c", value_bool(true));
    assert_encodes(&d, json(), "{\"c\":true}");
}

static void test_splice(void **state)
{
    (void)state;
    struct doc d = open_json("{\"a\": 1,  \"b\":\"x\" }  ");
    assert_encodes(&d, json(), "{\"a\": 1,  \"b\":\"x\" }  ");
    set(&d, "m", value_double(1.5));
    set(&d, "q\"", value_string(slice_str("é\n")));
    assert_encodes(&d, json(), "{\"a\": 1,  \"b\":\"x\" ,\"m\":1.5,\"q\\\"\":\"é\\n\"}");
    set(&d, "a", value_null());
    set(&d, "m", value_int(2));
    assert_encodes(&d, json(), "{\"a\": null,  \"b\":\"x\" ,\"m\":2,\"q\\\"\":\"é\\n\"}");
    d = open_json("{}");
    set(&d, "a", value_int(1));
    assert_encodes(&d, json(), "{\"a\":1}");
    d = open_json("\t{ }");
    set(&d, "a", value_int(1));
    assert_encodes(&d, json(), "\t{ \"a\":1}");
}

static void test_repeated_keys(void **state)
{
    (void)state;
    struct doc d = open_json("{\"a\":1,\"b\":2,\"\\u0061\":{\"x\":1,\"x\":2}}");
    struct value a = get(&d, "a");
    assert_json(&a, "{\"x\":2}");
    struct value all;
    assert_int_equal(doc_value(&d, &all, &err), 0);
    assert_json(&all, "{\"b\":2,\"a\":{\"x\":2}}");
    set(&d, "c", value_int(3));
    assert_encodes(&d, json(), "{\"b\":2,\"a\":{\"x\":1,\"x\":2},\"c\":3}");
}

static void test_many_fields(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < 3000; i++)
        buf_printf(&b, "%c\"field_with_a_name_%d\":%d", i == 0 ? '{' : ',', i % 2000, i);
    buf_str(&b, "}");
    struct doc d;
    doc_open(&d, ctx, &arena, json(), padded(buf_slice(&b)));
    for (int i = 0; i < 2000; i++) {
        char name[40];
        snprintf(name, sizeof(name), "field_with_a_name_%d", i);
        assert_int_equal(get(&d, name).i, i < 1000 ? i + 2000 : i);
    }
    struct value all;
    assert_int_equal(doc_value(&d, &all, &err), 0);
    assert_int_equal(all.count, 2000);
    buf_release(&b);
}

static void test_order(void **state)
{
    (void)state;
    struct doc d = open_json("{\"a\":1,\"b\":2,\"c\":3}");
    struct field_ref b = ref("b");
    set(&d, "z", value_int(9));
    set(&d, "a", value_int(7));
    doc_remove(&d, &b);
    set(&d, "y", value_int(8));
    struct value all;
    assert_int_equal(doc_value(&d, &all, &err), 0);
    assert_json(&all, "{\"a\":7,\"c\":3,\"z\":9,\"y\":8}");
    struct slice name;
    struct value v;
    assert_int_equal(doc_field_at(&d, 1, &name, &v, &err), 1);
    assert_slice(name, "c");
    assert_int_equal(doc_field_at(&d, 4, &name, &v, &err), 0);
}

static void test_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1,",
                                      "{\"a\":1,}",
                                      "{\"a\" 1}",
                                      "{a:1}",
                                      "{\"a\":1}}",
                                      "{\"a\":1} x",
                                      "{\"a\":1 2}",
                                      "{\"a\":\"x}",
                                      "{,}",
                                      "{\"a\":,\"b\":1}",
                                      "{\"a\"::1}",
                                      "{\"a\":[1}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\n\"}",
                                      "{\"a\":}"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct doc d = open_json(bad[i]);
        struct field_ref z = ref("zzz");
        struct value v;
        err.code = ERR_NONE;
        if (doc_get(&d, &z, &v, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.code, ERR_CORRUPT);
        assert_non_null(strstr(err.text, "at byte"));
    }
}

static void test_malformed_value(void **state)
{
    (void)state;
    static const char *const bad[] = {"01",  "1.",      "-",     "1e",      "+1",          ".5",
                                      "tru", "nul",     "1x",    "\"\\x\"", "\"\\ud800\"", "[1,]",
                                      "[1}", "{\"x\"}", "truex", "1e999",   "--1",         "NaN"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char text[64];
        snprintf(text, sizeof(text), "{\"good\":1,\"bad\":%s}", bad[i]);
        struct doc d = open_json(text);
        struct field_ref r = ref("bad");
        struct value v;
        if (strchr("]}", bad[i][strlen(bad[i]) - 1]) == NULL)
            assert_int_equal(get(&d, "good").i, 1);
        if (doc_get(&d, &r, &v, &err) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.code, ERR_CORRUPT);
        const char *at = strstr(err.text, "at byte ");
        assert_true(at != NULL && atoi(at + 8) >= 16);
        assert_int_equal(doc_validate(&d, &err), -1);
    }
}

static void test_whole(void **state)
{
    (void)state;
    struct doc d = open_json(" [1,\"a\"] ");
    struct value v;
    assert_int_equal(doc_value(&d, &v, &err), 0);
    assert_json(&v, "[1,\"a\"]");
    assert_int_equal(get(&d, "a").type, VALUE_NULL);
    struct buf b;
    buf_init(&b);
    set(&d, "a", value_int(1));
    assert_int_equal(doc_encode(&d, json(), &b, &err), -1);
    assert_non_null(strstr(err.text, "not a record"));
    struct value seven = value_int(7);
    doc_from_value(&d, ctx, &arena, &seven);
    assert_encodes(&d, json(), "7");
    buf_release(&b);
}

static void test_from_value(void **state)
{
    (void)state;
    struct value v;
    assert_int_equal(value_from_json(slice_str("{\"a\":1,\"b\":[2]}"), &arena, &v, &err), 0);
    struct doc d;
    doc_from_value(&d, ctx, &arena, &v);
    assert_int_equal(get(&d, "a").i, 1);
    set(&d, "c", value_double(0.5));
    assert_encodes(&d, json(), "{\"a\":1,\"b\":[2],\"c\":0.5}");
    doc_empty(&d, ctx, &arena);
    assert_encodes(&d, json(), "{}");
}

static void test_carried(void **state)
{
    (void)state;
    struct codec *avoid = NULL;
    assert_int_equal(codec_new(FORMAT_STRING, NULL, &avoid, &err), 0);
    const struct codec *const codecs[] = {avoid, json()};
    struct codec_set set_of = {codecs, 2};
    struct doc d = open_json("{\"a\":1,\"b\":2}"), again;
    struct field_ref b = ref("b");
    struct buf first, second;
    buf_init(&first);
    buf_init(&second);
    set(&d, "s", value_string(slice_str("text")));
    doc_remove(&d, &b);
    doc_carry(&d, &first);
    assert_int_equal(
        doc_open_carried(&again, ctx, &arena, &set_of, padded(buf_slice(&first)), &err), 0);
    assert_encodes(&again, json(), "{\"a\":1,\"s\":\"text\"}");
    set(&again, "s", value_int(5));
    doc_carry(&again, &second);
    struct doc third;
    assert_int_equal(
        doc_open_carried(&third, ctx, &arena, &set_of, padded(buf_slice(&second)), &err), 0);
    assert_slice(third.raw, "{\"a\":1,\"b\":2}");
    assert_int_equal(third.patches_count, 2);
    assert_encodes(&third, json(), "{\"a\":1,\"s\":5}");
    for (uint32_t n = 0; n < first.n; n++)
        assert_int_equal(
            doc_open_carried(&third, ctx, &arena, &set_of, padded(slice_of(first.p, n)), &err), -1);
    set_of.count = 1;
    assert_int_equal(
        doc_open_carried(&third, ctx, &arena, &set_of, padded(buf_slice(&first)), &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    buf_release(&first);
    buf_release(&second);
    codec_free(avoid);
}

static void test_carried_without_raw(void **state)
{
    (void)state;
    struct codec_set none = {NULL, 0};
    struct doc d, again;
    struct buf b;
    buf_init(&b);
    doc_empty(&d, ctx, &arena);
    set(&d, "x", value_double(2.5));
    doc_carry(&d, &b);
    assert_int_equal(doc_open_carried(&again, ctx, &arena, &none, padded(buf_slice(&b)), &err), 0);
    assert_encodes(&again, json(), "{\"x\":2.5}");
    struct value list;
    assert_int_equal(value_from_json(slice_str("[1,2]"), &arena, &list, &err), 0);
    doc_from_value(&d, ctx, &arena, &list);
    buf_clear(&b);
    doc_carry(&d, &b);
    assert_int_equal(doc_open_carried(&again, ctx, &arena, &none, padded(buf_slice(&b)), &err), 0);
    assert_encodes(&again, json(), "[1,2]");
    buf_release(&b);
}

static void test_primitives(void **state)
{
    (void)state;
    static const uint8_t nine[] = {0, 0, 0, 0, 0, 0, 0, 9};
    enum format formats[] = {FORMAT_LONG, FORMAT_STRING, FORMAT_BYTES, FORMAT_DOUBLE, FORMAT_INT};
    struct codec *c[5];
    for (int i = 0; i < 5; i++)
        assert_int_equal(codec_new(formats[i], NULL, &c[i], &err), 0);
    struct doc d;
    struct value v;
    doc_open(&d, ctx, &arena, c[0], padded(slice_of(nine, 8)));
    assert_int_equal(doc_value(&d, &v, &err), 0);
    assert_int_equal(v.i, 9);
    assert_encodes(&d, c[1], "9");
    assert_encodes(&d, json(), "9");
    struct buf b;
    buf_init(&b);
    assert_int_equal(doc_encode(&d, c[4], &b, &err), 0);
    assert_memory_equal(b.p, nine + 4, 4);
    doc_open(&d, ctx, &arena, c[0], padded(slice_of(nine, 7)));
    assert_int_equal(doc_value(&d, &v, &err), -1);
    doc_open(&d, ctx, &arena, c[1], padded_str("\xff"));
    assert_int_equal(doc_validate(&d, &err), -1);
    d = open_json("{\"a\":1}");
    assert_int_equal(doc_encode(&d, c[1], &b, &err), -1);
    buf_release(&b);
    for (int i = 0; i < 5; i++)
        codec_free(c[i]);
}

static void test_keys(void **state)
{
    (void)state;
    struct doc d = open_json("{\"i\":1263,\"d\":2.5,\"s\":\"x y\",\"n\":null,\"e\":\"\"}");
    struct buf b;
    buf_init(&b);
    struct field_ref i = ref("i"), f = ref("d"), s = ref("s"), n = ref("n"), e = ref("e");
    assert_int_equal(doc_key(&d, &i, FORMAT_STRING, &b, &err), 0);
    assert_slice(buf_slice(&b), "1263");
    assert_int_equal(doc_key(&d, &f, FORMAT_JSON, &b, &err), 0);
    assert_slice(buf_slice(&b), "2.5");
    assert_int_equal(doc_key(&d, &s, FORMAT_STRING, &b, &err), 0);
    assert_slice(buf_slice(&b), "x y");
    assert_int_equal(doc_key(&d, &n, FORMAT_STRING, &b, &err), 0);
    assert_null(b.p);
    assert_int_equal(doc_key(&d, &e, FORMAT_STRING, &b, &err), 0);
    assert_true(b.p != NULL && b.n == 0);
    assert_int_equal(doc_key(&d, &i, FORMAT_LONG, &b, &err), 0);
    assert_true(b.n == 8 && bytes_get64(b.p) == 1263);
    assert_int_equal(doc_key(&d, &s, FORMAT_LONG, &b, &err), -1);
    buf_release(&b);
}

static void test_schema(void **state)
{
    (void)state;
    struct field fields[] = {{.name = "id", .type = FIELD_LONG},
                             {.name = "amount", .type = FIELD_DOUBLE, .nullable = true},
                             {.name = "at", .type = FIELD_TIMESTAMP},
                             {.name = "raw", .type = FIELD_BYTES, .nullable = true},
                             {.name = "kind",
                              .type = FIELD_STRING,
                              .has_default = true,
                              .default_value = value_string(slice_str("none"))}};
    struct schema s = {"tx", fields, 5};
    struct codec *c;
    assert_int_equal(codec_new(FORMAT_JSON, &s, &c, &err), 0);
    struct doc d;
    doc_open(
        &d, ctx, &arena, c,
        padded_str("{\"at\":\"2018-07-25T10:00:00Z\",\"id\":5.0,\"amount\":3,\"raw\":\"AAE=\"}"));
    assert_int_equal(doc_validate(&d, &err), 0);
    assert_true(get(&d, "at").i == INT64_C(1532512800000));
    assert_int_equal(get(&d, "id").type, VALUE_INT);
    assert_int_equal(get(&d, "amount").type, VALUE_DOUBLE);
    assert_true(get(&d, "raw").type == VALUE_BYTES && get(&d, "raw").s.n == 2);
    struct codec *plain;
    fields[3].nullable = false;
    assert_int_equal(codec_new(FORMAT_JSON, &s, &plain, &err), 0);
    assert_encodes(
        &d, plain,
        "{\"id\":5,\"amount\":3,\"at\":1532512800000,\"raw\":\"AAE=\",\"kind\":\"none\"}");
    fields[3].nullable = true;
    doc_open(&d, ctx, &arena, c, padded_str("{\"at\":1,\"id\":\"x\"}"));
    assert_int_equal(doc_validate(&d, &err), -1);
    assert_string_equal(err.text, "field 'id' at byte 13: wanted long, found string \"x\"");
    doc_open(&d, ctx, &arena, c, padded_str("{\"at\":1}"));
    assert_int_equal(doc_validate(&d, &err), -1);
    assert_string_equal(err.text, "field 'id': wanted long, found nothing");
    struct buf b;
    buf_init(&b);
    assert_int_equal(doc_encode(&d, plain, &b, &err), -1);
    assert_true(b.n == 0 && strstr(err.text, "'id'") != NULL);
    buf_release(&b);
    codec_free(c);
    codec_free(plain);
}

// Random records, compared with the value they were written from.
static void test_random(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 11);
    for (int round = 0; round < 400; round++) {
        arena_reset(&arena);
        struct doc built, d;
        struct buf b;
        buf_init(&b);
        doc_empty(&built, ctx, &arena);
        uint64_t n = prng_below(&r, 40);
        for (uint64_t i = 0; i < n; i++) {
            char name[32];
            snprintf(name, sizeof(name), "f%d%s", (int)prng_below(&r, 60),
                     prng_below(&r, 3) ? "" : "_\n\"long name\"");
            struct field_ref f = field_ref_of(slice_str(arena_str(&arena, name)), NULL);
            uint64_t bits = prng_u64(&r);
            struct value v = value_int((int64_t)bits);
            if (bits & 1)
                v = value_double(prng_normal(&r, 0, 1e3));
            if ((bits & 6) == 0)
                v = value_string(slice_str(name));
            doc_set(&built, &f, &v);
        }
        assert_int_equal(doc_encode(&built, json(), &b, &err), 0);
        doc_open(&d, ctx, &arena, json(), padded(buf_slice(&b)));
        struct value want, found;
        assert_int_equal(doc_value(&built, &want, &err), 0);
        assert_int_equal(doc_value(&d, &found, &err), 0);
        assert_true(value_eq(&want, &found));
        for (uint32_t i = 0; i < want.count; i++) {
            struct field_ref f = field_ref_of(want.keys[i], NULL);
            struct value v;
            assert_int_equal(doc_get(&d, &f, &v, &err), 0);
            assert_true(value_eq(&v, &want.items[i]));
        }
        for (uint32_t cut = 0; cut < b.n; cut += 7) {
            doc_open(&d, ctx, &arena, json(), padded(slice_of(b.p, cut)));
            assert_int_equal(doc_validate(&d, &err), -1);
        }
        buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),         cmocka_unit_test(test_has_and_remove),
        cmocka_unit_test(test_splice),      cmocka_unit_test(test_repeated_keys),
        cmocka_unit_test(test_many_fields), cmocka_unit_test(test_order),
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_malformed_value),
        cmocka_unit_test(test_whole),       cmocka_unit_test(test_from_value),
        cmocka_unit_test(test_carried),     cmocka_unit_test(test_carried_without_raw),
        cmocka_unit_test(test_primitives),  cmocka_unit_test(test_keys),
        cmocka_unit_test(test_schema),      cmocka_unit_test(test_random),
    };
    int failed = cmocka_run_group_tests(tests, formats_setup, formats_teardown);
    codec_free(json());
    return failed;
}
