// SPDX-License-Identifier: Apache-2.0
//
// The file sink on the memory log: the same bytes whatever crashes, kills and batch sizes come in
// between; the ledger's races; rolling; bad records.
#include "tests/unit/connector_run.h"

#include "base/failpoint.h"
#include "base/prng.h"
#include "connectors/file_commit.h"
#include "formats/avro_container.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[TMPDIR_MAX];
static struct codec *json;
static struct field fields[] = {
    {.name = "id", .type = FIELD_LONG},
    {.name = "name", .type = FIELD_STRING, .nullable = true},
    {.name = "v", .type = FIELD_DOUBLE, .nullable = true},
    {.name = "ok", .type = FIELD_BOOLEAN, .nullable = true},
};
static const struct schema schema = {"Row", fields, 4};

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
    static char paths[4][TMPDIR_MAX + 320];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

static struct marker_writers writers[] = {{77, 2}, {78, 1}};

static void produce(struct run *r, int32_t partition, int64_t time, const char *value)
{
    struct log_record record = {.time = time, .key = slice_str("k"), .value = slice_str(value)};
    memory_produce(r->memory, "data", partition, &record);
}

static void produce_marker(struct run *r, int32_t partition, uint32_t group, int32_t writer,
                           uint8_t flags)
{
    struct buf b;
    buf_init(&b);
    struct marker m = {.group = group, .writer = writer, .writers = 2, .flags = flags};
    marker_encode(&m, &b);
    struct log_record record = {.value = buf_slice(&b), .marker = true};
    memory_produce(r->memory, "data", partition, &record);
    buf_release(&b);
}

static void produce_ends(struct run *r, int32_t partitions)
{
    for (int32_t p = 0; p < partitions; p++) {
        produce_marker(r, p, 77, 0, MARKER_END);
        produce_marker(r, p, 78, 0, MARKER_END);
        produce_marker(r, p, 77, 1, MARKER_END);
    }
}

static void sink(struct run *r, const char *out, const char *format, int32_t partitions)
{
    struct err e;
    run_init(r, true, json);
    struct log_topic_spec topic = {.name = "data", .partitions = partitions};
    run_must(memory_topic_create(r->memory, &topic, &e), &e);
    run_text(r, "path", out);
    run_text(r, "format", format);
    r->ctx.writers = writers;
    r->ctx.writers_count = 2;
}

// Rows of every kind, a bad one and a tombstone among them, markers in between.
static void fill(struct run *r, int32_t partitions, int n)
{
    char value[200];
    for (int i = 0; i < n; i++) {
        int32_t p = i % partitions;
        if (i % 50 == 17)
            snprintf(value, sizeof value, "{\"id\":\"x%d\"", i);
        else if (i % 7 == 0)
            snprintf(value, sizeof value, "{\"id\":%d,\"name\":\"a,\\\"b\\\" %d\",\"v\":null}", i,
                     i);
        else
            snprintf(value, sizeof value, "{\"id\":%d,\"name\":\"n%d\",\"v\":%d.25,\"ok\":%s}", i,
                     i, i, i % 2 ? "true" : "false");
        produce(r, p, i * 1000, value);
        if (i % 13 == 0)
            produce_marker(r, p, 77, i % 2, 0);
    }
    produce_ends(r, partitions);
}

// Names and bytes of all data files of a directory, in name order; dot files are counted.
struct content {
    struct buf bytes;
    int files, strays, entries;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_into(const char *path, struct buf *out)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n;
    while ((n = fread(buf_reserve(out, 65536), 1, 65536, f)) > 0)
        out->n += (uint32_t)n;
    fclose(f);
}

static void read_directory(const char *path, struct content *c)
{
    char *names[1000], full[TMPDIR_MAX + 600];
    int n = 0;
    memset(c, 0, sizeof *c);
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d)) != NULL;) {
        if (f->d_name[0] == '.' && f->d_name[1] != 0 && strcmp(f->d_name, "..") != 0)
            c->strays++;
        if (f->d_name[0] != '.' && strcmp(f->d_name, "_commit") != 0)
            names[n++] = strdup(f->d_name);
    }
    closedir(d);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
        buf_printf(&c->bytes, "== %s\n", names[i]);
        snprintf(full, sizeof full, "%s/%s", path, names[i]);
        read_into(full, &c->bytes);
        free(names[i]);
    }
    c->files = n;
}

static void assert_same(struct content *a, struct content *b)
{
    assert_int_equal(a->files, b->files);
    assert_int_equal(a->bytes.n, b->bytes.n);
    assert_memory_equal(a->bytes.p, b->bytes.p, a->bytes.n);
    assert_int_equal(b->strays, 0);
}

static const char *file_text(const char *path)
{
    static struct buf b;
    buf_clear(&b);
    read_into(path, &b);
    buf_u8(&b, 0);
    return (const char *)b.p;
}

static void test_csv_by_rows(void **state)
{
    (void)state;
    struct run r;
    sink(&r, path_of("out"), "csv", 1);
    run_option(&r, "roll_rows", value_int(2));
    produce(&r, 0, 10, "{\"id\":1,\"name\":\"a,b\",\"v\":0.1,\"ok\":true}");
    produce(&r, 0, 20, "{\"ok\":null, \"id\":2,\"v\":1e3}");
    produce(&r, 0, 30, "{\"id\":3,\"name\":\"\\u00e9\\n\",\"v\":-5,\"ok\":false}");
    produce_ends(&r, 1);
    run_open(&r);
    run_to_end(&r);
    assert_string_equal(file_text(path_of("out/data-0-000000000000.csv")),
                        "id,name,v,ok\n1,\"a,b\",0.1,true\n2,,1000,\n");
    assert_string_equal(file_text(path_of("out/data-0-000000000002.csv")),
                        "id,name,v,ok\n3,\"\xc3\xa9\n\",-5,false\n");
    assert_int_equal(r.stats.records, 3);
    assert_true(r.stats.finished);
    const char *entry = file_text(path_of("out/_commit/data-0-000000000001.json"));
    assert_non_null(strstr(entry, "\"name\":\"data-0-000000000000.csv\",\"rows\":2"));
    assert_non_null(strstr(entry, "\"next_offset\":2,\"next_row\":2"));
    assert_non_null(strstr(entry, "\"min_time\":10,\"max_time\":20"));
    run_free(&r);
}

static void test_columns_and_booleans(void **state)
{
    (void)state;
    struct run r;
    sink(&r, path_of("out"), "csv", 1);
    struct value names[] = {value_string(slice_str("ok")), value_string(slice_str("id"))};
    run_option(&r, "columns", (struct value){.type = VALUE_LIST, .count = 2, .items = names});
    run_text(&r, "booleans", "0/1");
    run_text(&r, "delimiter", "tab");
    produce(&r, 0, 0, "{\"id\":1,\"ok\":true}");
    produce_ends(&r, 1);
    run_open(&r);
    run_to_end(&r);
    assert_string_equal(file_text(path_of("out/data-0-000000000000.csv")), "ok\tid\n1\t1\n");
    run_free(&r);
}

// A later span begins a new file; an earlier one does not, and a bad record does neither.
static void test_roll_by_time(void **state)
{
    (void)state;
    struct run r;
    int64_t hour = 3600000;
    sink(&r, path_of("out"), "jsonl", 1);
    run_text(&r, "roll_every", "1h");
    produce(&r, 0, -1, "{\"id\":0}");
    produce(&r, 0, 0, "{\"id\":1}");
    produce(&r, 0, 9 * hour, "broken");
    produce(&r, 0, hour - 1, "{\"id\":2}");
    produce(&r, 0, hour, "{\"id\":3}");
    produce(&r, 0, hour - 1, "{\"id\":4}");
    produce(&r, 0, 5 * hour, "{\"id\":5}");
    produce_ends(&r, 1);
    run_open(&r);
    run_to_end(&r);
    assert_string_equal(file_text(path_of("out/data-0-000000000000.jsonl")), "{\"id\":0}\n");
    assert_string_equal(file_text(path_of("out/data-0-000000000001.jsonl")),
                        "{\"id\":1}\n{\"id\":2}\n");
    assert_string_equal(file_text(path_of("out/data-0-000000000003.jsonl")),
                        "{\"id\":3}\n{\"id\":4}\n");
    assert_string_equal(file_text(path_of("out/data-0-000000000005.jsonl")), "{\"id\":5}\n");
    uint32_t n;
    const struct rec *letters = memory_records(r.memory, "app-dead-letters", 0, &n);
    assert_int_equal(n, 1);
    assert_true(slice_eq_str(letters[0].value, "broken"));
    assert_true(slice_eq_str(letters[0].key, "k"));
    assert_non_null(memmem(letters[0].headers.p, letters[0].headers.n, "data/0/2", 8));
    assert_int_equal(r.stats.bad, 1);
    run_free(&r);
}

static void test_waits_for_all_writers(void **state)
{
    (void)state;
    struct run r;
    struct err e;
    sink(&r, path_of("out"), "jsonl", 2);
    produce(&r, 1, 0, "{\"id\":1}");
    produce_ends(&r, 2);
    produce_marker(&r, 0, 77, 1, 0); // one writer begins again
    run_open(&r);
    for (int i = 0; i < 20; i++)
        assert_int_not_equal(run_step(&r, &e), 2);
    produce(&r, 0, 0, "{\"id\":2}");
    produce_marker(&r, 0, 77, 1, MARKER_END);
    run_to_end(&r);
    assert_string_equal(file_text(path_of("out/data-0-000000000000.jsonl")), "{\"id\":2}\n");
    assert_string_equal(file_text(path_of("out/data-1-000000000000.jsonl")), "{\"id\":1}\n");
    run_free(&r);
}

static void straight(const char *format, struct content *want)
{
    struct run r;
    sink(&r, path_of("want"), format, 2);
    run_option(&r, "roll_rows", value_int(100));
    run_text(&r, "roll_every", "1m");
    fill(&r, 2, 400);
    run_open(&r);
    run_to_end(&r);
    run_free(&r);
    read_directory(path_of("want"), want);
}

static void crash_everywhere(const char *format)
{
    struct content want, got;
    straight(format, &want);
    assert_true(want.files > 10);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct run r;
        struct prng rng;
        char out[32];
        prng_init(&rng, seed);
        snprintf(out, sizeof out, "out%d", (int)seed);
        sink(&r, path_of(out), format, 2);
        run_option(&r, "roll_rows", value_int(100));
        run_text(&r, "roll_every", "1m");
        fill(&r, 2, 400);
        r.options.poll_records = 1 + (uint32_t)prng_below(&rng, 40);
        r.options.seed = seed;
        r.log->ops->close(r.log);
        run_connect(&r);
        run_open(&r);
        for (int rc = 1; rc != 2;) {
            struct err e;
            rc = run_step(&r, &e);
            run_must(rc, &e);
            if (rc != 2 && prng_below(&rng, 3) == 0) {
                run_crash(&r);
                run_open(&r);
            }
        }
        run_free(&r);
        read_directory(path_of(out), &got);
        assert_same(&want, &got);
        buf_release(&got.bytes);
    }
    buf_release(&want.bytes);
}

static void test_crash_csv(void **state)
{
    (void)state;
    crash_everywhere("csv");
}

static void test_crash_jsonl(void **state)
{
    (void)state;
    crash_everywhere("jsonl");
}

static void test_crash_avro(void **state)
{
    (void)state;
    crash_everywhere("avro");
}

// Runs the sink in a child that a failpoint kills, again and again until a child gets through.
static int kill_at(struct run *r, const char *point)
{
    int deaths = 0;
    for (;; deaths++) {
        char setting[80];
        snprintf(setting, sizeof setting, "%s=kill@%d", point, 1 + deaths % 3);
        produce_ends(r, 2); // every bounded run's writers send their end, again
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            setenv("WEIR_FAILPOINTS", setting, 1);
            failpoint_init();
            struct err e;
            alarm(60); // a child that hangs fails the test
            if (run_ops(r)->open(&r->ctx, &r->c, &e) != 0)
                _exit(3);
            int rc = 1;
            while (rc == 1 || rc == 0)
                rc = run_step(r, &e);
            _exit(rc == 2 ? 0 : 4);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return deaths;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_true(deaths < 500);
    }
}

static void test_killed_at_every_failpoint(void **state)
{
    (void)state;
    static const char *const points[] = {"sink.before_fsync", "sink.after_fsync",
                                         "sink.after_commit_entry", "sink.after_rename"};
    struct content want, got;
    straight("csv", &want);
    for (uint32_t i = 0; i < ARRAY_COUNT(points); i++) {
        struct run r;
        char out[32];
        snprintf(out, sizeof out, "killed%u", i);
        sink(&r, path_of(out), "csv", 2);
        run_option(&r, "roll_rows", value_int(100));
        run_text(&r, "roll_every", "1m");
        fill(&r, 2, 400);
        assert_true(kill_at(&r, points[i]) > 2);
        run_free(&r);
        read_directory(path_of(out), &got);
        assert_same(&want, &got);
        buf_release(&got.bytes);
    }
    buf_release(&want.bytes);
}

static void test_avro_reads_back(void **state)
{
    (void)state;
    struct run r;
    struct err e;
    struct avro_scan *scan;
    struct slice record;
    sink(&r, path_of("out"), "avro", 1);
    fill(&r, 1, 40);
    run_open(&r);
    run_to_end(&r);
    run_free(&r);
    run_must(avro_scan_open(path_of("out/data-0-000000000000.avro"), NULL, &scan, &e), &e);
    struct doc_ctx *ctx = doc_ctx_new();
    struct arena a;
    arena_init(&a);
    struct field_ref id = field_ref_of(slice_str("id"), avro_scan_codec(scan)->schema);
    for (int i = 0; i < 40; i++) {
        struct doc doc;
        struct value v;
        if (i == 17)
            continue;
        assert_int_equal(avro_scan_next(scan, &record, &e), 1);
        arena_reset(&a);
        doc_open(&doc, ctx, &a, avro_scan_codec(scan), record);
        run_must(doc_get(&doc, &id, &v, &e), &e);
        assert_int_equal(v.i, i);
    }
    assert_int_equal(avro_scan_next(scan, &record, &e), 0);
    avro_scan_close(scan);
    arena_release(&a);
    doc_ctx_free(ctx);
}

// --- the ledger ---------------------------------------------------------------------------------

static struct log_topic_info topic_info(uint8_t id)
{
    struct log_topic_info info = {.partitions = 1};
    snprintf(info.name, sizeof info.name, "t");
    memset(info.id, id, 16);
    return info;
}

static void write_tmp(const struct file_commit *c, int64_t row, const char *text,
                      struct sink_file *file)
{
    char name[FILE_COMMIT_NAME], tmp[FILE_COMMIT_NAME];
    file_commit_names(c, row, name, tmp);
    memset(file, 0, sizeof *file);
    snprintf(file->name, sizeof file->name, "%s", name);
    FILE *f = fopen(path_of(tmp), "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

// The old owner was paused; the new one opens. Whoever commits first, nobody's file is lost.
static void test_second_owner_fences_the_first(void **state)
{
    (void)state;
    struct err e;
    struct file_commit old, new;
    struct sink_file file;
    struct log_topic_info info = topic_info(1);
    run_must(file_commit_open(&old, dir, &info, 0, "csv", &e), &e);
    write_tmp(&old, 0, "old\n", &file);
    run_must(file_commit_open(&new, dir, &info, 0, "csv", &e), &e);
    assert_int_equal(new.next_offset, -1);
    assert_int_equal(file_commit_add(&old, &file, 1, 10, 5, &e), -1);
    assert_int_equal(e.code, ERR_FENCED);
    write_tmp(&new, 0, "new\n", &file);
    run_must(file_commit_add(&new, &file, 1, 10, 5, &e), &e);
    assert_string_equal(file_text(path_of("t-0-000000000000.csv")), "new\n");
    file_commit_close(&old);
    file_commit_close(&new);
    run_must(file_commit_open(&new, dir, &info, 0, "csv", &e), &e);
    assert_int_equal(new.next_offset, 10);
    assert_int_equal(new.next_row, 5);
    file_commit_close(&new);
}

// The entry is there, the rename is not: the next owner finishes it.
static void test_rename_is_repaired(void **state)
{
    (void)state;
    struct err e;
    struct file_commit c;
    struct sink_file file;
    struct log_topic_info info = topic_info(1);
    run_must(file_commit_open(&c, dir, &info, 0, "csv", &e), &e);
    write_tmp(&c, 0, "rows\n", &file);
    char tmp[FILE_COMMIT_NAME], name[FILE_COMMIT_NAME];
    file_commit_names(&c, 0, name, tmp);
    run_must(file_commit_add(&c, &file, 1, 3, 3, &e), &e);
    rename(path_of(name), path_of(tmp)); // as before the rename
    file_commit_close(&c);
    run_must(file_commit_open(&c, dir, &info, 0, "csv", &e), &e);
    assert_string_equal(file_text(path_of(name)), "rows\n");
    file_commit_close(&c);
    // Taken away by a user: that is no error.
    unlink(path_of(name));
    run_must(file_commit_open(&c, dir, &info, 0, "csv", &e), &e);
    assert_int_equal(c.next_offset, 3);
    file_commit_close(&c);
}

static void test_foreign_directory(void **state)
{
    (void)state;
    struct err e;
    struct file_commit c;
    struct log_topic_info info = topic_info(1), again = topic_info(2);
    run_must(file_commit_open(&c, dir, &info, 0, "csv", &e), &e);
    file_commit_close(&c);
    assert_int_equal(file_commit_open(&c, dir, &again, 0, "csv", &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "another topic"));
    assert_int_equal(file_commit_open(&c, dir, &info, 0, "jsonl", &e), -1);
    assert_non_null(strstr(e.text, "csv, not jsonl"));
    // A damaged entry is an error with its name, never a fresh start.
    FILE *f = fopen(path_of("_commit/t-0-000000000007.json"), "wb");
    fputs("{\"version\":1,", f);
    fclose(f);
    assert_int_equal(file_commit_open(&c, dir, &info, 0, "csv", &e), -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "t-0-000000000007.json"));
}

static void test_options(void **state)
{
    (void)state;
    struct run r;
    struct err e;
    sink(&r, path_of("out"), "parquet", 1);
    const struct connector_ops *ops = run_ops(&r);
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "csv, jsonl, avro"));
    run_text(&r, "format", "csv");
    struct value names[] = {value_string(slice_str("nam"))};
    run_option(&r, "columns", (struct value){.type = VALUE_LIST, .count = 1, .items = names});
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "did you mean \"name\""));
    r.spec.options.count--;
    run_text(&r, "roll_every", "1 day");
    assert_int_equal(ops->check(&r.spec, &e), -1);
    assert_non_null(strstr(e.text, "\"1d\""));
    run_free(&r);
}

// Retention took records the sink had not written: that is said, not skipped.
static void test_lost_records(void **state)
{
    (void)state;
    struct run r;
    struct err e;
    int rc;
    sink(&r, path_of("out"), "jsonl", 1);
    run_option(&r, "roll_rows", value_int(5));
    fill(&r, 1, 12);
    run_open(&r);
    run_to_end(&r);
    run_close(&r);
    for (int i = 0; i < 50; i++)
        produce(&r, 0, i, "{\"id\":1}");
    memory_trim(r.memory, "data", 0, 40);
    run_open(&r);
    while ((rc = run_step(&r, &e)) == 1) {
    }
    assert_int_equal(rc, -1);
    assert_int_equal(e.code, ERR_INVALID);
    assert_non_null(strstr(e.text, "were deleted before"));
    run_free(&r);
}

int main(void)
{
    logline_level = LOG_ERROR;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_csv_by_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_columns_and_booleans, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roll_by_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_waits_for_all_writers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_csv, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_jsonl, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash_avro, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_at_every_failpoint, setup, teardown),
        cmocka_unit_test_setup_teardown(test_avro_reads_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_owner_fences_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_is_repaired, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_records, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
