// SPDX-License-Identifier: Apache-2.0
//
// Restore: brings a task to exactly what was committed last.
//
// Order matters (each step closes a hole that crash tests had shown):
//   1. the group's stable offsets, then
//   2. the ends of `<app>-tasks` and of the changelogs, then
//   3. read from the floors of RocksDB's own mark up to those ends, apply, and
//   4. compare: the newest mark's resume offsets must be the group's.
// RocksDB may lag (the gap is replayed: values are absolute, so any earlier floor is right), never
// lead: if it does, the log lost its tail or is another one, and the rows are rebuilt, loudly. Nor
// may it lag so far that deletions it has not seen may be gone from the changelog: the deleted rows
// would come back. Then the rows are rebuilt, too.
#include <inttypes.h>

#include "base/hash.h"
#include "base/logline.h"
#include "runtime/task.h"

enum { APPLY_ROWS = 4096, PROGRESS_ROWS = 1000000 };

struct reader { // reads one partition from `from` to `end`, on the worker's second client
    struct task *task;
    const char *topic;
    int32_t partition;
    int (*each)(struct reader *, const struct rec *, struct err *);
    struct db_batch *batch;
    uint32_t store, rows;
    uint64_t total;
    struct buf newest; // value of the newest mark
    bool found;
};

static int read_range(struct reader *r, int64_t from, int64_t end, struct err *err)
{
    struct log *log = r->task->env->reader;
    const struct log_ops *ops = log->ops;
    struct log_tp tp = {0, r->partition};
    struct log_topic_info info;
    if (from >= end)
        return 0;
    if (ops->topic_open(log, r->topic, &tp.topic, &info, err) != 0 ||
        ops->assign(log, tp, from, err) != 0)
        return -1;
    int rc = 0;
    for (int64_t at = from; at < end && rc == 0;) {
        struct rec_batch b;
        if (r->task->env->stop != NULL && atomic_load(r->task->env->stop)) {
            rc = err_set(err, ERR_CLOSED, "stopped while restoring %s", r->task->name);
            break;
        }
        int got = ops->poll(log, 1000, &b, err);
        if (got <= 0) {
            rc = got;
            continue;
        }
        for (uint32_t i = 0; rc == 0 && i < b.count; i++) {
            if ((b.recs[i].flags & REC_MARKER) == 0)
                rc = r->each(r, &b.recs[i], err);
        }
        at = b.next_offset;
        ops->release(log, &b);
    }
    struct err ignored;
    ops->unassign(log, tp, &ignored);
    return rc;
}

static int take_mark(struct reader *r, const struct rec *rec, struct err *err)
{
    (void)err;
    if (rec->value.p == NULL || !slice_eq_str(rec->key, r->task->name))
        return 0;
    buf_clear(&r->newest);
    buf_slice_put(&r->newest, rec->value);
    r->found = true;
    return 0;
}

static int apply_row(struct reader *r, const struct rec *rec, struct err *err)
{
    struct state_row row = {r->store, rec->key, rec->value};
    db_batch_row(r->batch, r->task->partition, &row);
    r->total++;
    if (r->total % PROGRESS_ROWS == 0)
        logline(LOG_INFO, "restore", "%s: %" PRIu64 " rows, offset %" PRId64, r->task->name,
                r->total, rec->offset);
    if (++r->rows < APPLY_ROWS)
        return 0;
    r->rows = 0;
    int rc = db_write(r->task->env->db, r->batch, err);
    db_batch_clear(r->batch);
    return rc;
}

static int topic_start(struct task *t, struct log_tp tp, int64_t *start, int64_t *end,
                       struct err *err)
{
    struct log *log = t->env->log;
    return log->ops->offset(log, tp, LOG_START, start, err) != 0 ||
                   log->ops->offset(log, tp, LOG_END_UNCOMMITTED, end, err) != 0
               ? -1
               : 0;
}

struct known { // a mark as found; lives in t->life
    struct mark mark;
    struct slice bytes;
    bool found;
};

static int known_mark(struct task *t, struct slice bytes, struct known *out, struct err *err)
{
    out->found = true;
    out->bytes = arena_slice(&t->life, bytes);
    return mark_decode(out->bytes, &t->life, &out->mark, err);
}

// The newest mark in the log.
static int newest_mark(struct task *t, struct known *out, struct err *err)
{
    struct reader r = {.task = t, .topic = t->env->tasks_name, .each = take_mark};
    int64_t start, end;
    int rc =
        topic_start(t, t->marks, &start, &end, err) != 0 ? -1 : read_range(&r, start, end, err);
    if (rc == 0 && r.found)
        rc = known_mark(t, buf_slice(&r.newest), out, err);
    buf_release(&r.newest);
    return rc;
}

static int stored_mark(struct task *t, struct known *out, struct err *err)
{
    struct buf b;
    buf_init(&b);
    int rc = db_get(t->env->db, hash_id(MARK_STORE), t->partition, slice_str(t->name), &b, err);
    if (rc == 1)
        rc = known_mark(t, buf_slice(&b), out, err);
    buf_release(&b);
    return rc < 0 ? -1 : 0;
}

// Why the rows in RocksDB cannot be trusted, or NULL.
static const char *distrust(const struct task *t, const struct known *db, const struct known *log)
{
    if (!db->found)
        return NULL;
    if (!log->found)
        return "the log has no mark of this task (it lost its tail, or is another log)";
    if (db->mark.epoch > log->mark.epoch)
        return "the state is ahead of the log (the log lost its tail, or was restored from an "
               "older copy)";
    if (db->mark.epoch == log->mark.epoch && !slice_eq(db->bytes, log->bytes))
        return "the state is that of another log";
    // RocksDB flushes when its buffer is full or at a clean stop: a quiet app that is killed after
    // weeks is weeks behind.
    if (db->mark.epoch < log->mark.epoch &&
        db->mark.wall_ms <= clk_wall_ms(t->env->clk) - ROWS_RETENTION_MS)
        return "it is older than deletions are kept in the changelogs";
    for (uint32_t i = 0; i < t->stores_count; i++) {
        const struct mark_floor *f = mark_floor_of(&db->mark, store_id(t->stores[i].store));
        if (f != NULL && memcmp(f->topic_id, t->stores[i].info.id, 16) != 0)
            return "a changelog topic was deleted and created again";
    }
    return NULL;
}

// Does a changelog begin behind the place from which its rows are missing in RocksDB?
static int check_starts(struct task *t, const struct mark *db, const char **why, struct err *err)
{
    for (uint32_t i = 0; *why == NULL && i < t->stores_count; i++) {
        const struct mark_floor *f = mark_floor_of(db, store_id(t->stores[i].store));
        int64_t start;
        if (f == NULL)
            continue;
        if (t->env->log->ops->offset(t->env->log, t->stores[i].changelog, LOG_START, &start, err) !=
            0)
            return -1;
        if (f->offset < start)
            *why = "rows that it has not seen were deleted from a changelog";
    }
    return 0;
}

static int wipe(struct task *t, const char *why, struct err *err)
{
    if (why != NULL)
        logline(LOG_WARN, "restore", "%s: rebuilding its state from the changelogs: %s", t->name,
                why);
    for (uint32_t i = 0; i < t->stores_count; i++) {
        if (db_wipe(t->env->db, store_id(t->stores[i].store), t->partition, err) != 0)
            return -1;
    }
    return 0;
}

static int restore_store(struct task *t, struct task_store *ts, const struct mark *db,
                         struct db_batch *batch, struct err *err)
{
    struct reader r = {.task = t,
                       .topic = ts->info.name,
                       .partition = t->partition,
                       .each = apply_row,
                       .batch = batch,
                       .store = store_id(ts->store)};
    int64_t start, end;
    if (topic_start(t, ts->changelog, &start, &end, err) != 0)
        return -1;
    const struct mark_floor *f = db == NULL ? NULL : mark_floor_of(db, r.store);
    int64_t from = f == NULL || f->offset < start ? start : f->offset;
    if (read_range(&r, from, end, err) != 0)
        return err_wrap(err, "restoring %s", store_name(ts->store));
    if (r.total > 0)
        logline(LOG_INFO, "restore", "%s: %s: %" PRIu64 " rows from the changelog", t->name,
                store_name(ts->store), r.total);
    ts->floor = end;
    return 0;
}

static int load_ops(struct task *t, const struct mark *m, struct err *err)
{
    for (uint32_t i = 0; i < t->ops_count; i++) {
        struct op *o = t->ops[i];
        if (o->ops->load == NULL)
            continue;
        struct slice bytes = {NULL, 0};
        for (uint32_t k = 0; m != NULL && k < m->saved_count; k++) {
            if (m->saved[k].op == hash_id(o->name))
                bytes = m->saved[k].bytes;
        }
        if (o->ops->load(o, bytes, err) != 0)
            return err_wrap(err, "operator %s", o->name);
    }
    return 0;
}

// Where to read on. A fresh input starts at its beginning.
static int position_input(struct task *t, struct task_input *in, const struct mark *m,
                          int64_t committed, struct err *err)
{
    struct log *log = t->env->log;
    const struct mark_input *mi = m == NULL ? NULL : mark_input_of(m, in->topic_hash);
    int64_t at = 0;
    in->replay_until = 0;
    if (mi != NULL && committed != mi->resume)
        return err_set(err, ERR_INVALID,
                       "%s: group '%s' stands at offset %" PRId64 " of %s/%d, but the state was "
                       "made up to %" PRId64 ": somebody moved the offset. Set it back to %" PRId64
                       " with a Kafka client, or delete the app's state directory and internal "
                       "topics (%s-*) to start over",
                       t->name, t->env->plan->graph->app, committed, in->topic_name,
                       in->tp.partition, mi->resume, mi->resume, t->env->plan->graph->app);
    if (mi != NULL && memcmp(mi->topic_id, in->info.id, 16) != 0)
        return err_set(err, ERR_INVALID,
                       "%s: topic %s was deleted and created again since the last run; its old "
                       "offsets mean nothing now. Delete the app's state and internal topics "
                       "(%s-*) to start over",
                       t->name, in->topic_name, t->env->plan->graph->app);
    if (mi != NULL) {
        at = mi->resume;
        in->replay_until = mi->read;
    } else if (committed >= 0) {
        at = committed;
    } else if (log->ops->offset(log, in->tp, LOG_START, &at, err) != 0) {
        return -1;
    }
    if (in->intake.log != NULL) {
        intake_clear(&in->intake, at);
        if (in->paused)
            log->ops->pause(log, in->tp, false);
        in->paused = false;
        return log->ops->seek(log, in->tp, at, err);
    }
    intake_init(&in->intake, log, at);
    return log->ops->assign(log, in->tp, at, err);
}

static int restore_rows(struct task *t, const struct known *log_mark, struct err *err)
{
    struct known db_mark = {.found = false};
    if (stored_mark(t, &db_mark, err) != 0)
        return -1;
    const char *why = distrust(t, &db_mark, log_mark);
    if (db_mark.found && why == NULL && check_starts(t, &db_mark.mark, &why, err) != 0)
        return -1;
    // Without a mark there are no rows, or those of a rebuild that did not get to its end.
    if ((why != NULL || !db_mark.found) && wipe(t, why, err) != 0)
        return -1;
    const struct mark *from = db_mark.found && why == NULL ? &db_mark.mark : NULL;
    struct db_batch *batch = db_batch_new();
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < t->stores_count; i++)
        rc = restore_store(t, &t->stores[i], from, batch, err);
    if (rc == 0 && log_mark->found) {
        struct state_row row = {hash_id(MARK_STORE), slice_str(t->name), log_mark->bytes};
        db_batch_row(batch, t->partition, &row);
    }
    if (rc == 0)
        rc = db_write(t->env->db, batch, err);
    db_batch_free(batch);
    return rc;
}

static int position_all(struct task *t, const struct mark *m, const struct log_offset *committed,
                        struct err *err)
{
    if (load_ops(t, m, err) != 0)
        return -1;
    bool new_run = t->inputs[0].intake.log == NULL;
    if (wm_decode(&t->wm, m == NULL ? (struct slice){0} : m->upstream, new_run, err) != 0)
        return -1;
    t->mark.epoch = m == NULL ? 0 : m->epoch;
    t->ctx.watermark = m == NULL ? INT64_MIN : m->watermark;
    t->marked_watermark = t->ctx.watermark;
    t->marked_flags = 0;
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        if (position_input(t, &t->inputs[i], m, committed[i].offset, err) != 0)
            return -1;
    }
    return 0;
}

static int restore(struct task *t, struct err *err)
{
    struct log *log = t->env->log;
    struct known newest = {.found = false};
    struct log_offset *committed =
        arena_alloc(&t->life, sizeof(*committed) * (t->inputs_count + 1));
    for (uint32_t i = 0; i < t->inputs_count; i++)
        committed[i] = (struct log_offset){t->inputs[i].tp, -1};
    if (log->ops->committed(log, t->env->plan->graph->app, committed, t->inputs_count, err) != 0 ||
        newest_mark(t, &newest, err) != 0 || restore_rows(t, &newest, err) != 0)
        return -1;
    return position_all(t, newest.found ? &newest.mark : NULL, committed, err);
}

int restore_task(struct task *t, struct err *err)
{
    struct arena_mark mark = arena_mark(&t->life); // aborts must not add up
    int rc = restore(t, err);
    arena_rewind(&t->life, mark);
    return rc;
}
