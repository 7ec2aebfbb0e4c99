// SPDX-License-Identifier: Apache-2.0
//
// What a connector test needs around a connector: a spec built in place, a memory log, dead letters
// in `app-dead-letters`, and loops that run it to its end.
#pragma once

#include "tests/unit/tmpdir.h"

#include "base/hash.h"
#include "base/logline.h"
#include "connectors/connector.h"
#include "log/marker.h"
#include "log/memory.h"
#include "log/origin.h"

enum { RUN_OPTIONS_MAX = 12 };

struct run {
    struct memory_log *memory;
    struct log *log;
    struct clk_manual clk;
    struct connector_spec spec;
    struct slice names[RUN_OPTIONS_MAX];
    struct value values[RUN_OPTIONS_MAX];
    struct connector_ctx ctx;
    struct connector_stats stats;
    struct memory_options options;
    struct connector *c; // NULL: closed
    uint32_t letters;    // handle
};

static int run_dead_letter(struct connector_ctx *ctx, const char *cause, const char *where,
                           struct slice key, struct slice value, struct err *e)
{
    struct run *r = ctx->arg;
    struct log_header headers[] = {{slice_str("cause"), slice_str(cause)},
                                   {slice_str("where"), slice_str(where)}};
    struct log_record record = {
        .time = 0, .key = key, .value = value, .headers = headers, .headers_count = 2};
    struct log_tp tp = {r->letters, 0};
    return r->log->ops->append(r->log, tp, &record, e);
}

static inline void run_must(int rc, const struct err *e)
{
    if (rc < 0)
        fail_msg("%s: %s", err_code_name(e->code), e->text);
}

// A fresh client, as a new process has one.
static inline void run_connect(struct run *r)
{
    struct err e;
    struct log_topic_info info;
    r->log = memory_open(r->memory, &r->options);
    r->ctx.log = r->log;
    run_must(r->log->ops->topic_open(r->log, "app-dead-letters", &r->letters, &info, &e), &e);
}

static inline void run_init(struct run *r, bool is_sink, struct codec *codec)
{
    struct err e;
    memset(r, 0, sizeof *r);
    r->memory = memory_create();
    struct log_topic_spec letters = {.name = "app-dead-letters", .partitions = 1};
    run_must(memory_topic_create(r->memory, &letters, &e), &e);
    clk_manual_init(&r->clk, 1000000);
    r->spec = (struct connector_spec){.name = "files",
                                      .where = "test.lua:1",
                                      .connector = "file",
                                      .is_sink = is_sink,
                                      .topic = "data",
                                      .codec = codec,
                                      .key_format = FORMAT_STRING};
    r->spec.options = (struct value){.type = VALUE_MAP};
    r->spec.options.keys = r->names;
    r->spec.options.items = r->values;
    r->ctx = (struct connector_ctx){.spec = &r->spec,
                                    .app = "app",
                                    .clk = &r->clk.clk,
                                    .bounded = true,
                                    .commit_ms = 100,
                                    .stats = &r->stats,
                                    .dead_letter = run_dead_letter,
                                    .arg = r};
    run_connect(r);
}

static inline void run_option(struct run *r, const char *name, struct value v)
{
    for (uint32_t i = 0; i < r->spec.options.count; i++) {
        if (slice_eq_str(r->names[i], name)) {
            r->values[i] = v;
            return;
        }
    }
    uint32_t n = r->spec.options.count++;
    assert_true(n < RUN_OPTIONS_MAX);
    r->names[n] = slice_str(name);
    r->values[n] = v;
}

static inline void run_text(struct run *r, const char *name, const char *text)
{
    run_option(r, name, value_string(slice_str(text)));
}

static inline const struct connector_ops *run_ops(struct run *r)
{
    struct err e;
    const struct connector_ops *ops = connector_find("file", r->spec.is_sink, &e);
    assert_non_null(ops);
    return ops;
}

static inline void run_open(struct run *r)
{
    struct err e;
    run_must(run_ops(r)->check(&r->spec, &e), &e);
    run_must(run_ops(r)->open(&r->ctx, &r->c, &e), &e);
}

static inline void run_close(struct run *r)
{
    if (r->c != NULL)
        r->c->ops->close(r->c);
    r->c = NULL;
}

// The process dies: nothing is closed in order, but memory is given back.
static inline void run_crash(struct run *r)
{
    struct err e;
    struct log *dead = r->log;
    run_connect(r); // close may abort, so it gets a log of its own …
    run_must(r->log->ops->begin(r->log, &e), &e);
    run_close(r); // … with an open transaction to abort
    (void)r->log->ops->abort(r->log, &e);
    memory_crash(dead);
}

static inline int run_step(struct run *r, struct err *e)
{
    r->clk.now_ms += 10;
    return r->c->ops->step(r->c, e);
}

// Steps to the end of a bounded run.
static inline void run_to_end(struct run *r)
{
    struct err e;
    for (int i = 0;; i++) {
        int rc = run_step(r, &e);
        run_must(rc, &e);
        if (rc == 2)
            return;
        assert_true(i < 100000);
    }
}

// Steps until nothing comes for a while: what a following source does before it waits.
static inline void run_to_rest(struct run *r)
{
    struct err e;
    for (int idle = 0; idle < 100;) {
        int rc = run_step(r, &e);
        run_must(rc, &e);
        idle = rc == 0 ? idle + 1 : 0;
    }
}

static inline void run_free(struct run *r)
{
    run_close(r);
    if (r->log != NULL)
        r->log->ops->close(r->log);
    memory_destroy(r->memory);
}
