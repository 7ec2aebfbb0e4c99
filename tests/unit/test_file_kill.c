// SPDX-License-Identifier: Apache-2.0
//
// File source → broker on disk → file sink, in a process that is killed (SIGKILL) at every
// failpoint of both, again and again: at the end the sink's files hold every row of the input once,
// in order.
#include "tests/unit/tmpdir.h"

#include "base/failpoint.h"
#include "base/hash.h"
#include "base/logline.h"
#include "connectors/connector.h"
#include "log/marker.h"
#include "log/native.h"

#include <signal.h>
#include <sys/wait.h>

enum { ROWS = 3000, OPTIONS_MAX = 4 };

static struct field fields[] = {{.name = "id", .type = FIELD_LONG},
                                {.name = "t", .type = FIELD_TIMESTAMP}};
static const struct schema schema = {"Row", fields, 2};

struct side { // one connector and what it needs
    struct connector_spec spec;
    struct connector_ctx ctx;
    struct slice names[OPTIONS_MAX];
    struct value values[OPTIONS_MAX];
    struct connector *c;
    bool finished;
};

static void die(const struct err *e)
{
    fprintf(stderr, "%s: %s\n", err_code_name(e->code), e->text);
    _exit(3);
}

static void option(struct side *s, const char *name, struct value v)
{
    uint32_t n = s->spec.options.count++;
    s->names[n] = slice_str(name);
    s->values[n] = v;
}

static struct log *client(struct broker *b, const char *id)
{
    struct err e;
    struct log *log;
    struct native_options o = {.transactional_id = id};
    if (native_open(b, &o, &log, &e) != 0)
        die(&e);
    return log;
}

static void side_init(struct side *s, struct broker *b, bool is_sink, struct codec *codec)
{
    memset(s, 0, sizeof *s);
    s->spec = (struct connector_spec){.name = "files",
                                      .where = "test.lua:1",
                                      .is_sink = is_sink,
                                      .topic = "data",
                                      .codec = codec,
                                      .key_format = FORMAT_STRING};
    s->spec.options = (struct value){.type = VALUE_MAP};
    s->spec.options.keys = s->names;
    s->spec.options.items = s->values;
    s->ctx = (struct connector_ctx){.spec = &s->spec,
                                    .app = "app",
                                    .log = client(b, is_sink ? "sink" : "source"),
                                    .clk = clk_real(),
                                    .bounded = true,
                                    .commit_ms = 1000};
}

static void side_open(struct side *s)
{
    struct err e;
    const struct connector_ops *ops = connector_find("file", s->spec.is_sink, &e);
    if (ops == NULL || ops->open(&s->ctx, &s->c, &e) != 0)
        die(&e);
}

static void side_step(struct side *s)
{
    struct err e;
    int rc = s->finished ? 2 : s->c->ops->step(s->c, &e);
    if (rc < 0)
        die(&e);
    s->finished = rc == 2;
}

static void side_close(struct side *s)
{
    s->c->ops->close(s->c);
    s->ctx.log->ops->close(s->ctx.log);
}

// One life of the process.
static void live(const char *dir)
{
    char data[TMPDIR_MAX + 16], in[TMPDIR_MAX + 16], out[TMPDIR_MAX + 16];
    struct err e;
    struct broker *b;
    struct codec *json;
    struct side source, sink;
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(in, sizeof in, "%s/in.csv", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    struct broker_config config = {.dir = data, .housekeeping_ms = -1, .durability = BROKER_OS};
    if (broker_open(&config, &b, &e) != 0 || codec_new(FORMAT_JSON, &schema, &json, &e) != 0)
        die(&e);
    side_init(&source, b, false, json);
    option(&source, "path", value_string(slice_str(in)));
    option(&source, "time", value_string(slice_str("t")));
    option(&source, "commit_rows", value_int(250));
    side_init(&sink, b, true, json);
    option(&sink, "path", value_string(slice_str(out)));
    option(&sink, "roll_rows", value_int(400));
    struct marker_writers writers = {hash_id("app/files"), 1};
    sink.ctx.writers = &writers;
    sink.ctx.writers_count = 1;
    side_open(&source);
    side_open(&sink);
    for (int turn = 0; !sink.finished; turn++) {
        side_step(&source);
        side_step(&sink);
    }
    side_close(&source);
    side_close(&sink);
    codec_free(json);
    broker_close(b);
}

static void write_input(const char *dir)
{
    char in[TMPDIR_MAX + 16];
    snprintf(in, sizeof in, "%s/in.csv", dir);
    FILE *f = fopen(in, "wb");
    assert_non_null(f);
    fprintf(f, "id,t\n");
    for (int i = 0; i < ROWS; i++)
        fprintf(f, "%d,%d\n", i, i * 10);
    fclose(f);
}

// All files, one after another, must be the input.
static void assert_output(const char *dir)
{
    int next = 0;
    for (int first = 0; first < ROWS; first += 400) {
        char path[TMPDIR_MAX + 64], line[100];
        snprintf(path, sizeof path, "%s/out/data-0-%012d.csv", dir, first);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        assert_non_null(fgets(line, sizeof line, f));
        assert_string_equal(line, "id,t\n");
        while (fgets(line, sizeof line, f) != NULL) {
            char want[100];
            snprintf(want, sizeof want, "%d,%d\n", next, next * 10);
            assert_string_equal(line, want);
            next++;
        }
        fclose(f);
    }
    assert_int_equal(next, ROWS);
}

static int kill_until_done(const char *dir, const char *point)
{
    for (int deaths = 0;; deaths++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            char setting[80];
            snprintf(setting, sizeof setting, "%s=kill@%d", point, 2 + deaths % 3);
            setenv("WEIR_FAILPOINTS", setting, 1);
            failpoint_init();
            alarm(100); // a life that hangs fails the test
            live(dir);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return deaths;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        assert_true(deaths < 200);
    }
}

static void test_kill_matrix(void **state)
{
    (void)state;
    static const char *const points[] = {"source.before_commit",    "source.after_commit",
                                         "sink.before_fsync",       "sink.after_fsync",
                                         "sink.after_commit_entry", "sink.after_rename"};
    for (uint32_t i = 0; i < ARRAY_COUNT(points); i++) {
        char dir[TMPDIR_MAX];
        tmpdir_make(dir);
        write_input(dir);
        int deaths = kill_until_done(dir, points[i]);
        if (deaths < 1)
            fail_msg("%s never hit", points[i]);
        assert_output(dir);
        tmpdir_remove(dir);
    }
}

int main(void)
{
    logline_level = LOG_ERROR;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill_matrix)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
