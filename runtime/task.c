// SPDX-License-Identifier: Apache-2.0
#include "runtime/task.h"

#include <inttypes.h>

#include "base/hash.h"
#include "base/logline.h"
#include "base/text.h"
#include "log/origin.h"

enum { CLOCK_RECORDS = 64, STEP_MS = 50 };

// --- event time --------------------------------------------------------------------------------

// Tells one tree. What a timer sends on may fail further down like any record; there is no input
// record to set aside then, only the place and the cause.
static int tell(struct task *t, const struct task_input *in, struct op *root, int64_t w)
{
    for (;;) {
        arena_reset(&t->arena);
        t->ctx.failed = NULL;
        if (op_watermark(root, &t->ctx, w) == 0)
            return 0;
        struct msg m = {.time = t->wm.watermark,
                        .topic = in->topic_name,
                        .partition = in->tp.partition,
                        .origin = {.offset = -1}};
        if (t->stopping || task_set_aside(&t->ctx, t->ctx.failed, &m) != 0)
            return -1;
    }
}

static int tell_all(struct task *t, int64_t w)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        for (uint32_t r = 0; r < t->inputs[i].roots_count; r++) {
            if (tell(t, &t->inputs[i], t->inputs[i].roots[r], w) != 0)
                return -1;
        }
    }
    return 0;
}

// Records that were held before a restart are being read again: they belong before whatever the
// other inputs say by now.
static bool replaying(const struct task *t)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        if (t->inputs[i].intake.position < t->inputs[i].replay_until)
            return true;
    }
    return false;
}

static int advance(struct task *t)
{
    int64_t w = t->wm.watermark;
    if (w <= t->ctx.watermark || replaying(t))
        return 0;
    if (tell_all(t, w) != 0)
        return -1;
    t->ctx.watermark = w;
    t->changed = true;
    atomic_store_explicit(&t->stats->watermark, w, memory_order_relaxed);
    return 0;
}

// --- one record --------------------------------------------------------------------------------

static int read_time(struct task_input *in, struct msg *m, struct err *err)
{
    struct value v;
    if (doc_get(m->doc, &in->time_ref, &v, err) != 0)
        return -1;
    if (v.type == VALUE_INT) {
        m->time = v.i;
        return 0;
    }
    if (v.type == VALUE_DOUBLE) {
        m->time = (int64_t)v.d;
        return 0;
    }
    if (v.type == VALUE_STRING && text_time_ms(v.s, &m->time) == 0)
        return 0;
    if (v.type == VALUE_NULL && doc_validate(m->doc, err) != 0)
        return -1; // the value as a whole is no record: say that
    return err_set(err, ERR_CORRUPT,
                   "the time field '%.*s' holds %s; it must be epoch milliseconds or an ISO 8601 "
                   "text",
                   (int)in->time_ref.name.n, (const char *)in->time_ref.name.p,
                   value_type_name(v.type));
}

// The stream says its key is this field: make sure, since state and joins rely on it.
static int check_key(struct task *t, struct task_input *in, struct msg *m, struct err *err)
{
    if (doc_key(m->doc, &in->key_ref, in->plan->node->key_format, &t->key, err) != 0)
        return -1;
    if (t->key.n == 0 && t->key.p == NULL) {
        m->key = (struct slice){0};
        return 0;
    }
    struct slice want = buf_slice(&t->key);
    if (m->key.p != NULL ? slice_eq(m->key, want) : in->info.partitions == 1) {
        m->key = want;
        return 0;
    }
    return err_set(err, ERR_INVALID,
                   "the record's key %s%.*s%s is not the field '%.*s' (%.*s), as the stream "
                   "declares; drop key = … from the stream and weir repartitions by the field",
                   m->key.p == NULL ? "is missing and" : "'", (int)m->key.n,
                   m->key.p == NULL ? "" : (const char *)m->key.p, m->key.p == NULL ? "" : "'",
                   (int)in->key_ref.name.n, (const char *)in->key_ref.name.p, (int)want.n,
                   (const char *)want.p);
}

static int open_value(struct task *t, struct task_input *in, struct msg *m, struct doc *doc)
{
    if (m->rec->value.p == NULL) {
        m->doc = NULL;
        return 0;
    }
    m->doc = doc;
    if (in->codec == NULL)
        return doc_open_carried(doc, t->doc_ctx, &t->arena, &t->codecs, m->rec->value, t->ctx.err);
    doc_open(doc, t->doc_ctx, &t->arena, in->codec, m->rec->value);
    if (in->has_time && read_time(in, m, t->ctx.err) != 0)
        return -1;
    return in->has_key ? check_key(t, in, m, t->ctx.err) : 0;
}

static int push_roots(struct task *t, struct task_input *in, struct msg *m)
{
    for (uint32_t i = 0; i < in->roots_count; i++) {
        struct op *o = in->roots[i];
        if (m->replay && o->stateful && o->ops->held_offset == NULL)
            continue;
        o->records_in++;
        if (o->ops->process(o, &t->ctx, m) != 0 &&
            task_set_aside(&t->ctx, t->ctx.failed == NULL ? o : t->ctx.failed, m) != 0)
            return -1;
    }
    return 0;
}

static int one_data_record(struct task *t, uint32_t index, const struct rec *rec)
{
    struct task_input *in = &t->inputs[index];
    struct doc doc;
    struct msg m = {.time = rec->time,
                    .key = rec->key,
                    .rec = rec,
                    .topic = in->topic_name,
                    .partition = in->tp.partition,
                    .input = (uint8_t)index,
                    .replay = rec->offset < in->replay_until};
    m.origin = origin_of(rec, in->topic_hash, in->tp.partition);
    arena_reset(&t->arena);
    t->ctx.failed = NULL;
    if (open_value(t, in, &m, &doc) != 0)
        return m.replay ? 0 : task_set_aside(&t->ctx, NULL, &m);
    if (!m.replay && wm_record(&t->wm, index, m.time, t->ctx.wall_ms) != WM_TAKE) {
        task_drop(&t->ctx, NULL, DROP_FUTURE, &m);
        err_set(t->ctx.err, ERR_INVALID,
                "its time %" PRId64 " lies too far ahead (max_future / max_jump of the stream)",
                m.time);
        return task_set_aside(&t->ctx, NULL, &m);
    }
    if (m.origin.topic == in->topic_hash && m.time > in->foreign_high)
        in->foreign_high = m.time;
    if (push_roots(t, in, &m) != 0)
        return -1;
    if (m.time > atomic_load_explicit(&t->stats->event_time, memory_order_relaxed))
        atomic_store_explicit(&t->stats->event_time, m.time, memory_order_relaxed);
    return 0;
}

static int one_record(struct task *t, uint32_t index)
{
    struct task_input *in = &t->inputs[index];
    const struct rec *rec = intake_head(&in->intake);
    int rc = 0;
    if ((rec->flags & REC_MARKER) != 0) {
        struct marker k;
        if (rec->offset >= in->replay_until && marker_decode(rec->value, &k) == 0) {
            // Of our own writers' end we know better: the marker may be of an earlier run.
            if (in->plan->feeders_count + in->plan->sources_count != 0)
                k.flags &= (uint8_t)~MARKER_END;
            wm_marker(&t->wm, index, &k);
        }
    } else {
        rc = one_data_record(t, index, rec);
        t->processed++;
        counter_add(&t->stats->records, 1);
    }
    t->changed = true;
    intake_pop(&in->intake);
    return rc == 0 ? advance(t) : rc;
}

// --- choosing the input ------------------------------------------------------------------------

// A bounded run does not go on for what others write meanwhile.
static bool at_stop(const struct task_input *in, const struct rec *head)
{
    return in->stop_at >= 0 && (head != NULL ? head->offset : in->intake.position) >= in->stop_at;
}

// Nothing was fetched yet may mean that nothing is there: ask once.
static bool at_known_end(struct task *t, struct task_input *in)
{
    struct err ignored;
    int64_t end;
    struct log *log = t->env->log;
    if (in->intake.end_known < 0 &&
        log->ops->offset(log, in->tp, LOG_END_COMMITTED, &end, &ignored) == 0)
        in->intake.end_known = end;
    return intake_drained(&in->intake);
}

// The input with the lowest head time; -1: nothing to do now, or an input that has more to read is
// empty and must be waited for (I1).
static int choose(struct task *t)
{
    int best = -1;
    int64_t best_time = 0;
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        struct intake *in = &t->inputs[i].intake;
        const struct rec *head = intake_head(in);
        if (at_stop(&t->inputs[i], head))
            continue;
        if (head == NULL) {
            if (!at_known_end(t, &t->inputs[i]))
                return -1;
            continue;
        }
        if ((head->flags & REC_MARKER) != 0)
            return (int)i;
        if (best < 0 || head->time < best_time) {
            best = (int)i;
            best_time = head->time;
        }
    }
    return best;
}

static void unpause(struct task *t)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        if (in->paused && !intake_full(&in->intake)) {
            in->paused = false;
            t->env->log->ops->pause(t->env->log, in->tp, false);
        }
    }
}

static bool input_ended(struct task *t, struct task_input *in)
{
    if (in->stop_at >= 0)
        return at_stop(in, intake_head(&in->intake));
    if (intake_head(&in->intake) != NULL)
        return false;
    if (!t->env->upstream_done(t->env->upstream_arg, in->plan))
        return false;
    // Upstream wrote its last before it said so: what is in the log now is all.
    int64_t end;
    struct err ignored;
    struct log *log = t->env->log;
    return log->ops->offset(log, in->tp, LOG_END_COMMITTED, &end, &ignored) == 0 &&
           in->intake.position >= end;
}

// Bounded: an input that has ended is not waited for by the others.
static void note_ends(struct task *t)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        if (in->ended || !input_ended(t, in))
            continue;
        in->ended = true;
        wm_end(&t->wm, i);
    }
}

// A step ends early when the worker should look up: a stop was asked for, a record failed (a
// function that ran out of time took a second), or the step has taken long.
static bool look_up(struct task *t, uint32_t done, int64_t start_ms)
{
    if (t->slow ||
        (t->env->stop != NULL && atomic_load_explicit(t->env->stop, memory_order_relaxed)))
        return true;
    return done % CLOCK_RECORDS == 0 && clk_mono_ms(t->env->clk) - start_ms > STEP_MS;
}

static void show_lag(struct task *t)
{
    int64_t lag = 0;
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        const struct intake *in = &t->inputs[i].intake;
        lag += in->end_known > in->position ? in->end_known - in->position : 0;
    }
    atomic_store_explicit(&t->stats->lag, lag, memory_order_relaxed);
}

int task_step(struct task *t, uint32_t max, struct err *err)
{
    uint32_t n = 0;
    int64_t start_ms = clk_mono_ms(t->env->clk);
    t->ctx.err = err;
    t->ctx.wall_ms = clk_wall_ms(t->env->clk);
    t->slow = false;
    if (t->env->bounded && t->inputs_count > 1) {
        note_ends(t);
        if (advance(t) != 0)
            return err_wrap(err, "task %s", t->name);
    }
    while (n < max) {
        int i = choose(t);
        if (i < 0)
            break;
        if (one_record(t, (uint32_t)i) != 0)
            return err_wrap(err, "task %s", t->name);
        n++;
        if (look_up(t, n, start_ms))
            break;
    }
    unpause(t);
    show_lag(t);
    return task_mark_progress(t, err) != 0 ? -1 : (int)n;
}

bool task_deliver(struct task *t, struct rec_batch *b)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        if (in->tp.topic != b->tp.topic || in->tp.partition != b->tp.partition)
            continue;
        intake_add(&in->intake, b);
        in->drained_since_ms = -1; // even if it is read to its end again before anybody looks
        if (intake_full(&in->intake)) {
            in->paused = true;
            t->env->log->ops->pause(t->env->log, in->tp, true);
        }
        return true;
    }
    return false;
}

// --- the end of a bounded run ------------------------------------------------------------------

int task_try_end(struct task *t, struct err *err)
{
    if (t->ending)
        return 0;
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        if (!t->inputs[i].ended && !input_ended(t, &t->inputs[i]))
            return 0;
        t->inputs[i].ended = true;
    }
    t->ctx.err = err;
    t->ending = true;
    t->changed = true;
    return tell_all(t, INT64_MAX) != 0 ? err_wrap(err, "task %s", t->name) : 1;
}

// Records of others in a source's topic are waited for like any, once the source has nothing to
// say.
static void settle(struct task *t, uint32_t i)
{
    const struct task_input *in = &t->inputs[i];
    int64_t seen;
    if (in->foreign_high == INT64_MIN || in->plan->node == NULL || in->plan->feeders_count != 0 ||
        __builtin_sub_overflow(in->foreign_high, in->plan->node->max_out_of_order_ms, &seen))
        return;
    wm_settle(&t->wm, i, seen);
}

int task_idle_check(struct task *t, int64_t mono_ms, struct err *err)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        if (!intake_drained(&in->intake))
            in->drained_since_ms = -1;
        else if (in->drained_since_ms < 0)
            in->drained_since_ms = mono_ms;
        else if (in->idle_after_ms >= 0 && mono_ms - in->drained_since_ms >= in->idle_after_ms) {
            wm_idle(&t->wm, i, true);
            settle(t, i);
        }
    }
    if (task_marker_flags(t) != t->marked_flags)
        t->changed = true;
    t->ctx.err = err;
    return advance(t);
}

bool task_pressure(const struct task *t)
{
    for (uint32_t i = 0; i < t->stores_count; i++) {
        if (store_pressure(t->stores[i].store))
            return true;
    }
    return false;
}

bool task_drained(const struct task *t)
{
    for (uint32_t i = 0; i < t->inputs_count; i++) {
        if (!intake_drained(&t->inputs[i].intake))
            return false;
    }
    return true;
}

// --- opening and closing -----------------------------------------------------------------------

static int find_stops(struct task *t, struct err *err)
{
    struct log *log = t->env->log;
    for (uint32_t i = 0; t->env->bounded && i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        if (in->plan->feeders_count + in->plan->sources_count == 0 &&
            log->ops->offset(log, in->tp, LOG_END_COMMITTED, &in->stop_at, err) != 0)
            return -1;
    }
    return 0;
}

static int start(struct task *t, struct err *err)
{
    if (script_load(t->env->script_path, t->env->script_source, t->env->script_options, &t->script,
                    err) != 0)
        return -1;
    return task_build(t, err) != 0 || find_stops(t, err) != 0 || restore_task(t, err) != 0 ? -1 : 0;
}

int task_open(const struct task_env *env, const struct plan_sub *sub, int32_t partition,
              struct task_stats *stats, struct task **out, struct err *err)
{
    struct task *t = check_alloc(calloc(1, sizeof(*t)));
    t->env = env;
    t->sub = sub;
    t->partition = partition;
    t->stats = stats;
    t->marked_watermark = INT64_MIN;
    snprintf(t->name, sizeof(t->name), "%s/%d", sub->name, partition);
    arena_init(&t->arena);
    arena_init(&t->life);
    t->doc_ctx = doc_ctx_new();
    t->marks.topic = env->tasks_topic;
    t->ctx = (struct op_ctx){.arena = &t->arena,
                             .doc_ctx = t->doc_ctx,
                             .err = &t->err,
                             .watermark = INT64_MIN,
                             .task = t,
                             .drop = task_drop,
                             .emit = task_emit,
                             .set_aside = task_set_aside};
    atomic_store(&stats->watermark, INT64_MIN);
    atomic_store(&stats->event_time, INT64_MIN);
    if (start(t, err) != 0) {
        task_close(t);
        return -1;
    }
    *out = t;
    return 0;
}

void task_close(struct task *t)
{
    for (uint32_t i = 0; t->inputs != NULL && i < t->inputs_count; i++) {
        struct task_input *in = &t->inputs[i];
        struct err ignored;
        if (in->intake.log == NULL)
            continue;
        intake_clear(&in->intake, 0);
        t->env->log->ops->unassign(t->env->log, in->tp, &ignored);
    }
    for (uint32_t i = 0; t->ops != NULL && i < t->ops_count; i++) {
        if (t->ops[i] == NULL)
            continue;
        free(t->ops[i]->next);
        t->ops[i]->ops->free(t->ops[i]);
    }
    wm_release(&t->wm);
    if (t->script != NULL)
        script_free(t->script);
    doc_ctx_free(t->doc_ctx);
    buf_release(&t->key);
    buf_release(&t->text);
    buf_release(&t->mark_bytes);
    arena_release(&t->arena);
    arena_release(&t->life);
    free(t);
}
