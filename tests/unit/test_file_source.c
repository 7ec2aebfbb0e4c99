// SPDX-License-Identifier: Apache-2.0
//
// The file source on the memory log: every row once, in place, whatever restarts, aborts and
// unknown outcomes come in between; files that grow, rotate, are cut or replaced.
#include "tests/unit/connector_run.h"

#include "base/prng.h"
#include "connectors/file_position.h"

#include <sys/stat.h>
#include <zlib.h>

static char dir[TMPDIR_MAX];
static struct codec *json;
static struct field fields[] = {
    {.name = "id", .type = FIELD_LONG},
    {.name = "t", .type = FIELD_TIMESTAMP},
    {.name = "v", .type = FIELD_DOUBLE},
};
static const struct schema schema = {"Row", fields, 3};

static int setup(void **state)
{
    (void)state;
    struct err e;
    tmpdir_make(dir);
    assert_int_equal(codec_new(FORMAT_JSON, &schema, &json, &e), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmpdir_remove(dir);
    codec_free(json);
    return 0;
}

static const char *path_of(const char *name)
{
    static char paths[4][TMPDIR_MAX + 64];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static void put(const char *name, const char *mode, const char *text)
{
    FILE *f = fopen(path_of(name), mode);
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

// Rows first … first + n - 1, ids and times from their number.
static void put_rows(const char *name, const char *mode, bool header, int first, int n)
{
    FILE *f = fopen(path_of(name), mode);
    assert_non_null(f);
    if (header)
        fprintf(f, "id,t,v\n");
    for (int i = first; i < first + n; i++)
        fprintf(f, "%d,%d,%d.5\n", i, i * 1000, i);
    fclose(f);
}

static void source(struct run *r, const char *pattern, int32_t partitions)
{
    run_init(r, false, json);
    r->spec.partitions = partitions;
    run_text(r, "path", path_of(pattern));
    run_text(r, "time", "t");
}

struct seen {          // what a topic holds
    char text[200000]; // "partition:value\n" by partition
    int records, ends;
    int64_t watermark; // the lowest newest one over the partitions
};

static void look(struct run *r, const char *topic, int32_t partitions, struct seen *s)
{
    size_t at = 0;
    memset(s, 0, sizeof *s);
    s->watermark = INT64_MAX;
    for (int32_t p = 0; p < partitions; p++) {
        uint32_t n;
        const struct rec *recs = memory_records(r->memory, topic, p, &n);
        int64_t watermark = INT64_MIN;
        struct marker m = {0};
        for (uint32_t i = 0; i < n; i++) {
            if ((recs[i].flags & REC_MARKER) != 0) {
                assert_int_equal(marker_decode(recs[i].value, &m), 0);
                assert_true(m.watermark >= watermark);
                assert_int_equal(m.group, hash_id("app/files"));
                watermark = m.watermark;
                continue;
            }
            s->records++;
            assert_true(watermark == INT64_MIN || recs[i].time >= watermark);
            at += (size_t)snprintf(s->text + at, sizeof s->text - at, "%d:%lld:%.*s\n", p,
                                   (long long)origin_of(&recs[i], 0, 0).offset,
                                   (int)recs[i].value.n, (const char *)recs[i].value.p);
        }
        s->ends += (m.flags & MARKER_END) != 0;
        if (watermark < s->watermark)
            s->watermark = watermark;
    }
}

// The ids in the only partition, in order, as "1 2 3 ".
static void assert_ids(struct run *r, int first, int n)
{
    uint32_t count;
    const struct rec *recs = memory_records(r->memory, "data", 0, &count);
    int next = first;
    for (uint32_t i = 0; i < count; i++) {
        int id;
        if ((recs[i].flags & REC_MARKER) != 0)
            continue;
        assert_int_equal(sscanf((const char *)recs[i].value.p, "{\"id\":%d", &id), 1);
        assert_int_equal(id, next);
        next++;
    }
    assert_int_equal(next, first + n);
}

static void test_bounded(void **state)
{
    (void)state;
    struct run r;
    static struct seen s;
    put_rows("a.csv", "wb", true, 0, 100);
    source(&r, "a.csv", 2);
    r.spec.key_field = "id";
    run_text(&r, "max_out_of_order", "5s");
    run_open(&r);
    run_to_end(&r);
    look(&r, "data", 2, &s);
    assert_int_equal(s.records, 100);
    assert_int_equal(s.ends, 2);
    assert_int_equal(s.watermark, 99000 - 5000);
    assert_non_null(strstr(s.text, ":7:{\"id\":7,\"t\":7000,\"v\":7.5}\n"));
    assert_true(r.stats.finished);
    assert_int_equal(r.stats.records, 100);
    assert_int_equal(r.stats.event_time, 99000);
    assert_int_equal(r.stats.bytes, r.stats.total_bytes);
    uint32_t n;
    const struct rec *recs = memory_records(r.memory, "data", 0, &n);
    assert_int_equal(log_partition_of(recs[0].key, 2), 0);
    // A second bounded run finds nothing new, and still ends.
    run_close(&r);
    run_open(&r);
    run_to_end(&r);
    look(&r, "data", 2, &s);
    assert_int_equal(s.records, 100);
    assert_int_equal(s.ends, 2);
    run_free(&r);
}

static void test_spread(void **state)
{
    (void)state;
    struct run r;
    static struct seen s;
    put_rows("a.csv", "wb", true, 0, 12);
    source(&r, "a.csv", 3);
    run_text(&r, "partition_by", "blocks:2");
    run_open(&r);
    run_to_end(&r);
    look(&r, "data", 3, &s);
    assert_non_null(strstr(s.text, "0:1:{\"id\":1,\"t\":1000,\"v\":1.5}\n0:6:{\"id\":6"));
    assert_non_null(strstr(s.text, "2:4:{"));
    run_free(&r);
}

static struct prng fault_rng;
static uint32_t crashes;

// Dies and starts again, as often as opening meets a fault too.
static void run_reopen(struct run *r)
{
    struct err e;
    do {
        crashes++;
        run_crash(r);
    } while (run_ops(r)->open(&r->ctx, &r->c, &e) != 0);
}

// The process dies right before or right after a commit; it learns nothing either way.
static enum memory_fault random_death(void *arg)
{
    static enum memory_fault stuck;
    (void)arg;
    if (stuck == MEMORY_UNKNOWN_APPLIED && prng_below(&fault_rng, 8) != 0)
        return stuck;
    uint64_t n = prng_below(&fault_rng, 6);
    stuck = n == 0 ? MEMORY_FENCE : n == 1 ? MEMORY_UNKNOWN_APPLIED : MEMORY_NORMAL;
    return stuck;
}

// One straight run says what must come out; then the same with a crash around every few commits, of
// transactions of odd sizes.
static void test_crash_anywhere(void **state)
{
    (void)state;
    static struct seen want, got;
    put_rows("a.csv", "wb", true, 0, 400);
    put_rows("b.csv", "wb", true, 400, 300);
    put("b.csv", "ab", "bad row\n");
    put_rows("b.csv", "ab", false, 700, 100);
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct run r;
        source(&r, "?.csv", 3);
        run_option(&r, "commit_rows", value_int(seed == 0 ? 100000 : 1 + (int)(seed * 7 % 61)));
        prng_init(&fault_rng, seed);
        r.options.fault = seed > 0 ? random_death : NULL;
        r.log->ops->close(r.log);
        run_connect(&r);
        run_open(&r);
        for (int rc = 1; rc != 2;) {
            struct err e;
            rc = run_step(&r, &e);
            if (rc < 0) {
                assert_true(e.code == ERR_FENCED || e.code == ERR_UNKNOWN);
                run_reopen(&r);
            }
        }
        look(&r, "data", 3, seed == 0 ? &want : &got);
        if (seed == 0)
            assert_int_equal(want.records, 800);
        else
            assert_string_equal(got.text, want.text);
        uint32_t n;
        const struct rec *letters = memory_records(r.memory, "app-dead-letters", 0, &n);
        assert_int_equal(n, 1);
        assert_true(slice_eq_str(letters[0].value, "bad row"));
        assert_non_null(memmem(letters[0].headers.p, letters[0].headers.n, "b.csv:302", 9));
        run_free(&r);
    }
    assert_true(crashes > 200);
}

static enum memory_fault random_fault(void *arg)
{
    (void)arg;
    uint64_t n = prng_below(&fault_rng, 8);
    return n < 4 ? MEMORY_NORMAL : (enum memory_fault)(n - 4);
}

static void test_commit_faults(void **state)
{
    (void)state;
    static struct seen want, got;
    put_rows("a.csv", "wb", true, 0, 500);
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct run r;
        source(&r, "a.csv", 2);
        prng_init(&fault_rng, seed);
        run_option(&r, "commit_rows", value_int(20));
        if (seed > 0)
            r.options.fault = random_fault;
        r.log->ops->close(r.log);
        run_connect(&r);
        run_open(&r);
        for (int rc = 1; rc != 2;) {
            struct err e;
            rc = run_step(&r, &e);
            if (rc < 0) {
                assert_int_equal(e.code, ERR_UNKNOWN);
                run_reopen(&r);
            }
        }
        look(&r, "data", 2, seed == 0 ? &want : &got);
        if (seed == 0)
            assert_int_equal(want.records, 500);
        else
            assert_string_equal(got.text, want.text);
        run_free(&r);
    }
}

static void follow(struct run *r, const char *pattern)
{
    source(r, pattern, 1);
    r->ctx.bounded = false;
    run_open(r);
    run_to_rest(r);
}

static void test_follow_growing(void **state)
{
    (void)state;
    struct run r;
    follow(&r, "a.csv"); // not there yet
    put("a.csv", "wb", "id,");
    run_to_rest(&r);
    put("a.csv", "ab", "t,v\n0,0,1\n1,1");
    run_to_rest(&r);
    assert_ids(&r, 0, 1); // half a row is not a row
    put("a.csv", "ab", "000,2\n");
    run_to_rest(&r);
    assert_ids(&r, 0, 2);
    run_close(&r);
    put_rows("a.csv", "ab", false, 2, 50);
    run_open(&r);
    run_to_rest(&r);
    assert_ids(&r, 0, 52);
    run_free(&r);
}

static enum memory_fault always_abort(void *arg)
{
    (void)arg;
    return MEMORY_ABORT;
}

// Commits that are refused for good end the source instead of keeping it busy for ever.
static void test_refused_for_good(void **state)
{
    (void)state;
    struct run r;
    struct err e;
    int rc = 0;
    put_rows("a.csv", "wb", true, 0, 5);
    source(&r, "a.csv", 1);
    run_close(&r);
    r.log->ops->close(r.log);
    r.options.fault = always_abort;
    run_connect(&r);
    run_open(&r);
    for (int i = 0; rc >= 0 && i < 1000; i++)
        rc = run_step(&r, &e);
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_AGAIN);
    assert_non_null(strstr(e.text, "gave up after 20 attempts to commit"));
    run_free(&r);
}

static uint8_t last_flags(struct run *r)
{
    uint32_t n;
    struct marker m = {.flags = 0xff};
    const struct rec *recs = memory_records(r->memory, "data", 0, &n);
    for (uint32_t i = 0; i < n; i++)
        if ((recs[i].flags & REC_MARKER) != 0)
            assert_int_equal(marker_decode(recs[i].value, &m), 0);
    return m.flags;
}

static void test_follow_idle(void **state)
{
    (void)state;
    struct run r;
    uint32_t before, after;
    put_rows("a.csv", "wb", true, 0, 5);
    follow(&r, "a.csv");
    assert_int_equal(last_flags(&r), 0);
    r.clk.now_ms += 30000;
    run_to_rest(&r);
    assert_int_equal(last_flags(&r), MARKER_IDLE);
    memory_records(r.memory, "data", 0, &before);
    r.clk.now_ms += 300000;
    run_to_rest(&r);
    memory_records(r.memory, "data", 0, &after);
    assert_int_equal(after, before); // said once
    // A restart says nothing new; the next row, though it is an old one, wakes the source.
    run_close(&r);
    run_open(&r);
    run_to_rest(&r);
    memory_records(r.memory, "data", 0, &after);
    assert_int_equal(after, before);
    put("a.csv", "ab", "5,4000,1\n");
    run_to_rest(&r);
    assert_int_equal(last_flags(&r), 0);
    run_free(&r);
}

static void test_rotation(void **state)
{
    (void)state;
    struct run r;
    put_rows("a.csv", "wb", true, 0, 10);
    follow(&r, "a.csv*");
    // While running: the old file gets two more rows after its rename.
    rename(path_of("a.csv"), path_of("a.csv.1"));
    put_rows("a.csv.1", "ab", false, 10, 2);
    put_rows("a.csv", "wb", true, 12, 5);
    run_to_rest(&r);
    assert_ids(&r, 0, 17);
    // While stopped, and the new names match the pattern.
    run_close(&r);
    put_rows("a.csv", "ab", false, 17, 3);
    rename(path_of("a.csv.1"), path_of("a.csv.2"));
    rename(path_of("a.csv"), path_of("a.csv.1"));
    put_rows("a.csv", "wb", true, 20, 4);
    run_open(&r);
    run_to_rest(&r);
    assert_ids(&r, 0, 24);
    put_rows("a.csv", "ab", false, 24, 1);
    run_to_rest(&r);
    assert_ids(&r, 0, 25);
    run_free(&r);
}

static void test_truncated(void **state)
{
    (void)state;
    struct run r;
    put_rows("a.csv", "wb", true, 0, 10);
    follow(&r, "a.csv");
    put_rows("a.csv", "wb", true, 10, 3); // same inode, shorter
    run_to_rest(&r);
    assert_ids(&r, 0, 13);
    run_close(&r);
    put_rows("a.csv", "wb", true, 13, 20); // rewritten while stopped, longer
    run_open(&r);
    run_to_rest(&r);
    assert_ids(&r, 0, 33);
    run_free(&r);
}

static size_t gzip_text(const char *text, uint8_t *out, size_t size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (uint8_t *)(uintptr_t)text;
    z.avail_in = (uInt)strlen(text);
    z.next_out = out;
    z.avail_out = (uInt)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void put_bytes(const char *name, const void *p, size_t n)
{
    FILE *f = fopen(path_of(name), "wb");
    assert_int_equal(fwrite(p, 1, n, f), n);
    fclose(f);
}

// A download that broke off: its whole rows come, then an error that says so; the complete file,
// put in its place, goes on where the torn one ended.
static void test_torn_gzip(void **state)
{
    (void)state;
    static char text[100000];
    static uint8_t z[100000];
    struct run r;
    struct err e;
    struct prng rng;
    prng_init(&rng, 3);
    size_t at = (size_t)sprintf(text, "id,t,v\n");
    for (int i = 0; i < 2000; i++)
        at += (size_t)sprintf(text + at, "%d,%d,%u\n", i, i, (unsigned)prng_below(&rng, 1u << 31));
    size_t n = gzip_text(text, z, sizeof z);
    put_bytes("a.csv.gz", z, n / 2);
    source(&r, "a.csv.gz", 1);
    run_open(&r);
    int rc;
    while ((rc = run_step(&r, &e)) == 1) {
    }
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "ends in the middle"));
    assert_non_null(strstr(e.text, "a.csv.gz"));
    uint32_t count;
    memory_records(r.memory, "data", 0, &count);
    assert_true(count > 100 && count < 2000);
    run_close(&r);
    put_bytes("new", z, n);
    rename(path_of("new"), path_of("a.csv.gz"));
    run_open(&r);
    run_to_end(&r);
    assert_ids(&r, 0, 2000);
    run_free(&r);
}

static void test_files_in_order(void **state)
{
    (void)state;
    struct run r;
    put_rows("1.csv", "wb", true, 0, 3);
    put("2.csv", "wb", "v,t,id\n3.5,3000,3"); // other order, no last newline
    put("3.csv", "wb", "");
    put_rows("4.csv", "wb", true, 4, 2);
    source(&r, "*.csv", 1);
    run_open(&r);
    run_to_end(&r);
    assert_ids(&r, 0, 6);
    // Only the new file is read next time.
    run_close(&r);
    put_rows("5.csv", "wb", true, 6, 1);
    run_open(&r);
    run_to_end(&r);
    assert_ids(&r, 0, 7);
    run_free(&r);
}

static void test_options(void **state)
{
    (void)state;
    struct run r;
    struct err e;
    source(&r, "a.csv", 1);
    const struct connector_ops *ops = run_ops(&r);
    assert_int_equal(ops->check(&r.spec, &e), 0);
    run_text(&r, "partition_bye", "key");
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "did you mean \"partition_by\""));
    assert_non_null(strstr(e.text, "test.lua:1"));
    r.spec.options.count--;
    run_text(&r, "follow", "yes");
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "true or false"));
    r.spec.options.count--;
    run_text(&r, "time", "ts");
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "no field \"ts\""));
    run_text(&r, "time", "t");
    run_text(&r, "partition_by", "key");
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "needs a key"));
    r.spec.options.count--;
    // Bounded, and there is no such file.
    run_open(&r);
    assert_int_equal(run_step(&r, &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "there is no file"));
    assert_null(connector_find("fil", false, &e));
    assert_non_null(strstr(e.text, "did you mean \"file\""));
    run_free(&r);
}

static void test_position_round_trip(void **state)
{
    (void)state;
    struct file_position p, q;
    struct buf b;
    struct err e;
    buf_init(&b);
    file_position_init(&p);
    snprintf(p.path, sizeof p.path, "dir/\"quoted\".csv");
    p.id = (struct file_id){UINT64_MAX, 12, 0xfedcba9876543210u, 1024};
    p.byte = INT64_MAX;
    p.line = 5;
    p.row = 4;
    p.header = 9;
    p.max_time = -7;
    p.ended = true;
    for (int i = 0; i < FILE_POSITION_ROTATED + 2; i++)
        file_position_rotate(&p, &p.id);
    file_position_encode(&p, &b);
    assert_int_equal(file_position_decode(buf_slice(&b), &q, &e), 0);
    assert_string_equal(p.path, q.path);
    assert_memory_equal(&p.id, &q.id, sizeof p.id);
    assert_int_equal(q.byte, INT64_MAX);
    assert_int_equal(q.max_time, -7);
    assert_int_equal(q.watermark, INT64_MIN);
    assert_int_equal(q.rotated_count, FILE_POSITION_ROTATED);
    assert_true(q.ended);
    for (uint32_t cut = 0; cut < b.n; cut++)
        assert_int_equal(file_position_decode(slice_of(b.p, cut), &q, &e), -1);
    buf_release(&b);
}

int main(void)
{
    logline_level = LOG_ERROR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spread, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_commit_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follow_growing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follow_idle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_gzip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test(test_position_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
