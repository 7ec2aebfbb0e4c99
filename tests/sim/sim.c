// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim.h"

#include <inttypes.h>

#include "base/failpoint.h"
#include "base/hash.h"
#include "base/logline.h"
#include "log/marker.h"
#include "log/origin.h"

enum { STEPS_MAX = 200000, CALM_AFTER = 4000, LEAP_MS = 3 * 86400000 };

static struct sim *current; // for the failpoint hook

static bool chance(struct sim *s, uint32_t per_mille)
{
    return !s->calm && prng_below(&s->random, 1000) < per_mille;
}

static bool at_failpoint(const char *name)
{
    (void)name;
    if (!chance(current, current->crash_per_mille))
        return false;
    return true;
}

static enum memory_fault at_commit(void *arg)
{
    struct sim *s = arg;
    if (!chance(s, s->fault_per_mille))
        return MEMORY_NORMAL;
    s->faults++;
    static const enum memory_fault faults[] = {
        MEMORY_ABORT,           MEMORY_ABORT,        MEMORY_UNKNOWN_APPLIED, MEMORY_UNKNOWN_APPLIED,
        MEMORY_UNKNOWN_APPLIED, MEMORY_UNKNOWN_LOST, MEMORY_UNKNOWN_LOST,    MEMORY_FENCE};
    return faults[prng_below(&s->random, ARRAY_COUNT(faults))];
}

// --- events ------------------------------------------------------------------------------------

static void make_events(struct sim *s)
{
    struct prng *r = &s->random;
    int64_t time = 1530000000000;
    // Coarse times meet the edges of windows exactly, and each other.
    int64_t grain = prng_below(r, 3) == 0 ? 900000 : 1;
    s->events_count = 40 + (uint32_t)prng_below(r, 260);
    s->events = check_alloc(calloc(s->events_count, sizeof(*s->events)));
    s->order = check_alloc(calloc(s->events_count, sizeof(*s->order)));
    for (uint32_t i = 0; i < s->events_count; i++) {
        // Ties in time are common; now and then a jump of days.
        if (prng_below(r, 4) != 0)
            time += (int64_t)prng_below(r, prng_below(r, 20) == 0 ? LEAP_MS : 7200000);
        s->events[i] =
            (struct sim_event){.time = time - time % grain,
                               .id = i,
                               .customer = (int64_t)prng_below(r, 6),
                               .terminal = (int64_t)prng_below(r, 4),
                               .amount = (double)prng_below(r, 2000) / 4,
                               .fraud = prng_below(r, 5) == 0,
                               .poison = prng_below(r, 60) == 0,
                               .table = s->scenario->table_topic != NULL && prng_below(r, 3) == 0};
        s->order[i] = i;
    }
    // A little disorder: blocks of up to 8 events are shuffled.
    for (uint32_t i = 0; i + 8 < s->events_count; i += 8) {
        if (prng_below(r, 2) == 0)
            continue;
        for (uint32_t k = 7; k > 0; k--) {
            uint32_t j = (uint32_t)prng_below(r, k + 1), t = s->order[i + k];
            s->order[i + k] = s->order[i + j];
            s->order[i + j] = t;
        }
    }
}

static int feed_one(struct sim *s, const struct sim_event *e, struct err *err)
{
    char value[256], key[32];
    uint8_t origin[ORIGIN_SIZE];
    const char *topic = e->table ? s->scenario->table_topic : s->scenario->topic;
    struct origin o = {.topic = 1, .offset = e->id};
    struct log_tp tp = {0, 0};
    struct log_topic_info info;
    origin_encode(&o, origin);
    struct log_header header = origin_header(origin);
    snprintf(value, sizeof(value),
             "{\"tx_id\":%" PRId64 ",\"ts\":%" PRId64 ",\"customer_id\":%" PRId64
             ",\"terminal_id\":%" PRId64 ",\"amount\":%.2f,\"fraud\":%s,\"poison\":%s}",
             e->id, e->time, e->customer, e->terminal, e->amount, e->fraud ? "true" : "false",
             e->poison ? "true" : "false");
    snprintf(key, sizeof(key), "%" PRId64, e->customer);
    struct log_record r = {
        .time = e->time, .value = slice_str(value), .headers = &header, .headers_count = 1};
    if (s->feeder->ops->topic_open(s->feeder, topic, &tp.topic, &info, err) != 0)
        return -1;
    if (s->scenario->keyed) {
        r.key = slice_str(key);
        tp.partition = log_partition_of(r.key, s->partitions);
    } else {
        tp.partition = (int32_t)prng_below(&s->random, (uint64_t)s->partitions);
    }
    return s->feeder->ops->append(s->feeder, tp, &r, err);
}

static int feed_markers(struct sim *s, const char *topic, const char *name, struct err *err)
{
    int64_t low = INT64_MAX;
    char group[64];
    struct log_tp tp;
    struct log_topic_info info;
    struct buf b;
    for (uint32_t i = s->fed; i < s->events_count; i++) {
        if (s->events[s->order[i]].time < low)
            low = s->events[s->order[i]].time;
    }
    snprintf(group, sizeof(group), "sim/%s", name);
    struct marker m = {.group = hash_id(group),
                       .writers = 1,
                       .watermark = low == INT64_MAX ? s->events[s->events_count - 1].time : low,
                       .flags = low == INT64_MAX ? MARKER_END : 0};
    buf_init(&b);
    marker_encode(&m, &b);
    struct log_record r = {.time = 0, .value = buf_slice(&b), .marker = true};
    int rc = s->feeder->ops->topic_open(s->feeder, topic, &tp.topic, &info, err);
    for (tp.partition = 0; rc == 0 && tp.partition < s->partitions; tp.partition++)
        rc = s->feeder->ops->append(s->feeder, tp, &r, err);
    buf_release(&b);
    return rc;
}

static int feed(struct sim *s, struct err *err)
{
    uint32_t n = 1 + (uint32_t)prng_below(&s->random, 40);
    if (s->fed_all)
        return 0;
    if (s->feeder->ops->begin(s->feeder, err) != 0)
        return -1;
    for (; n > 0 && s->fed < s->events_count; n--) {
        if (feed_one(s, &s->events[s->order[s->fed++]], err) != 0)
            return -1;
    }
    if ((!s->scenario->feed_first && feed_markers(s, s->scenario->topic, "feed", err) != 0) ||
        (s->scenario->table_topic != NULL &&
         feed_markers(s, s->scenario->table_topic, "feed-table", err) != 0))
        return -1;
    if (s->feeder->ops->commit(s->feeder, "feeder", NULL, 0, err) != LOG_COMMITTED)
        return -1;
    s->fed_all = s->fed == s->events_count;
    return 0;
}

// --- the engine's surroundings -----------------------------------------------------------------

static int open_client(void *arg, const char *id, struct log **out, struct err *err)
{
    struct sim *s = arg;
    struct memory_options o = {.transactional_id = id,
                               .poll_records = 1 + (uint32_t)prng_below(&s->random, 40),
                               .seed = prng_u64(&s->random) | 1,
                               .fault = at_commit,
                               .fault_arg = s};
    (void)err;
    *out = memory_open(s->log, &o);
    return 0;
}

static bool upstream_done(void *arg, const struct plan_input *in)
{
    struct sim *s = arg;
    for (uint32_t i = 0; i < in->feeders_count; i++) {
        if (s->unfinished[in->feeders[i]->id] > 0)
            return false;
    }
    return s->fed_all;
}

static void task_finished(void *arg, const struct plan_sub *sub, int32_t partition)
{
    (void)partition;
    ((struct sim *)arg)->unfinished[sub->id]--;
}

static struct task_stats *stats_of(void *arg, const struct plan_sub *sub, int32_t partition)
{
    (void)sub;
    (void)partition;
    return &((struct sim *)arg)->stats;
}

static void all_unfinished(struct sim *s)
{
    for (uint32_t i = 0; i < s->plan->subs_count; i++)
        s->unfinished[i] = s->plan->subs[i]->partitions;
    memset(s->worker_done, 0, sizeof(s->worker_done));
}

static int32_t partitions_of(void *arg, const char *topic)
{
    struct sim *s = arg;
    int i = plan_topic_find(s->plan, topic);
    return i >= 0 && s->plan->topics[i].role == PLAN_SOURCE ? s->partitions : 0;
}

static int make_topic(struct sim *s, const char *name, int32_t partitions, bool compact,
                      struct err *err)
{
    struct log_topic_spec t = {.name = name,
                               .partitions = partitions,
                               .cleanup = compact ? LOG_CLEANUP_COMPACT : LOG_CLEANUP_DELETE};
    return memory_topic_create(s->log, &t, err);
}

static int make_topics(struct sim *s, struct err *err)
{
    for (uint32_t i = 0; i < s->plan->topics_count; i++) {
        if (make_topic(s, s->plan->topics[i].name, s->plan->topics[i].partitions, false, err) != 0)
            return -1;
    }
    for (uint32_t i = 0; i < s->plan->subs_count; i++) {
        const struct plan_sub *sub = s->plan->subs[i];
        for (uint32_t k = 0; k < sub->steps_count; k++) {
            if (sub->steps[k]->kind == STEP_NODE && plan_node_stateful(sub->steps[k]->node) &&
                make_topic(s, plan_store_topic(s->plan, sub->steps[k]->node->name, &s->arena),
                           sub->partitions, true, err) != 0)
                return -1;
        }
    }
    return make_topic(s, "sim-tasks", 1, true, err) != 0 ||
                   make_topic(s, "sim-dead-letters", 1, false, err) != 0
               ? -1
               : 0;
}

static int open_db(struct sim *s, struct err *err)
{
    struct db_options o = {.in_memory = true, .write_buffer_bytes = 1 << 20};
    int rc = db_open("/sim", &o, &s->db, err);
    s->env.db = s->db;
    return rc;
}

static int open_world(struct sim *s, struct err *err)
{
    s->log = memory_create();
    memory_gaps(s->log, prng_below(&s->random, 2) == 0);
    clk_manual_init(&s->clk, 1600000000000);
    if (script_load("sim.lua", s->scenario->script, &s->script_options, &s->script, err) != 0 ||
        plan_make(script_graph(s->script), &s->arena, &s->plan, err) != 0 ||
        plan_partitions_fix(s->plan, partitions_of, s, err) != 0 || make_topics(s, err) != 0 ||
        open_db(s, err) != 0)
        return -1;
    s->unfinished = check_alloc(calloc(s->plan->subs_count + 1, sizeof(*s->unfinished)));
    all_unfinished(s);
    struct memory_options feeder = {.transactional_id = "feeder"};
    s->feeder = memory_open(s->log, &feeder);
    s->env = (struct worker_env){.plan = s->plan,
                                 .script_path = "sim.lua",
                                 .script_source = s->scenario->script,
                                 .script_options = &s->script_options,
                                 .db = s->db,
                                 .clk = &s->clk.clk,
                                 .bounded = !s->live,
                                 .cache_bytes = prng_below(&s->random, 2) == 0 ? 4096 : 1 << 20,
                                 .commit_ms = 1 + (int64_t)prng_below(&s->random, 200),
                                 .step_records = 1 + (uint32_t)prng_below(&s->random, 60),
                                 .log_open = open_client,
                                 .log_arg = s,
                                 .upstream_done = upstream_done,
                                 .upstream_arg = s,
                                 .stats = stats_of,
                                 .stats_arg = s,
                                 .task_finished = task_finished};
    return 0;
}

// --- crashing ----------------------------------------------------------------------------------

static void close_workers(struct sim *s)
{
    for (uint32_t i = 0; i < s->workers_count; i++) {
        if (s->workers[i] != NULL)
            worker_close(s->workers[i]);
        s->workers[i] = NULL;
    }
}

// The process dies: nothing that was not committed or flushed survives.
static int crash(struct sim *s, struct err *err)
{
    s->crashes++;
    close_workers(s);
    all_unfinished(s);
    if (prng_below(&s->random, 10) == 0) { // the state directory is lost, too
        db_close(s->db);
        return open_db(s, err);
    }
    if (prng_below(&s->random, 4) == 0 && db_flush(s->db, err) != 0)
        return -1;
    return db_crash(s->db, err);
}

// Errors that a crash or a fault explains.
static bool is_expected(const struct err *e)
{
    return e->code == ERR_CLOSED || e->code == ERR_UNKNOWN || e->code == ERR_FENCED;
}

static int step_worker(struct sim *s, uint32_t i, struct err *err)
{
    int rc = 0;
    if (s->worker_done[i])
        return 0;
    if (s->workers[i] == NULL)
        rc = worker_open(&s->env, i, s->workers_count, &s->workers[i], err);
    if (rc == 0)
        rc = worker_step(s->workers[i], 0, err);
    if (rc == 2)
        s->worker_done[i] = true;
    if (rc >= 0)
        return 0;
    if (!is_expected(err))
        return -1;
    return crash(s, err);
}

// A live run is told to end once everything was fed, at some moment.
static void maybe_end(struct sim *s)
{
    if (!s->live || !s->fed_all || prng_below(&s->random, 40) != 0)
        return;
    s->live = false;
    s->env.bounded = true;
    for (uint32_t i = 0; i < s->workers_count; i++) {
        if (s->workers[i] != NULL)
            worker_set_bounded(s->workers[i]);
    }
}

// The broker compacts when it likes.
static void maybe_compact(struct sim *s)
{
    if (prng_below(&s->random, 60) != 0)
        return;
    memory_compact(s->log, "sim-tasks");
    for (uint32_t i = 0; i < s->plan->subs_count; i++) {
        const struct plan_sub *sub = s->plan->subs[i];
        for (uint32_t k = 0; k < sub->steps_count; k++) {
            char name[300];
            if (sub->steps[k]->kind != STEP_NODE || !plan_node_stateful(sub->steps[k]->node))
                continue;
            snprintf(name, sizeof(name), "sim-%s-changelog", sub->steps[k]->node->name);
            memory_compact(s->log, name);
        }
    }
}

static bool all_done(const struct sim *s)
{
    for (uint32_t i = 0; i < s->workers_count; i++) {
        if (!s->worker_done[i])
            return false;
    }
    return true;
}

static int live(struct sim *s, struct err *err)
{
    while (s->scenario->feed_first && !s->fed_all) {
        if (feed(s, err) != 0)
            return -1;
    }
    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        s->calm = step > CALM_AFTER;
        if (all_done(s))
            return 0;
        maybe_end(s);
        maybe_compact(s);
        if (prng_below(&s->random, 3) == 0 && feed(s, err) != 0)
            return -1;
        if (chance(s, s->crash_per_mille) && crash(s, err) != 0)
            return -1;
        if (step_worker(s, (uint32_t)prng_below(&s->random, s->workers_count), err) != 0)
            return -1;
        s->clk.now_ms += (int64_t)prng_below(&s->random, 30);
    }
    return err_set(err, ERR_LIMIT, "not finished after %d steps (%u of %u events fed)", STEPS_MAX,
                   s->fed, s->events_count);
}

// Now and then the app is run once more over the same input: nothing may come out again.
static int run_again(struct sim *s, struct err *err)
{
    if (prng_below(&s->random, 3) != 0)
        return 0;
    close_workers(s);
    all_unfinished(s);
    return live(s, err);
}

static void close_world(struct sim *s)
{
    close_workers(s);
    if (s->feeder != NULL)
        s->feeder->ops->close(s->feeder);
    if (s->db != NULL)
        db_close(s->db);
    if (s->script != NULL)
        script_free(s->script);
    if (s->log != NULL)
        memory_destroy(s->log);
    arena_release(&s->arena);
    free(s->unfinished);
    free(s->events);
    free(s->order);
}

int sim_run(uint64_t seed, bool verbose, struct sim *totals, struct err *err)
{
    struct sim *s = check_alloc(calloc(1, sizeof(*s)));
    s->seed = seed;
    prng_init(&s->random, seed);
    arena_init(&s->arena);
    uint32_t n = (uint32_t)prng_below(&s->random, sim_scenarios_count + sim_scenarios_more_count);
    s->scenario =
        n < sim_scenarios_count ? &sim_scenarios[n] : &sim_scenarios_more[n - sim_scenarios_count];
    s->partitions = 1 + (int32_t)prng_below(&s->random, SIM_PARTITIONS_MAX);
    s->workers_count = 1 + (uint32_t)prng_below(&s->random, SIM_WORKERS);
    s->crash_per_mille = (uint32_t)prng_below(&s->random, 30);
    s->fault_per_mille = (uint32_t)prng_below(&s->random, 300);
    s->live = prng_below(&s->random, 3) == 0;
    make_events(s);
    current = s;
    failpoint_hook = at_failpoint;
    failpoint_armed = true;
    if (!verbose)
        logline_level = LOG_ERROR;
    int rc = open_world(s, err) != 0 || live(s, err) != 0 || run_again(s, err) != 0 ||
             s->scenario->judge(s, err) != 0;
    if (rc != 0) {
        err_wrap(err, "seed %" PRIu64 " (%s, %d partitions, %u workers, %u crashes, %u faults)",
                 seed, s->scenario->name, s->partitions, s->workers_count, s->crashes, s->faults);
        rc = -1;
    }
    totals->crashes += s->crashes;
    totals->faults += s->faults;
    totals->events_count += s->events_count;
    close_world(s);
    free(s);
    return rc;
}
