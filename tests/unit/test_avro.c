// SPDX-License-Identifier: Apache-2.0
//
// Avro against Avro-C: it reads what we encode, writes what we decode, and both read each other's
// container files.
#include "formats_support.h"

#include <avro.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/prng.h"
#include "formats/avro_container.h"

static struct field fields[] = {
    {.name = "b", .type = FIELD_BOOLEAN},
    {.name = "i", .type = FIELD_INT},
    {.name = "l", .type = FIELD_LONG, .nullable = true},
    {.name = "f", .type = FIELD_FLOAT},
    {.name = "d", .type = FIELD_DOUBLE, .nullable = true, .null_last = true},
    {.name = "s", .type = FIELD_STRING, .nullable = true},
    {.name = "y", .type = FIELD_BYTES},
    {.name = "t", .type = FIELD_TIMESTAMP}};
static struct schema schema = {"everything", fields, ARRAY_COUNT(fields)};

static struct codec *avro_of(const struct schema *s)
{
    struct codec *c;
    if (codec_new(FORMAT_AVRO, s, &c, &err) != 0)
        fail_msg("codec: %s", err.text);
    return c;
}

static avro_schema_t judge_schema(const struct schema *s)
{
    struct buf b;
    avro_schema_t out;
    buf_init(&b);
    assert_int_equal(schema_to_avro(s, &b, &err), 0);
    assert_int_equal(avro_schema_from_json_length((const char *)b.p, b.n, &out), 0);
    buf_release(&b);
    return out;
}

static void random_doc(struct prng *r, struct doc *d)
{
    char text[24] = {0};
    int n = snprintf(text, sizeof(text), "%.*s é", (int)prng_below(r, 10), "abcdefghijkl");
    doc_empty(d, ctx, &arena);
    set(d, "b", value_bool(prng_below(r, 2)));
    set(d, "i", value_int((int32_t)prng_u64(r)));
    if (prng_below(r, 3) != 0)
        set(d, "l", value_int((int64_t)(prng_u64(r) >> prng_below(r, 64))));
    set(d, "f", value_double((double)(float)prng_normal(r, 0, 100)));
    if (prng_below(r, 3) != 0)
        set(d, "d", value_double(prng_normal(r, 0, 1e6)));
    if (prng_below(r, 3) != 0)
        set(d, "s", value_string(slice_of(text, (size_t)n)));
    struct value y = value_string(slice_of(text, prng_below(r, 8)));
    y.type = VALUE_BYTES;
    set(d, "y", y);
    set(d, "t", value_int((int64_t)prng_u64(r)));
}

// The branch of a union, or the value itself.
static avro_value_t judged(avro_value_t *record, const char *name)
{
    avro_value_t v, branch = {0};
    assert_int_equal(avro_value_get_by_name(record, name, &v, NULL), 0);
    if (avro_value_get_type(&v) != AVRO_UNION)
        return v;
    assert_int_equal(avro_value_get_current_branch(&v, &branch), 0);
    return branch;
}

static void assert_judged(avro_value_t *record, struct doc *d)
{
    int b;
    int32_t i;
    int64_t l;
    float f;
    double x;
    const char *s;
    const void *y;
    size_t n;
    avro_value_t v = judged(record, "b");
    assert_true(avro_value_get_boolean(&v, &b) == 0 && b == get(d, "b").b);
    v = judged(record, "i");
    assert_true(avro_value_get_int(&v, &i) == 0 && i == get(d, "i").i);
    v = judged(record, "l");
    if (get(d, "l").type == VALUE_NULL)
        assert_int_equal(avro_value_get_null(&v), 0);
    else
        assert_true(avro_value_get_long(&v, &l) == 0 && l == get(d, "l").i);
    v = judged(record, "f");
    assert_true(avro_value_get_float(&v, &f) == 0 && (double)f == get(d, "f").d);
    v = judged(record, "d");
    if (get(d, "d").type == VALUE_NULL)
        assert_int_equal(avro_value_get_null(&v), 0);
    else
        assert_true(avro_value_get_double(&v, &x) == 0 && x == get(d, "d").d);
    v = judged(record, "s");
    if (get(d, "s").type == VALUE_NULL)
        assert_int_equal(avro_value_get_null(&v), 0);
    else
        assert_true(avro_value_get_string(&v, &s, &n) == 0 &&
                    slice_eq(slice_of(s, n - 1), get(d, "s").s));
    v = judged(record, "y");
    assert_true(avro_value_get_bytes(&v, &y, &n) == 0 && slice_eq(slice_of(y, n), get(d, "y").s));
    v = judged(record, "t");
    assert_true(avro_value_get_long(&v, &l) == 0 && l == get(d, "t").i);
}

static void test_records(void **state)
{
    (void)state;
    struct codec *c = avro_of(&schema);
    avro_schema_t js = judge_schema(&schema);
    avro_value_iface_t *iface = avro_generic_class_from_schema(js);
    avro_value_t record;
    assert_int_equal(avro_generic_value_new(iface, &record), 0);
    struct prng r;
    prng_init(&r, 2);
    struct buf b;
    buf_init(&b);
    for (int round = 0; round < 500; round++) {
        arena_reset(&arena);
        struct doc d, back;
        random_doc(&r, &d);
        buf_clear(&b);
        assert_int_equal(doc_encode(&d, c, &b, &err), 0);
        avro_reader_t reader = avro_reader_memory((const char *)b.p, b.n);
        assert_int_equal(avro_value_read(reader, &record), 0);
        assert_judged(&record, &d);
        avro_reader_free(reader);
        char judge_bytes[512];
        avro_writer_t writer = avro_writer_memory(judge_bytes, sizeof(judge_bytes));
        assert_int_equal(avro_value_write(writer, &record), 0);
        assert_int_equal(avro_writer_tell(writer), b.n);
        assert_memory_equal(judge_bytes, b.p, b.n);
        avro_writer_free(writer);
        doc_open(&back, ctx, &arena, c, padded(buf_slice(&b)));
        assert_int_equal(doc_validate(&back, &err), 0);
        assert_judged(&record, &back);
        for (uint32_t n = 0; n < b.n; n++) {
            uint8_t *exact = malloc(n == 0 ? 1 : n);
            memcpy(exact, b.p, n);
            doc_open(&back, ctx, &arena, c, slice_of(exact, n));
            assert_int_equal(doc_validate(&back, &err), -1);
            assert_int_equal(err.code, ERR_CORRUPT);
            free(exact);
        }
    }
    buf_release(&b);
    avro_value_decref(&record);
    avro_value_iface_decref(iface);
    avro_schema_decref(js);
    codec_free(c);
}

static void test_encode_errors(void **state)
{
    (void)state;
    struct codec *c = avro_of(&schema);
    struct prng r;
    prng_init(&r, 4);
    struct doc d;
    struct buf b;
    buf_init(&b);
    random_doc(&r, &d);
    set(&d, "i", value_int(INT64_C(1) << 31));
    assert_int_equal(doc_encode(&d, c, &b, &err), -1);
    assert_string_equal(err.text, "field 'i': wanted int, found integer 2147483648");
    set(&d, "i", value_double(7.0)); // whole doubles, as scripts compute them, are integers
    assert_int_equal(doc_encode(&d, c, &b, &err), 0);
    buf_clear(&b);
    struct field_ref i = ref("i");
    doc_remove(&d, &i);
    assert_int_equal(doc_encode(&d, c, &b, &err), -1);
    assert_true(b.n == 0 && strstr(err.text, "'i'") != NULL && strstr(err.text, "nothing") != NULL);
    buf_release(&b);
    codec_free(c);
}

static void test_trailing_bytes(void **state)
{
    (void)state;
    struct field one = {.name = "l", .type = FIELD_LONG};
    struct schema s = {"one", &one, 1};
    struct codec *c = avro_of(&s);
    struct doc d;
    doc_open(&d, ctx, &arena, c, padded_str("\x02\x02"));
    assert_int_equal(doc_validate(&d, &err), -1);
    assert_non_null(strstr(err.text, "left over"));
    codec_free(c);
}

static void test_resolution(void **state)
{
    (void)state;
    static const char writer[] =
        "{\"type\":\"record\",\"name\":\"w\",\"fields\":["
        "{\"name\":\"gone\",\"type\":\"string\"},{\"name\":\"a\",\"type\":\"int\"},"
        "{\"name\":\"b\",\"type\":[\"string\",\"null\"]},{\"name\":\"c\",\"type\":\"float\"}]}";
    struct field want[] = {{.name = "c", .type = FIELD_DOUBLE},
                           {.name = "new", .type = FIELD_STRING, .has_default = true},
                           {.name = "a", .type = FIELD_DOUBLE},
                           {.name = "b", .type = FIELD_BYTES, .nullable = true},
                           {.name = "maybe", .type = FIELD_LONG, .nullable = true}};
    want[1].default_value = value_string(slice_str("filled"));
    struct schema reader = {"r", want, ARRAY_COUNT(want)};
    struct codec *c, *json, *own;
    if (codec_new_avro(slice_str(writer), &reader, &c, &err) != 0)
        fail_msg("%s", err.text);
    own = avro_of(&reader);
    assert_int_not_equal(c->id, own->id);
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &json, &err), 0);
    struct doc d;
    // "xy", 21, branch 0 "z", 1.5f
    doc_open(&d, ctx, &arena, c, padded(slice_of("\x04xy\x2a\x00\x02z\x00\x00\xc0\x3f", 11)));
    assert_int_equal(doc_validate(&d, &err), 0);
    assert_true(get(&d, "a").type == VALUE_DOUBLE && get(&d, "a").d == 21);
    assert_int_equal(get(&d, "b").type, VALUE_BYTES);
    assert_encodes(&d, json,
                   "{\"c\":1.5,\"new\":\"filled\",\"a\":21,\"b\":\"eg==\",\"maybe\":null}");
    // Encoding is in the reader's schema, also to the same codec.
    struct buf b;
    buf_init(&b);
    assert_int_equal(doc_encode(&d, c, &b, &err), 0);
    struct doc back;
    doc_open(&back, ctx, &arena, own, padded(buf_slice(&b)));
    assert_encodes(&back, json,
                   "{\"c\":1.5,\"new\":\"filled\",\"a\":21,\"b\":\"eg==\",\"maybe\":null}");
    buf_release(&b);
    codec_free(c);
    codec_free(own);
    want[0].type = FIELD_LONG; // float does not shrink
    assert_int_equal(codec_new_avro(slice_str(writer), &reader, &c, &err), -1);
    assert_non_null(strstr(err.text, "'c'"));
    want[0].type = FIELD_DOUBLE;
    want[1].has_default = false;
    assert_int_equal(codec_new_avro(slice_str(writer), &reader, &c, &err), -1);
    assert_non_null(strstr(err.text, "'new'"));
    assert_int_equal(codec_new_avro(slice_str(writer), NULL, &c, &err), 0);
    assert_int_equal(c->schema->count, 4);
    codec_free(c);
    codec_free(json);
}

static char directory[] = "/tmp/weir-avro-XXXXXX";
static char path[64];

static void write_container(const char *codec, int count, struct buf *texts)
{
    struct codec *c = avro_of(&schema), *json;
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &json, &err), 0);
    struct avro_container *w;
    if (avro_container_open(path, &schema, codec, &w, &err) != 0)
        fail_msg("%s", err.text);
    struct prng r;
    prng_init(&r, 8);
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < count; i++) {
        arena_reset(&arena);
        struct doc d, exact;
        random_doc(&r, &d);
        buf_clear(&b);
        assert_int_equal(doc_encode(&d, c, &b, &err), 0);
        assert_int_equal(avro_container_append(w, buf_slice(&b), &err), 0);
        doc_open(&exact, ctx, &arena, c, padded(buf_slice(&b)));
        assert_int_equal(doc_encode(&exact, json, texts, &err), 0);
        buf_u8(texts, '\n');
        if (i == 10)
            assert_int_equal(avro_container_sync(w, &err), 0);
    }
    assert_int_equal(avro_container_records(w), count);
    assert_true(fcntl(avro_container_fd(w), F_GETFD) >= 0);
    assert_int_equal(avro_container_flush(w, &err), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(avro_container_bytes(w), st.st_size);
    assert_int_equal(avro_container_close(w, &err), 0);
    buf_release(&b);
    codec_free(c);
    codec_free(json);
}

// Reads the file with our reader into JSON lines; returns the last result of next.
static int read_container(struct buf *texts)
{
    struct avro_scan *r;
    struct codec *json;
    struct slice record;
    int got;
    if (avro_scan_open(path, NULL, &r, &err) != 0)
        return -1;
    assert_int_equal(codec_new(FORMAT_JSON, NULL, &json, &err), 0);
    while ((got = avro_scan_next(r, &record, &err)) == 1) {
        struct doc d;
        arena_reset(&arena);
        doc_open(&d, ctx, &arena, avro_scan_codec(r), padded(record));
        assert_int_equal(doc_encode(&d, json, texts, &err), 0);
        buf_u8(texts, '\n');
    }
    avro_scan_close(r);
    codec_free(json);
    return got;
}

static void judge_container(int count)
{
    avro_file_reader_t r;
    assert_int_equal(avro_file_reader(path, &r), 0);
    avro_schema_t js = avro_file_reader_get_writer_schema(r);
    avro_value_iface_t *iface = avro_generic_class_from_schema(js);
    struct prng random;
    prng_init(&random, 8);
    for (int i = 0; i < count; i++) {
        avro_value_t record;
        struct doc d;
        arena_reset(&arena);
        random_doc(&random, &d);
        assert_int_equal(avro_generic_value_new(iface, &record), 0);
        assert_int_equal(avro_file_reader_read_value(r, &record), 0);
        assert_judged(&record, &d);
        avro_value_decref(&record);
    }
    avro_value_iface_decref(iface);
    avro_schema_decref(js);
    avro_file_reader_close(r);
}

static void test_containers(void **state)
{
    (void)state;
    static const char *const codecs[] = {"null", "deflate", NULL};
    for (int i = 0; i < 3; i++) {
        struct buf written, found;
        buf_init(&written);
        buf_init(&found);
        write_container(codecs[i], 4000, &written);
        judge_container(4000);
        if (read_container(&found) != 0)
            fail_msg("%s", err.text);
        assert_true(slice_eq(buf_slice(&written), buf_slice(&found)));
        buf_release(&written);
        buf_release(&found);
    }
    struct avro_container *w;
    assert_int_equal(avro_container_open(path, &schema, "lz4", &w, &err), -1);
    assert_int_equal(avro_container_open("/nonexistent/x.avro", &schema, NULL, &w, &err), -1);
    assert_int_equal(err.code, ERR_IO);
}

static void test_damaged_container(void **state)
{
    (void)state;
    struct buf texts, file, found;
    buf_init(&texts);
    buf_init(&file);
    buf_init(&found);
    write_container("deflate", 40, &texts);
    int fd = open(path, O_RDWR);
    file.n = (uint32_t)read(fd, buf_reserve(&file, 65536), 65536);
    uint32_t good = 0;
    for (uint32_t n = 0; n < file.n; n += 3) { // truncated: whole blocks or an error, never a crash
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, file.p, n, 0), n);
        buf_clear(&found);
        good += read_container(&found) == 0;
        assert_true(found.n <= texts.n &&
                    memcmp(found.p == NULL ? texts.p : found.p, texts.p, found.n) == 0);
    }
    assert_true(good <= 2);
    for (uint32_t i = 0; i < file.n; i += 5) { // one byte wrong
        struct avro_scan *r;
        struct slice record;
        file.p[i] ^= 0x41;
        assert_int_equal(pwrite(fd, file.p, file.n, 0), file.n);
        file.p[i] ^= 0x41;
        if (avro_scan_open(path, NULL, &r, &err) != 0)
            continue;
        while (avro_scan_next(r, &record, &err) == 1)
            assert_true(record.n > 0);
        avro_scan_close(r);
    }
    close(fd);
    buf_release(&texts);
    buf_release(&file);
    buf_release(&found);
}

// A file by Avro-C, whose deflate and null blocks our reader must take.
static void test_foreign_container(void **state)
{
    (void)state;
    static const char *const codecs[] = {"null", "deflate"};
    avro_schema_t js = judge_schema(&schema);
    struct codec *c = avro_of(&schema);
    for (int k = 0; k < 2; k++) {
        avro_file_writer_t w;
        struct prng r;
        struct buf b, found;
        prng_init(&r, 9);
        buf_init(&b);
        buf_init(&found);
        unlink(path);
        assert_int_equal(avro_file_writer_create_with_codec(path, js, &w, codecs[k], 16384), 0);
        for (int i = 0; i < 1000; i++) {
            struct doc d;
            arena_reset(&arena);
            random_doc(&r, &d);
            buf_clear(&b);
            assert_int_equal(doc_encode(&d, c, &b, &err), 0);
            assert_int_equal(avro_file_writer_append_encoded(w, b.p, b.n), 0);
        }
        assert_int_equal(avro_file_writer_close(w), 0);
        if (read_container(&found) != 0)
            fail_msg("%s", err.text);
        uint32_t lines = 0;
        for (uint32_t i = 0; i < found.n; i++)
            lines += found.p[i] == '\n';
        assert_int_equal(lines, 1000);
        buf_release(&b);
        buf_release(&found);
    }
    avro_schema_decref(js);
    codec_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records),           cmocka_unit_test(test_encode_errors),
        cmocka_unit_test(test_trailing_bytes),    cmocka_unit_test(test_resolution),
        cmocka_unit_test(test_containers),        cmocka_unit_test(test_damaged_container),
        cmocka_unit_test(test_foreign_container),
    };
    if (mkdtemp(directory) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/f.avro", directory);
    int failed = cmocka_run_group_tests(tests, formats_setup, formats_teardown);
    unlink(path);
    rmdir(directory);
    return failed;
}
