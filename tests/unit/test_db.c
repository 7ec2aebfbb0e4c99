// SPDX-License-Identifier: Apache-2.0
//
// Db: what is written is read, what was not flushed is gone after a crash and all of it together,
// stores and partitions do not see each other, layouts and owners are checked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "state/db.h"

static struct db *open_mem(void)
{
    struct db_options o = {.in_memory = true};
    struct db *db;
    struct err e;
    if (db_open("/mem/state", &o, &db, &e) != 0)
        fail_msg("%s", e.text);
    return db;
}

// Row key: one length byte, key, sub-key.
static struct slice row_key(char out[64], const char *key, const char *sub)
{
    int n = snprintf(out, 64, "%c%s%s", (char)strlen(key), key, sub);
    return slice_of(out, (size_t)n);
}

static void put(struct db *db, uint32_t store, int32_t part, const char *key, const char *sub,
                const char *value)
{
    char k[64];
    struct err e;
    struct db_batch *b = db_batch_new();
    struct state_row row = {store, row_key(k, key, sub),
                            value == NULL ? (struct slice){NULL, 0} : slice_str(value)};
    db_batch_row(b, part, &row);
    assert_int_equal(db_write(db, b, &e), 0);
    db_batch_free(b);
}

// "key sub=value;…" of what db_each or db_each_from shows.
struct list {
    char text[512];
    int stop_after;
};

static bool add(void *arg, struct slice key, struct slice value)
{
    struct list *l = arg;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%.*s=%.*s;", (int)key.n - 1, key.p + 1, (int)value.n,
             value.p);
    return --l->stop_after != 0;
}

static const char *each(struct db *db, struct list *l, uint32_t store, int32_t part,
                        const char *key)
{
    char k[64];
    struct err e;
    *l = (struct list){.stop_after = -1};
    struct slice prefix = key == NULL ? slice_of("", 0) : row_key(k, key, "");
    assert_int_equal(db_each(db, store, part, prefix, add, l, &e), 0);
    return l->text;
}

static void test_get_and_each(void **state)
{
    (void)state;
    struct db *db = open_mem();
    struct list l;
    struct err e;
    struct buf out;
    char k[64];
    buf_init(&out);
    put(db, 7, 0, "b", "2", "b2");
    put(db, 7, 0, "b", "1", "b1");
    put(db, 7, 0, "a", "", "");
    put(db, 7, 0, "ab", "1", "ab1");
    put(db, 7, 1, "a", "", "other partition");
    put(db, 8, 0, "a", "", "other store");
    put(db, 6, 255, "z", "", "before");
    assert_string_equal(each(db, &l, 7, 0, NULL), "a=;b1=b1;b2=b2;ab1=ab1;");
    assert_string_equal(each(db, &l, 7, 0, "b"), "b1=b1;b2=b2;");
    assert_string_equal(each(db, &l, 7, 0, "c"), "");
    assert_string_equal(each(db, &l, 7, 1, NULL), "a=other partition;");
    assert_string_equal(each(db, &l, 9, 0, NULL), "");
    assert_int_equal(db_get(db, 7, 0, row_key(k, "a", ""), &out, &e), 1);
    assert_int_equal(out.n, 0);
    assert_non_null(out.p);
    assert_int_equal(db_get(db, 7, 0, row_key(k, "a", "x"), &out, &e), 0);
    l = (struct list){.stop_after = 2};
    assert_int_equal(db_each_from(db, 7, 0, row_key(k, "b", "2"), add, &l, &e), 0);
    assert_string_equal(l.text, "b2=b2;ab1=ab1;");
    put(db, 7, 0, "b", "1", NULL);
    assert_string_equal(each(db, &l, 7, 0, "b"), "b2=b2;");
    assert_true(db_bytes(db) > 0);
    buf_release(&out);
    db_close(db);
}

// The same after rows went to table files, where Bloom filters answer.
static void test_after_flush(void **state)
{
    (void)state;
    struct db *db = open_mem();
    struct list l;
    struct err e;
    char key[16];
    for (int i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "k%03d", i);
        put(db, 3, i % 4, key, "s", key);
        if (i % 100 == 99)
            assert_int_equal(db_flush(db, &e), 0);
    }
    for (int i = 0; i < 500; i++) {
        char want[32];
        snprintf(key, sizeof key, "k%03d", i);
        snprintf(want, sizeof want, "%ss=%s;", key, key);
        assert_string_equal(each(db, &l, 3, i % 4, key), want);
        assert_string_equal(each(db, &l, 3, (i + 1) % 4, key), "");
    }
    db_close(db);
}

static void test_crash_is_atomic(void **state)
{
    (void)state;
    struct db *db = open_mem();
    struct list l;
    struct err e;
    put(db, 1, 0, "a", "", "old");
    put(db, 2, 0, "mark", "", "old");
    assert_int_equal(db_flush(db, &e), 0);
    struct db_batch *b = db_batch_new();
    char k[64];
    struct state_row rows[] = {{1, row_key(k, "a", ""), slice_str("new")}};
    db_batch_row(b, 0, &rows[0]);
    struct state_row mark = {2, row_key(k, "mark", ""), slice_str("new")};
    db_batch_row(b, 0, &mark);
    assert_int_equal(db_write(db, b, &e), 0);
    assert_string_equal(each(db, &l, 1, 0, NULL), "a=new;");
    assert_int_equal(db_crash(db, &e), 0);
    assert_string_equal(each(db, &l, 1, 0, NULL), "a=old;");
    assert_string_equal(each(db, &l, 2, 0, NULL), "mark=old;");
    assert_int_equal(db_write(db, b, &e), 0); // the batch is still whole
    assert_int_equal(db_flush(db, &e), 0);
    assert_int_equal(db_crash(db, &e), 0);
    assert_string_equal(each(db, &l, 1, 0, NULL), "a=new;");
    assert_string_equal(each(db, &l, 2, 0, NULL), "mark=new;");
    db_batch_clear(b);
    assert_int_equal(db_write(db, b, &e), 0);
    db_batch_free(b);
    db_close(db);
}

static void test_wipe(void **state)
{
    (void)state;
    struct db *db = open_mem();
    struct list l;
    struct err e;
    put(db, 5, 0, "a", "", "1");
    put(db, 5, 1, "a", "", "2");
    put(db, 4, 0, "a", "", "3");
    assert_int_equal(db_flush(db, &e), 0);
    put(db, 5, 0, "b", "", "4");
    assert_int_equal(db_wipe(db, 5, 0, &e), 0);
    assert_string_equal(each(db, &l, 5, 0, NULL), "");
    assert_string_equal(each(db, &l, 5, 0, "a"), "");
    assert_string_equal(each(db, &l, 5, 1, NULL), "a=2;");
    assert_string_equal(each(db, &l, 4, 0, NULL), "a=3;");
    put(db, 5, 0, "a", "", "5");
    assert_string_equal(each(db, &l, 5, 0, NULL), "a=5;");
    db_close(db);
}

static void test_register(void **state)
{
    (void)state;
    struct db *db = open_mem();
    struct err e;
    assert_int_equal(db_register(db, "customer", "features", 1, &e), 0);
    assert_int_equal(db_register(db, "customer", "features", 1, &e), 0);
    assert_int_equal(db_register(db, "terminal", "features", 1, &e), 0);
    assert_int_equal(db_register(db, "customer", "features", 2, &e), -1);
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "features version 1"));
    assert_non_null(strstr(e.text, "reset"));
    assert_int_equal(db_register(db, "customer", "table", 1, &e), -1);
    // Two names with one id cannot be found in a test; a foreign name in the id's row stands in.
    uint8_t key[9] = "store";
    bytes_put32(key + 5, hash_id("other"));
    struct buf v = {0};
    buf_lslice(&v, slice_str("elsewhere"));
    buf_lslice(&v, slice_str("features"));
    buf_u16(&v, 1);
    struct db_batch *b = db_batch_new();
    struct state_row row = {0, slice_of(key, sizeof key), buf_slice(&v)};
    db_batch_row(b, 0, &row);
    assert_int_equal(db_write(db, b, &e), 0);
    db_batch_free(b);
    buf_release(&v);
    assert_int_equal(db_register(db, "other", "features", 1, &e), -1);
    assert_int_equal(e.code, ERR_EXISTS);
    db_close(db);
}

static void remove_dir(const char *dir)
{
    char cmd[256];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    assert_int_equal(system(cmd), 0);
}

static void test_on_disk(void **state)
{
    (void)state;
    char dir[] = "/tmp/weir-test-db-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct db_options o = {0};
    struct db *db, *second = NULL;
    struct err e;
    struct list l;
    assert_int_equal(db_open(dir, &o, &db, &e), 0);
    put(db, 1, 0, "a", "", "1");
    assert_int_equal(db_open(dir, &o, &second, &e), -1);
    assert_non_null(strstr(e.text, "stop it first"));
    db_close(db); // flushes
    assert_int_equal(db_open(dir, &o, &db, &e), 0);
    assert_string_equal(each(db, &l, 1, 0, NULL), "a=1;");
    char format[] = "format";
    struct db_batch *b = db_batch_new();
    struct state_row row = {0, slice_str(format), slice_str("weir state 99")};
    db_batch_row(b, 0, &row);
    assert_int_equal(db_write(db, b, &e), 0);
    db_batch_free(b);
    db_close(db);
    assert_int_equal(db_open(dir, &o, &db, &e), -1);
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.text, "weir state 99"));
    remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get_and_each),    cmocka_unit_test(test_after_flush),
        cmocka_unit_test(test_crash_is_atomic), cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_register),        cmocka_unit_test(test_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
