// SPDX-License-Identifier: Apache-2.0
//
// Features: for each record, aggregates over the events of its key in windows that end at its time,
// or a delay before it. Window (t - delay - size, t - delay]; with no delay the record itself is
// the last event in it. Events of equal time count if they were processed before, that is, by
// origin. Null fields are left out of their aggregates (not out of count). See feature_result.c for
// what empty windows give.
//
// emit event (the default): a record waits until the watermark has passed its time, so that all
// earlier ones are there; records are processed in (time, origin) order and results do not depend
// on the order of arrival. One with time < `released` comes too late (DROP_LATE).
//
// emit arrival: a record is answered at once from what is there, and takes its place in time for
// later ones. watermark_lag says how far (ms) it is ahead of the watermark, that is, from how long
// before it something may still be missing; null before the first watermark. A record so old that
// spans its windows reach back to are gone is late.
//
// I1  Every record below `released` was processed or dropped; every one held is at or above it,
//     but for a moment while they are being released.
// I2  `released` is never INT64_MAX: the end of a bounded run releases everything and counts as the
//     time of the last record released, so that a later run can go on.
// I3  A record that cannot be read changes no state.
#include "base/hash.h"
#include "operators/feature_cell.h"
#include "operators/hold.h"
#include "operators/opdoc.h"

struct op_features {
    struct op op;
    struct feature_plan plan;
    struct store *store;
    struct hold hold;
    int64_t released; // arrival: the highest watermark seen
    struct field_ref lag;
    const struct codec **codecs; // that held records may name
    struct codec_set codec_set;
    struct buf extra;
};

static void set_outputs(struct op_features *f, struct op_ctx *ctx, const struct feature_cell *c,
                        struct doc *d)
{
    for (uint32_t i = 0; i < f->plan.outputs_count; i++) {
        const struct feature_output *o = &f->plan.outputs[i];
        struct value v = feature_cell_value(c, &f->plan, o, ctx->arena);
        doc_set(d, &o->ref, &v);
    }
}

// Adds the record to its key, sets its features on m->doc and hands it on. `extra`: its values as
// they were read at arrival. The cell comes first: loading one uses the plan's values as well.
static int answer(struct op_features *f, struct op_ctx *ctx, struct msg *m, uint64_t hash,
                  struct slice extra, int64_t settled)
{
    struct cell *cell;
    if (store_get_hashed(f->store, m->key, hash, true, &cell, ctx->err) != 0)
        return op_fail(&f->op, ctx);
    if (extra.p != NULL)
        CHECK(feature_plan_take(&f->plan, extra) == 0);
    else if (feature_plan_read(&f->plan, m->doc, ctx->err) != 0)
        return op_fail(&f->op, ctx);
    store_dirty(f->store, cell);
    feature_cell_add(cell->state, &f->plan, m->time);
    set_outputs(f, ctx, cell->state, m->doc);
    if (settled != INT64_MIN)
        feature_cell_prune(cell->state, &f->plan, feature_plan_horizon(&f->plan, settled));
    return op_push(&f->op, ctx, m);
}

static bool unusable(struct op *o, struct op_ctx *ctx, const struct msg *m)
{
    if (m->key.p != NULL && m->doc != NULL)
        return false;
    if (!m->replay)
        ctx->drop(ctx, o, m->key.p == NULL ? DROP_NULL_KEY : DROP_NULL_VALUE, m);
    return true;
}

// --- in event order

static int event_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_features *f = (struct op_features *)o;
    if (unusable(o, ctx, m))
        return 0;
    if (m->time < f->released) {
        if (!m->replay)
            ctx->drop(ctx, o, DROP_LATE, m);
        return 0;
    }
    struct slice extra = {NULL, 0};
    if (m->doc->indexed) { // already parsed: spare the second time
        if (feature_plan_read(&f->plan, m->doc, ctx->err) != 0)
            return m->replay ? 0 : op_fail(o, ctx); // was set aside before
        buf_clear(&f->extra);
        buf_reserve(&f->extra, 1);
        feature_plan_put(&f->plan, &f->extra);
        extra = buf_slice(&f->extra);
    }
    hold_put(&f->hold, m, extra);
    return 0;
}

// A record will be released soon: its cell, and what of it will be used.
static void come_near(void *arg, const struct hold_entry *e, uint32_t step)
{
    const struct op_features *f = arg;
    if (step == 0) {
        store_prefetch_bucket(f->store, e->hash);
        return;
    }
    if (step == 1) {
        store_prefetch_cell(f->store, e->hash);
        return;
    }
    const struct feature_cell *c = store_peek(f->store, e->key, e->hash);
    if (c != NULL && step == 2)
        feature_cell_prefetch(c, &f->plan);
    else if (c != NULL)
        feature_cell_prefetch_events(c, &f->plan);
}

static int release_one(struct op_features *f, struct op_ctx *ctx, struct hold_entry *e)
{
    struct doc doc;
    struct msg m = {.time = e->time,
                    .key = e->key,
                    .doc = &doc,
                    .origin = e->origin,
                    .rec = e->has_rec ? &e->rec : NULL,
                    .topic = e->topic,
                    .partition = e->partition,
                    .input = e->input};
    int rc = doc_open_carried(&doc, ctx->doc_ctx, ctx->arena, &f->codec_set, e->carried, ctx->err);
    e->rec.value = doc.raw;
    rc = rc == 0 ? answer(f, ctx, &m, e->hash, e->extra, m.time) : op_fail(&f->op, ctx);
    if (rc == 0 || ctx->set_aside == NULL)
        return rc;
    return ctx->set_aside(ctx, ctx->failed == NULL ? &f->op : ctx->failed, &m);
}

static int event_watermark(struct op *o, struct op_ctx *ctx, int64_t watermark)
{
    struct op_features *f = (struct op_features *)o;
    struct hold_entry *e;
    if (watermark != INT64_MAX && watermark > f->released)
        f->released = watermark;
    struct arena_mark mark = arena_mark(ctx->arena);
    while ((e = hold_take(&f->hold, watermark)) != NULL) {
        if (e->time > f->released)
            f->released = e->time;
        int rc = release_one(f, ctx, e);
        hold_recycle(&f->hold, e);
        if (rc != 0)
            return -1;
        arena_rewind(ctx->arena, mark);
    }
    return 0;
}

static int64_t event_held_offset(const struct op *o, uint8_t input)
{
    return hold_lowest_offset(&((const struct op_features *)o)->hold, input);
}

// --- at arrival

static void see_watermark(struct op_features *f, int64_t watermark)
{
    if (watermark > f->released && watermark != INT64_MAX)
        f->released = watermark;
}

static struct value lag_of(int64_t time, int64_t watermark)
{
    int64_t lag;
    if (watermark == INT64_MIN)
        return value_null();
    if (__builtin_sub_overflow(time, watermark, &lag))
        lag = time < watermark ? 0 : INT64_MAX;
    return value_int(lag < 0 ? 0 : lag);
}

static int arrival_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_features *f = (struct op_features *)o;
    if (unusable(o, ctx, m))
        return 0;
    see_watermark(f, ctx->watermark);
    if (f->released != INT64_MIN &&
        feature_plan_horizon(&f->plan, m->time) < feature_plan_horizon(&f->plan, f->released)) {
        ctx->drop(ctx, o, DROP_LATE, m);
        return 0;
    }
    struct msg to = *m;
    struct value lag = lag_of(m->time, ctx->watermark);
    to.doc = opdoc_clone(ctx, m->doc);
    doc_set(to.doc, &f->lag, &lag);
    return answer(f, ctx, &to, hash_bytes(to.key), (struct slice){NULL, 0}, f->released);
}

static int arrival_watermark(struct op *o, struct op_ctx *ctx, int64_t watermark)
{
    (void)ctx;
    see_watermark((struct op_features *)o, watermark);
    return 0;
}

// --- what survives

static void features_save(const struct op *o, struct buf *out)
{
    buf_u64(out, (uint64_t)((const struct op_features *)o)->released);
}

static void features_reset(struct op *o)
{
    struct op_features *f = (struct op_features *)o;
    hold_clear(&f->hold);
    f->released = INT64_MIN;
}

static int features_load(struct op *o, struct slice saved, struct err *e)
{
    features_reset(o);
    if (saved.n == 0)
        return 0;
    if (saved.n != 8)
        return err_set(e, ERR_CORRUPT, "features %s: its saved time has %u bytes instead of 8",
                       o->name, saved.n);
    ((struct op_features *)o)->released = (int64_t)bytes_get64(saved.p);
    return 0;
}

static void features_free(struct op *o)
{
    struct op_features *f = (struct op_features *)o;
    store_free(f->store);
    hold_release(&f->hold);
    feature_plan_release(&f->plan);
    buf_release(&f->extra);
    free(f->codecs);
    free(f);
}

static const struct op_ops event_ops = {
    .kind = "features",
    .process = event_process,
    .watermark = event_watermark,
    .held_offset = event_held_offset,
    .save = features_save,
    .load = features_load,
    .reset = features_reset,
    .free = features_free,
};

static const struct op_ops arrival_ops = {
    .kind = "features",
    .process = arrival_process,
    .watermark = arrival_watermark,
    .save = features_save,
    .load = features_load,
    .reset = features_reset,
    .free = features_free,
};

int op_features_new(const struct build_ctx *b, struct op **out, struct store **store, struct err *e)
{
    const struct node *n = b->node;
    struct op_features *f = check_alloc(calloc(1, sizeof(*f)));
    if (feature_plan_init(&f->plan, n, e) != 0) {
        free(f);
        return -1;
    }
    op_init(&f->op, n->emit == EMIT_ARRIVAL ? &arrival_ops : &event_ops, n, true);
    hold_init(&f->hold);
    f->hold.near = (struct hold_near){come_near, f};
    f->released = INT64_MIN;
    f->lag = field_ref_of(slice_str("watermark_lag"), NULL);
    uint32_t codecs = graph_codecs(n, NULL, 0);
    f->codecs = check_alloc(calloc((size_t)codecs + 1, sizeof(*f->codecs)));
    f->codec_set = (struct codec_set){f->codecs, graph_codecs(n, f->codecs, codecs)};
    struct store_spec spec = {.name = n->name, .ops = &feature_cell_ops, .ops_arg = &f->plan};
    f->store = store_new(b->db, &spec, b->partition, b->cache_bytes);
    if (store_check(f->store, e) != 0) {
        features_free(&f->op);
        return -1;
    }
    *store = f->store;
    *out = &f->op;
    return 0;
}
