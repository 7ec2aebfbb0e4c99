// SPDX-License-Identifier: Apache-2.0
#include "runtime/test_driver_state.h"

#include "base/text.h"

#define START_MS INT64_C(1600000000000) // 2020-09-13T12:26:40Z
enum { STEPS_MAX = 1000000 };

static int open_client(void *arg, const char *id, struct log **out, struct err *err)
{
    struct test_driver *d = arg;
    struct memory_options o = {.transactional_id = id};
    (void)err;
    *out = memory_open(d->log, &o);
    return 0;
}

static bool upstream_done(void *arg, const struct plan_input *in)
{
    struct test_driver *d = arg;
    for (uint32_t i = 0; i < in->feeders_count; i++) {
        if (d->unfinished[in->feeders[i]->id] > 0)
            return false;
    }
    return d->finished;
}

static void task_finished(void *arg, const struct plan_sub *s, int32_t partition)
{
    (void)partition;
    ((struct test_driver *)arg)->unfinished[s->id]--;
}

static struct task_stats *stats_of(void *arg, const struct plan_sub *s, int32_t partition)
{
    (void)s;
    (void)partition;
    return &((struct test_driver *)arg)->stats;
}

static int make_topic(struct test_driver *d, const char *name, int32_t partitions, bool compact,
                      struct err *err)
{
    struct log_topic_spec s = {.name = name,
                               .partitions = partitions,
                               .cleanup = compact ? LOG_CLEANUP_COMPACT : LOG_CLEANUP_DELETE};
    return memory_topic_create(d->log, &s, err) != 0 && err->code != ERR_EXISTS ? -1 : 0;
}

static int make_topics(struct test_driver *d, struct err *err)
{
    char name[300];
    for (uint32_t i = 0; i < d->plan->topics_count; i++) {
        if (make_topic(d, d->plan->topics[i].name, d->plan->topics[i].partitions, false, err) != 0)
            return -1;
    }
    for (uint32_t i = 0; i < d->plan->subs_count; i++) {
        const struct plan_sub *s = d->plan->subs[i];
        d->unfinished[i] = s->partitions;
        for (uint32_t k = 0; k < s->steps_count; k++) {
            if (s->steps[k]->kind == STEP_NODE && plan_node_stateful(s->steps[k]->node) &&
                make_topic(d, plan_store_topic(d->plan, s->steps[k]->node->name, &d->arena),
                           s->partitions, true, err) != 0)
                return -1;
        }
    }
    snprintf(name, sizeof(name), "%s-tasks", d->plan->graph->app);
    if (make_topic(d, arena_str(&d->arena, name), 1, true, err) != 0)
        return -1;
    return make_topic(d, d->dead_letters, 1, false, err);
}

// Every source topic gets the number of partitions the test asks for.
static int32_t wanted(void *arg, const char *topic)
{
    struct test_driver *d = arg;
    int i = plan_topic_find(d->plan, topic);
    return i >= 0 && d->plan->topics[i].role == PLAN_SOURCE ? d->wanted_partitions : 0;
}

// Source connectors are not started, so nothing waits for their markers: event time moves with the
// records, as for a topic that a client of its own writes.
static void leave_out_sources(struct plan *p)
{
    for (uint32_t i = 0; i < p->subs_count; i++) {
        for (uint32_t k = 0; k < p->subs[i]->inputs_count; k++)
            p->subs[i]->inputs[k].sources_count = 0;
    }
}

static int start(struct test_driver *d, const char *path, struct err *err)
{
    struct db_options o = {.in_memory = true};
    if (script_load(path, NULL, &d->options, &d->script, err) != 0 ||
        plan_make(script_graph(d->script), &d->arena, &d->plan, err) != 0 ||
        plan_partitions_fix(d->plan, wanted, d, err) != 0)
        return -1;
    leave_out_sources(d->plan);
    snprintf(d->dead_letters, sizeof(d->dead_letters), "%s-dead-letters", d->plan->graph->app);
    d->unfinished = check_alloc(calloc(d->plan->subs_count + 1, sizeof(*d->unfinished)));
    if (make_topics(d, err) != 0 || db_open("/test", &o, &d->db, err) != 0)
        return -1;
    d->env = (struct worker_env){.plan = d->plan,
                                 .script_path = path,
                                 .script_options = &d->options,
                                 .db = d->db,
                                 .clk = &d->clk.clk,
                                 .cache_bytes = 16 << 20,
                                 .log_open = open_client,
                                 .log_arg = d,
                                 .upstream_done = upstream_done,
                                 .upstream_arg = d,
                                 .stats = stats_of,
                                 .stats_arg = d,
                                 .task_finished = task_finished};
    return worker_open(&d->env, 0, 1, &d->worker, err);
}

int test_driver_open(const char *app_path, const struct script_param *params, uint32_t params_count,
                     int32_t partitions, struct test_driver **out, struct err *err)
{
    struct test_driver *d = check_alloc(calloc(1, sizeof(*d)));
    d->options = (struct script_options){.params = params, .params_count = params_count};
    d->wanted_partitions = partitions < 1 ? 1 : partitions > 64 ? 64 : partitions;
    d->log = memory_create();
    d->doc_ctx = doc_ctx_new();
    arena_init(&d->arena);
    arena_init(&d->take_arena);
    clk_manual_init(&d->clk, START_MS);
    if (start(d, app_path, err) != 0) {
        test_driver_close(d);
        return -1;
    }
    *out = d;
    return 0;
}

void test_driver_close(struct test_driver *d)
{
    if (d->worker != NULL)
        worker_close(d->worker);
    if (d->db != NULL)
        db_close(d->db);
    memory_destroy(d->log);
    if (d->script != NULL)
        script_free(d->script);
    doc_ctx_free(d->doc_ctx);
    arena_release(&d->arena);
    arena_release(&d->take_arena);
    free(d->unfinished);
    for (uint32_t i = 0; i < d->outs_count; i++)
        free(d->outs[i].next);
    free(d->outs);
    free(d);
}

// Steps until there is nothing to do. 2: everything has finished; 0; -1.
static int settle(struct test_driver *d, struct err *err)
{
    int rc = 1;
    for (int i = 0; rc == 1 && i < STEPS_MAX; i++)
        rc = worker_step(d->worker, 0, err);
    return rc == 1 ? err_set(err, ERR_LIMIT, "the app does not come to rest") : rc;
}

// --- piping in ---------------------------------------------------------------------------------

static const struct node *reader_of(struct test_driver *d, const char *topic)
{
    const struct graph *g = d->plan->graph;
    for (uint32_t i = 0; i < g->nodes_count; i++) {
        const struct node *n = g->nodes[i];
        if ((n->kind == NODE_STREAM || n->kind == NODE_TABLE) && strcmp(n->topic, topic) == 0)
            return n;
    }
    return NULL;
}

static const char *source_name(void *arg, int i)
{
    const struct plan *p = arg;
    for (uint32_t k = 0; k < p->topics_count; k++) {
        if (p->topics[k].role == PLAN_SOURCE && i-- == 0)
            return p->topics[k].name;
    }
    return NULL;
}

static int unknown_topic(struct test_driver *d, const char *topic, struct err *err)
{
    const char *near = text_nearest(topic, source_name, d->plan);
    return err_set(err, ERR_NOT_FOUND, "the script reads no topic '%s'%s%s%s", topic,
                   near == NULL ? "" : "; did you mean '", near == NULL ? "" : near,
                   near == NULL ? "" : "'?");
}

static int record_time(struct test_driver *d, const struct node *n, struct doc *doc,
                       const struct testfile_pipe *p, int64_t *time, struct err *err)
{
    *time = d->clk.now_ms;
    if (p->has_time)
        *time = p->time;
    if (n->time_field == NULL || p->has_time || doc == NULL)
        return 0;
    struct field_ref f = field_ref_of(slice_str(n->time_field), NULL);
    struct value v;
    if (doc_get(doc, &f, &v, err) != 0)
        return -1;
    if (v.type == VALUE_INT)
        *time = v.i;
    return 0;
}

// A key given as text, in the format that the topic's keys have.
static int given_key(struct test_driver *d, const struct node *n, struct slice text,
                     struct buf *key, struct err *err)
{
    struct slice name = slice_str("key");
    struct value v = value_string(text), map = {.type = VALUE_MAP, .count = 1};
    struct field_ref f = field_ref_of(name, NULL);
    struct doc doc;
    if (n->key_format == FORMAT_STRING || n->key_format == FORMAT_BYTES) {
        buf_slice_put(key, text);
        return 0;
    }
    if (value_from_json(text, &d->take_arena, &v, err) != 0)
        return err_set(err, ERR_INVALID, "the key of '%s' is a %s, not '%.*s'", n->topic,
                       format_name(n->key_format), (int)text.n, (const char *)text.p);
    map.items = &v;
    map.keys = &name;
    doc_from_value(&doc, d->doc_ctx, &d->take_arena, &map);
    return doc_key(&doc, &f, n->key_format, key, err);
}

static int record_key(struct test_driver *d, const struct node *n, struct doc *doc,
                      const struct testfile_pipe *p, struct buf *key, struct err *err)
{
    if (p->has_key)
        return given_key(d, n, p->key, key, err);
    if (doc == NULL)
        return err_set(err, ERR_INVALID,
                       "a delete in '%s' needs a key: t:pipe(\"%s\", test.null, { key = … })",
                       n->topic, n->topic);
    if (n->key_field == NULL)
        return 0;
    struct field_ref f = field_ref_of(slice_str(n->key_field), NULL);
    return doc_key(doc, &f, n->key_format, key, err);
}

int test_driver_pipe(struct test_driver *d, const struct testfile_pipe *p, struct err *err)
{
    const struct node *n = reader_of(d, p->topic);
    if (n == NULL)
        return unknown_topic(d, p->topic, err);
    if (d->finished)
        return err_set(err, ERR_INVALID, "'%s': the input has ended with t:finish()", p->topic);
    struct doc doc, *value = p->value->type == VALUE_NULL ? NULL : &doc;
    struct buf bytes, key;
    struct log_record r = {.key = {NULL, 0}};
    int rc = 0;
    buf_init(&bytes);
    buf_init(&key);
    arena_reset(&d->take_arena);
    if (value != NULL) {
        doc_from_value(&doc, d->doc_ctx, &d->take_arena, p->value);
        rc = doc_encode(&doc, n->codec, &bytes, err);
        r.value = buf_slice(&bytes);
    }
    if (rc == 0)
        rc = record_key(d, n, value, p, &key, err);
    if (p->has_key || key.n != 0)
        r.key = key.n == 0 ? slice_of("", 0) : buf_slice(&key);
    if (rc == 0)
        rc = record_time(d, n, value, p, &r.time, err);
    int32_t partitions = d->plan->topics[plan_topic_find(d->plan, p->topic)].partitions;
    int32_t partition = p->partition >= 0 ? p->partition % partitions
                        : r.key.p != NULL ? log_partition_of(r.key, partitions)
                                          : 0;
    if (rc == 0)
        memory_produce(d->log, p->topic, partition, &r);
    buf_release(&bytes);
    buf_release(&key);
    return rc != 0 || settle(d, err) < 0 ? -1 : 0;
}

// --- time --------------------------------------------------------------------------------------

int test_driver_advance(struct test_driver *d, int64_t ms, struct err *err)
{
    // Twice: what idles from now on has idled for `ms` then.
    if (settle(d, err) < 0)
        return -1;
    d->clk.now_ms += ms;
    return settle(d, err) < 0 ? -1 : 0;
}

int test_driver_finish(struct test_driver *d, struct err *err)
{
    d->finished = true;
    d->env.bounded = true;
    worker_set_bounded(d->worker);
    int rc = settle(d, err);
    if (rc == 0)
        return err_set(err, ERR_LIMIT, "the app does not finish");
    return rc < 0 ? -1 : 0;
}

// --- as a host of test files -------------------------------------------------------------------

static int host_start(void *arg, const char *app, const struct script_param *params, uint32_t n,
                      int32_t partitions, struct err *err)
{
    return test_driver_open(app, params, n, partitions, arg, err);
}

static int host_pipe(void *arg, const struct testfile_pipe *p, struct err *err)
{
    return test_driver_pipe(*(struct test_driver **)arg, p, err);
}

static int host_advance(void *arg, int64_t ms, struct err *err)
{
    return test_driver_advance(*(struct test_driver **)arg, ms, err);
}

static int host_finish(void *arg, struct err *err)
{
    return test_driver_finish(*(struct test_driver **)arg, err);
}

static int host_take(void *arg, const char *topic, struct arena *arena, struct testfile_record *out,
                     struct err *err)
{
    return test_driver_take(*(struct test_driver **)arg, topic, arena, out, err);
}

static void host_report(void *arg, FILE *to)
{
    test_driver_report(*(struct test_driver **)arg, to);
}

static void host_stop(void *arg)
{
    test_driver_close(*(struct test_driver **)arg);
}

struct testfile_host test_driver_host(struct test_driver **slot)
{
    return (struct testfile_host){.arg = slot,
                                  .start = host_start,
                                  .pipe = host_pipe,
                                  .advance = host_advance,
                                  .finish = host_finish,
                                  .take = host_take,
                                  .report = host_report,
                                  .stop = host_stop};
}
