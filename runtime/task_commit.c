// SPDX-License-Identifier: Apache-2.0
//
// A task's part of a commit: rows, markers, mark; and the way back when it was aborted.
#include "base/hash.h"
#include "base/logline.h"
#include "runtime/task.h"

enum { SWEEP_ROWS = 512, MARK_RECORDS = 2048 };

struct row_out { // where a store's rows go at flush
    struct task *task;
    struct task_store *ts;
    struct db_batch *batch;
    struct err *err;
    bool failed;
};

static void put_row(void *arg, const struct state_row *row)
{
    struct row_out *o = arg;
    struct log *log = o->task->env->log;
    struct log_record r = {.time = o->task->ctx.wall_ms, .key = row->key, .value = row->value};
    if (!o->failed && log->ops->append(log, o->ts->changelog, &r, o->err) != 0)
        o->failed = true;
    db_batch_row(o->batch, o->task->partition, row);
}

static int flush_stores(struct task *t, struct db_batch *batch, struct err *err)
{
    for (uint32_t i = 0; i < t->stores_count; i++) {
        struct row_out o = {t, &t->stores[i], batch, err, false};
        struct row_sink sink = {&o, put_row};
        if (store_sweep(t->stores[i].store, t->ctx.watermark, SWEEP_ROWS, err) != 0)
            return -1;
        store_flush(t->stores[i].store, &sink);
        if (o.failed)
            return err_wrap(err, "changelog of %s", store_name(t->stores[i].store));
    }
    return 0;
}

uint8_t task_marker_flags(const struct task *t)
{
    return (uint8_t)((t->ending ? MARKER_END : 0) | (wm_all_idle(&t->wm) ? MARKER_IDLE : 0));
}

static int write_markers(struct task *t, struct err *err)
{
    struct log *log = t->env->log;
    int64_t w = t->ctx.watermark;
    uint8_t flags = task_marker_flags(t);
    if (t->outputs_count == 0 || (w == t->marked_watermark && flags == t->marked_flags))
        return 0;
    struct marker m = {.group = t->sub->group,
                       .writer = t->partition,
                       .writers = t->sub->partitions,
                       .watermark = w,
                       .flags = flags};
    buf_clear(&t->text);
    marker_encode(&m, &t->text);
    struct log_record r = {
        .time = w == INT64_MIN ? 0 : w, .value = buf_slice(&t->text), .marker = true};
    for (uint32_t i = 0; i < t->outputs_count; i++) {
        for (int32_t p = 0; p < t->outputs[i].partitions; p++) {
            if (log->ops->append(log, (struct log_tp){t->outputs[i].topic, p}, &r, err) != 0)
                return -1;
        }
    }
    t->marked_watermark = w;
    t->marked_flags = flags;
    t->processed = 0;
    return 0;
}

int task_mark_progress(struct task *t, struct err *err)
{
    return t->processed < MARK_RECORDS ? 0 : write_markers(t, err);
}

static int64_t resume_of(const struct task *t, uint32_t input)
{
    int64_t resume = t->inputs[input].intake.position;
    for (uint32_t i = 0; i < t->ops_count; i++) {
        const struct op *o = t->ops[i];
        int64_t held =
            o->ops->held_offset == NULL ? INT64_MAX : o->ops->held_offset(o, (uint8_t)input);
        if (held < resume)
            resume = held;
    }
    return resume;
}

static void mark_inputs(struct task *t, struct mark *m, struct log_offset *offsets)
{
    m->inputs_count = t->inputs_count;
    m->inputs = arena_alloc(&t->arena, sizeof(*m->inputs) * t->inputs_count);
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        m->inputs[i].topic = in->topic_hash;
        memcpy(m->inputs[i].topic_id, in->info.id, 16);
        m->inputs[i].resume = resume_of(t, i);
        m->inputs[i].read =
            in->intake.position > in->replay_until ? in->intake.position : in->replay_until;
        offsets[i] = (struct log_offset){in->tp, m->inputs[i].resume};
    }
}

static void mark_floors(struct task *t, struct mark *m)
{
    m->floors_count = t->stores_count;
    m->floors = arena_alloc(&t->arena, sizeof(*m->floors) * (t->stores_count + 1));
    for (uint32_t i = 0; i < t->stores_count; i++) {
        m->floors[i].store = store_id(t->stores[i].store);
        memcpy(m->floors[i].topic_id, t->stores[i].info.id, 16);
        m->floors[i].offset = t->stores[i].floor;
    }
}

static void mark_saved(struct task *t, struct mark *m)
{
    m->saved = arena_alloc(&t->arena, sizeof(*m->saved) * (t->ops_count + 1));
    for (uint32_t i = 0; i < t->ops_count; i++) {
        struct op *o = t->ops[i];
        if (o->ops->save == NULL)
            continue;
        buf_clear(&t->text);
        o->ops->save(o, &t->text);
        m->saved[m->saved_count++] =
            (struct mark_saved){hash_id(o->name), arena_slice(&t->arena, buf_slice(&t->text))};
    }
}

static int write_mark(struct task *t, struct db_batch *batch, struct log_offset *offsets,
                      struct err *err)
{
    struct mark m = {.epoch = t->mark.epoch + 1,
                     .watermark = t->ctx.watermark,
                     .wall_ms = clk_wall_ms(t->env->clk)};
    arena_reset(&t->arena);
    mark_inputs(t, &m, offsets);
    mark_floors(t, &m);
    mark_saved(t, &m);
    buf_clear(&t->text);
    wm_encode(&t->wm, &t->text);
    m.upstream = arena_slice(&t->arena, buf_slice(&t->text));
    buf_clear(&t->mark_bytes);
    mark_encode(&m, &t->mark_bytes);
    t->mark.epoch = m.epoch;
    struct log_record r = {
        .time = t->ctx.wall_ms, .key = slice_str(t->name), .value = buf_slice(&t->mark_bytes)};
    if (t->env->log->ops->append(t->env->log, t->marks, &r, err) != 0)
        return -1;
    struct state_row row = {hash_id(MARK_STORE), slice_str(t->name), buf_slice(&t->mark_bytes)};
    db_batch_row(batch, t->partition, &row);
    return 0;
}

int task_flush(struct task *t, struct db_batch *batch, struct log_offset *offsets, struct err *err)
{
    if (flush_stores(t, batch, err) != 0 || write_markers(t, err) != 0 ||
        write_mark(t, batch, offsets, err) != 0)
        return err_wrap(err, "task %s", t->name);
    return 0;
}

void task_applied(struct task *t)
{
    struct log *log = t->env->log;
    for (uint32_t i = 0; i < t->stores_count; i++) {
        struct err ignored;
        int64_t end;
        store_applied(t->stores[i].store);
        // A lower bound is always right, so a failure here only lengthens a later replay.
        if (log->ops->offset(log, t->stores[i].changelog, LOG_END_UNCOMMITTED, &end, &ignored) == 0)
            t->stores[i].floor = end;
    }
    t->finished = t->ending;
    t->changed = false;
}

int task_rewind(struct task *t, struct err *err)
{
    for (uint32_t i = 0; i < t->stores_count; i++)
        store_dropped(t->stores[i].store);
    for (uint32_t i = 0; i < t->ops_count; i++) {
        t->ops[i]->has_told = false;
        if (t->ops[i]->ops->reset != NULL)
            t->ops[i]->ops->reset(t->ops[i]);
    }
    t->ctx.watermark = INT64_MIN;
    t->ending = t->changed = false;
    t->processed = 0;
    for (uint32_t i = 0; i < t->inputs_count; i++)
        t->inputs[i].ended = false;
    return restore_task(t, err);
}
