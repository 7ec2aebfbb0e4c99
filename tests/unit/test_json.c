// SPDX-License-Identifier: Apache-2.0
//
// JSON text into values and back. With --echo it reads lines of JSON and writes each as our writer
// gives it, for json_oracle.py, which compares with Python's reader.
#include "formats_support.h"

#include "formats/json.h"

static void assert_reads_as(const char *text, const char *want)
{
    struct value v;
    if (value_from_json(slice_str(text), &arena, &v, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    assert_json(&v, want);
}

static void test_good(void **state)
{
    (void)state;
    assert_reads_as(" null ", "null");
    assert_reads_as("\t[ ]\r\n", "[]");
    assert_reads_as("{ }", "{}");
    assert_reads_as("[true,false,null,0,-1,1.50,1e2,\"\"]", "[true,false,null,0,-1,1.5,100,\"\"]");
    assert_reads_as("{\"a\":{\"b\":[{}]} , \"c\" : 1}", "{\"a\":{\"b\":[{}]},\"c\":1}");
    assert_reads_as("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0001\\u007f\"",
                    "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\"");
    assert_reads_as("\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\"é€😀\"");
    assert_reads_as("{\"a\":1,\"b\":2,\"a\":3}", "{\"b\":2,\"a\":3}");
    assert_reads_as("18446744073709551616", "1.8446744073709552e+19");
    struct value v;
    assert_int_equal(value_from_json(slice_str("\"a\\u0000b\""), &arena, &v, &err), 0);
    assert_true(v.s.n == 3 && memcmp(v.s.p, "a\0b", 3) == 0);
    assert_json(&v, "\"a\\u0000b\"");
}

static void assert_refused(const char *text, int position)
{
    struct value v;
    err.text[0] = 0;
    if (value_from_json(slice_str(text), &arena, &v, &err) == 0)
        fail_msg("accepted: %s", text);
    assert_int_equal(err.code, ERR_CORRUPT);
    const char *at = strstr(err.text, "at byte ");
    if (at == NULL || atoi(at + 8) != position)
        fail_msg("%s: wanted position %d: %s", text, position, err.text);
}

static void test_bad(void **state)
{
    (void)state;
    assert_refused("", 0);
    assert_refused("  ", 2);
    assert_refused("[1,]", 3);
    assert_refused("[1", 2);
    assert_refused("[1 2]", 3);
    assert_refused("{\"a\"}", 4);
    assert_refused("{\"a\":}", 5);
    assert_refused("{\"a\":1,}", 7);
    assert_refused("{1:2}", 1);
    assert_refused("nulls", 4);
    assert_refused("tru", 0);
    assert_refused("01", 0);
    assert_refused("[1.]", 1);
    assert_refused("[1e400]", 1);
    assert_refused("\"abc", 0);
    assert_refused("\"a\tb\"", 2);
    assert_refused("\"\\x\"", 0);
    assert_refused("\"\\u12g4\"", 0);
    assert_refused("\"\\ud800\"", 0);
    assert_refused("\"\\udc00\\ud800\"", 0);
    assert_refused("\"a\xc3\"", 2);
    assert_refused("\"\xc0\x80\"", 1);
    assert_refused("\"\xed\xa0\x80\"", 1);
    assert_refused("\"\xf5\x80\x80\x80\"", 1);
    assert_refused("1 1", 2);
    assert_refused("'a'", 0);
    assert_refused("[}", 1);
}

static void test_depth(void **state)
{
    (void)state;
    char text[2 * VALUE_DEPTH_MAX + 4];
    struct value v;
    memset(text, '[', VALUE_DEPTH_MAX);
    memset(text + VALUE_DEPTH_MAX, ']', VALUE_DEPTH_MAX);
    assert_int_equal(value_from_json(slice_of(text, 2 * VALUE_DEPTH_MAX), &arena, &v, &err), 0);
    memset(text, '[', VALUE_DEPTH_MAX + 1);
    memset(text + VALUE_DEPTH_MAX + 1, ']', VALUE_DEPTH_MAX + 1);
    assert_int_equal(value_from_json(slice_of(text, 2 * VALUE_DEPTH_MAX + 2), &arena, &v, &err),
                     -1);
    assert_non_null(strstr(err.text, "too deep"));
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < 200000; i++)
        buf_u8(&b, '{');
    assert_int_equal(value_from_json(buf_slice(&b), &arena, &v, &err), -1);
    buf_release(&b);
}

// The input of each call lies alone in memory, so that ASan sees a read past its end.
static void test_truncated(void **state)
{
    (void)state;
    static const char text[] = "{\"k\\u00e9\":[1.5e3,true,null,\"\\ud83d\\ude00é\"],\"z\":{}}";
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        uint8_t *exact = malloc(n == 0 ? 1 : n);
        memcpy(exact, text, n);
        struct value v;
        assert_int_equal(value_from_json(slice_of(exact, n), &arena, &v, &err), -1);
        free(exact);
    }
}

static void test_strings_out(void **state)
{
    (void)state;
    struct value v = value_string(slice_of("ok\xff\xc3(\xed\xa0\x80 é", 11));
    assert_json(&v, "\"ok\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd é\"");
    struct buf in, out;
    buf_init(&in);
    buf_init(&out);
    for (int i = 0; i < 20000; i++)
        buf_u8(&in, i % 97 == 0 ? '\n' : (uint8_t)('a' + i % 26));
    value_json_string(buf_slice(&in), &out);
    struct value back;
    assert_int_equal(value_from_json(buf_slice(&out), &arena, &back, &err), 0);
    assert_true(slice_eq(back.s, buf_slice(&in)));
    buf_release(&in);
    buf_release(&out);
}

static void test_base64(void **state)
{
    (void)state;
    static const char *const texts[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct buf b;
        buf_init(&b);
        json_base64_put(slice_str(texts[i][0]), &b);
        assert_slice(buf_slice(&b), texts[i][1]);
        struct slice back;
        assert_int_equal(json_base64_take(slice_str(texts[i][1]), &arena, &back), 0);
        assert_slice(back, texts[i][0]);
        buf_release(&b);
    }
    struct slice back;
    assert_int_equal(json_base64_take(slice_str("Zg="), &arena, &back), -1);
    assert_int_equal(json_base64_take(slice_str("Z*=="), &arena, &back), -1);
}

static int echo(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t n;
    struct buf b;
    buf_init(&b);
    arena_init(&arena);
    while ((n = getline(&line, &size, stdin)) > 0) {
        struct value v;
        arena_reset(&arena);
        buf_clear(&b);
        if (value_from_json(slice_of(line, (size_t)n), &arena, &v, &err) == 0)
            value_to_json(&v, &b);
        else
            buf_printf(&b, "error: %s", err.text);
        buf_u8(&b, '\n');
        fwrite(b.p, 1, b.n, stdout);
    }
    free(line);
    buf_release(&b);
    arena_release(&arena);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--echo") == 0)
        return echo();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_depth),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_strings_out), cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
