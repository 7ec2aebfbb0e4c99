// SPDX-License-Identifier: Apache-2.0
//
// `weir run` and `weir connect`: an app on the embedded broker, with progress while it runs and a
// summary at the end.
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/logline.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/params.h"
#include "operators/op.h"
#include "runtime/run.h"

enum { PROGRESS_TTY_MS = 500, PROGRESS_PLAIN_MS = 5000, WAIT_MS = 100 };

struct settings {
    const char *data, *listen;
    struct option_list set;
    bool bounded, quiet, json, no_listen;
    int64_t workers, commit_ms, memory;
    int durability;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int sig)
{
    (void)sig;
    stop_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// One line: what came in, how fast, how far in event time, what is left, how many commits.
static void print_progress(const struct run_totals *t, const struct run_totals *before,
                           double elapsed, double since, bool tty)
{
    char a[32], b[32], when[32], lag[32];
    double rate = since <= 0 ? 0 : (double)(t->records - before->records) / since;
    fprintf(stderr, "%s%6.1f s  %s records (%s/s)", tty ? "\r\033[K" : "", elapsed,
            text_count((int64_t)t->records, a), text_count((int64_t)rate, b));
    if (t->source_total_bytes != 0)
        fprintf(stderr, "  input %3.0f %%",
                100.0 * (double)t->source_bytes / (double)t->source_total_bytes);
    if (t->event_time != INT64_MIN)
        fprintf(stderr, "  event time %.16s", text_time(t->event_time, when));
    fprintf(stderr, "  lag %s  commits %" PRIu64, text_count(t->lag < 0 ? 0 : t->lag, lag),
            t->commits);
    if (t->dead + t->bad_records != 0)
        fprintf(stderr, "  dead letters %" PRIu64, t->dead + t->bad_records);
    fprintf(stderr, "%s", tty ? "" : "\n");
    fflush(stderr);
}

static void print_summary(const struct run_totals *t, double elapsed, const char *app,
                          const char *data)
{
    char a[32], b[32], c[32];
    fprintf(stderr, "%s: done in %.1f s\n", app, elapsed);
    if (t->source_records != 0)
        fprintf(stderr, "  sources read %s (%s/s)\n", text_count((int64_t)t->source_records, a),
                text_count((int64_t)((double)t->source_records / elapsed), b));
    fprintf(stderr, "  tasks processed %s records (all stages), wrote %s, in %s commits\n",
            text_count((int64_t)t->records, a), text_count((int64_t)t->emitted, b),
            text_count((int64_t)t->commits, c));
    if (t->sink_records != 0)
        fprintf(stderr, "  sinks wrote %s\n", text_count((int64_t)t->sink_records, a));
    for (int i = 0; i < DROP_REASONS; i++) {
        if (t->drops[i] != 0)
            fprintf(stderr, "  dropped: %s %s\n", text_count((int64_t)t->drops[i], a),
                    drop_reason_name((enum drop_reason)i));
    }
    if (t->dead + t->bad_records != 0)
        fprintf(stderr, "  dead letters: %s (weir dlq list --data %s shows them)\n",
                text_count((int64_t)(t->dead + t->bad_records), a), data);
}

static void print_json(const struct run_totals *t, double elapsed, const char *app)
{
    printf("{\"app\":\"%s\",\"seconds\":%.3f,\"records\":%" PRIu64 ",\"emitted\":%" PRIu64
           ",\"source_records\":%" PRIu64 ",\"sink_records\":%" PRIu64 ",\"commits\":%" PRIu64
           ",\"commit_seconds\":%.3f,\"dead_letters\":%" PRIu64 ",\"dropped\":{",
           app, elapsed, t->records, t->emitted, t->source_records, t->sink_records, t->commits,
           (double)t->commit_ns / 1e9, t->dead + t->bad_records);
    for (int i = 0; i < DROP_REASONS; i++)
        printf("%s\"%s\":%" PRIu64, i == 0 ? "" : ",", drop_reason_name((enum drop_reason)i),
               t->drops[i]);
    printf("}}\n");
    fflush(stdout);
}

// Until done, failed or a signal. Returns the exit code.
static int watch(struct run *r, const struct settings *s, double start, struct err *err)
{
    bool tty = isatty(STDERR_FILENO);
    struct run_totals before = {0}, t;
    double last = start;
    int rc = 0;
    while (rc == 0 && !stop_asked) {
        rc = run_wait(r, WAIT_MS, err);
        double now = now_s();
        if (s->quiet || s->json ||
            (now - last) * 1000 < (tty ? PROGRESS_TTY_MS : PROGRESS_PLAIN_MS))
            continue;
        run_totals(r, &t);
        print_progress(&t, &before, now - start, now - last, tty);
        before = t;
        last = now;
    }
    if (tty && !s->quiet && !s->json)
        fprintf(stderr, "\r\033[K");
    return rc;
}

static void say_hello(struct run *r, const struct settings *s, const char *path)
{
    if (s->quiet || s->json)
        return;
    const struct plan *p = run_plan(r);
    struct run_totals t;
    run_totals(r, &t);
    fprintf(stderr, "weir: running app '%s' from %s: %u sub-topolog%s, %u task%s, data in %s\n",
            p->graph->app, path, p->subs_count, p->subs_count == 1 ? "y" : "ies", t.tasks,
            t.tasks == 1 ? "" : "s", s->data);
    if (run_port(r) != 0)
        fprintf(stderr, "weir: Kafka clients: 127.0.0.1:%d\n", run_port(r));
}

static int run_app(const char *command, const char *path, struct settings *s)
{
    struct err err;
    struct params params;
    struct run *r;
    double start = now_s();
    if (params_from(&s->set, &params, &err) != 0)
        return options_fail(command, &err, 2);
    struct run_options o = {.script_path = path,
                            .params = params.items,
                            .params_count = params.count,
                            .data_dir = s->data,
                            .listen = s->no_listen ? NULL : s->listen,
                            .bounded = s->bounded,
                            .workers = (uint32_t)s->workers,
                            .commit_ms = s->commit_ms,
                            .memory_bytes = (size_t)s->memory,
                            .durability = s->durability == 1 ? BROKER_OS : BROKER_FSYNC};
    if (s->quiet)
        logline_level = LOG_WARN;
    catch_signals();
    if (run_start(&o, &r, &err) != 0)
        return options_fail(command, &err, err.code == ERR_INVALID ? 2 : 1);
    say_hello(r, s, path);
    int rc = watch(r, s, start, &err);
    struct run_totals t;
    char app[256];
    run_totals(r, &t);
    snprintf(app, sizeof(app), "%s", run_plan(r)->graph->app);
    run_stop(r);
    if (s->json)
        print_json(&t, now_s() - start, app);
    else if (!s->quiet)
        print_summary(&t, now_s() - start, app, s->data);
    if (rc < 0)
        return options_fail(command, &err, 1);
    if (!s->bounded || t.dead < t.records || t.dead == 0)
        return 0;
    err_set(&err, ERR_SCRIPT, "every record failed; weir dlq list --data %s shows why", s->data);
    return options_fail(command, &err, 1);
}

static int parse_and_run(const char *command, const char *about, const char *examples, int argc,
                         char **argv)
{
    static const char *const durabilities[] = {"fsync", "os", NULL};
    struct settings s = {.data = "./weir-data", .listen = "127.0.0.1:9092"};
    char usage[64];
    snprintf(usage, sizeof(usage), "weir %s SCRIPT.lua [options]", command);
    const struct option table[] = {
        {"data", 'd', OPTION_STRING, &s.data, "DIR",
         "where the log and the state live (./weir-data)", NULL},
        {"set", 's', OPTION_LIST, &s.set, "NAME=VALUE", "a parameter of the script (weir.param)",
         NULL},
        {"bounded", 'b', OPTION_FLAG, &s.bounded, NULL,
         "process what is there, close the windows, commit, exit", NULL},
        {"listen", 'l', OPTION_STRING, &s.listen, "HOST:PORT",
         "where Kafka clients may connect (127.0.0.1:9092; port 0: a free one)", NULL},
        {"no-listen", 0, OPTION_FLAG, &s.no_listen, NULL, "no network at all", NULL},
        {"workers", 'w', OPTION_INT, &s.workers, "N", "worker threads (one per core)", NULL},
        {"commit", 0, OPTION_DURATION, &s.commit_ms, "TIME",
         "longest time between commits (100ms; 1s when bounded)", NULL},
        {"memory", 'm', OPTION_BYTES, &s.memory, "SIZE",
         "for caches and write buffers together (128MB)", NULL},
        {"durability", 0, OPTION_CHOICE, &s.durability, "fsync|os",
         "acknowledge when on disk (fsync), or when the system has it (os)", durabilities},
        {"quiet", 'q', OPTION_FLAG, &s.quiet, NULL, "no progress, no summary", NULL},
        {"json", 0, OPTION_FLAG, &s.json, NULL, "one JSON object at the end, for machines", NULL},
        {NULL, 0, OPTION_FLAG, NULL, NULL, NULL, NULL},
    };
    struct options_usage u = {.usage = usage,
                              .about = about,
                              .examples = examples,
                              .table = table,
                              .min_args = 1,
                              .max_args = 1};
    struct options_args args;
    struct err err;
    switch (options_parse(&u, argc, argv, &args, &err)) {
    case OPTIONS_HELP:
        return 0;
    case OPTIONS_ERROR:
        return options_fail(command, &err, 2);
    case OPTIONS_RUN:
        break;
    }
    return run_app(command, args.items[0], &s);
}

int cmd_run(int argc, char **argv)
{
    return parse_and_run(
        "run",
        "Runs a topology script with the embedded broker in this process, until stopped\n"
        "(Ctrl-C commits and exits) or, with --bounded, until everything that is there is\n"
        "processed. State and log live in --data; a later run goes on where this one stopped.",
        "  weir run app.lua\n"
        "  weir run examples/fraud/fraud.lua --set transactions=tx.csv.gz --set out=out --bounded\n"
        "  kcat -b 127.0.0.1:9092 -C -t alerts        # meanwhile, from another terminal\n",
        argc, argv);
}

int cmd_connect(int argc, char **argv)
{
    return parse_and_run(
        "connect",
        "Runs the connectors (app:source, app:sink) of a script that has no operators, e.g. to\n"
        "fill a topic from files or to write a topic to files.",
        "  weir connect load.lua --set path='logs/*.jsonl' --bounded\n", argc, argv);
}
