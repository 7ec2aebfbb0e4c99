// SPDX-License-Identifier: Apache-2.0
//
// Task calls: what a task's operators call back (struct op_ctx): counting drops, appending outputs,
// setting failed records aside.
#include <inttypes.h>

#include "base/logline.h"
#include "log/origin.h"
#include "runtime/task.h"

enum { DROP_SAMPLES = 3 };

// --- what operators call -----------------------------------------------------------------------

void task_drop(struct op_ctx *ctx, const struct op *op, enum drop_reason why, const struct msg *m)
{
    struct task *t = ctx->task;
    if (m->replay)
        return;
    uint64_t n = counter_add(&t->stats->drops[why], 1);
    if (n < DROP_SAMPLES)
        logline(LOG_WARN, "drop", "%s at %s (%s): %s/%d offset %" PRId64 ", time %" PRId64,
                drop_reason_name(why), op == NULL ? "input" : op->name,
                op == NULL || op->where == NULL ? t->name : op->where,
                m->topic == NULL ? "a window" : m->topic, m->partition,
                m->rec == NULL ? -1 : m->rec->offset, m->time);
}

static int32_t partition_for(const struct task *t, const struct task_output *o, const struct msg *m)
{
    return m->key.p == NULL ? t->partition % o->partitions
                            : log_partition_of(m->key, o->partitions);
}

int task_emit(struct op_ctx *ctx, uint32_t output, const struct msg *m, struct slice value)
{
    struct task *t = ctx->task;
    struct task_output *o = &t->outputs[output];
    uint8_t origin[ORIGIN_SIZE];
    struct log_header header;
    struct log_record r = {.time = m->time, .key = m->key, .value = value};
    if (o->carried) {
        origin_encode(&m->origin, origin);
        header = origin_header(origin);
        r.headers = &header;
        r.headers_count = 1;
    }
    struct log_tp tp = {o->topic, partition_for(t, o, m)};
    t->changed = true;
    counter_add(&t->stats->emitted, 1);
    return t->env->log->ops->append(t->env->log, tp, &r, ctx->err);
}

// --- failures ----------------------------------------------------------------------------------

static const char *class_of(const struct err *e)
{
    return e->code == ERR_CORRUPT ? "decode" : err_code_name(e->code);
}

// Errors of the log or the database are not the record's fault.
static bool is_record_fault(const struct err *e)
{
    return e->code == ERR_CORRUPT || e->code == ERR_SCRIPT || e->code == ERR_INVALID ||
           e->code == ERR_LIMIT || e->code == ERR_UNSUPPORTED;
}

int task_set_aside(struct op_ctx *ctx, const struct op *at, const struct msg *m)
{
    struct task *t = ctx->task;
    struct err *err = ctx->err;
    ctx->failed = NULL;
    if (!is_record_fault(err))
        return -1;
    if (m->replay) // it was set aside when it was read first
        return 0;
    const char *where = at != NULL && at->where != NULL ? at->where : t->name;
    int64_t offset = m->rec == NULL ? m->origin.offset : m->rec->offset;
    if (t->env->plan->graph->on_error == ON_ERROR_STOP) {
        char cause[sizeof(err->text)];
        snprintf(cause, sizeof(cause), "%s", err->text);
        t->stopping = true;
        return err_set(err, ERR_SCRIPT,
                       "%s: %s/%d offset %" PRId64
                       ": %s. The app stops because it says on_error = \"stop\"; with "
                       "\"dead_letter\" the record is set aside",
                       where, m->topic, m->partition, offset, cause);
    }
    t->slow = true;
    struct dead_letter d = {.app = t->env->plan->graph->app,
                            .stage = at == NULL ? "input" : at->name,
                            .where = where,
                            .cause = err->text,
                            .error_class = class_of(err),
                            .topic = m->topic,
                            .partition = m->partition,
                            .offset = offset,
                            .time = m->time,
                            .key = m->rec == NULL ? m->key : m->rec->key,
                            .value = m->rec == NULL ? (struct slice){0} : m->rec->value};
    struct err why;
    struct log_tp to = {t->env->dead_letters_topic, 0};
    t->changed = true;
    if (counter_add(&t->stats->dead, 1) < DROP_SAMPLES)
        logline(LOG_WARN, "dead-letter", "%s (%s) %s/%d offset %" PRId64 ": %s", d.stage, where,
                m->topic, m->partition, offset, err->text);
    if (dead_letter_append(t->env->log, to, &d, &why) != 0) {
        *err = why;
        return -1;
    }
    return 0;
}
