// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/dirs.h"
#include "base/logline.h"
#include "base/text.h"
#include "broker/net.h"
#include "runtime/run_threads.h"

enum {
    MEMORY_BYTES = 128 << 20,
    FLUSH_MS = 600000,
    TXN_BYTES = 16 << 20, // of all workers' open transactions
    COMMIT_MS_LIVE = 100,
    COMMIT_MS_BOUNDED = 1000,
};

const struct plan *run_plan(const struct run *r)
{
    return r->plan;
}

int run_port(const struct run *r)
{
    return r->net == NULL ? 0 : net_port(r->net);
}

// --- topics ------------------------------------------------------------------------------------

static int32_t existing_partitions(void *arg, const char *topic)
{
    struct broker_topic_info info;
    return broker_topic_find(((struct run *)arg)->broker, topic, &info) == BROKER_OK
               ? info.partitions
               : 0;
}

static int create_topic(struct log *log, const struct log_topic_spec *spec, struct err *err)
{
    if (log->ops->topic_create(log, spec, err) == 0 || err->code == ERR_EXISTS)
        return 0;
    return err_wrap(err, "creating topic %s", spec->name);
}

// Our own topics take what comes of records that the user's topics took: a letter is larger than
// its record, a row may hold many. A limit there would stop the app at the same place for ever.
static int create_internal(struct run *r, struct log *log, struct err *err)
{
    char name[300];
    struct log_topic_spec s = {.name = name,
                               .partitions = 1,
                               .cleanup = LOG_CLEANUP_COMPACT,
                               .delete_retention_ms = ROWS_RETENTION_MS,
                               .retention_ms = -1,
                               .max_message_bytes = -1};
    snprintf(name, sizeof(name), "%s-tasks", r->plan->graph->app);
    if (create_topic(log, &s, err) != 0)
        return -1;
    snprintf(name, sizeof(name), "%s-dead-letters", r->plan->graph->app);
    s.cleanup = LOG_CLEANUP_DELETE;
    return create_topic(log, &s, err);
}

static int create_changelogs(struct run *r, struct log *log, const struct plan_sub *sub,
                             struct err *err)
{
    for (uint32_t i = 0; i < sub->steps_count; i++) {
        const struct plan_step *st = sub->steps[i];
        if (st->kind != STEP_NODE || !plan_node_stateful(st->node))
            continue;
        struct log_topic_spec s = {.name = plan_store_topic(r->plan, st->node->name, &r->arena),
                                   .partitions = sub->partitions,
                                   .cleanup = LOG_CLEANUP_COMPACT,
                                   .delete_retention_ms = ROWS_RETENTION_MS,
                                   .retention_ms = -1,
                                   .max_message_bytes = -1};
        if (create_topic(log, &s, err) != 0)
            return -1;
    }
    return 0;
}

static const char *topic_name(void *arg, int i)
{
    const struct plan *p = arg;
    return (uint32_t)i < p->topics_count ? p->topics[i].name : NULL;
}

// A sink reads what this app writes, or a topic that is there already; anything else is a typo.
static int check_sinks(struct run *r, struct err *err)
{
    const struct graph *g = r->plan->graph;
    for (uint32_t i = 0; i < g->connectors_count; i++) {
        const struct connector_spec *c = &g->connectors[i];
        struct plan_topic *t = &r->plan->topics[plan_topic_find(r->plan, c->topic)];
        if (!c->is_sink || t->written || existing_partitions(r, c->topic) != 0)
            continue;
        t->name = ""; // not its own neighbour
        const char *near = text_nearest(c->topic, topic_name, r->plan);
        return err_set(err, ERR_INVALID,
                       "%s: sink '%s' reads topic '%s', which this app does not write and the log "
                       "does not have%s%s%s",
                       c->where, c->name, c->topic, near == NULL ? "" : "; did you mean '",
                       near == NULL ? "" : near, near == NULL ? "" : "'?");
    }
    return 0;
}

static int create_topics(struct run *r, struct err *err)
{
    struct log *log;
    if (run_log_open(r, NULL, &log, err) != 0)
        return -1;
    int rc = create_internal(r, log, err);
    for (uint32_t i = 0; rc == 0 && i < r->plan->topics_count; i++) {
        const struct plan_topic *t = &r->plan->topics[i];
        struct log_topic_spec s = {.name = t->name,
                                   .partitions = t->partitions,
                                   .cleanup = LOG_CLEANUP_DELETE,
                                   .retention_ms = -1,
                                   .max_message_bytes = t->role == PLAN_REPARTITION ? -1 : 0};
        rc = create_topic(log, &s, err);
    }
    for (uint32_t i = 0; rc == 0 && i < r->plan->subs_count; i++)
        rc = create_changelogs(r, log, r->plan->subs[i], err);
    log->ops->close(log);
    return rc;
}

// --- stats -------------------------------------------------------------------------------------

static struct task_stats *stats_of(void *arg, const struct plan_sub *s, int32_t partition)
{
    return &((struct run *)arg)->stats[s->id][partition];
}

// Counted once each: a reopened worker tells of its tasks again.
static void task_finished(void *arg, const struct plan_sub *s, int32_t partition)
{
    struct run *r = arg;
    if (!atomic_exchange(&r->stats[s->id][partition].finished, true))
        atomic_fetch_sub(&r->unfinished[s->id], 1);
}

static void make_stats(struct run *r)
{
    uint32_t n = r->plan->subs_count;
    r->stats = check_alloc(calloc(n + 1, sizeof(*r->stats)));
    r->unfinished = check_alloc(calloc(n + 1, sizeof(*r->unfinished)));
    for (uint32_t i = 0; i < n; i++) {
        int32_t partitions = r->plan->subs[i]->partitions;
        r->stats[i] = check_alloc(calloc((size_t)partitions, sizeof(**r->stats)));
        for (int32_t p = 0; p < partitions; p++) {
            atomic_store(&r->stats[i][p].watermark, INT64_MIN);
            atomic_store(&r->stats[i][p].event_time, INT64_MIN);
        }
        atomic_store(&r->unfinished[i], partitions);
        r->tasks_count += (uint32_t)partitions;
    }
}

static void add_task(struct run_totals *t, struct task_stats *s)
{
    t->records += atomic_load(&s->records);
    t->emitted += atomic_load(&s->emitted);
    t->dead += atomic_load(&s->dead);
    for (int i = 0; i < DROP_REASONS; i++)
        t->drops[i] += atomic_load(&s->drops[i]);
    int64_t e = atomic_load(&s->event_time), w = atomic_load(&s->watermark);
    t->event_time = e > t->event_time ? e : t->event_time;
    t->watermark = w < t->watermark ? w : t->watermark;
    t->lag += atomic_load(&s->lag);
}

void run_totals(struct run *r, struct run_totals *t)
{
    *t = (struct run_totals){.event_time = INT64_MIN, .watermark = INT64_MAX};
    t->tasks = r->tasks_count;
    for (uint32_t i = 0; i < r->plan->subs_count; i++) {
        for (int32_t p = 0; p < r->plan->subs[i]->partitions; p++)
            add_task(t, &r->stats[i][p]);
        int32_t left = atomic_load(&r->unfinished[i]);
        t->tasks_finished += (uint32_t)(r->plan->subs[i]->partitions - left);
    }
    for (uint32_t i = 0; i < r->connectors_count; i++) {
        struct connector_stats *s = &r->connectors[i].stats;
        t->bad_records += atomic_load(&s->bad);
        if (r->connectors[i].spec->is_sink) {
            t->sink_records += atomic_load(&s->records);
            continue;
        }
        t->source_records += atomic_load(&s->records);
        t->source_bytes += atomic_load(&s->bytes);
        t->source_total_bytes += atomic_load(&s->total_bytes);
    }
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->workers_count; i++) {
        struct worker_thread *w = &r->workers[i];
        t->commits += w->commits_before + (w->worker ? atomic_load(&w->worker->commits) : 0);
        t->commit_ns += w->commit_ns_before + (w->worker ? atomic_load(&w->worker->commit_ns) : 0);
    }
    pthread_mutex_unlock(&r->lock);
}

// --- starting ----------------------------------------------------------------------------------

static int open_db(struct run *r, struct err *err)
{
    char dir[4096];
    size_t memory = r->options.memory_bytes == 0 ? MEMORY_BYTES : r->options.memory_bytes;
    struct db_options o = {.block_cache_bytes = memory / 8, .write_buffer_bytes = memory / 4};
    snprintf(dir, sizeof(dir), "%s/apps/%s/0", r->options.data_dir, r->plan->graph->app);
    if (dirs_make(dir, err) != 0)
        return -1;
    return db_open(dir, &o, &r->db, err);
}

static void worker_settings(struct run *r)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t n = r->options.workers != 0 ? r->options.workers : (uint32_t)(cores < 1 ? 1 : cores);
    size_t memory = r->options.memory_bytes == 0 ? MEMORY_BYTES : r->options.memory_bytes;
    r->workers_count = n < r->tasks_count ? n : r->tasks_count;
    uint32_t share = r->workers_count == 0 ? 1 : r->workers_count;
    uint32_t tasks_each = (r->tasks_count + share - 1) / share;
    r->env = (struct worker_env){
        .plan = r->plan,
        .script_path = r->options.script_path,
        .script_options = &r->script_options,
        .db = r->db,
        .clk = clk_real(),
        .bounded = r->options.bounded,
        .cache_bytes = memory / 2 / share / (tasks_each == 0 ? 1 : tasks_each),
        .commit_ms = r->options.commit_ms != 0 ? r->options.commit_ms
                     : r->options.bounded      ? COMMIT_MS_BOUNDED
                                               : COMMIT_MS_LIVE,
        .txn_bytes = TXN_BYTES / share,
        .log_open = run_log_open,
        .log_arg = r,
        .upstream_done = run_upstream_done,
        .upstream_arg = r,
        .stats = stats_of,
        .stats_arg = r,
        .task_finished = task_finished,
        .stop = &r->stop_workers,
    };
}

static void sink_writers(struct run *r, struct connector_thread *c)
{
    c->writers = arena_alloc(&r->arena, sizeof(*c->writers) * (r->plan->subs_count + 1));
    for (uint32_t i = 0; i < r->plan->subs_count; i++) {
        const struct plan_sub *s = r->plan->subs[i];
        for (uint32_t o = 0; o < s->outputs_count; o++) {
            if (strcmp(r->plan->topics[s->outputs[o].topic].name, c->spec->topic) == 0)
                c->writers[c->writers_count++] =
                    (struct marker_writers){.group = s->group, .writers = s->partitions};
        }
    }
}

static int make_connectors(struct run *r, struct err *err)
{
    const struct graph *g = r->plan->graph;
    r->connectors = check_alloc(calloc(g->connectors_count + 1, sizeof(*r->connectors)));
    if (connectors_check(g, err) != 0)
        return -1;
    r->connectors_count = g->connectors_count;
    for (uint32_t i = 0; i < g->connectors_count; i++) {
        struct connector_thread *c = &r->connectors[i];
        c->run = r;
        c->spec = &g->connectors[i];
        c->ops = connector_find(c->spec->connector, c->spec->is_sink, err);
        atomic_store(&c->stats.event_time, INT64_MIN);
        if (c->spec->is_sink)
            sink_writers(r, c);
    }
    return 0;
}

static int start_thread(pthread_t *t, void *(*main)(void *), void *arg, bool *started,
                        struct err *err)
{
    errno = pthread_create(t, NULL, main, arg);
    if (errno != 0)
        return err_io(err, "cannot start a thread");
    *started = true;
    return 0;
}

static int start_threads(struct run *r, struct err *err)
{
    r->workers = check_alloc(calloc(r->workers_count + 1, sizeof(*r->workers)));
    for (uint32_t i = 0; i < r->workers_count; i++) {
        struct worker_thread *w = &r->workers[i];
        w->run = r;
        w->member = i;
        if (start_thread(&w->thread, run_worker_main, w, &w->started, err) != 0)
            return -1;
    }
    for (uint32_t i = 0; i < r->connectors_count; i++) {
        struct connector_thread *c = &r->connectors[i];
        if (start_thread(&c->thread, run_connector_main, c, &c->started, err) != 0)
            return -1;
    }
    return 0;
}

static int start_broker(struct run *r, struct err *err)
{
    struct broker_config c = {
        .dir = r->options.data_dir, .durability = r->options.durability, .auto_create = true};
    if (broker_open(&c, &r->broker, err) != 0)
        return -1;
    if (r->options.listen == NULL)
        return 0;
    struct net_config n = {.listen = r->options.listen};
    return net_start(r->broker, &n, &r->net, err);
}

static int start(struct run *r, struct err *err)
{
    r->script_options = (struct script_options){.params = r->options.params,
                                                .params_count = r->options.params_count};
    if (script_load(r->options.script_path, NULL, &r->script_options, &r->script, err) != 0 ||
        plan_make(script_graph(r->script), &r->arena, &r->plan, err) != 0 ||
        make_connectors(r, err) != 0 || start_broker(r, err) != 0)
        return -1;
    if (plan_partitions_fix(r->plan, existing_partitions, r, err) != 0 ||
        check_sinks(r, err) != 0 || create_topics(r, err) != 0)
        return -1;
    make_stats(r);
    r->flushed_ms = clk_mono_ms(clk_real());
    if (r->plan->subs_count != 0 && open_db(r, err) != 0)
        return -1;
    worker_settings(r);
    return start_threads(r, err);
}

int run_start(const struct run_options *o, struct run **out, struct err *err)
{
    struct run *r = check_alloc(calloc(1, sizeof(*r)));
    r->options = *o;
    arena_init(&r->arena);
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    if (start(r, err) != 0) {
        run_stop(r);
        return -1;
    }
    *out = r;
    return 0;
}

// --- waiting and stopping ----------------------------------------------------------------------

static bool all_done(struct run *r)
{
    uint32_t sinks = 0;
    for (uint32_t i = 0; i < r->connectors_count; i++)
        sinks += r->connectors[i].spec->is_sink;
    for (uint32_t i = 0; i < r->connectors_count; i++) {
        if (!r->connectors[i].spec->is_sink && !atomic_load(&r->connectors[i].stats.finished))
            return false;
    }
    return r->options.bounded && atomic_load(&r->workers_done) == r->workers_count &&
           atomic_load(&r->sinks_done) == sinks;
}

// RocksDB writes no log of its own: what it has not flushed is replayed from changelogs after a
// crash. A flush now and then keeps that short, also in quiet apps.
static void flush_by_age(struct run *r)
{
    struct err err;
    int64_t now = clk_mono_ms(clk_real());
    if (r->db == NULL || now - r->flushed_ms < FLUSH_MS)
        return;
    r->flushed_ms = now;
    if (db_flush(r->db, &err) != 0)
        logline(LOG_WARN, "state", "%s; trying again in %d minutes", err.text, FLUSH_MS / 60000);
}

int run_wait(struct run *r, int64_t wait_ms, struct err *err)
{
    flush_by_age(r);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->failed && !all_done(r)) {
        if (pthread_cond_timedwait(&r->changed, &r->lock, &until) == ETIMEDOUT)
            break;
    }
    if (r->failed) {
        *err = r->failure;
        rc = -1;
    } else if (all_done(r)) {
        rc = 1;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static void join_connectors(struct run *r, bool sinks)
{
    for (uint32_t i = 0; i < r->connectors_count; i++) {
        if (r->connectors[i].started && r->connectors[i].spec->is_sink == sinks)
            pthread_join(r->connectors[i].thread, NULL);
    }
}

static void free_all(struct run *r)
{
    for (uint32_t i = 0; r->stats != NULL && i < r->plan->subs_count; i++)
        free(r->stats[i]);
    free(r->stats);
    free((void *)r->unfinished);
    free(r->workers);
    free(r->connectors);
    if (r->script != NULL)
        script_free(r->script);
    arena_release(&r->arena);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void run_stop(struct run *r)
{
    atomic_store(&r->stop_sources, true);
    if (r->broker != NULL)
        broker_wake(r->broker);
    join_connectors(r, false);
    atomic_store(&r->stop_workers, true);
    for (uint32_t i = 0; r->workers != NULL && i < r->workers_count; i++) {
        if (r->workers[i].started)
            pthread_join(r->workers[i].thread, NULL);
    }
    atomic_store(&r->stop_sinks, true);
    join_connectors(r, true);
    if (r->net != NULL)
        net_stop(r->net);
    if (r->db != NULL)
        r->failed ? db_abandon(r->db) : db_close(r->db);
    if (r->broker != NULL)
        broker_close(r->broker);
    free_all(r);
}
