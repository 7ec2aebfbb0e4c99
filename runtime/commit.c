// SPDX-License-Identifier: Apache-2.0
#include "runtime/commit.h"

#include "base/failpoint.h"
#include "base/logline.h"

enum { UNKNOWN_TRIES = 5, FLUSH_TRIES = 10, REFUSED_TRIES = 20 };

void commit_init(struct commit *c, struct log *log, struct db *db, const char *group)
{
    *c = (struct commit){.log = log, .db = db, .group = group, .batch = db_batch_new()};
}

void commit_release(struct commit *c)
{
    db_batch_free(c->batch);
    free(c->offsets);
}

int commit_begin(struct commit *c, struct err *err)
{
    if (c->open)
        return 0;
    if (c->log->ops->begin(c->log, err) != 0)
        return -1;
    c->open = true;
    return 0;
}

static int rewind_all(struct commit *c, struct task **tasks, uint32_t n, struct err *err)
{
    c->aborts++;
    for (uint32_t i = 0; i < n; i++) {
        if (task_rewind(tasks[i], err) != 0)
            return -1;
    }
    return 0;
}

int commit_abort(struct commit *c, struct task **tasks, uint32_t n, struct err *err)
{
    struct err ignored;
    if (c->open)
        c->log->ops->abort(c->log, &ignored);
    c->open = false;
    return rewind_all(c, tasks, n, err);
}

static void room(struct commit *c, uint32_t n)
{
    if (c->offsets_size >= n)
        return;
    c->offsets = check_alloc(realloc(c->offsets, n * sizeof(*c->offsets)));
    c->offsets_size = n;
}

// Flushes the tasks that have something to say. Returns the number of offsets, or -1.
static int flush_all(struct commit *c, struct task **tasks, uint32_t n, struct err *err)
{
    uint32_t at = 0;
    db_batch_clear(c->batch);
    for (uint32_t i = 0; i < n; i++) {
        if (!tasks[i]->changed)
            continue;
        room(c, at + tasks[i]->inputs_count);
        if (task_flush(tasks[i], c->batch, c->offsets + at, err) != 0)
            return -1;
        at += tasks[i]->inputs_count;
    }
    return (int)at;
}

// LOG_UNKNOWN is neither taken for a yes nor for a no: the log is asked again.
static enum log_outcome send(struct commit *c, uint32_t offsets, struct err *err)
{
    enum log_outcome o = LOG_UNKNOWN;
    for (int i = 0; o == LOG_UNKNOWN && i < UNKNOWN_TRIES; i++)
        o = c->log->ops->commit(c->log, c->group, c->offsets, offsets, err);
    return o;
}

static int apply(struct commit *c, struct task **tasks, uint32_t n, struct err *err)
{
    FAILPOINT_STOP("commit.committed", err);
    if (db_write(c->db, c->batch, err) != 0)
        return -1;
    FAILPOINT_STOP("commit.written", err);
    for (uint32_t i = 0; i < n; i++) {
        if (tasks[i]->changed)
            task_applied(tasks[i]);
    }
    FAILPOINT_STOP("commit.applied", err);
    c->count++;
    return 1;
}

int commit_run(struct commit *c, struct task **tasks, uint32_t n, struct err *err)
{
    FAILPOINT_STOP("commit.begin", err);
    if (commit_begin(c, err) != 0)
        return -1;
    int offsets = flush_all(c, tasks, n, err);
    if (offsets < 0) {
        if (++c->flush_failures == FLUSH_TRIES)
            return err_wrap(err, "gave up after %d attempts to commit", FLUSH_TRIES);
        logline(LOG_WARN, "commit", "aborted: %s", err->text);
        return commit_abort(c, tasks, n, err);
    }
    c->flush_failures = 0;
    FAILPOINT_STOP("commit.flushed", err);
    switch (send(c, (uint32_t)offsets, err)) {
    case LOG_COMMITTED:
        c->open = false;
        c->refusals = 0;
        return apply(c, tasks, n, err);
    case LOG_ABORTED:
        c->open = false;
        if (++c->refusals >= REFUSED_TRIES) // such as: somebody deleted a topic
            return err_wrap(err, "gave up after %d attempts to commit", REFUSED_TRIES);
        logline(LOG_WARN, "commit", "aborted: %s", err->text);
        return rewind_all(c, tasks, n, err);
    case LOG_FENCED:
        return err_set(err, ERR_FENCED,
                       "another instance took over this one's transactional id: stopping");
    case LOG_UNKNOWN:
        break;
    }
    err->code = ERR_UNKNOWN; // whatever the log made of it: reopen
    return err_wrap(err, "the outcome of a commit stays unknown (what the log holds decides)");
}
