// SPDX-License-Identifier: Apache-2.0
//
// Worker rig: one worker over a log in memory, a database in memory and a clock by hand; what it
// logs is gathered.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/logline.h"
#include "log/memory.h"
#include "runtime/worker.h"

struct wrig {
    const char *source;
    int32_t partitions;
    struct script_options options;
    struct script *script;
    struct arena arena;
    struct plan *plan;
    struct memory_log *memory;
    struct log *feeder;
    struct db *db;
    struct clk_manual clk;
    struct worker_env env;
    struct worker *worker;
    struct task_stats stats;
    enum memory_fault faults[16]; // of the next commits
    uint32_t faults_count, faults_at;
    uint32_t poll_records;
    int64_t finished;
    struct err err;
    FILE *logged;
    char log_text[65536];
};

static struct {
    int real; // the real standard error, 0: not redirected
    int to;
} wrig_stderr;

static inline void wrig_capture(struct wrig *r)
{
    r->logged = tmpfile();
    assert_non_null(r->logged);
    wrig_stderr.real = dup(STDERR_FILENO);
    wrig_stderr.to = fileno(r->logged);
    dup2(wrig_stderr.to, STDERR_FILENO);
}

static inline void wrig_release(void)
{
    fflush(stderr);
    dup2(wrig_stderr.real, STDERR_FILENO);
    close(wrig_stderr.real);
    wrig_stderr.real = 0;
}

// A test that failed half-way: shows what was logged, the failure included.
static inline int wrig_teardown(void **state)
{
    char text[8192];
    (void)state;
    if (wrig_stderr.real == 0)
        return 0;
    wrig_release();
    ssize_t n, at = 0;
    while ((n = pread(wrig_stderr.to, text, sizeof(text), at)) > 0) {
        fwrite(text, 1, (size_t)n, stderr);
        at += n;
    }
    return 0;
}

static inline enum memory_fault wrig_fault(void *arg)
{
    struct wrig *r = arg;
    return r->faults_at < r->faults_count ? r->faults[r->faults_at++] : MEMORY_NORMAL;
}

static inline int wrig_client(void *arg, const char *id, struct log **out, struct err *err)
{
    struct wrig *r = arg;
    struct memory_options o = {.transactional_id = id,
                               .poll_records = r->poll_records,
                               .fault = id == NULL ? NULL : wrig_fault,
                               .fault_arg = r};
    (void)err;
    *out = memory_open(r->memory, &o);
    return 0;
}

static inline bool wrig_upstream_done(void *arg, const struct plan_input *in)
{
    (void)in;
    return ((struct wrig *)arg)->env.bounded;
}

static inline struct task_stats *wrig_stats(void *arg, const struct plan_sub *s, int32_t partition)
{
    (void)s;
    (void)partition;
    return &((struct wrig *)arg)->stats;
}

static inline void wrig_finished(void *arg, const struct plan_sub *s, int32_t partition)
{
    (void)s;
    (void)partition;
    ((struct wrig *)arg)->finished++;
}

static inline void wrig_topic(struct wrig *r, const char *name, int32_t partitions)
{
    struct log_topic_spec s = {.name = name, .partitions = partitions};
    struct err err;
    assert_int_equal(memory_topic_create(r->memory, &s, &err), 0);
}

// A log with the topics of the plan, and nothing in them.
static inline void wrig_new_log(struct wrig *r)
{
    char name[128];
    struct memory_options o = {.transactional_id = "feeder"};
    r->memory = memory_create();
    r->feeder = memory_open(r->memory, &o);
    for (uint32_t i = 0; i < r->plan->topics_count; i++)
        wrig_topic(r, r->plan->topics[i].name, r->plan->topics[i].partitions);
    for (uint32_t i = 0; i < r->plan->subs_count; i++) {
        const struct plan_sub *s = r->plan->subs[i];
        for (uint32_t k = 0; k < s->steps_count; k++) {
            if (s->steps[k]->kind == STEP_NODE && plan_node_stateful(s->steps[k]->node))
                wrig_topic(r, plan_store_topic(r->plan, s->steps[k]->node->name, &r->arena),
                           s->partitions);
        }
    }
    snprintf(name, sizeof(name), "%s-tasks", r->plan->graph->app);
    wrig_topic(r, name, 1);
    snprintf(name, sizeof(name), "%s-dead-letters", r->plan->graph->app);
    wrig_topic(r, name, 1);
}

static inline void wrig_drop_log(struct wrig *r)
{
    r->feeder->ops->close(r->feeder);
    memory_destroy(r->memory);
}

static inline void wrig_new_db(struct wrig *r)
{
    struct db_options o = {.in_memory = true, .write_buffer_bytes = 1 << 20};
    if (db_open("/rig", &o, &r->db, &r->err) != 0)
        fail_msg("%s", r->err.text);
}

static inline int32_t wrig_partitions(void *arg, const char *topic)
{
    struct wrig *r = arg;
    int i = plan_topic_find(r->plan, topic);
    return r->plan->topics[i].role == PLAN_SOURCE ? r->partitions : 0;
}

static inline void wrig_open(struct wrig *r, const char *source, int32_t partitions)
{
    memset(r, 0, sizeof(*r));
    arena_init(&r->arena);
    r->source = source;
    r->partitions = partitions;
    clk_manual_init(&r->clk, INT64_C(1700000000000));
    wrig_capture(r);
    if (script_load("app.lua", source, &r->options, &r->script, &r->err) != 0 ||
        plan_make(script_graph(r->script), &r->arena, &r->plan, &r->err) != 0 ||
        plan_partitions_fix(r->plan, wrig_partitions, r, &r->err) != 0)
        fail_msg("%s", r->err.text);
    wrig_new_log(r);
    wrig_new_db(r);
    r->env = (struct worker_env){.plan = r->plan,
                                 .script_path = "app.lua",
                                 .script_source = source,
                                 .script_options = &r->options,
                                 .db = r->db,
                                 .clk = &r->clk.clk,
                                 .cache_bytes = 1 << 20,
                                 .log_open = wrig_client,
                                 .log_arg = r,
                                 .upstream_done = wrig_upstream_done,
                                 .upstream_arg = r,
                                 .stats = wrig_stats,
                                 .stats_arg = r,
                                 .task_finished = wrig_finished};
}

static inline void wrig_stop(struct wrig *r) // as a crash: what is not committed is gone
{
    if (r->worker != NULL)
        worker_close(r->worker);
    r->worker = NULL;
}

static inline void wrig_close(struct wrig *r)
{
    wrig_stop(r);
    db_close(r->db);
    wrig_drop_log(r);
    script_free(r->script);
    arena_release(&r->arena);
    wrig_release();
    fclose(r->logged);
}

static inline void wrig_start(struct wrig *r)
{
    r->env.db = r->db;
    if (worker_open(&r->env, 0, 1, &r->worker, &r->err) != 0)
        fail_msg("%s", r->err.text);
}

static inline void wrig_feed(struct wrig *r, const char *topic, const char *key, int64_t time,
                             const char *value)
{
    struct log_record rec = {.time = time};
    if (key != NULL)
        rec.key = slice_str(key);
    if (value != NULL)
        rec.value = slice_str(value);
    memory_produce(r->memory, topic, 0, &rec);
}

// Steps until there is nothing to do: 0, 2 (finished), or -1.
static inline int wrig_try(struct wrig *r)
{
    int rc = 1;
    if (r->worker == NULL)
        wrig_start(r);
    for (int i = 0; rc == 1 && i < 10000; i++)
        rc = worker_step(r->worker, 0, &r->err);
    assert_int_not_equal(rc, 1);
    return rc;
}

static inline int wrig_run(struct wrig *r)
{
    int rc = wrig_try(r);
    if (rc < 0)
        fail_msg("%s", r->err.text);
    return rc;
}

static inline void wrig_fails(struct wrig *r, enum err_code code, const char *text)
{
    assert_int_equal(wrig_try(r), -1);
    assert_int_equal(r->err.code, code);
    if (text != NULL)
        assert_string_equal(r->err.text, text);
    wrig_stop(r);
}

// The values of all data records of a partition, one per line.
static inline const char *wrig_values(struct wrig *r, const char *topic)
{
    struct buf b;
    uint32_t n;
    buf_init(&b);
    const struct rec *recs = memory_records(r->memory, topic, 0, &n);
    for (uint32_t i = 0; i < n; i++) {
        if ((recs[i].flags & REC_MARKER) == 0)
            buf_printf(&b, "%s%.*s", b.n == 0 ? "" : "\n", (int)recs[i].value.n,
                       recs[i].value.p == NULL ? "" : (const char *)recs[i].value.p);
    }
    buf_u8(&b, 0);
    const char *text = (const char *)arena_slice(&r->arena, buf_slice(&b)).p;
    buf_release(&b);
    return text;
}

static inline uint32_t wrig_count(struct wrig *r, const char *topic)
{
    uint32_t n, data = 0;
    const struct rec *recs = memory_records(r->memory, topic, 0, &n);
    for (uint32_t i = 0; i < n; i++)
        data += (recs[i].flags & REC_MARKER) == 0;
    return data;
}

// How often a text was logged so far.
static inline uint32_t wrig_logged(struct wrig *r, const char *text)
{
    uint32_t n = 0;
    ssize_t got = pread(fileno(r->logged), r->log_text, sizeof(r->log_text) - 1, 0);
    r->log_text[got < 0 ? 0 : got] = 0;
    for (const char *p = r->log_text; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

// --- a script for many tests ---------------------------------------------------------------------

#define WRIG_HEAD                                                                                  \
    "local weir = require 'weir'\n"                                                                \
    "local app = weir.app 'app'\n"                                                                 \
    "local T = weir.schema { {'id','long'}, {'ts','timestamp'}, {'a','string'} }\n"

// Counts per key, every update.
static const char wrig_counts[] = WRIG_HEAD
    "app:stream('in',{value=weir.json(T),time='ts',key='a'}):count('n',{by='a'}):to('out')\n";

static inline void feed_some(struct wrig *r, int from, int to)
{
    char value[128];
    for (int i = from; i < to; i++) {
        snprintf(value, sizeof(value), "{\"id\":%d,\"ts\":%d,\"a\":\"k\"}", i, 1000 + i);
        wrig_feed(r, "in", "k", 1, value);
    }
}

// Updates come once each and in order, up to `last`.
static inline void counted_to(struct wrig *r, uint32_t last)
{
    struct buf b;
    buf_init(&b);
    for (uint32_t i = 1; i <= last; i++)
        buf_printf(&b, "%s{\"a\":\"k\",\"count\":%u}", i == 1 ? "" : "\n", i);
    buf_u8(&b, 0);
    const char *got = wrig_values(r, "out");
    if (strcmp(got, (const char *)b.p) != 0)
        fail_msg("expected\n%s\ngot\n%s", (const char *)b.p, got);
    buf_release(&b);
}
