// SPDX-License-Identifier: Apache-2.0
#include "runtime/run_threads.h"

#include <unistd.h>

#include "base/logline.h"
#include "log/native.h"
#include "runtime/dead_letter.h"

enum {
    IDLE_WAIT_MS = 20,
    BACKOFF_MS_MAX = 30000,
    SOURCE_IDLE_US = 5000,
    UNKNOWN_MAX = 3, // commits of unknown outcome in a row, then the log is taken for broken
    SINKS_WAIT_US = 1000,
};

void run_fail(struct run *r, const struct err *err)
{
    pthread_mutex_lock(&r->lock);
    if (!r->failed)
        r->failure = *err;
    r->failed = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static void signal_change(struct run *r)
{
    pthread_mutex_lock(&r->lock);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

int run_log_open(void *arg, const char *transactional_id, struct log **out, struct err *err)
{
    struct run *r = arg;
    struct native_options o = {.transactional_id = transactional_id};
    return native_open(r->broker, &o, out, err);
}

// Sinks look at the log before anybody writes to it: only then can one tell that its files are
// ahead of a log that was restored from an older copy.
static void wait_for_sinks(struct run *r, const _Atomic bool *stop)
{
    uint32_t sinks = 0;
    for (uint32_t i = 0; i < r->connectors_count; i++)
        sinks += r->connectors[i].spec->is_sink;
    while (atomic_load(&r->sinks_opened) < sinks && !atomic_load(stop))
        usleep(SINKS_WAIT_US);
}

// --- who is finished ---------------------------------------------------------------------------

static bool sources_done(struct run *r, const char *topic)
{
    for (uint32_t i = 0; i < r->connectors_count; i++) {
        struct connector_thread *c = &r->connectors[i];
        if (!c->spec->is_sink && strcmp(c->spec->topic, topic) == 0 &&
            !atomic_load(&c->stats.finished))
            return false;
    }
    return true;
}

bool run_topic_done(struct run *r, const char *topic)
{
    for (uint32_t i = 0; i < r->plan->subs_count; i++) {
        const struct plan_sub *s = r->plan->subs[i];
        for (uint32_t o = 0; o < s->outputs_count; o++) {
            if (strcmp(r->plan->topics[s->outputs[o].topic].name, topic) == 0 &&
                atomic_load(&r->unfinished[i]) > 0)
                return false;
        }
    }
    return sources_done(r, topic);
}

bool run_upstream_done(void *arg, const struct plan_input *in)
{
    struct run *r = arg;
    return run_topic_done(r, r->plan->topics[in->topic].name);
}

// --- workers -----------------------------------------------------------------------------------

static void publish(struct worker_thread *t, struct worker *w)
{
    pthread_mutex_lock(&t->run->lock);
    if (w == NULL && t->worker != NULL) {
        t->commits_before += atomic_load(&t->worker->commits);
        t->commit_ns_before += atomic_load(&t->worker->commit_ns);
    }
    t->worker = w;
    pthread_mutex_unlock(&t->run->lock);
}

// One life of a worker. 0: finished or stopped; 1: reopen; -1: give up.
static int worker_life(struct worker_thread *t, struct err *err)
{
    struct run *r = t->run;
    struct worker *w;
    if (worker_open(&r->env, t->member, r->workers_count, &w, err) != 0)
        return -1;
    publish(t, w);
    int rc = 0;
    while (rc >= 0 && rc != 2 && !atomic_load(&r->stop_workers))
        rc = worker_step(w, IDLE_WAIT_MS, err);
    if (rc >= 0)
        rc = worker_commit(w, err);
    publish(t, NULL);
    worker_close(w);
    return rc >= 0 ? 0 : err->code == ERR_UNKNOWN ? 1 : -1;
}

void *run_worker_main(void *arg)
{
    struct worker_thread *t = arg;
    struct err err, unknown = {0};
    int rc = 1;
    wait_for_sinks(t->run, &t->run->stop_workers);
    for (int in_a_row = 0; rc == 1;) {
        uint64_t commits = t->commits_before;
        rc = worker_life(t, &err);
        if (rc < 0 && unknown.code != ERR_NONE && err.code == ERR_IO)
            err = unknown; // it says why
        if (rc != 1)
            break;
        in_a_row = t->commits_before == commits ? in_a_row + 1 : 1;
        unknown = err;
        if (in_a_row == UNKNOWN_MAX)
            rc = -1;
        else
            logline(LOG_WARN, "worker", "%u: reopening: %s", t->member, err.text);
    }
    if (rc < 0 && !(err.code == ERR_CLOSED && atomic_load(&t->run->stop_workers)))
        run_fail(t->run, &err);
    atomic_fetch_add(&t->run->workers_done, 1);
    signal_change(t->run);
    return NULL;
}

// --- connectors --------------------------------------------------------------------------------

static int put_aside(struct connector_ctx *ctx, const char *cause, const char *where,
                     struct slice key, struct slice value, struct err *err)
{
    struct connector_thread *c = ctx->arg;
    char name[300];
    struct log_tp to = {0, 0};
    struct log_topic_info info;
    snprintf(name, sizeof(name), "%s-dead-letters", ctx->app);
    if (ctx->log->ops->topic_open(ctx->log, name, &to.topic, &info, err) != 0)
        return -1;
    struct dead_letter d = {.app = ctx->app,
                            .stage = c->spec->name,
                            .where = where,
                            .cause = cause,
                            .error_class = c->spec->is_sink ? "sink" : "source",
                            .topic = c->spec->topic,
                            .partition = -1,
                            .offset = -1,
                            .time = clk_wall_ms(ctx->clk),
                            .key = key,
                            .value = value};
    return dead_letter_append(ctx->log, to, &d, err);
}

static bool topic_done(void *arg, const char *topic)
{
    return run_topic_done(((struct connector_thread *)arg)->run, topic);
}

static void note_opened(struct connector_thread *c)
{
    if (c->spec->is_sink && !c->opened)
        atomic_fetch_add(&c->run->sinks_opened, 1);
    c->opened = true;
}

// One life of a connector. 0: stopped; 2: finished; 1: open again later; -1: give up.
static int connector_life(struct connector_thread *c, struct err *err)
{
    struct run *r = c->run;
    _Atomic bool *stop = c->spec->is_sink ? &r->stop_sinks : &r->stop_sources;
    char id[300];
    struct log *log;
    struct connector *k;
    snprintf(id, sizeof(id), "%s-%s", r->plan->graph->app, c->spec->name);
    if (run_log_open(r, id, &log, err) != 0) {
        note_opened(c);
        return -1;
    }
    struct connector_ctx ctx = {.spec = c->spec,
                                .app = r->plan->graph->app,
                                .log = log,
                                .clk = clk_real(),
                                .bounded = r->options.bounded,
                                .commit_ms = r->env.commit_ms,
                                .writers = c->writers,
                                .writers_count = c->writers_count,
                                .upstream_done = topic_done,
                                .stats = &c->stats,
                                .dead_letter = put_aside,
                                .arg = c};
    bool finished = false;
    int rc = c->ops->open(&ctx, &k, err);
    note_opened(c);
    if (rc == 0) {
        while (rc >= 0 && rc != 2 && !atomic_load(stop)) {
            rc = c->ops->step(k, err);
            if (rc == 0)
                usleep(SOURCE_IDLE_US);
        }
        finished = rc == 2;
        if (rc >= 0)
            rc = c->ops->commit(k, err);
        c->ops->close(k);
    }
    log->ops->close(log);
    if (rc >= 0)
        return finished ? 2 : 0;
    bool again = err->code == ERR_AGAIN || err->code == ERR_IO || err->code == ERR_UNKNOWN;
    return again && !r->options.bounded ? 1 : -1;
}

// Interruptible by a stop.
static void back_off(struct connector_thread *c, int attempt)
{
    int64_t ms = 250 << (attempt < 8 ? attempt : 8);
    _Atomic bool *stop = c->spec->is_sink ? &c->run->stop_sinks : &c->run->stop_sources;
    if (ms > BACKOFF_MS_MAX)
        ms = BACKOFF_MS_MAX;
    for (int64_t waited = 0; waited < ms && !atomic_load(stop); waited += 20)
        usleep(20000);
}

void *run_connector_main(void *arg)
{
    struct connector_thread *c = arg;
    struct err err;
    const _Atomic bool *stop = c->spec->is_sink ? &c->run->stop_sinks : &c->run->stop_sources;
    int rc = 1;
    if (!c->spec->is_sink)
        wait_for_sinks(c->run, stop);
    for (int attempt = 0, unknown = 0; rc == 1; attempt++) {
        uint64_t commits = atomic_load(&c->stats.commits);
        err.code = ERR_NONE;
        rc = connector_life(c, &err);
        if (rc != 1)
            break;
        bool moved = atomic_load(&c->stats.commits) != commits;
        attempt = moved ? 0 : attempt;
        unknown = err.code != ERR_UNKNOWN ? 0 : moved ? 1 : unknown + 1;
        if (unknown == UNKNOWN_MAX) {
            rc = -1;
            break;
        }
        logline(LOG_WARN, "connector", "%s: %s; trying again", c->spec->name, err.text);
        back_off(c, attempt);
        if (atomic_load(stop))
            rc = 0; // what is missing comes at the next start
    }
    if (rc < 0) {
        connector_name(c->spec, &err);
        run_fail(c->run, &err);
    }
    // A source that was stopped is not at its end: workers that took it for that would close
    // windows whose records come with the next run.
    if (rc == 2 && c->run->options.bounded)
        atomic_store(&c->stats.finished, true);
    if (c->spec->is_sink)
        atomic_fetch_add(&c->run->sinks_done, 1);
    signal_change(c->run);
    return NULL;
}
