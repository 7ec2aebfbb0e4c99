// SPDX-License-Identifier: Apache-2.0
#include "formats_support.h"

#include <math.h>

#include "base/prng.h"

static struct value parse(const char *json)
{
    struct value v;
    if (value_from_json(slice_str(json), &arena, &v, &err) != 0)
        fail_msg("%s: %s", json, err.text);
    return v;
}

static bool same(const char *a, const char *b)
{
    struct value x = parse(a), y = parse(b);
    assert_int_equal(value_eq(&x, &y), value_eq(&y, &x));
    return value_eq(&x, &y);
}

static void test_equality(void **state)
{
    (void)state;
    assert_true(same("1", "1.0"));
    assert_false(same("9007199254740993", "9007199254740992.0"));
    assert_false(same("9223372036854775807", "9223372036854775808"));
    assert_false(same("1", "true"));
    assert_false(same("1", "\"1\""));
    assert_true(same("[1,{\"a\":null}]", "[1.0,{\"a\":null}]"));
    assert_true(same("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}"));
    assert_false(same("{\"a\":1}", "{\"b\":1}"));
    assert_false(same("[1]", "[1,2]"));
    struct value nan = value_double(NAN), one = value_int(1);
    assert_true(value_eq(&nan, &nan));
    assert_false(value_eq(&nan, &one));
}

static void test_number(void **state)
{
    (void)state;
    double d;
    struct value v = value_bool(true);
    assert_true(value_number(&v, &d) && d == 1);
    v = value_int(-3);
    assert_true(value_number(&v, &d) && d == -3);
    v = value_null();
    assert_false(value_number(&v, &d));
}

static struct value random_value(struct prng *r, int depth)
{
    static const char *const texts[] = {"",       "a",      "quote\" and \\",
                                        "line\n", "日本語", "😀 long enough"};
    switch (prng_below(r, depth > 4 ? 6 : 8)) {
    case 0:
        return value_null();
    case 1:
        return value_bool(prng_below(r, 2));
    case 2:
        return value_int((int64_t)(prng_u64(r) >> prng_below(r, 64)));
    case 3:
        return value_double(prng_normal(r, 0, 1e9));
    case 4:
    case 5: {
        struct value v = value_string(slice_str(texts[prng_below(r, ARRAY_COUNT(texts))]));
        v.type = prng_below(r, 4) ? VALUE_STRING : VALUE_BYTES;
        return v;
    }
    default: {
        struct value v = {.type = prng_below(r, 2) ? VALUE_LIST : VALUE_MAP,
                          .count = (uint32_t)prng_below(r, 6)};
        v.items = arena_alloc(&arena, v.count * sizeof(*v.items));
        v.keys = arena_alloc(&arena, v.count * sizeof(*v.keys));
        for (uint32_t i = 0; i < v.count; i++) {
            char key[16];
            snprintf(key, sizeof(key), "k%u\t", i);
            v.keys[i] = slice_str(arena_str(&arena, key));
            v.items[i] = random_value(r, depth + 1);
        }
        return v;
    }
    }
}

static void test_encoding(void **state)
{
    (void)state;
    struct prng r;
    prng_init(&r, 1);
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < 3000; i++) {
        arena_reset(&arena);
        struct value v = random_value(&r, 0);
        buf_clear(&b);
        value_encode(&v, &b);
        uint8_t *exact = malloc(b.n == 0 ? 1 : b.n); // so that ASan sees each byte past the end
        memcpy(exact, b.p, b.n);
        struct cur c = cur_of(slice_of(exact, b.n));
        struct value back = value_decode(&c, &arena);
        assert_true(!c.failed && c.p == c.end && value_eq(&v, &back));
        struct value copy = value_copy(&back, &arena);
        for (uint32_t n = 0; n < b.n && n < 60; n++) {
            c = cur_of(slice_of(exact, n));
            value_decode(&c, &arena);
            assert_true(c.failed);
        }
        free(exact);
        assert_true(value_eq(&v, &copy));
    }
    buf_release(&b);
}

static void test_encoding_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t n;
    } bad[] = {{"\x09", 1},
               {"\xff", 1},
               {"\x07\xff\xff\xff\x0f", 5},
               {"\x05\x05xx", 4},
               {"\x08\x01", 2},
               {"\x03\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12}};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct cur c = cur_of(slice_of(bad[i].bytes, bad[i].n));
        value_decode(&c, &arena);
        assert_true(c.failed);
    }
    uint8_t deep[2 * (VALUE_DEPTH_MAX + 1) + 1];
    for (size_t i = 0; i + 1 < sizeof(deep); i += 2)
        memcpy(deep + i, "\x07\x01", 2);
    deep[sizeof(deep) - 1] = 0;
    struct cur c = cur_of(slice_of(deep, sizeof(deep)));
    value_decode(&c, &arena);
    assert_true(c.failed);
    c = cur_of(slice_of(deep + 2, sizeof(deep) - 2)); // one level less is fine
    value_decode(&c, &arena);
    assert_false(c.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_number),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_encoding_refuses),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
