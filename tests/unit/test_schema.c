// SPDX-License-Identifier: Apache-2.0
#include "formats_support.h"

static void test_types(void **state)
{
    (void)state;
    enum field_type t;
    bool nullable;
    assert_int_equal(field_type_parse("timestamp?", &t, &nullable, &err), 0);
    assert_true(t == FIELD_TIMESTAMP && nullable);
    assert_int_equal(field_type_parse("long", &t, &nullable, &err), 0);
    assert_true(t == FIELD_LONG && !nullable);
    assert_int_equal(field_type_parse("duoble", &t, &nullable, &err), -1);
    assert_non_null(strstr(err.text, "'double'"));
    assert_int_equal(field_type_parse("", &t, &nullable, &err), -1);
    assert_int_equal(
        field_type_parse("a type name that is far longer than any", &t, &nullable, &err), -1);
    for (int i = FIELD_ANY; i <= FIELD_TIMESTAMP; i++) {
        assert_int_equal(field_type_parse(field_type_name((enum field_type)i), &t, &nullable, &err),
                         0);
        assert_int_equal(t, i);
    }
}

static void test_find(void **state)
{
    (void)state;
    struct field fields[] = {{.name = "customer_id"}, {.name = "amount"}};
    struct schema s = {"tx", fields, 2};
    assert_int_equal(schema_find(&s, slice_str("amount")), 1);
    assert_int_equal(schema_find(&s, slice_str("amoun")), -1);
    assert_string_equal(schema_nearest(&s, "custmer_id"), "customer_id");
    assert_null(schema_nearest(&s, "completely different"));
}

static void test_formats(void **state)
{
    (void)state;
    enum format f;
    assert_int_equal(format_parse("avro", &f, &err), 0);
    assert_int_equal(f, FORMAT_AVRO);
    assert_int_equal(format_parse("jsn", &f, &err), -1);
    assert_non_null(strstr(err.text, "'json'"));
    assert_int_equal(format_parse("carried", &f, &err), -1);
}

static void test_ids(void **state)
{
    (void)state;
    struct field fields[] = {{.name = "a", .type = FIELD_LONG}};
    struct schema s = {"tx", fields, 1};
    struct codec *plain, *again, *typed;
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &plain, &err), 0);
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &again, &err), 0);
    assert_int_equal(codec_new(FORMAT_JSON, &s, &typed, &err), 0);
    assert_int_equal(plain->id, again->id);
    assert_int_not_equal(plain->id, typed->id);
    assert_int_not_equal(plain->id, 0);
    codec_free(typed);
    fields[0].nullable = true;
    uint32_t before = plain->id;
    assert_int_equal(codec_new(FORMAT_JSON, &s, &typed, &err), 0);
    assert_int_not_equal(typed->id, before);
    codec_free(typed);
    codec_free(plain);
    codec_free(again);
}

static struct schema *all_types(void)
{
    static struct field fields[] = {
        {.name = "b", .type = FIELD_BOOLEAN},
        {.name = "i", .type = FIELD_INT, .has_default = true},
        {.name = "l", .type = FIELD_LONG, .nullable = true},
        {.name = "f", .type = FIELD_FLOAT},
        {.name = "d", .type = FIELD_DOUBLE, .nullable = true, .has_default = true},
        {.name = "s", .type = FIELD_STRING, .has_default = true},
        {.name = "y", .type = FIELD_BYTES, .has_default = true},
        {.name = "t", .type = FIELD_TIMESTAMP, .nullable = true, .null_last = true}};
    static struct schema s = {"everything", fields, ARRAY_COUNT(fields)};
    fields[1].default_value = value_int(-5);
    fields[4].default_value = value_double(0.5);
    fields[5].default_value = value_string(slice_str("quote\" é"));
    fields[6].default_value = value_string(slice_of("\x01\xff\x7f", 3));
    fields[6].default_value.type = VALUE_BYTES;
    return &s;
}

static void test_avro_round_trip(void **state)
{
    (void)state;
    struct schema *s = all_types(), *back;
    struct buf b, again;
    buf_init(&b);
    buf_init(&again);
    assert_int_equal(schema_to_avro(s, &b, &err), 0);
    if (schema_from_avro(buf_slice(&b), &arena, &back, &err) != 0)
        fail_msg("%s: %.*s", err.text, (int)b.n, (const char *)b.p);
    assert_int_equal(back->count, s->count);
    assert_string_equal(back->name, "everything");
    for (uint32_t i = 0; i < s->count; i++) {
        const struct field *x = &s->fields[i], *y = &back->fields[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->nullable, y->nullable);
        assert_int_equal(x->has_default, y->has_default);
        if (x->has_default)
            assert_true(value_eq(&x->default_value, &y->default_value));
    }
    assert_true(back->fields[7].null_last && back->fields[4].null_last &&
                !back->fields[2].null_last);
    assert_int_equal(schema_to_avro(back, &again, &err), 0);
    assert_true(slice_eq(buf_slice(&b), buf_slice(&again)));
    buf_release(&b);
    buf_release(&again);
}

static void test_avro_refuses(void **state)
{
    (void)state;
    struct field any = {.name = "x", .type = FIELD_ANY}, odd = {.name = "a-b", .type = FIELD_LONG};
    struct schema s = {"r", &any, 1};
    struct buf b;
    buf_init(&b);
    assert_int_equal(schema_to_avro(&s, &b, &err), -1);
    assert_true(b.n == 0 && strstr(err.text, "'x'") != NULL);
    s.fields = &odd;
    assert_int_equal(schema_to_avro(&s, &b, &err), -1);
    buf_release(&b);
    static const char *const bad[] = {
        "",
        "{}",
        "\"long\"",
        "[1",
        "{\"type\":\"record\",\"name\":\"r\"}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\",\"type\":\"lung\"}]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\",\"type\":[\"long\","
        "\"string\"]}]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\",\"type\":{\"type\":"
        "\"array\","
        "\"items\":\"long\"}}]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\",\"type\":\"long\","
        "\"default\":\"x\"}]}",
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},"
        "{\"name\":\"a\",\"type\":\"long\"}]}"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct schema *out;
        if (schema_from_avro(slice_str(bad[i]), &arena, &out, &err) == 0)
            fail_msg("accepted %s", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),           cmocka_unit_test(test_find),
        cmocka_unit_test(test_formats),         cmocka_unit_test(test_ids),
        cmocka_unit_test(test_avro_round_trip), cmocka_unit_test(test_avro_refuses),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
