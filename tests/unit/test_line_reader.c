// SPDX-License-Identifier: Apache-2.0
//
// The line reader and the row cutter over odd files: gzip in every state, files that grow, and the
// ways a CSV can be written.
#include "tests/unit/tmpdir.h"

#include "connectors/line_reader.h"
#include "connectors/source_rows.h"

#include <zlib.h>

static char dir[TMPDIR_MAX];

static int setup(void **state)
{
    (void)state;
    tmpdir_make(dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmpdir_remove(dir);
    return 0;
}

static const char *file(const char *name)
{
    static char path[TMPDIR_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_bytes(const char *name, const void *p, size_t n, const char *mode)
{
    FILE *f = fopen(file(name), mode);
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

static void write_text(const char *name, const char *text, const char *mode)
{
    write_bytes(name, text, strlen(text), mode);
}

// One gzip member; returns its size.
static size_t gzip_member(const char *text, size_t n, uint8_t *out, size_t size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static struct line_reader *open_reader(const char *name)
{
    struct err e;
    struct line_reader *r;
    assert_int_equal(line_reader_open(file(name), &r, &e), 0);
    return r;
}

// Fills until the end for now; returns the last result of fill.
static int fill_all(struct line_reader *r, struct err *e)
{
    int rc;
    while ((rc = line_reader_fill(r, e)) == 1) {
    }
    return rc;
}

static void assert_window(struct line_reader *r, const char *text)
{
    struct slice w = line_reader_window(r);
    assert_int_equal(w.n, strlen(text));
    assert_memory_equal(w.p, text, w.n);
}

static void test_plain_grows(void **state)
{
    (void)state;
    struct err e;
    write_text("a", "", "wb");
    struct line_reader *r = open_reader("a");
    assert_int_equal(fill_all(r, &e), 0);
    assert_int_equal(line_reader_window(r).n, 0);
    write_text("a", "one\ntw", "ab");
    assert_int_equal(fill_all(r, &e), 0);
    assert_window(r, "one\ntw");
    line_reader_take(r, 4);
    assert_int_equal(line_reader_position(r), 4);
    write_text("a", "o\n", "ab");
    assert_int_equal(fill_all(r, &e), 0);
    assert_window(r, "two\n");
    assert_false(line_reader_gzip(r));
    assert_int_equal(line_reader_seek(r, 1, &e), 0);
    assert_int_equal(fill_all(r, &e), 0);
    assert_window(r, "ne\ntwo\n");
    assert_int_equal(line_reader_seek(r, 100, &e), -1);
    assert_int_equal(e.code, ERR_RANGE);
    line_reader_close(r);
}

static void test_large_file_keeps_every_byte(void **state)
{
    (void)state;
    struct err e;
    size_t n = 3 * LINE_READER_CHUNK + 12345;
    uint8_t *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)('a' + (i * 7 + i / 1000) % 26);
    write_bytes("big", bytes, n, "wb");
    struct line_reader *r = open_reader("big");
    size_t at = 0;
    for (int turn = 0;; turn++) {
        int rc = line_reader_fill(r, &e);
        assert_true(rc >= 0);
        struct slice w = line_reader_window(r);
        uint32_t take = rc == 0 ? w.n : w.n * (uint32_t)(turn % 3) / 3;
        assert_memory_equal(w.p, bytes + at, take);
        line_reader_take(r, take);
        at += take;
        if (rc == 0)
            break;
    }
    assert_int_equal(at, n);
    assert_int_equal(line_reader_position(r), (int64_t)n);
    line_reader_close(r);
    free(bytes);
}

static void test_gzip_members(void **state)
{
    (void)state;
    struct err e;
    uint8_t z[1024];
    size_t n = gzip_member("a,b\n1,", 6, z, sizeof z);
    n += gzip_member("", 0, z + n, sizeof z - n);
    n += gzip_member("2\n", 2, z + n, sizeof z - n);
    memset(z + n, 0, 20); // padding
    write_bytes("m.gz", z, n + 20, "wb");
    struct line_reader *r = open_reader("m.gz");
    assert_int_equal(fill_all(r, &e), 0);
    assert_window(r, "a,b\n1,2\n");
    assert_true(line_reader_gzip(r));
    assert_false(line_reader_torn(r));
    // Backwards: read again from the start.
    line_reader_take(r, 6);
    assert_int_equal(line_reader_seek(r, 4, &e), 0);
    assert_int_equal(fill_all(r, &e), 0);
    assert_window(r, "1,2\n");
    assert_int_equal(line_reader_seek(r, 9, &e), -1);
    assert_int_equal(e.code, ERR_RANGE);
    line_reader_close(r);
}

// Whatever prefix of a gzip there is, the reader gives a prefix of the text, says "torn", and goes
// on when the rest arrives.
static void test_gzip_cut_anywhere(void **state)
{
    (void)state;
    struct err e;
    uint8_t z[1024];
    const char *text = "tx,amount\n1,10.5\n2,11.5\n3,12.5\n";
    size_t n = gzip_member(text, strlen(text), z, sizeof z);
    for (size_t cut = 0; cut < n; cut++) {
        write_bytes("cut.gz", z, cut, "wb");
        struct line_reader *r = open_reader("cut.gz");
        assert_int_equal(fill_all(r, &e), 0);
        struct slice w = line_reader_window(r);
        assert_true(w.n <= strlen(text));
        assert_memory_equal(w.p, text, w.n);
        assert_int_equal(line_reader_torn(r), cut > 0);
        write_bytes("cut.gz", z + cut, n - cut, "ab");
        assert_int_equal(fill_all(r, &e), 0);
        assert_window(r, text);
        assert_false(line_reader_torn(r));
        line_reader_close(r);
    }
}

static void test_gzip_damaged(void **state)
{
    (void)state;
    struct err e;
    uint8_t z[4096];
    char text[3000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + (i * i) % 17);
    size_t n = gzip_member(text, sizeof text, z, sizeof z);
    z[n - 5] ^= 0xff; // the check sum
    write_bytes("bad.gz", z, n, "wb");
    struct line_reader *r = open_reader("bad.gz");
    assert_int_equal(fill_all(r, &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "damaged gzip"));
    assert_int_equal(line_reader_window(r).n, sizeof text); // what decoded is there
    line_reader_close(r);

    n = gzip_member("x\n", 2, z, sizeof z);
    memcpy(z + n, "garbage", 7);
    write_bytes("tail.gz", z, n + 7, "wb");
    r = open_reader("tail.gz");
    assert_int_equal(fill_all(r, &e), -1);
    assert_window(r, "x\n");
    line_reader_close(r);
}

// --- rows ---------------------------------------------------------------------------------------

static struct field fields[] = {
    {.name = "id", .type = FIELD_LONG},
    {.name = "name", .type = FIELD_STRING, .nullable = true},
    {.name = "price", .type = FIELD_DOUBLE},
    {.name = "ok", .type = FIELD_BOOLEAN, .nullable = true},
    {.name = "at", .type = FIELD_TIMESTAMP},
};
static const struct schema schema = {"Row", fields, 5};

struct cut {
    char text[4096]; // one line per row: "time|key|value" or "bad: reason"
    uint32_t bytes, lines;
};

// Cuts `text` in windows that grow by `step` bytes at a time, as a slow writer would make them.
static void cut_all(struct source_rows *rows, const char *text, uint32_t step, struct cut *out)
{
    struct err e;
    uint32_t n = (uint32_t)strlen(text), at = 0, have = 0;
    memset(out, 0, sizeof *out);
    source_rows_restart(rows);
    for (;;) {
        // A window of its own, with the padding a reader gives.
        uint8_t *w = calloc(1, have - at + LINE_READER_PADDING);
        memcpy(w, text + at, have - at);
        struct source_row row;
        int rc = source_rows_next(rows, slice_of(w, have - at), have == n, &row, &e);
        assert_int_equal(rc, 0);
        size_t used = strlen(out->text);
        if (row.kind == ROW_GOOD)
            snprintf(out->text + used, sizeof out->text - used, "%lld|%.*s|%.*s\n",
                     (long long)row.time, (int)row.key.n, (const char *)row.key.p, (int)row.value.n,
                     (const char *)row.value.p);
        else if (row.kind == ROW_BAD)
            snprintf(out->text + used, sizeof out->text - used, "bad: %s\n", row.reason);
        free(w);
        if (row.kind == ROW_MORE && have == n)
            break;
        if (row.kind == ROW_MORE)
            have = have + step < n ? have + step : n;
        at += row.bytes;
        out->lines += row.lines;
    }
    out->bytes = at;
}

static struct source_rows *rows_of(const struct source_rows_options *o)
{
    struct err e;
    struct source_rows *rows;
    if (source_rows_new(o, &rows, &e) != 0)
        fail_msg("%s", e.text);
    return rows;
}

static void test_csv_rows(void **state)
{
    (void)state;
    struct err e;
    struct codec *codec;
    assert_int_equal(codec_new(FORMAT_JSON, &schema, &codec, &e), 0);
    struct source_rows_options o = {.header = true,
                                    .delimiter = ',',
                                    .time_field = "at",
                                    .key_field = "id",
                                    .codec = codec,
                                    .key_format = FORMAT_STRING,
                                    .max_row = 4096};
    struct source_rows *rows = rows_of(&o);
    const char *text = "\xef\xbb\xbf"
                       "at,price,id,extra,name,ok\r\n"
                       "1000,1.50,7,x,\"a \"\"b\"\",\nc\",1\r\n"
                       "\r\n"
                       "2018-07-25T00:00:00Z,-3,007,,,0\n"
                       "1002,abc,8,,n,true\n"
                       "1003,1,9,,n\n"
                       "1004,.5,+10,\"q\",\"\xc3\xa9\\\",\n"
                       "1005,1e3,11,,\"\",FALSE";
    const char *want =
        "1000|7|{\"id\":7,\"name\":\"a \\\"b\\\",\\nc\",\"price\":1.50,\"ok\":true,\"at\":1000}\n"
        "1532476800000|7|{\"id\":7,\"name\":null,\"price\":-3,\"ok\":false,"
        "\"at\":1532476800000}\n"
        "bad: column \"price\": \"abc\" is not a double\n"
        "bad: the row has 5 columns, the header has 6\n"
        "1004|10|{\"id\":10,\"name\":\"\xc3\xa9\\\\\",\"price\":0.5,\"ok\":null,\"at\":1004}\n"
        "1005|11|{\"id\":11,\"name\":\"\",\"price\":1000,\"ok\":false,\"at\":1005}\n";
    struct cut cut;
    for (uint32_t step = 1; step < 200; step = step * 2 + 1) {
        cut_all(rows, text, step, &cut);
        assert_string_equal(cut.text, want);
        assert_int_equal(cut.bytes, strlen(text));
        assert_int_equal(cut.lines, 8);
    }
    struct slice unused = source_rows_unused(rows, 0);
    assert_true(slice_eq_str(unused, "extra"));
    assert_null(source_rows_unused(rows, 1).p);
    source_rows_free(rows);
    codec_free(codec);
}

static void test_csv_header_must_fit(void **state)
{
    (void)state;
    struct err e;
    struct codec *codec;
    assert_int_equal(codec_new(FORMAT_JSON, &schema, &codec, &e), 0);
    struct source_rows_options o = {
        .header = true, .delimiter = ';', .codec = codec, .max_row = 100};
    struct source_rows *rows = rows_of(&o);
    struct source_row row;
    source_rows_restart(rows);
    int rc = source_rows_next(rows, slice_str("id;name;prize;at\n"), false, &row, &e);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "price"));
    assert_non_null(strstr(e.text, "prize"));
    source_rows_free(rows);
    codec_free(codec);
}

static void test_csv_open_quote(void **state)
{
    (void)state;
    struct err e;
    struct codec *codec;
    static struct field one[] = {{.name = "a", .type = FIELD_ANY},
                                 {.name = "b", .type = FIELD_ANY}};
    static const struct schema two = {"Two", one, 2};
    assert_int_equal(codec_new(FORMAT_JSON, &two, &codec, &e), 0);
    struct source_rows_options o = {
        .header = false, .delimiter = ',', .codec = codec, .max_row = 20};
    struct source_rows *rows = rows_of(&o);
    struct cut cut;
    const char *text = "1,2\n0,\"3,4\n5,6\n7,8\n9,true\nx,1.5\n";
    for (uint32_t step = 5; step < 100; step += 40) { // the limit hits first, or the end does
        cut_all(rows, text, step, &cut);
        assert_non_null(strstr(cut.text, "{\"a\":1,\"b\":2}\nbad: "));
        assert_non_null(
            strstr(cut.text, step == 5 ? "is a quote not closed?\n" : "not closed, in"));
        assert_non_null(strstr(cut.text, "|{\"a\":5,\"b\":6}\n"));
        assert_non_null(strstr(cut.text, "|{\"a\":\"x\",\"b\":1.5}\n"));
        assert_int_equal(cut.bytes, strlen(text));
    }
    source_rows_free(rows);
    codec_free(codec);
}

static void test_json_lines(void **state)
{
    (void)state;
    struct err e;
    struct codec *codec;
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &codec, &e), 0);
    struct source_rows_options o = {.jsonl = true,
                                    .time_field = "t",
                                    .key_field = "k",
                                    .key_format = FORMAT_STRING,
                                    .codec = codec,
                                    .max_row = 1000};
    struct source_rows *rows = rows_of(&o);
    struct cut cut;
    const char *text = "{\"t\":5,\"k\":\"x\", \"v\": [1, 2]}\r\n"
                       "\n"
                       "{\"t\":6,\"k\":\n"
                       "{\"t\":\"1970-01-01T00:00:01Z\",\"k\":12}";
    const char *want[] = {"5|x|{\"t\":5,\"k\":\"x\", \"v\": [1, 2]}\nbad: ",
                          "\n1000|12|{\"t\":\"1970-01-01T00:00:01Z\",\"k\":12}\n"};
    for (uint32_t step = 1; step < 100; step = step * 3 + 1) {
        cut_all(rows, text, step, &cut);
        assert_ptr_equal(strstr(cut.text, want[0]), cut.text);
        assert_non_null(strstr(cut.text, want[1]));
        assert_int_equal(cut.bytes, strlen(text));
    }
    source_rows_free(rows);
    codec_free(codec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_file_keeps_every_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gzip_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gzip_cut_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gzip_damaged, setup, teardown),
        cmocka_unit_test(test_csv_rows),
        cmocka_unit_test(test_csv_header_must_fit),
        cmocka_unit_test(test_csv_open_quote),
        cmocka_unit_test(test_json_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
