// SPDX-License-Identifier: Apache-2.0
//
// Window: an aggregate per key and tumbling window [start, start + size), starts being multiples of
// the size since 1970. A record before 1970 belongs to no window (DROP_EXPIRED).
//
// One closed rule: a window is closed once the watermark is at or beyond its end + grace. A record
// of a closed window is late (DROP_LATE). emit update: each change sends on the window's value;
// emit close: its value is sent once, when it closes, windows in order of their starts, keys in
// byte order within one. Either way a closed window's rows leave the store.
//
// Output: {<key field>: key, window_start, window_end, <as>: value}, or the function's record with
// window_start and window_end added; the message's key stays the key. Time is the highest of the
// contributing records; the origin is the record's (update) or that of the last contributing record
// in (time, origin) order (close), which does not depend on arrival.
//
// Store key: the start as 8 ordered bytes, then the key, so that a window's rows lie together.
//
// I1  `closed` (saved) = the highest watermark seen or end + grace of a window closed, whichever is
//     more; INT64_MAX, the end of a bounded run, counts only through the windows it closed. So a
//     later run treats exactly those as late.
// I2  `open` holds at least the windows with rows or cells, and their keys. It is read from the
//     store when first needed after a start or an abort.
// I3  Closing takes a cell out before it sends it on: a failing receiver loses its own record, and
//     closing again goes on with the next.
#include "operators/agg.h"
#include "operators/open_windows.h"

enum { START_BYTES = 8 };

struct op_window {
    struct op op;
    struct agg agg;
    struct store *store;
    int64_t size, grace;
    bool on_close;
    int32_t partition;
    int64_t closed; // I1; INT64_MIN: nothing
    bool open_known;
    struct open_windows open;
    struct buf key;      // store key at hand
    struct buf keys;     // of the window that closes: u32 length, bytes
    struct slice *order; // the same, sorted
    uint32_t order_size;
};

static int64_t add_sat(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_add_overflow(a, b, &r) || r == INT64_MAX ? INT64_MAX - 1 : r;
}

static int64_t end_of(const struct op_window *w, int64_t start)
{
    return add_sat(start, w->size);
}

static int64_t closes_at(const struct op_window *w, int64_t start)
{
    return add_sat(end_of(w, start), w->grace);
}

static struct slice store_key(struct op_window *w, int64_t start, struct slice key)
{
    buf_clear(&w->key);
    buf_u64(&w->key, bytes_ordered_i64(start));
    buf_slice_put(&w->key, key);
    return buf_slice(&w->key);
}

static bool found_cell(void *arg, struct cell *cell)
{
    struct op_window *w = arg;
    const struct agg_cell *c = cell->state;
    if (c->present && cell->key_n >= START_BYTES) {
        int64_t start = bytes_from_ordered_i64(bytes_get64(cell->key));
        open_windows_note(&w->open, open_windows_get(&w->open, start),
                          slice_of(cell->key + START_BYTES, cell->key_n - START_BYTES));
    }
    return true;
}

static int know_open(struct op_window *w, struct err *e)
{
    if (w->open_known)
        return 0;
    open_windows_clear(&w->open);
    if (store_each(w->store, slice_of("", 0), found_cell, w, e) != 0)
        return -1;
    w->open_known = true;
    return 0;
}

static int send_update(struct op_window *w, struct op_ctx *ctx, struct msg *m, int64_t start,
                       const struct agg_cell *c)
{
    struct msg to = *m;
    int64_t bounds[2] = {start, end_of(w, start)};
    to.time = c->time;
    to.doc = agg_doc(&w->agg, ctx, c, m->key, bounds);
    return op_push(&w->op, ctx, &to);
}

static int window_process(struct op *o, struct op_ctx *ctx, struct msg *m)
{
    struct op_window *w = (struct op_window *)o;
    if (m->key.p == NULL || m->doc == NULL || m->time < 0) {
        enum drop_reason why = m->key.p == NULL ? DROP_NULL_KEY
                               : m->doc == NULL ? DROP_NULL_VALUE
                                                : DROP_EXPIRED;
        ctx->drop(ctx, o, why, m);
        return 0;
    }
    int64_t start = m->time - m->time % w->size;
    int64_t now = ctx->watermark > w->closed ? ctx->watermark : w->closed;
    if (now >= closes_at(w, start)) {
        ctx->drop(ctx, o, DROP_LATE, m);
        return 0;
    }
    struct cell *cell;
    if (know_open(w, ctx->err) != 0 ||
        store_get(w->store, store_key(w, start, m->key), true, &cell, ctx->err) != 0)
        return op_fail(o, ctx);
    struct agg_step step;
    int rc = agg_eval(&w->agg, o, ctx, m, cell->state, &step);
    if (rc <= 0)
        return rc == 0 ? 0 : op_fail(o, ctx);
    struct agg_cell *c = cell->state;
    if (!c->present)
        open_windows_note(&w->open, open_windows_get(&w->open, start), m->key);
    store_dirty(w->store, cell);
    agg_apply(&w->agg, c, m, &step);
    return w->on_close ? 0 : send_update(w, ctx, m, start, c);
}

// --- closing

static bool gather_key(void *arg, struct cell *cell)
{
    struct op_window *w = arg;
    const struct agg_cell *c = cell->state;
    if (c->present) {
        buf_u32(&w->keys, cell->key_n - START_BYTES);
        buf_put(&w->keys, cell->key + START_BYTES, cell->key_n - START_BYTES);
    }
    return true;
}

// The window's keys into w->keys.
static int gather_keys(struct op_window *w, const struct open_window *o, struct err *e)
{
    buf_clear(&w->keys);
    if (!o->unlisted) {
        buf_slice_put(&w->keys, buf_slice(&o->keys));
        return 0;
    }
    return store_each(w->store, store_key(w, o->start, slice_of("", 0)), gather_key, w, e);
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

// The keys gathered, in byte order, in w->order.
static uint32_t order_keys(struct op_window *w)
{
    uint32_t n = 0;
    for (struct cur c = cur_of(buf_slice(&w->keys)); cur_left(&c) != 0; n++) {
        uint32_t len = cur_u32(&c);
        if (n == w->order_size) {
            w->order_size = w->order_size == 0 ? 64 : w->order_size * 2;
            w->order = check_alloc(realloc(w->order, w->order_size * sizeof(*w->order)));
        }
        w->order[n] = slice_of(cur_take(&c, len), len);
    }
    if (n != 0)
        qsort(w->order, n, sizeof(*w->order), by_key);
    return n;
}

// Takes the cell out of the store and, if that is when it is sent, sends its value on.
static int close_cell(struct op_window *w, struct op_ctx *ctx, int64_t start, struct slice key)
{
    struct cell *cell;
    if (store_get(w->store, store_key(w, start, key), false, &cell, ctx->err) != 0)
        return op_fail(&w->op, ctx);
    struct agg_cell *c = cell == NULL ? NULL : cell->state;
    if (c == NULL || !c->present)
        return 0;
    store_dirty(w->store, cell); // stays where it is until the next flush
    agg_remove(c);
    if (!w->on_close)
        return 0;
    int64_t bounds[2] = {start, end_of(w, start)};
    struct msg to = {.time = c->time, .key = key, .origin = c->origin, .partition = w->partition};
    to.doc = agg_doc(&w->agg, ctx, c, to.key, bounds);
    if (op_push(&w->op, ctx, &to) == 0)
        return 0;
    return err_wrap(ctx->err, "window [%lld, %lld) of key '%.*s'", (long long)bounds[0],
                    (long long)bounds[1], (int)(to.key.n > 64 ? 64 : to.key.n),
                    (const char *)to.key.p);
}

static int close_window(struct op_window *w, struct op_ctx *ctx, const struct open_window *o)
{
    if (gather_keys(w, o, ctx->err) != 0)
        return op_fail(&w->op, ctx);
    uint32_t n = order_keys(w);
    struct arena_mark mark = arena_mark(ctx->arena);
    for (uint32_t i = 0; i < n; i++) {
        if (close_cell(w, ctx, o->start, w->order[i]) != 0)
            return -1;
        arena_rewind(ctx->arena, mark);
    }
    return 0;
}

static int window_watermark(struct op *o, struct op_ctx *ctx, int64_t watermark)
{
    struct op_window *w = (struct op_window *)o;
    if (know_open(w, ctx->err) != 0)
        return op_fail(o, ctx);
    for (struct open_window *x; (x = open_windows_lowest(&w->open)) != NULL;) {
        int64_t at = closes_at(w, x->start);
        if (at > watermark)
            break;
        w->closed = at > w->closed ? at : w->closed;
        if (close_window(w, ctx, x) != 0)
            return -1;
        open_windows_pop(&w->open);
    }
    if (watermark > w->closed && watermark != INT64_MAX)
        w->closed = watermark;
    return 0;
}

// --- what survives

static void window_save(const struct op *o, struct buf *out)
{
    buf_u64(out, (uint64_t)((const struct op_window *)o)->closed);
}

static void window_reset(struct op *o)
{
    struct op_window *w = (struct op_window *)o;
    w->closed = INT64_MIN;
    w->open_known = false;
    open_windows_clear(&w->open);
}

static int window_load(struct op *o, struct slice saved, struct err *e)
{
    struct op_window *w = (struct op_window *)o;
    window_reset(o);
    if (saved.n == 0)
        return 0;
    if (saved.n != 8)
        return err_set(e, ERR_CORRUPT, "window %s: its saved time has %u bytes instead of 8",
                       o->name, saved.n);
    w->closed = (int64_t)bytes_get64(saved.p);
    return 0;
}

static void window_free(struct op *o)
{
    struct op_window *w = (struct op_window *)o;
    store_free(w->store);
    agg_release(&w->agg);
    open_windows_release(&w->open);
    buf_release(&w->key);
    buf_release(&w->keys);
    free(w->order);
    free(w);
}

static const struct op_ops window_ops = {
    .kind = "window",
    .process = window_process,
    .watermark = window_watermark,
    .save = window_save,
    .load = window_load,
    .reset = window_reset,
    .free = window_free,
};

int op_window_new(const struct build_ctx *b, struct op **out, struct store **store, struct err *e)
{
    const struct node *n = b->node;
    if (n->window_ms <= 0 || n->grace_ms < 0)
        return err_set(e, ERR_INVALID, "%s: %s: a window needs a size above 0 and grace >= 0",
                       n->where, n->name);
    struct op_window *w = check_alloc(calloc(1, sizeof(*w)));
    op_init(&w->op, &window_ops, n, true);
    if (agg_init(&w->agg, b, e) != 0) {
        free(w);
        return -1;
    }
    w->size = n->window_ms;
    w->grace = n->grace_ms;
    w->on_close = n->emit == EMIT_CLOSE;
    w->partition = b->partition;
    w->closed = INT64_MIN;
    struct store_spec spec = {.name = n->name, .ops = &agg_cell_ops, .ops_arg = &w->agg};
    w->store = store_new(b->db, &spec, b->partition, b->cache_bytes);
    if (store_check(w->store, e) != 0) {
        w->op.ops->free(&w->op);
        return -1;
    }
    *store = w->store;
    *out = &w->op;
    return 0;
}
