// SPDX-License-Identifier: Apache-2.0
#include "formats_support.h"

#include "formats/csv.h"

#include "base/prng.h"

// All rows of `text`, fed in pieces of `step` bytes, as fields joined by '|' and rows by '#'. A bad
// row is '!'.
static void read_rows(const char *text, uint32_t step, struct buf *out)
{
    struct csv_row row;
    struct csv *c = csv_new(',');
    uint32_t n = (uint32_t)strlen(text), from = 0, to = 0;
    buf_clear(out);
    for (;;) {
        // What is visible lies alone in memory, moved at each call.
        uint8_t *exact = malloc(to - from == 0 ? 1 : to - from);
        memcpy(exact, text + from, to - from);
        int r = csv_next(c, slice_of(exact, to - from), to == n, &row, &err);
        for (uint32_t i = 0; r == 1 && i < row.count; i++) {
            buf_str(out, i == 0 ? "" : "|");
            buf_slice_put(out, row.fields[i]);
        }
        if (r == -1)
            buf_u8(out, '!');
        if (r != 0) {
            buf_u8(out, '#');
            assert_true(row.begin == exact && row.end > row.begin);
            from += (uint32_t)(row.end - row.begin);
        }
        free(exact);
        if (r == 0 && to == n)
            break;
        if (r == 0)
            to = to + step < n ? to + step : n;
    }
    assert_int_equal(from, n);
    csv_free(c);
}

static void assert_rows(const char *text, const char *want)
{
    struct buf b;
    buf_init(&b);
    for (uint32_t step = 1; step < 40; step += step < 5 ? 1 : 11) {
        read_rows(text, step, &b);
        assert_slice(buf_slice(&b), want);
    }
    buf_release(&b);
}

static void test_rows(void **state)
{
    (void)state;
    assert_rows("", "");
    assert_rows("a,b\nc,d\n", "a|b#c|d#");
    assert_rows("a,b\r\nc,d", "a|b#c|d#");
    assert_rows("\xef\xbb\xbf"
                "a,b\n\xef\xbb\xbf"
                "c\n",
                "a|b#\xef\xbb\xbf"
                "c#");
    assert_rows("\"a,\n\"\"x\"\"\",b\r\n\"\",\n", "a,\n\"x\"|b#|#");
    assert_rows("\n\n", "##");
    assert_rows(",\n", "|#");
    assert_rows("a\rb,c\n", "a\rb|c#");
    assert_rows("\"x\"", "x#");
    assert_rows("\"x\"\r", "x#");
    assert_rows("a long field without anything special in it,another one,\n",
                "a long field without anything special in it|another one|#");
}

static void test_bad_rows(void **state)
{
    (void)state;
    assert_rows("a\"b,c\nd\n", "!#d#");
    assert_rows("\"a\"b,c\nd\n", "!#d#");
    assert_rows("x,\"open\nd,e\nf", "!#d|e#f#");
    assert_rows("\"", "!#");
}

static void test_quoted_flag(void **state)
{
    (void)state;
    struct csv *c = csv_new(';');
    struct csv_row row;
    assert_int_equal(csv_line(c, ';', slice_str("\"\";;\"a;b\"\r\n"), &row, &err), 1);
    assert_int_equal(row.count, 3);
    assert_true(row.quoted[0] && !row.quoted[1] && row.quoted[2]);
    assert_slice(row.fields[2], "a;b");
    assert_int_equal(csv_line(c, ',', slice_str("a\nb"), &row, &err), -1);
    csv_free(c);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char alphabet[] = "ab,\"\n\r é";
    struct prng r;
    prng_init(&r, 3);
    struct buf text;
    buf_init(&text);
    struct csv *c = csv_new(',');
    for (int round = 0; round < 2000; round++) {
        char fields[8][16];
        uint32_t count = 1 + (uint32_t)prng_below(&r, 8);
        buf_clear(&text);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t n = prng_below(&r, 15), k = 0;
            for (; k < n; k++)
                fields[i][k] = alphabet[prng_below(&r, sizeof(alphabet) - 1)];
            fields[i][k] = 0;
            if (i != 0)
                buf_u8(&text, ',');
            csv_put_field(slice_str(fields[i]), ',', &text);
        }
        buf_str(&text, "\r\n");
        struct csv_row row;
        assert_int_equal(csv_next(c, buf_slice(&text), round % 2, &row, &err), 1);
        assert_int_equal(row.count, count);
        for (uint32_t i = 0; i < count; i++)
            assert_slice(row.fields[i], fields[i]);
    }
    csv_free(c);
    buf_release(&text);
}

static void test_docs(void **state)
{
    (void)state;
    struct field fields[] = {{.name = "id", .type = FIELD_LONG},
                             {.name = "amount", .type = FIELD_DOUBLE, .nullable = true},
                             {.name = "name", .type = FIELD_STRING, .nullable = true},
                             {.name = "at", .type = FIELD_TIMESTAMP},
                             {.name = "ok", .type = FIELD_BOOLEAN, .nullable = true},
                             {.name = "x", .type = FIELD_ANY, .nullable = true}};
    struct schema s = {"row", fields, 6};
    struct codec *c, *json;
    assert_int_equal(codec_new_csv(&s, ';', &c, &err), 0);
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &json, &err), 0);
    struct doc d;
    doc_open(&d, ctx, &arena, c,
             padded_str("7; 2.50;\"a;\"\"b\"\"\";2018-07-25 10:00:00;True;x1\r\n"));
    assert_int_equal(doc_validate(&d, &err), 0);
    assert_encodes(&d, json,
                   "{\"id\":7,\"amount\":2.5,\"name\":\"a;\\\"b\\\"\",\"at\":1532512800000,"
                   "\"ok\":true,\"x\":\"x1\"}");
    set(&d, "amount", value_int(3));
    set(&d, "extra", value_int(3));
    assert_encodes(&d, c, "7;3;\"a;\"\"b\"\"\";1532512800000;true;x1");
    doc_open(&d, ctx, &arena, c, padded_str("7;;\"\";5;;"));
    assert_int_equal(get(&d, "amount").type, VALUE_NULL);
    assert_int_equal(get(&d, "name").type, VALUE_STRING);
    set(&d, "id", value_int(8));
    assert_encodes(&d, c, "8;;\"\";5;;");
    static const char *const bad[] = {"7;;;5;",     "7;;;5;;;", ";;;5;;",       "x;;;5;;",
                                      "7;abc;;5;;", "7;;;;;",   "7;;;5;maybe;", "1.5;;;5;;"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        doc_open(&d, ctx, &arena, c, padded_str(bad[i]));
        if (doc_validate(&d, &err) == 0)
            fail_msg("accepted %s", bad[i]);
        assert_int_equal(err.code, ERR_CORRUPT);
    }
    struct codec *none;
    assert_int_equal(codec_new(FORMAT_CSV, NULL, &none, &err), -1);
    assert_int_equal(codec_new_csv(&s, '5', &none, &err), -1);
    assert_int_equal(codec_new(FORMAT_CSV, &s, &none, &err), 0);
    assert_int_not_equal(none->id, c->id);
    codec_free(none);
    codec_free(c);
    codec_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),        cmocka_unit_test(test_bad_rows),
        cmocka_unit_test(test_quoted_flag), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_docs),
    };
    return cmocka_run_group_tests(tests, formats_setup, formats_teardown);
}
