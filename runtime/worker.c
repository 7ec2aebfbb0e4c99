// SPDX-License-Identifier: Apache-2.0
#include "runtime/worker.h"

#include "base/logline.h"

enum {
    COMMIT_MS = 100,
    TXN_BYTES = 8 << 20,
    STEP_RECORDS = 512,
    POLLS_PER_STEP = 16,
};

// --- assignment --------------------------------------------------------------------------------

static void on_assigned(void *arg, const struct log_tp *tps, uint32_t n)
{
    struct worker *w = arg;
    w->assigned = true;
    if (n == 0)
        return;
    w->wanted = check_alloc(realloc(w->wanted, (w->wanted_count + n) * sizeof(*tps)));
    memcpy(w->wanted + w->wanted_count, tps, n * sizeof(*tps));
    w->wanted_count += n;
}

static void close_tasks_of(struct worker *w, const struct log_tp *tps, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < w->tasks_count; k++) {
            struct task *t = w->tasks[k];
            if (w->leads[t->sub->id] != tps[i].topic || t->partition != tps[i].partition)
                continue;
            task_close(t);
            w->tasks[k--] = w->tasks[--w->tasks_count];
        }
    }
}

static void on_lost(void *arg, const struct log_tp *tps, uint32_t n)
{
    struct worker *w = arg;
    struct err err;
    if (commit_abort(&w->commit, w->tasks, w->tasks_count, &err) != 0)
        logline(LOG_WARN, "worker", "%s", err.text);
    close_tasks_of(w, tps, n);
}

static void on_revoked(void *arg, const struct log_tp *tps, uint32_t n)
{
    struct worker *w = arg;
    struct err err;
    if (worker_commit(w, &err) != 0)
        logline(LOG_WARN, "worker", "commit before giving tasks back: %s", err.text);
    close_tasks_of(w, tps, n);
}

static int open_task(struct worker *w, struct log_tp tp, struct err *err)
{
    const struct worker_env *e = w->env;
    for (uint32_t i = 0; i < e->plan->subs_count; i++) {
        const struct plan_sub *s = e->plan->subs[i];
        if (w->leads[i] != tp.topic)
            continue;
        struct task *t;
        if (task_open(&w->task_env, s, tp.partition, e->stats(e->stats_arg, s, tp.partition), &t,
                      err) != 0)
            return -1;
        w->tasks = check_alloc(realloc(w->tasks, (w->tasks_count + 1) * sizeof(*w->tasks)));
        w->tasks[w->tasks_count++] = t;
        return 0;
    }
    return 0;
}

static int open_wanted(struct worker *w, struct err *err)
{
    while (w->wanted_count != 0) {
        if (open_task(w, w->wanted[w->wanted_count - 1], err) != 0)
            return -1;
        w->wanted_count--;
    }
    return 0;
}

// --- opening and closing -----------------------------------------------------------------------

static int open_names(struct worker *w, struct err *err)
{
    const struct plan *p = w->env->plan;
    char name[300];
    struct log_topic_info info;
    const struct log_ops *ops = w->log->ops;
    snprintf(w->tasks_topic, sizeof(w->tasks_topic), "%s-tasks", p->graph->app);
    snprintf(name, sizeof(name), "%s-dead-letters", p->graph->app);
    if (ops->topic_open(w->log, w->tasks_topic, &w->task_env.tasks_topic, &info, err) != 0 ||
        ops->topic_open(w->log, name, &w->task_env.dead_letters_topic, &info, err) != 0)
        return -1;
    w->leads = check_alloc(calloc(p->subs_count + 1, sizeof(*w->leads)));
    for (uint32_t i = 0; i < p->subs_count; i++) {
        if (ops->topic_open(w->log, p->topics[p->subs[i]->inputs[0].topic].name, &w->leads[i],
                            &info, err) != 0)
            return -1;
    }
    return 0;
}

static int start(struct worker *w, struct err *err)
{
    const struct worker_env *e = w->env;
    char id[300];
    snprintf(id, sizeof(id), "%s-%u", e->plan->graph->app, w->member);
    if (e->log_open(e->log_arg, id, &w->log, err) != 0 ||
        e->log_open(e->log_arg, NULL, &w->reader, err) != 0)
        return -1;
    commit_init(&w->commit, w->log, e->db, e->plan->graph->app);
    w->task_env = (struct task_env){.plan = e->plan,
                                    .script_path = e->script_path,
                                    .script_source = e->script_source,
                                    .script_options = e->script_options,
                                    .log = w->log,
                                    .reader = w->reader,
                                    .db = e->db,
                                    .clk = e->clk,
                                    .cache_bytes = e->cache_bytes,
                                    .tasks_name = w->tasks_topic,
                                    .bounded = e->bounded,
                                    .stop = e->stop,
                                    .upstream_done = e->upstream_done,
                                    .upstream_arg = e->upstream_arg};
    if (open_names(w, err) != 0)
        return -1;
    struct log_subscription sub = {.topics = w->leads,
                                   .topics_count = e->plan->subs_count,
                                   .member = w->member,
                                   .members = w->members,
                                   .listener = {w, on_assigned, on_revoked, on_lost}};
    return w->log->ops->subscribe(w->log, &sub, err);
}

int worker_open(const struct worker_env *env, uint32_t member, uint32_t members,
                struct worker **out, struct err *err)
{
    struct worker *w = check_alloc(calloc(1, sizeof(*w)));
    w->env = env;
    w->member = member;
    w->members = members;
    w->dirty_since_ms = -1;
    if (start(w, err) != 0) {
        worker_close(w);
        return -1;
    }
    *out = w;
    return 0;
}

void worker_close(struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count; i++)
        task_close(w->tasks[i]);
    if (w->commit.batch != NULL)
        commit_release(&w->commit);
    if (w->reader != NULL)
        w->reader->ops->close(w->reader);
    if (w->log != NULL)
        w->log->ops->close(w->log);
    free(w->tasks);
    free(w->wanted);
    free(w->leads);
    free(w);
}

// --- stepping ----------------------------------------------------------------------------------

static int take_batches(struct worker *w, int64_t wait_ms, struct err *err)
{
    int got = 0;
    for (int i = 0; i < POLLS_PER_STEP; i++) {
        struct rec_batch b;
        int rc = w->log->ops->poll(w->log, i == 0 ? wait_ms : 0, &b, err);
        if (rc < 0)
            return -1;
        if (rc == 0)
            break;
        bool taken = false;
        for (uint32_t k = 0; !taken && k < w->tasks_count; k++)
            taken = task_deliver(w->tasks[k], &b);
        if (!taken)
            w->log->ops->release(w->log, &b);
        got++;
    }
    return got;
}

static int step_tasks(struct worker *w, struct err *err)
{
    uint32_t max = w->env->step_records == 0 ? STEP_RECORDS : w->env->step_records;
    int done = 0;
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        int n = task_step(w->tasks[i], max, err);
        if (n < 0)
            return -1;
        done += n;
    }
    return done;
}

static bool any_changed(const struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        if (w->tasks[i]->changed)
            return true;
    }
    return false;
}

static bool due(struct worker *w, bool idle)
{
    int64_t now = clk_mono_ms(w->env->clk);
    if (w->dirty_since_ms < 0)
        w->dirty_since_ms = now;
    if (idle || now - w->dirty_since_ms >= (w->env->commit_ms == 0 ? COMMIT_MS : w->env->commit_ms))
        return true;
    size_t limit = w->env->txn_bytes == 0 ? TXN_BYTES : w->env->txn_bytes;
    if (w->log->ops->pending_bytes(w->log) >= limit)
        return true;
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        if (task_pressure(w->tasks[i]))
            return true;
    }
    return false;
}

static void count_finished(struct worker *w)
{
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        struct task *t = w->tasks[i];
        if (t->finished && !t->reported) {
            t->reported = true;
            w->finished_count++;
            if (w->env->task_finished != NULL)
                w->env->task_finished(w->env->upstream_arg, t->sub, t->partition);
        }
    }
}

int worker_commit(struct worker *w, struct err *err)
{
    if (!any_changed(w))
        return 0;
    int64_t start_ns = clk_mono_ns(w->env->clk);
    size_t bytes = w->commit.open ? w->log->ops->pending_bytes(w->log) : 0;
    int rc = commit_run(&w->commit, w->tasks, w->tasks_count, err);
    w->dirty_since_ms = -1;
    atomic_fetch_add(&w->commit_ns, (uint64_t)(clk_mono_ns(w->env->clk) - start_ns));
    if (rc < 0)
        return -1;
    if (rc == 1) {
        atomic_fetch_add(&w->commits, 1);
        atomic_fetch_add(&w->txn_bytes, bytes);
        count_finished(w);
    }
    return 0;
}

static int check_idle(struct worker *w, struct err *err)
{
    int64_t now = clk_mono_ms(w->env->clk);
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        if (task_idle_check(w->tasks[i], now, err) != 0)
            return -1;
    }
    return 0;
}

static int try_ends(struct worker *w, struct err *err)
{
    for (uint32_t i = 0; i < w->tasks_count; i++) {
        if (task_try_end(w->tasks[i], err) < 0)
            return -1;
    }
    return 0;
}

void worker_set_bounded(struct worker *w)
{
    w->task_env.bounded = true;
}

static int work(struct worker *w, int64_t wait_ms, struct err *err)
{
    if (open_wanted(w, err) != 0)
        return -1;
    bool changed = any_changed(w);
    uint32_t tasks = w->tasks_count;
    uint64_t ends = w->commit.count + w->commit.aborts;
    int got = take_batches(w, changed ? 0 : wait_ms, err);
    if (got < 0 || open_wanted(w, err) != 0)
        return -1;
    if (w->tasks_count == 0) // a poll has handed out what there is for this member
        return w->task_env.bounded && w->assigned ? 2 : 0;
    if (commit_begin(&w->commit, err) != 0)
        return -1;
    int done = step_tasks(w, err);
    if (done < 0)
        return -1;
    bool idle = done == 0 && got == 0;
    // Idleness is an input's own affair: another one may keep this worker busy for ever.
    if (!w->task_env.bounded ? check_idle(w, err) != 0 : idle && try_ends(w, err) != 0)
        return -1;
    if (any_changed(w) && due(w, idle) && worker_commit(w, err) != 0)
        return -1;
    if (w->task_env.bounded && w->finished_count == w->tasks_count)
        return 2;
    // New tasks read from the next step on, rewound ones again, and a commit may feed others.
    return idle && w->tasks_count == tasks && w->commit.count + w->commit.aborts == ends ? 0 : 1;
}

int worker_step(struct worker *w, int64_t wait_ms, struct err *err)
{
    int rc = work(w, wait_ms, err);
    if (rc >= 0 || err->code != ERR_AGAIN)
        return rc;
    logline(LOG_WARN, "worker", "aborting the transaction and reading again: %s", err->text);
    return commit_abort(&w->commit, w->tasks, w->tasks_count, err) != 0 ? -1 : 1;
}
